"""The date of a build's sources: what its files say instead of the clock's time."""

import datetime
import os
from collections.abc import Mapping
from pathlib import Path

from llmos_image.errors import BuildFailed, UserError
from llmos_image.run import output

# Without git nothing else is known to be the same everywhere.
_FALLBACK = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def source_date(source: Path, environ: Mapping[str, str] = os.environ) -> datetime.datetime:
    """``SOURCE_DATE_EPOCH`` (reproducible-builds.org), else when ``source`` was last committed.

    Raises:
        UserError: the variable is no number of seconds.
    """
    said = environ.get("SOURCE_DATE_EPOCH")
    try:
        if said is None:
            said = output(["git", "-C", source, "log", "-1", "--format=%ct"])
        return datetime.datetime.fromtimestamp(int(said), datetime.UTC)
    except BuildFailed:
        return _FALLBACK
    except (ValueError, OverflowError):
        raise UserError(
            f"SOURCE_DATE_EPOCH: {said!r} is not a number of seconds since 1970"
        ) from None
