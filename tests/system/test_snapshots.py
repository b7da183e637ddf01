#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots of whole machines: taken at random moments of a busy recording, each resumes in a replay to the same end, whatever the
engine, and the guest has not noticed; taken and loaded while replaying and while neither; damaged ones and those of others are refused.

    test_snapshots.py [--seed N] [PART...]

Parts: recorded replayed plain start names refused disk.
"""
import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from lib import CACHE, Machine, Tap, boot_args, session
import monitor
from monitor import Monitor

N_SNAPSHOTS = 10


def work(name):
    os.makedirs(CACHE, exist_ok=True)
    return os.path.join(CACHE, "snap-" + name)


def gone(*paths):
    for p in paths:
        if os.path.exists(p):
            os.unlink(p)


def sock():
    return work(f"mon{os.getpid()}.sock")


def rr(mode, log, extra=""):
    return ["-icount", f"rr={mode},rrfile={log}{extra}"]


def images(log):
    return log + ".snapshots.qcow2"


class Runner:
    """A machine with a monitor."""

    def __init__(self, args, serial=True):
        gone(sock())
        self.m = Machine(args + monitor.args(sock()), serial=serial)

    def __enter__(self):
        try:
            self.mon = Monitor(sock())
        except OSError:
            self.m.wait(5)
            raise AssertionError(self.m.stderr())
        return self.m, self.mon

    def __exit__(self, *exc):
        self.mon.close()
        self.m.close()


def run_to_end(args, timeout=120):
    """(status, final icount and digest, output, errors) of a run that needs nobody."""
    out = work("serial")
    with Machine(args, serial=f"file:{out}") as m:
        status = m.wait(timeout)
        s = m.stats() if status == 0 else {}
        with open(out, "rb") as f:
            return status, (s.get("icount"), s.get("digest")), f.read(), m.stderr()


def end_of(m):
    status = m.wait(60)
    if status != 0:
        raise AssertionError(f"status {status}: {m.stderr()}")
    s = m.stats()
    return s["icount"], s["digest"]


BUSY = ("i=0; while [ $i -lt 60 ]; do i=$((i+1)); dd if=/dev/urandom of=/tmp/f$((i%7)) bs=4k count=20 2>/dev/null; "
        "md5sum /tmp/f$((i%7)); sleep 0.0$((i%9)); done; cat /tmp/f* | md5sum\n")


def busy(m, at_random, rng):
    """Boots, works, types meanwhile, powers off; at_random() is called N_SNAPSHOTS times on the way."""
    for _ in range(2):
        time.sleep(rng.uniform(0.1, 1.5))
        at_random()
    m.expect(session.PROMPT)
    at_random()
    m.send(BUSY)
    for i in range(N_SNAPSHOTS - 4):
        end = time.monotonic() + rng.uniform(0.05, 0.6)
        while time.monotonic() < end:
            m.pump(0.02)
        at_random()
        m.sock.send(b"echo typed %d\n" % i)
    m.expect(rf"\ntyped {N_SNAPSHOTS - 5}\r\n")
    m.send("sleep 100\n")
    m.expect(r"sleep 100\r?\n")
    time.sleep(0.2)
    at_random()  # while it is halted, waiting for a deadline
    m.send("\x03")
    m.expect(session.PROMPT)
    m.send("poweroff -f\n")


# ---- recording ----

def test_recorded(tap, a):
    log, rng, said = work("rec.bin"), random.Random(a.seed), []
    gone(log, images(log))
    with Runner(boot_args() + rr("record", log)) as (m, mon):
        def save():
            said.append(mon.cmd(f"savevm s{len(said)}"))
        busy(m, save, rng)
        end, output = end_of(m), bytes(m.output)
    tap.ok(said == [""] * N_SNAPSHOTS, f"{N_SNAPSHOTS} snapshots of a busy recording (seed {a.seed})", said)
    status, got, out, err = run_to_end(boot_args() + rr("replay", log))
    tap.ok((status, got) == (0, end) and out == output, "the recording replays: nobody noticed", (status, got, end, err))
    for i in range(N_SNAPSHOTS):
        engine = ("tcg", "interp")[i % 2] if i > 2 else "tcg"
        status, got, out, err = run_to_end(boot_args() + ["-accel", engine] + rr("replay", log, f",rrsnapshot=s{i}"))
        tap.ok((status, got) == (0, end) and output.endswith(out),
               f"s{i} resumes to the same end with {engine}", (status, got, end, len(out), err))
    if shutil.which("qemu-img"):
        text = subprocess.run(["qemu-img", "snapshot", "-l", images(log)], capture_output=True, text=True).stdout
        tap.ok(all(re.search(rf"\bs{i}\b", text) for i in range(N_SNAPSHOTS)), "qemu-img lists them", text)
        r = subprocess.run(["qemu-img", "check", images(log)], capture_output=True, text=True)
        tap.ok(r.returncode == 0, "qemu-img finds the image sound", r.stdout + r.stderr)
    else:
        tap.skip("qemu-img lists them", "there is no qemu-img")
    return log, end


# ---- replaying ----

def test_replayed(tap, a):
    """Snapshots of a replay; and back, and forth, in the same replay; the interpreter saves for the translator."""
    log, rng = work("rec.bin"), random.Random(a.seed + 1)
    if not os.path.exists(log):
        test_recorded(tap, a)
    status, end, _, err = run_to_end(boot_args() + rr("replay", log))
    if status != 0:
        raise AssertionError(f"status {status}: {err}")
    with Runner(boot_args() + ["-accel", "interp"] + rr("replay", log, ",rrsnapshot=s3"), serial=False) as (m, mon):
        where = []
        while "running" not in mon.cmd("info status"):
            time.sleep(0.02)
        said = [mon.cmd("stop")]
        for i in range(3):
            mon.cmd("cont")
            time.sleep(rng.uniform(0.02, 0.2))
            said.append(mon.cmd(f"savevm r{i}"))
        mon.cmd("stop")
        for name in ("r0", "r2", "s5", "s0", "r1"):
            said.append(mon.cmd(f"loadvm {name}"))
            where.append(int(re.search(r"count = (\d+)", mon.cmd("info replay")).group(1)))
        mon.cmd("cont")
        got = end_of(m)
    tap.ok(not any(said), "snapshots are saved and loaded while replaying", said)
    tap.ok(where[0] < where[4] < where[1] and where[3] < where[0], "back and forth", where)
    tap.ok(got == end, "and the replay reaches its end", (got, end))
    status, got, _, err = run_to_end(boot_args() + rr("replay", log, ",rrsnapshot=r2"))
    tap.ok((status, got) == (0, end), "a replay starts from a replay's snapshot, with another engine", (status, got, err))


# ---- neither ----

def test_plain(tap, a):
    file = work("plain.qcow2")
    gone(file)
    args = boot_args() + ["-snapshots", file]
    with Runner(args) as (m, mon):
        m.expect(session.PROMPT)
        m.run("echo before > /tmp/x; echo $$ > /tmp/pid")
        said = [mon.cmd("savevm here")]
        m.run("echo after > /tmp/x; cat /tmp/x")
        said.append(mon.cmd("loadvm here"))
        tap.ok("before" in m.run("cat /tmp/x"), "loadvm: the guest is where it was, and hears what is typed")
        m.run("echo later > /tmp/x")
        mon.cmd("stop")
        said.append(mon.cmd("loadvm here"))
        tap.ok("paused" in mon.cmd("info status"), "a machine that is stopped stays stopped")
        mon.cmd("cont")
        tap.ok("before" in m.run("cat /tmp/x"), "and goes on from there")
        tap.ok(said == [""] * 3, "savevm and loadvm say nothing", said)
        m.send("poweroff -f\n")
        end_of(m)
    with Runner(args + ["-loadvm", "here", "-accel", "interp"]) as (m, mon):
        m.send("cat /tmp/x /tmp/pid\n")
        m.expect("before\r\n")
        tap.ok(True, "-loadvm: another process of another engine goes on")
        m.send("poweroff -f\n")
        end_of(m)


def test_start(tap, a):
    """rrsnapshot= at the start of a recording; recorded without -snapshots."""
    log = work("start.bin")
    gone(log, images(log))
    with Runner(boot_args() + rr("record", log, ",rrsnapshot=begin")) as (m, mon):
        m.expect(session.PROMPT)
        tap.ok(re.search(r"begin .* 0$", mon.cmd("info snapshots"), re.M), "rrsnapshot: made before the first instruction")
        tap.ok("recorded" in mon.cmd("loadvm begin"), "loadvm while recording is refused")
        m.send("poweroff -f\n")
        end, output = end_of(m), bytes(m.output)
    status, got, out, err = run_to_end(boot_args() + rr("replay", log, ",rrsnapshot=begin"))
    tap.ok((status, got) == (0, end) and out == output, "and a replay from it is the whole replay", (status, got, end, err))


# ---- names ----

def test_names(tap, a):
    file = work("names.qcow2")
    gone(file)
    with Runner(boot_args("48") + ["-S", "-snapshots", file]) as (m, mon):
        tap.ok("no snapshot available" in mon.cmd("info snapshots") and not os.path.exists(file), "without snapshots there is no file")
        tap.ok(mon.cmd('savevm "two words"') == "" and "two words" in mon.cmd("info snapshots"), "a name with a space")
        tap.ok(mon.cmd(r'savevm "a \"quote\" and \\"') == "" and 'a "quote" and \\' in mon.cmd("info snapshots"), "and with quotes")
        tap.ok(mon.cmd("savevm") == "" and re.search(r"vm-20\d{12}", mon.cmd("info snapshots")), "a name is made up")
        first = mon.cmd("info snapshots")
        mon.cmd('savevm "two words"')
        again = mon.cmd("info snapshots")
        tap.ok(again.count("two words") == 1 and first != again, "savevm over a name replaces it", again)
        tap.ok("no snapshot 'nobody'" in mon.cmd("loadvm nobody") and "nobody" in mon.cmd("delvm nobody"), "unknown names are named")
        tap.ok(mon.cmd('delvm "two words"') == "" and "two words" not in mon.cmd("info snapshots"), "delvm")
        tap.ok("255" in mon.cmd("savevm " + "n" * 256) and mon.cmd("savevm " + "n" * 255) == "", "255 bytes are a name, 256 are not")
        tap.ok("missing" in mon.cmd("loadvm") and "too many" in mon.cmd("loadvm a b"), "arguments are counted")
        tap.ok("quote" in mon.cmd('savevm "open'), "a quote has to be closed")
        tap.ok("unknown command: 'frobnicate'" in mon.cmd("frobnicate"), "unknown commands")
        tap.ok("savevm" in mon.cmd("help") and "snapshots" in mon.cmd("info"), "help")
        mon.cmd("quit")
        m.wait(20)
    with Runner(boot_args("48") + ["-S"]) as (m, mon):
        tap.ok("-snapshots" in mon.cmd("savevm x"), "without a place for them, it says what is missing")


# ---- refused ----

def test_refused(tap, a):
    log, other = work("rec.bin"), work("other.bin")
    if not os.path.exists(log):
        test_recorded(tap, a)
    rng = random.Random(a.seed + 2)

    def refused(name, args, *words):
        status, _, _, err = run_to_end(args, 30)
        tap.ok(status == 1 and all(w in err for w in words), name, (status, err))

    refused("an unknown snapshot", boot_args() + rr("replay", log, ",rrsnapshot=nobody"), "nobody")
    gone(other, images(other))
    session.record(other, boot=boot_args(), session=lambda m: (m.expect(session.PROMPT), m.send("poweroff -f\n")))
    shutil.copy(images(log), images(other))
    refused("a snapshot of another recording", boot_args() + rr("replay", other, ",rrsnapshot=s4"), "does not belong", "other.bin")
    refused("a snapshot of another machine", boot_args("48") + ["-snapshots", images(log), "-loadvm", "s4"],
            "ram: snapshot 64M, this machine 48M")
    refused("a recording from a snapshot", boot_args() + rr("record", work("x.bin")) + ["-loadvm", "s4"], "rrsnapshot")
    plain = work("plain.qcow2")
    if os.path.exists(plain):
        refused("a snapshot that knows no log", boot_args() + rr("replay", log) + ["-snapshots", plain, "-loadvm", "here"], "without a log")
    # Whatever is damaged, there is a sentence, or it does not matter.
    if not os.path.exists(plain):
        test_plain(tap, a)
    size, n_refused = os.path.getsize(plain), 0
    for i in range(12):
        bad = work("bad.qcow2")
        shutil.copy(plain, bad)
        with open(bad, "r+b") as f:
            at = rng.randrange(size // 20, size)
            f.seek(at)
            was = f.read(64)
            f.seek(at)
            f.write(bytes(b ^ rng.randrange(1, 256) for b in was))
        status, err = start_loaded(["-snapshots", bad, "-loadvm", "here"])
        if status is not None:
            n_refused += 1
            if status != 1 or "cannot load snapshot" not in err:
                tap.ok(False, f"64 bytes at {at} damaged", (status, err))
    tap.ok(n_refused > 0, f"damaged files: {n_refused} of 12 loads were refused, with a sentence")


def start_loaded(args):
    """(status, errors) of a machine that could not start; status None if it runs."""
    gone(sock())
    with Machine(boot_args() + args + monitor.args(sock()), serial="null") as m:
        end = time.monotonic() + 30
        try:
            mon = Monitor(sock())
            while "running" not in mon.cmd("info status") and time.monotonic() < end:
                time.sleep(0.02)
            if m.proc.poll() is None and time.monotonic() < end and "running" in mon.cmd("info status"):
                return None, ""
        except OSError:
            pass
        return m.wait(20), m.stderr()


# ---- disks ----

def test_disk(tap, a):
    try:
        import disklib
    except ImportError:
        tap.skip("disks", "there is no disklib")
        return
    if not os.path.exists(disklib.made("initrd")) or not shutil.which("qemu-img"):
        tap.skip("a machine with disks", "there are no images of scripts/fetch-disk.sh, or no qemu-img")
        return
    base = disklib.raw_disk("snap.raw", 24, fill=a.seed)
    overlay, log, said = work("disk.qcow2"), work("disk.bin"), []
    gone(overlay, log)
    args = disklib.small_guest() + disklib.replayed(base, overlay, ",format=raw")
    shift = ",shift=5"
    with Runner(args + rr("record", log, shift)) as (m, mon):
        m.expect(session.PROMPT)
        said.append(mon.cmd("savevm d0"))
        m.send("i=0; while [ $i -lt 12 ]; do i=$((i+1)); dd if=/dev/urandom of=/dev/sda bs=64k count=9 seek=$((i*29)) conv=notrunc "
               "2>/dev/null; sync; echo 3 > /proc/sys/vm/drop_caches; md5sum /dev/sda; done; echo all done\n")
        for i in range(1, 4):
            end = time.monotonic() + 0.7
            while time.monotonic() < end:
                m.pump(0.05)
            said.append(mon.cmd(f"savevm d{i}"))
        m.expect("all done\r\n", 120)
        m.expect(session.PROMPT)
        m.send("poweroff -f\n")
        end, output = end_of(m), bytes(m.output)
    tap.ok(said == [""] * 4, "snapshots of a machine with a disk at work", said)
    text = subprocess.run(["qemu-img", "snapshot", "-l", overlay], capture_output=True, text=True).stdout
    tap.ok(all(f"d{i}" in text for i in range(4)), "they are in the disk's overlay", text)
    for i in range(4):
        status, got, out, err = run_to_end(args + rr("replay", log, f"{shift},rrsnapshot=d{i}"))
        tap.ok((status, got) == (0, end) and output.endswith(out), f"a replay from d{i} ends as it was recorded",
               (status, got, end, len(out), err))
    status, got, out, err = run_to_end(args + rr("replay", log, shift))
    tap.ok((status, got) == (0, end), "and so does the whole", (status, got, end, err))
    test_disk_to_and_fro(tap, disklib, args, log, shift, end, overlay)
    test_disk_plain(tap, disklib)


def test_disk_to_and_fro(tap, disklib, args, log, shift, end, overlay):
    """In one replay: to the recording's snapshots and its own, in any order, while blkproxy is killed."""
    before = disklib.sha(overlay)
    for start in ("", ",rrsnapshot=d1"):
        with Runner(args + rr("replay", log, shift + start), serial=False) as (m, mon):
            while "running" not in mon.cmd("info status"):
                time.sleep(0.02)
            said = [mon.cmd(f"loadvm {name}") for name in ("d3", "d0")]
            time.sleep(0.3)
            # Not to d3: a quick machine is at the end before blkproxy is back.
            said += [mon.cmd("savevm mine"), mon.cmd("loadvm d1")]
            os.kill(m.members()["blkproxy"], signal.SIGKILL)
            time.sleep(0.2)
            said.append(mon.cmd("loadvm mine"))
            os.kill(m.members()["blkproxy"], signal.SIGKILL)
            time.sleep(0.2)
            listed = mon.cmd("info snapshots")
            refused = mon.cmd("delvm d0")
            got = end_of(m)
        tap.ok(said == [""] * 5 and got == end, f"a replay{start} goes to and fro between snapshots, and ends as recorded", (said, got, end))
        tap.ok(all(n in listed for n in ("d0", "d1", "d2", "d3", "mine")) and "does not write" in refused, "all are listed, the recording's stay",
               (listed, refused))
    tap.ok(disklib.sha(overlay) == before, "replays do not write the recording's overlay")
    without = [a.replace(f",overlay={overlay}", "") for a in args]
    status, _, _, err = run_to_end(without + rr("replay", log, shift + ",rrsnapshot=d1"))
    tap.ok(status == 1 and "overlay=FILE" in err, "without overlay= it is said where a recording's snapshots are", (status, err))


def test_disk_plain(tap, disklib):
    disk = disklib.qcow2_disk("snap.qcow2", 24)
    with Runner(disklib.small_guest() + ["-hda", disk]) as (m, mon):
        m.expect(session.PROMPT)
        m.run("echo one | dd of=/dev/sda conv=notrunc 2>/dev/null; sync")
        said = [mon.cmd("savevm one")]
        m.run("echo two | dd of=/dev/sda conv=notrunc 2>/dev/null; sync; echo 3 > /proc/sys/vm/drop_caches")
        said.append(mon.cmd("loadvm one"))
        got = m.run("echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/sda bs=4 count=1 2>/dev/null")
        tap.ok(not any(said) and "one" in got, "loadvm takes the disk back, too", (said, got))
        m.run("echo three | dd of=/dev/sda conv=notrunc 2>/dev/null; sync")
        m.send("poweroff -f\n")
        end_of(m)
    with Runner(disklib.small_guest() + ["-hda", disk, "-loadvm", "one"]) as (m, mon):
        m.send("dd if=/dev/sda bs=5 count=1 2>/dev/null\n")
        m.expect(r"\none\r\n")
        tap.ok(True, "-loadvm: so does another process, though the image has been written since")
        m.send("poweroff -f\n")
        end_of(m)
    raw = disklib.raw_disk("snapraw.raw", 8)
    with Runner(disklib.small_guest() + ["-S", "-drive", f"file={raw},format=raw,if=ide"]) as (m, mon):
        tap.ok("raw image" in mon.cmd("savevm x"), "a raw disk has no place for snapshots, and says so")


PARTS = {"recorded": test_recorded, "replayed": test_replayed, "plain": test_plain, "start": test_start, "names": test_names,
         "refused": test_refused, "disk": test_disk}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("parts", nargs="*", metavar="PART")
    a = p.parse_args()
    tap = Tap()
    for name in a.parts or PARTS:
        tap.run(f"{name} came to its end", lambda fn: fn(tap, a) and None, PARTS[name])
    tap.done()


if __name__ == "__main__":
    sys.exit(main())
