"""Extensions: what fits which image, and what an extension may carry."""

import hashlib
import json
from pathlib import Path

import pytest

from llmos_image import artifacts
from llmos_image.artifacts import Artifact
from llmos_image.errors import BuildFailed, UserError
from llmos_image.extension.base import base_of, differences, installed, replaced
from llmos_image.extension.catalogue import EXTENSIONS, faults, named
from llmos_image.extension.tidy import release, tidy
from llmos_image.question import Package

BASE = {"libggml0": "0.27.0-1~bpo13+1", "libc6": "2.41-12"}


def found(**versions: str) -> dict[str, Package]:
    names = {name.replace("_", "-"): version for name, version in versions.items()}
    return {name: Package(name, version) for name, version in names.items()}


CUDA = found(
    libggml0_backend_cuda="0.27.0-1~bpo13+1",
    libcuda1="550.163.01-2",
    libnvidia_ptxjitcompiler1="550.163.01-2",
    nvidia_smi="550.163.01-2",
    nvidia_vulkan_icd="550.163.01-2",
)


def test_what_fits_has_no_faults() -> None:
    assert not list(faults(named("cuda"), CUDA, BASE, "550.163.01"))
    rocm = found(libggml0_backend_hip="0.27.0-1~bpo13+1")
    assert not list(faults(named("rocm"), rocm, BASE, None))


def test_a_back_end_of_another_version_than_the_library_is_refused() -> None:
    older = {**CUDA, **found(libggml0_backend_cuda="0.26.0-1~bpo13+1")}
    (fault,) = faults(named("cuda"), older, BASE, "550.163.01")
    assert fault == (
        "libggml0-backend-cuda is 0.26.0-1~bpo13+1 in the archive, and the image has libggml0 "
        "0.27.0-1~bpo13+1: they work only in the same version"
    )


@pytest.mark.parametrize(
    ("driver", "fault"),
    [
        (None, "the image has no NVIDIA kernel modules (gpu.nvidia in its spec)"),
        ("570.86.15", "libcuda1 is 550.163.01, and the image's kernel modules are 570.86.15"),
    ],
)
def test_nvidias_libraries_have_to_be_those_of_the_kernel_modules(
    driver: str | None, fault: str
) -> None:
    assert list(faults(named("cuda"), CUDA, BASE, driver)) == [fault]


def test_every_missing_package_is_named() -> None:
    assert list(faults(named("torch"), {}, BASE, None)) == ["python3-torch is not in the archive"]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="one of: torch, rocm, cuda"):
        named("onnx")
    assert all(one.packages for one in EXTENSIONS)


STATUS = """\
Package: libc6
Status: install ok installed
Version: 2.41-12

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libggml0
Status: hold ok installed
Version: 0.27.0-1~bpo13+1
"""


def test_only_what_is_installed_counts() -> None:
    assert installed(STATUS) == BASE


def image(folder: Path, packages: dict[str, str]) -> Artifact:
    said = [{"name": name, "version": version} for name, version in packages.items()]
    return Artifact(folder, {"packages": said, "version": "1", "versions": {"nvidia": "550"}})


def layer(root: Path) -> Path:
    status = root / "debian~trixie~x86-64.cache/var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(STATUS)
    return root


def test_an_image_is_its_own_base(tmp_path: Path) -> None:
    base = base_of(image(tmp_path, BASE), layer(tmp_path), "trixie")
    assert (base.version, base.driver, base.packages) == ("1", "550", BASE)


def test_an_image_of_older_packages_has_to_be_built_again(tmp_path: Path) -> None:
    older = image(tmp_path, {**BASE, "libc6": "2.41-11"})
    with pytest.raises(UserError, match=r"libc6 2\.41-11, now 2\.41-12"):
        base_of(older, layer(tmp_path), "trixie")
    with pytest.raises(UserError, match="are gone"):
        base_of(older, tmp_path / "none", "trixie")


def test_of_many_differences_a_few_are_told() -> None:
    told = differences({str(n): "1" for n in range(9)}, {})
    assert told == [*(f"{n} 1, now none" for n in range(5)), "4 more"]


def test_replacing_a_package_of_the_base_is_noticed() -> None:
    assert replaced(BASE, {**BASE, "new": "1"}) == []
    assert replaced(BASE, {**BASE, "libc6": "2.42"}) == ["libc6 2.41-12 by 2.42"]


def file(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_extension_carries_usr_and_opt_and_nothing_of_the_bases(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in (
        "usr/lib/python3/dist-packages/torch/__init__.py",
        "opt/x",
        "etc/ld.so.conf.d/x.conf",
        "var/lib/dpkg/status",
        "usr/lib/os-release",
    ):
        file(tree / name)
    dropped = tidy(tree, tmp_path / "layer")
    assert dropped == ["etc/ld.so.conf.d/x.conf", "var/lib/dpkg/status", "usr/lib/os-release"]
    kept = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
    assert kept == ["opt/x", "usr/lib/python3/dist-packages/torch/__init__.py"]


@pytest.mark.parametrize("backwards", [False, True])
def test_links_through_alternatives_lead_straight_to_their_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, backwards: bool
) -> None:
    found = Path.rglob
    monkeypatch.setattr(
        Path, "rglob", lambda self, what: sorted(found(self, what), reverse=backwards)
    )
    tree, layer = tmp_path / "tree", tmp_path / "layer"
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    file(libraries / "blas/libblas.so.3")
    for root, name, target in (
        (tree, "libblas.so.3-x86_64-linux-gnu", "second"),
        (layer, "second", "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3"),
    ):
        (root / "etc/alternatives").mkdir(parents=True)
        (root / "etc/alternatives" / name).symlink_to(target)
    link = libraries / "libblas.so.3"
    link.symlink_to("/etc/alternatives/libblas.so.3-x86_64-linux-gnu")
    tidy(tree, layer)
    assert str(link.readlink()) == "blas/libblas.so.3"
    assert link.read_text() == "x"


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "tree/usr").mkdir(parents=True)
    (tmp_path / "tree/usr/x").symlink_to("/etc/alternatives/none")
    with pytest.raises(BuildFailed, match="leads nowhere"):
        tidy(tmp_path / "tree", tmp_path / "layer")


def test_kernel_modules_belong_into_the_image(tmp_path: Path) -> None:
    file(tmp_path / "tree/usr/lib/modules/6.12/modules.dep")
    with pytest.raises(BuildFailed, match="kernel modules"):
        tidy(tmp_path / "tree", tmp_path / "layer")


def test_an_extension_is_tied_to_the_version_of_its_base(tmp_path: Path) -> None:
    release(tmp_path, "torch", "0.1.0")
    text = (tmp_path / "usr/lib/extension-release.d/extension-release.torch_0.1.0").read_text()
    assert "ID=llmos\nVERSION_ID=0.1.0\n" in text


def test_a_file_that_comes_later_is_in_the_manifest_and_the_sums(tmp_path: Path) -> None:
    folder = tmp_path / "x_1"
    folder.mkdir()
    (folder / "SHA256SUMS.gpg").write_text("of the old sums")
    (folder / "image.json").write_text(json.dumps({"files": [{"name": "z", "sha256": "0" * 64}]}))
    (tmp_path / "x-torch_1.raw").write_bytes(b"extension")
    artifacts.add(folder, tmp_path / "x-torch_1.raw")
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert list(sums) == ["x-torch_1.raw", "z", "image.json"]
    assert sums["x-torch_1.raw"] == hashlib.sha256(b"extension").hexdigest()
    assert not (folder / "SHA256SUMS.gpg").exists()
