#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes what the tests of disks boot, of Debian's packages. Nothing for i386 is executed here, nothing is installed.
#
#   scripts/fetch-disk.sh [DIR [WHAT...]]      default: build/guest disk memtest installer cd
#
# Leaves in DIR/disk:
#   disk       disk.qcow2, a small Debian system with GRUB (see scripts/mkdisk.py), its vmlinuz, vmlinux, initrd and modules/
#   memtest    memtest.iso
#   installer  installer/linux and installer/initrd.gz, Debian's installer for the net
#   cd         cd.iso, a data CD with Rock Ridge names
# and packages, which says what they were made of. Does nothing where they are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
guest=${1:-$here/../build/guest}
[ $# -gt 0 ] && shift
what=${*:-disk memtest installer cd}
mkdir -p "$guest"
guest=$(cd "$guest" && pwd)
dir=$guest/disk
mkdir -p "$dir"

fetch_name=fetch-disk
# shellcheck source=scripts/debian.sh
. "$here/debian.sh"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The disk's system: init and its scripts, logins, a shell, the usual small tools, and the libraries that they load.
root_packages="base-files base-passwd bash coreutils dash debianutils e2fsprogs findutils grep gzip hostname init-system-helpers
    initscripts login logsave mawk mount ncurses-base ncurses-bin passwd procps sed sysv-rc sysvinit-core sysvinit-utils tar util-linux
    util-linux-extra
    libacl1 libattr1 libaudit1 libblkid1 libc-bin libc6 libcap-ng0 libcap2 libcom-err2 libcrypt1 libdb5.3 libext2fs2 libgcc-s1 libgmp10
    liblzma5 libmount1 libncursesw6 libpam-modules libpam-modules-bin libpam-runtime libpam0g libpcre2-8-0 libproc2-0 libselinux1
    libsmartcols1 libss2 libssl3 libsystemd0 libtinfo6 libudev1 libuuid1 libzstd1 liblz4-1 libgcrypt20 libgpg-error0 zlib1g"
all_packages=" init-system-helpers initscripts sysv-rc ncurses-base libpam-runtime "

note() {
    for deb in "$@"; do
        # shellcheck disable=SC2016
        dpkg-deb -W --showformat='${Package} ${Version} ${Architecture}\n' "$deb" >> "$dir/packages"
    done
}

make_disk() {
    "$here/fetch-guest.sh" "$guest"
    mkdir "$tmp/debs" "$tmp/kernel" "$tmp/grub" "$tmp/grubdebs"
    cd "$tmp/kernel"
    download_kernel 686
    cd "$tmp/debs"
    want=
    for p in $root_packages; do
        case $all_packages in
        *" $p "*) want="$want $p" ;;
        *) want="$want $p:i386" ;;
        esac
    done
    say "downloading the packages of the disk's system"
    # shellcheck disable=SC2086
    download $want || die "cannot download the packages of the disk's system; try again later"
    cd "$tmp/grubdebs"
    say "downloading GRUB"
    download grub-pc-bin grub-common || die "cannot download grub-pc-bin and grub-common; try again later"
    for deb in *.deb; do
        dpkg-deb -x "$deb" "$tmp/grub"
    done
    cd "$here"
    note "$tmp"/kernel/*.deb "$tmp"/debs/*.deb "$tmp"/grubdebs/*.deb
    say "making the disk"
    python3 "$here/mkdisk.py" --debs "$tmp/debs" --kernel-deb "$(echo "$tmp"/kernel/*.deb)" --busybox "$guest/busybox" \
        --grub-dir "$tmp/grub/usr/lib/grub/i386-pc" --grub-mkimage "$tmp/grub/usr/bin/grub-mkimage" --out "$dir"
    qemu-img convert -q -f raw -O qcow2 "$dir/disk.raw" "$dir/disk.qcow2.tmp"
    rm "$dir/disk.raw"
    # For tests whose guest is this initrd alone.
    "$here/extract-vmlinux.py" "$dir/vmlinuz" "$dir/vmlinux"
    mv "$dir/disk.qcow2.tmp" "$dir/disk.qcow2"
}

make_memtest() {
    mkdir "$tmp/memtest"
    cd "$tmp/memtest"
    say "downloading memtest86+"
    download memtest86+ || die "cannot download memtest86+; try again later"
    note ./*.deb
    dpkg-deb -x ./*.deb .
    # The name has changed between versions.
    for f in usr/lib/memtest86+/memtest86+ia32.iso usr/lib/memtest86+/memtest86+x32.iso boot/memtest86+.iso; do
        [ -f "$f" ] && cp "$f" "$dir/memtest.iso" && return 0
    done
    die "no 32-bit ISO image in the package memtest86+"
}

make_installer() {
    mkdir "$tmp/installer" "$dir/installer.tmp"
    cd "$tmp/installer"
    say "downloading Debian's installer"
    download debian-installer-12-netboot-i386 || die "cannot download debian-installer-12-netboot-i386; try again later"
    note ./*.deb
    dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards '*/text/debian-installer/i386/linux' '*/text/debian-installer/i386/initrd.gz'
    find . -path '*/text/*' \( -name linux -o -name initrd.gz \) -exec mv {} "$dir/installer.tmp/" \;
    mv "$dir/installer.tmp" "$dir/installer"
}

# The same bytes every time: the test knows sums of what is on it.
make_cd() {
    mkdir -p "$tmp/cd/A folder with a long name"
    echo "read from a CD" > "$tmp/cd/A folder with a long name/a text.txt"
    python3 -c 'import random; random.seed(1); print(random.randbytes(3 << 20).hex())' > "$tmp/cd/numbers"
    find "$tmp/cd" -exec touch -h -d @1700000000 {} +
    SOURCE_DATE_EPOCH=1700000000 genisoimage -quiet -R -J -V DEJAVM_CD -o "$dir/cd.iso.tmp" "$tmp/cd"
    mv "$dir/cd.iso.tmp" "$dir/cd.iso"
}

# made FILE SOURCE...: FILE is there and not older than the sources
made() {
    file=$1
    shift
    [ -s "$file" ] && [ -z "$(find "$@" -newer "$file")" ]
}

for w in $what; do
    case $w in
    disk) made "$dir/disk.qcow2" "$here/mkdisk.py" "$here/fetch-disk.sh" || make_disk ;;
    memtest) [ -s "$dir/memtest.iso" ] || make_memtest ;;
    installer) [ -s "$dir/installer/initrd.gz" ] || { rm -rf "$dir/installer" "$dir/installer.tmp"; make_installer; } ;;
    cd) [ -s "$dir/cd.iso" ] || make_cd ;;
    *) die "cannot make '$w'; there are: disk memtest installer cd" ;;
    esac
done
