#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of each process of the group, while a session is being recorded."""
import json
import os
import signal
import socket
import time

from lib import CACHE, Machine, Tap, boot_args, session, verify

BOOT = boot_args("64")
SHIFT = "shift=6"


class Qmp:
    """A QMP client, enough of one."""

    def __init__(self, path, timeout=10):
        end = time.monotonic() + timeout
        while True:
            try:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(timeout)
                self.sock.connect(path)
                self.file = self.sock.makefile("rw", newline="")
                self.greeting = json.loads(self.file.readline())
                return
            except (OSError, ValueError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def command(self, name):
        self.file.write(json.dumps({"execute": name}) + "\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "event" not in reply:
                return reply


def start(log, extra=()):
    return Machine(BOOT + ["-icount", f"{SHIFT},rr=record,rrfile={log}"] + list(extra))


def test_qmpd(tap):
    log = os.path.join(CACHE, "death-qmpd.bin")
    path = os.path.join(CACHE, "qmp.sock")
    with start(log, ["-qmp", f"unix:{path},server=on,wait=off"]) as m:
        m.expect(session.PROMPT)
        q = Qmp(path)
        tap.ok("QMP" in q.greeting, "qmpd greets")
        tap.ok(q.command("qmp_capabilities") == {"return": {}}, "qmpd negotiates")
        tap.ok(q.command("query-status")["return"]["status"] == "running", "query-status says running")
        old = m.members()["qmpd"]
        os.kill(old, signal.SIGKILL)
        tap.ok("still here" in m.run("echo still here"), "the guest goes on after kill -9 of qmpd")
        q = Qmp(path)
        q.command("qmp_capabilities")
        tap.ok(q.command("query-status")["return"]["running"] is True, "a new qmpd answers")
        tap.ok(m.members()["qmpd"] != old, "it is another process")
        tap.ok(q.command("stop") == {"return": {}}, "stop")
        tap.ok(q.command("query-status")["return"]["status"] == "paused", "query-status says paused")
        m.send("echo after the pause\n")
        time.sleep(0.5)
        tap.ok(b"after the pause" not in bytes(m.output[m.mark:]), "a paused guest does not echo")
        tap.ok(q.command("cont") == {"return": {}}, "cont")
        m.expect(r"after the pause\r?\n(.|\n)*after the pause", 30)
        m.expect(session.PROMPT)
        q.command("quit")
        status = m.wait(30)
        rec = m.stats()
    tap.ok(status == 0, "quit ends the group with status 0", status)
    status, rep, _, err = session.replay(log, boot=BOOT, icount="," + SHIFT)
    tap.ok(status == 0 and rep["digest"] == rec["digest"], "the recording with stop, cont and quit replays", err)


def test_death(tap, role):
    log = os.path.join(CACHE, f"death-{role}.bin")
    with start(log) as m:
        m.expect(session.PROMPT)
        m.run("echo before the end")
        pid = m.members()[role]
        t = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        m.wait(20)
        took = time.monotonic() - t
        # The others see it by themselves when the hub dies.
        while m.members() and time.monotonic() - t < 20:
            time.sleep(0.02)
        took = max(took, time.monotonic() - t)
        left = m.members()
        err, out = m.stderr(), bytes(m.output)
    tap.ok(took < 2 and not left, f"kill -9 of {role}: the group has ended within 2 s", f"{took:.1f} s, left: {left}")
    tap.ok(role in err, f"kill -9 of {role}: the message names it", err)
    status, text = verify(log)
    tap.ok(status == 0, f"kill -9 of {role}: the log verifies", text)
    status, rep, rout, err = session.replay(log, boot=BOOT, icount="," + SHIFT)
    tap.ok(status == 0, f"kill -9 of {role}: replaying it ends in order", f"status {status}\n{err}")
    tap.ok(b"before the end" in rout and out.startswith(rout[:len(out)]) and len(rout) >= out.rfind(b"before the end"),
           f"kill -9 of {role}: the replay reaches what was typed last", f"{len(out)} recorded, {len(rout)} replayed")


def test_all_at_once(tap):
    """As a host that loses its power: nobody can write the end. What was flushed is as good as ever."""
    log = os.path.join(CACHE, "death-all.bin")
    with start(log) as m:
        m.expect(session.PROMPT)
        m.run("echo before the flush")
        time.sleep(2.5)
        members = m.members()
        for role in ("replaylog", "hub", "vcpu", "devices"):
            os.kill(members[role], signal.SIGKILL)
        m.proc.wait()
    status, text = verify(log)
    tap.ok(status == 4, "kill -9 of all at once: verify says that the log is cut", text)
    status, _, out, err = session.replay(log, boot=BOOT, icount="," + SHIFT)
    tap.ok(status == 4 and "no end" in err, "kill -9 of all at once: the replay says how far it came", f"status {status}\n{err}")
    tap.ok(b"before the flush" in out, "kill -9 of all at once: the replay has what was flushed", f"{len(out)} bytes")


def test_signal(tap, sig, name):
    log = os.path.join(CACHE, "signal.bin")
    with start(log) as m:
        m.expect(session.PROMPT)
        m.run("echo one")
        os.kill(m.members()["hub"], sig)
        status = m.wait(20)
        rec = m.stats()
    tap.ok(status == 0, f"{name} ends a recording in order", status)
    status, text = verify(log)
    tap.ok(status == 0, f"{name}: the log is whole", text)
    status, rep, _, err = session.replay(log, boot=BOOT, icount="," + SHIFT)
    tap.ok(status == 0 and rep["digest"] == rec["digest"], f"{name}: the log replays to the same digest", err)


def main():
    os.makedirs(CACHE, exist_ok=True)
    tap = Tap()
    tap.run("kill -9 of qmpd", test_qmpd, tap)
    for role in ("vcpu", "devices", "replaylog", "hub"):
        tap.run(f"kill -9 of {role}", test_death, tap, role)
    tap.run("kill -9 of all", test_all_at_once, tap)
    tap.run("SIGTERM", test_signal, tap, signal.SIGTERM, "SIGTERM")
    tap.run("SIGINT", test_signal, tap, signal.SIGINT, "SIGINT")
    tap.done()


if __name__ == "__main__":
    main()
