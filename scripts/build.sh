#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds dejavm.
#
#   scripts/build.sh [BUILD_DIR [meson options...]]     default: build
#
# CC chooses the compiler, as everywhere.
set -eu
cd "$(dirname "$0")/.."
dir=${1:-build}
[ $# -gt 0 ] && shift
if [ -f "$dir/build.ninja" ]; then
    [ $# -gt 0 ] && meson configure "$dir" "$@"
else
    meson setup "$dir" "$@"
fi
exec ninja -C "$dir"
