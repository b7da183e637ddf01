#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Random reads, writes, discards, flushes and snapshots against a model in memory; qemu-img has to agree with the file.

    test_model.py IMAGE_TOOL [TEST...]          SEED=n STEPS=n in the environment: other runs
"""
import os
import random

import imagelib as il
from imagelib import Image, create, qemu, qemu_check, same_content

SEED = int(os.environ.get("SEED", "1"))
STEPS = int(os.environ.get("STEPS", "250"))


class Model:
    def __init__(self, path, length, rng, base=b"", **options):
        self.path, self.length, self.rng, self.options = path, length, rng, options
        self.disk = bytearray(base[:length]) + bytearray(length - len(base[:length]))
        self.snaps = {}
        self.n = 0
        self.img = Image(path, **options)

    def place(self, longest):
        n = self.rng.choice([1, 512, 4096, 65536, longest])
        n = self.rng.randint(1, min(n, longest, self.length))
        at = self.rng.randrange(self.length - n + 1)
        if self.rng.random() < 0.7:
            at &= ~511
            n = min((n + 511) & ~511, self.length - at)
        return at, n

    def write(self):
        at, n = self.place(300000)
        kind = self.rng.random()
        data = bytes(n) if kind < 0.1 else bytes([self.rng.randrange(256)]) * n if kind < 0.4 else self.rng.randbytes(n)
        self.img.write(at, data)
        self.disk[at:at + n] = data

    def read(self):
        at, n = self.place(500000)
        got = self.img.read(at, n)
        assert got == self.disk[at:at + n], f"{self.path}: read {n} at {at} differs"

    def discard(self):
        at, n = self.place(self.length if self.rng.random() < 0.1 else 400000)
        self.img.discard(at, n)
        self.disk[at:at + n] = bytes(n)

    def snap(self):
        self.n += 1
        name = f"snap{self.n}"
        state = self.rng.randbytes(self.rng.choice([0, 1000, 200000]))
        if state:
            half = len(state) // 2
            self.img.ask(f"vmwrite 0 {half}", state[:half])
            self.img.ask(f"vmwrite {half} {len(state) - half}", state[half:])
        self.img.ask(f"create {name} {len(state)} {self.n * 1000}")
        self.snaps[name] = (bytes(self.disk), state)

    def apply(self):
        name = self.rng.choice(sorted(self.snaps))
        self.img.ask(f"apply {name}")
        self.disk[:] = self.snaps[name][0]

    def delete(self):
        name = self.rng.choice(sorted(self.snaps))
        self.img.ask(f"delete {name}")
        del self.snaps[name]

    def vmread(self):
        name = self.rng.choice(sorted(self.snaps))
        state = self.snaps[name][1]
        if state:
            at = self.rng.randrange(len(state))
            assert self.img.ask(f"vmread {name} {at} {len(state) - at}") == state[at:], "VM state differs"

    def step(self, max_snaps):
        r = self.rng.random()
        if r < 0.45:
            self.write()
        elif r < 0.75:
            self.read()
        elif r < 0.87:
            self.discard()
        elif r < 0.93:
            self.img.flush()
        elif len(self.snaps) < max_snaps and r < 0.95:
            self.snap()
        elif self.snaps:
            self.rng.choice([self.apply, self.delete, self.vmread, self.vmread])()

    def all_read(self):
        got = b"".join(self.img.read(o, min(1 << 20, self.length - o)) for o in range(0, self.length, 1 << 20))
        assert got == self.disk, f"{self.path}: the whole disk differs"

    def check(self):
        found = self.img.words("check")
        assert found["errors"] == "0" and found["leaks"] == "0", found

    def reopen(self):
        self.img.close()
        self.img = Image(self.path, **self.options)


def run(folder, length, max_snaps=3, base=b"", image=None, seed_text="", **options):
    rng = random.Random(f"{SEED} {seed_text} {length} {options} {image}")
    path = os.path.join(folder, "disk.qcow2")
    if image is not None:
        create(path, length, **image)
    m = Model(path, length, rng, base, **options)
    for i in range(STEPS):
        m.step(max_snaps)
        if i % 100 == 99:
            m.check()
            if rng.random() < 0.5:
                m.reopen()
    m.all_read()
    m.check()
    names = [s[1] for s in m.img.snapshots()]
    assert sorted(names) == sorted(m.snaps), (names, m.snaps.keys())
    m.img.close()
    if not il.QEMU_IMG:
        return
    qemu_check(path)
    same_content(path, m.disk, folder)
    told = qemu("snapshot", "-l", path)
    for name in m.snaps:
        assert name in told, told
    # What each snapshot holds, as qemu-img sees it.
    for name, (disk, _) in m.snaps.items():
        raw, want = os.path.join(folder, "snap.raw"), os.path.join(folder, "want.raw")
        qemu("convert", "-l", f"snapshot.name={name}", "-f", "qcow2", "-O", "raw", path, raw)
        with open(want, "wb") as f:
            f.write(disk)
        qemu("compare", "-f", "raw", "-F", "raw", raw, want)
    # And qemu-img can go on with it: its writes, then ours again.
    for name in sorted(m.snaps):
        qemu("snapshot", "-a", name, path)
        qemu_check(path)
        m.img = Image(path, **options)
        m.disk[:] = m.snaps[name][0]
        m.all_read()
        m.write()
        m.img.close()
        qemu_check(path)
    for name in sorted(m.snaps):
        qemu("snapshot", "-d", name, path)
    qemu_check(path)
    same_content(path, m.disk, folder)


def clusters_512(folder):
    run(folder, 3 << 20, image={"cluster_bits": 9})


def clusters_4k(folder):
    run(folder, 20 << 20, image={"cluster_bits": 12})


def clusters_64k(folder):
    run(folder, (64 << 20) + 512, image={})


def clusters_2m(folder):
    run(folder, 33 << 20, image={"cluster_bits": 21})


def version_2(folder):
    run(folder, 9 << 20, image={"version": 2, "cluster_bits": 10})


def lazy(folder):
    run(folder, 9 << 20, image={"lazy": 1, "cluster_bits": 12})


def counts_of_1_bit(folder):
    run(folder, 9 << 20, max_snaps=0, image={"refcount_order": 0, "cluster_bits": 12})


def counts_of_2_bits(folder):
    run(folder, 9 << 20, max_snaps=1, image={"refcount_order": 1, "cluster_bits": 12})


def counts_of_64_bits(folder):
    run(folder, 9 << 20, image={"refcount_order": 6, "cluster_bits": 9})


def tables_back(folder):
    run(folder, 9 << 20, image={"cluster_bits": 12}, back=1)


def tables_back_512(folder):
    run(folder, 3 << 20, image={"cluster_bits": 9}, back=1)


def evictions(folder, **options):
    """More tables than the cache holds: tiny clusters, wide counts, requests all over the disk."""
    rng = random.Random(f"{SEED} evictions {options}")
    path = os.path.join(folder, "disk.qcow2")
    length = 80 << 20
    create(path, length, cluster_bits=9, refcount_order=6)
    m = Model(path, length, rng, **options)
    for i in range(STEPS * 14):
        n = rng.choice([512, 512, 4096, 10240])
        at = rng.randrange((length - n) >> 9) << 9
        r = rng.random()
        if r < 0.8:
            data = rng.randbytes(n)
            m.img.write(at, data)
            m.disk[at:at + n] = data
        elif r < 0.9:
            m.img.discard(at, n)
            m.disk[at:at + n] = bytes(n)
        elif r < 0.995:
            assert m.img.read(at, n) == m.disk[at:at + n], f"read {n} at {at} differs"
        else:
            m.img.flush()
        if i == STEPS * 7:
            m.snap()
    m.check()
    m.all_read()
    m.apply()
    m.check()
    m.reopen()
    m.all_read()
    m.delete()
    m.check()
    m.img.close()
    if il.QEMU_IMG:
        qemu_check(path)
        same_content(path, m.disk, folder)


def evictions_back(folder):
    evictions(folder, back=1)


def over_raw(folder):
    base = random.Random(3).randbytes(5 << 20) + b"end"
    with open(os.path.join(folder, "base.raw"), "wb") as f:
        f.write(base)
    run(folder, 9 << 20, base=base, image={"cluster_bits": 12, "backing": "base.raw", "backing_format": "raw"})
    with open(os.path.join(folder, "base.raw"), "rb") as f:
        assert f.read() == base, "the base was written"


def over_raw_version_2(folder):
    base = random.Random(3).randbytes(5 << 20)
    with open(os.path.join(folder, "base.raw"), "wb") as f:
        f.write(base)
    run(folder, 9 << 20, base=base,
        image={"version": 2, "cluster_bits": 16, "backing": "base.raw", "backing_format": "raw"})


def over_a_longer_chain(folder):
    """Three images of different lengths, qcow2 over qcow2 over raw."""
    base = random.Random(4).randbytes(7 << 20)
    with open(os.path.join(folder, "base.raw"), "wb") as f:
        f.write(base)
    middle = os.path.join(folder, "middle.qcow2")
    create(middle, 6 << 20, backing="base.raw", backing_format="raw", cluster_bits=9)
    img = Image(middle)
    disk = bytearray(base[:6 << 20])
    for at, n in ((0, 100), (1 << 20, 70000), (3 << 20, 512)):
        img.write(at, b"m" * n)
        disk[at:at + n] = b"m" * n
    img.discard(2 << 20, 100000)
    disk[2 << 20:(2 << 20) + 100000] = bytes(100000)
    img.close()
    run(folder, 9 << 20, base=bytes(disk),
        image={"cluster_bits": 16, "backing": "middle.qcow2", "backing_format": "qcow2"})


def raw(folder):
    path = os.path.join(folder, "disk.raw")
    length = (5 << 20) + 100
    with open(path, "wb") as f:
        f.truncate(length)
    m = Model(path, length, random.Random(SEED), format="raw")
    assert m.img.words("info")["len"] == str((length + 511) & ~511)
    for _ in range(STEPS):
        m.step(0)
    m.all_read()
    assert m.img.read(length - 100, 100 + 412) == m.disk[-100:] + bytes(412)
    m.img.write(length - 10, b"x" * 100)
    m.disk[-10:] = b"x" * 10
    assert m.img.read(length - 10, 100) == b"x" * 10 + bytes(90)
    m.img.close()
    with open(path, "rb") as f:
        assert f.read() == m.disk


def qemu_writes_in_between(folder):
    """qemu-img, which is qemu-io's other half, snapshots an image that we write."""
    path = os.path.join(folder, "disk.qcow2")
    rng = random.Random(SEED)
    create(path, 8 << 20, cluster_bits=12)
    m = Model(path, 8 << 20, rng)
    for round_nr in range(5):
        for _ in range(60):
            m.step(0)
        m.img.close()
        qemu_check(path)
        qemu("snapshot", "-c", f"q{round_nr}", path)
        m.snaps[f"q{round_nr}"] = (bytes(m.disk), b"")
        m.img = Image(path)
        m.check()
    m.apply()
    m.delete()
    m.all_read()
    m.img.close()
    qemu_check(path)
    same_content(path, m.disk, folder)


if __name__ == "__main__":
    il.main([clusters_512, clusters_4k, clusters_64k, clusters_2m, version_2, lazy, counts_of_1_bit, counts_of_2_bits,
             counts_of_64_bits, tables_back, tables_back_512, evictions, evictions_back, over_raw, over_raw_version_2, over_a_longer_chain, raw,
             qemu_writes_in_between])
