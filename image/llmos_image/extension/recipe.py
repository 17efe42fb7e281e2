"""The recipe of an extension: from a name and a built image to a file beside that image."""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import jinja2

from llmos_image import artifacts, mkosi, signing
from llmos_image.artifacts import Artifact
from llmos_image.build import layers_of
from llmos_image.cache import Cache
from llmos_image.errors import BuildFailed, UserError
from llmos_image.extension.base import Base, base_of, installed, replaced
from llmos_image.extension.catalogue import Extension, faults
from llmos_image.extension.tidy import release, tidy
from llmos_image.keys import Keys
from llmos_image.progress import Reporter
from llmos_image.question import Package, ask, sources_of
from llmos_image.render import render
from llmos_image.run import Log, run
from llmos_image.spec import ImageSpec
from llmos_image.tools import ToolsTree, check_privileges, tools_tree
from llmos_image.workspace import workspace

PHASES = 4
TEMPLATES = Path(__file__).with_name("templates")
_NAMESPACE = uuid.UUID("6c6c6d6f-7300-4000-8000-000000000003")


@dataclass(frozen=True)
class Work:
    """What the steps of one build share."""

    extension: Extension
    spec: ImageSpec
    base: Base
    tools: ToolsTree
    folder: Path
    log: Log

    @property
    def name(self) -> str:
        """``<extension>_<version>``: what the machine knows it by."""
        return f"{self.extension.name}_{self.base.version}"

    @property
    def seed(self) -> uuid.UUID:
        """The same identifiers in each build of the same extension."""
        return uuid.uuid5(_NAMESPACE, f"{self.spec.image.id}-{self.name}")


def build(
    extension: Extension,
    spec: ImageSpec,
    artifact: Artifact,
    *,
    date: datetime.datetime,
    cache: Cache,
    report: Reporter,
    log: Log,
) -> Path:
    """Build ``extension`` for ``artifact``, the image of ``spec``; return the new file in it.

    ``date`` is the time of everything in it.

    Raises:
        UserError: the spec is not the one that the image was built of.
        BuildFailed: the parts do not fit, or a step failed; the image stays as it is.
    """
    if artifact.facts["spec_digest"] != spec.digest():
        raise UserError(
            f"{artifact.folder}: built of another spec",
            hint="Build the image first: llmos-image build SPEC.",
        )
    check_privileges()
    with report.phase("Tools tree"):
        tools = tools_tree(cache, spec.debian, log)
    with report.phase("Versions"):
        base = base_of(artifact, layers_of(spec, cache, tools), spec.debian.suite)
        packages = _found(extension, spec, base, tools)
    with workspace(cache.root) as folder:
        work = Work(extension, spec, base, tools, folder, log)
        with report.phase("Packages"):
            tree = _installed(work, packages, cache, date)
        with report.phase("Extension"):
            target = _image(work, tree, date)
            return _beside(work, target)


def _found(
    extension: Extension, spec: ImageSpec, base: Base, tools: ToolsTree
) -> Sequence[Package]:
    sources = sources_of(spec.debian, _components(extension, spec), "updates", "backports")
    found = ask(tools, sources, extension.packages)
    if wrong := list(faults(extension, found, base.packages, base.driver)):
        lines = "\n".join(f"  {fault}" for fault in wrong)
        raise BuildFailed(
            f"the extension {extension.name} does not fit the image {base.artifact.folder.name}:\n"
            f"{lines}",
            hint="Nothing was built. What is older in the archive will follow; a mirror or a "
            "vendor's source with fitting versions can be named in the spec.",
        )
    return [found[name] for name in extension.packages]


def _installed(
    work: Work, packages: Sequence[Package], cache: Cache, date: datetime.datetime
) -> Path:
    """Install the packages over the base, and keep what an extension may carry."""
    config, output, space = (work.folder / name for name in ("tree", "output", "mkosi"))
    for path in (output, space):
        path.mkdir()
    components = _components(work.extension, work.spec)
    debian = work.spec.debian.model_copy(update={"components": components})
    image = render(work.spec.model_copy(update={"debian": debian}))
    for inside, file in image.files.items():
        if inside.parts[0] == "mkosi.sandbox":
            (config / inside).parent.mkdir(parents=True, exist_ok=True)
            (config / inside).write_text(file.text)
    facts = {
        "components": components,
        "packages": [f"{package.name}={package.version}" for package in packages],
        "layer": work.base.layer,
    }
    _render(work, config, "mkosi.conf", facts)
    place = mkosi.Workplace(
        tree=config,
        output=output,
        workspace=space,
        layers=work.folder / "none",
        packages=cache.scratch("packages", {"suite": work.spec.debian.suite}),
    )
    place.layers.mkdir()
    mkosi.build(work.tools, place, date=date, keys=None, packages=[], extra=[], log=work.log)
    tree = output / "extension"
    status = tree / "var/lib/dpkg/status"
    after = installed(status.read_text("utf-8")) if status.is_file() else work.base.packages
    if changed := replaced(work.base.packages, after):
        raise BuildFailed(
            "the extension would replace packages of the image: " + "; ".join(changed),
            hint="The archive has moved on: build the image again, then the extension.",
        )
    for name in tidy(tree, work.base.layer):
        work.log.on_line(f"left out: {name}")
    release(tree, work.extension.name, work.base.version)
    return tree


def _image(work: Work, tree: Path, date: datetime.datetime) -> Path:
    """Make the disk image: erofs with its hash tree, and a signature where there are keys."""
    keys = Keys(work.spec.signing.keys) if work.spec.signing.keys else None
    definitions = work.folder / "definitions"
    facts = {"signed": keys is not None, "has_opt": (tree / "opt").is_dir()}
    for name in ("10-root.conf", "20-verity.conf", "30-signature.conf"):
        _render(work, definitions, f"mkosi.repart/{name}", facts)
    target = work.folder / f"{work.spec.image.id}-{work.name}.raw"
    argv: list[str | Path] = ["systemd-repart", f"--root={tree}", "--offline=yes"]
    argv += ["--empty=create", "--size=auto", "--dry-run=no", "--no-pager", f"--seed={work.seed}"]
    argv += [f"--definitions={definitions / 'mkosi.repart'}"]
    secrets: list[Path] = []
    if keys:
        secrets = [keys.secure_boot_key("db").absolute()]
        secrets += [keys.secure_boot_certificate("db").absolute()]
        argv += [f"--private-key={secrets[0]}", f"--certificate={secrets[1]}"]
    sandbox = work.tools.sandbox
    env = {"SOURCE_DATE_EPOCH": str(int(date.timestamp())), "TMPDIR": str(work.folder)}
    binds = [work.folder]
    run(
        sandbox.argv([*argv, target], binds=binds, ro_binds=secrets, env=env, become_root=True),
        log=work.log,
    )
    return target


def _beside(work: Work, made: Path) -> Path:
    """Put the file into the image's folder, and into its list of checksums."""
    folder = work.base.artifact.folder
    keys = Keys(work.spec.signing.keys) if work.spec.signing.keys else None
    target = artifacts.add(folder, made)
    if keys:
        signing.sign(folder, keys.secret, work.tools.sandbox)
    return target


def _render(work: Work, folder: Path, name: str, facts: Mapping[str, object]) -> None:
    """Write one template; one that renders to nothing leaves no file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # configuration, not HTML
    )
    text = environment.get_template(f"{name}.j2").render(
        spec=work.spec, extension=work.extension, seed=work.seed, **facts
    )
    if text.strip():
        path = folder / PurePosixPath(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _components(extension: Extension, spec: ImageSpec) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*spec.debian.components, *extension.components)))
