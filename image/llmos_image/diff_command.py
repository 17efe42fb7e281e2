"""``llmos-image diff``: two builds side by side."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llmos_image import artifacts
from llmos_image.difference import Change, Difference, compare
from llmos_image.root_files import FileState
from llmos_image.vm_command import toolbox

_MOST_FILES = 40


@click.command("diff")
@click.argument("before", type=click.Path(path_type=Path, file_okay=False))
@click.argument("after", type=click.Path(path_type=Path, file_okay=False))
@click.option("--all", "show_all", is_flag=True, help="Show every changed file.")
@click.option("--exit-code", is_flag=True, help="Exit 1 when the images are not the same bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def diff_command(before: Path, after: Path, show_all: bool, exit_code: bool, as_json: bool) -> None:
    """Show what is different between two builds: packages, files, sizes.

    BEFORE and AFTER are the folders of two images.

    \b
    Examples:
      llmos-image diff build/llmos_0.1.0 build/llmos_0.2.0
      llmos-image diff --exit-code a/llmos_0.1.0 b/llmos_0.1.0    is the build reproducible?
    """
    found = compare(artifacts.read(before), artifacts.read(after), toolbox().sandbox)
    if as_json:
        click.echo(json.dumps({"same": found.same_disk, **dataclasses.asdict(found)}))
    else:
        _show(found, _MOST_FILES if not show_all else None)
    if exit_code and not found.same_disk:
        sys.exit(1)


def _show(found: Difference, most: int | None) -> None:
    console = Console()
    if found.same_disk:
        console.print("The same bytes, every file of them.")
        return
    console.print(f"Other bytes: {', '.join(change.name for change in found.contents)}\n")
    _section(console, "Packages", [(c.name, c.before, c.after) for c in found.packages])
    if found.files is None:
        console.print("Files: not compared (a root is not an erofs)\n")
    else:
        files = sorted(found.files, key=lambda change: (-abs(_growth(change)), change.name))
        shown = files[:most]
        _section(console, _files_title(files), [(c.name, *_both(c)) for c in shown])
        if len(shown) < len(files):
            console.print(f"… and {len(files) - len(shown)} more (--all shows them)\n")
    sizes = [(c.name, _size(c.before), _size(c.after), _more(c)) for c in found.sizes]
    _section(console, "Sizes", sizes)


def _section(console: Console, title: str, rows: Sequence[Sequence[str | None]]) -> None:
    if not rows:
        console.print(f"{title}: the same\n")
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for at, head in enumerate(("", "before", "after", "grew by")[: len(rows[0])]):
        table.add_column(head, justify="right" if at and len(rows[0]) == 4 else "left")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console.print(table)
    console.print()


def _plain(cell: str | None) -> str:
    return "-" if cell is None else escape(cell)


def _files_title(files: Sequence[Change[FileState]]) -> str:
    if not files:
        return "Files"
    new = sum(change.before is None for change in files)
    gone = sum(change.after is None for change in files)
    return f"Files: {new} new, {gone} gone, {len(files) - new - gone} changed"


def _both(change: Change[FileState]) -> tuple[str | None, str | None]:
    """Both states in the fewest words that tell them apart."""
    states = (change.before, change.after)
    kinds = {state.kind for state in states if state}
    modes = {state.mode for state in states if state}
    return _state(states[0], kinds, modes), _state(states[1], kinds, modes)


def _state(state: FileState | None, kinds: set[str], modes: set[int]) -> str | None:
    if state is None:
        return None
    words = {
        "file": f"{state.size:,} bytes {state.content[:8]}",
        "link": f"-> {state.content}",
    }
    said = words.get(state.kind, state.kind)
    if len(kinds) > 1 and state.kind in words:
        said = f"{state.kind} {said}"
    return f"{said} {state.mode:04o}" if len(modes) > 1 else said


def _growth(change: Change[FileState]) -> int:
    return (change.after.size if change.after else 0) - (change.before.size if change.before else 0)


def _size(size: int | None) -> str | None:
    return None if size is None else f"{size / 1e6:,.1f} MB"


def _more(change: Change[int]) -> str:
    grown = (change.after or 0) - (change.before or 0)
    return f"{grown / 1e6:+,.1f} MB" if grown else ""
