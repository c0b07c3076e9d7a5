# SPDX-FileCopyrightText: 2026 the guestmux authors
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Completion of muxctl for bash. Names of services and buffers are the daemon's.

# Sets command to muxctl's ("buffer create" is one), at to its place, and socket to the option that
# the daemon is named with.
_muxctl_look() {
    local i word
    command='' at=0 socket=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        --socket)
            # "--socket=PATH" is three words here.
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++))
            socket=(--socket "${COMP_WORDS[i]}")
            ;;
        --) return ;;
        -*) ;;
        *)
            if [[ ! $command ]]; then
                command=$word at=$i
            elif [[ $command == buffer ]]; then
                command="buffer $word" at=$i
            fi
            ;;
        esac
    done
}

# What may stand behind "--" in listen and buffer create: a program and its arguments.
_muxctl_program() {
    local i
    for ((i = at + 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -- ]] || continue
        if ((i == COMP_CWORD - 1)); then
            mapfile -t COMPREPLY < <(compgen -c -- "$1")
        else
            compopt -o default
        fi
        return 0
    done
    return 1
}

_muxctl_options() {
    local common='--socket --help'
    case $1 in
    connect | wait) echo "$common --timeout" ;;
    listen)
        echo "$common --description --property --vms --max-channels --once --retry --quiet"
        ;;
    services) echo "$common --json --names" ;;
    buffer) echo "$common --json" ;;
    'buffer list') echo "$common --json --application --names" ;;
    'buffer create')
        echo "$common --json --size --property --read-only-for --from --timeout --quiet"
        ;;
    'buffer show' | 'buffer watch') echo "$common --json" ;;
    'buffer cat') echo "$common --offset --length" ;;
    'buffer fill') echo "$common --offset --quiet" ;;
    'buffer notify') echo "$common --offset --length" ;;
    'buffer wait') echo "$common --timeout" ;;
    'buffer set' | 'buffer release') echo "$common" ;;
    events) echo "$common --json --only --application" ;;
    top) echo "$common --json --once --interval" ;;
    status | vms) echo "$common --json" ;;
    *) echo "$common --json --version" ;;
    esac
}

# The names that begin so, as a command prints them. They were chosen on the other side, and end on a command line: what a
# shell would read anything into is left out.
_muxctl_names() {
    local name current=$1
    shift
    while read -r name; do
        [[ $name == "$current"* && $name =~ ^[A-Za-z0-9._/-]+$ ]] && COMPREPLY+=("$name")
    done < <(muxctl "${socket[@]}" "$@" --names 2>/dev/null)
}

_muxctl() {
    local current=$2 previous=$3 command at words=''
    local -a socket
    # Of "--only=ser" and "--only=" the words are split at the "=".
    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
    [[ $current == = ]] && previous=${COMP_WORDS[COMP_CWORD - 1]} current=
    COMPREPLY=()
    _muxctl_look
    [[ $command == listen || $command == 'buffer create' ]] && _muxctl_program "$current" && return
    case $previous in
    --socket)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --only) words='services links channels buffers' ;;
    --read-only-for) words='guest host' ;;
    --timeout | --interval | --max-channels | --description | --property | --vms) return ;;
    --size | --from | --offset | --length | --application) return ;;
    *)
        case $current,$command in
        -*) words=$(_muxctl_options "$command") ;;
        *,) words='connect listen services wait buffer status top events vms' ;;
        *,buffer) words='list create show cat fill notify wait watch set release' ;;
        *,connect | *,wait)
            _muxctl_names "$current" services
            return
            ;;
        *,'buffer fill')
            _muxctl_names "$current" buffer list
            compopt -o default
            return
            ;;
        *,'buffer list' | *,'buffer create') ;;
        *,buffer\ *)
            _muxctl_names "$current" buffer list
            return
            ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _muxctl muxctl
