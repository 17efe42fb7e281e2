"""The recipe: from a spec to an artifact."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos_image import artifacts, formats, initrd, mkosi, payload, secureboot, signing
from llmos_image.artifacts import Artifact
from llmos_image.cache import Cache, key_of
from llmos_image.errors import HostError, SpecError
from llmos_image.keys import Keys
from llmos_image.nvidia import modules
from llmos_image.nvidia.versions import Matched
from llmos_image.progress import Reporter
from llmos_image.render import packages_of, render
from llmos_image.run import Log
from llmos_image.runtime import SITE, VENV, Runtime, build_wheel, install_code, runtime_layer
from llmos_image.sbom import collect
from llmos_image.sourcedate import source_date
from llmos_image.spec import ImageSpec, missing_files
from llmos_image.tools import ToolsTree, check_privileges, tools_tree
from llmos_image.wheel import LlamaWheel, digest_of, llama_wheel
from llmos_image.workspace import workspace

GROUND_PHASES = 3
PHASES = GROUND_PHASES + 4
_MIN_FREE_MIB = 6000
# The image for every GPU takes 2.9 GB to make, without what its spec adds.
_TREE_BYTES = 5000 * 2**20
# In the tree, in the file system made of it, and in the disk.
_COPIES = 3


@dataclass(frozen=True)
class Ground:
    """What every build stands on: tools, the engine's library, the target's Python."""

    tools: ToolsTree
    llama: LlamaWheel
    runtime: Runtime


def prepare(spec: ImageSpec, cache: Cache, report: Reporter, log: Log) -> Ground:
    """Make, or find in the cache, what a build of ``spec`` stands on."""
    with report.phase("Tools tree"):
        tools = tools_tree(cache, spec.debian, log)
    with report.phase("Engine library"):
        llama = llama_wheel(cache, tools, spec.debian, log)
    with report.phase("Python packages"):
        runtime = runtime_layer(cache, tools, llama, log)
    return Ground(tools, llama, runtime)


def build(
    spec: ImageSpec, *, source: Path, out: Path, cache: Cache, report: Reporter, spec_path: Path
) -> Artifact:
    """Build ``spec`` with the code of the checkout ``source`` into a folder below ``out``.

    Raises:
        SpecError: a file that the spec names is missing or not the one it names.
        HostError: this machine cannot build.
        BuildFailed: a step failed; nothing half-made is left.
    """
    if faults := missing_files(spec):
        raise SpecError(spec_path, faults)
    tree = render(spec)
    check_privileges()
    _check_space(cache.root, out)
    name = artifacts.name_of(spec)
    log = Log(_log_file(out, name), on_line=report.detail)
    ground = prepare(spec, cache, report, log)
    with (
        # Two builds of one image would share mkosi's layer and this folder.
        cache.locked("artifact", key_of({"path": out / name})),
        artifacts.publishing(out, name) as partial,
        workspace(cache.root, most_bytes(spec)) as work,
    ):
        with report.phase("LLMOS code"):
            tree.write(work / "tree")
            staged = _stage(spec, ground, source, work, log)
            driver = _stage_nvidia(spec, ground, source, cache, staged, log)
        with report.phase("Initrd"):
            starter = initrd.built(
                spec, tree, source / "overlays", cache, ground.tools, work / "initrd", log
            )
        with report.phase("Image"):
            place = _workplace(spec, cache, ground.tools, work, partial)
            mkosi.build(
                ground.tools,
                place,
                date=source_date(source),
                keys=Keys(spec.signing.keys) if spec.signing.keys else None,
                packages=[
                    f"libggml0={ground.llama.ggml_version}",
                    *(driver.packages if driver else ()),
                ],
                extra=[
                    f"{ground.runtime.layer}:/usr/lib/llmos",
                    *(f"{extra.source}:{extra.target}" for extra in spec.trees),
                    str(staged),
                ],
                initrd=starter.cpio,
                log=log,
            )
        with report.phase("Checksums"):
            _write_sbom(partial, spec, ground, place, staged, source, starter)
            facts = _finish(partial, spec, ground, staged, driver, log)
            if spec.signing.keys:
                signing.sign(partial, Keys(spec.signing.keys).secret, ground.tools.sandbox)
    return Artifact(out / name, facts)


def most_bytes(spec: ImageSpec) -> int:
    """Bytes that the workspace of a build of ``spec`` holds at most."""
    added = sum(model.path.stat().st_size for model in spec.models)
    added += sum(payload.size_of(tree.source) for tree in spec.trees)
    return _TREE_BYTES + _COPIES * added


def _stage(spec: ImageSpec, ground: Ground, source: Path, work: Path, log: Log) -> Path:
    staged = work / "payload"
    staged.mkdir()
    wheel = build_wheel(source, work / "wheel", log)
    payload.stage(staged, payload.overlays_of(source), spec.models)
    payload.stage_keyring(staged, spec.signing.keys)
    if spec.signing.keys:
        date = source_date(source)
        secureboot.stage_enrolment(staged, Keys(spec.signing.keys), ground.tools, date)
    payload.stage_certificate(staged, spec.signing.keys)
    install_code(ground.runtime, wheel, staged, work, log)
    payload.normalize_modes(staged)
    return staged


def _stage_nvidia(
    spec: ImageSpec, ground: Ground, source: Path, cache: Cache, staged: Path, log: Log
) -> Matched | None:
    """Add NVIDIA's kernel modules where the spec asks for them; return what they are for."""
    driver = modules.matched(ground.tools, spec)
    if driver is not None:
        made = modules.compiled(cache, ground.tools, spec.debian, driver, log)
        modules.stage(
            staged,
            made,
            driver,
            families=source / modules.FAMILIES,
            keys=spec.signing.keys,
            log=log,
        )
    return driver


def layers_of(spec: ImageSpec, cache: Cache, tools: ToolsTree) -> Path:
    """Where mkosi keeps the installed packages of the image."""
    parts = {
        "tools": tools.path.parent.name,
        "suite": spec.debian.suite,
        "components": spec.debian.components,
        "packages": packages_of(spec),
    }
    return cache.scratch("layers", parts)


def _workplace(
    spec: ImageSpec, cache: Cache, tools: ToolsTree, work: Path, partial: Path
) -> mkosi.Workplace:
    space = work / "mkosi"
    space.mkdir()
    return mkosi.Workplace(
        tree=work / "tree",
        output=partial,
        workspace=space,
        layers=layers_of(spec, cache, tools),
        packages=cache.scratch("packages", {"suite": spec.debian.suite}),
    )


def _write_sbom(
    partial: Path,
    spec: ImageSpec,
    ground: Ground,
    place: mkosi.Workplace,
    staged: Path,
    source: Path,
    starter: initrd.Initrd,
) -> None:
    sources = collect.Sources(
        debian=[*sorted(partial.glob("*.sbom.tar")), starter.facts],
        debian_downloads=place.packages,
        site_packages=[ground.runtime.layer / SITE, staged / VENV.lstrip("/") / SITE],
        python_downloads=ground.runtime.record,
        models=spec.models,
        uki=partial / "image.efi",
    )
    found = collect.inventory(spec.image.id, spec.image.version, source_date(source), sources)
    collect.write(partial, artifacts.name_of(spec), found)


def _finish(
    partial: Path,
    spec: ImageSpec,
    ground: Ground,
    staged: Path,
    driver: Matched | None,
    log: Log,
) -> Mapping[str, Any]:
    """Name mkosi's output as ours, write the other formats, describe it all."""
    name = artifacts.name_of(spec)
    manifest = json.loads((partial / "image.manifest").read_text())
    sizes = {
        "uki": (partial / "image.efi").stat().st_size,
        "kernel": (partial / "image.vmlinuz").stat().st_size,
        "initrd": (partial / "image.initrd").stat().st_size,
        "python_packages": payload.size_of(ground.runtime.layer),
        "llmos_code": payload.size_of(staged / "usr/lib/llmos"),
        "models": payload.size_of(staged / payload.MODELS),
    }
    (partial / "image.raw").rename(partial / f"{name}.raw")
    (partial / "image.efi").rename(partial / f"{name}.efi")
    formats.keep_partitions(partial, name, ground.tools, log)
    for leftover in partial.glob("image*"):
        leftover.unlink()
    formats.convert(partial, name, spec.image.formats, ground.tools, log)
    return artifacts.describe(
        partial,
        spec,
        packages=manifest.get("packages", []),
        sizes=sizes,
        versions={
            "libggml0": ground.llama.ggml_version,
            "llama_wheel": digest_of(ground.llama.path),
            **({"kernel": driver.release, "nvidia": driver.version} if driver else {}),
        },
    )


def _log_file(out: Path, name: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    logs = out / "logs"
    for old in sorted(logs.glob(f"{name}-*.log"))[:-9]:
        old.unlink(missing_ok=True)
    return logs / f"{name}-{stamp}.log"


def _check_space(*places: Path) -> None:
    for place in places:
        there = next(p for p in (place.absolute(), *place.absolute().parents) if p.exists())
        free = shutil.disk_usage(there).free // 1024**2
        if free < _MIN_FREE_MIB:
            raise HostError(
                f"{there}: {free} MiB free, a build needs {_MIN_FREE_MIB}",
                hint="LLMOS_CACHE and --out name other places; 'llmos-image clean' frees some.",
            )
