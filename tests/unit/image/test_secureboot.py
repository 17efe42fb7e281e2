"""What a firmware in setup mode is given: bytes by the specification, signed by whom it says."""

import datetime
import shutil
import struct
import subprocess
import uuid
from pathlib import Path

import pytest

from llmos_image import secureboot
from llmos_image.keys import Keys, make
from llmos_image.render import render
from llmos_image.spec import parse
from llmos_image.tools import ToolsTree
from llmos_image.vm.toolbox import HostToolbox

DATE = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)

needs_programs = pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("gpg")),
    reason="openssl and gpg are not installed; the integration tests use the tools tree's",
)


def test_a_signature_list_says_its_own_sizes() -> None:
    owner = uuid.uuid4()
    made = secureboot.signature_list(b"certificate", owner)
    kind, whole, header, each = struct.unpack_from("<16sIII", made)
    assert uuid.UUID(bytes_le=kind) == uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
    assert (whole, header, each) == (len(made), 0, 16 + len(b"certificate"))
    assert made.endswith(owner.bytes_le + b"certificate")


def test_a_time_has_16_bytes_and_no_fractions() -> None:
    made = secureboot.efi_time(DATE)
    assert len(made) == 16
    assert struct.unpack_from("<HBBBBB", made) == (2026, 2, 3, 4, 5, 6)
    assert made[7:] == bytes(9)


def test_what_is_signed_begins_with_the_name_without_its_end() -> None:
    made = secureboot.signed_part("db", b"T" * 16, b"content")
    assert made.startswith("db".encode("utf-16-le"))
    assert made[4:20] == uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
    assert made[20:] == struct.pack("<I", 0x27) + b"T" * 16 + b"content"


def test_a_certificate_says_its_own_length() -> None:
    made = secureboot.certificate(b"signature")
    assert struct.unpack_from("<IHH", made) == (len(made), 0x0200, 0x0EF1)


def test_only_a_spec_with_keys_enrols_any() -> None:
    text = '[image]\nid = "a"\nversion = "1"\n[debian]\nmirror = "http://mirror.example/debian"\n'
    for more, expected in (("", False), ('[signing]\nkeys = "keys"\n', True)):
        tree = render(parse(text + more, path=Path("a.toml")))
        loader = next(f.text for p, f in tree.files.items() if p.name == "loader.conf")
        assert ("secure-boot-enroll" in loader) is expected


@needs_programs
def test_each_variable_is_signed_by_the_key_above_it(tmp_path: Path) -> None:
    keys = make(tmp_path / "keys", name="Test", tools=HostToolbox())
    certificates = tmp_path / "tools/usr/lib/python3/dist-packages/virt/firmware/certs"
    certificates.mkdir(parents=True)
    for name in sum(secureboot._ALONG.values(), ()):
        shutil.copy(keys.secure_boot_certificate("db"), certificates / f"{name}.pem")
    tools = _Tools(tmp_path / "tools")
    secureboot.stage_enrolment(tmp_path / "payload", keys, tools, DATE)
    folder = tmp_path / "payload" / secureboot.ENROLMENT
    assert sorted(path.name for path in folder.iterdir()) == ["KEK.auth", "PK.auth", "db.auth"]
    for name, signer, lists in (("PK", "PK", 1), ("KEK", "PK", 3), ("db", "KEK", 5)):
        _verify(folder / f"{name}.auth", name, keys, signer, lists, tmp_path)


class _Tools(ToolsTree):
    """A tools tree whose programs are this host's."""

    @property
    def sandbox(self) -> HostToolbox:  # type: ignore[override]
        return HostToolbox()


def _verify(auth: Path, name: str, keys: Keys, signer: str, lists: int, work: Path) -> None:
    data = auth.read_bytes()
    (length,) = struct.unpack_from("<I", data, 16)
    content = data[16 + length :]
    assert content.count(secureboot._X509.bytes_le) == lists
    (work / "signature").write_bytes(data[16 + 24 : 16 + length])
    (work / "signed").write_bytes(secureboot.signed_part(name, data[:16], content))
    certificate = keys.secure_boot_certificate(signer)
    argv = ["openssl", "smime", "-verify", "-binary", "-inform", "DER", "-noverify"]
    argv += ["-in", str(work / "signature"), "-content", str(work / "signed")]
    argv += ["-certfile", str(certificate), "-nointern", "-out", "/dev/null"]
    subprocess.run(argv, check=True, capture_output=True)
