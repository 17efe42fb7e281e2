"""``llmosctl hardware`` as a person and a program see it."""

import json
from pathlib import Path

import msgspec
from click.testing import CliRunner

from llmos_api.hardware import Card, Hardware, Outcome, Processor, Stack, Step
from llmos_ctl.main import cli

FOUND = Hardware(
    schema=1,
    stack=Stack.VULKAN,
    steps=(
        Step(Stack.CUDA, Outcome.FAILED, "the engine hung"),
        Step(Stack.ROCM, Outcome.UNFIT, "no card here can use it"),
        Step(Stack.VULKAN, Outcome.CHOSEN, "0000:01:00.0 (NVIDIA Ada) is with nvidia"),
        Step(Stack.CPU, Outcome.NOT_NEEDED, "Vulkan is better"),
    ),
    cards=(
        Card(
            slot="0000:01:00.0",
            id="10de:2684",
            name="AD102 [GeForce RTX 4090]",
            family="NVIDIA Ada Lovelace",
            driver="nvidia",
            memory=24 * 2**30,
            used=True,
        ),
    ),
    processor=Processor("AMD EPYC", 4, ("avx2", "fma")),
    memory=16 * 2**30,
    notice="CUDA failed (the engine hung): the model runs with Vulkan until the next start.",
)


def run(path: Path, *options: str) -> str:
    answer = CliRunner().invoke(cli, ["hardware", "--file", str(path), *options])
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_a_person_sees_the_choice_and_why(tmp_path: Path) -> None:
    path = tmp_path / "hardware.json"
    path.write_bytes(msgspec.json.encode(FOUND))
    assert run(path) == (
        "CUDA failed (the engine hung): the model runs with Vulkan until the next start.\n\n"
        "The model computes with Vulkan\n"
        "  CUDA     failed      the engine hung\n"
        "  ROCm     unfit       no card here can use it\n"
        "  Vulkan   chosen      0000:01:00.0 (NVIDIA Ada) is with nvidia\n"
        "  the CPU  not needed  Vulkan is better\n\n"
        "Graphics and AI processors\n"
        "  0000:01:00.0 AD102 [GeForce RTX 4090] [10de:2684] (used)\n"
        "      NVIDIA Ada Lovelace, driver nvidia, 24.0 GiB\n\n"
        "Processor and memory\n"
        "  AMD EPYC, 4 threads, 16.0 GiB\n"
        "  avx2 fma\n"
    )


def test_a_program_gets_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "hardware.json"
    path.write_bytes(msgspec.json.encode(FOUND))
    assert msgspec.convert(json.loads(run(path, "--json")), Hardware) == FOUND


def test_where_no_choice_was_made_it_looks_itself(tmp_path: Path) -> None:
    found = msgspec.convert(json.loads(run(tmp_path / "none", "--json")), Hardware)
    assert found.steps
    assert found.processor.threads > 0
