#!/usr/bin/env bash
# Everything a person does with this checkout, by one verb each. See ./build.sh --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$root/.venv
assume_yes=no

usage() {
    cat <<'TEXT'
Usage: ./build.sh [--yes] [VERB] [ARGUMENTS]

  (no verb)           set up this machine and build the default image
  build SPEC          build another image: vm, minimal, or a path
  vm [ARGUMENTS]      boot the newest image in QEMU on this terminal (--display: in a window)
  flash IMAGE [DISK]  write an image to a USB stick: asks which one, compares after
  try                 the engine and the shell on this machine, no VM, nothing kept
  test [ARGUMENTS]    run the tests, the ones that boot the image included (--all: the long ones too)
  bench [NAME]        measure: build, boot, size, engine, or all of them (--json for programs)
  setup               only set up: host packages and the Python environment

  --yes               install missing host packages without asking
  -h, --help          this text

Needs x86-64 Linux with apt, Python 3.11 or newer, and root or user namespaces. Caches are in
$LLMOS_CACHE (default ~/.cache/llmos), images in build/; a build works in memory where there is
room, or in $LLMOS_WORK.
TEXT
}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "build.sh: $1"
    [[ -z ${2:-} ]] || say "$2"
    exit "${3:-1}"
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if [[ -n $candidate ]] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Prints the packages of the arguments "command:package" whose command is missing.
missing_packages() {
    local pair
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || printf '%s\n' "${pair#*:}"
    done
    find_python >/dev/null || printf '%s\n' python3-venv
}

install_packages() {
    local missing=() as_root=() answer
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null ||
        die "needed and not installed: ${missing[*]}" "Install them by this system's package manager." 2
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "needed and not installed: ${missing[*]}" "As root: apt-get install ${missing[*]}" 2
        as_root=(sudo)
    fi
    if [[ $assume_yes == no && -t 0 ]]; then
        read -r -p "Install ${missing[*]} on this machine? [Y/n] " answer
        [[ ${answer:-y} == [Yy]* ]] || die "not without: ${missing[*]}" "" 2
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null ||
        { "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null; } ||
        die "these packages could not be installed: ${missing[*]}" "Is there a network, and a package source?"
}

# The stamp names what the environment was made of; it is written last, so that an
# interrupted set-up is done again.
make_venv() {
    local lock=$root/image/requirements/host.txt python stamp
    python=$(find_python) || die "no Python 3.11 or newer with venv" "apt-get install python3-venv" 2
    stamp=$(cat "$lock" "$root/pyproject.toml" <(printf '%s %s' "$python" "$root") | sha256sum)
    [[ -f $venv/stamp && $(<"$venv/stamp") == "$stamp" ]] && return
    say "Making the Python environment"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock" ||
        die "the Python packages could not be installed" "Is there a network, and a package index?"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
    printf '%s\n' "$stamp" >"$venv/stamp"
}

setup() {
    [[ $(uname -sm) == "Linux x86_64" ]] || die "this is $(uname -sm)" "LLMOS is built on x86-64 Linux." 2
    local needed=(mmdebstrap:mmdebstrap)
    [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || needed+=(no-such-command:debian-archive-keyring)
    ((EUID == 0)) || needed+=(newuidmap:uidmap)
    install_packages "${needed[@]}" "$@"
    make_venv
}

# The tests of the training recipe need torch; without it they say so and are skipped.
add_training() {
    local lock=$root/image/requirements/train.txt stamp
    stamp=$(sha256sum <"$lock")
    [[ -f $venv/train-stamp && $(<"$venv/train-stamp") == "$stamp" ]] && return
    say "Adding what trains the model"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
        -r "$lock" 2>"$venv/train.log" ||
        say "torch's CPU build cannot be had here: the training tests are skipped ($venv/train.log)"
    printf '%s\n' "$stamp" >"$venv/train-stamp"
}

run_tests() {
    setup tmux:tmux shellcheck:shellcheck systemd-analyze:systemd
    add_training
    "$venv/bin/python" -m pytest "$@"
}

main() {
    local verb
    while [[ ${1:-} == --yes ]]; do
        assume_yes=yes
        shift
    done
    verb=${1:-build}
    (($# == 0)) || shift
    cd "$root"
    case $verb in
        -h | --help | help) usage ;;
        build)
            setup
            exec "$venv/bin/llmos-image" build "${@:-default}"
            ;;
        vm | try | flash)
            setup
            exec "$venv/bin/llmos-image" "$verb" "$@"
            ;;
        test) run_tests "$@" ;;
        bench)
            setup
            exec "$venv/bin/python" -m tests.bench "$@"
            ;;
        setup) setup ;;
        *)
            usage >&2
            die "unknown verb '$verb'" "" 2
            ;;
    esac
}

main "$@"
