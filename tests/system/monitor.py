# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the human monitor on a unix socket."""
import socket
import time

PROMPT = b"(qemu) "


def args(path):
    return ["-monitor", f"unix:{path},server=on,wait=off"]


class Monitor:
    def __init__(self, path, timeout=60):
        end = time.monotonic() + 10
        while True:
            self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.s.connect(path)
                break
            except OSError:
                self.s.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self.s.settimeout(timeout)
        self.greeting = self.answer()
        self.seconds = 0.0

    def answer(self):
        buf = b""
        while not buf.endswith(PROMPT):
            data = self.s.recv(65536)
            if not data:
                break
            buf += data
        return buf.removesuffix(PROMPT).decode().replace("\r\n", "\n")

    def cmd(self, line):
        """What the monitor says to a line; self.seconds: how long it took."""
        start = time.monotonic()
        self.s.sendall(line.encode() + b"\n")
        text = self.answer()
        self.seconds = time.monotonic() - start
        return text

    def close(self):
        self.s.close()
