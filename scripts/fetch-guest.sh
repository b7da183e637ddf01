#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches the current Debian 12 i386 kernel and busybox-static from Debian's
# packages and makes an initramfs of them. Nothing of it is executed here.
#
#   scripts/fetch-guest.sh [DIR [FLAVOUR]]      default: build/guest 686
#
# FLAVOUR: 686, 686-pae, both, or bench: 686 and, unpacked in DIR/bench-root, the
# packages that the benchmarks run in the guest. Leaves in DIR: vmlinuz, vmlinux (the ELF
# kernel in it), initrd, busybox, kernel-version and, for "both", vmlinuz-pae and vmlinux-pae. Does nothing where they are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../build/guest}
flavour=${2:-686}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

say() { echo "fetch-guest: $*" >&2; }
die() { say "$*"; exit 1; }

sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
fi

# One update per run at most, and again when a download fails: an index can be out of step with its mirror.
add_i386() {
    dpkg --print-foreign-architectures | grep -qx i386 && return 0
    say "adding i386 to dpkg's architectures (to download, nothing is installed)"
    $sudo dpkg --add-architecture i386
    $sudo apt-get update >&2 || say "apt-get update was not clean; going on with what there is"
}

# Name of the package that the kernel's metapackage points to now.
kernel_package() {
    apt-cache depends "linux-image-$1:i386" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

# download PACKAGE: leaves one .deb in the current directory
download() {
    n=1
    while :; do
        apt-get download "$1" >&2 2>/dev/null && return 0
        [ $n -ge 3 ] && return 1
        n=$((n + 1))
        say "cannot download $1; updating the package index and trying again ($n of 3)"
        sleep 2
        $sudo apt-get update >&2 || true
    done
}

fetch_kernel() { # flavour, output
    [ -s "$dir/$2" ] && return 0
    add_i386
    pkg=$(kernel_package "$1")
    if [ -z "$pkg" ]; then
        $sudo apt-get update >&2 || true
        pkg=$(kernel_package "$1")
    fi
    [ -n "$pkg" ] || die "no package linux-image-$1:i386 in the package index: is a Debian 12 mirror configured?"
    tmp=$(mktemp -d)
    say "downloading $pkg"
    # The meta package may already name a kernel that the mirror does not carry yet: look again after each update.
    n=1
    until (cd "$tmp" && download "$pkg"); do
        [ $n -ge 2 ] && die "cannot download $pkg: the package index is out of step with the mirror; try again later"
        n=$((n + 1))
        pkg=$(kernel_package "$1")
    done
    (cd "$tmp" && dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './boot/vmlinuz-*')
    mv "$tmp"/boot/vmlinuz-* "$dir/$2.tmp"
    [ "$2" = vmlinuz ] && echo "${pkg%:i386}" > "$dir/kernel-version"
    mv "$dir/$2.tmp" "$dir/$2"
    rm -rf "$tmp"
}

fetch_busybox() {
    [ -s "$dir/busybox" ] && return 0
    add_i386
    tmp=$(mktemp -d)
    say "downloading busybox-static"
    (cd "$tmp" && download busybox-static:i386) || die "cannot download busybox-static:i386; try again later"
    (cd "$tmp" && dpkg-deb --fsys-tarfile ./*.deb | tar -x ./bin/busybox)
    mv "$tmp/bin/busybox" "$dir/busybox"
    rm -rf "$tmp"
}

# The programs of the benchmark table with the libraries that they load.
bench_packages="gzip bzip2 xz-utils openssl lua5.4 libc6 libbz2-1.0 liblzma5 libssl3 libreadline8 libtinfo6"

fetch_bench() {
    [ -d "$dir/bench-root" ] && return 0
    add_i386
    tmp=$(mktemp -d)
    for p in $bench_packages; do
        say "downloading $p"
        (cd "$tmp" && download "$p:i386") || die "cannot download $p:i386; try again later"
    done
    mkdir "$tmp/root"
    for p in "$tmp"/*.deb; do
        dpkg-deb --fsys-tarfile "$p" | tar -x -C "$tmp/root" --exclude='./usr/share/*'
    done
    rm -rf "$dir/bench-root.tmp"
    mv "$tmp/root" "$dir/bench-root.tmp"
    mv "$dir/bench-root.tmp" "$dir/bench-root"
    rm -rf "$tmp"
}

if [ "$flavour" = bench ]; then
    fetch_bench
    flavour=686
fi
if [ "$flavour" = both ]; then
    fetch_kernel 686 vmlinuz
    fetch_kernel 686-pae vmlinuz-pae
else
    fetch_kernel "$flavour" vmlinuz
fi
fetch_busybox
# The ELF kernels inside, for guests that shall not spend their time on decompressing.
for k in "$dir"/vmlinuz*; do
    elf=$dir/vmlinux${k#"$dir"/vmlinuz}
    [ -s "$elf" ] || "$here/extract-vmlinux.py" "$k" "$elf.tmp"
    [ -s "$elf" ] || mv "$elf.tmp" "$elf"
done
if [ ! -s "$dir/initrd" ] || [ -n "$(find "$here/mkinitramfs.py" "$here/guest-init.sh" -newer "$dir/initrd")" ]; then
    python3 "$here/mkinitramfs.py" "$dir/busybox" "$here/guest-init.sh" "$dir/initrd.tmp"
    mv "$dir/initrd.tmp" "$dir/initrd"
fi
