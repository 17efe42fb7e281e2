"""``python -m tests.bench``: measure, print, and keep the figures in build/bench/."""

import json
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console

from llmos_image.errors import ImageError
from tests.bench import boot, build, power, size
from tests.bench.image import OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.result import Result

NAMES = ("size", "boot", "build", "power")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1), help="Boots of each.")
@click.option("--cuts", default=50, show_default=True, type=click.IntRange(1), help="Power cuts.")
def main(names: tuple[str, ...], as_json: bool, runs: int, cuts: int) -> None:
    """Measure NAMES (all without any): size, boot, build, plain, power.

    \b
    Examples:
      ./build.sh bench                  all of them
      ./build.sh bench boot --runs 1    one boot of each image
      ./build.sh bench size --json
      ./build.sh bench power --cuts 10
    """
    measures: dict[str, Callable[[], Result]] = {
        "size": size.measure,
        "boot": lambda: boot.measure(runs),
        "build": build.measure,
        "power": lambda: power.measure(cuts),
    }
    results: list[Result] = []
    try:
        for name in names or NAMES:
            result = measures[name]()
            path = result.write(OUT / "bench")
            results.append(result)
            if not as_json:
                result.show(Console())
                click.echo(f"kept in {path}\n")
    except ImageError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    if as_json:
        click.echo(json.dumps([result.as_dict() for result in results], indent=1))


if __name__ == "__main__":
    main(prog_name="bench")
