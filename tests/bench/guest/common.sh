# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by what runs in the benchmarks' guests.

# mark WORD: a line that is waited for outside, with the guest's own clock, which under dejavm is the instruction count.
mark() {
    IFS=' ' read -r now _ < /proc/uptime
    echo "@@ $1 $now"
}

# each_row COMMAND...: COMMAND ROW SIZE for each of the kernel's command line (bench=ROW:SIZE,...), then power off
each_row() {
    list=
    for word in $(cat /proc/cmdline); do
        case $word in
        bench=*) list=${word#bench=} ;;
        esac
    done
    for r in $(echo "$list" | tr , ' '); do
        "$@" "${r%:*}" "${r#*:}"
    done
    poweroff -f
}
