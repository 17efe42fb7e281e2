"""Several versions of the image, published on a web server of this host."""

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from llmos_image.places import SOURCE, SPECS
from llmos_image.vm.machine import Machine
from tests.web_server import served

# Images of an earlier run are taken when a person names their folder.
BUILT = os.environ.get("LLMOS_UPDATE_IMAGES")
FOLDER = Path(BUILT or SOURCE / "build" / "test-update").absolute()
MODEL = SOURCE / "image/model/llmos-plan-v0.gguf"
OWNER = "Acme appliances"
GOOD, NEWER, BROKEN = "0.1.0", "0.2.0", "0.3.0"
# The real deadline is for slow machines with large models; nobody waits for it three times here.
QUICK_CHECK = """\
[Service]
ExecStart=
ExecStart=/usr/lib/llmos/bin/llmos-boot-check --keep --seconds 30
"""


@functools.cache
def disk_of(version: str) -> Path:
    """The disk of a version; what is published lies beside it."""
    if BUILT:
        folder = FOLDER / "images" / f"llmos-vm_{version}"
        disk = folder / f"{folder.name}.raw"
        assert disk.is_file(), f"LLMOS_UPDATE_IMAGES: no {disk}"
        return disk
    _keys()
    spec = _spec_of(version)
    built = json.loads(_llmos_image("build", spec, "--json", "--out", FOLDER / "images"))
    return Path(built["artifact"])


def publish(version: str) -> None:
    """Add a version to what is published."""
    folder = disk_of(version).parent
    _llmos_image("publish", FOLDER / "published", folder, "--keys", FOLDER / "keys")


@contextlib.contextmanager
def web_server() -> Iterator[str]:
    """Serve what is published, at first nothing; its URL as a guest sees it."""
    shutil.rmtree(FOLDER / "published", ignore_errors=True)
    with served(FOLDER / "published") as port:
        yield f"http://10.0.2.2:{port}"


def running_version(vm: Machine) -> str:
    """The version that a machine has started."""
    return vm.guest.succeed(". /etc/os-release; echo $IMAGE_VERSION").strip()


@functools.cache
def _keys() -> None:
    shutil.rmtree(FOLDER / "keys", ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    _llmos_image("keys", FOLDER / "keys", "--name", OWNER)


def _spec_of(version: str) -> Path:
    """The spec ``vm`` in another version, with keys; the broken one has a torn model."""
    text = (SPECS / "vm.toml").read_text()
    text = re.sub(r'(?m)^version = ".*"', f'version = "{version}"', text)
    text = text.replace("../model/", f"{MODEL.parent}/")
    if version == BROKEN:
        torn = FOLDER / "torn.gguf"
        torn.write_bytes(MODEL.read_bytes()[: MODEL.stat().st_size // 2])
        text = text.replace(str(MODEL), str(torn))
        digest = hashlib.sha256(torn.read_bytes()).hexdigest()
        text = re.sub(r'sha256 = "[0-9a-f]+"', f'sha256 = "{digest}"', text)
        drop_in = FOLDER / "quick/usr/lib/systemd/system/llmos-boot-check.service.d/90-test.conf"
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text(QUICK_CHECK)
        text += '[[trees]]\nsource = "quick"\n'
    path = FOLDER / f"{version}.toml"
    path.write_text(f'{text}\n[signing]\nkeys = "keys"\n')
    return path


def _llmos_image(*arguments: str | Path) -> str:
    """What the builder prints."""
    code = "from llmos_image.cli import main; main()"
    argv = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(argv, cwd=SOURCE, check=False, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{arguments[0]}: the reason is on standard error"
    return done.stdout
