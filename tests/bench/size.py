"""What an image's size is made of."""

import tempfile
from pathlib import Path

from llmos_image.gpt import partitions
from llmos_image.run import output
from llmos_image.vm_command import toolbox
from tests.bench.image import build
from tests.bench.result import Figure, Result


def measure() -> Result:
    """Build the image for virtual machines and take it apart."""
    built = build("vm")
    stat = built.disk.stat()
    published = [*built.disk.parent.glob("*.root.zst"), *built.disk.parent.glob("*.verity.zst")]
    update = sum(path.stat().st_size for path in published) + built.sizes["uki"]
    parts = [
        Figure(f"partition {part.name}", part.size / 1e6, "MB") for part in partitions(built.disk)
    ]
    figures = [
        Figure("disk image, compressed (zstd -9)", _compressed(built.disk) / 1e6, "MB"),
        Figure("an update, as it is downloaded", update / 1e6, "MB"),
        Figure("disk image, on this disk", stat.st_blocks * 512 / 1e6, "MB"),
        Figure("disk image, when flashed", stat.st_size / 1e6, "MB"),
        *parts,
        Figure("unified kernel image", built.sizes["uki"] / 1e6, "MB"),
        Figure("  kernel", built.sizes["kernel"] / 1e6, "MB"),
        Figure("  initrd", built.sizes["initrd"] / 1e6, "MB"),
        Figure("before compression: Python packages", built.sizes["python_packages"] / 1e6, "MB"),
        Figure("before compression: LLMOS", built.sizes["llmos_code"] / 1e6, "MB"),
        Figure("before compression: models", built.sizes["models"] / 1e6, "MB"),
    ]
    return Result("size", figures, {"spec": "vm"})


def _compressed(disk: Path) -> int:
    with tempfile.TemporaryDirectory(dir=disk.parent.parent) as name:
        folder = Path(name)
        target = folder / "disk.zst"
        argv: list[str | Path] = ["zstd", "-q", "-T0", "-9", disk, "-o", target]
        output(toolbox().sandbox.argv(argv, binds=[folder], ro_binds=[disk]))
        return target.stat().st_size
