"""``llmosctl security``: what protects this machine."""

import dataclasses
import json

import click

from llmos_api.notices import remove_notice, write_notice
from llmos_ctl.security import SecureBoot, Security

_NOTICE = "secure-boot"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
@click.option("--notice", is_flag=True, help="Leave a notice for the session when it is off.")
def security(as_json: bool, notice: bool) -> None:
    """Show what protects this machine: Secure Boot, the verified root, encryption, the kernel.

    \b
    Examples:
      llmosctl security
      llmosctl security --json
    """
    found = Security.of()
    if notice:
        _leave_notice(found)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
        return
    for name, value in _rows(found):
        click.echo(f"{name:<15} {value}")


def _rows(found: Security) -> list[tuple[str, str]]:
    return [
        ("Secure Boot", found.secure_boot.text),
        ("System", "verified at each read" if found.root_verified else "not verified"),
        ("Data", "encrypted" if found.data_encrypted else "not encrypted"),
        ("TPM", f"version {found.tpm}" if found.tpm else "none"),
        ("Kernel lockdown", found.lockdown),
        ("Kernel modules", "signed ones only" if found.only_signed_modules else "any"),
        ("Mode", found.mode),
    ]


def _leave_notice(found: Security) -> None:
    if found.secure_boot is SecureBoot.ON:
        remove_notice(_NOTICE)
    else:
        write_notice(_NOTICE, f"This image is signed, but Secure Boot is {found.secure_boot.text}.")
