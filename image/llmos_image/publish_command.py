"""``llmos-image publish``: a build becomes an update."""

import json
from pathlib import Path

import click

from llmos_image import artifacts, updates
from llmos_image.errors import UserError
from llmos_image.keys import Keys
from llmos_image.publish import Signer, Update, publish
from llmos_image.vm_command import toolbox


@click.command("publish")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("artifact", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="PATH[=VERSION]",
    help="A GGUF model to publish; its version is what the file says.",
)
@click.option(
    "--keep",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Versions of each component that stay.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("keys"),
    show_default=True,
    help="The folder of keys that signs the list.",
)
@click.option("--unsigned", is_flag=True, help="Sign nothing: machines refuse it by default.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build"),
    show_default=True,
    help="Where images are.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def publish_command(
    folder: Path,
    artifact: Path | None,
    models: tuple[str, ...],
    keep: int,
    keys: Path,
    unsigned: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Put ARTIFACT's updates into FOLDER, for machines to take.

    ARTIFACT is a folder that a build left; the newest one without it, none when only models
    are named. FOLDER can be served by any web server, or be copied to a machine. A published
    version never changes: a build with other bytes needs a new version.

    \b
    Examples:
      llmos-image publish /srv/updates
      llmos-image publish /srv/updates build/llmos_0.2.0 --keep 5
      llmos-image publish /srv/updates --model plan.gguf --model big.gguf=2.1
    """
    if not unsigned:
        _need_keys(Keys(keys))
    tools = toolbox().sandbox
    signer = None if unsigned else Signer(Keys(keys), tools)
    wanted = [_model(given) for given in models]
    if artifact is not None or not models:
        found = artifacts.read(artifact) if artifact else artifacts.newest_in(out)
        wanted += updates.of_build(found, updates.unpack_with(tools))
    report = publish(folder, wanted, keep=keep, signer=signer)
    if as_json:
        said = {"added": report.added, "kept": report.kept, "removed": report.removed}
        click.echo(json.dumps({"folder": str(folder), "signed": not unsigned, **said}))
        return
    for name in report.added:
        click.echo(f"added    {name}")
    for name in report.removed:
        click.echo(f"removed  {name}")
    versions = "version" if keep == 1 else "versions"
    click.echo(f"{folder}: {len(report.kept)} files, at most {keep} {versions} of each component")


def _need_keys(keys: Keys) -> None:
    for path in (keys.secret, keys.keyring):
        if not path.is_file():
            raise UserError(
                f"{path}: no such key",
                hint="Name the folder with --keys, or make keys: llmos-image keys",
            )


def _model(given: str) -> Update:
    path, _, version = given.partition("=")
    return updates.of_model(Path(path), version or None)
