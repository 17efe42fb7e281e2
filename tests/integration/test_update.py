"""Updates by the real systemd-sysupdate of the target, from what a spec renders."""

import gzip
import hashlib
import random
import re
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from llmos_ctl.errors import CtlError
from llmos_ctl.run import Done, run_program
from llmos_ctl.update import versions
from llmos_ctl.update.definitions import SYSTEM, Definitions
from llmos_ctl.update.sysupdate import Sysupdate
from llmos_image import keys, signing
from llmos_image.archive import Archive
from llmos_image.keys import Keys
from llmos_image.payload import KEYRING
from llmos_image.render import render
from llmos_image.run import output
from llmos_image.spec import parse
from llmos_image.tools import ToolsTree
from llmos_image.vm_command import toolbox
from tests.web_server import served

pytestmark = pytest.mark.integration

SPEC = """
[image]
id = "llmos"
version = "1"
[[models]]
path = "plan.gguf"
sha256 = "{zeros}"
[signing]
keys = "keys"
[update]
source = "{source}"
extensions = ["cuda"]
"""
MIB = 1024**2
SLOT = 2 * MIB


@dataclass(frozen=True)
class Site:
    """A folder that a publisher fills, and the disk of a machine that looks there."""

    folder: Path
    tools: ToolsTree
    keys: Keys

    @property
    def published(self) -> Path:
        return self.folder / "published"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def kernels(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "esp/EFI/Linux").iterdir())

    @property
    def partitions(self) -> list[tuple[str, str]]:
        """Label and UUID of each partition, as the disk's own table has them."""
        table = self.sandboxed("/usr/sbin/sfdisk", "--dump", self.disk)
        found = re.findall(r'uuid=([0-9A-F-]+), name="([^"]*)"', table)
        return [(label, unique.lower()) for unique, label in found]

    @property
    def labels(self) -> list[str]:
        return [label for label, _ in self.partitions]

    def updater(self, source: str | None = None) -> Sysupdate:
        return Sysupdate(
            self.run, Definitions(self.folder / "root"), source=source, scratch=self.folder
        )

    def run(
        self, argv: Sequence[str], *, on_status: Callable[[Mapping[str, str]], None] | None = None
    ) -> Done:
        """Run a program of the target, which finds the target's keyring, ESP and os-release."""
        root = self.folder / "root"
        command = self.tools.sandbox.argv(
            list(argv),
            binds=[self.folder],
            mounts={
                root / KEYRING: f"/{KEYRING}",
                root / "usr/lib/os-release": "/usr/lib/os-release",
                root / "var/lib": "/var/lib",
            },
            env={
                "SYSTEMD_ESP_PATH": str(self.folder / "esp"),
                "SYSTEMD_RELAX_ESP_CHECKS": "1",
            },
        )
        return run_program(command, on_status=on_status, scratch=self.folder)

    def sandboxed(self, *argv: str | Path) -> str:
        return output(self.tools.sandbox.argv(list(argv), binds=[self.folder]))

    def publish(self, version: str, *, size: int = MIB) -> tuple[str, str]:
        """Put the files of a version there and sign the list; the UUIDs of its partitions."""
        root, verity = uuid.uuid4(), uuid.uuid4()
        for kind, unique in (("root", root), ("verity", verity)):
            packed = gzip.compress(_noise(f"{version}{kind}", size))
            (self.published / f"llmos_{version}_{unique}.{kind}.gz").write_bytes(packed)
        self.add(f"llmos_{version}.efi", b"kernel" * 10_000)
        return str(root), str(verity)

    def add(self, name: str, content: bytes) -> None:
        """Publish one more file."""
        (self.published / name).write_bytes(content)
        self.sign()

    def sign(self) -> None:
        files = sorted(p for p in self.published.iterdir() if not p.name.startswith("SHA256SUMS"))
        lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files]
        (self.published / signing.SUMS).write_text("".join(lines))
        signing.sign(self.published, self.keys.secret, self.tools.sandbox)

    def part(self, version: str, kind: str) -> Path:
        """The published file of a partition."""
        return next(self.published.glob(f"llmos_{version}_*.{kind}.gz"))


@pytest.fixture(scope="module")
def tools() -> ToolsTree:
    return toolbox()


@pytest.fixture(scope="module")
def acme(tools: ToolsTree, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys.make(tmp_path_factory.mktemp("keys") / "acme", name="Acme", tools=tools.sandbox)


@pytest.fixture
def site(tools: ToolsTree, acme: Keys, tmp_path: Path) -> Site:
    """Version 1 runs from slot A, and slot B is free."""
    site = Site(tmp_path, tools, acme)
    for name in ("published", "esp/EFI/Linux", "esp/loader", "repart", "root/usr/lib/systemd"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("llmos/models", "extensions"):
        (tmp_path / "root/var/lib" / name).mkdir(parents=True)
    (tmp_path / "esp/EFI/Linux/llmos_1.efi").write_text("kernel")
    (tmp_path / "root" / KEYRING).write_bytes(acme.keyring.read_bytes())
    release = "ID=llmos\nIMAGE_ID=llmos\nIMAGE_VERSION=1\nVERSION_ID=1\n"
    (tmp_path / "root/usr/lib/os-release").write_text(release)
    _write_definitions(site)
    parts = ("root:llmos_1", "root-verity:llmos_1_verity", "root:_empty", "root-verity:_empty")
    for number, part in enumerate(parts):
        kind, _, label = part.partition(":")
        (tmp_path / f"repart/{number}.conf").write_text(
            f"[Partition]\nType={kind}\nLabel={label}\nSizeMinBytes={SLOT}\nSizeMaxBytes={SLOT}\n"
        )
    repart = ["systemd-repart", "--empty=create", "--size=16M", "--dry-run=no", "--offline=yes"]
    site.sandboxed(*repart, f"--definitions={tmp_path / 'repart'}", site.disk)
    return site


def _write_definitions(site: Site) -> None:
    text = SPEC.format(zeros="0" * 64, source=f"file://{site.published}")
    spec = parse(text, path=Path("x.toml")).with_archive(Archive("http://mirror.example/d", None))
    for path, file in render(spec).files.items():
        if path.suffix == ".transfer":
            target = site.folder / "root" / path.relative_to(PurePosixPath("mkosi.extra"))
            target.parent.mkdir(parents=True, exist_ok=True)
            # On the machine: the disk that the root is on.
            target.write_text(file.text.replace("Path=auto", f"Path={site.disk}"))


def test_an_update_goes_into_the_free_slot_and_starts_counted(site: Site) -> None:
    root, verity = site.publish("2")
    before = site.partitions
    seen: list[int] = []
    site.updater().install(SYSTEM, "2", seen.append)
    after = site.partitions
    assert after[:2] == before[:2], "what runs is untouched"
    assert after[2:] == [("llmos_2", root), ("llmos_2_verity", verity)]
    assert site.kernels == ["llmos_1.efi", "llmos_2+3-0.efi"]
    assert (site.folder / "esp/EFI/Linux/llmos_2+3-0.efi").stat().st_mode & 0o200, "else no count"
    with site.disk.open("rb") as disk:
        disk.seek(MIB + 2 * SLOT)
        assert disk.read(MIB) == _noise("2root", MIB)
    assert seen == sorted(seen)
    assert seen[-1] > 50


def test_who_looks_sees_the_versions_and_their_signer(site: Site) -> None:
    site.publish("2")
    site.publish("10")
    offer = site.updater().offer(SYSTEM)
    assert offer.versions == ("10", "2")
    assert offer.source == f"file://{site.published}"
    assert offer.signer is not None
    assert offer.signer.name == "Acme"
    assert site.labels[2:] == ["_empty", "_empty"]


def test_a_version_of_which_a_file_is_missing_is_not_offered(site: Site) -> None:
    site.publish("2")
    site.publish("3")
    site.part("3", "verity").unlink()
    site.sign()
    assert site.updater().offer(SYSTEM).versions == ("2",)


def test_updates_come_by_http_as_well(site: Site) -> None:
    site.publish("2")
    with served(site.published) as port:
        url = f"http://127.0.0.1:{port}"
        updater = site.updater(source=url)
        assert updater.offer(SYSTEM).source == url
        updater.install(SYSTEM, "2", lambda _: None)
    assert site.labels[2:] == ["llmos_2", "llmos_2_verity"]


def test_a_list_that_somebody_else_signed_is_refused(
    site: Site, tools: ToolsTree, tmp_path_factory: pytest.TempPathFactory
) -> None:
    site.publish("2")
    folder = tmp_path_factory.mktemp("mallory") / "keys"
    other = keys.make(folder, name="Mallory", tools=tools.sandbox)
    signing.sign(site.published, other.secret, tools.sandbox)
    _is_refused(site, "not signed by the key of this image")


def test_a_list_that_was_changed_is_refused(site: Site) -> None:
    site.publish("2")
    sums = site.published / signing.SUMS
    sums.write_text(sums.read_text() + f"{'0' * 64}  llmos_3.efi\n")
    _is_refused(site, "not signed by the key of this image")


def test_a_list_without_a_signature_is_refused(site: Site) -> None:
    site.publish("2")
    (site.published / signing.SIGNATURE).unlink()
    _is_refused(site, "is not signed")


def test_without_a_key_of_its_own_a_machine_takes_nothing(site: Site) -> None:
    site.publish("2")
    (site.folder / "root" / KEYRING).write_bytes(b"")
    _is_refused(site, "not signed by the key of this image")


def test_a_damaged_file_is_refused_and_nothing_starts_from_it(site: Site) -> None:
    site.publish("2")
    part = site.part("2", "root")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    _is_refused(site, f"{part.name} is damaged", looks_good=True)


def test_an_update_that_is_too_large_is_refused(site: Site) -> None:
    site.publish("2", size=SLOT + MIB)
    _is_refused(site, "does not fit", looks_good=True)


def test_the_next_update_takes_the_slot_of_the_one_that_failed(site: Site) -> None:
    site.publish("2")
    site.updater().install(SYSTEM, "2", lambda _: None)
    efi = site.folder / "esp/EFI/Linux"
    (efi / "llmos_2+3-0.efi").rename(efi / "llmos_2+0-3.efi")
    site.publish("3")
    site.updater().install(SYSTEM, "3", lambda _: None)
    assert site.kernels == ["llmos_1.efi", "llmos_3+3-0.efi"]
    assert site.labels == ["llmos_1", "llmos_1_verity", "llmos_3", "llmos_3_verity"]


def test_a_model_is_updated_apart_and_the_engine_finds_the_newest(site: Site) -> None:
    site.add("plan_1.gguf", b"GGUF1" * 1000)
    site.add("plan_2.gguf", b"GGUF2" * 1000)
    updater = site.updater()
    assert "model-plan" in Definitions(site.folder / "root").components()
    for version in ("1", "2"):
        updater.install("model-plan", version, lambda _: None)
    model = site.folder / "root/var/lib/llmos/models/plan.gguf"
    assert model.is_symlink()
    versions_kept = sorted(p.name for p in model.resolve().parent.iterdir())
    assert versions_kept == ["plan_1.gguf", "plan_2.gguf"]
    assert model.read_bytes()[:5] == b"GGUF2"
    assert site.labels[2:] == ["_empty", "_empty"]


def test_an_extension_lies_beside_the_one_for_the_version_that_runs(site: Site) -> None:
    for version in ("1", "2"):
        site.add(f"llmos-cuda_{version}.raw", f"sysext {version}".encode() * 1000)
        site.updater().install("cuda", version, lambda _: None)
    found = sorted(path.name for path in (site.folder / "root/var/lib/extensions").iterdir())
    assert found == ["cuda_1.raw", "cuda_2.raw"]


def test_versions_are_in_the_order_that_systemd_puts_them_in(tools: ToolsTree) -> None:
    dice = random.Random(5)  # noqa: S311

    def version() -> str:
        return "".join(dice.choices("0123abBz.~-^+_", k=dice.randint(1, 6))).lstrip("-") or "1"

    pairs = [(version(), version()) for _ in range(300)]
    script = 'while read -r a b; do systemd-analyze compare-versions -- "$a" "$b"; done'
    done = subprocess.run(
        tools.sandbox.argv(["bash", "-c", script]),
        input="".join(f"{left} {right}\n" for left, right in pairs),
        capture_output=True,
        text=True,
        check=False,
    )
    signs = {-1: "<", 0: "==", 1: ">"}
    ours = [
        f"{left} {signs[max(-1, min(1, versions.compare(left, right)))]} {right}"
        for left, right in pairs
    ]
    assert done.stdout.splitlines() == ours


def _noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311


def _is_refused(site: Site, what: str, *, looks_good: bool = False) -> None:
    """The update is refused, and the machine is as it was; only the list may look good."""
    partitions, kernels = site.partitions, site.kernels
    if not looks_good:
        with pytest.raises(CtlError, match=re.escape(what)):
            site.updater().offer(SYSTEM)
    with pytest.raises(CtlError, match=re.escape(what)):
        site.updater().install(SYSTEM, "2", lambda _: None)
    assert site.partitions == partitions
    assert site.kernels == kernels
