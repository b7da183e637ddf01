#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: everything is measured in this one run, beside what it is compared with.
#
#   scripts/bench.sh [--runs N] [--ram MB]       default: 3 runs of each, -m 128
#
# QEMU's rows appear where qemu-system-i386 is installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
export DEJAVM_BUILD="${DEJAVM_BUILD:-$root/build}"
export DEJAVM_GUEST="${DEJAVM_GUEST:-$DEJAVM_BUILD/guest}"
"$here/deps.sh" demo
"$here/build.sh" "$DEJAVM_BUILD" > /dev/null
"$here/fetch-guest.sh" "$DEJAVM_GUEST"

echo "== ring"
"$DEJAVM_BUILD/tests/bench/ring"
echo "== interpreter"
meson test -C "$DEJAVM_BUILD" --benchmark --no-rebuild --verbose vcpu_mips | grep -i mips || true
echo "== Debian i386 kernel to a shell, then poweroff"
exec python3 "$root/tests/bench/boot.py" "$@"
