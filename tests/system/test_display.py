#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture: firmware's banner, screendump, VNC with typing that is recorded and replayed, passwords, a killed display."""
import os
import signal
import subprocess
import time

from lib import CACHE, Machine, Tap, boot_args, session
from rfb import Qmp, Rfb, picture_text, read_ppm

# The shell is where /dev/console is: the last one named.
CONSOLE = "console=ttyS0 console=tty0 quiet cryptomgr.notests"


def dump(q, name):
    path = os.path.join(CACHE, name)
    q.cmd("screendump", filename=path)
    return read_ppm(path)


def wait_text(q, needle, name, timeout=60):
    end = time.monotonic() + timeout
    text = ""
    while time.monotonic() < end:
        text = picture_text(*dump(q, name))
        if needle in text:
            return text
        time.sleep(0.3)
    raise AssertionError(f"waited for {needle!r}; the screen shows:\n{text}")


def test_firmware(tap):
    with Machine(["-m", "32", "-qmp", f"unix:{CACHE}/qmp,server=on,wait=off"], serial="null") as m:
        q = Qmp(f"{CACHE}/qmp")
        text = wait_text(q, "No bootable device", "bios.ppm")
        tap.ok("SeaBIOS (version" in text.splitlines()[0], "the firmware's banner is in the first line", text)
        png = os.path.join(CACHE, "bios.png")
        q.cmd("screendump", filename=png, format="png")
        with open(png, "rb") as f:
            tap.ok(f.read(8) == b"\x89PNG\r\n\x1a\n", "screendump writes PNG")
        # No trace: two pictures of a machine that stands still are the same.
        q.cmd("stop")
        a, b = dump(q, "a.ppm"), dump(q, "b.ppm")
        tap.ok(a == b and q.cmd("query-status")["status"] == "paused", "a paused machine's pictures are the same")
        for args, words in [({}, "'filename' is missing"), ({"filename": "/nonexistent/x"}, "failed to open"),
                            ({"filename": "x", "format": "bmp"}, "does not accept")]:
            try:
                q.cmd("screendump", **args)
                tap.ok(False, f"screendump {args} is refused")
            except RuntimeError as e:
                tap.ok(words in str(e), f"screendump {args} is refused: {words}", str(e))
        q.cmd("quit")
        m.wait(20)


def test_vnc_record(tap):
    sock, log = os.path.join(CACHE, "vnc.sock"), os.path.join(CACHE, "vnc.bin")
    boot = boot_args("64", append=CONSOLE)
    qmp = ["-qmp", f"unix:{CACHE}/qmp,server=on,wait=off"]
    with Machine(boot + qmp + ["-icount", f"rr=record,rrfile={log}", "-vnc", f"unix:{sock}", "-name", "vm one"],
                 serial=f"file:{CACHE}/vnc-serial.txt") as m:
        q = Qmp(f"{CACHE}/qmp")
        tap.ok(q.cmd("query-vnc")["enabled"] is True, "query-vnc")
        v = Rfb(sock)
        tap.ok(v.name == "vm one", "the desktop's name is -name's", v.name)
        v.expect("dejavm#", 120)
        tap.ok(True, "the shell's prompt is on the VNC client's screen")
        v.type("echo Typed $((6*7)) \"by\" VNC\n")
        v.expect("Typed 42 by VNC")
        tap.ok(True, "what is typed arrives, shifted characters, too")
        q.cmd("send-key", keys=[{"type": "qcode", "data": k} for k in ("shift", "q")])
        time.sleep(0.3)
        q.cmd("send-key", keys=[{"type": "number", "data": 0x1c}])
        v.expect("Q: not found")
        tap.ok(True, "send-key by name and by number")
        ok = True
        for e in ({"type": "abs", "data": {"axis": "x", "value": 1}},
                  {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "nokey"}}}):
            try:
                q.cmd("input-send-event", events=[e])
                ok = False
            except RuntimeError:
                pass
        tap.ok(ok, "input-send-event refuses what there is not")
        q.cmd("input-send-event", events=[
            {"type": "key", "data": {"down": d, "key": {"type": "qcode", "data": "minus"}}} for d in (True, False)])
        v.expect("dejavm# -")
        v.key(0xff08, 1)
        v.key(0xff08, 0)
        v.pointer(100, 100)
        v.pointer(110, 95, 1)
        v.pointer(110, 95, 0)
        # A display that dies is started again; the guest does not notice.
        os.kill(m.members()["display"], signal.SIGKILL)
        end = time.monotonic() + 20
        while True:
            try:
                v = Rfb(sock)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        v.expect("Typed 42 by VNC")
        tap.ok(True, "a killed display process is started again and shows the picture")
        v.type("\nclear; echo last line\n")
        v.expect("last line")
        q.cmd("stop")
        want = dump(q, "record-end.ppm")
        q.cmd("cont")
        v.type("poweroff -f\n")
        status = m.wait(60)
        tap.ok(status == 0, "the recording ends well", m.stderr())
        rec = m.stats()
    rep_sock = os.path.join(CACHE, "vnc2.sock")
    seen = []
    with Machine(boot + ["-icount", f"rr=replay,rrfile={log},replay-speed=realtime", "-vnc", f"unix:{rep_sock}"],
                 serial=f"file:{CACHE}/vnc-serial2.txt") as m:
        try:
            v = Rfb(rep_sock)
            v.type("reboot -f\n")
            while True:
                v.update(1)
                seen.append(v.text())
        except (OSError, EOFError):
            pass
        status = m.wait(120)
        tap.ok(status == 0, "the replay is the same, whatever is typed meanwhile", m.stderr())
        rep = m.stats()
    tap.ok(rec.get("digest") == rep.get("digest") and rec.get("icount") == rep.get("icount"), "the same final digest",
           f"{rec} {rep}")
    tap.ok(any("Typed 42 by VNC" in s for s in seen), "a replay can be watched")
    tap.ok(want[0] == 720 and want[1] == 400, "the size of text mode's picture")


def test_password(tap):
    sock = os.path.join(CACHE, "vncp.sock")
    with Machine(["-m", "32", "-qmp", f"unix:{CACHE}/qmp,server=on,wait=off", "-vnc", f"unix:{sock},password=on"],
                 serial="null") as m:
        q = Qmp(f"{CACHE}/qmp")
        wait_text(q, "SeaBIOS", "p.ppm")

        def gets_in(word):
            try:
                Rfb(sock, word).close()
                return True
            except (PermissionError, EOFError, ConnectionError):
                return False
        tap.ok(not gets_in(""), "nobody gets in before there is a password")
        q.cmd("change-vnc-password", password="sesame")
        time.sleep(0.3)
        tap.ok(not gets_in("sesam") and gets_in("sesame"), "the right password opens")
        q.cmd("set_password", protocol="vnc", password="other")
        time.sleep(0.3)
        tap.ok(not gets_in("sesame") and gets_in("other"), "the password can be changed")
        q.cmd("quit")
        m.wait(20)


def main():
    tap = Tap()
    os.makedirs(CACHE, exist_ok=True)
    tap.run("firmware", test_firmware, tap)
    tap.run("VNC, recorded and replayed", test_vnc_record, tap)
    if subprocess.run(["openssl", "version"], stdout=subprocess.DEVNULL).returncode == 0:
        tap.run("VNC password", test_password, tap)
    tap.done()


if __name__ == "__main__":
    main()
