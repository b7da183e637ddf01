#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes what the benchmark table runs: our programs for the guest and for the host, the data, and two initial RAM disks.

    guestdisk.py GUEST_DIR OUT_DIR

GUEST_DIR is fetch-guest.sh's, with the packages ("bench"). OUT_DIR gets i386/ and native/ (programs), data, boot.cpio
(busybox and init alone) and bench.cpio (all). Neither is compressed: what is measured comes after them.
"""
import os
import shutil
import stat
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "guest")
sys.path.insert(0, os.path.join(HERE, "..", "..", "scripts"))
import mkinitramfs  # noqa: E402

# name, source, options beyond those of the table below
PROGRAMS = [
    ("coremix", "coremix.c", []),
    ("linalg-x87", "linalg.c", ["-mfpmath=387", "-DUSE_X87", "-lm"]),
    ("linalg-sse", "linalg.c", ["-O3", "-msse2", "-mfpmath=sse", "-lm"]),
    ("mem", "mem.c", []),
    ("sys", "sys.c", []),
]
TARGETS = {"i386": ["-m32", "-march=i686"], "native": ["-m64"]}

PACKAGED = ["bin/gzip", "bin/bzip2", "usr/bin/xz", "usr/bin/openssl", "usr/bin/lua5.4"]
LIBRARIES = ["lib/i386-linux-gnu", "usr/lib/i386-linux-gnu"]

# The compressors' input: code and tables of the guest's kernel.
DATA_FROM, DATA_LEN = 1 << 20, 8 << 20


def newer(out, inputs):
    """Whether out is there and younger than all that it is made of."""
    try:
        t = os.stat(out).st_mtime
        return all(os.stat(i).st_mtime <= t for i in inputs)
    except OSError:
        return False


def build_programs(out):
    for target, flags in TARGETS.items():
        d = os.path.join(out, target)
        os.makedirs(d, exist_ok=True)
        for name, source, extra in PROGRAMS:
            src, exe = os.path.join(SOURCES, source), os.path.join(d, name)
            if newer(exe, [src, __file__]):
                continue
            libs = [f for f in extra if f.startswith("-l")]
            subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", *flags,
                            *[f for f in extra if f not in libs], src, "-o", exe, *libs], check=True)


def link_natives(out):
    """The host's own builds of the packaged programs, beside ours; one that is missing fails its row."""
    for p in PACKAGED:
        name = os.path.basename(p)
        link, target = os.path.join(out, "native", name), shutil.which(name)
        if os.path.lexists(link):
            os.remove(link)
        if target:
            os.symlink(target, link)


def needed(path):
    """Names of the libraries that a program or library asks for."""
    text = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    return [line.split("[")[1].rstrip("]\n") for line in text.splitlines() if "(NEEDED)" in line]


def find_library(root, name):
    for d in LIBRARIES:
        path = os.path.join(root, d, name)
        if os.path.exists(path):
            return os.path.realpath(path)
    sys.exit(f"guestdisk: no {name} in the packages under {root}")


def packaged_files(root):
    """(name in the guest, file) of the packages' programs and all that they load."""
    files, todo, seen = [], [], set()
    for p in PACKAGED:
        path = os.path.join(root, p)
        files.append(("usr/bin/" + os.path.basename(p), path))
        todo += needed(path)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        path = find_library(root, name)
        at = "lib/" if name.startswith("ld-linux") else "lib/i386-linux-gnu/"
        files.append((at + name, path))
        todo += needed(path)
    return files


def read(path):
    with open(path, "rb") as f:
        return f.read()


def add_file(cpio, name, path):
    cpio.add(name, stat.S_IFREG | 0o755, read(path))


def script(name):
    return os.path.join(SOURCES, name)


def base_cpio(guest, init=script("init.sh")):
    cpio = mkinitramfs.Newc()
    for d in ("bin", "dev", "proc", "tmp", "root", "lib", "lib/i386-linux-gnu", "usr", "usr/bin"):
        cpio.add(d, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    cpio.add("dev/null", stat.S_IFCHR | 0o666, rdev=(1, 3))
    add_file(cpio, "bin/busybox", os.path.join(guest, "busybox"))
    for a in mkinitramfs.APPLETS:
        cpio.add("bin/" + a, stat.S_IFLNK | 0o777, b"busybox")
    add_file(cpio, "init", init)
    add_file(cpio, "common.sh", script("common.sh"))
    return cpio


def write(path, data):
    with open(path + ".tmp", "wb") as f:
        f.write(data)
    os.replace(path + ".tmp", path)


def make(guest, out):
    """All of it; does nothing where everything is up to date."""
    os.makedirs(out, exist_ok=True)
    build_programs(out)
    link_natives(out)
    data, boot, bench = (os.path.join(out, n) for n in ("data", "boot.cpio", "bench.cpio"))
    common = [__file__, mkinitramfs.__file__, script("init.sh"), script("common.sh"), os.path.join(guest, "busybox")]
    vmlinux = os.path.join(guest, "vmlinux")
    if not newer(data, [__file__, vmlinux]):
        write(data, read(vmlinux)[DATA_FROM:DATA_FROM + DATA_LEN])
    if not newer(boot, common):
        write(boot, base_cpio(guest).finish())
    programs = [(name, os.path.join(out, "i386", name)) for name, _, _ in PROGRAMS]
    scripts = [(name, script(name)) for name in ("rows.sh", "mix.lua")]
    packaged = packaged_files(os.path.join(guest, "bench-root"))
    if not newer(bench, common + [data] + [p for _, p in programs + scripts + packaged]):
        cpio = base_cpio(guest)
        for name, path in packaged + scripts + [("data", data)] + [("usr/bin/" + n, p) for n, p in programs]:
            add_file(cpio, name, path)
        write(bench, cpio.finish())
    return {"data": data, "boot": boot, "bench": bench, "native": os.path.join(out, "native"), "scripts": SOURCES}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if not shutil.which("gcc"):
        sys.exit("guestdisk: no gcc")
    for what, where in make(sys.argv[1], sys.argv[2]).items():
        print(f"{what:8} {where}")
