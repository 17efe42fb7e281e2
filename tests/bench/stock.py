"""A stock minimal Debian image, made by the same tools: what the boot is compared with."""

import datetime
import tempfile
from pathlib import Path, PurePosixPath

from llmos_image.cache import Cache
from llmos_image.run import Log
from llmos_image.tools import ToolsTree
from tests.bench import plain

_PACKAGES = (
    "dbus",
    "linux-image-cloud-amd64",
    "login",
    "passwd",
    "systemd",
    "systemd-boot",
    "systemd-boot-efi",
    "systemd-sysv",
    "udev",
)
_NAME = "stock"
_DATE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def stock_disk(cache: Cache, tools: ToolsTree, log: Log) -> Path:
    """The stock image's disk; built when the cache has none.

    Raises:
        BuildFailed: mkosi failed.
    """
    tree = plain.plain_tree(plain.spec_of_ours(), _NAME, _PACKAGES, same={plain.SOURCES})
    configuration = tree.files[PurePosixPath("mkosi.conf")].text
    parts = {"configuration": configuration, "tools": tools.path.parent.name}

    def make(content: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.root, prefix="stock-") as name:
            plain.build(
                tools,
                tree,
                _NAME,
                cache=cache,
                output=content,
                work=Path(name),
                date=_DATE,
                log=log,
            )

    entry = cache.get("bench-stock", parts, what="stock image to compare with", make=make)
    return entry.content / f"{_NAME}.raw"
