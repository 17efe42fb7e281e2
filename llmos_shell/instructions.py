"""What a general model is told: the task and examples of it.

The built-in model ignores this (its chat template renders the last user message only).
About 25 examples saturate what a small model learns from them; more only cost time.
"""

import json
from functools import cache
from typing import Final

TASK: Final = (
    "You turn requests to a Debian Linux computer into one command line for bash. Answer "
    'with JSON: {"say": "one short sentence", "command": "the line"}. Copy names and paths '
    "exactly as they were typed. When nothing should run (small talk, a question that no "
    'command answers, a request not to do something), say so and leave "command" empty.'
)

EXAMPLES: Final = (
    ("how much free disk space is there", "Show free space on every file system", "df -h"),
    ("how full is /home", "Show free space at /home", "df -h /home"),
    ("how much memory is used", "Show memory use", "free -h"),
    (
        "what uses the most memory",
        "List processes by memory",
        "ps aux --sort=-%mem | head -n 11",
    ),
    ("is firefox running", "Find processes named firefox", "pgrep -a firefox"),
    ("find files over 100 MB in ~/Videos", "Find large files", "find ~/Videos -type f -size +100M"),
    ("where is my report.odt", "Find report.odt", "find ~ -name 'report.odt'"),
    (
        "what changed in the last 2 days here",
        "Find files changed in the last 2 days",
        "find . -type f -newermt '2 days ago'",
    ),
    ("list everything, hidden files too", "List all files", "ls -lA"),
    ("show the first 5 lines of notes.txt", "Show the beginning", "head -n 5 notes.txt"),
    ("how big is the folder src", "Show the size of src", "du -sh src"),
    ("make a folder called photos", "Make the folder photos", "mkdir -p photos"),
    ("copy a.txt to /tmp", "Copy a.txt", "cp -r a.txt /tmp"),
    ("rename a.txt to b.txt", "Rename a.txt", "mv a.txt b.txt"),
    ("delete old.log", "Remove old.log", "rm old.log"),
    ("is ssh up", "Show the state of ssh", "systemctl status ssh"),
    ("which services failed", "List failed services", "systemctl --failed"),
    ("what is my ip address", "Show network addresses", "ip -brief address"),
    ("what time is it", "Show date and time", "date"),
    ("how long has this been running", "Show the uptime", "uptime"),
    ("which kernel is this", "Show the kernel version", "uname -r"),
    ("search for TODO in src", "Search text", "grep -rn -- 'TODO' src"),
    ("is curl installed", "Look up the package curl", "dpkg -s curl"),
    ("tell me a joke", "That needs no command", ""),
    ("do not delete anything", "Nothing to do", ""),
)


@cache
def system() -> str:
    """Return the system message."""
    lines = [TASK, "", "Examples:"]
    for request, say, command in EXAMPLES:
        lines += [request, json.dumps({"say": say, "command": command}, ensure_ascii=False)]
    return "\n".join(lines)
