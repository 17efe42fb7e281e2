"""Two real disks with erofs roots, compared."""

import datetime
import json
from pathlib import Path

import pytest

from llmos_image import artifacts
from llmos_image.artifacts import Artifact
from llmos_image.cli import main
from llmos_image.difference import Change, compare
from llmos_image.run import output
from llmos_image.sbom import collect
from llmos_image.sbom.inventory import Component, Inventory, Kind, Licensing
from llmos_image.spec import parse
from llmos_image.tools import ToolsTree
from llmos_image.vm_command import toolbox

pytestmark = pytest.mark.integration

_ROOT = """
[Partition]
Type=root
Label=%M_%A
Format=erofs
CopyFiles=/
Minimize=best
"""


@pytest.fixture(scope="module")
def tools() -> ToolsTree:
    return toolbox()


def image(tools: ToolsTree, folder: Path, version: str, files: dict[str, str]) -> Artifact:
    """A folder as a build leaves it, with a disk whose root has ``files``."""
    root, definitions = folder / "root", folder / "repart.d"
    definitions.mkdir(parents=True)
    (definitions / "root.conf").write_text(_ROOT)
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text(f"IMAGE_ID=x\nIMAGE_VERSION={version}\n")
    for name, text in files.items():
        (root / name).write_text(text)
    (root / "link").symlink_to(f"v{version}")
    out = folder / f"x_{version}"
    out.mkdir()
    argv = ["systemd-repart", "--empty=create", "--size=auto", "--dry-run=no", "--offline=yes"]
    argv += [f"--definitions={definitions}", f"--root={root}", "--seed=random"]
    argv += ["--architecture=x86-64", str(out / f"x_{version}.raw")]
    output(tools.sandbox.argv(argv, binds=[folder]))
    parts = (
        Component(Kind.DEBIAN, "bash", "5.3", Licensing("MIT"), architecture="amd64"),
        Component(Kind.PYTHON, "httpx", version, Licensing("BSD-3-Clause")),
    )
    created = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    collect.write(out, out.name, Inventory("x", version, created, "a" * 64, parts))
    spec = parse(f'[image]\nid = "x"\nversion = "{version}"\n', path=Path("x.toml"))
    facts = artifacts.describe(out, spec, packages=[], sizes={"uki": len(version)}, versions={})
    return Artifact(out, facts)


@pytest.fixture(scope="module")
def builds(tools: ToolsTree, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    top = tmp_path_factory.mktemp("builds")
    old = image(tools, top / "a", "1", {"same": "s", "changed": "1", "gone": "g"})
    new = image(tools, top / "b", "2", {"same": "s", "changed": "22", "new": "n"})
    return old, new


def test_packages_files_and_sizes_are_compared(
    tools: ToolsTree, builds: tuple[Artifact, Artifact]
) -> None:
    found = compare(*builds, tools.sandbox)
    assert found.packages == [Change("pypi:httpx", "1", "2")]
    assert found.files is not None
    changed = {change.name: change for change in found.files}
    assert set(changed) == {"/changed", "/gone", "/new", "/link", "/usr/lib/os-release"}
    assert changed["/new"].before is None
    assert changed["/gone"].after is None
    link = changed["/link"]
    assert (link.before and link.before.content, link.after and link.after.content) == ("v1", "v2")
    sizes = {change.name: change for change in found.sizes}
    assert {"file *.raw", "partition root", "part uki"} <= set(sizes)
    assert not found.same_disk


def test_a_build_is_the_same_as_itself(tools: ToolsTree, builds: tuple[Artifact, Artifact]) -> None:
    found = compare(builds[0], builds[0], tools.sandbox)
    assert found.same_disk
    assert not found.packages
    assert not found.files


def test_a_person_reads_a_table_and_a_program_json(
    builds: tuple[Artifact, Artifact],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    old, new = (str(build.folder) for build in builds)
    with pytest.raises(SystemExit) as caught:
        main(["diff", old, new, "--exit-code"])
    said = capsys.readouterr().out
    assert caught.value.code == 1
    assert "pypi:httpx" in said
    assert "Files: 1 new, 1 gone, 3 changed" in said
    assert "-> v1" in said
    with pytest.raises(SystemExit) as caught:
        main(["diff", old, new, "--json"])
    assert not caught.value.code
    found = json.loads(capsys.readouterr().out)
    assert not found["same"]
    assert found["packages"] == [{"name": "pypi:httpx", "before": "1", "after": "2"}]
