"""Who may import whom (docs/architecture.md): read from the sources, not from what ran."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "llmos_image": ROOT / "image/llmos_image",
    "llmos_api": ROOT / "services/llmos_api",
    "llmos_ctl": ROOT / "services/llmos_ctl",
    "llmos_engine": ROOT / "services/llmos_engine",
    "llmos_models": ROOT / "services/llmos_models",
    "llmos_installer": ROOT / "services/llmos_installer",
    "llmos_runtime": ROOT / "services/llmos_runtime",
    "llmos_shell": ROOT / "llmos_shell",
}
MAY_IMPORT = {
    "llmos_image": set(),
    "llmos_api": set(),
    "llmos_ctl": {"llmos_api", "llmos_models", "llmos_runtime"},
    "llmos_engine": {"llmos_api", "llmos_models"},
    "llmos_installer": {"llmos_api"},
    "llmos_models": {"llmos_api"},
    "llmos_runtime": {"llmos_api"},
    "llmos_shell": {"llmos_api"},
}
# The session's reasoning works without a terminal: no widgets there.
WITHOUT_TEXTUAL = ("login", "route", "plan", "policy", "runner", "literals", "history")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    wrong = {
        (str(path.relative_to(ROOT)), name)
        for path in PACKAGES[package].rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in PACKAGES
        and name.split(".")[0] not in MAY_IMPORT[package] | {package}
    }
    assert not wrong


@pytest.mark.parametrize("module", WITHOUT_TEXTUAL)
def test_the_sessions_reasoning_has_no_widgets(module: str) -> None:
    place = PACKAGES["llmos_shell"] / module
    paths = (
        [place.with_suffix(".py")] if place.with_suffix(".py").exists() else [*place.glob("*.py")]
    )
    assert paths, "renamed? then rename it here"
    assert not [name for path in paths for name in imports(path) if name.split(".")[0] == "textual"]


@pytest.mark.parametrize(
    "path",
    sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_module_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
