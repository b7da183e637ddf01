# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of disks share: the images of scripts/fetch-disk.sh, guests that use them, and a look into images from outside."""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time

from lib import CACHE, session
from rfb import Qmp, picture_text, read_ppm

PARTITION = 1 << 20  # bytes before mkdisk.py's partition
APPEND = "console=ttyS0 quiet cryptomgr.notests"
MIB = 1 << 20


def made(name):
    """A file of scripts/fetch-disk.sh's folder."""
    return os.path.join(session.guest_dir(), "disk", name)


def work(name):
    return os.path.join(CACHE, "disk-" + name)


def have(tool):
    return shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is not None


def sha(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for part in iter(lambda: f.read(MIB), b""):
            h.update(part)
    return h.hexdigest()


def call(*cmd, ok=(0,)):
    r = subprocess.run(cmd, capture_output=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    if r.returncode not in ok:
        raise AssertionError(f"{' '.join(cmd)}: status {r.returncode}\n{r.stdout.decode(errors='replace')}{r.stderr.decode(errors='replace')}")
    return r.stdout


# ---- command lines ----

def replayed(image, overlay="", extra="", device="ide-hd"):
    """A disk as recordings have it: nothing of it is written, all goes to an overlay."""
    top = "driver=blkreplay,if=none,image=img-direct,id=img-blkreplay" + (f",overlay={overlay}" if overlay else "")
    return ["-drive", f"file={image},if=none,id=img-direct{extra}", "-drive", top, "-device", f"{device},drive=img-blkreplay"]


def small_guest(ram="64", append=APPEND):
    """A kernel with the drivers of disks, and a shell; its own initrd, no disk to boot from."""
    return ["-m", ram, "-kernel", made("vmlinux"), "-initrd", made("initrd"), "-append", append]


def raw_disk(name, mib, fill=None):
    """A raw image, empty, or of bytes that can be told apart."""
    path = work(name)
    with open(path, "wb") as f:
        if fill is None:
            f.truncate(mib * MIB)
        else:
            rng = random.Random(fill)
            for _ in range(mib):
                f.write(rng.randbytes(MIB))
    return path


def qcow2_disk(name, mib, backing=None):
    path = work(name)
    call("qemu-img", "create", "-q", "-f", "qcow2", *(["-b", backing, "-F", "raw"] if backing else []), path, f"{mib}M")
    return path


def gone(*paths):
    for p in paths:
        if os.path.exists(p):
            os.unlink(p)


# ---- what is in an image, without mounting ----

class Contents:
    """The partition of an image that mkdisk.py's disk grew into."""

    def __init__(self, image):
        self.raw = image + ".raw"
        call("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, self.raw)
        self.part = f"{self.raw}?offset={PARTITION}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        gone(self.raw)

    def fsck(self):
        """Raises unless the file system is clean."""
        return call("e2fsck", "-fn", self.part)

    def read(self, path):
        return call("debugfs", "-R", f"cat {path}", self.part)


def disk_md5(image, fmt):
    """md5 of all that a disk has, by qemu-img."""
    raw = image + ".raw"
    try:
        call("qemu-img", "convert", "-f", fmt, "-O", "raw", image, raw)
        h = hashlib.md5()
        with open(raw, "rb") as f:
            for part in iter(lambda: f.read(MIB), b""):
                h.update(part)
        return h.hexdigest()
    finally:
        gone(raw)


# ---- the screen ----

def screen(q, name="screen.ppm"):
    path = work(name)
    q.cmd("screendump", filename=path)
    w, h, rows = read_ppm(path)
    return picture_text(w, h, rows) if h == 400 else f"(graphics, {w} by {h})"


def wait_screen(m, q, *needles, timeout=400):
    """Until the screen shows all of them; returns its text. The serial port has to be read meanwhile: who writes to a full one waits."""
    end = time.monotonic() + timeout
    text = ""
    while time.monotonic() < end:
        n = -1
        while n != len(m.output):
            n = len(m.output)
            m.pump(0)
        text = screen(q)
        if all(n in text for n in needles):
            return text
        time.sleep(0.7)
    raise AssertionError(f"waited for {needles!r}; the screen shows:\n{text}")


def qmp_args(name="qmp"):
    return ["-qmp", f"unix:{work(name)},server=on,wait=off"]


def qmp(name="qmp"):
    return Qmp(work(name))


# ---- sessions ----

def log_in(m, timeout=600):
    m.expect(r"login: ?$", timeout)
    m.send("root\n")
    m.expect(r"Password: ?$", 120)
    m.send("dejavm\n")
    m.expect(session.PROMPT, 120)


def power_off(m):
    """As an administrator does, file systems and all."""
    m.send("poweroff\n")


# ---- kill -9 of blkproxy ----

class Killer(threading.Thread):
    """Kills blkproxy again and again, at random moments; the group has to go on with a new one. The hub gives up when it dies more
    than five times in ten seconds, so at most four of the kills lie within such a time."""

    def __init__(self, machine, seed, pause=(0.1, 0.8)):
        super().__init__(daemon=True)
        self.machine, self.pause = machine, pause
        self.rng = random.Random(seed)
        self.over = threading.Event()
        self.times, self.last = [], None

    @property
    def n(self):
        return len(self.times)

    def run(self):
        while not self.over.wait(self.rng.uniform(*self.pause)) and self.machine.proc.poll() is None:
            now = time.monotonic()
            pid = self.machine.members().get("blkproxy")
            if pid is None or pid == self.last or len([t for t in self.times if now - t < 11]) >= 4:
                continue
            try:
                os.kill(pid, signal.SIGKILL)
                self.last = pid
                self.times.append(time.monotonic())
            except OSError:
                pass

    def end(self):
        self.over.set()
        self.join()
