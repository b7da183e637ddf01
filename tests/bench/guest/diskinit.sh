#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The init of the disk benchmark's guest: loads the drivers, does the rows that the kernel's command line names (bench=ROW:SIZE,...)
# on /dev/sda, then power off. The lines with @@ are those of rows.sh.
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
while read -r m; do
    insmod "/modules/$m"
done < /modules/order
until [ -b /dev/sda ]; do
    sleep 0.1
done
echo "@@ INIT"
rows=
for word in $(cat /proc/cmdline); do
    case $word in
    bench=*) rows=${word#bench=} ;;
    esac
done

mark() {
    IFS=' ' read -r now _ < /proc/uptime
    echo "@@ $1 $now"
}

IFS=,
for r in $rows; do
    mark START
    /bin/disk "${r%:*}" /dev/sda "${r#*:}" > /tmp/out 2>&1
    status=$?
    mark END
    echo "@@ RESULT $status $(cat /tmp/out)"
done
poweroff -f
