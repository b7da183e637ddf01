#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures in all modes (tests/guest/pictures.c): the same, pixel by pixel, as QEMU's; recorded, replayed, and by each engine."""
import os
import shutil
import socket
import subprocess
import tempfile
import time

from lib import CACHE, Tap, session
from rfb import Qmp, connect, read_ppm

BUILD = os.environ.get("DEJAVM_BUILD", os.path.join(session.ROOT, "build"))
KERNEL = os.path.join(BUILD, "tests", "guest", "pictures.elf")


def draw(cmd, tmp):
    """All pictures, in order: [(letter, (width, height, rows))]."""
    out = []
    with open(os.path.join(tmp, "err"), "wb") as err:
        p = subprocess.Popen(cmd, stdout=err, stderr=err, stdin=subprocess.DEVNULL)
    try:
        serial = connect(os.path.join(tmp, "serial"))
        serial.settimeout(60)
        q = Qmp(os.path.join(tmp, "qmp"))
        q.cmd("cont")
        while serial.recv(1) == b"P":
            letter = serial.recv(1).decode()
            # QEMU redraws text when it likes; the second picture has it all.
            for _ in range(1 if "qemu" not in cmd[0] else 2):
                q.cmd("screendump", filename=os.path.join(tmp, "p.ppm"))
            out.append((letter, read_ppm(os.path.join(tmp, "p.ppm"))))
            serial.sendall(b"n")
        q.cmd("quit")
        p.wait(20)
    except (OSError, socket.timeout, ValueError):
        with open(os.path.join(tmp, "err"), "rb") as f:
            print(f"# {cmd[0]}: {f.read().decode(errors='replace')}")
        raise
    finally:
        p.kill()
        p.wait()
    return out


def common(tmp):
    return ["-m", "32", "-kernel", KERNEL, "-S", "-qmp", f"unix:{tmp}/qmp,server=on,wait=off",
            "-serial", f"unix:{tmp}/serial,server=on,wait=off"]


def first_difference(a, b, bits):
    """Of the bits that the adapter has: how the rest is filled up is each one's own."""
    if a[:2] != b[:2]:
        return f"{a[0]}x{a[1]}, and {b[0]}x{b[1]}"
    cut = bytes(v >> (8 - bits) for v in range(256))
    a, b = ((*p[:2], [bytes(row).translate(cut) for row in p[2]]) for p in (a, b))
    for y in range(a[1]):
        if a[2][y] != b[2][y]:
            x = next(i for i in range(len(a[2][y])) if a[2][y][i] != b[2][y][i]) // 3
            return (f"{a[0]}x{a[1]}, pixel {x},{y}: {a[2][y][3 * x:3 * x + 3].hex()}, "
                    f"and {b[2][y][3 * x:3 * x + 3].hex()}")
    return ""


def compare(tap, ours, theirs, whose):
    tap.ok([n for n, _ in ours] == [n for n, _ in theirs], f"as many pictures as {whose}")
    for (n, a), (_, b) in zip(ours, theirs):
        d = first_difference(a, b, {"o": 5, "p": 8, "q": 8, "r": 8}.get(n.lower(), 6))
        tap.ok(not d, f"picture {n} is that of {whose}", d)


def main():
    tap = Tap()
    os.makedirs(CACHE, exist_ok=True)
    tmp = tempfile.mkdtemp(prefix="dejavm-pictures-")
    log = os.path.join(CACHE, "pictures.bin")
    dejavm = [session.launcher()]
    try:
        ours = draw(dejavm + common(tmp) + ["-icount", f"rr=record,rrfile={log}"], tmp)
        tap.ok(len(ours) > 25, "pictures", len(ours))
        p = subprocess.run(dejavm + ["-m", "32", "-kernel", KERNEL, "-serial", "null", "-accel", "interp",
                                     "-icount", f"rr=replay,rrfile={log}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        tap.ok(p.returncode == 0, "replayed by the interpreter: the same digests", p.stdout.decode(errors="replace"))
        if shutil.which("qemu-system-i386"):
            theirs = draw(["qemu-system-i386", "-display", "none", "-vga", "std", "-net", "none"] + common(tmp), tmp)
            compare(tap, ours, theirs, "QEMU")
        else:
            tap.skip("pictures are those of QEMU", "there is no qemu-system-i386")
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    tap.done()


if __name__ == "__main__":
    main()
