# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# For scripts that fetch files out of Debian's packages: sourced, not run. The script says who it is in $fetch_name.

say() { echo "$fetch_name: $*" >&2; }
die() { say "$*"; exit 1; }

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

# Makes i386 packages known, once.
add_i386() {
    dpkg --print-foreign-architectures | grep -qx i386 && return 0
    say "adding i386 to dpkg's architectures (to download, nothing is installed)"
    $sudo dpkg --add-architecture i386
    $sudo apt-get update >&2 || say "apt-get update was not clean; going on with what there is"
}

# Name of the package that the kernel's metapackage of a flavour points to now.
kernel_package() {
    apt-cache depends "linux-image-$1:i386" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

# download PACKAGE...: leaves one .deb each in the current directory. An index can be out of step with its mirror: update and retry.
download() {
    n=1
    while :; do
        apt-get download "$@" >&2 2>/dev/null && return 0
        [ $n -ge 3 ] && return 1
        n=$((n + 1))
        say "cannot download $*; updating the package index and trying again ($n of 3)"
        sleep 2
        $sudo apt-get update >&2 || true
    done
}

# download_kernel FLAVOUR: the same for the current kernel; sets $pkg to its package's name.
download_kernel() {
    add_i386
    pkg=$(kernel_package "$1")
    if [ -z "$pkg" ]; then
        $sudo apt-get update >&2 || true
        pkg=$(kernel_package "$1")
    fi
    [ -n "$pkg" ] || die "no package linux-image-$1:i386 in the package index: is a Debian 12 mirror configured?"
    say "downloading $pkg"
    # The meta package may already name a kernel that the mirror does not carry yet: look again after each update.
    tries=1
    until download "$pkg"; do
        [ $tries -ge 2 ] && die "cannot download $pkg: the package index is out of step with the mirror; try again later"
        tries=$((tries + 1))
        pkg=$(kernel_package "$1")
    done
}
