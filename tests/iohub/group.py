# SPDX-License-Identifier: GPL-2.0-or-later
"""A group whose vcpu, devices and replaylog only pretend (fake_proc.c), for the tests of the hub. Their programs are this
one's arguments: HUB FAKE QMPD BLKPROXY [TEST...]"""
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HUB, FAKE, QMPD, BLKPROXY = (os.path.abspath(p) for p in sys.argv[1:5])
ROLES = ("vcpu", "devices", "replaylog")


class Group:
    """One run of the hub; serial0's echo on a socket unless args say otherwise."""

    def __init__(self, args=(), serial="unix", plans=None, stdin=subprocess.DEVNULL, stdout=None, qmp=False, kernel=True,
                 record=False, replay=False, wait="off", preexec=None,
                 env=None, cwd=False):
        self.dir = tempfile.mkdtemp(prefix="hubtest-")
        libexec = os.path.join(self.dir, "libexec")
        os.mkdir(libexec)
        for r in ROLES:
            os.symlink(FAKE, os.path.join(libexec, "dejavm-" + r))
        os.symlink(QMPD, os.path.join(libexec, "dejavm-qmpd"))
        os.symlink(BLKPROXY, os.path.join(libexec, "dejavm-blkproxy"))
        self.run_dir = os.path.join(self.dir, "run")
        self.stats_path = os.path.join(self.dir, "stats")
        self.log = os.path.join(self.dir, "log.bin")
        cmd = [HUB, "--run-dir", self.run_dir, "--stats", self.stats_path]
        if kernel:
            with open(os.path.join(self.dir, "kernel"), "wb") as f:
                f.write(b"kernel" * 100)
            cmd += ["-kernel", f.name]
        if serial == "unix":
            cmd += ["-serial", f"unix:{self.dir}/s0,server=on,wait={wait}"]
        if qmp:
            cmd += ["-qmp", f"unix:{self.dir}/qmp,server=on,wait=off"]
        if record or replay:
            cmd += ["-icount", f"shift=3,rr={'record' if record else 'replay'},rrfile={self.log}"]
        if replay:
            open(self.log, "wb").write(b"x" * 100)
        cmd += list(args)
        env = {**os.environ, "DEJAVM_LIBEXEC": libexec, **(env or {})}
        for role, plan in (plans or {}).items():
            env["FAKE_" + role.upper()] = plan
        self.err = open(os.path.join(self.dir, "err"), "w+b")
        self.t0 = time.monotonic()
        self.proc = subprocess.Popen(cmd, stdin=stdin, stdout=stdout or self.err, stderr=self.err, env=env,
                                     cwd=self.dir if cwd else None,
                                     start_new_session=preexec is None, preexec_fn=preexec)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pids = self.pids()
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        for p in pids.values():
            try:
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)

    def stderr(self):
        self.err.flush()
        with open(os.path.join(self.dir, "err"), "rb") as f:
            return f.read().decode(errors="replace")

    def pids(self):
        found = {}
        for r in ROLES + ("qmpd", "blkproxy"):
            try:
                with open(os.path.join(self.run_dir, r + ".pid")) as f:
                    found[r] = int(f.read())
            except (OSError, ValueError):
                pass
        return found

    def wait(self, timeout=15):
        return self.proc.wait(timeout)

    def stats(self):
        with open(self.stats_path) as f:
            return json.load(f)

    def until(self, what, timeout=10):
        end = time.monotonic() + timeout
        while not what():
            if time.monotonic() > end:
                raise AssertionError(f"waited {timeout} s in vain; stderr:\n{self.stderr()}")
            time.sleep(0.01)

    def connect(self, name="s0", timeout=10):
        end = time.monotonic() + timeout
        while True:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            try:
                s.connect(os.path.join(self.dir, name))
                return s
            except OSError:
                s.close()
                if time.monotonic() > end or self.proc.poll() is not None:
                    raise AssertionError("cannot connect; stderr:\n" + self.stderr())
                time.sleep(0.01)

    def running(self):
        """Returns serial0's socket once the echo works: all processes are up."""
        s = self.connect()
        exchange(s, b"up?")
        return s


def exchange(s, data, want=None):
    s.sendall(data)
    return read_until(s, want or data)


def read_until(s, want, timeout=10):
    got = b""
    end = time.monotonic() + timeout
    while want not in got:
        if time.monotonic() > end:
            raise AssertionError(f"expected {want!r}, got {got!r}")
        r, _, _ = select.select([s], [], [], 0.1)
        if r:
            try:
                d = s.recv(65536) if isinstance(s, socket.socket) else os.read(s, 65536)
            except OSError as e:
                raise AssertionError(f"expected {want!r}, got {got!r} and {e}")
            if not d:
                raise AssertionError(f"expected {want!r}, got {got!r} and the end")
            got += d
    return got


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


def expect(cond, *info):
    if not cond:
        raise AssertionError(" ".join(str(i) for i in info))


def main():
    only = sys.argv[5:]
    failed = 0
    tests = [t for t in TESTS if not only or t.__name__ in only]
    for n, t in enumerate(tests, 1):
        t0 = time.monotonic()
        try:
            t()
            print(f"ok {n} - {t.__name__} ({time.monotonic() - t0:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {n} - {t.__name__}", flush=True)
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    print(f"1..{len(tests)}")
    sys.exit(1 if failed else 0)
