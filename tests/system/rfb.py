# SPDX-License-Identifier: GPL-2.0-or-later
"""A small VNC client (RFC 6143), QMP client, and a reader of text in pictures, for tests."""
import json
import socket
import struct
import time

FONT_ROM = "/usr/share/seabios/vgabios-stdvga.bin"


def connect(path, timeout=20):
    """Waits for the socket to be there."""
    end = time.monotonic() + timeout
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except (FileNotFoundError, ConnectionRefusedError):
            s.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


class Rfb:
    """Raw encoding, 32 bits a pixel. self.pixels: rows of (r, g, b) bytes."""

    def __init__(self, path, password=None, timeout=20):
        self.s = connect(path)
        self.s.settimeout(timeout)
        version = self.read(12)
        assert version == b"RFB 003.008\n", version
        self.s.sendall(version)
        n = self.read(1)[0]
        kinds = self.read(n)
        if password is None:
            assert 1 in kinds, kinds
            self.s.sendall(b"\x01")
        else:
            assert 2 in kinds and 1 not in kinds, kinds
            self.s.sendall(b"\x02")
            self.s.sendall(des_answer(self.read(16), password))
        (result,) = struct.unpack(">I", self.read(4))
        if result:
            raise PermissionError("the server refused")
        self.s.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        (n,) = struct.unpack(">I", self.read(4))
        self.name = self.read(n).decode()
        # 32 bits, 24 deep, little-endian, true colour, red 16, green 8, blue 0
        self.s.sendall(struct.pack(">B3xBBBBHHHBBB3x", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.s.sendall(struct.pack(">BxHii", 2, 2, 0, -223))  # raw, desktop size
        self.resize(self.width, self.height)

    def resize(self, w, h):
        self.width, self.height = w, h
        self.pixels = [bytearray(3 * w) for _ in range(h)]

    def read(self, n):
        out = b""
        while len(out) < n:
            d = self.s.recv(n - len(out))
            if not d:
                raise EOFError("the server closed the connection")
            out += d
        return out

    def update(self, incremental):
        """Asks for an update and waits for it; False: none came in time."""
        self.s.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))
        old = self.s.gettimeout()
        self.s.settimeout(1.0 if incremental else old)
        try:
            kind = self.read(1)[0]
        except socket.timeout:
            return False
        finally:
            self.s.settimeout(old)
        while kind != 0:
            if kind == 3:
                (n,) = struct.unpack(">3xI", self.read(7))
                self.read(n)
            else:
                assert kind == 2, kind
            kind = self.read(1)[0]
        (n,) = struct.unpack(">xH", self.read(3))
        for _ in range(n):
            x, y, w, h, enc = struct.unpack(">HHHHi", self.read(12))
            if enc == -223:
                self.resize(w, h)
                continue
            assert enc == 0, enc
            for row in range(h):
                d = self.read(4 * w)
                line = self.pixels[y + row]
                line[3 * x:3 * (x + w):3] = d[2::4]
                line[3 * x + 1:3 * (x + w):3] = d[1::4]
                line[3 * x + 2:3 * (x + w):3] = d[0::4]
        return True

    def key(self, sym, down):
        self.s.sendall(struct.pack(">BB2xI", 4, down, sym))

    def type(self, text):
        for c in text:
            sym = 0xff0d if c == "\n" else ord(c)
            self.key(sym, 1)
            self.key(sym, 0)
            time.sleep(0.02)

    def pointer(self, x, y, buttons=0):
        self.s.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def text(self):
        return picture_text(self.width, self.height, self.pixels)

    def expect(self, needle, timeout=60):
        end = time.monotonic() + timeout
        full = True
        while time.monotonic() < end:
            self.update(0 if full else 1)
            full = False
            if needle in self.text():
                return True
        raise AssertionError(f"waited for {needle!r}; the screen shows:\n{self.text()}")

    def close(self):
        self.s.close()


def des_answer(challenge, password):
    """VNC's use of DES, by openssl: a test has no need of its own."""
    import subprocess
    key = bytes(int(f"{b:08b}"[::-1], 2) for b in password.encode()[:8].ljust(8, b"\0"))
    return subprocess.run(["openssl", "enc", "-des-ecb", "-K", key.hex(), "-nopad", "-provider", "legacy",
                           "-provider", "default"], input=challenge, stdout=subprocess.PIPE, check=True).stdout


_glyphs = {}


def glyphs():
    if not _glyphs:
        with open(FONT_ROM, "rb") as f:
            rom = f.read()
        at = rom.index(bytes(18) + bytes.fromhex("7e81a58181bd9981817e"))
        for c in list(range(32, 127)):
            _glyphs[rom[at + 16 * c:at + 16 * c + 16]] = chr(c)
    return _glyphs


def picture_text(width, height, rows, cell_w=9):
    """The text that a picture shows: 9x16 cells; '?' where there is none known."""
    g = glyphs()
    out = []
    for y in range(0, height - 15, 16):
        line = ""
        for x in range(0, width - cell_w + 1, cell_w):
            back = bytes(rows[y][3 * x:3 * x + 3])
            bits = bytearray()
            for k in range(16):
                r, b = rows[y + k], 0
                for i in range(8):
                    p = 3 * (x + i)
                    b = b << 1 | (bytes(r[p:p + 3]) != back)
                bits.append(b)
            line += g.get(bytes(bits), "?")
        out.append(line.rstrip())
    return "\n".join(out)


def read_ppm(path):
    with open(path, "rb") as f:
        d = f.read()
    magic, size, depth, body = d.split(b"\n", 3)
    assert magic == b"P6" and depth == b"255"
    w, h = map(int, size.split())
    assert len(body) == 3 * w * h, (len(body), w, h)
    return w, h, [body[3 * w * y:3 * w * (y + 1)] for y in range(h)]


class Qmp:
    def __init__(self, path):
        self.s = connect(path)
        self.f = self.s.makefile("rw")
        self.f.readline()
        self.cmd("qmp_capabilities")

    def cmd(self, name, **args):
        """The answer's 'return', or its 'error' as an exception."""
        o = {"execute": name}
        if args:
            o["arguments"] = args
        self.f.write(json.dumps(o) + "\n")
        self.f.flush()
        while True:
            r = json.loads(self.f.readline())
            if "error" in r:
                raise RuntimeError(r["error"]["desc"])
            if "return" in r:
                return r["return"]

    def close(self):
        self.s.close()
