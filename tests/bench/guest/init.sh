#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The init of the benchmarks' guest: the rows that the kernel's command line names (bench=ROW:SIZE,...), then power off.
echo "@@ INIT"
export PATH=/usr/bin:/bin HOME=/root BIN=/usr/bin DATA=/data SCRIPTS=/ WORK=/tmp
mount -t proc proc /proc
rows=
for word in $(cat /proc/cmdline); do
    case $word in
    bench=*) rows=${word#bench=} ;;
    esac
done
IFS=,
for r in $rows; do
    sh /rows.sh "${r%:*}" "${r#*:}"
done
poweroff -f
