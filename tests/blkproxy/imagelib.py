# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of disk images share: image_tool as an object, qemu-img, TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

QEMU_IMG = shutil.which("qemu-img")
TOOL = None


class ToolError(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class Died(Exception):
    pass


def create(path, length, **options):
    r = subprocess.run([TOOL, "create", path, str(length)] + [f"{k}={v}" for k, v in options.items()],
                       capture_output=True, text=True)
    if r.returncode:
        raise ToolError(r.returncode, r.stderr.strip())


class Image:
    """An open image."""

    def __init__(self, path, **options):
        self.p = subprocess.Popen([TOOL, "open", path] + [f"{k}={v}" for k, v in options.items()],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self._answer()
        except Died:
            text = self.p.stderr.read().decode()
            self._reap()
            raise ToolError(self.p.returncode, text.strip()) from None

    def _reap(self):
        self.p.wait()
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            try:
                f.close()
            except BrokenPipeError:
                pass

    def _answer(self):
        line = self.p.stdout.readline().decode(errors="replace").rstrip("\n")
        if line.startswith("ok "):
            n = int(line[3:])
            data = self.p.stdout.read(n)
            if len(data) != n:
                raise Died
            return data
        if line.startswith("error "):
            _, code, text = line.split(" ", 2)
            raise ToolError(int(code), text)
        raise Died(line)

    def ask(self, line, data=b""):
        try:
            self.p.stdin.write(line.encode() + b"\n" + data)
            self.p.stdin.flush()
        except BrokenPipeError:
            raise Died from None
        return self._answer()

    def read(self, offset, length):
        return self.ask(f"read {offset} {length}")

    def write(self, offset, data):
        self.ask(f"write {offset} {len(data)}", data)

    def discard(self, offset, length):
        self.ask(f"discard {offset} {length}")

    def flush(self):
        self.ask("flush")

    def words(self, what):
        return dict(l.split("=", 1) for l in self.ask(what).decode().splitlines())

    def snapshots(self):
        return [l.split("\t") for l in self.ask("list").decode().splitlines()]

    def close(self):
        try:
            self.ask("close")
        finally:
            self._reap()

    def kill(self):
        self.p.kill()
        self._reap()


def qemu(*args, ok=(0,)):
    for _ in range(20):
        r = subprocess.run([QEMU_IMG] + list(args), capture_output=True, text=True)
        # LUKS: it times its key derivation, and gives up on a host that is busy with other things.
        if "accurate CPU usage" not in r.stderr:
            break
    if r.returncode not in ok:
        raise AssertionError(f"qemu-img {' '.join(args)}: {r.returncode}: {r.stdout}{r.stderr}")
    return r.stdout


def qemu_check(path, leaks=False):
    """Nothing wrong, or (with leaks) nothing but lost clusters."""
    r = subprocess.run([QEMU_IMG, "check", "--output=json", "-f", "qcow2", path], capture_output=True, text=True)
    try:
        found = json.loads(r.stdout)
    except ValueError:
        raise AssertionError(f"qemu-img check {path}: {r.stdout}{r.stderr}") from None
    assert not found.get("corruptions"), f"{path}: {r.stdout}{r.stderr}"
    assert not found.get("check-errors"), f"{path}: {r.stdout}{r.stderr}"
    if not leaks:
        assert not found.get("leaks"), f"{path}: {r.stdout}{r.stderr}"
    return found


def same_content(path, expected, folder, fmt="qcow2"):
    """qemu-img, too, reads from the image what it should."""
    raw = os.path.join(folder, "expected.raw")
    with open(raw, "wb") as f:
        f.write(expected)
    qemu("compare", "-f", fmt, "-F", "raw", path, raw)


def main(tests):
    global TOOL
    TOOL = sys.argv[1]
    wanted = sys.argv[2:]
    tests = [t for t in tests if not wanted or t.__name__ in wanted]
    print(f"1..{len(tests)}")
    bad = 0
    for i, t in enumerate(tests, 1):
        name = t.__name__
        if t.__doc__ and "qemu-img" in t.__doc__ and not QEMU_IMG:
            print(f"ok {i} - {name} # SKIP qemu-img is not installed (Debian: qemu-utils)")
            continue
        folder = tempfile.mkdtemp(prefix="image-test-")
        try:
            t(folder)
            print(f"ok {i} - {name}", flush=True)
            shutil.rmtree(folder)
        except Exception:  # pylint: disable=broad-except
            bad += 1
            print(f"not ok {i} - {name}", flush=True)
            for l in traceback.format_exc().splitlines():
                print("# " + l)
            print(f"# files kept in {folder}", flush=True)
    sys.exit(1 if bad else 0)
