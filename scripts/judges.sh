#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Lets programs of others judge the machine: memtest86+, GRUB's functional tests, the kernel's x86 self-tests, with each
# engine. Installs and fetches what is missing, builds, and runs them all; that takes an hour or more.
#
#   scripts/judges.sh [--quick] [--qemu] [--accel ENGINE]... [--cpu MODEL] [JUDGE...]
#
# See docs/testing.md. --quick takes minutes.
set -eu
cd "$(dirname "$0")/.."
export DEJAVM_BUILD="${DEJAVM_BUILD:-$PWD/build}"
export DEJAVM_GUEST="${DEJAVM_GUEST:-$DEJAVM_BUILD/guest}"
export DEJAVM_JUDGES="${DEJAVM_JUDGES:-$DEJAVM_BUILD/judges}"
case " $* " in
*" -h "*|*" --help "*) exec python3 tests/judges/judges.py --help ;;
esac
scripts/deps.sh judges
scripts/build.sh "$DEJAVM_BUILD"
scripts/fetch-guest.sh "$DEJAVM_GUEST"
scripts/fetch-judges.sh "$DEJAVM_JUDGES" "$DEJAVM_GUEST"
exec python3 tests/judges/judges.py "$@"
