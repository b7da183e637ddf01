#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a disk image that boots a small Debian i386 system, from unpacked packages: MBR with one ext4 partition, GRUB in the gap
before it, sysvinit, logins on ttyS0 and tty1. Nothing of the packages is executed, no privilege is needed.

    mkdisk.py --debs DIR --kernel-deb FILE --busybox FILE --grub-dir DIR --grub-mkimage FILE --out DIR [--mib N]

--debs has the packages of the root file system; --grub-dir is i386-pc's of grub-pc-bin. Leaves in --out: disk.raw, vmlinuz, modules/ (the
kernel's drivers for such a disk, modules/order says in which order to load them), initrd (the disk's; without root= it gives a shell).

Log in as root with the password "dejavm"; the prompt is "dejavm# ".
"""
import argparse
import gzip
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile

import mkinitramfs

SECTOR = 512
PARTITION_LBA = 2048
# What would be random, or the time of day.
EPOCH = "1700000000"
FS_UUID = "de1afa11-0000-4000-8000-000000000001"
DISK_ID = 0x64656a61

# What the initramfs loads, before what it needs: the disk, CD-ROM and their file systems. crc32c is asked for by ext4 by its
# cipher's name, which no "depends" shows.
MODULES = ["crc32c_generic", "ata_piix", "ata_generic", "sd_mod", "sr_mod", "ext4", "isofs"]

APPLETS = "switch_root blkdiscard blockdev mke2fs".split()

GRUB_MODULES = "biosdisk part_msdos ext2 linux normal configfile serial terminal echo ls cat halt reboot sleep test".split()

# Debian's directories are merged into /usr; a package may still say /bin.
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib"}
LEFT_OUT = ["./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/info", "./usr/share/lintian", "./usr/share/bug",
            "./usr/share/bash-completion", "./usr/share/zoneinfo", "./usr/include", "./usr/lib/i386-linux-gnu/gconv"]

# The order that insserv would work out of the scripts' headers. Runlevel 2 has nothing but the gettys of inittab. mounts.sh stands for
# mountkernfs, mountdevsubfs, checkroot and mountall, whose four hundred processes would be half of a boot.
RUNLEVELS = {
    "S": ("S", "mounts.sh hostname.sh urandom bootmisc.sh"),
    "0": ("K", "urandom sendsigs umountfs umountroot halt"),
    "6": ("K", "urandom sendsigs umountfs umountroot reboot"),
    "2": ("S", "rmnologin rc.local"),
}

MOUNTS = """#!/bin/sh
# Checks the root file system and mounts what /etc/fstab has no lines for.
[ "$1" = start ] || exit 0
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sys /sys
mount -t tmpfs -o mode=755,nosuid run /run
mkdir -p /run/lock /dev/pts
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
echo "Checking root file system..."
fsck -a -T /
[ $? -lt 4 ] || { echo "The root file system needs repair by hand"; sulogin --force; }
mount -o remount,rw /
mount -a
"""

GRUB_EARLY = """serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
"""

GRUB_CFG = """set timeout=1
set default=0
menuentry 'Debian i386 on dejavm' {
	linux /boot/vmlinuz root=/dev/sda1 ro concurrency=none cryptomgr.notests net.ifnames=0 quiet console=tty0 console=ttyS0,115200
	initrd /boot/initrd
}
menuentry 'Debian i386 on dejavm, single user' {
	linux /boot/vmlinuz root=/dev/sda1 ro single concurrency=none console=tty0 console=ttyS0,115200
	initrd /boot/initrd
}
"""

# With root=, what a PC's initramfs does; without, a shell that has the drivers.
INITRAMFS_INIT = """#!/bin/sh
export PATH=/bin HOME=/root PS1='dejavm# ' TERM=dumb
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r m; do
	insmod "/modules/$m" || echo "init: cannot load $m"
done < /modules/order
root=
for word in $(cat /proc/cmdline); do
	case $word in
	root=*) root=${word#root=} ;;
	esac
done
if [ -z "$root" ]; then
	cd /root
	setsid cttyhack sh
	poweroff -f
fi
n=0
until [ -b "$root" ] || [ $n -ge 300 ]; do
	sleep 0.1
	n=$((n + 1))
done
mount -t ext4 -o ro "$root" /mnt || { echo "init: cannot mount $root"; exec sh; }
mount -o move /dev /mnt/dev
umount /sys
umount /proc
exec switch_root /mnt /sbin/init
"""

# glibc's crypt() of "dejavm", sha256 with few rounds: nobody attacks it.
SHADOW_ROOT = "root:@HASH@:19676:0:99999:7:::"

# What is not root's (note_owners() adds). debugfs sets owners, so that no privilege is needed here.
OWNERS = {"etc/shadow": (0, 42)}

FILES = {
    "etc/hostname": "dejavm\n",
    "etc/hosts": "127.0.0.1\tlocalhost dejavm\n",
    "etc/fstab": "/dev/sda1\t/\text4\terrors=remount-ro\t0 1\n",
    "etc/inputrc": "set enable-bracketed-paste off\n",
    "etc/environment": "",
    "etc/default/locale": "",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    "etc/init.d/.legacy-bootordering": "",
    "root/.profile": "PS1='dejavm# '\nmesg n 2>/dev/null\n",
    "root/.hushlogin": "",
    "etc/pam.d/common-auth": "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
    "etc/pam.d/common-account": "account required pam_unix.so\n",
    "etc/pam.d/common-session": "session required pam_unix.so\n",
    "etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
    "etc/pam.d/common-password": "password required pam_unix.so obscure yescrypt\n",
}


def fail(text):
    sys.exit(f"mkdisk: {text}")


def run(*cmd, **kw):
    env = {**os.environ, "E2FSPROGS_FAKE_TIME": EPOCH, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    r = subprocess.run(cmd, capture_output=True, env=env, **kw)
    if r.returncode != 0:
        fail(f"{' '.join(cmd)} failed with status {r.returncode}:\n{r.stderr.decode(errors='replace')}")
    return r.stdout


def unpack(deb, root, only=()):
    """A package's files as they are; without what only people read."""
    tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    cmd = ["tar", "-x", "-p", "--keep-directory-symlink", "-C", root] + [f"--exclude={p}" for p in LEFT_OUT] + list(only)
    if only:
        cmd.insert(1, "--wildcards")
    run(*cmd, stdin=tar.stdout)
    tar.stdout.close()
    if tar.wait() != 0:
        fail(f"cannot unpack {deb}")


def write(root, name, text, mode=0o644):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def note_owners(deb):
    """Remembers which of a package's files are not root's."""
    tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=tar.stdout, mode="r|") as t:
        for f in t:
            if f.uid or f.gid:
                top, _, rest = f.name.removeprefix("./").partition("/")
                OWNERS[os.path.join(MERGED.get(top, top), rest)] = (f.uid, f.gid)
    if tar.wait() != 0:
        fail(f"cannot read {deb}")


# ---- the kernel's modules ----

def module_needs(data):
    """Names of the modules that a module's .modinfo says it depends on."""
    m = re.search(rb"\0depends=([^\0]*)\0", data)
    return [n for n in (m.group(1).decode().split(",") if m else []) if n]


def modules_in_order(tree):
    """Paths of MODULES and of all that they need, each after what it needs."""
    found = {}
    for d, _, names in os.walk(tree):
        for n in names:
            if n.endswith(".ko"):
                found[n[:-3].replace("-", "_")] = os.path.join(d, n)
    order = []

    def add(name):
        name = name.replace("-", "_")
        if name not in found:
            fail(f"the kernel package has no module {name}")
        if found[name] in order:
            return
        for need in module_needs(read(found[name])):
            add(need)
        order.append(found[name])

    for m in MODULES:
        add(m)
    return order


def make_kernel(a, tmp):
    """vmlinuz and modules/ out of the kernel's package, and the initramfs that mounts the disk."""
    tree = os.path.join(tmp, "kernel")
    os.mkdir(tree)
    unpack(a.kernel_deb, tree, ["./boot/vmlinuz-*", "./lib/modules/*.ko"])
    boot = os.path.join(tree, "boot")
    shutil.move(os.path.join(boot, os.listdir(boot)[0]), os.path.join(a.out, "vmlinuz"))
    order = modules_in_order(os.path.join(tree, "lib"))
    moddir = os.path.join(a.out, "modules")
    shutil.rmtree(moddir, ignore_errors=True)
    os.mkdir(moddir)
    for path in order:
        shutil.copy(path, moddir)
    write(moddir, "order", "".join(os.path.basename(p) + "\n" for p in order))
    cpio = mkinitramfs.Newc()
    for d in ("bin", "dev", "proc", "sys", "mnt", "modules", "root", "tmp"):
        cpio.add(d, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    cpio.add("dev/null", stat.S_IFCHR | 0o666, rdev=(1, 3))
    cpio.add("bin/busybox", stat.S_IFREG | 0o755, read(a.busybox))
    for applet in mkinitramfs.APPLETS + APPLETS:
        cpio.add("bin/" + applet, stat.S_IFLNK | 0o777, b"busybox")
    for n in sorted(os.listdir(moddir)):
        cpio.add("modules/" + n, stat.S_IFREG | 0o644, read(moddir, n))
    cpio.add("init", stat.S_IFREG | 0o755, INITRAMFS_INIT.encode())
    write(a.out, "initrd", gzip.compress(cpio.finish(), 9, mtime=0))


# ---- the root file system ----

def make_root(a, root):
    for link, target in MERGED.items():
        os.makedirs(os.path.join(root, target))
        os.symlink(target, os.path.join(root, link))
    for deb in sorted(os.listdir(a.debs)):
        if deb.endswith(".deb"):
            unpack(os.path.join(a.debs, deb), root)
            note_owners(os.path.join(a.debs, deb))
    # What the packages' maintainer scripts would do.
    for kind, names in (("passwd", ("passwd", 0o644)), ("group", ("group", 0o644))):
        write(root, "etc/" + names[0], read(root, f"usr/share/base-passwd/{kind}.master"), names[1])
    users = [line.split(":")[0] for line in read(root, "etc/passwd").decode().splitlines()]
    # Passwords are in shadow.
    write(root, "etc/passwd", re.sub(r"^([^:]*):\*:", r"\1:x:", read(root, "etc/passwd").decode(), flags=re.M))
    hashed = run("openssl", "passwd", "-5", "-salt", "dejavm", "-stdin", input=b"dejavm\n").decode().strip()
    shadow = [SHADOW_ROOT.replace("@HASH@", hashed)] + [f"{u}:*:19676:0:99999:7:::" for u in users if u != "root"]
    write(root, "etc/shadow", "\n".join(shadow) + "\n", 0o640)
    write(root, "etc/init.d/mounts.sh", MOUNTS, 0o755)
    for name, text in FILES.items():
        write(root, name, text)
    inittab = read(root, "usr/share/sysvinit/inittab").decode()
    inittab = re.sub(r"^[2-6]:.*getty.*\n", "", inittab, flags=re.M)
    write(root, "etc/inittab", inittab + "S0:2345:respawn:/sbin/getty -L ttyS0 115200 vt100\n")
    for name, target in (("usr/bin/sh", "dash"), ("usr/bin/awk", "mawk"), ("etc/mtab", "/proc/mounts")):
        if not os.path.lexists(os.path.join(root, name)):
            os.symlink(target, os.path.join(root, name))
    for level, (letter, scripts) in RUNLEVELS.items():
        for n, s in enumerate(scripts.split(), 1):
            if not os.path.exists(os.path.join(root, "etc/init.d", s)):
                fail(f"no package has /etc/init.d/{s}")
            os.symlink(f"../init.d/{s}", os.path.join(root, f"etc/rc{level}.d/{letter}{n:02}{s}"))
    for d in ("proc", "sys", "dev", "run", "tmp", "mnt", "media/cdrom"):
        os.makedirs(os.path.join(root, d), exist_ok=True)
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    shutil.copy(os.path.join(a.out, "vmlinuz"), os.path.join(root, "boot/vmlinuz"))
    shutil.copy(os.path.join(a.out, "initrd"), os.path.join(root, "boot/initrd"))
    write(root, "boot/grub/grub.cfg", GRUB_CFG)
    for d, _, names in os.walk(root):
        for n in names + ["."]:
            os.utime(os.path.join(d, n), (int(EPOCH), int(EPOCH)), follow_symlinks=False)


def set_owners(image, root):
    lines = []
    for d, dirs, names in os.walk(root):
        for n in dirs + names:
            path = os.path.join(d, n)
            rel = os.path.relpath(path, root)
            st = os.lstat(path)
            uid, gid = OWNERS.get(rel, (0, 0))
            if (st.st_uid, st.st_gid) != (uid, gid):
                lines += [f'sif "/{rel}" uid {uid}', f'sif "/{rel}" gid {gid}']
    if lines:
        out = run("debugfs", "-w", "-f", "-", f"{image}?offset={PARTITION_LBA * SECTOR}", input="\n".join(lines).encode())
        if b"File not found" in out:
            fail(f"debugfs could not set owners:\n{out.decode()[-500:]}")


def make_filesystem(a, root, image):
    kib = a.mib * 1024 - PARTITION_LBA * SECTOR // 1024
    # Named one by one, for GRUB must know them all whatever the host's mke2fs.conf says.
    features = ("none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
                "dir_nlink,extra_isize,metadata_csum")
    options = f"offset={PARTITION_LBA * SECTOR},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard,hash_seed={FS_UUID}"
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-O", features, "-U", FS_UUID, "-L", "dejavm", "-m", "1",
        "-E", options, "-d", root, image, f"{kib}k")
    set_owners(image, root)


# ---- the boot sector ----

def make_grub(a, image, tmp):
    """boot.img into the MBR, core.img into the sectors behind it. GRUB 2's boot.img has the LBA of core.img's first sector at 5Ch; its
    diskboot.img, which is that sector, has the block list for the rest at its end. Both are set, though their defaults are the same."""
    early = os.path.join(tmp, "early.cfg")
    write(tmp, "early.cfg", GRUB_EARLY)
    core_path = os.path.join(tmp, "core.img")
    run(a.grub_mkimage, "-d", a.grub_dir, "-O", "i386-pc", "-o", core_path, "-p", "(hd0,msdos1)/boot/grub", "-c", early, *GRUB_MODULES)
    boot, core = bytearray(read(a.grub_dir, "boot.img")), bytearray(read(core_path))
    core += b"\0" * (-len(core) % SECTOR)
    sectors = len(core) // SECTOR
    if len(boot) != SECTOR or 1 + sectors > PARTITION_LBA:
        fail(f"boot.img has {len(boot)} bytes and core.img {sectors} sectors: they do not fit before the partition")
    struct.pack_into("<Q", boot, 0x5c, 1)
    struct.pack_into("<QHH", core, SECTOR - 12, 2, sectors - 1, 0x820)
    total = a.mib * (1 << 20) // SECTOR - PARTITION_LBA
    # One active Linux partition; addresses as cylinders say "beyond them".
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", PARTITION_LBA, total)
    boot[440:446] = struct.pack("<IH", DISK_ID, 0)
    boot[446:510] = entry + b"\0" * 48
    boot[510:512] = b"\x55\xaa"
    with open(image, "r+b") as f:
        f.write(boot + core)


def main():
    ap = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    for o in ("debs", "kernel-deb", "busybox", "grub-dir", "grub-mkimage", "out"):
        ap.add_argument("--" + o, required=True)
    ap.add_argument("--mib", type=int, default=256)
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    tmp = tempfile.mkdtemp(prefix="mkdisk-")
    try:
        make_kernel(a, tmp)
        root = os.path.join(tmp, "root")
        os.mkdir(root)
        make_root(a, root)
        image = os.path.join(a.out, "disk.raw")
        with open(image + ".tmp", "wb") as f:
            f.truncate(a.mib << 20)
        make_filesystem(a, root, image + ".tmp")
        make_grub(a, image + ".tmp", tmp)
        os.replace(image + ".tmp", image)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    main()
