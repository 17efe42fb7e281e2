"""Where this checkout keeps what the commands need."""

from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
SPECS = SOURCE / "image" / "specs"


def spec_path(given: str) -> Path:
    """The spec that a person named: a path, or one of those that come along."""
    named = SPECS / f"{given}.toml"
    if "/" not in given and not Path(given).exists() and named.exists():
        return named
    return Path(given)
