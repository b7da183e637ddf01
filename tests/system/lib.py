# SPDX-License-Identifier: GPL-2.0-or-later
"""What the system tests share: TAP output, recordings made once, disturbance of running groups."""
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import session  # noqa: E402
from session import Machine, SessionError, log_tool  # noqa: E402,F401

CACHE = os.path.join(os.environ.get("DEJAVM_BUILD", os.path.join(session.ROOT, "build")), "system-tests")


def boot_args(ram="64", append=session.APPEND, kernel="vmlinux"):
    """Without the bzImage's decompressor, so that a boot takes a third of the time."""
    return session.boot_args(ram, append, kernel)


class Tap:
    """Counts and prints results in the Test Anything Protocol."""

    def __init__(self):
        self.n = 0
        self.failed = 0

    def ok(self, good, name, detail=""):
        self.n += 1
        if not good:
            self.failed += 1
        print(f"{'ok' if good else 'not ok'} {self.n} - {name}", flush=True)
        if not good and detail:
            for line in str(detail).splitlines():
                print(f"#   {line}", flush=True)
        return good

    def skip(self, name, why):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {why}", flush=True)

    def run(self, name, fn, *args):
        """fn raises or returns a false value (not None) to fail."""
        try:
            r = fn(*args)
            return self.ok(r is None or bool(r), name)
        except Exception:
            return self.ok(False, name, traceback.format_exc())

    def done(self):
        print(f"1..{self.n}", flush=True)
        sys.exit(1 if self.failed else 0)


def short_session(m, step=None):
    """A session that types a little and powers off; the one that most tests record."""
    m.expect(session.PROMPT)
    m.run("echo one two three | tr a-z A-Z")
    m.run("sleep 0.3; date")
    m.send("sleep 100\n")
    m.expect(r"sleep 100\r?\n")
    time.sleep(0.1)
    m.send("\x03")
    m.expect(session.PROMPT)
    m.run("cat /proc/interrupts")
    m.send("poweroff -f\n")


def recorded(name, boot=None, icount="", fn=short_session):
    """A recording made once a test run and kept: (log path, stats, serial output)."""
    os.makedirs(CACHE, exist_ok=True)
    log = os.path.join(CACHE, name + ".bin")
    stats, out = session.record(log, boot=boot, icount=icount, session=fn)
    return log, stats, out


class Disturber(threading.Thread):
    """Stops and continues random processes of a group, seeded, until told to end."""

    def __init__(self, machine, seed, roles=("vcpu", "devices", "replaylog", "hub")):
        super().__init__(daemon=True)
        self.machine, self.roles = machine, roles
        self.rng = random.Random(seed)
        self.over = threading.Event()
        self.n = 0

    def run(self):
        while not self.over.is_set() and self.machine.proc.poll() is None:
            time.sleep(self.rng.uniform(0.02, 0.25))
            members = self.machine.members()
            roles = [r for r in self.roles if r in members]
            if not roles:
                continue
            pid = members[self.rng.choice(roles)]
            try:
                os.kill(pid, signal.SIGSTOP)
                self.n += 1
                time.sleep(self.rng.uniform(0.001, 0.06))
            except OSError:
                pass
            finally:
                try:
                    os.kill(pid, signal.SIGCONT)
                except OSError:
                    pass

    def end(self):
        self.over.set()
        self.join()


class Load:
    """Keeps the host's processors busy."""

    def __init__(self, n):
        self.procs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(n)]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for p in self.procs:
            p.kill()
            p.wait()


def mutate(log, out, *args):
    """Alters a log with the test tool logmutate."""
    build = os.environ.get("DEJAVM_BUILD", os.path.join(session.ROOT, "build"))
    tool = os.path.join(build, "tests", "replaylog", "logmutate")
    r = subprocess.run([tool, *args, log, out], capture_output=True, text=True)
    if r.returncode != 0:
        raise SessionError(f"logmutate {' '.join(args)}: {r.stderr}")


def verify(log):
    r = subprocess.run([log_tool(), "verify", log], capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr
