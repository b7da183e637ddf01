#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dejavm-log and logmutate from outside. The logs are written here, from docs/log-format.md alone, so that this also checks that page.

usage: test_tool.py DEJAVM-LOG LOGMUTATE
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

TOOL, MUTATE = sys.argv[1:3]
VERSION = 0x00E02007


def array(b):
    return struct.pack(">I", len(b)) + b


def ext(number, payload):
    return bytes([number]) + array(payload)


def instructions(n):
    return struct.pack(">BI", 0, n)


def config(items):
    return ext(128, struct.pack(">I", len(items)) + b"".join(array(k) + array(v) for k, v in items))


def mark(first):
    return ext(134, struct.pack(">10I", *range(first, first + 10)))


def char_read(dev, data):
    return bytes([3, 4, 3, dev]) + array(data)


def digest(eip):
    return ext(129, b"\x01\x03eip" + struct.pack(">Q", eip) + b"\x05\x00" + struct.pack(">III", 16, 4, 0xABCD))


# One list entry an event, so that any number of them can be a chunk.
EVENTS = [
    config([(b"append", b'a "b"\nc'), (b"ram", b"64M")]),
    b"\x12" + struct.pack(">Q", 1700000000000000000),  # 1: clock-host at 0
    instructions(100),
    mark(7),  # 3: at 100
    char_read(0, b"ls\n"),
    instructions(50),
    ext(135, b"\x00hello\r\n"),  # 6: output at 150
    ext(135, b"\x01\x00\xff"),
    digest(0x1000),  # 8
    instructions(50),
    ext(132, struct.pack(">Q", 123456)),  # 10: warp at 200
    mark(9),
    char_read(0, b"exit\n"),
    ext(133, b"\x03\x01"),
    instructions(100),
    ext(135, b"\x00bye\n"),  # 15: at 300
    digest(0x2000),
    bytes([9]),  # shutdown guest-shutdown
    bytes([29]),
]


def icount_of(events):
    return sum(struct.unpack(">I", e[1:5])[0] for e in events if e[0] == 0)


def plain(events=EVENTS):
    return struct.pack(">IQ", VERSION, 0) + b"".join(events)


def chunk(events, before):
    raw = b"".join(events)
    stored = zlib.compress(raw)
    head = b"DJCK" + struct.pack(">IIQQ", len(raw), len(stored), icount_of(before), len(before))
    return head + struct.pack(">I", zlib.crc32(head + stored)) + stored


def chunked(events=EVENTS, per_chunk=6):
    out = struct.pack(">IQ", VERSION, 1)
    for i in range(0, len(events), per_chunk):
        out += chunk(events[i : i + per_chunk], events[:i])
    return out


class Tool(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.plain = self.file("plain", plain())
        self.chunked = self.file("chunked", chunked())

    def tearDown(self):
        self.dir.cleanup()

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def file(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def run_tool(self, *args, status=0, stdin=None, program=TOOL):
        p = subprocess.run([program, *args], input=stdin, capture_output=True, timeout=30)
        self.assertEqual(p.returncode, status, (args, p.stdout, p.stderr))
        if status == 0:
            self.assertNotIn(b"cannot", p.stderr)
        else:
            self.assertTrue(p.stderr or p.stdout)
        self.err = p.stderr.decode()
        return p.stdout

    def text(self, *args, **kw):
        return self.run_tool(*args, **kw).decode()

    def test_info(self):
        for path, encoding in ((self.plain, "plain"), (self.chunked, "chunks")):
            info = dict(line.split(": ", 1) for line in self.text("info", path).splitlines())
            self.assertEqual(info["encoding"], encoding)
            self.assertEqual(info["events"], str(len(EVENTS)))
            self.assertEqual(info["icount"], "300")
            self.assertEqual(info["end"], "guest-shutdown")
            self.assertEqual(info["digests"], "2")
            self.assertEqual(info["output-bytes"], "13")
            self.assertEqual(info["event-bytes"], str(sum(map(len, EVENTS))))

    def test_info_config(self):
        self.assertEqual(self.text("info", "--config", self.plain), 'append=a "b"\\nc\nram=64M\n')
        # No more than the first event is needed.
        cut = self.file("cut", chunked()[:400])
        self.assertIn("ram=64M", self.text("info", "--config", cut))

    def test_dump(self):
        lines = self.text("dump", self.chunked).splitlines()
        self.assertEqual(len(lines), len(EVENTS))
        self.assertEqual(lines, self.text("dump", self.plain).splitlines())
        self.assertEqual(lines[4].split(), ["4", "100", "async", "char-read", "dev=0", 'data[3]="ls\\n"'])
        self.assertIn("eax=0x7 ecx=0x8", lines[3])
        self.assertIn("request serial-break stream=1", lines[13])
        verbose = self.text("dump", "--verbose", self.plain)
        self.assertIn("register eip = 0x1000", verbose)
        self.assertIn("RAM at 0x10000-0x13fff = 0xabcd", verbose)

    def test_dump_json(self):
        events = [json.loads(line) for line in self.text("dump", "--json", self.chunked).splitlines()]
        self.assertEqual(len(events), len(EVENTS))
        offset = 0
        for n, (e, raw) in enumerate(zip(events, EVENTS)):
            self.assertEqual((e["number"], e["id"], e["offset"], e["size"]), (n, raw[0], offset, len(raw)))
            offset += len(raw)
        self.assertEqual(events[0]["config"], {"append": 'a "b"\nc', "ram": "64M"})
        self.assertEqual(events[1]["ns"], 1700000000000000000)
        self.assertEqual(events[7]["data"], "\x00\xff")
        self.assertEqual(events[8]["digest"][0], {"kind": "register", "name": "eip", "value": "0x1000"})
        self.assertEqual(events[8]["digest"][1]["first_page"], 16)
        self.assertEqual(events[12]["icount"], 200)
        self.assertEqual(events[17]["cause"], "guest-shutdown")

    def test_stat(self):
        rows = {line[:28].strip(): line[28:].split() for line in self.text("stat", self.plain).splitlines()}
        self.assertEqual(rows["async char-read"][:2], ["2", str(len(EVENTS[4]) + len(EVENTS[12]))])
        self.assertEqual(rows["instruction"][:2], ["4", "20"])
        self.assertEqual(rows["all"][:2], [str(len(EVENTS)), str(sum(map(len, EVENTS)))])
        # 300 instructions: 32 bins of 16.
        self.assertEqual(rows["288"][0], "5")

    def test_verify(self):
        self.assertIn("good: 19 events", self.text("verify", self.chunked))
        self.assertIn("icount 300 (guest-shutdown)", self.text("verify", self.plain))
        self.run_tool("verify", self.file("none", b""), status=5)
        self.assertIn("it is empty", self.err)
        self.run_tool("verify", self.file("v", b"\x00\xe0\x20\x0c" + chunked()[4:]), status=5)
        self.assertIn("0x00e0200c", self.err)
        self.assertIn("0x00e02007", self.err)
        self.run_tool("verify", self.file("junk", os.urandom(100)), status=5)
        self.run_tool("verify", self.path("absent"), status=1)
        self.run_tool("verify", self.file("noconfig", plain(EVENTS[1:])), status=5)
        self.assertIn("first event is clock-host", self.err)

    def test_cut_everywhere(self):
        whole = chunked()
        borders = []
        for n in range(12, len(whole)):
            cut = self.file("cut", whole[:n])
            self.run_tool("verify", cut, status=4)
            if n % 7 and n > 30:
                continue
            out = self.path("out")
            p = subprocess.run([TOOL, "repair", cut, out], capture_output=True, timeout=30)
            if p.returncode == 5:
                self.assertIn(b"nothing can be kept", p.stderr)
                continue
            self.assertEqual(p.returncode, 0, p.stderr)
            self.run_tool("verify", out)
            borders.append(len(self.run_tool("dump", out).splitlines()))
        # Six events a chunk, and two that end the log (INSTRUCTION at the end has nothing to stand before).
        self.assertEqual(borders, sorted(borders))
        self.assertGreater(len(set(borders)), 2)

    def test_damage_everywhere(self):
        whole = chunked()
        for n in range(len(whole)):
            bad = self.path("bad")
            self.run_tool("--flip-byte", str(n), self.chunked, bad, program=MUTATE)
            p = subprocess.run([TOOL, "verify", bad], capture_output=True, timeout=30)
            self.assertIn(p.returncode, (4, 5), (n, p.stdout))
            self.assertTrue(p.stderr)

    def test_pipe(self):
        self.assertIn("good", self.text("verify", "-", stdin=chunked()))
        self.assertEqual(self.text("dump", "-", stdin=plain()), self.text("dump", self.plain))

    def test_convert(self):
        a, b = self.path("a"), self.path("b")
        self.run_tool("convert", "--raw", self.chunked, a)
        with open(a, "rb") as f:
            self.assertEqual(f.read(), plain())
        self.run_tool("convert", "--chunked", a, b)
        self.assertIn("the logs are the same", self.text("diff", b, self.chunked))
        self.assertEqual(self.run_tool("convert", "--raw", "-", "-", stdin=chunked()), plain())
        self.run_tool("convert", "--raw", self.plain, self.plain, status=1)
        self.assertIn("another one is needed", self.err)
        self.run_tool("convert", "--raw", self.file("cut", plain()[:100]), a, status=4)
        self.run_tool("verify", a, status=4)

    def test_diff(self):
        self.assertIn("the same", self.text("diff", self.plain, self.chunked))
        # How distances are cut up does not matter.
        split = EVENTS[:2] + [instructions(40), instructions(60)] + EVENTS[3:]
        self.assertIn("the same", self.text("diff", self.plain, self.file("split", plain(split))))
        cases = [
            (["--set-char", "0", "1", "0x58"], ["icount 100", "byte 1 of their data differs: 0x73, 0x58"]),
            (["--move-event", "4", "--by", "1"], ["icount 100 and 101", "cpu-mark"]),
            (["--move-input", "1", "--by", "-3"], ["icount 200 and 197", "warp"]),
            (["--set-output", "1", "0", "1"], ["byte 0 of their data differs: 0x00, 0x01", "stream=1"]),
            (["--set-config", "ram", "32M"], ["ram: " + self.plain + " 64M, "]),
            (["--drop-event", "8"], ["icount 150 and 200", "digest"]),
        ]
        for args, parts in cases:
            self.run_tool(*args, self.plain, self.path("m"), program=MUTATE)
            self.run_tool("verify", self.path("m"))
            out = self.text("diff", self.plain, self.path("m"), status=3)
            for part in parts:
                self.assertIn(part, out)
        other = EVENTS[:16] + [digest(0x2001)] + EVENTS[17:]
        out = self.text("diff", self.plain, self.file("o", plain(other)), status=3)
        self.assertIn("register eip: %s 0x00002000, %s 0x00002001" % (self.plain, self.path("o")), out)
        out = self.text("diff", self.plain, self.file("cut", plain()[:-2]), status=3)
        self.assertIn("ends before", out)

    def test_extract(self):
        self.assertEqual(self.run_tool("extract", "--serial", "0", self.chunked), b"hello\r\nbye\n")
        self.assertEqual(self.run_tool("extract", "--serial", "1", "--output", self.plain), b"\x00\xff")
        self.assertEqual(self.run_tool("extract", "--input", "--serial", "0", self.plain), b"ls\nexit\n")
        self.assertEqual(self.run_tool("extract", "--serial", "9", self.plain), b"")
        for bad in ("-1", "256", "x", ""):
            self.run_tool("extract", "--serial", bad, self.plain, status=1)

    def test_repair_of_corruption(self):
        damaged = bytearray(chunked())
        damaged[-20] ^= 1
        out = self.path("out")
        self.run_tool("repair", self.file("d", bytes(damaged)), out)
        self.assertIn("CRC-32", self.err)
        self.assertIn("host-error", self.text("verify", out))
        self.run_tool("repair", self.chunked, out)
        self.assertIn("is whole", self.err)
        self.assertIn("the same", self.text("diff", out, self.chunked))

    def test_arguments(self):
        self.assertIn("Exit status", self.text("--help"))
        for command in ("info", "dump", "stat", "verify", "diff", "convert", "repair", "extract"):
            self.run_tool(command, status=1)
            self.run_tool(command, "--nonsense", self.plain, status=1)
            self.assertIn("usage: dejavm-log " + command, self.text(command, "--help"))
        self.run_tool("nonsense", status=1)
        self.assertIn("there is no command 'nonsense'", self.err)
        self.run_tool(status=1)
        self.text("--version")

    def test_full_disk(self):
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                p = subprocess.run([TOOL, "dump", self.plain], stdout=full, stderr=subprocess.PIPE, timeout=30)
            self.assertEqual(p.returncode, 1)
            self.run_tool("convert", "--raw", self.plain, "/dev/full", status=1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
