"""Which commands need the whole terminal, because they draw on it or talk on it."""

from itertools import dropwhile
from typing import Final

from llmos_shell.policy.syntax import Command, parse

ALWAYS: Final = frozenset(
    {
        "aptitude", "atop", "btop", "cfdisk", "cgdisk", "dialog", "ed", "emacs", "fdisk",
        "fish", "ftp", "gdb", "gdisk", "htop", "info", "iotop", "irb", "joe", "less", "links",
        "login", "lynx", "man", "mc", "micro", "more", "mosh", "mutt", "mysql", "nano",
        "ncdu", "newgrp", "nmtui", "nvim", "parted", "passwd", "pico", "psql", "ranger",
        "screen", "sftp", "sqlite3", "ssh", "su", "sudoedit", "systemd-cgtop", "telnet", "tig",
        "tmux", "top", "vi", "view", "vim", "vimdiff", "vipw", "visudo", "w3m", "watch",
        "whiptail", "zsh", "alsamixer", "llmos-shell", "dpkg-reconfigure", "chvt", "openvt",
        "loadkeys", "setfont", "setupcon", "startx",
    }
)  # fmt: skip

WHEN_ALONE: Final = frozenset(
    {"bash", "sh", "dash", "python", "python3", "node", "bc", "ghci", "lua", "perl", "ipython"}
)
"""Interpreters: a conversation without arguments, a command with them."""

WITH: Final = {
    "crontab": frozenset({"-e"}),
    "git": frozenset({"rebase", "commit", "add"}),
    "systemctl": frozenset({"edit"}),
    "sudo": frozenset({"-i", "-s", "-e"}),
    "bash": frozenset({"-l", "-i", "--login"}),
    "docker": frozenset({"-it"}),
}
"""Programs that need it with one of these words…"""

UNLESS: Final = {"git": frozenset({"-m", "--message", "-am", "-F", "--no-edit", "add"})}
"""…and not with one of these; `git add` alone asks nothing, `git add -p` does."""

PREFIXES: Final = frozenset({"sudo", "doas", "env", "nice", "nohup", "time", "command", "exec"})


def needs_terminal(line: str) -> bool:
    """Whether ``line`` should run on the real terminal and not in a block."""
    return any(_needs(command) for command in parse(line).commands)


def _needs(command: Command) -> bool:
    if command.name is None:
        return False
    words = [command.name.known, *(word.known for word in command.words)]
    while words:
        name, *rest = words
        name = name.rpartition("/")[2]
        if name in ALWAYS or (name in WHEN_ALONE and not rest):
            return True
        if WITH.get(name, frozenset()).intersection(rest):
            return "-p" in rest or not UNLESS.get(name, frozenset()).intersection(rest)
        if name not in PREFIXES:
            return False
        # Only what is for the prefix itself: the program's own words say what it is asked for.
        words = [*dropwhile(lambda word: word.startswith("-") or "=" in word, rest)]
    return False
