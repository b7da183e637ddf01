#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The init of the benchmarks' guest: its rows are rows.sh's.
echo "@@ INIT"
export PATH=/usr/bin:/bin HOME=/root BIN=/usr/bin DATA=/data SCRIPTS=/ WORK=/tmp
mount -t proc proc /proc
# shellcheck source=tests/bench/guest/common.sh
. /common.sh
each_row sh /rows.sh
