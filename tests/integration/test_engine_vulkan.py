"""The real engine on a real Vulkan: Mesa's lavapipe, which computes on this machine's CPU."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_api.hardware import Stack
from llmos_image.archive import host_archive
from llmos_image.build import Ground
from llmos_image.cache import Cache, default_root
from llmos_image.local import engine_command
from llmos_image.places import SOURCE, spec_path
from llmos_image.run import Log
from llmos_image.spec import load
from llmos_image.tools import bootstrap
from llmos_runtime.hardware.available import available
from llmos_runtime.hardware.choice import Choice, choose
from llmos_runtime.hardware.steering import environment
from llmos_runtime.hardware.table import default_table
from tests.integration.engine_process import Launcher, ask, llama_launcher

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tree(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an image with ``vulkan = true`` has of ggml and Mesa, beside the target's Python."""
    debian = load(spec_path("vm")).with_archive(host_archive()).debian
    version = ground.llama.ggml_version
    packages = ["python3", "python3-pip", "python3-venv", "mesa-vulkan-drivers"]
    packages += [f"libggml0={version}", f"libggml0-backend-vulkan={version}"]
    log = Log(tmp_path_factory.mktemp("vulkan") / "tree.log")

    def make(path: Path) -> None:
        backports = f"deb {debian.mirror} {debian.suite}-backports main"
        bootstrap(path, debian, packages, log, sources=[backports])
        (path / "usr/lib/llmos").mkdir()

    parts = {"suite": debian.suite, "packages": sorted(packages)}
    entry = Cache(default_root()).get("wheel-tree", parts, what="ggml on Vulkan", make=make)
    return entry.content


@pytest.fixture(scope="module")
def command(ground: Ground, tree: Path, engine_folder: Path) -> Iterator[list[str]]:
    there = dataclasses.replace(ground, runtime=dataclasses.replace(ground.runtime, tree=tree))
    log = Log(engine_folder / "vulkan-code.log")
    with engine_command(there, SOURCE, binds=[engine_folder], log=log) as argv:
        yield argv


def launcher(command: list[str], folder: Path, choice: Choice) -> Launcher:
    """The engine with the variables that llmos-hardware would give it."""
    variables = [f"{name}={value}" for name, value in environment(choice).items()]
    return llama_launcher(["env", *variables, *command], folder, context=512)


async def test_the_engine_answers_from_a_vulkan_device_as_from_the_cpu(
    command: list[str], tree: Path, engine_folder: Path
) -> None:
    request = ask("The quick brown fox", max_tokens=2, temperature=0)
    answers = {}
    for wanted in (Stack.VULKAN, Stack.CPU):
        choice = choose([], available(tree), default_table(), wanted=wanted)
        assert choice.stack is wanted
        async with (
            launcher(command, engine_folder, choice).running() as service,
            service.client() as client,
        ):
            health = await client.health()
            answers[wanted] = (await client.chat(request)).text
            expected = {Stack.VULKAN: "Vulkan0 (llvmpipe", Stack.CPU: "CPU"}
            assert (health.device or "").startswith(expected[wanted])
    assert answers[Stack.VULKAN] == answers[Stack.CPU]


async def test_without_a_device_vulkan_falls_back_to_the_cpu(
    command: list[str], engine_folder: Path
) -> None:
    variables = ["LLMOS_ENGINE_OFFLOAD=all", "VK_LOADER_DRIVERS_DISABLE=*"]
    there = llama_launcher(["env", *variables, *command], engine_folder, context=512)
    async with there.running() as service, service.client() as client:
        assert (await client.health()).device == "CPU"
