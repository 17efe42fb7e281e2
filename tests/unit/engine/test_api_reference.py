"""The reference page knows every field and every code of the API."""

import re
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from llmos_api import ChatRequest
from llmos_api.completions import CompletionRequest, DetokenizeRequest, TokenizeRequest
from llmos_api.responses import ResponseRequest
from llmos_engine.backends.base import Sampling
from llmos_engine.jobs import RETRY_AFTER
from llmos_engine.main import main
from llmos_engine.metrics import Metrics
from llmos_engine.schema import ANY_DEPTH, MAX_DEPTH, MAX_NODES, MAX_REPEAT

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/engine-api.md").read_text()
CODES = sorted(
    {
        code
        for source in (ROOT / "services/llmos_engine").rglob("*.py")
        for code in re.findall(r'code="(\w+)"', source.read_text())
    }
)


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_is_explained(code: str) -> None:
    assert f"`{code}`" in PAGE


FIELDS = sorted(
    {
        field.name
        for request in (
            ChatRequest,
            CompletionRequest,
            ResponseRequest,
            TokenizeRequest,
            DetokenizeRequest,
        )
        for field in msgspec.structs.fields(request)
    }
)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_a_request_is_explained(field: str) -> None:
    assert re.search(rf"^\|[^|]*`{field}`", PAGE, re.MULTILINE)


def test_every_metric_is_explained_and_no_other() -> None:
    families = text_string_to_metric_families(Metrics().text().decode())
    real = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if not family.name.endswith("_created")
    }
    assert real == set(re.findall(r"`(llmos_engine_\w+)`", PAGE))


def test_the_defaults_and_limits_on_the_page_are_the_real_ones() -> None:
    usual = Sampling()
    for field, value in (
        ("temperature", usual.temperature),
        ("top_p", usual.top_p),
        ("top_k", usual.top_k),
    ):
        assert re.search(rf"^\| `{field}` \|.*\| {value} \|$", PAGE, re.MULTILINE)
    assert f"at most {ANY_DEPTH} deep" in PAGE
    assert f"{MAX_NODES} parts, {MAX_DEPTH} levels, counts up to\n{MAX_REPEAT:,}" in PAGE
    queue = next(option.default for option in main.params if option.name == "queue")
    assert f"{queue} requests wait already" in PAGE
    assert RETRY_AFTER > 0
