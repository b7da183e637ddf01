#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Drives dejavm from outside, as a user at its serial console would: records a scripted
session, replays its log, and compares. The demo, the system tests and the benchmarks
stand on it.

    session.py record LOG [--dejavm PATH] [--guest DIR] [--out FILE] [dejavm options...]
    session.py replay LOG [--dejavm PATH] [--guest DIR] [--out FILE] [dejavm options...]
"""
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# busybox asks the terminal where its cursor is after each prompt.
PROMPT = r"dejavm# (\x1b\[6n)?$"


class SessionError(Exception):
    """The guest or dejavm did not do what the script waits for; the text says what."""


def launcher():
    return os.environ.get("DEJAVM", os.path.join(ROOT, "dejavm"))


def log_tool():
    """dejavm-log: of the build tree that the launcher uses, or of the installation."""
    build = os.environ.get("DEJAVM_BUILD", os.path.join(ROOT, "build"))
    inside = os.path.join(build, "replaylog", "dejavm-log")
    return inside if os.path.exists(inside) else "dejavm-log"


def guest_dir():
    return os.environ.get("DEJAVM_GUEST", os.path.join(ROOT, "build", "guest"))


# Without the kernel's self-tests of its ciphers, which are half of a boot's instructions.
APPEND = "console=ttyS0 quiet cryptomgr.notests"


def boot_args(ram="128", append=APPEND, kernel="vmlinuz"):
    g = guest_dir()
    return ["-m", str(ram), "-kernel", os.path.join(g, kernel), "-initrd",
            os.path.join(g, "initrd"), "-append", append]


class Machine:
    """One run of dejavm, its serial port 0 on a socket that we hold, its errors in a file."""

    def __init__(self, args, serial=True, progress=None, env=None, extra_serials=()):
        self.dir = tempfile.mkdtemp(prefix="dejavm-session-")
        self.stats_path = os.path.join(self.dir, "stats.json")
        self.err_path = os.path.join(self.dir, "stderr")
        self.output = bytearray()
        self.sock = None
        self.progress = progress
        cmd = [launcher(), "-display", "none"] + list(args) + ["-net", "none", "--stats", self.stats_path,
                                           "--run-dir", os.path.join(self.dir, "run")]
        if serial is True:
            path = os.path.join(self.dir, "serial0.sock")
            cmd += ["-serial", f"unix:{path},server=on,wait=on"]
        elif serial:
            cmd += ["-serial", serial]
        for s in extra_serials:
            cmd += ["-serial", s]
        self.cmd = cmd
        self.start = time.monotonic()
        self.err = open(self.err_path, "wb")
        self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err,
                                     env={**os.environ, **(env or {})}, start_new_session=True)
        if serial is True:
            self.connect(path)

    def connect(self, path):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.sock.connect(path)
                return
            except OSError:
                self.sock.close()
                self.sock = None
                if self.proc.poll() is not None:
                    raise SessionError(f"dejavm ended with status {self.proc.returncode} before its "
                                       f"serial port could be opened:\n{self.stderr()}")
                time.sleep(0.02)
        raise SessionError("the serial port's socket did not appear in 30 s")

    # ---- the console ----

    def pump(self, timeout):
        """Takes what the guest has sent; False at the end of the connection."""
        r, _, _ = select.select([self.sock], [], [], timeout)
        if not r:
            return True
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if data and self.progress:
            self.progress(data)
        self.output += data
        return bool(data)

    def expect(self, pattern, timeout=300):
        """Waits until the output since the last send() matches; returns the match."""
        rx = re.compile(pattern.encode(), re.M)
        end = time.monotonic() + timeout
        while True:
            m = rx.search(self.output, self.mark)
            if m:
                return m
            left = end - time.monotonic()
            if left <= 0 or not self.pump(min(left, 1.0)):
                tail = bytes(self.output[-400:]).decode(errors="replace")
                why = "the connection ended" if left > 0 else f"{timeout} s are over"
                raise SessionError(f"waited for {pattern!r}, {why}; the last output was:\n{tail}\n{self.stderr()}")

    mark = 0

    def send(self, data):
        """Types. The next expect() looks only at what comes after this moment."""
        self.mark = len(self.output)
        if isinstance(data, str):
            data = data.encode()
        while data:
            # A full socket means that the guest is slow: go on reading meanwhile.
            _, w, _ = select.select([], [self.sock], [], 0.05)
            if w:
                n = self.sock.send(data[:4096])
                data = data[n:]
            self.pump(0)

    def run(self, command, timeout=300):
        """A command at the shell's prompt; returns what it printed."""
        self.send(command + "\n")
        self.expect(PROMPT, timeout)
        text = bytes(self.output[self.mark:]).decode(errors="replace")
        return text.split("\n", 1)[1].rsplit("\n", 1)[0] if "\n" in text else text

    # ---- the end ----

    def stderr(self):
        with open(self.err_path, "rb") as f:
            return f.read().decode(errors="replace")

    def wait(self, timeout=300):
        """Waits for dejavm's end, reading on. Returns its exit status; kills it and raises after timeout."""
        end = time.monotonic() + timeout
        open_ = self.sock is not None
        while self.proc.poll() is None:
            if time.monotonic() > end:
                self.kill()
                raise SessionError(f"dejavm did not end in {timeout} s\n{self.stderr()}")
            if open_:
                open_ = self.pump(0.1)
            else:
                time.sleep(0.02)
        while open_:
            open_ = self.pump(0)
        self.wall = time.monotonic() - self.start
        return self.proc.returncode

    def kill(self):
        if self.proc.poll() is None:
            try:
                os.killpg(self.proc.pid, signal.SIGKILL)
            except OSError:
                pass
            self.proc.wait()

    def stats(self):
        with open(self.stats_path) as f:
            return json.load(f)

    def members(self):
        """Process ids of the group by role, as /proc has them: {"vcpu": pid, ...}."""
        found = {}
        for d in os.listdir("/proc"):
            if not d.isdigit():
                continue
            try:
                with open(f"/proc/{d}/stat") as f:
                    stat = f.read()
                with open(f"/proc/{d}/cmdline", "rb") as f:
                    argv = f.read().split(b"\0")
            except OSError:
                continue
            session = int(stat.rsplit(")", 1)[1].split()[3])
            name = os.path.basename(argv[0].decode(errors="replace"))
            if session == self.proc.pid and name.startswith("dejavm-"):
                found[name[len("dejavm-"):]] = int(d)
        return found

    def close(self):
        self.kill()
        if self.sock:
            self.sock.close()
        self.err.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# ---- the session that the demo types ----

def demo_session(m, step=lambda text: None):
    """Commands, Ctrl-C, a sleep, date, /proc/interrupts, a loop, poweroff. Raises SessionError when an answer is wrong."""
    step("booting")
    m.expect(PROMPT)
    step("at the shell; typing")
    if "hello from the recorded guest" not in m.run("echo hello from the recorded guest"):
        raise SessionError("echo did not answer")
    m.run("uname -a")
    step("date, sleep")
    m.run("date")
    m.run("sleep 1; date")
    step("Ctrl-C")
    m.send("sleep 1000\n")
    m.expect(r"sleep 1000\r?\n")
    time.sleep(0.2)
    m.send("\x03")
    m.expect(PROMPT)
    step("/proc/interrupts, a loop")
    if "ttyS0" not in m.run("cat /proc/interrupts"):
        raise SessionError("no ttyS0 in /proc/interrupts")
    if "sum 1275" not in m.run("s=0; i=0; while [ $i -lt 50 ]; do i=$((i+1)); s=$((s+i)); done; echo sum $s"):
        raise SessionError("the shell loop gave a wrong sum")
    m.run("cat /proc/uptime; free; md5sum /bin/busybox")
    step("poweroff")
    m.send("poweroff -f\n")


def record(logfile, args=(), session=demo_session, step=lambda text: None, progress=None, icount="", boot=None, timeout=600):
    """Records a session. Returns (stats, serial output); stats has wall_s too."""
    a = list(boot if boot is not None else boot_args()) + list(args)
    a += ["-icount", f"rr=record,rrfile={logfile}" + icount]
    with Machine(a, progress=progress) as m:
        session(m, step) if session is demo_session else session(m)
        status = m.wait(timeout)
        if status != 0:
            raise SessionError(f"the recording ended with status {status}:\n{m.stderr()}")
        s = m.stats()
        s["wall_s"] = m.wall
        return s, bytes(m.output)


def replay(logfile, args=(), icount="", boot=None, timeout=600, out=None, disturb=None):
    """Replays a log without any input back end. Returns (exit status, stats or None, serial output, stderr)."""
    with tempfile.TemporaryDirectory() as tmp:
        path = out or os.path.join(tmp, "serial")
        a = list(boot if boot is not None else boot_args()) + list(args)
        a += ["-icount", f"rr=replay,rrfile={logfile}" + icount]
        with Machine(a, serial=f"file:{path}") as m:
            if disturb:
                disturb(m)
            status = m.wait(timeout)
            err = m.stderr()
            try:
                s = m.stats()
                s["wall_s"] = m.wall
            except (OSError, ValueError):
                s = None
            try:
                with open(path, "rb") as f:
                    output = f.read()
            except OSError:
                output = b""
            return status, s, output, err


def main(argv):
    if len(argv) < 3 or argv[1] not in ("record", "replay"):
        sys.exit(__doc__)
    out, rest, i = None, [], 3
    while i < len(argv):
        if argv[i] == "--out":
            out = argv[i + 1]
            i += 2
        elif argv[i] == "--dejavm":
            os.environ["DEJAVM"] = argv[i + 1]
            i += 2
        elif argv[i] == "--guest":
            os.environ["DEJAVM_GUEST"] = argv[i + 1]
            i += 2
        else:
            rest.append(argv[i])
            i += 1
    try:
        if argv[1] == "record":
            stats, output = record(argv[2], rest, step=lambda t: print(f"  {t}", file=sys.stderr, flush=True))
            if out:
                with open(out, "wb") as f:
                    f.write(output)
            print(json.dumps(stats))
            return 0
        status, stats, _, err = replay(argv[2], rest, out=out)
        sys.stderr.write(err)
        print(json.dumps(stats))
        return status
    except SessionError as e:
        print(f"session.py: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
