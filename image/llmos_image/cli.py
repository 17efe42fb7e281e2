"""The command line ``llmos-image``: the only place where an error becomes an exit."""

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from llmos_image import (
    artifacts,
    diff_command,
    local,
    publish_command,
    signing_commands,
    vm_command,
)
from llmos_image.archive import host_archive
from llmos_image.artifacts import Artifact
from llmos_image.build import PHASES, build
from llmos_image.cache import Cache, default_root
from llmos_image.errors import ImageError, Interrupted, SpecError, UserError
from llmos_image.extension.command import extension_command
from llmos_image.flash.command import flash_command
from llmos_image.places import SOURCE, SPECS, spec_path
from llmos_image.progress import reporter
from llmos_image.render import packages_of, render
from llmos_image.spec import ImageSpec, load, missing_files

KINDS = (
    "tools",
    "wheel-tree",
    "kernel-tree",
    "nvidia-modules",
    "wheel",
    "runtime",
    "layers",
    "packages",
    "ggml-version",
    "bench-stock",
    "work",
)

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
_OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build"),
    show_default=True,
    help="Where images are.",
)


def _complete_spec(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    names = [path.stem for path in SPECS.glob("*.toml")] + [str(p) for p in Path().glob("*.toml")]
    return sorted(name for name in names if name.startswith(typed))


_SPEC = click.argument("spec", shell_complete=_complete_spec)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="llmos", prog_name="llmos-image")
def cli() -> None:
    """Build bootable LLMOS images from TOML specs, and boot them.

    SPEC is a path, or the name of a spec that comes along: default, vm, minimal.

    \b
    Examples:
      llmos-image check my.toml          say what is wrong with a spec
      llmos-image build vm               build image/specs/vm.toml
      llmos-image vm                     boot the newest image on this terminal
      eval "$(_LLMOS_IMAGE_COMPLETE=bash_source llmos-image)"    completion for bash

    Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
    """


@cli.command()
@_SPEC
@_JSON
def check(spec: str, as_json: bool) -> None:
    """Say whether SPEC is right, and everything that is not.

    \b
    Example:
      llmos-image check image/specs/vm.toml
    """
    path = spec_path(spec)
    try:
        found = load(path)
        if faults := missing_files(found):
            raise SpecError(path, faults)
    except SpecError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"spec": str(path), "ok": False, "faults": error.faults}))
        sys.exit(error.exit_code)
    if as_json:
        click.echo(json.dumps({"spec": str(path), "ok": True, "digest": found.digest()}))
    else:
        click.echo(
            f"{path}: right. {artifacts.name_of(found)}, {len(packages_of(found))} packages, "
            f"{len(found.models)} models, {found.image.kernel} kernel"
        )


@cli.command("render")
@_SPEC
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write files here.")
@_JSON
def render_command(spec: str, out: Path | None, as_json: bool) -> None:
    """Print the mkosi tree of SPEC, or write it to a folder.

    \b
    Examples:
      llmos-image render vm
      llmos-image render vm --out /tmp/tree && mkosi -C /tmp/tree summary
    """
    tree = render(_resolved(spec_path(spec)))
    if out is not None:
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out}: not empty", hint="Name a new or an empty folder.")
        tree.write(out)
        click.echo(f"{len(tree.files)} files in {out}", err=True)
    elif as_json:
        click.echo(json.dumps({str(path): file.text for path, file in tree.files.items()}))
    else:
        for path, file in tree.files.items():
            click.echo(click.style(f"### {path}", bold=True))
            click.echo(file.text)


@cli.command("build")
@_SPEC
@_OUT
@_JSON
def build_command(spec: str, out: Path, as_json: bool) -> None:
    """Build the image of SPEC.

    \b
    Examples:
      llmos-image build default
      llmos-image build my.toml --out /srv/images
    """
    path = spec_path(spec)
    report = reporter(PHASES)
    artifact = build(
        _resolved(path),
        source=SOURCE,
        out=out.absolute(),
        cache=Cache(default_root()),
        report=report,
        spec_path=path,
    )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "artifact": str(artifact.disk),
                    "seconds": round(sum(report.seconds.values()), 2),
                    "phases": {name: round(took, 2) for name, took in report.seconds.items()},
                    "sha256": artifact.sha256,
                    "sizes": artifact.facts["sizes"],
                    "files": artifact.facts["files"],
                }
            )
        )
    else:
        _say_built(artifact)


@cli.command("list")
@_OUT
@_JSON
def list_command(out: Path, as_json: bool) -> None:
    """List specs, built images and what the cache holds.

    \b
    Example:
      llmos-image list --json
    """
    specs = [(path, load(path)) for path in sorted(SPECS.glob("*.toml"))]
    images = artifacts.all_in(out)
    entries = list(Cache(default_root()).entries())
    if as_json:
        known: dict[str, Any] = {
            "specs": [{"path": str(p), "description": s.image.description} for p, s in specs],
            "images": [{"artifact": str(a.disk), "built": a.facts["built"]} for a in images],
            "cache": [
                {"kind": e.kind, "what": e.what, "bytes": e.size(), "path": str(e.path)}
                for e in entries
            ],
        }
        click.echo(json.dumps(known))
        return
    click.secho("Specs", bold=True)
    for path, found in specs:
        click.echo(f"  {path.stem:10} {found.image.description}")
    click.secho(f"Images in {out}", bold=True)
    for image in images:
        size = sum(f["disk_size"] for f in image.facts["files"] if f["name"] == image.disk.name)
        click.echo(f"  {image.disk}  {_mb(size)}  {image.facts['built']}")
    click.secho(f"Cache in {default_root()}", bold=True)
    for entry in entries:
        click.echo(f"  {entry.kind:10} {_mb(entry.size()):>9}  {entry.what}")


@cli.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind.")
@_JSON
def clean(kinds: tuple[str, ...], as_json: bool) -> None:
    """Empty the cache. Images stay.

    \b
    Examples:
      llmos-image clean
      llmos-image clean --kind layers --kind packages
    """
    freed = Cache(default_root()).clean(frozenset(kinds) or None)
    if as_json:
        click.echo(json.dumps({"freed": freed}))
    else:
        click.echo(f"{_mb(freed)} freed in {default_root()}")


cli.add_command(extension_command)
cli.add_command(vm_command.vm)
cli.add_command(local.try_command)
cli.add_command(diff_command.diff_command)
cli.add_command(flash_command)
cli.add_command(signing_commands.keys_command)
cli.add_command(signing_commands.verify)
cli.add_command(publish_command.publish_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGHUP, _as_interrupt)
    sys.exit(_guarded(lambda: cli.main(arguments, prog_name="llmos-image", standalone_mode=False)))


def _guarded(action: Callable[[], object]) -> int:
    try:
        status = action()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _complain(Interrupted())
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImageError as error:
        return _complain(error)
    except Exception as error:  # the outermost layer: nothing else may end it
        return _complain(_bug(error))
    return status if isinstance(status, int) else 0


def _complain(error: ImageError) -> int:
    click.echo(click.style("llmos-image: ", fg="red") + error.what, err=True)
    if error.hint:
        click.echo(error.hint, err=True)
    return error.exit_code


def _bug(error: Exception) -> ImageError:
    """A failure that nobody foresaw: its traceback goes to a file, not to the person."""
    log = default_root() / "logs" / "bug.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)))
    return ImageError(
        f"{type(error).__name__}: {error}", hint=f"This is a bug; please report it with {log}."
    )


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _resolved(path: Path) -> ImageSpec:
    return load(path).with_archive(host_archive())


def _say_built(artifact: Artifact) -> None:
    disk = next(f for f in artifact.facts["files"] if f["name"] == artifact.disk.name)
    click.echo()
    click.secho(str(artifact.disk), bold=True)
    click.echo(f"  size      {_mb(disk['disk_size'])} on disk, {_mb(disk['size'])} when flashed")
    click.echo(f"  sha256    {artifact.sha256}")
    click.echo(f"  start it  llmos-image vm {artifact.folder}")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
