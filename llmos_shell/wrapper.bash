# shellcheck shell=bash
# Prepares a fresh bash for one line of the person's: it knows what the lines before left
# behind, and reports what this one leaves. Sourced, so that errors name line 1, by
#
#     . "$@"; set --; __llmos_resume; eval "$__llmos_line"
#
#   $1 terminal  $2 line  $3 exit status of the line before
#   $4 file descriptor of the state of the session, as bash text
#   $5 file descriptor for the state afterwards: cwd NUL names NUL text NUL environment
#   $6 "jobs" when the terminal is this command's own

# A session leader gets the first terminal it opens for its own: Ctrl-C needs one.
exec 0<>"$1"
# Each job in its own process group, so that what runs behind `&` outlives the line. On the
# person's terminal bash would have to be in the foreground by now, and may not be yet.
[[ ${6-} != jobs ]] || set -m
__llmos_line=$2 __llmos_status=$3 __llmos_in=$4 __llmos_out=$5

__llmos_save() {
    unset -f __llmos_save
    local options names name
    options=$(set +o)
    { set +eux; } 2>/dev/null
    {
        printf '%s\0' "$PWD"
        compgen -A alias
        compgen -A function
        printf '\0'
        declare -f
        mapfile -t names < <(compgen -v)
        for name in "${names[@]}"; do
            case $name in
                __llmos_* | BASH* | COMP_* | DIRSTACK | EPOCH* | FUNCNAME | GROUPS | HISTCMD | \
                    LINENO | OPTIND | PIPESTATUS | PPID | RANDOM | SECONDS | SHLVL | SRANDOM | _ | \
                    name | names | options) continue ;;
            esac
            case ${!name@a} in
                *[rx]*) ;; # read-only ones cannot be set again; exported ones follow below
                *) declare -p "$name" ;;
            esac
        done
        shopt -p
        alias -p
        umask -p
        printf '%s\n\0' "$options"
        command -p env -0
    } 2>/dev/null 1>&"$__llmos_out"
}

# Brings back $?; under `set -e` a failure here would end everything.
__llmos_resume() {
    unset -f __llmos_resume
    case $- in
        *e*) ;;
        *) return "$__llmos_status" ;;
    esac
}

trap __llmos_save EXIT
shopt -s expand_aliases
# shellcheck source=/dev/null
. "/dev/fd/$__llmos_in"
exec {__llmos_in}<&-
