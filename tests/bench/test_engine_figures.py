"""The arithmetic of the engine's benchmark, on answers and files made for the purpose."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from llmos_image.errors import BuildFailed
from llmos_models.gguf import read_header
from tests.bench.comparison import Aim, Bound, Comparison, Row, percentile
from tests.bench.engine.client import Answer, read_answer
from tests.bench.engine.llama_bench import tokens_per_second
from tests.bench.engine.metrics import value_in
from tests.bench.engine.models import (
    TEMPLATE_TOKENS,
    TOKEN_BYTES,
    Model,
    Quantization,
    Shape,
    prompt,
)
from tests.bench.engine.speed import together

SMALL = Shape("small", "qwen2", "qwen2", 2, 64, 4, 2, 96, 400)


def chunk(text: str, **more: object) -> bytes:
    data = json.dumps({"choices": [{"delta": {"content": text}}], **more})
    return f"data: {data}\n\n".encode()


def response(parts: Sequence[bytes], status: str = "200 OK") -> list[tuple[float, bytes]]:
    """A chunked response, a part each second from second 10 on."""
    head = f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunked = [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts]
    return [
        (10.0 + at, piece)
        for at, piece in enumerate([head + chunked[0], *chunked[1:], b"0\r\n\r\n"])
    ]


def answer(*times: float, tokens: Sequence[int] | None = None) -> Answer:
    return Answer(0.0, list(times), list(tokens or range(1, len(times) + 1)), "")


def test_a_percentile_is_one_of_the_values() -> None:
    hundred = [float(n) for n in range(100, 0, -1)]
    assert percentile(hundred, 0.99) == 99
    assert percentile(hundred, 0.5) == 50
    assert percentile([3.0], 0.99) == 3.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_tokens_are_counted_by_the_bytes_of_the_answer() -> None:
    pieces = response(
        [chunk(""), chunk(" abcd"), chunk(" abcd efgh"), chunk("", usage={"prompt_tokens": 64})]
    )
    found = read_answer(9.0, pieces)
    assert found.times == [11.0, 12.0]
    assert found.tokens == [1, 3]
    assert (found.made, found.first, found.rate) == (3, 2.0, 2.0)
    assert found.prompt_tokens == 64


def test_an_event_may_come_in_two_pieces_and_counts_when_it_is_whole() -> None:
    whole = chunk(" abcd")
    found = read_answer(9.0, response([whole[:7], whole[7:]]))
    assert (found.times, found.text) == ([11.0], " abcd")


def test_a_refusal_is_no_answer() -> None:
    with pytest.raises(BuildFailed, match=r"status 400: .*too long"):
        read_answer(9.0, response([b'{"error": "too long"}'], "400 Bad Request"))


def test_only_the_gaps_of_a_span_count() -> None:
    found = answer(1.0, 2.0, 4.0, 7.0, 11.0)
    assert found.gaps() == [1.0, 2.0, 3.0, 4.0]
    assert found.gaps(begin=3.0, end=6.0) == [2.0, 3.0]


def test_a_crowd_has_the_tokens_of_all_in_the_time_of_all() -> None:
    crowd = [answer(1.0, 2.0, 3.0), answer(2.0, 3.0, 6.0)]
    assert together(crowd) == 1.0


def test_llama_bench_is_read_behind_what_it_says_before() -> None:
    printed = 'load_backend: loaded CPU\n[\n {"n_gen": 128, "avg_ts": 41.5}\n]\n'
    assert tokens_per_second(printed) == 41.5
    with pytest.raises(ValueError, match="too many"):
        tokens_per_second('[{"avg_ts": 1}, {"avg_ts": 2}]')


def test_a_metric_without_labels_is_found() -> None:
    page = "# HELP x y\nx_total 4\nx 3.5\n"
    assert value_in(page, "x") == 3.5
    with pytest.raises(BuildFailed, match="no metric y"):
        value_in(page, "y")


def test_the_middle_round_decides_whether_an_aim_is_reached() -> None:
    aim = Aim(Bound.LEAST, 0.97)
    row = Row("decode", "tokens/s", [10.0, 9.0, 20.0], [10.0, 10.0, 10.0], "llama-bench", aim)
    assert row.ratios == [1.0, 0.9, 2.0]
    assert row.reached is True
    most = Row("park", "ms", [30.0], aim=Aim(Bound.MOST, 20.0, absolute=True))
    assert most.reached is False
    assert Row("memory", "", aim=aim, note="no prediction yet").reached is None
    alone = Row("streams", "tokens/s", [30.0], against="x", aim=aim, note="x cannot be had")
    assert alone.reached is None
    assert alone.cells()[1:3] == ["30.0 tokens/s", "x cannot be had"]


def test_a_comparison_is_kept_for_programs_and_for_pages(tmp_path: Path) -> None:
    rows = [
        Row("decode", "tokens/s", [98.0, 99.0], [100.0, 100.0], "x", Aim(Bound.LEAST, 0.97)),
        Row("memory", "", aim=Aim(Bound.MOST, 0.05, absolute=True), note="no prediction yet"),
    ]
    found = Comparison("engine", rows, {"threads": "2"})
    kept = json.loads(found.write(tmp_path).read_text())
    assert kept["rows"][0]["ratio"] == 0.985
    assert (kept["rows"][0]["aim"], kept["rows"][0]["reached"]) == ("≥ 0.97", True)
    assert kept["rows"][1]["reached"] is None
    page = (tmp_path / "engine.md").read_text().splitlines()
    expected = "| decode | 98.5 (98.0–99.0) tokens/s | 100 (100–100) tokens/s | x |"
    assert page[2].startswith(expected)
    assert page[2].endswith("| 0.98 (0.98–0.99) | ≥ 0.97 | yes |")
    assert page[3] == "| memory | no prediction yet | - | - | - | ≤ 0.05 | - |"
    console = Console(width=160, record=True, file=io.StringIO())
    found.show(console)
    assert "threads 2" in console.export_text()


@pytest.mark.parametrize("stored", Quantization)
def test_a_model_of_random_weights_is_a_sound_file(tmp_path: Path, stored: Quantization) -> None:
    path = tmp_path / "default.gguf"
    Model(SMALL, stored).write(path)
    header = read_header(path)
    assert header.text("general.architecture") == "qwen2"
    assert "<|im_start|>" in (header.text("tokenizer.chat_template") or "")
    # Norms, biases, projections and the feed-forward part of two layers; the embedding; a norm.
    assert header.tensors == 2 * (2 + 3 + 4 + 3) + 2
    again = tmp_path / "again.gguf"
    Model(SMALL, stored).write(again)
    assert again.read_bytes() == path.read_bytes()


def test_a_prompt_has_a_token_for_each_byte() -> None:
    assert len(prompt(64, 1).encode()) == 64 - TEMPLATE_TOKENS
    assert prompt(64, 1) == prompt(64, 1) != prompt(64, 2)
    assert len(" abcd") == TOKEN_BYTES
