#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: everything is measured in this one run, beside what it is compared with.
#
#   scripts/bench.sh [PART...] [options]      PART: ring interp boot table disk; default: all
#
# Options are those of the table, or of boot or disk where that alone is asked for:
#   --quick          a tenth of the work, fewer columns: some minutes in all
#   --runs N         medians of N (table: 1, boot: 3)
#   --rows A,B --configs A,B --scale F --apart --cpu --pin CPU --json FILE --list      see tests/bench/table.py --help
#
# QEMU's columns appear where qemu-system-i386 is installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
export DEJAVM_BUILD="${DEJAVM_BUILD:-$root/build}"
export DEJAVM_GUEST="${DEJAVM_GUEST:-$DEJAVM_BUILD/guest}"

parts=
while [ $# -gt 0 ]; do
    case $1 in
    ring|interp|boot|table|disk) parts="$parts $1"; shift ;;
    -h|--help) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) break ;;
    *) echo "bench.sh: no part $1; there are: ring interp boot table disk" >&2; exit 2 ;;
    esac
done
parts="${parts:- ring interp boot table disk} "
wanted() { case $parts in *" $1 "*) true ;; *) false ;; esac; }
# shellcheck disable=SC2086
alone() { set -- $parts; [ $# = 1 ]; }

"$here/deps.sh" bench
built=$("$here/build.sh" "$DEJAVM_BUILD" 2>&1) || { echo "$built" | tail -n 30 >&2; echo "bench.sh: the build failed" >&2; exit 1; }
"$here/fetch-guest.sh" "$DEJAVM_GUEST" bench

if wanted ring; then
    echo "== ring"
    "$DEJAVM_BUILD/tests/bench/ring"
fi
if wanted interp; then
    echo "== interpreter"
    meson test -C "$DEJAVM_BUILD" --benchmark --no-rebuild --verbose vcpu_mips vcpu_16 vcpu_calls | grep -iE "mips|returns by" || true
fi
if wanted boot; then
    echo "== Debian i386 kernel to a shell, then poweroff"
    if alone; then
        exec python3 "$root/tests/bench/boot.py" "$@"
    fi
    python3 "$root/tests/bench/boot.py"
fi
if wanted disk; then
    echo "== disks: reads and writes in the guest, a boot from disk"
    "$here/fetch-disk.sh" "$DEJAVM_GUEST" disk
    if alone; then
        exec python3 "$root/tests/bench/disk.py" "$@"
    fi
    python3 "$root/tests/bench/disk.py"
fi
if wanted table; then
    echo "== work inside Debian's i386 Linux"
    exec python3 "$root/tests/bench/table.py" "$@"
fi
