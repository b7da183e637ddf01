#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches what the judges are made of from Debian's packages, and makes bootable images of it: memtest86+, GRUB with its
# functional tests, an initramfs with the kernel's x86 self-tests. Nothing is installed; of what is fetched only
# grub-mkimage runs here.
#
#   scripts/fetch-judges.sh [DIR [GUESTDIR]]      default: build/judges build/guest
#
# GUESTDIR is what scripts/fetch-guest.sh filled. Leaves in DIR: memtest.bin, grub.multiboot, grub.tar, grub-video.tar,
# selftests.initrd, versions. Does nothing where they are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
judges=$here/../tests/judges
dir=${1:-$here/../build/judges}
guest=${2:-$here/../build/guest}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

say() { echo "fetch-judges: $*" >&2; }
die() { say "$*"; exit 1; }

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# fetch PACKAGE: unpacks the current version into $tmp/PACKAGE. An index can be out of step with its mirror: update and retry.
fetch() {
    mkdir -p "$tmp/debs" "$tmp/$1"
    n=1
    until (cd "$tmp/debs" && rm -f ./*.deb && apt-get download "$1" >/dev/null 2>&1); do
        [ $n -ge 3 ] && die "cannot download $1; try again later"
        n=$((n + 1))
        say "cannot download $1; updating the package index and trying again ($n of 3)"
        sleep 2
        $sudo apt-get update >&2 || true
    done
    deb=$(echo "$tmp/debs/"*.deb)
    # shellcheck disable=SC2016
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$deb" >> "$dir/versions"
    dpkg-deb -x "$deb" "$tmp/$1"
}

make_memtest() {
    fetch memtest86+
    # The name has changed between versions.
    for f in "$tmp"/memtest86+/boot/memtest86+ia32.bin "$tmp"/memtest86+/boot/memtest86+x32.bin "$tmp"/memtest86+/boot/memtest86+.bin; do
        [ -f "$f" ] && cp "$f" "$dir/memtest.bin" && return 0
    done
    die "no 32-bit memtest86+ in its package"
}

# The disk that GRUB finds its modules, font and configuration on. Arguments: file name; the configuration is read from stdin.
grub_disk() {
    cat > "$tmp/disk/boot/grub/grub.cfg"
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a=rX,u+w -C "$tmp/disk" -cf "$tmp/disk.tar" boot
    mv "$tmp/disk.tar" "$dir/$1"
}

make_grub() {
    fetch grub-pc-bin
    fetch grub-common
    lib=$tmp/grub-pc-bin/usr/lib/grub/i386-pc
    mkdir -p "$tmp/disk/boot/grub/i386-pc" "$tmp/disk/boot/grub/fonts"
    cp "$lib"/*.mod "$lib"/*.lst "$tmp/disk/boot/grub/i386-pc/"
    cp "$tmp/grub-common/usr/share/grub/unicode.pf2" "$tmp/disk/boot/grub/fonts/"
    cat > "$tmp/early.cfg" <<'CFG'
serial --unit=0 --speed=115200
terminal_output serial
terminal_input serial
CFG
    "$tmp/grub-common/usr/bin/grub-mkimage" -d "$lib" -O i386-pc -o "$tmp/core.img" -p '(hd0)/boot/grub' -c "$tmp/early.cfg" \
        biosdisk tar serial terminal
    nasm -f bin -DCORE="\"$tmp/core.img\"" -o "$dir/grub.multiboot" "$judges/grub_bios.asm"
    # Everything but the three that draw screens.
    grub_disk grub.tar <<'CFG'
insmod functional_test
for t in shift mul cmp ctz bswap div strtoull setjmp sleep signature pbkdf2 xnu_uuid legacy_password; do
	insmod ${t}_test
done
insmod exfctest
functional_test
halt
CFG
    grub_disk grub-video.tar <<'CFG'
insmod functional_test
all_functional_test
halt
CFG
}

# What the self-tests' own Makefile calls TARGETS_C_32BIT_ALL.
selftest_names() {
    sed -e ':a' -e '/\\$/N; s/\\\n//; ta' Makefile |
        sed -n 's/^TARGETS_C_\(BOTHBITS\|32BIT_ONLY\|32BIT_NEEDED\) *:= *//p' | tr -s '[:blank:]' '\n' | sort
}

make_selftests() {
    [ -s "$guest/busybox" ] || die "no busybox in $guest: run scripts/fetch-guest.sh first"
    pkg=$(apt-cache depends linux-source 2>/dev/null | sed -n 's/^ *Depends: \(linux-source-[0-9][^ ]*\)$/\1/p' | head -n 1)
    [ -n "$pkg" ] || die "no package linux-source in the package index: is a Debian mirror configured?"
    fetch "$pkg"
    (cd "$tmp" && tar -xJf "$pkg/usr/src/$pkg.tar.xz" "$pkg/tools/testing/selftests/x86" \
        "$pkg/tools/testing/selftests/kselftest.h" "$pkg/arch/x86/include/asm/desc_defs.h")
    mkdir "$tmp/bin"
    cd "$tmp/$pkg/tools/testing/selftests/x86"
    set --
    for t in $(selftest_names); do
        more=
        case $t in
        ptrace_syscall) more=raw_syscall_helper_32.S ;;
        test_syscall_vdso) more=thunks_32.S ;;
        check_initial_reg_state) more=-Wl,-ereal_start ;;
        esac
        # shellcheck disable=SC2086
        gcc -m32 -static -s -O2 -std=gnu99 -pthread -w -no-pie -DCAN_BUILD_32 -o "$tmp/bin/$t" "$t.c" $more -lrt -ldl -lm \
            2> "$tmp/gcc.err" || { cat "$tmp/gcc.err" >&2; die "cannot build the self-test $t"; }
        echo "$t" >> "$tmp/list"
        set -- "$@" "root/$t=$tmp/bin/$t"
    done
    [ $# -gt 0 ] || die "found no self-tests in $pkg"
    python3 "$here/mkinitramfs.py" "$guest/busybox" "$judges/selftests-init.sh" "$tmp/initrd" "root/list=$tmp/list" "$@"
    mv "$tmp/initrd" "$dir/selftests.initrd"
}

judges=$(cd "$judges" && pwd)
guest=$(mkdir -p "$guest" && cd "$guest" && pwd)
cd "$tmp"
# made FILE SOURCE: FILE is there and not older than SOURCE
made() {
    [ -s "$1" ] && [ -z "$(find "$2" -newer "$1")" ]
}

[ -s "$dir/memtest.bin" ] || make_memtest
made "$dir/grub-video.tar" "$judges/grub_bios.asm" || make_grub
made "$dir/selftests.initrd" "$judges/selftests-init.sh" || make_selftests
