"""Reads the blobs again and compares: disks forget, and say nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmos_models import manifest as manifests
from llmos_models.blobs import is_sound, quarantine
from llmos_models.change import Change
from llmos_models.errors import ModelError
from llmos_models.manifest import FileEntry, Manifest
from llmos_models.meter import Meter


@dataclass(frozen=True)
class Damage:
    """A file that is not what it was; ``quarantine`` is where it lies now, if it is there."""

    file: FileEntry
    models: tuple[str, ...]
    quarantine: Path | None

    @property
    def text(self) -> str:
        """What a person reads."""
        where = f"damaged, now {self.quarantine}" if self.quarantine else "gone"
        return f"{', '.join(self.models)}: {self.file.path} (sha256 {self.file.sha256}) is {where}"


@dataclass
class Report:
    """What a scrub has found; ``size`` is the bytes that were read and are right."""

    models: list[str] = field(default_factory=list)
    size: int = 0
    damages: list[Damage] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Manifests that are none."""

    @property
    def is_sound(self) -> bool:
        """Whether everything is right."""
        return not self.damages and not self.faults


def scrub(change: Change, names: Sequence[str] | None, meter: Meter) -> Report:
    """Compare all blobs of the models ``names``, or of all models, with their digests.

    A blob that is not what it was goes to the quarantine, and every model that needs it loses
    its links. With all models, blobs of none are removed too.

    Raises:
        BadAsk: there is no model of such a name in the store.
    """
    report = Report()
    every = _readable(change, report)
    if names is None:
        chosen = every
        change.collect()
    else:
        chosen = [change.store.get(name) for name in dict.fromkeys(names)]
        report.faults.clear()  # of models that nobody asked about
    looked_at: dict[str, bool] = {}
    for manifest in chosen:
        for file in manifest.files:
            if file.sha256 not in looked_at:
                looked_at[file.sha256] = _check(change, file, manifest.name, meter, report, every)
        if all(looked_at[file.sha256] for file in manifest.files):
            change.mark_verified(manifest)
            report.models.append(manifest.name)
    if report.damages:
        change.settle()
    return report


def _readable(change: Change, report: Report) -> list[Manifest]:
    found = []
    for name in change.store.names():
        try:
            found.append(manifests.read(change.store.manifest_path(name)))
        except ModelError as error:
            report.faults.append(str(error))
    return found


def _check(
    change: Change,
    file: FileEntry,
    name: str,
    meter: Meter,
    report: Report,
    every: Sequence[Manifest],
) -> bool:
    blob = change.store.blob(file.sha256)
    with meter.phase(f"{name}: {file.path}", file.size) as advance:
        if is_sound(blob, file.sha256, file.size, advance):
            report.size += file.size
            return True
    users = tuple(
        one.name for one in every if any(other.sha256 == file.sha256 for other in one.files)
    )
    place = quarantine(change.store, change.disk, blob) if blob.exists() else None
    report.damages.append(Damage(file, users, place))
    return False
