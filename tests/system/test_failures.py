#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A replay that must fail, fails well: its own message, its documented exit status (docs/exit-status.md), and no hang."""
import os
import re
import shutil

from lib import CACHE, Tap, boot_args, mutate, recorded, session

CONFIG, DIVERGED, INCOMPLETE, UNUSABLE = 2, 3, 4, 5
TIMEOUT = 120


def attempt(tap, name, log, want_status, want_text, boot=None, icount="", args=()):
    try:
        status, _, _, err = session.replay(log, boot=boot, icount=icount, args=args, timeout=TIMEOUT)
    except session.SessionError as e:
        tap.ok(False, name, e)
        return ""
    tap.ok(status == want_status, f"{name}: exit status {want_status}", f"status {status}\n{err}")
    for rx in want_text:
        tap.ok(re.search(rx, err, re.S | re.I) is not None, f"{name}: the message says /{rx}/", err)
    return err


def stored_byte(log):
    """Offset of a byte in the middle of the log that is a chunk's content. (With another length in its header, a chunk may be one
    that was cut off.) docs/log-format.md, "Chunks"."""
    off = 12
    while True:
        stored = int.from_bytes(log[off + 8:off + 12], "big")
        if log[off:off + 4] != b"DJCK" or not stored:
            raise ValueError(f"no chunk at offset {off}")
        if off + 32 + stored > len(log) // 2:
            return off + 32 + stored // 2
        off += 32 + stored


def main():
    tap = Tap()
    log, stats, _ = recorded("failures", boot=boot_args("64"), icount=",shift=6")
    shift = ",shift=6"
    b64 = boot_args("64")
    status, rep, _, err = session.replay(log, boot=b64, icount=shift)
    tap.ok(status == 0 and rep["digest"] == stats["digest"], "the log itself replays", err)

    def path(name):
        return os.path.join(CACHE, name)

    window = [r"icount|instruction", r"\d{3,}"]
    mutate(log, path("char.bin"), "--set-char", "1", "0", "0x7a")
    attempt(tap, "one byte of typed input changed", path("char.bin"), DIVERGED, window + [r"serial0|register|RAM |device"], b64, shift)
    for by in ("1", "-1"):
        mutate(log, path("moved.bin"), "--move-input", "1", "--by", by)
        attempt(tap, f"an event moved by {by} instruction", path("moved.bin"), DIVERGED, window, b64, shift)
    attempt(tap, "another -m", log, CONFIG, [r"ram", r"64", r"128"], boot_args("128"), shift)
    attempt(tap, "another shift", log, CONFIG, [r"shift", r"\b6\b", r"\b7\b"], b64, ",shift=7")
    attempt(tap, "another -append", log, CONFIG, [r"append", r"loglevel=3"], boot_args("64", session.APPEND + " loglevel=3"), shift)
    g = session.guest_dir()
    if os.path.exists(os.path.join(g, "vmlinux-pae")):
        attempt(tap, "another kernel", log, CONFIG, [r"kernel"], boot_args("64", kernel="vmlinux-pae"), shift)
    else:
        other = path("vmlinux-other")
        shutil.copy(os.path.join(g, "vmlinux"), other)
        with open(other, "ab") as f:
            f.write(b"\0")
        attempt(tap, "another kernel", log, CONFIG, [r"kernel"], b64[:3] + [other] + b64[4:], shift)
    attempt(tap, "one serial port more", log, CONFIG, [r"serial"], b64, shift, ["-serial", "null"])

    size = os.path.getsize(log)
    with open(log, "rb") as f:
        data = f.read()
    with open(path("cut.bin"), "wb") as f:
        f.write(data[:size * 2 // 3])
    attempt(tap, "a log cut in the middle", path("cut.bin"), INCOMPLETE, [r"cut|incomplete|END|ends", r"icount|instruction"], b64, shift)
    with open(path("version.bin"), "wb") as f:
        f.write(bytes([0, 0xe0, 0x20, 0x0c]) + data[4:])
    attempt(tap, "a log of another version", path("version.bin"), UNUSABLE, [r"version", r"e0200c"], b64, shift)
    open(path("empty.bin"), "wb").close()
    attempt(tap, "an empty file", path("empty.bin"), UNUSABLE, [r"empty|too short|header"], b64, shift)
    bad = bytearray(data)
    bad[stored_byte(data)] ^= 0x40
    with open(path("corrupt.bin"), "wb") as f:
        f.write(bad)
    attempt(tap, "one corrupt byte", path("corrupt.bin"), UNUSABLE, [r"crc|chunk", r"\d+"], b64, shift)
    attempt(tap, "a log that is not there", path("nowhere.bin"), 1, [r"nowhere\.bin"], b64, shift)
    tap.done()


if __name__ == "__main__":
    main()
