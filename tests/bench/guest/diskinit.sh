#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The init of the disk benchmark's guest: loads the drivers, then its rows are done on /dev/sda.
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
# shellcheck source=tests/bench/guest/common.sh
. /common.sh
while read -r m; do
    insmod "/modules/$m"
done < /modules/order
until [ -b /dev/sda ]; do
    sleep 0.1
done
echo "@@ INIT"

row() {
    mark START
    /bin/disk "$1" /dev/sda "$2" > /tmp/out 2>&1
    status=$?
    mark END
    echo "@@ RESULT $status $(cat /tmp/out)"
}

each_row row
