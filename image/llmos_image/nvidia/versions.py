"""Whether kernel, modules, firmware and libraries belong together: a build fails if not."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llmos_image.errors import BuildFailed
from llmos_image.gpu import NvidiaModules
from llmos_image.question import Package

FIRMWARE = "firmware-nvidia-gsp"
LIBRARY = "libcuda1"
"""The libraries are installed later, by an extension; theirs is the same version or nothing."""


@dataclass(frozen=True)
class Matched:
    """One kernel and one driver, whose parts fit."""

    release: str
    """The kernel's, as ``uname -r`` says it."""
    headers: Package
    source: Package
    version: str
    """The driver's, as ``/sys/module/nvidia/version`` says it."""
    flavour: NvidiaModules

    @property
    def packages(self) -> tuple[str, ...]:
        """What the image asks for by version, so that it gets what the modules are for."""
        return (f"linux-image-{self.release}={self.headers.version}",)


def names(kernel: str, flavour: NvidiaModules) -> tuple[str, ...]:
    """The packages to ask the archive about; ``kernel`` is the kernel's package."""
    return (kernel, _headers_of(kernel), flavour.source_package, FIRMWARE, LIBRARY)


def match(found: Mapping[str, Package], kernel: str, flavour: NvidiaModules) -> Matched:
    """What a build is made of.

    Raises:
        BuildFailed: something is not there, or does not fit; says all of it.
    """
    if faults := list(_faults(found, kernel, flavour)):
        raise BuildFailed(
            "gpu.nvidia: the archive's parts do not fit together:\n"
            + "\n".join(f"  {fault}" for fault in faults),
            hint="An archive is being updated: try again later. Or name another mirror, or take "
            "gpu.nvidia out of the spec.",
        )
    headers = found[_headers_of(kernel)]
    source = found[flavour.source_package]
    release, version = _kernel_in(headers.depends)
    return Matched(
        release,
        Package(f"linux-headers-{release}", version),
        source,
        source.upstream,
        flavour,
    )


def _faults(found: Mapping[str, Package], kernel: str, flavour: NvidiaModules) -> Iterator[str]:
    missing = [name for name in names(kernel, flavour) if name not in found]
    for name in missing:
        yield f"{name} is not in the archive"
    if missing:
        return
    image, headers = (
        _kernel_in(found[kernel].depends),
        _kernel_in(found[_headers_of(kernel)].depends),
    )
    if image != headers:
        yield f"the kernel is {' '.join(image)}, its headers are {' '.join(headers)}"
    version = found[flavour.source_package].upstream
    for name in (FIRMWARE, LIBRARY):
        if found[name].upstream != version:
            yield f"the modules are {version}, {name} is {found[name].upstream}"


def _headers_of(kernel: str) -> str:
    return kernel.replace("linux-image", "linux-headers")


def _kernel_in(depends: str) -> tuple[str, str]:
    """Release and version of ``linux-image-6.12.118+deb13-amd64 (= 6.12.118-1)``."""
    found = re.search(r"linux-(?:image|headers)-(\d\S*)(?: \(= ([^)]+)\))?", depends)
    return (found[1], found[2] or "") if found else ("unknown", "")
