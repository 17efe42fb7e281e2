"""GnuPG with a home of its own, so that no person's keys or settings play a part."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llmos_image.errors import BuildFailed
from llmos_image.run import output
from llmos_image.vm.toolbox import Toolbox

Gpg = Callable[..., str]


@contextlib.contextmanager
def gnupg(
    tools: Toolbox, *, binds: Sequence[Path] = (), ro_binds: Sequence[Path] = ()
) -> Iterator[Gpg]:
    """``gpg(*arguments)``: runs it without questions in a home that ends with the block.

    It sees ``binds`` (writable) and ``ro_binds`` at their own paths; returns what it printed
    and raises BuildFailed when it ended badly.
    """
    # Short: its agent's socket, whose path may have 107 bytes, lies in there.
    with tempfile.TemporaryDirectory(prefix="llmos-gpg-") as home:

        def run_in_home(*command: str | Path) -> str:
            argv = [*map(str, command)]
            return output(tools.argv(argv, binds=[Path(home), *binds], ro_binds=ro_binds))

        def gpg(*arguments: str | Path) -> str:
            options = ["--batch", "--quiet", "--no-options", "--no-tty", "--yes"]
            # An image's keys lie in files for their owner only; a build cannot ask for a word.
            options += ["--pinentry-mode", "loopback", "--passphrase", ""]
            try:
                return run_in_home("gpg", "--homedir", home, *options, *arguments)
            except BuildFailed as error:
                # Its own words are enough: nobody types a sandbox's command line.
                said = error.what.splitlines()[1:] or [error.what]
                raise BuildFailed("\n".join(said), hint=error.hint) from None

        try:
            yield gpg
        finally:
            # gpg leaves an agent behind, which would outlive its home.
            with contextlib.suppress(BuildFailed):
                run_in_home("gpgconf", "--homedir", home, "--kill", "all")
