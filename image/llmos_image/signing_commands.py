"""``llmos-image keys`` and ``llmos-image verify``: who made an image, and the proof of it."""

import json
from pathlib import Path

import click

from llmos_image import artifacts, keys, signing
from llmos_image.vm_command import toolbox

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


@click.command("keys")
@click.argument("folder", default="keys", type=click.Path(path_type=Path))
@click.option("--name", default="LLMOS", show_default=True, help="Whose keys they are.")
@_JSON
def keys_command(folder: Path, name: str, as_json: bool) -> None:
    """Make all keys that an image needs, in the new or empty FOLDER (default: keys).

    Secure Boot's PK, KEK and db, and the OpenPGP key that signs checksums. A spec uses them
    by: [signing] keys = "PATH". Keep the folder secret and keep a copy: machines that trust
    these keys take updates from nobody else.

    \b
    Examples:
      llmos-image keys
      llmos-image keys /srv/keys/acme --name "Acme appliances"
    """
    made = keys.make(folder, name=name, tools=toolbox().sandbox)
    files = sorted(path for path in made.folder.rglob("*") if path.is_file())
    if as_json:
        click.echo(json.dumps({"folder": str(made.folder), "files": [str(p) for p in files]}))
        return
    for path in files:
        click.echo(str(path))


@click.command()
@click.argument("artifact", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("keys/signing.pgp"),
    show_default=True,
    help="Public keys to trust.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build"),
    show_default=True,
    help="Where images are.",
)
@_JSON
def verify(artifact: Path | None, keyring: Path, out: Path, as_json: bool) -> None:
    """Prove that ARTIFACT (a folder; the newest image without it) is whole and well signed.

    \b
    Examples:
      llmos-image verify
      llmos-image verify build/llmos_0.1.0 --keyring acme.pgp
    """
    folder = artifact or artifacts.newest_in(out).folder
    sums = signing.verify(folder, keyring, toolbox().sandbox)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "ok": True, "files": dict(sums)}))
    else:
        click.echo(f"{folder}: well signed, {len(sums)} files as they were made")
