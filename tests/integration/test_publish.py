"""Publishing with real keys; versions as the real systemd orders them."""

import gzip
import itertools
from pathlib import Path

import pytest

from llmos_image import artifacts, keys, publish, signing, updates
from llmos_image.errors import BuildFailed, VerifyFailed
from llmos_image.publish import Signer, Update
from llmos_image.run import output
from llmos_image.spec import parse
from llmos_image.tools import ToolsTree
from llmos_image.versions import compare
from llmos_image.vm_command import toolbox

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tools() -> ToolsTree:
    return toolbox()


@pytest.fixture(scope="module")
def signer(tools: ToolsTree, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    folder = tmp_path_factory.mktemp("keys") / "acme"
    return Signer(keys.make(folder, name="Acme", tools=tools.sandbox), tools.sandbox)


def put(folder: Path, signer: Signer, version: str) -> None:
    source = folder.with_name(f"x_{version}.efi")
    source.write_text(f"kernel image {version}")
    publish.publish(folder, [Update(source, source.name)], keep=2, signer=signer)


def test_the_list_is_signed_over_all_versions_kept(signer: Signer, tmp_path: Path) -> None:
    for version in ("1", "2", "3"):
        put(tmp_path / "www", signer, version)
        found = signing.verify(tmp_path / "www", signer.keys.keyring, signer.tools)
    assert set(found) == {"x_2.efi", "x_3.efi"}


def test_nothing_is_added_to_a_list_that_somebody_changed(signer: Signer, tmp_path: Path) -> None:
    folder = tmp_path / "www"
    put(folder, signer, "1")
    (folder / "evil_9.efi").write_text("evil")
    with (folder / signing.SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  evil_9.efi\n")
    with pytest.raises(VerifyFailed, match="BAD signature"):
        put(folder, signer, "2")
    assert not (folder / "x_2.efi").exists()


def test_keys_that_do_not_belong_together_publish_nothing(
    tools: ToolsTree, signer: Signer, tmp_path: Path
) -> None:
    other = keys.make(tmp_path / "other", name="Other", tools=tools.sandbox)
    other.keyring.write_bytes(signer.keys.keyring.read_bytes())
    with pytest.raises(VerifyFailed, match="no good signature"):
        put(tmp_path / "www", Signer(other, tools.sandbox), "1")
    assert [path.name for path in (tmp_path / "www").iterdir()] == [".lock"]


def test_a_build_is_published_with_partitions_that_the_target_can_unpack(
    tools: ToolsTree, signer: Signer, tmp_path: Path
) -> None:
    content = b"root file system" + bytes(1_000_000)
    (tmp_path / "raw").write_bytes(content)
    folder = tmp_path / "x_1"
    folder.mkdir()
    unique = "a" * 32
    for kind in ("root", "verity"):
        packed = folder / f"x_1_{unique}.{kind}.zst"
        output(tools.sandbox.argv(["zstd", "-q", tmp_path / "raw", "-o", packed], binds=[tmp_path]))
    (folder / "x_1.efi").write_text(f"MZ roothash={unique.ljust(64, '0')}\0")
    spec = parse('[image]\nid = "x"\nversion = "1"\n', path=Path("x.toml"))
    artifacts.describe(folder, spec, packages=[], sizes={}, versions={})
    wanted = updates.of_build(artifacts.read(folder), updates.unpack_with(tools.sandbox))
    first = publish.publish(tmp_path / "www", wanted, keep=2, signer=signer)
    assert len(first.added) == 3
    assert publish.publish(tmp_path / "www", wanted, keep=2, signer=signer).added == []
    (root,) = (tmp_path / "www").glob("*.root.gz")
    assert gzip.decompress(root.read_bytes()) == content
    signing.verify(tmp_path / "www", signer.keys.keyring, tools.sandbox)


TRANSFER = """
[Transfer]
Verify=yes
[Source]
Type=url-file
Path=file://{source}
MatchPattern=x_@v.efi
[Target]
Type=regular-file
Path={target}
MatchPattern=x_@v.efi
"""


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "changed"])
def test_systemd_takes_what_was_published_and_nothing_else(
    signer: Signer, tools: ToolsTree, tmp_path: Path, whole: bool
) -> None:
    """The real systemd-sysupdate: it checks the signature and the sums by itself."""
    folder, target, definitions = (tmp_path / name for name in ("www", "target", "sysupdate.d"))
    put(folder, signer, "0.9")
    put(folder, signer, "0.10")
    target.mkdir()
    definitions.mkdir()
    transfer = TRANSFER.format(source=folder, target=target)
    (definitions / "50-x.transfer").write_text(transfer)
    if not whole:
        (folder / "x_0.10.efi").write_text("kernel image evil")
    command = ["/usr/lib/systemd/systemd-sysupdate", f"--definitions={definitions}", "update"]
    mounts = {signer.keys.keyring: "/usr/lib/systemd/import-pubring.gpg"}
    argv = tools.sandbox.argv(command, binds=[tmp_path], mounts=mounts)
    if whole:
        output(argv)
        assert {p.name: p.read_text() for p in target.iterdir()} == {
            "x_0.10.efi": "kernel image 0.10"
        }
    else:
        with pytest.raises(BuildFailed, match=r"[Hh]ash|SHA256"):
            output(argv)
        assert not list(target.iterdir())


def test_versions_are_ordered_as_systemd_orders_them(tools: ToolsTree) -> None:
    versions = ["0.9", "0.10", "0.10~rc1", "1", "1-1", "1^1", "1.0", "1a", "1.a", "2~", "01", "v2"]
    pairs = list(itertools.product(versions, repeat=2))
    script = 'while [ $# -gt 0 ]; do systemd-analyze compare-versions "$1" "$2"; shift 2; done; :'
    arguments = [version for pair in pairs for version in pair]
    said = output(tools.sandbox.argv(["sh", "-c", script, "sh", *arguments])).splitlines()
    signs = {-1: "<", 0: "==", 1: ">"}
    assert said == [f"{one} {signs[compare(one, two)]} {two}" for one, two in pairs]
