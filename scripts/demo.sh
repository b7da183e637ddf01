#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Shows what dejavm does, from nothing: installs what is missing, builds, fetches a
# Debian i386 kernel and busybox, records a session at the serial console, replays
# it, and compares.
#
#   scripts/demo.sh [dejavm options...]         e.g. -m 256
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
build=${DEJAVM_BUILD:-$root/build}
export DEJAVM_BUILD="$build"
export DEJAVM_GUEST="${DEJAVM_GUEST:-$build/guest}"

step() { echo "== $*"; }

step "packages"
"$here/deps.sh" demo
step "build"
"$here/build.sh" "$build" > "$root/build.log" 2>&1 || { tail -n 40 "$root/build.log" >&2; echo "demo: the build failed; all of it is in $root/build.log" >&2; exit 1; }
rm -f "$root/build.log"
step "guest: Debian's i386 kernel and busybox"
"$here/fetch-guest.sh" "$DEJAVM_GUEST"
echo "   $(cat "$DEJAVM_GUEST/kernel-version" 2>/dev/null || echo kernel)"

exec python3 "$here/demo.py" "$@"
