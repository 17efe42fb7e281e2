"""A machine with two slots, as the programs that ``llmosctl update`` asks would show it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos_ctl.run import Done
from llmos_ctl.update.loader import VENDOR
from llmos_ctl.update.slots import ROOT_X86_64
from llmos_ctl.update.sysupdate import PROGRAM
from llmos_ctl.update.world import World

RECORDED = Path(__file__).with_name("recorded")
ROOT_HASH = "8b8186b12b4e4eb6ad398d4d18d2a8fb" + "f4d1234f3ebf47c4b31d4052982f9a2f"
A, B = "8b8186b1-2b4e-4eb6-ad39-8d4d18d2a8fb", "11111111-2222-4333-8444-555555555555"
TRANSFER = """\
[Source]
Type=url-file
Path=https://updates.example/llmos
MatchPattern=llmos_@v.efi
[Target]
Type=regular-file
Path=/EFI/Linux
MatchPattern=llmos_@v.efi
"""


def recorded(name: str) -> str:
    """What a real program printed on its standard error."""
    return (RECORDED / name).read_text()


@dataclass
class FakeMachine:
    """It runs 0.1.0 from slot A, and its other slot is free, unless told otherwise."""

    folder: Path
    running: str = "0.1.0"
    slot_a: str | None = "0.1.0"
    slot_b: str | None = None
    small: bool = False
    """Its disk has the first slot only."""
    kernels: list[str] = field(default_factory=lambda: ["llmos_0.1.0.efi"])
    published: list[str] = field(default_factory=lambda: ["0.2.0", "0.1.0"])
    models: dict[str, list[str]] = field(default_factory=dict)
    """The installed versions of each model that is updated apart."""

    counting: bool = False
    blessed: bool = False
    mode: str = ""
    failure: str | None = None
    """The record of what systemd-sysupdate said when it failed."""

    calls: list[tuple[str, ...]] = field(default_factory=list)

    def world(self, *, is_root: bool = True) -> World:
        """The world in which it stands."""
        self._write("usr/lib/sysupdate.d/70-uki.transfer", TRANSFER)
        for model in self.models:
            self._write(f"usr/lib/sysupdate.{model}.d/50-model.transfer", TRANSFER)
        release = f'ID=llmos\nIMAGE_ID="llmos"\nIMAGE_VERSION="{self.running}"\n'
        self._write("etc/os-release", release)
        self._write("proc/cmdline", f"ro quiet roothash={ROOT_HASH} {self.mode}\n")
        self._write("efi/EFI/Linux/.keep", "")
        for kernel in self.kernels:
            self._write(f"efi/EFI/Linux/{kernel}", "kernel")
        if self.counting:
            self._write(f"efivars/LoaderBootCountPath-{VENDOR}", "")
        return World(
            run=self, root=self.folder, is_root=is_root, efi_variables=self.folder / "efivars"
        )

    @property
    def pinned(self) -> str | None:
        """What ``bootctl set-default`` was last told."""
        return next((call[2] for call in reversed(self.calls) if call[1] == "set-default"), None)

    @property
    def installs(self) -> list[str]:
        """The versions that were installed."""
        return [call[-1] for call in self.calls if call[-2] == "update"]

    def leave_behind(self, text: str) -> None:
        """Write what the initrd writes when it chooses the other slot."""
        self._write("efi/loader/llmos-fallback.txt", f"{text}\n")

    def pin(self, identifier: str) -> None:
        """Choose an entry for all starts, as the firmware remembers it."""
        path = self.folder / f"efivars/LoaderEntryDefault-{VENDOR}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x07\0\0\0" + f"{identifier}\0".encode("utf-16-le"))

    def __call__(
        self, argv: Sequence[str], *, on_status: Callable[[Mapping[str, str]], None] | None = None
    ) -> Done:
        self.calls.append(tuple(argv))
        match argv:
            case ["lsblk", *_]:
                return self._done(argv, self._devices())
            case ["bootctl", "--json=short", "list"]:
                files = sorted((self.folder / "efi/EFI/Linux").glob("*.efi"))
                return self._done(argv, [{"type": "type2", "path": str(path)} for path in files])
            case [program, *arguments] if program == PROGRAM:
                return self._sysupdate(argv, arguments, on_status)
            case ["systemctl", "is-active", *_]:
                return Done(tuple(argv), 0 if self.blessed else 3)
            case ["bootctl", "set-default", _] | ["systemctl", "reboot"]:
                return Done(tuple(argv), 0)
        raise AssertionError(f"nobody said what {argv} answers")

    def _sysupdate(
        self,
        argv: Sequence[str],
        arguments: Sequence[str],
        on_status: Callable[[Mapping[str, str]], None] | None,
    ) -> Done:
        if "--offline" in arguments:
            model = arguments[0].removeprefix("--component=")
            return self._done(argv, {"current": None, "all": self.models[model]})
        if self.failure:
            return Done(tuple(argv), 1, "", recorded(self.failure))
        if on_status:
            on_status({"X_SYSUPDATE_PROGRESS": "50"})
        answer = {"current": None, "all": self.published}
        return Done(tuple(argv), 0, json.dumps(answer), recorded("sysupdate-ok.txt"))

    def _devices(self) -> dict[str, Any]:
        rows = [("vda1", "esp", "c12a7328", "e"), *self._roots(), ("sdb1", "x", ROOT_X86_64, "x")]
        return {
            "blockdevices": [
                {"name": "vda", "pkname": None, "partlabel": None, "parttype": None},
                *(
                    {
                        "name": name,
                        "pkname": name[:3],
                        "partlabel": label,
                        "parttype": kind,
                        "partuuid": unique,
                        "start": place * 2048,
                    }
                    for place, (name, label, kind, unique) in enumerate(rows, 1)
                ),
            ]
        }

    def _roots(self) -> list[tuple[str, str, str, str]]:
        runs_b = self.running == self.slot_b
        uuids = (B, A) if runs_b else (A, B)
        labels = [f"llmos_{v}" if v else "_empty" for v in (self.slot_a, self.slot_b)]
        names = ("vda3", "vda5")
        return [
            (n, label, ROOT_X86_64, u)
            for n, label, u in list(zip(names, labels, uuids, strict=True))[
                : 1 if self.small else 2
            ]
        ]

    @staticmethod
    def _done(argv: Sequence[str], answer: object) -> Done:
        return Done(tuple(argv), 0, json.dumps(answer))

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
