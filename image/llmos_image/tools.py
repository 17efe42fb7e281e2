"""Hermetic trees of Debian packages, and running their programs.

The *tools tree* has mkosi, QEMU and what they call; the *wheel tree* (``wheel.py``) has a
compiler. Both are made by mmdebstrap from the target's own suite, so nothing that runs in a
build comes from the host but Python and mmdebstrap.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.cache import Cache
from llmos_image.errors import BuildFailed, HostError
from llmos_image.run import Log, output, run
from llmos_image.spec import Debian

PACKAGES = (
    "apt",
    "ca-certificates",
    "cpio",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "kmod",
    "libtss2-esys-3.0.2-0",
    "mkosi",
    "mtools",
    "ovmf",
    "python3-pefile",
    "python3-pip",
    "python3-venv",
    # Microsoft's certificates, for Secure Boot.
    "python3-virt-firmware",
    "qemu-system-x86",
    "qemu-utils",
    "swtpm",
    "systemd",
    "systemd-boot-efi",
    "systemd-container",
    "systemd-repart",
    "systemd-ukify",
    "zstd",
)
GUI_PACKAGES = ("qemu-system-gui", "fonts-dejavu-core")

# Where pip and apt look for certificate authorities, first match wins. Behind a proxy that
# re-signs TLS the host's bundle is the only one that works.
_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


def ca_bundle() -> Path | None:
    """The host's bundle of certificate authorities."""
    named = os.environ.get("SSL_CERT_FILE")
    candidates = [named, *_CA_BUNDLES] if named else _CA_BUNDLES
    return next((Path(c) for c in candidates if Path(c).is_file()), None)


@dataclass(frozen=True)
class Sandbox:
    """Runs programs of ``tree`` by mkosi's own sandbox, which needs only Python."""

    tree: Path
    launcher: Path

    def path(self, inside: str) -> Path:
        """Where the tree's file ``inside`` lies on this host."""
        return self.tree / inside.lstrip("/")

    def argv(
        self,
        command: Sequence[str | Path],
        *,
        binds: Sequence[Path] = (),
        ro_binds: Sequence[Path] = (),
        mounts: Mapping[Path, str] | None = None,
        env: Mapping[str, str] | None = None,
        become_root: bool = False,
    ) -> list[str]:
        """The command line that runs ``command`` with ``tree`` as its ``/usr`` and ``/etc``.

        ``binds`` and ``ro_binds`` appear at their own paths; ``mounts`` maps a host path to
        another path inside, writable.
        """
        options: list[str | Path] = ["--ro-bind", self.tree / "usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            options += ["--symlink", f"usr/{name}", f"/{name}"]
        options += ["--ro-bind", self.tree / "etc", "/etc"]
        options += ["--ro-bind-try", self.tree / "var/lib/dpkg", "/var/lib/dpkg"]
        options += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"]  # noqa: S108
        options += ["--tmpfs", "/var/tmp"]  # noqa: S108
        options += ["--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf"]
        if bundle := ca_bundle():
            options += ["--ro-bind", bundle, "/etc/ssl/certs/ca-certificates.crt"]
        for path in ro_binds:
            options += ["--ro-bind", path, path]
        for path in binds:
            options += ["--bind", path, path]
        for source, target in (mounts or {}).items():
            options += ["--bind", source, target]
        for name, value in (env or {}).items():
            options += ["--setenv", name, value]
        if become_root and os.geteuid() != 0:
            options += ["--become-root"]
        return [sys.executable, *map(str, (self.launcher, *options, "--", *command))]


@dataclass(frozen=True)
class ToolsTree:
    """mkosi, QEMU, OVMF and pip of the target's Debian."""

    path: Path

    @property
    def sandbox(self) -> Sandbox:
        """Runs the tree's programs."""
        return self.sandbox_for(self.path)

    def sandbox_for(self, tree: Path) -> Sandbox:
        """Runs the programs of another tree by this tree's mkosi."""
        return Sandbox(tree, self._python / "mkosi/sandbox.py")

    @property
    def mkosi_environment(self) -> Mapping[str, str]:
        """What makes ``python -m mkosi`` of the host's Python find this tree's mkosi."""
        return {"PYTHONPATH": str(self._python)}

    @property
    def _python(self) -> Path:
        return self.path / "usr/lib/python3/dist-packages"


def tools_tree(cache: Cache, debian: Debian, log: Log, *, gui: bool = False) -> ToolsTree:
    """The tools tree, made when the cache has none.

    Raises:
        HostError: mmdebstrap is missing, or this user may not make namespaces.
        BuildFailed: packages could not be fetched or installed.
    """
    packages = sorted({*PACKAGES, *(GUI_PACKAGES if gui else ())})
    parts = {"suite": debian.suite, "packages": packages}
    entry = cache.get(
        "tools",
        parts,
        what="tools tree with a window" if gui else "tools tree",
        make=lambda path: bootstrap(path, debian, packages, log),
    )
    return ToolsTree(entry.content)


def bootstrap(
    path: Path, debian: Debian, packages: Sequence[str], log: Log, sources: Sequence[str] = ()
) -> None:
    """Install ``packages`` and what they need into the empty folder ``path``.

    ``sources`` are further one-line apt sources. The tree is unpacked without owners, so that
    it is one user's own whoever builds; nothing in it runs as another user.
    """
    mmdebstrap = shutil.which("mmdebstrap")
    if mmdebstrap is None:
        raise HostError(
            "mmdebstrap: not installed", hint="Run ./build.sh, or: apt-get install mmdebstrap"
        )
    check_privileges()
    tar = path.with_suffix(".tar")
    # mmdebstrap takes one-line sources beside the mirror; without any it uses its own default.
    mirror = [debian.mirror] if debian.mirror else []
    try:
        argv: list[str | Path] = [mmdebstrap, "--variant=apt", f"--include={','.join(packages)}"]
        argv += ["--format=tar", '--aptopt=Acquire::Retries "3"']
        # Documentation of tools that no person opens here.
        argv += [
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
        ]
        run([*argv, debian.suite, tar, *mirror, *sources], log=log)
        run(
            ["tar", "-x", "-C", path, "--no-same-owner", "--exclude=./dev/*", "-f", tar],
            log=log,
        )
    finally:
        tar.unlink(missing_ok=True)


def check_privileges() -> None:
    """Fail early, with the way out, where neither root nor namespaces are to be had.

    Raises:
        HostError: this user is not root and cannot make a user namespace.
    """
    if os.geteuid() == 0:
        return
    name = os.environ.get("USER", str(os.geteuid()))
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = file.read_text().splitlines() if file.exists() else []
        if not any(line.split(":")[0] in {name, str(os.geteuid())} for line in lines):
            raise HostError(
                f"{file}: no entry for {name}, and this is not root",
                hint=f"Run as root, or: sudo usermod --add-subuids 100000-165535 "
                f"--add-subgids 100000-165535 {name}",
            )
    if shutil.which("newuidmap") is None:
        raise HostError(
            "newuidmap: not installed, and this is not root", hint="apt-get install uidmap"
        )
    try:
        output(["unshare", "--user", "--map-root-user", "true"])
    except BuildFailed:
        raise HostError(
            "user namespaces are switched off, and this is not root",
            hint="Run as root, or: sudo sysctl kernel.unprivileged_userns_clone=1 "
            "(AppArmor hosts: kernel.apparmor_restrict_unprivileged_userns=0)",
        ) from None
