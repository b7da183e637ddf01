#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks in a whole machine: a Debian system boots from its own qcow2 image and is recorded and replayed, blkproxy is killed, images
are written, or left alone, as their options say, and requests fail as they are told to.

    test_disk.py [--long] [--seed N] [PART...]

Parts: debian memtest installer busy errors modes refusals. --long adds what takes minutes: the installer replayed, rounds of the busy
disk with every kind of disturbance, Debian under load with kills.
"""
import argparse
import hashlib
import os
import random
import re
import subprocess
import time

import disklib
from disklib import Contents, Killer, MIB, call, gone, have, made, qmp, qmp_args, raw_disk, replayed, sha, small_guest, wait_screen, work
from lib import CACHE, Disturber, Load, Machine, Tap, session

CONFIG = 2  # docs/exit-status.md
TIME = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} UTC"
SHIFT = "shift=5"
ROLES = ("vcpu", "devices", "replaylog", "hub", "blkproxy")


# ---- recording, replaying, comparing ----

class Run:
    """What a run of dejavm came to."""

    def __init__(self, m, status):
        self.status, self.output, self.err = status, bytes(m.output), m.stderr()
        try:
            self.stats = m.stats()
        except (OSError, ValueError):
            self.stats = {}


def disturbed(m, disturbers, fn):
    """fn(m), then to the end of the machine, all with disturbances; returns (Run, how many)."""
    for d in disturbers:
        d.start()
    try:
        if fn:
            fn(m)
        status = m.wait(900)
    finally:
        for d in disturbers:
            d.end()
    return Run(m, status), sum(d.n for d in disturbers)


def record(log, args, fn, make=lambda m: []):
    """make(m) gives the threads that disturb the machine meanwhile."""
    with Machine(args + ["-icount", f"{SHIFT},rr=record,rrfile={log}"]) as m:
        r, n = disturbed(m, make(m), fn)
    if r.status != 0:
        raise session.SessionError(f"the recording ended with status {r.status}: {r.err}")
    return r, n


def replay(log, args, make=lambda m: [], icount=SHIFT):
    out = work("replay.serial")
    gone(out)
    with Machine(args + ["-icount", f"{icount},rr=replay,rrfile={log}"], serial=f"file:{out}") as m:
        r, n = disturbed(m, make(m), None)
    if os.path.exists(out):
        with open(out, "rb") as f:
            r.output = f.read()
    return r, n


def agree(tap, what, rec, rep):
    """Status, final digest, icount and serial output."""
    same = rep.status == 0 and all(rep.stats.get(k) == rec.stats.get(k) for k in ("digest", "icount"))
    tap.ok(same, f"{what}: the same final digest", f"status {rep.status}, recorded {rec.stats}\nreplayed {rep.stats}\n{rep.err}")
    tap.ok(rec.output == rep.output, f"{what}: the same serial output", f"{len(rec.output)} and {len(rep.output)} bytes")


# ---- Debian from its own disk ----

def write_files(m):
    """Logs in, leaves files, powers off; returns the md5 of one of them, by the guest."""
    disklib.log_in(m)
    m.run("mkdir -p /root/kept; echo 'written by the guest' > /root/kept/text")
    m.run("dd if=/dev/urandom of=/root/kept/random bs=64k count=48 2>/dev/null; cp -r /etc /root/kept/; rm /etc/motd; sync")
    m.md5 = re.search(r"[0-9a-f]{32}", m.run("md5sum /root/kept/random")).group(0)
    disklib.power_off(m)
    return m.md5


def check_overlay(tap, what, overlay, md5):
    with Contents(overlay) as c:
        tap.ok(b"Pass 5" in c.fsck(), f"{what}: e2fsck finds the file system clean")
        tap.ok(c.read("/root/kept/text") == b"written by the guest\n", f"{what}: a file that the guest wrote is there")
        got = hashlib.md5(c.read("/root/kept/random")).hexdigest()
        tap.ok(got == md5, f"{what}: 3 MiB of it are what the guest wrote", f"{got}, the guest had {md5}")
        tap.ok(c.read("/etc/motd") == b"", f"{what}: a file that the guest removed is gone")


def debian(ram="128"):
    return ["-m", ram]


def test_debian(tap, a):
    base, overlay, log = made("disk.qcow2"), work("debian.qcow2"), work("debian.bin")
    gone(overlay)
    before, md5 = sha(base), [None]

    def fn(m):
        q = qmp()
        text = wait_screen(m, q, "dejavm login:")
        tap.ok("tty1" in text, "Debian's login is on the screen", text)
        md5[0] = write_files(m)

    args = debian() + replayed(base, overlay)
    rec, n = record(log, args + qmp_args(), fn, lambda m: [Killer(m, a.seed + 7)])
    tap.ok(n >= 2, f"blkproxy was killed {n} times while Debian was recorded")
    tap.ok(b"GNU GRUB" in rec.output and b"*Debian i386 on dejavm" in rec.output, "GRUB shows its menu on the serial port, too")
    tap.ok(sha(base) == before, "the image is as it was")
    check_overlay(tap, "recorded", overlay, md5[0])
    # Clusters that a killed blkproxy had taken and not yet used may be lost: status 3, and no other.
    out = call("qemu-img", "check", overlay, ok=(0, 3)).decode()
    tap.ok("No errors were found" in out or "leaked clusters" in out, "qemu-img check of the overlay: nothing worse than leaks", out)
    after = sha(overlay)
    rep, _ = replay(log, args)
    agree(tap, "Debian", rec, rep)
    tap.ok(sha(overlay) == after and sha(base) == before, "a replay leaves image and overlay alone")
    rep, n = replay(log, args, lambda m: [Killer(m, a.seed)])
    agree(tap, f"Debian, replayed with {n} times kill -9 of blkproxy", rec, rep)
    tap.ok(n >= 2, "blkproxy was killed while Debian was replayed", n)


def test_debian_rough(tap, a):
    """Under load, with processes stopped and continued, and with kills."""
    base, overlay, log = made("disk.qcow2"), work("rough.qcow2"), work("rough.bin")
    gone(overlay)
    before, md5 = sha(base), [None]

    def fn(m):
        md5[0] = write_files(m)

    args = debian() + replayed(base, overlay)
    with Load(os.cpu_count() or 1):
        rec, n = record(log, args, fn, lambda m: [Killer(m, a.seed + 1), Disturber(m, a.seed + 2, ROLES)])
        rep, n2 = replay(log, args, lambda m: [Killer(m, a.seed + 3), Disturber(m, a.seed + 4, ROLES)])
    agree(tap, f"Debian under load, {n} and {n2} kills and pauses", rec, rep)
    tap.ok(sha(base) == before, "Debian under load: the image is as it was")
    check_overlay(tap, "Debian under load", overlay, md5[0])


# ---- other systems ----

def test_memtest(tap, a):
    """memtest86+'s CD. It has no way to end, so the recording is ended from outside."""
    log = work("memtest.bin")
    args = ["-m", "24", "-cdrom", made("memtest.iso"), "-boot", "order=d"]

    def fn(m):
        q = qmp()
        text = wait_screen(m, q, "Memtest86+", "Testing:", "#")
        tap.ok(True, "memtest86+ starts from its CD")
        # It does something: its tests go by.
        seen, end = set(), time.monotonic() + 120
        while len(seen) < 2 and time.monotonic() < end:
            text = disklib.screen(q)
            seen |= set(re.findall(r"Test #(\d+)", text))
        tap.ok(len(seen) >= 2 and "Errors: 0" in text, "memtest86+ runs, and finds nothing", text)
        q.cmd("quit")

    rec, _ = record(log, args + qmp_args(), fn)
    rep, _ = replay(log, args)
    agree(tap, "memtest86+", rec, rep)


def test_installer(tap, a):
    log = work("installer.bin")
    append = "console=tty0 quiet vga=normal fb=false nomodeset cryptomgr.notests"
    args = ["-m", "512", "-kernel", made("installer/linux"), "-initrd", made("installer/initrd.gz"), "-append", append,
            *replayed(raw_disk("installer.raw", 16), extra=",format=raw")]

    def fn(m):
        q = qmp()
        text = wait_screen(m, q, "Select a language", timeout=600)
        tap.ok("English" in text and "<Go Back>" in text, "Debian's installer shows its first screen", text)
        q.cmd("quit")

    rec, _ = record(log, args + qmp_args(), fn)
    if a.long:
        rep, _ = replay(log, args)
        agree(tap, "Debian's installer", rec, rep)


# ---- a busy disk ----

BUSY_MIB = 48


def busy(m):
    """Writes all over the disk, large and small, through the cache and past it, reads a CD meanwhile; m.md5: what the disk then has."""
    m.expect(session.PROMPT, 120)
    m.run("mount -t iso9660 /dev/sr0 /mnt && dd if=/mnt/numbers of=/tmp/numbers bs=64k 2>/dev/null")
    cd = re.search(r"[0-9a-f]{32}", m.run("md5sum /mnt/numbers; ls /mnt")).group(0)
    m.cd = cd, "A folder with a long name" in m.run("ls /mnt")
    m.run("cat > /tmp/w << 'END'\n"
          "i=0\n"
          "while [ $i -lt 24 ]; do\n"
          "  dd if=/dev/urandom of=/dev/sda bs=64k count=16 seek=$((i * 31 % 700)) conv=notrunc 2>/dev/null\n"
          "  dd if=/tmp/numbers of=/dev/sda bs=512 count=40 skip=$i seek=$((i * 2777 + 5)) conv=notrunc oflag=direct 2>/dev/null\n"
          "  dd if=/dev/sda of=/dev/null bs=256k count=8 skip=$((i * 7 % 180)) iflag=direct 2>/dev/null\n"
          "  [ $((i % 5)) = 0 ] && sync\n"
          "  i=$((i + 1))\n"
          "done\n"
          "END", 60)
    m.run("sh /tmp/w; sync; echo 3 > /proc/sys/vm/drop_caches", 600)
    m.md5 = re.search(r"[0-9a-f]{32}", m.run("md5sum /dev/sda", 300)).group(0)
    m.send("poweroff -f\n")


def busy_round(tap, a, what, make, seed, load=0):
    base, overlay, log = raw_disk("busy.raw", BUSY_MIB, fill=seed), work("busy.qcow2"), work("busy.bin")
    gone(overlay)
    before, m_ = sha(base), []
    args = small_guest() + replayed(base, overlay, ",format=raw") + ["-cdrom", made("cd.iso")]

    def fn(m):
        m_.append(m)
        busy(m)

    with Load(load):
        rec, n = record(log, args, fn, lambda m: make(m, seed))
        rep, n2 = replay(log, args, lambda m: make(m, seed + 50))
    what = f"a busy disk, {what} ({n} and {n2}, seed {seed})"
    agree(tap, what, rec, rep)
    got = disklib.disk_md5(overlay, "qcow2")
    tap.ok(got == m_[0].md5, f"{what}: nothing is lost", f"overlay {got}, the guest read {m_[0].md5}")
    tap.ok(sha(base) == before, f"{what}: the image is as it was")
    return m_[0], n, n2


def test_busy(tap, a):
    numbers = hashlib.md5(cd_numbers()).hexdigest()
    m, n, n2 = busy_round(tap, a, "kill -9 of blkproxy", lambda m, s: [Killer(m, s)], a.seed)
    tap.ok(n >= 2 and n2 >= 1, "blkproxy was killed while recording and while replaying", f"{n} and {n2} times")
    tap.ok(m.cd == (numbers, True), "what is on a CD, with long names", m.cd)
    busy_round(tap, a, "under load, with processes stopped and continued", lambda m, s: [Disturber(m, s, ROLES)], a.seed + 1,
               os.cpu_count() or 1)
    for i in range(8 if a.long else 0):
        busy_round(tap, a, "everything at once", lambda m, s: [Disturber(m, s, ROLES), Killer(m, s + 1, (0.02, 0.3))], a.seed + 100 * i,
                   os.cpu_count() or 1)


def cd_numbers():
    """The CD's file of that name, as fetch-disk.sh made it."""
    return (random.Random(1).randbytes(3 << 20).hex() + "\n").encode()


# ---- errors ----

def test_errors(tap, a):
    """Requests that fail: the guest hears of it, and so it does in the replay, where nothing fails by itself."""
    base, log = raw_disk("errors.raw", 16, fill=5), work("errors.bin")
    inject = ("inject-error.0.event=read,inject-error.0.errno=5,inject-error.0.sector=4096,"
              "inject-error.1.event=write,inject-error.1.errno=28,inject-error.1.sector=8192")
    args = small_guest() + [
        "-drive", f"file={base},format=raw,if=none,id=img-direct",
        "-drive", f"driver=blkdebug,if=none,image=img-direct,id=img-debug,{inject}",
        "-drive", "driver=blkreplay,if=none,image=img-debug,id=img-blkreplay", "-device", "ide-hd,drive=img-blkreplay"]
    said = {}

    def fn(m):
        m.expect(session.PROMPT, 120)
        said["good"] = m.run("dd if=/dev/sda of=/dev/null bs=4k count=16 iflag=direct")
        said["read"] = m.run("dd if=/dev/sda of=/dev/null bs=4k skip=512 count=1 iflag=direct", 120)
        said["write"] = m.run("dd if=/dev/zero of=/dev/sda bs=4k seek=1024 count=1 oflag=direct conv=notrunc", 120)
        said["after"] = m.run("dd if=/dev/zero of=/dev/sda bs=4k seek=1025 count=1 oflag=direct conv=notrunc; dd if=/dev/sda bs=4k "
                              "skip=1025 count=1 iflag=direct 2>/dev/null | md5sum")
        said["dmesg"] = m.run("dmesg | grep -iE 'i/o error|ata1'")
        m.send("poweroff -f\n")

    rec, _ = record(log, args, fn)
    tap.ok("error" not in said["good"], "requests that nothing is said of do not fail", said["good"])
    tap.ok("Input/output error" in said["read"], "EIO of a read reaches the guest", said["read"])
    tap.ok("Input/output error" in said["write"], "ENOSPC of a write reaches the guest as a failed write", said["write"])
    tap.ok("error" not in said["after"] and hashlib.md5(bytes(4096)).hexdigest() in said["after"],
           "the disk goes on afterwards", said["after"])
    tap.ok("I/O error" in said["dmesg"] and "sector 4096" in said["dmesg"] and "sector 8192" in said["dmesg"],
           "the guest's kernel names both sectors", said["dmesg"])
    rep, _ = replay(log, args)
    agree(tap, "errors", rec, rep)
    rep, n = replay(log, args, lambda m: [Killer(m, a.seed)])
    agree(tap, f"errors, replayed with {n} kills of blkproxy", rec, rep)


# ---- what is written, and what is not ----

MARK = "a line in the fourth sector"


def write_mark(m):
    m.expect(session.PROMPT, 120)
    m.run(f"echo '{MARK}' | dd of=/dev/sda bs=512 seek=4 conv=notrunc,sync,fsync 2>/dev/null; sync")
    m.send("poweroff -f\n")


def plain(args, fn=write_mark):
    with Machine(small_guest() + args + ["-icount", SHIFT]) as m:
        fn(m)
        status = m.wait(120)
        if status != 0:
            raise session.SessionError(f"status {status}: {m.stderr()}")


def has_mark(path):
    with open(path, "rb") as f:
        f.seek(4 * 512)
        return f.read(len(MARK)) == MARK.encode()


def test_modes(tap, a):
    raw = raw_disk("modes.raw", 8, fill=7)
    plain(["-drive", f"file={raw},format=raw,snapshot=on"])
    tap.ok(not has_mark(raw), "snapshot=on: the image is as it was")
    plain(["-hda", raw])
    tap.ok(has_mark(raw), "-hda: the image is written in place")
    raw = raw_disk("modes.raw", 8, fill=7)
    q = disklib.qcow2_disk("modes.qcow2", 8, backing=raw)
    plain(["-hda", q])
    tap.ok(not has_mark(raw), "a qcow2 image's backing file is as it was")
    flat = work("flat.raw")
    call("qemu-img", "convert", "-O", "raw", q, flat)
    tap.ok(has_mark(flat), "a qcow2 image is written in place")
    gone(flat)
    check_two_writers(tap, raw)
    check_changed_base(tap, raw)


def check_two_writers(tap, raw):
    with Machine(small_guest() + ["-hda", raw]) as m:
        m.expect(session.PROMPT, 120)
        r = try_run(["-hda", raw])
        tap.ok(r.returncode != 0 and "in use" in r.stderr and raw in r.stderr, "a second writer is refused", r.stderr)
        if have("qemu-io"):
            r = subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 512", raw], capture_output=True, text=True)
            tap.ok(r.returncode != 0 and "lock" in r.stderr, "a writer that is QEMU's is refused, too", r.stdout + r.stderr)
        else:
            tap.skip("a writer that is QEMU's is refused, too", "no qemu-io")
        m.send("poweroff -f\n")
        m.wait(60)


def check_changed_base(tap, raw):
    log = work("modes.bin")
    args = small_guest() + replayed(raw, extra=",format=raw")
    rec, _ = record(log, args, write_mark)
    tap.ok(not has_mark(raw), "recording without overlay=: the image is as it was")
    rep, _ = replay(log, args)
    agree(tap, "a temporary overlay", rec, rep)
    with open(raw, "r+b") as f:
        f.seek(MIB)
        f.write(b"changed")
    rep, _ = replay(log, args)
    want = rf"drive\.0: file '{re.escape(raw)}' has changed: time of modification: log {TIME}, this machine {TIME}; its first 64 KiB are the same"
    tap.ok(rep.status == CONFIG and re.search(want, rep.err), "a changed image is refused in a replay, which says of what file what has changed",
           f"status {rep.status}: {rep.err}")
    with open(raw, "r+b") as f:
        f.write(b"changed")
        f.truncate(9 * MIB)
    rep, _ = replay(log, args)
    tap.ok(rep.status == CONFIG and f"length: log {8 * MIB} bytes, this machine {9 * MIB}" in rep.err and "64 KiB are others" in rep.err,
           "so is one with another length and another beginning", f"status {rep.status}: {rep.err}")


# ---- what is refused ----

def try_run(args, timeout=30):
    """dejavm with no guest worth mentioning; it is expected to say no at once."""
    cmd = [session.launcher(), "-display", "none", "-m", "16", "-serial", "null", "-net", "none", *args]
    return subprocess.run(cmd, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout)


def test_refusals(tap, a):
    raw = raw_disk("refused.raw", 1)
    bad = work("bad.qcow2")
    with open(bad, "wb") as f:
        f.write(b"QFI\xfb" + bytes([0, 0, 0, 9]) + bytes(4096))
    for what, args, words in (
            ("an image that is not there", ["-hda", work("nowhere.img")], ["nowhere.img", "No such file"]),
            ("a folder", ["-hda", CACHE], [CACHE]),
            ("an unknown format", ["-drive", f"file={raw},format=vmdk"], ["vmdk", "qcow2"]),
            ("an unknown option", ["-drive", f"file={raw},foo=1"], ["foo"]),
            ("a raw image as qcow2", ["-drive", f"file={raw},format=qcow2"], ["refused.raw", "qcow2"]),
            ("a qcow2 of version 9", ["-hda", bad], ["bad.qcow2", "version"]),
            ("a hard disk that is write protected", ["-drive", f"file={raw},format=raw,readonly=on"], ["readonly"]),
            ("a drive that nobody uses", ["-drive", f"file={raw},format=raw,if=none,id=x"], ["x"]),
            ("a device without its drive", ["-device", "ide-hd,drive=nodrive"], ["nodrive"]),
            ("two disks at one place", ["-hda", raw, "-drive", f"file={work('other.raw')},format=raw,index=0"], ["taken"]),
            ("an overlay that is there", ["-drive", f"file={raw},format=raw,overlay={bad}", "-icount", f"rr=record,rrfile={work('x.bin')}"],
             ["bad.qcow2"]),
            ("a boot order of what there is not", ["-boot", "order=x"], ["order"])):
        before = {p: sha(p) for p in (raw, bad)}
        try:
            r = try_run(args)
        except subprocess.TimeoutExpired:
            tap.ok(False, f"{what} is refused", "it ran")
            continue
        good = r.returncode not in (0, -6, -11) and all(w.lower() in r.stderr.lower() for w in words)
        tap.ok(good, f"{what} is refused, in words", f"status {r.returncode}, wanted {words}: {r.stderr}")
        tap.ok(before == {p: sha(p) for p in before}, f"{what}: nothing was written")


PARTS = {"debian": test_debian, "memtest": test_memtest, "installer": test_installer, "busy": test_busy, "errors": test_errors,
         "modes": test_modes, "refusals": test_refusals}


def main():
    ap = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    ap.add_argument("--long", action="store_true")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("part", nargs="*")
    a = ap.parse_args()
    for p in a.part:
        if p not in PARTS:
            ap.error(f"no part {p}; there are: {' '.join(PARTS)}")
    for tool in ("qemu-img", "e2fsck", "debugfs"):
        if not have(tool):
            print(f"1..0 # SKIP no {tool} to look into images with")
            return
    if not os.path.exists(made("disk.qcow2")):
        ap.error(f"no {made('disk.qcow2')}: run scripts/fetch-disk.sh {session.guest_dir()} first")
    os.makedirs(CACHE, exist_ok=True)
    tap = Tap()
    for name, fn in PARTS.items():
        if a.part and name not in a.part:
            continue
        start = time.monotonic()
        tap.run(name, fn, tap, a)
        if name == "debian" and a.long:
            tap.run("debian, rough", test_debian_rough, tap, a)
        print(f"# {name}: {time.monotonic() - start:.0f} s", flush=True)
    tap.done()


if __name__ == "__main__":
    main()
