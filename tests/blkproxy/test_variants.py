#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
We read, and go on writing, every variant of qcow2 that qemu-img writes; and refuse, with the reason, those that
we do not support.

    test_variants.py IMAGE_TOOL [TEST...]
"""
import os
import random
import shutil
import subprocess

import imagelib as il
from imagelib import Image, ToolError, create, qemu, qemu_check, same_content

LEN = 6 << 20


def content(rng, length=LEN):
    """Noise, runs that compress, holes."""
    disk = bytearray(length)
    for _ in range(60):
        at, n = rng.randrange(length), rng.choice([100, 5000, 70000, 200000])
        n = min(n, length - at)
        disk[at:at + n] = rng.choice([rng.randbytes(n), b"pattern " * (n // 8) + b"x" * (n % 8), bytes(n)])
    return disk


def raw_file(folder, disk, name="source.raw"):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(disk)
    return path


def read_all(img, disk):
    got = b"".join(img.read(o, min(700001, len(disk) - o)) for o in range(0, len(disk), 700001))
    assert got == disk, "content differs"


def exercise(path, disk, folder, rng, steps=60, clean=True):
    """Read all of it, write here and there, have it checked."""
    if clean:
        img = Image(path, readonly=1)
        read_all(img, disk)
        found = img.words("check")
        assert found["errors"] == "0", found
        img.close()
    img = Image(path)
    for _ in range(steps):
        n = rng.choice([1, 512, 4096, 66000, 300000])
        at = rng.randrange(len(disk) - n)
        if rng.random() < 0.7:
            data = rng.randbytes(n)
            img.write(at, data)
        else:
            data = bytes(n)
            img.discard(at, n)
        disk[at:at + n] = data
    read_all(img, disk)
    found = img.words("check")
    assert found["errors"] == "0" and found["leaks"] == "0", found
    img.close()
    qemu_check(path)
    same_content(path, disk, folder)


def converted(folder, options, *args):
    rng = random.Random(f"{options} {args}")
    disk = content(rng)
    path = os.path.join(folder, "disk.qcow2")
    source = raw_file(folder, disk)
    qemu("convert", "-f", "raw", "-O", "qcow2", *args, *(["-o", options] if options else []), source, path)
    exercise(path, disk, folder, rng)


def created(folder, options):
    rng = random.Random(options)
    disk = bytearray(LEN)
    path = os.path.join(folder, "disk.qcow2")
    qemu("create", "-q", "-f", "qcow2", "-o", options, path, str(LEN))
    exercise(path, disk, folder, rng)


def cluster_sizes(folder):
    """qemu-img"""
    for bits in range(9, 22):
        converted(folder, f"cluster_size={1 << bits}")


def compat(folder):
    """qemu-img"""
    for c in ("0.10", "1.1", "v2", "v3"):
        converted(folder, f"compat={c}")
        converted(folder, f"compat={c}", "-c")


def preallocation(folder):
    """qemu-img"""
    for p in ("off", "metadata", "falloc", "full"):
        created(folder, f"preallocation={p}")
        created(folder, f"preallocation={p},cluster_size=512")


def lazy_refcounts(folder):
    """qemu-img"""
    created(folder, "lazy_refcounts=on")
    converted(folder, "lazy_refcounts=on,cluster_size=4096")


def refcount_bits(folder):
    """qemu-img"""
    for b in (1, 2, 4, 8, 16, 32, 64):
        converted(folder, f"refcount_bits={b}")
        created(folder, f"refcount_bits={b},cluster_size=512")


def compressed(folder):
    """qemu-img"""
    for z in ("zlib", "zstd"):
        for size in (512, 4096, 65536, 2 << 20):
            try:
                converted(folder, f"compression_type={z},cluster_size={size}", "-c")
            except AssertionError as e:
                # QEMU itself may not be able to compress to clusters that small.
                if "convert" not in str(e) or size > 4096:
                    raise


def backing_files(folder):
    """qemu-img"""
    rng = random.Random(7)
    base = content(rng, 3 << 20)
    source = raw_file(folder, base, "base.raw")
    qemu("convert", "-f", "raw", "-O", "qcow2", "-c", source, os.path.join(folder, "base.qcow2"))
    for name, fmt in (("base.raw", "raw"), ("base.qcow2", "qcow2")):
        path = os.path.join(folder, "over.qcow2")
        with open(os.path.join(folder, name), "rb") as f:
            before = f.read()
        qemu("create", "-q", "-f", "qcow2", "-b", name, "-F", fmt, path, str(LEN))
        exercise(path, base + bytearray(LEN - len(base)), folder, rng)
        # A level more, and an absolute name.
        second = os.path.join(folder, "second.qcow2")
        qemu("create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", "-b", path, "-F", "qcow2", second)
        img = Image(path, readonly=1)
        disk = bytearray(img.read(0, LEN))
        assert img.words("info")["depth"] == "2"
        img.close()
        exercise(second, disk, folder, rng)
        with open(os.path.join(folder, name), "rb") as f:
            assert f.read() == before, "the backing file was written"
        os.unlink(path)
        os.unlink(second)


def snapshots_of_qemu(folder):
    """qemu-img"""
    rng = random.Random(8)
    disk = content(rng)
    path = os.path.join(folder, "disk.qcow2")
    qemu("convert", "-f", "raw", "-O", "qcow2", "-c", raw_file(folder, disk), path)
    first = bytes(disk)
    qemu("snapshot", "-c", "first", path)
    exercise(path, disk, folder, rng)
    second = bytes(disk)
    qemu("snapshot", "-c", "second", path)
    exercise(path, disk, folder, rng)
    img = Image(path)
    assert [s[1] for s in img.snapshots()] == ["first", "second"]
    img.ask("apply first")
    read_all(img, first)
    img.ask("apply 2")
    read_all(img, second)
    img.ask("delete first")
    img.close()
    exercise(path, bytearray(second), folder, rng)


def snapshots_for_qemu(folder):
    """What qemu-img snapshot -l and info say of ours."""
    path = os.path.join(folder, "disk.qcow2")
    create(path, LEN)
    img = Image(path)
    img.ask(f"vmwrite 0 {300000}", b"v" * 300000)
    img.ask("create one 300000 123456789")
    img.close()
    told = qemu("snapshot", "-l", path)
    line = [l for l in told.splitlines() if " one " in l]
    assert line and "293 KiB" in line[0] and "123456789" in line[0] and "01:01:01.000" in line[0], told
    assert '"vm-state-size": 300000' in qemu("info", "--output=json", path)
    qemu_check(path)


def qemu_io_zeros(folder):
    """Zero clusters with and without a cluster behind them; what qemu-img leaves and qemu-io writes."""
    if not shutil.which("qemu-io"):
        return
    rng = random.Random(9)
    disk = content(rng)
    path = os.path.join(folder, "disk.qcow2")
    qemu("convert", "-f", "raw", "-O", "qcow2", raw_file(folder, disk), path)
    script = []
    for i in range(40):
        at, n = rng.randrange(LEN >> 9) << 9, rng.choice([512, 65536, 131072])
        at = min(at, LEN - n)
        if i % 2:
            at &= ~65535
        script.append(f"write -z {'-u' if i % 4 == 1 else ''} {at} {n}")
        disk[at:at + n] = bytes(n)
    args = [a for s in script for a in ("-c", s)]
    subprocess.run(["qemu-io", "-f", "qcow2"] + args + [path], check=True, capture_output=True)
    exercise(path, disk, folder, rng)


def resized_by_qemu(folder):
    """qemu-img makes the disk longer, so that L1 moves, and the reference count table grows."""
    rng = random.Random(10)
    path = os.path.join(folder, "disk.qcow2")
    disk = content(rng)
    qemu("convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512", raw_file(folder, disk), path)
    qemu("resize", "-q", path, str(LEN * 3))
    exercise(path, disk + bytearray(LEN * 2), folder, rng)


def refused(folder):
    """qemu-img makes images that we do not support: each is refused with the reason."""
    path = os.path.join(folder, "disk.qcow2")
    for options, words in (("extended_l2=on,cluster_size=64k", "extended L2"),
                           (f"data_file={folder}/data.raw", "external")):
        qemu("create", "-q", "-f", "qcow2", "-o", options, path, str(LEN))
        for readonly in (0, 1):
            with open(path, "rb") as f:
                before = f.read()
            try:
                Image(path, readonly=readonly)
                raise AssertionError(f"{options} was accepted")
            except ToolError as e:
                assert words in e.text, e.text
            with open(path, "rb") as f:
                assert f.read() == before, "a refused image was written"
    qemu("create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
         "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", path, str(LEN))
    try:
        Image(path)
        raise AssertionError("an encrypted image was accepted")
    except ToolError as e:
        assert "encrypted" in e.text, e.text


def dirty_by_others(folder):
    """The dirty bit, set as by a writer with lazy counts that died; qemu-img agrees with the repair."""
    rng = random.Random(11)
    path = os.path.join(folder, "disk.qcow2")
    disk = content(rng)
    qemu("convert", "-f", "raw", "-O", "qcow2", "-o", "lazy_refcounts=on,cluster_size=4096", raw_file(folder, disk), path)
    with open(path, "r+b") as f:
        f.seek(48)
        reft = int.from_bytes(f.read(8), "big")
        f.seek(reft)
        block = int.from_bytes(f.read(8), "big")
        # Forget the counts of all but the first clusters.
        f.seek(block + 16)
        f.write(bytes(4096 - 16))
        f.seek(72)
        f.write((1).to_bytes(8, "big"))
    img = Image(path, readonly=1)
    read_all(img, disk)
    assert img.words("info")["dirty"] == "1"
    assert img.words("check")["errors"] != "0"
    img.close()
    exercise(path, disk, folder, rng, clean=False)
    img = Image(path, readonly=1)
    assert img.words("info")["dirty"] == "0"
    img.close()


def autoclear(folder):
    """A bitmap made by qemu-img: the header extension stays, the autoclear bit goes."""
    path = os.path.join(folder, "disk.qcow2")
    qemu("create", "-q", "-f", "qcow2", path, str(LEN))
    qemu("bitmap", "--add", path, "b0")
    with open(path, "rb") as f:
        before = f.read(65536)
    assert int.from_bytes(before[88:96], "big") == 1
    img = Image(path, readonly=1)
    img.close()
    with open(path, "rb") as f:
        assert f.read(65536) == before
    img = Image(path)
    img.write(0, b"x" * 512)
    img.close()
    with open(path, "rb") as f:
        after = f.read(65536)
    assert int.from_bytes(after[88:96], "big") == 0
    assert after[96:] == before[96:], "header extensions changed"


def locks(folder):
    """qemu-img and qemu-io see our locks, and we theirs."""
    path = os.path.join(folder, "disk.qcow2")
    over = os.path.join(folder, "over.qcow2")
    create(path, LEN)
    create(over, LEN, backing="disk.qcow2", backing_format="qcow2")

    def theirs(path, write):
        args = ["qemu-io", "-f", "qcow2"] + ([] if write else ["-r"]) + ["-c", "write 0 512" if write else "read 0 512"]
        r = subprocess.run(args + [path], capture_output=True, text=True)
        return r.returncode == 0 and "lock" not in r.stderr

    def ours(path, **options):
        try:
            Image(path, **options).close()
            return True
        except ToolError as e:
            assert "in use" in e.text, e.text
            return False

    if not shutil.which("qemu-io"):
        return
    assert theirs(path, True) and theirs(path, False) and ours(path)
    img = Image(path)
    assert not theirs(path, True) and not theirs(path, False) and not ours(path) and not ours(path, readonly=1)
    img.close()
    img = Image(path, readonly=1)
    assert not theirs(path, True) and theirs(path, False) and not ours(path) and ours(path, readonly=1)
    img.close()
    img = Image(over)
    assert not theirs(path, True) and theirs(path, False) and not theirs(over, True)
    img.close()
    for write in (True, False):
        p = subprocess.Popen(["qemu-io", "-f", "qcow2"] + ([] if write else ["-r"]) + [path], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        # Its answer tells that it has opened the image.
        p.stdin.write(b"read 0 512\n")
        p.stdin.flush()
        while b"ops" not in p.stdout.readline():
            pass
        assert not ours(path)
        assert ours(path, readonly=1) == (not write)
        assert ours(over) == (not write)
        p.communicate()
    assert ours(path)


if __name__ == "__main__":
    il.main([cluster_sizes, compat, preallocation, lazy_refcounts, refcount_bits, compressed, backing_files,
             snapshots_of_qemu, snapshots_for_qemu, qemu_io_zeros, resized_by_qemu, refused, dirty_by_others, autoclear,
             locks])
