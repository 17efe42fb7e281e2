"""Keys are never overwritten, and checksums are read without trust."""

import hashlib
from pathlib import Path

import pytest

from llmos_image import keys, signing
from llmos_image.errors import BuildFailed, UserError, VerifyFailed
from llmos_image.spec import ImageSpec, missing_files, parse
from llmos_image.vm.toolbox import HostToolbox

ONE = hashlib.sha256(b"one").hexdigest()


class NoPrograms(HostToolbox):
    """A toolbox in which nothing can be run."""

    def argv(self, *_command: object, **_binds: object) -> list[str]:
        return ["/nonexistent/program"]


def folder_of(tmp_path: Path, sums: str) -> Path:
    (tmp_path / "one").write_text("one")
    (tmp_path / signing.SUMS).write_text(sums)
    return tmp_path


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_text("precious")
    with pytest.raises(UserError, match="never overwritten"):
        keys.make(tmp_path, name="Acme", tools=NoPrograms())
    assert (tmp_path / "signing.key").read_text() == "precious"


def test_keys_that_cannot_be_made_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no such program"):
        keys.make(tmp_path / "keys", name="Acme", tools=NoPrograms())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "a/CN=b", "a\nb", "<a@b>", "x" * 80])
def test_a_name_that_would_change_a_certificate_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="not a name for keys"):
        keys.make(tmp_path / "keys", name=name, tools=NoPrograms())


def test_whole_files_are_as_their_sums(tmp_path: Path) -> None:
    assert signing.verify_sums(folder_of(tmp_path, f"{ONE}  one\n")) == {"one": ONE}


def test_every_changed_or_missing_file_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, f"{'0' * 64}  one\n{ONE}  two\n")
    with pytest.raises(VerifyFailed) as caught:
        signing.verify_sums(folder)
    assert f"one: has {ONE}" in caught.value.what
    assert "two: No such file" in caught.value.what
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "line",
    [f"{ONE}  ../one", f"{ONE}  /etc/passwd", f"{ONE[:-1]}  one", "text", f"{ONE}  .."],
)
def test_a_list_that_leads_elsewhere_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(VerifyFailed, match="line 1"):
        signing.verify_sums(folder_of(tmp_path, line + "\n"))


def test_a_list_of_nothing_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(VerifyFailed, match="no files"):
        signing.verify_sums(folder_of(tmp_path, ""))


def test_a_folder_without_a_signature_is_not_signed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, f"{ONE}  one\n")
    (tmp_path / "ring").write_text("")
    with pytest.raises(VerifyFailed, match="not signed"):
        signing.verify(folder, tmp_path / "ring", NoPrograms())
    with pytest.raises(UserError, match="no such keyring"):
        signing.verify(folder, tmp_path / "none", NoPrograms())


def spec_with(keys_folder: Path) -> ImageSpec:
    text = f'[image]\nid = "x"\nversion = "1"\n[signing]\nkeys = "{keys_folder}"\n'
    return parse(text, path=keys_folder / "x.toml")


def test_a_spec_whose_keys_are_missing_says_how_to_make_them(tmp_path: Path) -> None:
    spec = spec_with(tmp_path)
    (fault,) = missing_files(spec)
    assert fault.startswith("signing.keys:")
    assert "llmos-image keys" in fault
    (tmp_path / "secureboot").mkdir()
    for name in ("signing.key", "signing.pgp", "secureboot/db.key", "secureboot/db.crt"):
        (tmp_path / name).write_text("")
    assert not missing_files(spec)


def test_where_the_keys_lie_does_not_change_the_spec(tmp_path: Path) -> None:
    assert spec_with(tmp_path / "a/keys").digest() == spec_with(tmp_path / "b/keys").digest()
