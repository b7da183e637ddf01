#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dejavm-qmpd as a process, with a hub that is this script: it speaks just enough of the control
protocol (proto/control.proto, written by hand below). Usage: test_dialogue.py QMPD"""
import array
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

QMPD = sys.argv[1]


# ---- protobuf, as much as is needed ----

def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def decode(data):
    """{field number: last value}; lengths-delimited fields as bytes."""
    out, i = {}, 0

    def number():
        nonlocal i
        shift = n = 0
        while True:
            b = data[i]
            i += 1
            n |= (b & 0x7f) << shift
            shift += 7
            if b < 0x80:
                return n
    while i < len(data):
        key = number()
        if key & 7 == 0:
            out[key >> 3] = number()
        else:
            n = number()
            out[key >> 3] = data[i:i + n]
            i += n
    return out


HELLO, WELCOME, READY, FATAL, QUIT, REQUEST, REPLY, EVENT = 1, 3, 4, 7, 8, 10, 11, 12


class Hub:
    """Starts qmpd and is its hub."""

    def __init__(self, sandbox=True):
        self.dir = tempfile.mkdtemp(prefix="qmpdtest-")
        self.path = os.path.join(self.dir, "qmp")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.machine = os.memfd_create("machine")
        os.ftruncate(self.machine, 65536)
        self.start(sandbox)

    def start(self, sandbox=True):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(10)
        self.proc = subprocess.Popen([QMPD, "--control-fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
        theirs.close()
        kind, hello = self.receive()
        assert kind == HELLO and hello[1] == b"qmpd" and hello[2] == self.proc.pid and hello[4] == 1, (kind, hello)
        welcome = field(1, 1)
        for name, length in (("machine", 65536), ("qmp-listen", 0)):
            welcome += field(2, field(1, name) + field(2, length))
        welcome += field(3, field(1, 1) + (field(3, 1) if sandbox else b""))
        fds = array.array("i", [self.machine, self.listener.fileno()])
        self.sock.sendmsg([field(WELCOME, welcome)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        kind, _ = self.receive()
        assert kind == READY, kind

    def receive(self):
        data = self.sock.recv(131072)
        assert data, "qmpd closed the control socket"
        (kind, value), = decode(data).items()
        return kind, decode(value)

    def send(self, kind, value=b""):
        self.sock.send(field(kind, value))

    def event(self, name, data="", time_us=1234567):
        self.send(EVENT, field(1, name) + field(2, data) + field(3, time_us))

    def answer(self, want, value="{}", error=None):
        kind, req = self.receive()
        assert kind == REQUEST and req[2].decode() == want, (kind, req)
        body = field(1, req[1])
        body += field(4, "GenericError") + field(5, error) if error else field(2, 1) + field(3, value)
        self.send(REPLY, body)

    def client(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(self.path)
        return Client(s)

    def close(self):
        self.sock.close()
        try:
            return self.proc.wait(5)
        finally:
            self.proc.kill()


class Client:
    def __init__(self, s):
        self.s = s
        self.f = s.makefile("rb")

    def line(self):
        text = self.f.readline()
        assert text.endswith(b"\r\n"), text
        return json.loads(text)

    def send(self, text):
        self.s.sendall(text if isinstance(text, bytes) else text.encode())

    def begin(self):
        assert "QMP" in self.line()
        self.send('{"execute": "qmp_capabilities"}')
        assert self.line() == {"return": {}}
        return self


def test_commands_and_events():
    h = Hub()
    c = h.client().begin()
    c.send('{"execute": "query-status", "id": 1}')
    h.answer("query-status", '{"status": "running", "singlestep": false, "running": true}')
    assert c.line() == {"return": {"status": "running", "singlestep": False, "running": True}, "id": 1}
    c.send('{"execute": "stop"}')
    h.event("STOP")
    h.answer("stop")
    assert c.line() == {"timestamp": {"seconds": 1, "microseconds": 234567}, "event": "STOP"}
    assert c.line() == {"return": {}}
    c.send('{"execute": "cont"}')
    h.answer("cont", error="Resetting the Virtual Machine is required")
    assert c.line()["error"]["desc"] == "Resetting the Virtual Machine is required"
    assert h.close() == 1, "the hub's death ends qmpd"


def test_answers_in_order():
    h = Hub()
    c = h.client().begin()
    c.send("".join('{"execute": "%s", "id": %d}' % (n, i) for i, n in
                   enumerate(["stop", "query-version", "cont", "nonsense", "query-status"])))
    for name in ("stop", "cont", "query-status"):
        time.sleep(0.05)
        h.answer(name)
    assert [c.line()["id"] for _ in range(5)] == [0, 1, 2, 3, 4]
    h.close()


def test_one_client_at_a_time():
    h = Hub()
    c1 = h.client().begin()
    c2 = h.client()
    c2.s.settimeout(0.3)
    try:
        c2.f.readline()
        raise AssertionError("the second client was greeted beside the first")
    except (socket.timeout, TimeoutError):
        pass
    c1.f.close()
    c1.s.close()
    c2 = Client(c2.s)
    c2.s.settimeout(10)
    c2.begin()
    # What the first one asked for does not come to the second.
    h.event("STOP")
    assert c2.line()["event"] == "STOP"
    h.close()


def test_late_answer_is_not_the_next_clients():
    h = Hub()
    c1 = h.client().begin()
    c1.send('{"execute": "stop"}')
    kind, req = h.receive()
    c1.s.shutdown(socket.SHUT_RDWR)
    c1.f.close()
    c1.s.close()
    time.sleep(0.2)
    h.send(REPLY, field(1, req[1]) + field(2, 1) + field(3, '{"late": true}'))
    c2 = h.client().begin()
    c2.send('{"execute": "query-name"}')
    h.answer("query-name", '{"name": "x"}')
    assert c2.line() == {"return": {"name": "x"}}
    h.close()


def test_half_closed_client_gets_its_answers():
    h = Hub()
    c = h.client()
    c.send('{"execute": "qmp_capabilities"}{"execute": "query-status"}')
    c.s.shutdown(socket.SHUT_WR)
    h.answer("query-status")
    assert "QMP" in c.line() and c.line() == {"return": {}} and c.line() == {"return": {}}
    assert c.f.readline() == b""
    h.client().begin()
    h.close()


def test_quit():
    h = Hub()
    c = h.client().begin()
    c.send('{"execute": "quit"}')
    h.event("SHUTDOWN", '{"guest":false,"reason":"host-qmp-quit"}')
    h.answer("quit")
    h.send(QUIT)
    assert c.line()["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert c.line() == {"return": {}}
    assert c.f.readline() == b""
    assert h.proc.wait(5) == 0


def test_client_that_does_not_read():
    h = Hub()
    c = h.client().begin()
    c.s.setblocking(False)
    sent, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        try:
            sent += c.s.send(b'{"execute": "query-commands"}' * 50)
        except BlockingIOError:
            time.sleep(0.05)
    with open(f"/proc/{h.proc.pid}/status") as f:
        rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    with open(f"/proc/{h.proc.pid}/maps") as f:
        sanitized = "libasan" in f.read()
    # A sanitizer keeps what was freed for a while, and shadows all of it.
    limit = (512 if sanitized else 64) * 1024
    assert rss < limit, f"{rss} KiB"
    c.f.close()
    c.s.close()
    h.client().begin()
    h.close()


def test_kill_9_and_again():
    h = Hub()
    c = h.client().begin()
    waiting = h.client()
    h.proc.send_signal(signal.SIGKILL)
    h.proc.wait()
    h.sock.close()
    assert c.f.readline() == b""
    h.start()
    waiting.begin()
    h.close()


def main():
    tests = [(n, f) for n, f in sorted(globals().items()) if n.startswith("test_")]
    failed = 0
    for i, (name, fn) in enumerate(tests, 1):
        try:
            fn()
            print(f"ok {i} - {name}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {i} - {name}", flush=True)
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    print(f"1..{len(tests)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
