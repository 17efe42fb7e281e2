"""``python -m tests.bench``: measure, print, and keep the figures in build/bench/."""

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console

from llmos_image.errors import ImageError
from tests.bench import boot, build, power, size
from tests.bench.engine import measure as engine
from tests.bench.engine.bench import FULL, QUICK, USUAL, Plan
from tests.bench.image import OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.comparison import Comparison
    from tests.bench.result import Result

NAMES = ("size", "boot", "build", "power", "engine")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAMES]...", type=click.Choice([*NAMES, *engine.ROWS]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1), help="Boots of each.")
@click.option("--cuts", default=50, show_default=True, type=click.IntRange(1), help="Power cuts.")
@click.option("--quick", "plan", flag_value=QUICK, help="engine: small, only whether it works.")
@click.option("--full", "plan", flag_value=FULL, help="engine: all models, more rounds.")
@click.option(
    "--threads",
    default=len(os.sched_getaffinity(0)),
    show_default="one for each CPU",
    type=click.IntRange(1),
    help="engine: threads that compute.",
)
@click.option(
    "--passive", is_flag=True, help="engine: llama.cpp's threads sleep while they wait, as ours."
)
def main(
    names: tuple[str, ...],
    as_json: bool,
    runs: int,
    cuts: int,
    plan: Plan | None,
    threads: int,
    passive: bool,
) -> None:
    """Measure NAMES (all without any): size, boot, build, power, engine.

    ``engine`` has rows that can be named too: decode, prefill, streams, gap, urgent, prefix,
    park, memory, front.

    \b
    Examples:
      ./build.sh bench                  all of them
      ./build.sh bench boot --runs 1    one boot of each image
      ./build.sh bench size --json
      ./build.sh bench power --cuts 10
      ./build.sh bench engine decode prefill --quick
    """
    rows = [name for name in names if name in engine.ROWS]
    measures: dict[str, Callable[[], Result | Comparison]] = {
        "size": size.measure,
        "boot": lambda: boot.measure(runs),
        "build": build.measure,
        "power": lambda: power.measure(cuts),
        "engine": lambda: engine.measure(rows, plan or USUAL, threads, passive=passive),
    }
    # As by Ctrl-C: otherwise what was started stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results: list[Result | Comparison] = []
    wanted = [name for name in NAMES if name in names or not names or (rows and name == "engine")]
    try:
        for name in wanted:
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
