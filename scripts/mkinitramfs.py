#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a small initramfs (newc cpio, gzip) of busybox and an init script.

    mkinitramfs.py BUSYBOX INIT OUTPUT [NAME=FILE ...]

The same input gives the same bytes: times are 0 and inode numbers count up. Device
nodes are written straight into the archive, so no privilege is needed. NAME=FILE adds
an executable file at /NAME.
"""
import gzip
import stat
import sys

# The applets that sessions use; busybox finds the applet by the link's name.
APPLETS = """sh ash cat echo ls mount umount date sleep dd wc head tail grep poweroff reboot halt ps
 uname true false test seq tr md5sum sha256sum setsid cttyhack stty free dmesg mkdir rm cp mv ln
 printf expr env id kill yes sort uniq awk sed cut touch sync time gzip gunzip zcat xxd od cmp
 getty init login clear vi top mknod insmod lsmod""".split()


class Newc:
    """A cpio archive in the "newc" format of the kernel's initramfs documentation."""

    def __init__(self):
        self.out = bytearray()
        self.ino = 1

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        encoded = name.encode() + b"\0"
        nlink = 2 if stat.S_ISDIR(mode) else 1
        fields = [self.ino, mode, 0, 0, nlink, 0, len(data), 0, 0, rdev[0], rdev[1], len(encoded), 0]
        self.ino += 1
        self.out += b"070701" + b"".join(b"%08X" % f for f in fields) + encoded
        self.pad()
        self.out += data
        self.pad()

    def pad(self):
        self.out += b"\0" * (-len(self.out) % 4)

    def finish(self):
        self.ino = 0
        self.add("TRAILER!!!", 0)
        self.out += b"\0" * (-len(self.out) % 512)
        return bytes(self.out)


def main(argv):
    if len(argv) < 4:
        sys.exit(__doc__)
    busybox, init, output = argv[1:4]
    cpio = Newc()
    for d in ("bin", "dev", "proc", "sys", "tmp", "root", "etc"):
        cpio.add(d, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    cpio.add("dev/null", stat.S_IFCHR | 0o666, rdev=(1, 3))
    with open(busybox, "rb") as f:
        cpio.add("bin/busybox", stat.S_IFREG | 0o755, f.read())
    for a in APPLETS:
        cpio.add("bin/" + a, stat.S_IFLNK | 0o777, b"busybox")
    with open(init, "rb") as f:
        cpio.add("init", stat.S_IFREG | 0o755, f.read())
    for extra in argv[4:]:
        name, _, path = extra.partition("=")
        with open(path, "rb") as f:
            cpio.add(name, stat.S_IFREG | 0o755, f.read())
    with open(output, "wb") as f:
        f.write(gzip.compress(cpio.finish(), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv)
