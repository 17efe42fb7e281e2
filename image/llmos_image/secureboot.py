"""Secure Boot: what mkosi signs with, and the keys that a firmware in setup mode takes.

systemd-boot enrols ``loader/keys/auto/{PK,KEK,db}.auth`` of the ESP by itself in virtual
machines, and offers it in its menu elsewhere (systemd-boot(7)). Microsoft's authorities are
enrolled along: without them the firmware of many cards, and with it the display, is refused.

Formats: UEFI specification 2.10, 8.2.2 (EFI_VARIABLE_AUTHENTICATION_2) and 32.4.1
(EFI_SIGNATURE_LIST).
"""

import datetime
import ssl
import struct
import tempfile
import uuid
from pathlib import Path
from typing import Final

from llmos_image.keys import Keys
from llmos_image.run import output
from llmos_image.tools import ToolsTree

ENROLMENT: Final = "efi/loader/keys/auto"
_OWNER: Final = uuid.UUID("6c6c6d6f-7300-4000-8000-000000000002")
_MICROSOFT: Final = uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
_CERTIFICATES: Final = "usr/lib/python3/dist-packages/virt/firmware/certs"
_ALONG: Final = {
    "PK": (),
    "KEK": ("MicrosoftCorporationKEKCA2011", "MicrosoftCorporationKEK2KCA2023"),
    "db": (
        "MicrosoftCorporationUEFICA2011",
        "MicrosoftUEFICA2023",
        "MicrosoftWindowsProductionPCA2011",
        "WindowsUEFICA2023",
    ),
}
_SIGNED_BY: Final = {"PK": "PK", "KEK": "PK", "db": "KEK"}

_GLOBAL: Final = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_VENDOR: Final = {
    "PK": _GLOBAL,
    "KEK": _GLOBAL,
    "db": uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f"),
}
_X509: Final = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_PKCS7: Final = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
# Non-volatile, for boot services and at run time, authenticated by time.
_ATTRIBUTES: Final = 0x27
_REVISION: Final = 0x0200
_TYPE_GUID: Final = 0x0EF1


def build_options(keys: Keys) -> list[str]:
    """Return mkosi's options that sign the kernel image and the boot loader."""
    return [
        "--secure-boot=yes",
        # Ours has Microsoft's authorities, and is the same in each build.
        "--secure-boot-auto-enroll=no",
        # The data partition is bound to the state of Secure Boot, not to each kernel.
        "--sign-expected-pcr=no",
        f"--secure-boot-key={keys.secure_boot_key('db').absolute()}",
        f"--secure-boot-certificate={keys.secure_boot_certificate('db').absolute()}",
    ]


def stage_enrolment(
    payload: Path, keys: Keys, tools: ToolsTree, signed_at: datetime.datetime
) -> None:
    """Write the three updates of variables into ``payload``/efi/loader/keys/auto.

    ``signed_at`` is in each of them: a firmware in user mode takes only later ones.

    Raises:
        BuildFailed: openssl failed; a key is not what it should be.
    """
    folder = payload / ENROLMENT
    folder.mkdir(parents=True)
    for name, along in _ALONG.items():
        signatures = signature_list(_der(keys.secure_boot_certificate(name)), _OWNER)
        for other in along:
            pem = tools.path / _CERTIFICATES / f"{other}.pem"
            signatures += signature_list(_der(pem), _MICROSOFT)
        time = efi_time(signed_at)
        signed = signed_part(name, time, signatures)
        signature = _sign(signed, keys, _SIGNED_BY[name], tools)
        (folder / f"{name}.auth").write_bytes(time + certificate(signature) + signatures)


def signature_list(der: bytes, owner: uuid.UUID) -> bytes:
    """An EFI_SIGNATURE_LIST of one X.509 certificate."""
    size = 16 + len(der)
    header = struct.pack("<16sIII", _X509.bytes_le, 28 + size, 0, size)
    return header + owner.bytes_le + der


def efi_time(when: datetime.datetime) -> bytes:
    """An EFI_TIME; its finer fields are zero, as authenticated variables ask for."""
    utc = when.astimezone(datetime.UTC)
    return struct.pack(
        "<HBBBBBxIhBx", utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, 0, 0, 0
    )


def signed_part(name: str, time: bytes, content: bytes) -> bytes:
    """What the signature of an update of the variable ``name`` covers."""
    attributes = struct.pack("<I", _ATTRIBUTES)
    return name.encode("utf-16-le") + _VENDOR[name].bytes_le + attributes + time + content


def certificate(signature: bytes) -> bytes:
    """A WIN_CERTIFICATE_UEFI_GUID that holds a PKCS #7 signature."""
    header = struct.pack("<IHH16s", 24 + len(signature), _REVISION, _TYPE_GUID, _PKCS7.bytes_le)
    return header + signature


def _sign(data: bytes, keys: Keys, name: str, tools: ToolsTree) -> bytes:
    with tempfile.TemporaryDirectory(prefix="llmos-enrol-") as made:
        work = Path(made)
        (work / "data").write_bytes(data)
        command: list[str | Path] = [
            *("openssl", "smime", "-sign", "-binary", "-noattr", "-md", "sha256"),
            *("-outform", "DER", "-in", work / "data", "-out", work / "signature"),
            *("-signer", keys.secure_boot_certificate(name).absolute()),
            *("-inkey", keys.secure_boot_key(name).absolute()),
        ]
        output(tools.sandbox.argv(command, binds=[work], ro_binds=[keys.folder.absolute()]))
        return (work / "signature").read_bytes()


def _der(pem: Path) -> bytes:
    # A certificate may come with its own description in front.
    text = pem.read_text("utf-8")
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN") :])
