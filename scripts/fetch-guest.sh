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

# shellcheck disable=SC2034
fetch_name=fetch-guest
# shellcheck source=scripts/debian.sh
. "$here/debian.sh"

fetch_kernel() { # flavour, output
    [ -s "$dir/$2" ] && return 0
    tmp=$(mktemp -d)
    cd "$tmp"
    download_kernel "$1"
    cd "$here"
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
