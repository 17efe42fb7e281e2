"""``llmos-image extension``: build one of the system extensions for an image."""

import json
from pathlib import Path

import click

from llmos_image import artifacts
from llmos_image.archive import host_archive
from llmos_image.cache import Cache, default_root
from llmos_image.extension import recipe
from llmos_image.extension.catalogue import EXTENSIONS, named
from llmos_image.places import SOURCE, spec_path
from llmos_image.progress import reporter
from llmos_image.run import Log
from llmos_image.sourcedate import source_date
from llmos_image.spec import load


@click.command("extension")
@click.argument("name", type=click.Choice([one.name for one in EXTENSIONS]))
@click.argument("spec")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build"),
    show_default=True,
    help="Where images are.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def extension_command(name: str, spec: str, out: Path, as_json: bool) -> None:
    """Build the system extension NAME for the image of SPEC, which has to be built before.

    torch: PyTorch for the CPU. rocm: ggml on AMD's ROCm. cuda: ggml on NVIDIA's CUDA, and
    NVIDIA's libraries. The file is put beside the image, and into its checksums.

    \b
    Examples:
      llmos-image build vm && llmos-image extension torch vm
      llmos-image extension rocm default --out /srv/images
    """
    wanted = named(name)
    loaded = load(spec_path(spec)).with_archive(host_archive())
    artifact = artifacts.read(out.absolute() / artifacts.name_of(loaded))
    report = reporter(recipe.PHASES)
    cache = Cache(default_root())
    log = Log(out.absolute() / "logs" / f"{name}.log", on_line=report.detail)
    path = recipe.build(
        wanted,
        loaded,
        artifact,
        date=source_date(SOURCE),
        cache=cache,
        report=report,
        log=log,
    )
    size = path.stat().st_size
    if as_json:
        click.echo(json.dumps({"extension": str(path), "size": size}))
    else:
        click.echo(f"{path}  {size / 1e6:,.0f} MB")
