#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots: firmware without a disk, power off, reboot, isa-debug-exit, guest self-tests, both Debian kernels."""
import glob
import os
import shutil
import struct
import subprocess
import time

from lib import CACHE, Machine, Tap, boot_args, session

BUILD = os.environ.get("DEJAVM_BUILD", os.path.join(session.ROOT, "build"))


def wait_file(m, path, text, timeout):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if os.path.exists(path):
            with open(path, "rb") as f:
                if text in f.read():
                    return True
        if m.proc.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def test_firmware(tap, extra, name):
    log = os.path.join(CACHE, "seabios.txt")
    if os.path.exists(log):
        os.remove(log)
    with Machine(["-m", "32", "-chardev", f"file,id=dbg,path={log}", "-device", "isa-debugcon,iobase=0x402,chardev=dbg"] + extra,
                 serial="null") as m:
        good = wait_file(m, log, b"No bootable device", 120)
        with open(log, "rb") as f:
            tail = f.read()[-500:]
        tap.ok(good, name, tail.decode(errors="replace") + m.stderr())


def test_reboot(tap, extra, want_boots, name):
    with Machine(boot_args("64") + ["-icount", "shift=6"] + extra) as m:
        m.expect(session.PROMPT)
        m.send("reboot -f\n")
        if want_boots == 2:
            m.expect(r"guest: Linux", 300)
            m.expect(session.PROMPT, 300)
            tap.ok("again" in m.run("echo again"), f"{name}: the guest boots again")
            m.send("poweroff -f\n")
        tap.ok(m.wait(60) == 0, f"{name}: status 0", m.stderr())


def test_pae(tap):
    if not os.path.exists(os.path.join(session.guest_dir(), "vmlinux-pae")):
        tap.skip("the PAE kernel boots, is recorded and replays", "no vmlinux-pae")
        return
    log = os.path.join(CACHE, "pae.bin")
    boot = boot_args("96", kernel="vmlinux-pae")

    def fn(m):
        m.expect(session.PROMPT)
        m.run("cat /proc/cpuinfo")
        m.send("poweroff -f\n")
    rec, out = session.record(log, boot=boot, icount=",shift=6", session=fn)
    status, rep, rout, err = session.replay(log, boot=boot, icount=",shift=6")
    tap.ok(status == 0 and rep["digest"] == rec["digest"] and out == rout, "the PAE kernel boots, is recorded and replays", err)


def numbered(path, block, n, first):
    """A medium of n blocks, each dword of which is its block's number and first."""
    with open(path, "wb") as f:
        for i in range(n):
            f.write(struct.pack("<I", i + first) * (block // 4))
    return path


def guest_media():
    """What t_ide.elf wants."""
    disk = numbered(os.path.join(CACHE, "numbered.img"), 512, 2048, 0)
    cd = numbered(os.path.join(CACHE, "numbered.iso"), 2048, 64, 0x1000)
    return ["-drive", f"file={disk},format=raw,if=none,id=disk", "-device", "ide-hd,drive=disk,bus=ide.0",
            "-drive", f"file={cd},format=raw,if=none,id=cd,media=cdrom,readonly=on", "-device", "ide-cd,drive=cd,bus=ide.1"]


def test_judge_ide(tap):
    """The same program in QEMU: what it expects is not only our opinion."""
    image = os.path.join(BUILD, "tests", "guest", "t_ide.elf")
    if not shutil.which("qemu-system-i386"):
        tap.skip("guest program t_ide.elf in QEMU", "there is no qemu-system-i386")
        return
    r = subprocess.run(["qemu-system-i386", "-display", "none", "-no-reboot", "-m", "16", "-kernel", image, "-debugcon", "stdio",
                        "-device", "isa-debug-exit,iobase=0xf4,iosize=4"] + guest_media(),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    tap.ok(r.returncode == 1, "guest program t_ide.elf passes in QEMU", r.stdout.decode(errors="replace"))


def test_guest_programs(tap):
    images = sorted(glob.glob(os.path.join(BUILD, "tests", "guest", "t_*.elf")))
    if not images:
        tap.ok(False, "guest self-tests are built")
    for image in images:
        name = os.path.basename(image)
        out = os.path.join(CACHE, name + ".txt")
        with Machine(["-m", "16", "-kernel", image, "-debugcon", f"file:{out}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                      "-no-reboot"] + (guest_media() if name == "t_ide.elf" else []), serial="null") as m:
            try:
                status = m.wait(60)
            except session.SessionError as e:
                tap.ok(False, f"guest program {name}", e)
                continue
            text = open(out, "rb").read().decode(errors="replace") if os.path.exists(out) else ""
            tap.ok(status == 1, f"guest program {name} passes in the whole machine", f"status {status}\n{text}\n{m.stderr()}")


def main():
    os.makedirs(CACHE, exist_ok=True)
    tap = Tap()
    tap.run("firmware", test_firmware, tap, [], "SeaBIOS by default comes to 'No bootable device'")
    tap.run("firmware, -bios", test_firmware, tap, ["-bios", "/usr/share/seabios/bios.bin"],
            "-bios bios.bin comes to 'No bootable device'")
    tap.run("reboot", test_reboot, tap, [], 2, "reboot")
    tap.run("-no-reboot", test_reboot, tap, ["-no-reboot"], 1, "-no-reboot")
    tap.run("PAE", test_pae, tap)
    tap.run("guest programs", test_guest_programs, tap)
    tap.run("guest programs in QEMU", test_judge_ide, tap)
    tap.done()


if __name__ == "__main__":
    main()
