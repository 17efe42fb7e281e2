"""A spec becomes a tree of mkosi configuration: pure, the same spec gives the same tree."""

import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import jinja2

from llmos_image import gpu
from llmos_image.errors import UserError
from llmos_image.initrd_modules import modules_of
from llmos_image.spec import ImageSpec

TEMPLATES = Path(__file__).with_name("templates")

# What every image has: an init, a boot loader, a network, and the programs whose names a
# person's requests become.
BASE_PACKAGES = (
    "apt",
    "bash-completion",
    "ca-certificates",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "file",
    "gpg",
    "iproute2",
    "iputils-ping",
    "kbd",
    "less",
    "libggml0",
    "libpam-systemd",
    "libtss2-esys-3.0.2-0",
    "libtss2-rc0t64",
    "libtss2-tcti-device0t64",
    "login",
    "nano",
    "passwd",
    "pciutils",
    "polkitd",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-boot",
    "systemd-boot-efi",
    "systemd-container",
    "systemd-cryptsetup",
    "systemd-repart",
    "systemd-resolved",
    "systemd-timesyncd",
    "udev",
    "usbutils",
    "xz-utils",
    "zstd",
)

# A kernel that has panicked starts again: for a version on trial it is one try less.
_PANIC = "panic=30"
# Without TOMOYO, IPE and BPF, for which there is no policy here: for BPF alone systemd reads the
# types of the whole kernel at each start, more than a second where the processor is emulated.
_SECURITY = "lsm=landlock,lockdown,yama,apparmor,ima,evm"
_NAMESPACE = uuid.UUID("6c6c6d6f-7300-4000-8000-000000000001")


@dataclass(frozen=True)
class RenderedFile:
    """One file of the tree: its text and its mode."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class RenderedTree:
    """What mkosi reads, by path relative to its directory."""

    files: Mapping[PurePosixPath, RenderedFile]

    def write(self, folder: Path) -> None:
        """Write the tree below ``folder``, which is made; modes do not depend on the umask."""
        for path, file in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.text)
            target.chmod(file.mode)
        for parent in {parent for path in self.files for parent in path.parents}:
            (folder / parent).chmod(0o755)


def render(spec: ImageSpec) -> RenderedTree:
    """The mkosi tree of ``spec``.

    A template that renders to nothing leaves no file.

    Raises:
        UserError: the spec names no mirror and none was filled in.
    """
    if spec.debian.mirror is None:
        raise UserError(
            "debian.mirror: not set, and this host's apt uses no Debian mirror",
            hint="Name a Debian mirror in the spec, under [debian].",
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # configuration, not HTML; scripts quote by the filter
    )
    environment.filters["quote"] = shlex.quote
    facts: dict[str, object] = {
        "spec": spec,
        "packages": packages_of(spec),
        "kernel_arguments": kernel_arguments_of(spec),
        "initrd_modules": modules_of(spec.image.kernel),
        "seed": uuid.uuid5(_NAMESPACE, spec.image.id),
        # systemd expands what follows a percent sign.
        "update_source": spec.update.source.replace("%", "%%"),
    }
    files = {}
    for template in sorted(environment.list_templates(extensions=["j2"])):
        for name, own in _instances(template, spec):
            text = environment.get_template(template).render(facts, **own)
            if text.strip():
                path = PurePosixPath(name.removesuffix(".j2"))
                files[path] = RenderedFile(text.strip("\n") + "\n", _mode_of(path))
    return RenderedTree(files)


def packages_of(spec: ImageSpec) -> tuple[str, ...]:
    """All packages that are asked for by name, sorted."""
    extra = () if spec.system.locale in {"C.UTF-8", "C", "POSIX"} else ("locales",)
    graphics = gpu.packages(spec.gpu, vulkan=spec.vulkan, components=spec.debian.components)
    kernel = spec.image.kernel.package
    return tuple(sorted({*BASE_PACKAGES, kernel, *graphics, *extra, *spec.debian.packages}))


def kernel_arguments_of(spec: ImageSpec) -> tuple[str, ...]:
    """The kernel's command line, a word each."""
    consoles = [f"console={port},115200" for port in spec.console.serial]
    quiet = ["quiet", "loglevel=3", "systemd.show_status=auto"] if spec.console.quiet else []
    signed = ["module.sig_enforce=1"] if spec.signing.keys else []
    # The last console is /dev/console: the screen, so that a missing port costs nothing.
    screen = "console=tty0"
    return (
        "ro",
        *consoles,
        screen,
        _PANIC,
        _SECURITY,
        *quiet,
        *signed,
        *spec.console.kernel_arguments,
    )


def _instances(template: str, spec: ImageSpec) -> Iterator[tuple[str, dict[str, str]]]:
    """The files that a template becomes: one for each model where its path says MODEL, and so on.

    Each with what it knows beyond the common facts.
    """
    each: dict[str, Sequence[str]] = {
        "MODEL": [model.target_name.removesuffix(".gguf") for model in spec.models],
        "EXTENSION": spec.update.extensions,
    }
    for word, values in each.items():
        if word in template:
            yield from ((template.replace(word, value), {word.lower(): value}) for value in values)
            return
    yield template, {}


def _mode_of(path: PurePosixPath) -> int:
    if path.name.startswith(("mkosi.postinst", "mkosi.finalize")):
        return 0o755
    return 0o440 if "sudoers.d" in path.parts else 0o644
