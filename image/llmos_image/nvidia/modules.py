"""Compiling the modules, once for each kernel, driver and flavour."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.cache import Cache, remove_tree
from llmos_image.errors import BuildFailed
from llmos_image.keys import Keys
from llmos_image.nvidia import aliases, source
from llmos_image.nvidia.versions import Matched, match, names
from llmos_image.question import Source, ask, download, sources_of
from llmos_image.run import Log, run
from llmos_image.spec import Debian, ImageSpec
from llmos_image.tools import Sandbox, ToolsTree, bootstrap

FACTS = "usr/share/llmos/nvidia-module.json"
"""What the target reads of it (llmos_runtime.hardware.available)."""

FAMILIES = "services/llmos_runtime/hardware/families.toml"
_COMPONENTS = ("main", "contrib", "non-free", "non-free-firmware")
_TREE_PACKAGES = ("ca-certificates", "gcc", "kmod", "libc6-dev", "make", "xz-utils")
_WANTED = ("nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm")
_MODINFO = re.compile(rb"\0(version|vermagic|firmware|license|depends)=([^\0]*)")
# Where the sources are during the build, so that no path of this machine is in a module.
_PLACE = "/nvidia"
# What the modules say of when and where they were made: the same in each build.
_SAME = {
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
    "KBUILD_BUILD_USER": "llmos",
    "KBUILD_BUILD_HOST": "llmos",
    "SOURCE_DATE_EPOCH": "0",
}


def matched(tools: ToolsTree, spec: ImageSpec) -> Matched | None:
    """The kernel and the driver that fit together today; None when the spec asks for none.

    Raises:
        BuildFailed: the archive's do not fit.
    """
    if spec.gpu.nvidia is None:
        return None
    kernel = spec.image.kernel.package
    found = ask(tools, _sources(spec.debian), names(kernel, spec.gpu.nvidia))
    return match(found, kernel, spec.gpu.nvidia)


@dataclass(frozen=True)
class Modules:
    """The compiled modules, and what runs the programs of the tree they were compiled in."""

    folder: Path
    sandbox: Sandbox


def compiled(cache: Cache, tools: ToolsTree, debian: Debian, driver: Matched, log: Log) -> Modules:
    """The modules, stripped; compiled when the cache has none.

    Raises:
        BuildFailed: the sources cannot be had, or the compiler failed.
    """
    packages = sorted({*_TREE_PACKAGES, f"{driver.headers.name}={driver.headers.version}"})
    sources = _sources(debian)
    lines = [line for part in sources for line in part.lines]
    tree = cache.get(
        "kernel-tree",
        {"suite": debian.suite, "packages": packages},
        what=f"compiler and headers of {driver.release}",
        make=lambda path: bootstrap(path, debian, packages, log, sources=lines),
    ).content
    entry = cache.get(
        "nvidia-modules",
        {
            "release": driver.release,
            "headers": driver.headers.version,
            "source": [driver.source.name, driver.source.version],
            "changes": [repr(change) for change in source.CHANGES],
        },
        what=f"{driver.flavour.module} {driver.version} for {driver.release}",
        make=lambda path: _compile(path, tools, tree, sources, driver, log),
    )
    return Modules(entry.content, tools.sandbox_for(tree))


def stage(
    payload: Path,
    made: Modules,
    driver: Matched,
    *,
    families: Path,
    keys: Path | None,
    log: Log,
) -> None:
    """Put the modules and what goes with them into ``payload``; sign them where there are keys.

    ``families`` is the target's ``families.toml``.
    """
    folder = payload / "usr/lib/modules" / driver.release / "updates/llmos"
    folder.mkdir(parents=True)
    for module in sorted(made.folder.glob("*.ko")):
        shutil.copyfile(module, folder / module.name)
    if keys:
        _sign(folder, Keys(keys), driver.release, made.sandbox, log)
    files = sorted(folder.glob("*.ko"))
    # As the kernel's own are; crc32 is the only check that its decompressor knows.
    run(made.sandbox.argv(["xz", "--check=crc32", *files], binds=[folder]), log=log)
    facts = payload / FACTS
    facts.parent.mkdir(parents=True, exist_ok=True)
    said = {"flavour": driver.flavour.module, "version": driver.version}
    facts.write_text(json.dumps(said) + "\n")
    conf = payload / aliases.PATH
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(aliases.modprobe_conf(families, driver.flavour, driver.version))


def _compile(
    folder: Path,
    tools: ToolsTree,
    tree: Path,
    sources: Sequence[Source],
    driver: Matched,
    log: Log,
) -> None:
    work = folder.parent / "work"
    work.mkdir()
    unpacked = download(tools, sources, driver.source, work, log)
    (code,) = (unpacked / "usr/src").iterdir()
    headers = tree / "usr/src" / _common(tree, driver.release)
    for change in source.adapt(code, headers):
        log.on_line(f"{change.file}: {change.why}")
    jobs = len(os.sched_getaffinity(0))
    wanted = " ".join(_WANTED)
    make = ["make", f"-j{jobs}", "modules", f"KERNEL_UNAME={driver.release}"]
    sandbox = tools.sandbox_for(tree)
    script = f'cd {_PLACE} && "$@" && strip --strip-debug *.ko'
    argv = ["sh", "-c", script, "sh", *make, f"NV_KERNEL_MODULES={wanted}"]
    run(sandbox.argv(argv, mounts={code: _PLACE}, env=_SAME), log=log)
    for name in _WANTED:
        check(code / f"{name}.ko", driver)
        shutil.copyfile(code / f"{name}.ko", folder / f"{name}.ko")
    remove_tree(work)


def check(module: Path, driver: Matched) -> None:
    """Prove that a module is of this driver, for this kernel, and asks for this firmware.

    Raises:
        BuildFailed: it is not.
    """
    said = modinfo(module.read_bytes())
    release = said.get("vermagic", [""])[0].partition(" ")[0]
    firmware = {text.split("/")[1] for text in said.get("firmware", []) if text.count("/") == 2}
    wrong = []
    if release != driver.release:
        wrong.append(f"it is for the kernel {release or 'unknown'}, not {driver.release}")
    if said.get("version", [driver.version]) != [driver.version]:
        wrong.append(f"it is version {said['version'][0]}, not {driver.version}")
    if firmware - {driver.version}:
        wrong.append(f"it asks for the firmware of {', '.join(sorted(firmware))}")
    if wrong:
        raise BuildFailed(f"{module.name}: {'; '.join(wrong)}")


def modinfo(module: bytes) -> Mapping[str, list[str]]:
    """What a module says of itself: the strings of its section ``.modinfo``."""
    said: dict[str, list[str]] = {}
    for name, value in _MODINFO.findall(module):
        said.setdefault(name.decode(), []).append(value.decode(errors="replace"))
    return said


def _sign(folder: Path, keys: Keys, release: str, sandbox: Sandbox, log: Log) -> None:
    """Sign as the kernel does its own, by the key that Secure Boot's firmware trusts."""
    key, certificate = keys.secure_boot_key("db"), keys.secure_boot_certificate("db")
    program = f"/usr/lib/modules/{release}/build/scripts/sign-file"
    for module in sorted(folder.glob("*.ko")):
        argv: list[str | Path] = [program, "sha256"]
        argv += [key.absolute(), certificate.absolute(), module]
        run(
            sandbox.argv(argv, binds=[folder], ro_binds=[key.absolute(), certificate.absolute()]),
            log=log,
        )


def _common(tree: Path, release: str) -> str:
    """The name of the folder with the headers that all flavours of the kernel share."""
    base = release.rpartition("-")[0]
    found = sorted(path.name for path in (tree / "usr/src").glob(f"linux-headers-{base}-common"))
    return found[0] if found else f"linux-headers-{release}"


def _sources(debian: Debian) -> tuple[Source, ...]:
    return sources_of(debian, _COMPONENTS, "updates")
