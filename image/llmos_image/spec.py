"""The spec: a TOML file becomes one frozen ``ImageSpec``, or one list of faults."""

import enum
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from llmos_image.archive import Archive
from llmos_image.errors import SpecError, UserError
from llmos_image.faults import faults_of
from llmos_image.gpu import Gpu
from llmos_image.values import (
    MIB,
    Hostname,
    HostPath,
    Model,
    PackageName,
    PlaceUrl,
    Sha256,
    Size,
    TargetPath,
    Url,
    UserName,
    Word,
    matching,
)

# Of a partition's label in a GPT, UTF-16 units.
_LABEL_LENGTH = 36


class Kernel(enum.StrEnum):
    """Which of Debian's kernels the image boots."""

    GENERIC = "generic"
    CLOUD = "cloud"

    @property
    def package(self) -> str:
        """The Debian package of the kernel."""
        return {"generic": "linux-image-amd64", "cloud": "linux-image-cloud-amd64"}[self]


class Format(enum.StrEnum):
    """What a build leaves behind; ``raw`` and ``uki`` are always there."""

    RAW = "raw"
    RAW_ZST = "raw.zst"
    RAW_XZ = "raw.xz"
    QCOW2 = "qcow2"
    VHDX = "vhdx"
    VMDK = "vmdk"
    ISO = "iso"
    UKI = "uki"

    @property
    def suffix(self) -> str:
        """What its file's name ends with."""
        return "efi" if self is Format.UKI else self.value


class Sudo(enum.StrEnum):
    """What a person may do as root."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105
    NOPASSWD = "nopasswd"


class Identity(Model):
    """What the image is called and what a build of it leaves."""

    id: Annotated[str, matching(r"[a-z][a-z0-9-]{0,38}", "lower-case letters, digits and '-'")]
    # No '+': the boot loader would read what follows as a count of tries.
    version: Annotated[str, matching(r"[0-9][A-Za-z0-9.~-]{0,30}", "a version such as 0.1.0")]
    description: str = ""
    kernel: Kernel = Kernel.GENERIC
    formats: tuple[Format, ...] = Field(default=(Format.RAW,), min_length=1)


class Debian(Model):
    """Where packages come from and which of them are added."""

    suite: Literal["trixie"] = "trixie"
    mirror: Url | None = Field(None, description="Default: the mirror of the host's own apt.")
    security_mirror: Url | None = Field(None, description="Default: the one of the host's own apt.")
    components: tuple[Literal["main", "contrib", "non-free", "non-free-firmware"], ...] = ("main",)
    packages: tuple[PackageName, ...] = ()


class System(Model):
    """Settings that a person would otherwise be asked for at first boot."""

    hostname: Hostname = "llmos"
    locale: Annotated[str, matching(r"[A-Za-z_@.0-9-]+", "a locale such as C.UTF-8")] = "C.UTF-8"
    keymap: Annotated[str, matching(r"[A-Za-z0-9_-]+", "a console keymap such as us")] = "us"
    timezone: Annotated[str, matching(r"[A-Za-z0-9_+/-]+", "a zone such as Europe/Berlin")] = "UTC"


class User(Model):
    """A person's account."""

    name: UserName
    full_name: Annotated[str, matching(r"[^:\n,]*", "text without ':' or ','")] = ""
    password_hash: (
        Annotated[
            str, matching(r"\$(y|6|5|2b)\$[!-9;-~]+", "a crypt(5) hash, as 'mkpasswd' prints")
        ]
        | None
    ) = Field(None, description="Without it the account has no password login.")
    groups: tuple[UserName, ...] = ()
    sudo: Sudo = Sudo.NONE
    shell: TargetPath = "/usr/bin/llmos-shell"


class Login(Model):
    """Who is logged in without a question."""

    autologin: UserName | None = None


class Console(Model):
    """Where the login session shows."""

    serial: tuple[Annotated[str, matching(r"tty[A-Z]+[0-9]+", "a port such as ttyS0")], ...] = ()
    quiet: bool = True
    kernel_arguments: tuple[Word, ...] = ()


def _fat32(size: int) -> int:
    """Below this repart makes a FAT32 with so few clusters that firmware reads it as FAT16."""
    if size < 300 * MIB:
        raise ValueError(
            f"{size // MIB}M is too small for firmware to read (accepted: 300M or more)"
        )
    return size


class Disk(Model):
    """The disk: what the image brings, and what first boot makes of the rest.

    The root and its hash tree have two slots each, so that an update never writes to what runs.
    """

    esp: Annotated[Size, AfterValidator(_fat32)] = 1024 * MIB
    root: Size = Field(2 * 1024 * MIB, description="One slot: the largest root an update may have.")
    data: Size = Field(1024 * MIB, description="The least that first boot leaves for data.")

    @property
    def verity(self) -> int:
        """Bytes of a slot for the hash tree: a hash of 32 bytes for each 4 KiB, and its levels."""
        return -(-self.root // 64 // MIB) * MIB

    @property
    def least(self) -> int:
        """Bytes of the smallest disk on which all of it has room, with the partition tables."""
        return self.esp + 2 * (self.root + self.verity) + self.data + 4 * MIB


class ModelFile(Model):
    """A GGUF model that the image carries."""

    path: HostPath
    sha256: Sha256
    name: Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a plain file name")] | None = None
    default: bool = False

    @property
    def target_name(self) -> str:
        """The file's name on the target, always with ``.gguf``."""
        return f"{(self.name or self.path.name).removesuffix('.gguf')}.gguf"


class Tree(Model):
    """A folder of the host that is copied into the image."""

    source: HostPath
    target: TargetPath = "/"


class Signing(Model):
    """Who vouches for the image."""

    keys: HostPath | None = Field(
        None, description="A folder that `llmos-image keys` made. Without it nothing is signed."
    )


class Update(Model):
    """Where machines with this image find its successors; a machine may name another place."""

    source: PlaceUrl = Field(
        "file:///var/lib/llmos/updates",
        description="A folder that `llmos-image publish` fills: its URL, or its path on the "
        "machine. The default is a folder to which somebody brings updates.",
    )
    verify: bool = Field(
        True, description="Take only what the signing key of this image has signed."
    )
    extensions: tuple[
        Annotated[str, matching(r"[a-z0-9][a-z0-9-]*", "lower-case letters, digits and '-'")], ...
    ] = Field((), description="System extensions that machines may take from there.")

    @property
    def has_own_source(self) -> bool:
        """Whether the spec names a place, so that machines will look there."""
        return "source" in self.model_fields_set


class ImageSpec(Model):
    """One image, whole: what ``image/specs/*.toml`` says."""

    image: Identity
    debian: Debian = Debian()
    system: System = System()
    users: tuple[User, ...] = ()
    login: Login = Login()
    console: Console = Console()
    disk: Disk = Disk()
    models: tuple[ModelFile, ...] = ()
    trees: tuple[Tree, ...] = ()
    signing: Signing = Signing()
    update: Update = Update()
    gpu: Gpu = Gpu()

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        faults = [
            *self._user_faults(),
            *self._model_faults(),
            *self._update_faults(),
            *self._label_faults(),
            *self.gpu.faults(self.debian.components),
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _user_faults(self) -> Sequence[str]:
        names = [user.name for user in self.users]
        faults = [
            f"users: {name!r} twice" for name in sorted({n for n in names if names.count(n) > 1})
        ]
        if "root" in names:
            faults.append("users: 'root' is made by Debian (accepted: other names)")
        if self.login.autologin is not None and self.login.autologin not in names:
            known = ", ".join(names) or "none: add a [[users]] table"
            faults.append(f"login.autologin: no user {self.login.autologin!r} (one of: {known})")
        faults.extend(
            f"users[{at}].sudo: 'password' needs a password_hash (or: nopasswd, none)"
            for at, user in enumerate(self.users)
            if user.sudo is Sudo.PASSWORD and user.password_hash is None
        )
        return faults

    def _label_faults(self) -> Sequence[str]:
        label = f"{self.image.id}_{self.image.version}_verity"
        if len(label) <= _LABEL_LENGTH:
            return []
        most = _LABEL_LENGTH - len("__verity")
        return [f"image: id and version are too long together (accepted: {most} characters)"]

    def _model_faults(self) -> Sequence[str]:
        faults = []
        if sum(model.default for model in self.models) > 1:
            faults.append("models: more than one is default = true (accepted: one)")
        names = [model.target_name for model in self.models]
        faults.extend(
            f"models: two files named {name!r} (give one a name)"
            for name in sorted({n for n in names if names.count(n) > 1})
        )
        return faults

    def _update_faults(self) -> Sequence[str]:
        if self.update.has_own_source and self.update.verify and self.signing.keys is None:
            return ["update.source: needs signing.keys, or every update is refused (or: verify)"]
        return []

    @property
    def default_model(self) -> ModelFile | None:
        """The model that the engine loads: the one marked, else the first."""
        return next((m for m in self.models if m.default), next(iter(self.models), None))

    @property
    def vulkan(self) -> bool:
        """Whether the image has Vulkan: as the spec says, else by its kernel."""
        asked = self.gpu.vulkan
        return self.image.kernel is Kernel.GENERIC if asked is None else asked

    def with_archive(self, archive: Archive) -> "ImageSpec":
        """This spec with mirrors filled in where it names none."""
        debian = self.debian.model_copy(
            update={
                "mirror": self.debian.mirror or archive.main,
                "security_mirror": self.debian.security_mirror or archive.security,
            }
        )
        return self.model_copy(update={"debian": debian})

    def digest(self) -> str:
        """SHA-256 over what the spec says, whatever order or layout its file has.

        Paths of the host count by their file names: a checkout elsewhere is the same spec.
        """
        said = self.model_dump(mode="json")
        for item in said["models"]:
            item["path"] = Path(item["path"]).name
        for item in said["trees"]:
            item["source"] = Path(item["source"]).name
        if self.signing.keys:
            said["signing"]["keys"] = self.signing.keys.name
        said["debian"].update(mirror=None, security_mirror=None)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def parse(text: str, *, path: Path) -> ImageSpec:
    """The spec in ``text``; ``path`` is its file: for messages, and the base of relative paths.

    Raises:
        SpecError: the text is not TOML, or says something that is not accepted; holds every fault.
    """
    try:
        data: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(path, [f"not TOML: {error}"]) from None
    try:
        return ImageSpec.model_validate(data, context={"base": path.absolute().parent})
    except ValidationError as error:
        raise SpecError(path, faults_of(error, ImageSpec)) from None


def load(path: Path) -> ImageSpec:
    """The spec in the file ``path``.

    Raises:
        UserError: the file cannot be read.
        SpecError: as :func:`parse`.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(path, [f"not UTF-8 at byte {error.start}"]) from None
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}",
            hint="See 'llmos-image list' for the specs that come along.",
        ) from None
    return parse(text, path=path)


def missing_files(spec: ImageSpec) -> Sequence[str]:
    """Faults of the files that the spec names: absent, or (models) with another checksum."""
    faults = []
    for at, model in enumerate(spec.models):
        try:
            with model.path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            faults.append(f"models[{at}].path: {model.path}: {error.strerror}")
            continue
        if found != model.sha256:
            faults.append(
                f"models[{at}].sha256: {model.path.name} has {found}, not {model.sha256} "
                "(another file, or a damaged one)"
            )
    faults.extend(
        f"trees[{at}].source: {tree.source}: not a folder"
        for at, tree in enumerate(spec.trees)
        if not tree.source.is_dir()
    )
    for name in ("signing.key", "signing.pgp", "secureboot/db.key", "secureboot/db.crt"):
        if spec.signing.keys and not (spec.signing.keys / name).is_file():
            faults.append(
                f"signing.keys: {spec.signing.keys}: no {name} there "
                f"(make keys: llmos-image keys {spec.signing.keys})"
            )
            break
    return faults
