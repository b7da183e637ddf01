#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Determinism by force: recordings and replays on a loaded host, with random processes of the group stopped and
continued. Every replay must agree with its recording, and every run of one log must end at the same icount.

    test_determinism.py [--rounds N] [--seed S] [--no-paste] [--no-load]
"""
import argparse
import os
import re

from lib import CACHE, Disturber, Load, Machine, Tap, boot_args, session, short_session

# -m and shift of the rounds, in turn.
MACHINES = [("64", 6), ("128", 7), ("192", 5)]
# What records and what replays: a log does not know, nor may a digest.
ENGINES = [("tcg", "tcg"), ("interp", "tcg"), ("tcg", "interp"), ("tcg,thresh=0", "tcg,budget=100"), ("interp", "interp")]
PASTE_BYTES = 65536


def disturbed_record(log, seed, ram, shift, engine, fn):
    args = boot_args(ram) + ["-accel", engine, "-icount", f"shift={shift},rr=record,rrfile={log}"]
    with Machine(args) as m:
        d = Disturber(m, seed)
        d.start()
        try:
            fn(m)
            status = m.wait(300)
        finally:
            d.end()
        if status != 0:
            raise session.SessionError(f"status {status}: {m.stderr()}")
        return m.stats(), bytes(m.output), d.n


def disturbed_replay(log, seed, ram, shift, engine):
    n = [0]

    def disturb(m):
        d = Disturber(m, seed)
        d.start()
        m.proc.wait(300)
        d.end()
        n[0] = d.n

    status, stats, out, err = session.replay(log, boot=boot_args(ram) + ["-accel", engine], icount=f",shift={shift}", disturb=disturb)
    return status, stats, out, err, n[0]


def received(m):
    """Bytes that the guest's driver has taken from the serial port."""
    return int(re.search(r"rx:(\d+)", m.run("cat /proc/tty/driver/serial")).group(1))


def paste_session(m):
    """64 KiB into `cat > /dev/null`; the driver's count of received bytes says that none was lost. Then 8 KiB
    through a pipe, which wc counts."""
    m.expect(session.PROMPT)
    m.run("stty -echo")
    line = ("0123456789abcdef" * 4)[:63] + "\n"
    before = received(m)
    m.send("cat > /dev/null\n")
    m.send(line * (PASTE_BYTES // len(line)) + "\x04")
    m.expect(session.PROMPT, 400)
    # Between the two counts lie: the rest of the command that counted first is nothing; the cat command, the
    # paste, its end of file, and the second command.
    typed = len("cat > /dev/null\n") + PASTE_BYTES + 1 + len("cat /proc/tty/driver/serial\n")
    got = received(m) - before
    if got != typed:
        raise session.SessionError(f"the guest received {got} bytes, {typed} were typed")
    m.send("cat | wc -c\n")
    m.send(line * 128 + "\x04")
    m.expect(rf"(?<!\d){len(line) * 128}(?!\d)", 300)
    m.expect(session.PROMPT)
    m.run("grep ttyS0 /proc/interrupts")
    m.send("poweroff -f\n")


def round_(tap, i, seed, name, fn):
    ram, shift = MACHINES[i % len(MACHINES)]
    log = os.path.join(CACHE, f"{name}{i}.bin")
    recorder, replayer = ENGINES[i % len(ENGINES)]
    what = f"{name} {i}: -m {ram} shift={shift} seed {seed}, {recorder} and {replayer}"
    try:
        rec, out, n = disturbed_record(log, seed, ram, shift, recorder, fn)
    except session.SessionError as e:
        tap.ok(False, f"{what}: recording", e)
        return
    tap.ok(True, f"{what}: recording under load, {n} pauses")
    status, rep, rout, err, n = disturbed_replay(log, seed + 1, ram, shift, replayer)
    good = status == 0 and rep is not None and rep["digest"] == rec["digest"] and rep["icount"] == rec["icount"]
    tap.ok(good, f"{what}: replay agrees, {n} pauses",
           f"status {status}, recorded {rec}, replayed {rep}\n{err}\nreplay it: dejavm {' '.join(boot_args(ram))} "
           f"-icount shift={shift},rr=replay,rrfile={log}")
    tap.ok(out == rout, f"{what}: serial output is the same", f"{len(out)} and {len(rout)} bytes")
    return log, rec


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--rounds", type=int, default=10)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--no-paste", action="store_true")
    ap.add_argument("--no-load", action="store_true")
    a = ap.parse_args()
    os.makedirs(CACHE, exist_ok=True)
    tap = Tap()
    with Load(0 if a.no_load else os.cpu_count() or 1):
        for i in range(a.rounds):
            round_(tap, i, a.seed + 100 * i, "session", short_session)
    # 4,700 interrupts, each a wake-up of the whole group: under full load that takes minutes of waiting for processors.
    if not a.no_paste:
        round_(tap, 1, a.seed, "paste", paste_session)
    tap.done()


if __name__ == "__main__":
    main()
