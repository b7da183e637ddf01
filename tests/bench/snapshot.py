#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long savevm and loadvm take, in a guest of 256 MiB after its boot: from the command to the prompt, guest standing still.

    snapshot.py [--ram MIB] [--n N] [--qemu]

--qemu measures qemu-system-i386 the same way, alternately with ours.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from lib import Machine, session  # noqa: E402
import monitor  # noqa: E402
from monitor import Monitor  # noqa: E402


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds(mon, n, cpu=lambda: 0.0):
    """[(seconds, CPU seconds)] of savevm, of loadvm."""
    save, load = [], []
    for i in range(n):
        for line, out in ((f"savevm s{i % 2}", save), (f"loadvm s{i % 2}", load)):
            c = cpu()
            text = mon.cmd(line)
            # What a human monitor echoes may be there; an error is.
            if "Error" in text:
                raise SystemExit(f"snapshot.py: {line}: {text}")
            out.append((mon.seconds, cpu() - c))
    return save, load


def ours(ram, n, tmp):
    sock = os.path.join(tmp, "mon")
    args = session.boot_args(str(ram)) + ["-snapshots", os.path.join(tmp, "s.qcow2")] + monitor.args(sock)
    with Machine(args) as m:
        mon = Monitor(sock)
        m.expect(session.PROMPT)
        rounds(mon, 1)
        pid = m.members()["snapstore"]
        r = rounds(mon, n, lambda: cpu_seconds(pid))
        mon.close()
        return r


def qemu(ram, n, tmp):
    sock, disk = os.path.join(tmp, "qmon"), os.path.join(tmp, "q.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    serial = os.path.join(tmp, "serial")
    p = subprocess.Popen(["qemu-system-i386", "-display", "none", *session.boot_args(str(ram)), "-hda", disk, "-serial", f"file:{serial}",
                          *monitor.args(sock)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while not (os.path.exists(serial) and b"dejavm#" in open(serial, "rb").read()):
            if time.monotonic() > end:
                raise SystemExit("snapshot.py: QEMU's guest does not come up")
            time.sleep(0.2)
        mon = Monitor(sock)
        rounds(mon, 1)
        return rounds(mon, n, lambda: cpu_seconds(p.pid))
    finally:
        p.kill()
        p.wait()


def show(who, what, v):
    wall = [w for w, _ in v]
    print(f"{who:8} {what:8} {statistics.median(wall):6.3f} s  (least {min(wall):.3f}, most {max(wall):.3f}; "
          f"CPU {statistics.median(c for _, c in v):.3f} s)", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ram", type=int, default=256)
    p.add_argument("--n", type=int, default=7)
    p.add_argument("--qemu", action="store_true")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        print(f"{a.ram} MiB, after boot; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        save, load = ours(a.ram, a.n, tmp)
        show("dejavm", "savevm", save)
        show("dejavm", "loadvm", load)
        if a.qemu and shutil.which("qemu-system-i386"):
            save, load = qemu(a.ram, a.n, tmp)
            show("QEMU", "savevm", save)
            show("QEMU", "loadvm", load)


if __name__ == "__main__":
    main()
