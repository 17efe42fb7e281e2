"""Real keys by the real openssl and gpg, and what their signatures prove."""

import hashlib
import stat
from pathlib import Path

import pytest

from llmos_image import keys, signing
from llmos_image.errors import VerifyFailed
from llmos_image.keys import SECURE_BOOT, Keys
from llmos_image.run import output
from llmos_image.tools import ToolsTree
from llmos_image.vm_command import toolbox

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tools() -> ToolsTree:
    return toolbox()


@pytest.fixture(scope="module")
def made(tools: ToolsTree, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys") / "acme"
    return keys.make(folder, name="Acme", tools=tools.sandbox)


@pytest.fixture
def signed(tools: ToolsTree, made: Keys, tmp_path: Path) -> Path:
    (tmp_path / "disk.raw").write_text("disk")
    digest = hashlib.sha256(b"disk").hexdigest()
    (tmp_path / signing.SUMS).write_text(f"{digest}  disk.raw\n")
    signing.sign(tmp_path, made.secret, tools.sandbox)
    return tmp_path


def test_a_signed_folder_is_proved_whole(tools: ToolsTree, made: Keys, signed: Path) -> None:
    assert set(signing.verify(signed, made.keyring, tools.sandbox)) == {"disk.raw"}
    assert not signing.read_sums(signed / signing.SUMS).keys() & {signing.SIGNATURE}


def test_a_changed_list_of_sums_is_refused(tools: ToolsTree, made: Keys, signed: Path) -> None:
    (signed / "disk.raw").write_text("evil")
    with pytest.raises(VerifyFailed, match=r"disk\.raw: has"):
        signing.verify(signed, made.keyring, tools.sandbox)
    digest = hashlib.sha256(b"evil").hexdigest()
    (signed / signing.SUMS).write_text(f"{digest}  disk.raw\n")
    with pytest.raises(VerifyFailed, match="BAD signature"):
        signing.verify(signed, made.keyring, tools.sandbox)


def test_another_ones_signature_is_refused(
    tools: ToolsTree, signed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("other") / "keys"
    other = keys.make(folder, name="Mallory", tools=tools.sandbox)
    with pytest.raises(VerifyFailed, match="No public key"):
        signing.verify(signed, other.keyring, tools.sandbox)


def test_keys_are_for_their_owner_only(made: Keys) -> None:
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert len(files) == 2 * len(SECURE_BOOT) + 2
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert all(
        stat.S_IMODE(path.stat().st_mode) == 0o700
        for path in (made.folder, made.folder / "secureboot")
    )


@pytest.mark.parametrize("name", SECURE_BOOT)
def test_a_certificate_is_its_keys_and_outlives_the_machine(
    tools: ToolsTree, made: Keys, name: str
) -> None:
    certificate, key = made.secure_boot_certificate(name), made.secure_boot_key(name)

    def openssl(*arguments: str | Path) -> str:
        return output(tools.sandbox.argv(["openssl", *arguments], ro_binds=[made.folder]))

    public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    assert public == openssl("pkey", "-in", key, "-pubout")
    assert f"Acme {name}" in openssl("x509", "-in", certificate, "-noout", "-subject")
    ten_years = 10 * 365 * 24 * 3600
    openssl("x509", "-in", certificate, "-noout", "-checkend", str(ten_years))
