#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs, by name, the Debian packages that building, testing and the demo need.
#
#   scripts/deps.sh [build|test|demo|bench|judges|all]      default: all
#
# Needs root (or sudo). Does nothing where all are installed already.
set -eu

what=${1:-all}
build="gcc make meson ninja-build pkg-config nasm acpica-tools protobuf-c-compiler
    libprotobuf-c-dev libevent-dev zlib1g-dev libdeflate-dev libjson-c-dev libcmocka-dev libseccomp-dev
    libzydis-dev libzstd-dev libpixman-1-dev libpng-dev libvncserver-dev libncurses-dev git ca-certificates"
demo="cpio xz-utils python3 dpkg seabios"
tests="clang clang-format libclang-rt-14-dev gcc-multilib libquadmath0 spin mandoc socat openssl qemu-utils e2fsprogs genisoimage
    libdevmapper1.02.1 liblzma5"

# For the benchmark table's programs: the guest's are built here, and run natively beside it.
bench="gcc-multilib binutils gzip bzip2 xz-utils openssl lua5.4 qemu-utils e2fsprogs libdevmapper1.02.1 liblzma5"

# For the judges: their 32-bit programs are built here, and grub-mkimage runs out of its package.
judges="gcc-multilib libdevmapper1.02.1 liblzma5"

case $what in
build) want=$build ;;
demo) want="$build $demo" ;;
bench) want="$build $demo $bench" ;;
judges) want="$build $demo $judges" ;;
test|all) want="$build $demo $tests" ;;
*) echo "usage: scripts/deps.sh [build|test|demo|bench|judges|all]" >&2; exit 2 ;;
esac

missing=
for p in $want; do
    dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null 2>&1; then
    sudo=sudo
else
    echo "deps.sh: these packages are missing, and installing them needs root or sudo:$missing" >&2
    exit 1
fi

# A mirror's index can be out of step with its files for a moment: update again and retry.
try=1
while :; do
    echo "deps.sh: installing:$missing" >&2
    # shellcheck disable=SC2086
    if $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >&2; then
        exit 0
    fi
    [ $try -ge 3 ] && break
    try=$((try + 1))
    echo "deps.sh: trying again ($try of 3) after an update of the package index" >&2
    sleep 2
    $sudo apt-get update >&2 || true
done
echo "deps.sh: apt-get could not install:$missing" >&2
echo "deps.sh: if the index is out of step with the mirror, try again in a few minutes" >&2
exit 1
