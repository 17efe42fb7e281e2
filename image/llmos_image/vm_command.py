"""``llmos-image vm``: a built image in QEMU, on this terminal or in a window."""

import sys
from pathlib import Path

import click

from llmos_image import artifacts
from llmos_image.archive import host_archive
from llmos_image.cache import Cache, default_root
from llmos_image.errors import UserError
from llmos_image.progress import reporter
from llmos_image.run import Log
from llmos_image.spec import Debian
from llmos_image.tools import ToolsTree, tools_tree
from llmos_image.vm.disk import ROOMY
from llmos_image.vm.interactive import run_interactive


def toolbox(*, gui: bool = False) -> ToolsTree:
    """The tools tree, made when the cache has none."""
    archive = host_archive()
    debian = Debian(mirror=archive.main, security_mirror=archive.security)
    cache = Cache(default_root())
    report = reporter(1)
    with report.phase("Tools tree"):
        return tools_tree(
            cache, debian, Log(cache.root / "logs" / "tools.log", report.detail), gui=gui
        )


def newest_disk(artifact: Path | None, out: Path) -> Path:
    """The disk to boot: ``artifact`` (a folder or a disk), else the newest image in ``out``.

    Raises:
        UserError: there is no such image.
    """
    if artifact is None:
        return artifacts.newest_in(out).disk
    if artifact.is_dir():
        return artifacts.read(artifact).disk
    if not artifact.exists():
        raise UserError(f"{artifact}: no such file", hint="See 'llmos-image list'.")
    return artifact


@click.command()
@click.argument("artifact", required=False, type=click.Path(path_type=Path))
@click.option("--display", is_flag=True, help="Open a window instead of using this terminal.")
@click.option("--memory", default="2G", show_default=True, help="Memory of the machine.")
@click.option("--disk", default=ROOMY, show_default=True, help="Size of its disk, at least.")
@click.option("--cpus", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build"),
    show_default=True,
    help="Where images are.",
)
def vm(artifact: Path | None, display: bool, memory: str, disk: str, cpus: int, out: Path) -> None:
    """Boot ARTIFACT (a folder, or a disk; the newest image without it) in QEMU.

    The image is not changed: what the machine writes is gone when it ends. Leave it with
    'sudo poweroff' inside, or with Ctrl-A x.

    \b
    Examples:
      llmos-image vm
      llmos-image vm build/llmos-vm_0.1.0 --display
    """
    image = newest_disk(artifact, out)
    tools = toolbox(gui=display)
    sys.exit(
        run_interactive(
            image,
            toolbox=tools.sandbox,
            display=display,
            memory=memory,
            cpus=cpus,
            disk_size=disk,
        )
    )
