#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Power cuts. Every change that a writer makes to its file is recorded; then the file is built again as it was after each
of them, or, for tables that wait for flushes, as it may have been: of what was not yet durable, any part, down to
single sectors. Each of these images has to be sound but for lost clusters, and to hold what was promised:

    through     what a completed request wrote (the order of writing is kept, as when only the process dies)
    back        what a completed flush made durable

And the process itself is killed, in the middle of writes.

    test_powercut.py IMAGE_TOOL [TEST...]          SEED=n CUTS=n in the environment: other runs
"""
import os
import random
import signal
import struct

import imagelib as il
from imagelib import Died, Image, ToolError, create, qemu_check

SEED = int(os.environ.get("SEED", "1"))
CUTS = int(os.environ.get("CUTS", "25"))
SECTOR = 512


class Command:
    """What was asked, and what it does to the disk: parts that become true one by one, or the whole at once."""

    def __init__(self, line, data=b"", parts=(), whole=None, names=None, flush=False):
        self.line, self.data, self.parts, self.whole, self.names = line, data, parts, whole, names
        self.flush = flush


def script(rng, length, n, snapshots, longest=40000):
    """Random commands; all are of whole sectors."""
    disk = bytearray(length)
    snaps, commands, nr = {}, [], 0
    often = False
    for _ in range(n):
        # Stretches of writes with many flushes, of which some find nothing to free.
        often = not often if rng.random() < 0.1 else often
        if often and commands and commands[-1].parts and rng.random() < 0.5:
            commands.append(Command("flush", flush=True))
            continue
        r = rng.random() * (0.6 if often else 1)
        at = rng.randrange(length // SECTOR) * SECTOR
        size = min(rng.randint(1, longest // SECTOR) * SECTOR, length - at)
        if r < 0.6:
            data = rng.randbytes(size)
            commands.append(Command(f"write {at} {size}", data, ((at, data),)))
            disk[at:at + size] = data
        elif r < 0.8 or (not snapshots and r < 0.93):
            commands.append(Command(f"discard {at} {size}", b"", ((at, bytes(size)),)))
            disk[at:at + size] = bytes(size)
        elif r < 0.93 and len(snaps) < 3:
            nr += 1
            if rng.random() < 0.5:
                state = rng.randbytes(30000)
                commands.append(Command(f"vmwrite 0 {len(state)}", state))
            snaps[f"s{nr}"] = bytes(disk)
            commands.append(Command(f"create s{nr} 0 0", names=dict(snaps), flush=True))
        elif r < 0.93 and rng.random() < 0.5:
            name = rng.choice(sorted(snaps))
            del snaps[name]
            commands.append(Command(f"delete {name}", names=dict(snaps), flush=True))
        elif r < 0.93:
            name = rng.choice(sorted(snaps))
            disk[:] = snaps[name]
            commands.append(Command(f"apply {name}", whole=snaps[name], flush=True))
        else:
            commands.append(Command("flush", flush=True))
    return commands


def record(path, commands, folder, **options):
    """Runs the commands; returns the file before, and the trace."""
    with open(path, "rb") as f:
        before = f.read()
    trace = os.path.join(folder, "trace")
    img = Image(path, trace=trace, **options)
    for c in commands:
        img.ask(c.line, c.data)
    img.close()
    records = []
    with open(trace, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        op, offset, n = struct.unpack_from("<cQQ", data, at)
        at += 17
        body = data[at:at + n] if op == b"W" else b""
        at += len(body)
        records.append((op.decode(), offset, n, body))
    return before, records


def put(file, op, offset, n, body):
    if op == "T":
        if offset < len(file):
            del file[offset:]
        else:
            file.extend(bytes(offset - len(file)))
    else:
        data = body if op == "W" else bytes(max(0, min(n, len(file) - offset)))
        if offset + len(data) > len(file):
            file.extend(bytes(offset + len(data) - len(file)))
        file[offset:offset + len(data)] = data


class Truth:
    """What the disk may hold after a cut: each sector one of some values; the snapshots one of some lists."""

    def __init__(self, length):
        self.sure = bytearray(length)  # what the last promise covers
        self.names = {}
        self.since = []  # commands after that, the last one maybe not complete

    def promise(self, upto):
        for c in self.since[:upto]:
            for at, data in c.parts:
                self.sure[at:at + len(data)] = data
            if c.whole is not None:
                self.sure[:] = c.whole
            if c.names is not None:
                self.names = c.names
        del self.since[:upto]

    def check(self, got, names, applied):
        """got: the disk; names: its snapshots; applied: those snapshots' contents."""
        now, may = bytearray(self.sure), {}
        lists = [self.names]
        for c in self.since:
            parts = list(c.parts) + ([(0, c.whole)] if c.whole is not None else [])
            for at, data in parts:
                for s in range(at, at + len(data), SECTOR):
                    may.setdefault(s, {bytes(now[s:s + SECTOR])}).add(bytes(data[s - at:s - at + SECTOR]))
                now[at:at + len(data)] = data
            if c.names is not None:
                lists.append(c.names)
        for s in range(0, len(got), SECTOR):
            value = got[s:s + SECTOR]
            allowed = may.get(s)
            if allowed is None:
                assert value == self.sure[s:s + SECTOR], f"sector {s // SECTOR}: what was promised is lost"
            else:
                assert value in allowed, f"sector {s // SECTOR}: neither old nor new"
        found = [l for l in lists if sorted(l) == sorted(names)]
        assert found, (names, [sorted(l) for l in lists])
        for name, disk in applied.items():
            assert disk == found[0][name], f"snapshot {name} differs"


def examine(path, file, truth, length, rng, folder):
    with open(path, "wb") as f:
        f.write(file)
    img = Image(path, readonly=1)
    dirty = img.words("info")["dirty"] == "1"
    if not dirty:
        found = img.words("check")
        assert found["errors"] == "0", found
    got = img.read(0, length)
    names = [s[1] for s in img.snapshots()]
    img.close()
    if not dirty and il.QEMU_IMG and rng.random() < 0.15:
        qemu_check(path, leaks=True)
    # A writer opens it (and repairs, if it has to); all goes on.
    img = Image(path)
    assert img.read(0, length) == got, "the repair changed the disk"
    applied = {}
    if names and rng.random() < 0.3:
        name = rng.choice(names)
        img.ask(f"apply {name}")
        applied[name] = img.read(0, length)
    img.write(0, b"after" * 1000)
    found = img.words("check")
    assert found["errors"] == "0", found
    img.close()
    if il.QEMU_IMG and rng.random() < 0.15:
        qemu_check(path, leaks=True)
    truth.check(got, names, applied)


def cut(folder, seed_text, length=256 << 10, snapshots=True, n=80, back=False, **image):
    rng = random.Random(f"{SEED} {seed_text} {image}")
    path = os.path.join(folder, "disk.qcow2")
    create(path, length, **image)
    commands = script(rng, length, n, snapshots)
    before, records = record(path, commands, folder, **({"back": 1} if back else {}))
    points = set(rng.sample(range(len(records) + 1), min(CUTS, len(records) + 1))) | {len(records)}
    durable, pending = bytearray(before), []
    truth = Truth(length)
    done = 0
    for i, (op, offset, size, body) in enumerate(records + [("end", 0, 0, b"")]):
        if i in points:
            file = bytearray(durable)
            for p in pending:
                if not back:
                    put(file, *p)
                elif p[0] == "W" and p[2] > SECTOR and rng.random() < 0.3:
                    # Torn: any of its sectors.
                    for s in range(0, p[2], SECTOR):
                        if rng.random() < 0.5:
                            part = p[3][s:s + SECTOR]
                            put(file, "W", p[1] + s, len(part), part)
                elif rng.random() < 0.6:
                    put(file, *p)
            # The next command may be in its middle.
            truth.since.append(commands[done] if done < len(commands) else Command("close"))
            try:
                examine(path, file, truth, length, rng, folder)
            except (AssertionError, ToolError) as e:
                broken = os.path.join(folder, "cut.qcow2")
                with open(broken, "wb") as f:
                    f.write(file)
                raise AssertionError(f"cut before change {i} of {len(records)} ({op} {offset} {size}), in command "
                                     f"{done} ({truth.since[-1].line}): {e}; the image: {broken}") from e
            truth.since.pop()
        if op == "S":
            for p in pending:
                put(durable, *p)
            pending = []
        elif op == "A":
            if done == len(commands):
                continue
            truth.since.append(commands[done])
            done += 1
            if not back or truth.since[-1].flush:
                truth.promise(len(truth.since))
        elif op != "end":
            pending.append((op, offset, size, body))


def through_512(folder):
    cut(folder, "a", cluster_bits=9)


def through_4k(folder):
    cut(folder, "b", cluster_bits=12)


def through_64k(folder):
    cut(folder, "c", length=1 << 20, cluster_bits=16)


def through_lazy(folder):
    cut(folder, "d", cluster_bits=9, lazy=1)


def through_version_2(folder):
    """Snapshots apart, whose COPIED bits have no dirty bit to excuse them in version 2."""
    cut(folder, "e", cluster_bits=9, version=2, snapshots=False)


def through_wide_counts(folder):
    cut(folder, "f", cluster_bits=9, refcount_order=6)


def back_512(folder):
    cut(folder, "g", cluster_bits=9, back=True)


def back_4k(folder):
    cut(folder, "h", cluster_bits=12, back=True)


def back_64k(folder):
    cut(folder, "i", length=1 << 20, cluster_bits=16, back=True)


def back_lazy(folder):
    cut(folder, "j", cluster_bits=9, lazy=1, back=True)


def back_wide_counts(folder):
    cut(folder, "k", cluster_bits=9, refcount_order=6, back=True)


def killed(folder):
    """SIGKILL in the middle of the N-th write."""
    rng = random.Random(f"{SEED} killed")
    path = os.path.join(folder, "disk.qcow2")
    length = 256 << 10
    deaths = 0
    for i in range(CUTS):
        create(path, length, cluster_bits=rng.choice([9, 12, 16]))
        truth = Truth(length)
        img = Image(path, kill=rng.randint(1, 150))
        try:
            for c in script(rng, length, 60, i % 2):
                truth.since.append(c)
                img.ask(c.line, c.data)
                truth.promise(1)
            img.kill()
        except Died:
            img.kill()
            assert img.p.returncode == -signal.SIGKILL, img.p.returncode
            deaths += 1
        with open(path, "rb") as f:
            examine(path, f.read(), truth, length, rng, folder)
    assert deaths > CUTS // 4, deaths


def failing_writes(folder):
    """ENOSPC and EIO at the N-th change: an error for the request, never a damaged image, never lost data."""
    rng = random.Random(f"{SEED} failing")
    path = os.path.join(folder, "disk.qcow2")
    length = 256 << 10
    errors = 0
    for i in range(CUTS):
        create(path, length, cluster_bits=rng.choice([9, 12, 16]))
        disk, unsure = bytearray(length), {}
        img = Image(path, fail=f"{rng.randint(1, 150)}:{rng.choice([28, 5])}")
        snapshots = i % 2
        for c in script(rng, length, 40, snapshots):
            before = bytes(disk)
            try:
                img.ask(c.line, c.data)
                for at, data in c.parts:
                    disk[at:at + len(data)] = data
                    for s in range(at, at + len(data), SECTOR):
                        unsure.pop(s, None)
            except ToolError as e:
                # A snapshot that could not be made is not there for later commands, either.
                assert e.code in (28, 5, 2), e
                errors += 1
                for at, data in c.parts:
                    for s in range(at, at + len(data), SECTOR):
                        unsure.setdefault(s, {before[s:s + SECTOR]}).add(data[s - at:s - at + SECTOR])
        try:
            img.close()
        except ToolError:
            pass
        img = Image(path, readonly=1)
        found = img.words("check")
        assert found["errors"] == "0" or img.words("info")["dirty"] == "1", found
        img.close()
        img = Image(path)
        got = img.read(0, length)
        for s in range(0, length if not snapshots else 0, SECTOR):
            assert got[s:s + SECTOR] in unsure.get(s, {bytes(disk[s:s + SECTOR])}), f"sector {s // SECTOR} is lost"
        found = img.words("check")
        assert found["errors"] == "0", found
        img.close()
    assert errors > CUTS // 4, errors


if __name__ == "__main__":
    il.main([through_512, through_4k, through_64k, through_lazy, through_version_2, through_wide_counts,
             back_512, back_4k, back_64k, back_lazy, back_wide_counts, killed, failing_writes])
