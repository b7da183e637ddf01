#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The installed tree works from any directory: installs into a prefix of its own, and runs firmware to its end from /.
set -eu
build=$(cd "$1" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
DESTDIR="$tmp" meson install -C "$build" --no-rebuild --quiet
bin=$(dirname "$(find "$tmp" -name dejavm -type f -perm -u+x | head -n 1)")
for f in dejavm dejavm-log; do
    [ -x "$bin/$f" ] || { echo "$f is not installed in bindir ($bin)"; exit 1; }
done
for p in hub vcpu devices replaylog qmpd; do
    find "$tmp" -name "dejavm-$p" -type f -perm -u+x | grep -q . || { echo "dejavm-$p is not installed"; exit 1; }
done
for m in dejavm.1 dejavm-log.1; do
    find "$tmp" -path '*man1*' -name "$m*" | grep -q . || { echo "man page $m is not installed"; exit 1; }
done
cd /
unset DEJAVM_BUILD
"$bin/dejavm" -version | grep -qi dejavm
"$bin/dejavm-log" --help > /dev/null
(timeout 60 "$bin/dejavm" -m 16 -display none -net none -serial null \
    -chardev "file,id=d,path=$tmp/bios.txt" -device isa-debugcon,iobase=0x402,chardev=d) &
pid=$!
n=0
until grep -qs "No bootable device" "$tmp/bios.txt"; do
    n=$((n + 1))
    [ $n -gt 300 ] && { echo "no firmware output from the installed dejavm"; kill $pid; exit 1; }
    sleep 0.1
done
kill -TERM $pid
wait $pid || true
