#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""-display curses on a pseudo-terminal: the firmware's text, typing into Linux, the terminal given back, whatever the end."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

from lib import Tap, boot_args, session
from rfb import Qmp


class Terminal:
    """dejavm with a terminal of its own; a session leader, as a shell's job would be in the foreground."""

    def __init__(self, args):
        self.fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.out = b""

        def child():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        self.p = subprocess.Popen([session.launcher(), "-display", "curses", "-serial", "null"] + args, stdin=slave, stdout=slave,
                                  stderr=slave, preexec_fn=child, env=env)

    def pump(self, t):
        r, _, _ = select.select([self.fd], [], [], t)
        if r:
            try:
                self.out += os.read(self.fd, 65536)
            except OSError:
                return

    def expect(self, text, timeout=60):
        """Text as it was drawn; ncurses moves over what is there already, so single words only."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            plain = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\([AB0]|[\x0e\x0f]", b"", self.out)
            if text in plain:
                self.out = b""
                return
            if self.p.poll() is not None:
                break
            self.pump(0.2)
        raise AssertionError(f"waited for {text!r}; got {self.out[-800:]!r}")

    def type(self, data):
        for c in data:
            os.write(self.fd, bytes([c]))
            time.sleep(0.05)
            self.pump(0)

    def wait(self, timeout=20):
        end = time.monotonic() + timeout
        while self.p.poll() is None and time.monotonic() < end:
            self.pump(0.1)
        if self.p.poll() is None:
            self.p.kill()
        return self.p.wait()

    def modes_are_back(self):
        return termios.tcgetattr(self.slave)[:4] == self.before[:4]

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        os.close(self.fd)
        os.close(self.slave)


def test_firmware(tap, tmp, how):
    t = Terminal(["-m", "32", "-qmp", f"unix:{tmp}/qmp,server=on,wait=off"])
    try:
        t.expect(b"SeaBIOS")
        tap.ok(True, "the firmware's text is drawn")
        tap.ok(not t.modes_are_back(), "the terminal is in raw mode meanwhile")
        if how == "a kill of the display":
            # It is started again and draws anew; then the machine ends.
            with open(f"/proc/{t.p.pid}/task/{t.p.pid}/children") as f:
                for pid in map(int, f.read().split()):
                    with open(f"/proc/{pid}/comm") as c:
                        if c.read().strip() == "dejavm-display":
                            os.kill(pid, signal.SIGKILL)
            t.out = b""
            t.expect(b"SeaBIOS")
            Qmp(f"{tmp}/qmp").cmd("quit")
        elif how == "quit":
            Qmp(f"{tmp}/qmp").cmd("quit")
        else:
            os.kill(t.p.pid, signal.SIGTERM)
        t.wait()
        tap.ok(t.modes_are_back(), f"the terminal is as it was, after {how}")
    finally:
        t.close()


def test_typing(tap):
    t = Terminal(boot_args("64", append="console=ttyS0 console=tty0 quiet cryptomgr.notests"))
    try:
        t.expect(b"dejavm#", 120)
        t.type(b"echo $((6*7))x\r")
        t.expect(b"42x")
        tap.ok(True, "typing arrives")
        t.type(b"sleep 100\r")
        time.sleep(1)
        t.type(b"\x03echo Back\r")
        t.expect(b"Back")
        tap.ok(True, "Ctrl-C is the guest's")
        t.type(b"poweroff -f\r")
        tap.ok(t.wait(60) == 0, "power off")
        tap.ok(t.modes_are_back(), "the terminal is as it was, after the guest's end")
    finally:
        t.close()


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as tmp:
        tap.run("firmware, quit", test_firmware, tap, tmp, "quit")
        tap.run("firmware, signal", test_firmware, tap, tmp, "signal")
        tap.run("firmware, kill", test_firmware, tap, tmp, "a kill of the display")
        tap.run("typing", test_typing, tap)
    tap.done()


if __name__ == "__main__":
    main()
