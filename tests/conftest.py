"""What holds for every test."""

import signal

import pytest
from hypothesis import settings

# How long an example takes is the machine's business: here it is often a busy one.
settings.register_profile("llmos", deadline=None)
settings.load_profile("llmos")

# A background job of a shell starts with SIGINT ignored, and so would all that the tests start:
# then nothing that is tested for it could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--all``."""
    parser.addoption("--all", action="store_true", help="also the long tests: an hour of boots")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, unless all are asked for or a file with them is named."""
    if config.getoption("--all") or any(
        argument.endswith(".py") or "::" in argument for argument in config.args
    ):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
