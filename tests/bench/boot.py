#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Wall time from the command to a shell prompt and to the end of the run: dejavm plain, recording and replaying, beside
QEMU plain, with -icount, and recording. The rows take turns, so that a noisy minute hits all of them.

    boot.py [--runs N] [--ram MB] [--shift N] [--no-qemu]
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import session  # noqa: E402


def shell_then_off(m):
    m.expect(session.PROMPT)
    m.at_prompt = time.monotonic() - m.start
    m.send("poweroff -f\n")


class Qemu(session.Machine):
    """The same console driver over qemu-system-i386."""

    def __init__(self, args, vga="none"):
        self.dir = tempfile.mkdtemp(prefix="dejavm-bench-")
        self.err_path = os.path.join(self.dir, "stderr")
        self.output = bytearray()
        self.progress = None
        path = os.path.join(self.dir, "serial0.sock")
        self.err = open(self.err_path, "wb")
        self.start = time.monotonic()
        self.proc = subprocess.Popen(["qemu-system-i386", "-display", "none", "-vga", vga, "-net", "none", "-no-reboot", "-accel", "tcg",
                                      "-serial", f"unix:{path},server=on,wait=on"] + args,
                                     stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err, start_new_session=True)
        self.connect(path)


def run_dejavm(extra, boot):
    with session.Machine(boot + extra) as m:
        shell_then_off(m)
        status = m.wait(600)
        if status != 0:
            raise session.SessionError(m.stderr())
        return m.at_prompt, m.wall, m.stats()


def run_replay(log, boot, shift):
    status, s, _, err = session.replay(log, boot=boot, icount=shift)
    if status != 0:
        raise session.SessionError(err)
    return None, s["wall_s"], s


def run_qemu(extra, boot):
    with Qemu(boot + extra) as m:
        shell_then_off(m)
        m.wait(600)
        return m.at_prompt, m.wall, None


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--ram", default="128")
    ap.add_argument("--shift", type=int, default=3)
    ap.add_argument("--no-qemu", action="store_true")
    a = ap.parse_args()
    boot = session.boot_args(a.ram)
    tmp = tempfile.mkdtemp(prefix="dejavm-bench-")
    log, qlog = os.path.join(tmp, "boot.bin"), os.path.join(tmp, "qemu.bin")
    shift = f",shift={a.shift}"
    rows = [
        ("dejavm plain", lambda: run_dejavm(["-icount", f"shift={a.shift}"], boot)),
        ("dejavm recording", lambda: run_dejavm(["-icount", f"shift={a.shift},rr=record,rrfile={log}"], boot)),
        ("dejavm replaying", lambda: run_replay(log, boot, shift)),
    ]
    if not a.no_qemu and shutil.which("qemu-system-i386"):
        rows += [
            ("QEMU plain", lambda: run_qemu([], boot)),
            ("QEMU -icount shift=1,sleep=off", lambda: run_qemu(["-icount", "shift=1,sleep=off"], boot)),
            ("QEMU rr=record", lambda: run_qemu(["-icount", f"shift=1,rr=record,rrfile={qlog}"], boot)),
        ]
    else:
        print("QEMU's rows are skipped: no qemu-system-i386")
    times = {name: [] for name, _ in rows}
    prompts = {name: [] for name, _ in rows}
    last = {}
    for _ in range(a.runs):
        for name, fn in rows:
            prompt, wall, stats = fn()
            times[name].append(wall)
            if prompt is not None:
                prompts[name].append(prompt)
            last[name] = stats
    base = statistics.median(times["dejavm plain"])
    print(f"{'':32} {'to shell':>9} {'to end':>9} {'min':>8} {'max':>8}  {'ratio to dejavm plain':>8}")
    for name, _ in rows:
        t = times[name]
        p = f"{statistics.median(prompts[name]):8.2f}s" if prompts[name] else f"{'-':>9}"
        print(f"{name:32} {p} {statistics.median(t):8.2f}s {min(t):7.2f}s {max(t):7.2f}s  {statistics.median(t) / base:8.2f}")
    s = last["dejavm recording"]
    print(f"recorded run: {s['icount']:,} instructions, {s['events']:,} events; log {os.path.getsize(log):,} bytes", end="")
    print(f"; QEMU's log {os.path.getsize(qlog):,} bytes" if os.path.exists(qlog) else "")
    print(f"recording / plain: {statistics.median(times['dejavm recording']) / base:.3f}; replay / recording: "
          f"{statistics.median(times['dejavm replaying']) / statistics.median(times['dejavm recording']):.3f}")
    shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    main()
