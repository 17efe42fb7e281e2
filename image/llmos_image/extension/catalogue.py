"""The extensions that can be built, and what has to fit for each of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llmos_image.errors import UserError
from llmos_image.question import Package

GGML = "libggml0"
_BACKEND = f"{GGML}-backend-"


@dataclass(frozen=True)
class Extension:
    """One extension: the packages that it adds to the base, and where they come from."""

    name: str
    what: str
    packages: tuple[str, ...]
    components: tuple[str, ...] = ("main",)
    driver: str | None = None
    """The package whose version has to be that of NVIDIA's kernel modules in the base."""


EXTENSIONS = (
    Extension("torch", "PyTorch for the CPU, as Debian has it", ("python3-torch",)),
    Extension("rocm", "ggml on AMD's ROCm", ("libggml0-backend-hip",)),
    Extension(
        "cuda",
        "ggml on NVIDIA's CUDA, and NVIDIA's libraries",
        (
            "libggml0-backend-cuda",
            "libcuda1",
            "libnvidia-ptxjitcompiler1",
            "nvidia-smi",
            "nvidia-vulkan-icd",
        ),
        ("main", "contrib", "non-free", "non-free-firmware"),
        "libcuda1",
    ),
)


def named(name: str) -> Extension:
    """The extension of that name.

    Raises:
        UserError: there is none.
    """
    found = next((one for one in EXTENSIONS if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in EXTENSIONS)
        raise UserError(f"{name}: no such extension (one of: {known})")
    return found


def faults(
    extension: Extension,
    found: Mapping[str, Package],
    base: Mapping[str, str],
    driver: str | None,
) -> Iterator[str]:
    """What keeps the extension from working with a base.

    ``found`` is what the archive has of its packages, ``base`` the base's packages and their
    versions, ``driver`` the version of the NVIDIA modules in the base.
    """
    for name in extension.packages:
        if name not in found:
            yield f"{name} is not in the archive"
        elif name.startswith(_BACKEND) and found[name].version != base.get(GGML):
            # A back end is loaded into the library, and their interface has no version.
            yield (
                f"{name} is {found[name].version} in the archive, and the image has {GGML} "
                f"{base.get(GGML, 'not at all')}: they work only in the same version"
            )
    if extension.driver is None:
        return
    if driver is None:
        yield "the image has no NVIDIA kernel modules (gpu.nvidia in its spec)"
    elif extension.driver in found and found[extension.driver].upstream != driver:
        version = found[extension.driver].upstream
        yield f"{extension.driver} is {version}, and the image's kernel modules are {driver}"
