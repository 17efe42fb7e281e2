"""What a build adds to the rendered tree: overlays, models, our code."""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from llmos_image.keys import Keys
from llmos_image.spec import ModelFile

MODELS = "usr/lib/llmos-models"
KEYRING = "usr/lib/systemd/import-pubring.gpg"
"""Whose signatures updates need."""
INITRD = "initrd"
"""The overlay that goes into the initrd."""

CERTIFICATE = "usr/lib/verity.d/llmos.crt"
"""Whose signatures the hash trees of extensions have."""


def stage(payload: Path, overlays: Sequence[Path], models: Sequence[ModelFile]) -> None:
    """Fill the folder ``payload`` with every overlay and model, modes as the target wants them.

    A checkout's modes depend on somebody's umask; here only the executable bit counts.
    """
    for overlay in overlays:
        shutil.copytree(overlay, payload, symlinks=True, dirs_exist_ok=True)
    normalize_modes(payload)
    if models:
        stage_models(payload / MODELS, models)


def normalize_modes(tree: Path) -> None:
    """0755 for folders and programs, 0644 for all else."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)


def stage_models(folder: Path, models: Sequence[ModelFile]) -> None:
    """Copy ``models`` into the new ``folder``, with ``default.gguf`` naming the default one."""
    folder.mkdir(parents=True)
    for model in models:
        shutil.copyfile(model.path, folder / model.target_name)
        (folder / model.target_name).chmod(0o644)
    default = next((model for model in models if model.default), models[0])
    (folder / "default.gguf").symlink_to(default.target_name)


def stage_keyring(payload: Path, keys: Path | None) -> None:
    """Put the public key of the folder ``keys`` in the place of Debian's keyring.

    That one has the keys of other distributions, whose files nobody here should take for an
    update. Without keys it is empty, and every update is refused.
    """
    keyring = payload / KEYRING
    keyring.parent.mkdir(parents=True, exist_ok=True)
    keyring.write_bytes(Keys(keys).keyring.read_bytes() if keys else b"")
    keyring.chmod(0o644)


def stage_certificate(payload: Path, keys: Path | None) -> None:
    """Let the machine trust extensions that are signed by the folder ``keys`` (verity.d(5))."""
    if keys:
        target = payload / CERTIFICATE
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Keys(keys).secure_boot_certificate("db"), target)


def size_of(tree: Path) -> int:
    """Bytes of the files below ``tree``."""
    return sum(path.lstat().st_size for path in tree.rglob("*") if not path.is_dir())


def overlays_of(root: Path) -> Sequence[Path]:
    """The overlay of every feature, by name; the initrd's is not for the root."""
    folders = (Path(entry.path) for entry in os.scandir(root / "overlays") if entry.is_dir())
    return sorted(folder for folder in folders if folder.name != INITRD)
