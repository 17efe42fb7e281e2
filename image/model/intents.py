"""The requests that the built-in model answers, and the command for each of them.

An intent has one or more forms. A form is a command with roles in braces; a role may carry a
default (``{path:.}``). The first form whose roles a request fills is the answer, so the forms
stand from the most to the least special.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ROLE = re.compile(r"\{(\w+)(?::([^}]*))?\}")
# Roles whose names Debian writes in lower case; see llmos_shell.slots.Literal.lowered.
LOWERED_ROLES = frozenset({"service", "package"})


@dataclass(frozen=True)
class Form:
    """One command of an intent, and the sentence that says what it does."""

    command: str
    say: str

    @property
    def roles(self) -> dict[str, str | None]:
        """The roles of the command and their defaults."""
        return {name: default or None for name, default in _ROLE.findall(self.command)}

    def fits(self, given: frozenset[str]) -> bool:
        """Whether every role without a default is given."""
        return all(default or name in given for name, default in self.roles.items())

    def filled(self, values: dict[str, str]) -> str:
        """Return the command with its roles replaced by ``values`` or their defaults."""
        return _ROLE.sub(lambda match: values.get(match[1]) or match[2], self.command)


@dataclass(frozen=True)
class Intent:
    """A kind of request with the commands that answer it."""

    name: str
    forms: tuple[Form, ...]

    def form_for(self, given: frozenset[str]) -> Form | None:
        """Return the first form that a request with these roles fills."""
        return next((form for form in self.forms if form.fits(given)), None)


_TABLE = r"""
none
    | I cannot do this with one command

disk_free
    df -h | Show free space on every file system
disk_free_at
    df -h {path} | Show free space at this place
disks
    lsblk | List disks and partitions
dir_size
    du -sh {path} | Show how much space this takes
dir_sizes
    du -h --max-depth=1 {path:.} \| sort -hr | Show the space of each folder

find_name
    find {path:.} -iname '*{name}*' | Find files by name
find_glob
    find {path:.} -name '{glob}' | Find files that match a pattern
find_ext
    find {path:.} -type f -name '*.{ext}' | Find files of this type
find_larger
    find {path:.} -type f -size +{size} | Find files above a size
find_smaller
    find {path:.} -type f -size -{size} | Find files below a size
find_newer
    find {path:.} -type f -newermt '{when}' | Find files changed since then
    find {path:.} -type f -newermt '{num:1} {unit} ago' | Find files changed since then
find_older
    find {path:.} -type f ! -newermt '{num:1} {unit} ago' | Find files not changed since then
largest_files
    find {path:.} -type f -printf '%s %p\n' \| sort -nr \| head -n {num:10} | Show the largest files
find_empty
    find {path:.} -type f -empty | Find empty files

list
    ls -l {path} | List files
    ls -l | List files
list_hidden
    ls -lA {path} | List files with the hidden ones
    ls -lA | List files with the hidden ones
list_newest
    ls -lt {path} | List files, newest first
    ls -lt | List files, newest first
list_largest
    ls -lS {path} | List files, largest first
    ls -lS | List files, largest first
count_files
    find {path:.} -type f \| wc -l | Count files
view
    cat {path} | Show a file
first_lines
    head -n {num:10} {path} | Show the first lines
last_lines
    tail -n {num:10} {path} | Show the last lines
count_lines
    wc -l {path} | Count lines
file_type
    file {path} | Tell what kind of file it is
file_info
    stat {path} | Show the details of a file

mkdir
    mkdir -p {path} | Make a folder
touch
    touch {path} | Make a file or update its time
copy
    cp -r {src} {dst} | Copy it
move
    mv {src} {dst} | Move or rename it
remove
    rm {path} | Delete a file for good
remove_dir
    rm -r {path} | Delete a folder and all in it
make_executable
    chmod +x {path} | Make a file executable

memory
    free -h | Show used and free memory
processes
    ps aux | List all processes
processes_by_memory
    ps aux --sort=-%mem \| head -n {num:11} | Show the processes with most memory
processes_by_cpu
    ps aux --sort=-%cpu \| head -n {num:11} | Show the processes with most CPU
process_named
    pgrep -a {process} | Find processes by name
uptime
    uptime | Show running time and load

service_status
    systemctl status {service} | Show the state of a service
services_running
    systemctl list-units --type=service --state=running | List running services
services_failed
    systemctl --failed | List failed services
service_restart
    sudo systemctl restart {service} | Restart a service
service_start
    sudo systemctl start {service} | Start a service
service_stop
    sudo systemctl stop {service} | Stop a service
service_logs
    journalctl -u {service} -n {num:50} | Show the log of a service
errors_log
    journalctl -b -p err | Show errors since boot
recent_log
    journalctl -n {num:50} | Show the latest log entries

addresses
    ip -brief address | Show network addresses
routes
    ip route | Show network routes
ping
    ping -c {num:4} {host} | Test whether a host answers
ports
    ss -tln | List ports that listen
hostname
    hostname | Show the name of this machine
date
    date | Show date and time
timezone
    timedatectl | Show time zone and clock
kernel
    uname -r | Show the kernel version
os_version
    cat /etc/os-release | Show the operating system version
hardware
    lscpu | Show the processor
pci
    lspci | List PCI devices
usb
    lsusb | List USB devices

search_text
    grep -rn -- '{text}' {path:.} | Search for text in files
package_installed
    dpkg -s {package} | Show whether a package is installed
packages
    dpkg -l | List installed packages
package_files
    dpkg -L {package} | List the files of a package
owner_of_file
    dpkg -S {path} | Find the package of a file
whoami
    whoami | Show your user name
logged_in
    who | Show who is logged in
pwd
    pwd | Show the current folder
environment
    env | Show the environment variables
archive
    tar -czf {archive} {path} | Pack into an archive
extract
    tar -xf {archive} | Unpack an archive
reboot
    systemctl reboot | Restart the machine
poweroff
    systemctl poweroff | Switch the machine off
"""


def _read(table: str) -> dict[str, Intent]:
    intents: dict[str, Intent] = {}
    for block in re.split(r"\n(?=\w)", table.strip()):
        name, *lines = block.rstrip().splitlines()
        forms = []
        for line in filter(str.strip, lines):
            command, say = re.split(r"(?<!\\)\|", line)
            forms.append(Form(command.strip().replace("\\|", "|"), say.strip()))
        intents[name] = Intent(name, tuple(forms))
    return intents


INTENTS = _read(_TABLE)
