#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks: reads and writes in the guest past its page cache (O_DIRECT), and a boot of Debian from its own disk to the login; under dejavm
and QEMU, plain, recording, and (dejavm) replaying. Sizes of the logs.

    disk.py [--rows A,B] [--configs A,B] [--runs N] [--scale F] [--quick] [--json FILE]

In all of them the image is one qcow2 file in the host's page cache, and writes go to a fresh temporary overlay over it (snapshot=on), so
that all do the same work. Rows and configurations: --list. Needs scripts/fetch-disk.sh's images.
"""
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boot  # noqa: E402
import guestdisk  # noqa: E402
import session  # noqa: E402
import table  # noqa: E402
import mkinitramfs  # noqa: E402

DISK_MIB = 128
ROWS = [
    ("seq-read", 4096, "reads of 128 KiB, one after the other"),
    ("seq-write", 1536, "writes of 128 KiB, one after the other, then fsync"),
    ("rand-read", 12000, "reads of 4 KiB, at random"),
    ("rand-write", 8000, "writes of 4 KiB, at random, then fsync"),
    ("boot-disk", 1, "command to Debian's login: SeaBIOS, GRUB, kernel, init"),
]
BOOT = "boot-disk"


def made(name):
    return os.path.join(session.guest_dir(), "disk", name)


def make_parts(out):
    """The guest's program and initramfs, and the disk that it reads and writes."""
    os.makedirs(out, exist_ok=True)
    src, exe = os.path.join(guestdisk.SOURCES, "disk.c"), os.path.join(out, "disk32")
    init, cpio_path, image = guestdisk.script("diskinit.sh"), os.path.join(out, "disk.cpio"), os.path.join(out, "disk.qcow2")
    if not guestdisk.newer(exe, [src]):
        subprocess.run(["gcc", "-m32", "-march=i686", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", src, "-o", exe], check=True)
    if not guestdisk.newer(cpio_path, [exe, init, guestdisk.script("common.sh"), __file__, made("modules/order")]):
        cpio = guestdisk.base_cpio(session.guest_dir(), init)
        cpio.add("modules", stat.S_IFDIR | 0o755)
        for n in sorted(os.listdir(made("modules"))):
            guestdisk.add_file(cpio, "modules/" + n, made("modules/" + n))
        guestdisk.add_file(cpio, "bin/disk", exe)
        guestdisk.write(cpio_path, cpio.finish())
    if not guestdisk.newer(image, [__file__]):
        raw = image + ".raw"
        with open(raw, "wb") as f:
            for _ in range(DISK_MIB):
                f.write(os.urandom(1 << 20))
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, image + ".tmp"], check=True)
        os.unlink(raw)
        os.replace(image + ".tmp", image)
    return {"bench": cpio_path, "image": image}


def warm(path):
    """Into the host's page cache."""
    with open(path, "rb") as f:
        while f.read(1 << 20):
            pass


class OnDisk:
    """What table.py's configurations do differently here: a disk, and a boot that ends at the login."""

    def boot_args(self, rows, kernel):
        image = made("disk.qcow2") if rows[0][0] == BOOT else self.parts["image"]
        warm(image)
        args = ["-m", str(self.opts.ram)] + self.drive(image)
        if rows[0][0] == BOOT:
            return args
        work = ",".join(f"{row}:{size}" for row, size in rows)
        return args + ["-kernel", made(kernel), "-initrd", self.parts["bench"], "-append", f"{session.APPEND} bench={work}"]

    def drive(self, image):
        base = f"file={image},snapshot=on"
        if self.mode == "plain":
            return ["-drive", f"{base},if=ide,index=0"]
        return ["-drive", f"{base},if=none,id=img-direct", "-drive", "driver=blkreplay,if=none,image=img-direct,id=img-blkreplay",
                "-device", "ide-hd,drive=img-blkreplay"]

    def run(self, rows, found):
        for group in [[r for r in rows if r[0] != BOOT], [r for r in rows if r[0] == BOOT]]:
            if not group:
                continue
            try:
                (self.run_boot if group[0][0] == BOOT else self.run_machine)(group, found)
            except (table.Failure, session.SessionError) as e:
                for row, _ in group:
                    found.setdefault(row, e)

    def cpu(self, m):
        """A replay ends where the recording did, at the login: it may be gone."""
        try:
            return table.cpu_time(self.workers(m))
        except (KeyError, OSError):
            return 0

    def run_boot(self, rows, found):
        m = self.start(rows)
        try:
            m.expect(r"login: ?$", table.RUN_LIMIT_S)
            r = {"seconds": time.monotonic() - m.start, "cpu_s": self.cpu(m), "result": ""}
            if self.mode != "replay":
                os.kill(self.main(m), signal.SIGTERM)
            status = m.wait(table.RUN_LIMIT_S)
            if status != 0:
                raise table.Failure(f"{self.name} ended with status {status}: {m.stderr()}")
            self.figures(m, BOOT, r)
            found[BOOT] = r
        finally:
            m.close()


class Qemu(OnDisk, table.Qemu):
    def start(self, rows):
        icount = {"plain": [], "record": ["-icount", f"shift=1,rr=record,rrfile={self.log}"]}
        return boot.Qemu(self.boot_args(rows, "vmlinuz") + icount[self.mode], vga="std")

    def main(self, m):
        return m.proc.pid


class Dejavm(OnDisk, table.Dejavm):
    def main(self, m):
        return m.members()["hub"]

    def workers(self, m):
        return list(m.members().values())

    def start(self, rows):
        self.log = os.path.join(self.logs, f"{self.engine}-{rows[0][0]}")
        rr = "" if self.mode == "plain" else f",rr={self.mode},rrfile={self.log}"
        if self.mode == "replay" and not os.path.exists(self.log):
            raise table.Failure(f"{self.name} needs a run of {self.engine}-record before it")
        return session.Machine(self.boot_args(rows, "vmlinux") + ["-accel", self.engine, "-icount", f"shift={self.opts.shift}{rr}"] + self.opts.dejavm_args)

    def figures(self, m, row, r):
        if row == BOOT:
            r["icount"] = m.stats()["icount"]
        else:
            super().figures(m, row, r)
        if self.mode == "record":
            r["log_bytes_of_run"] = os.path.getsize(self.log)


def all_configs(parts, opts, logs):
    configs = []
    if shutil.which("qemu-system-i386"):
        configs += [Qemu(parts, opts, mode, logs) for mode in ("plain", "record")]
    else:
        print("no qemu-system-i386: its columns are skipped")
    engine = table.engines()[0]
    return configs + [Dejavm(parts, opts, engine, mode, logs) for mode in ("plain", "record", "replay")]


def amount(row, size):
    return size * (128 << 10) if row.startswith("seq") else size * 4096


def show(rows, configs, results, opts):
    names = [c.name for c in configs]
    lines = [["row", "size"] + names + ["", "plain/QEMU", "record/plain", "replay/record", "plain"]]
    engine = next((n for n in names if n + "-record" in names and n != "qemu"), None)
    for row, size in rows:
        line = [row, str(size)]
        for n in names:
            line.append("FAILED" if "failed" in results[row].get(n, {}) else table.figure(table.seconds(results, row, n)))
        t = {n: table.seconds(results, row, n) for n in names}
        plain, rec, rep = (t.get(n) for n in (engine, f"{engine}-record", f"{engine}-replay"))
        rate = "" if row == BOOT or not plain else (f"{amount(row, size) / plain / 1e6:.0f} MB/s" if row.startswith("seq") else
                                                    f"{size / plain:.0f} IO/s")
        line += ["", table.figure(table.ratio(plain, t.get("qemu"))), table.figure(table.ratio(rec, plain), 3),
                 table.figure(table.ratio(rep, rec), 3), rate]
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print(f"{'Seconds of processor time' if opts.cpu else 'Seconds'}; medians of {opts.runs}")
    for line in lines:
        print("  ".join(f.ljust(w) if i == 0 else f.rjust(w) for i, (f, w) in enumerate(zip(line, widths))))
    for n in names:
        sizes = {row: results[row][n]["runs"][-1].get("log_bytes_of_run") for row, _ in rows if results[row].get(n, {}).get("runs")}
        if n.endswith("-record"):
            work = next((v for row, v in sizes.items() if row != BOOT), None)
            print(f"{n}: log {work or 0:,} bytes for the reads and writes, {sizes.get(BOOT) or 0:,} for the boot")


def main():
    opts = table.arguments(ram=128).parse_args()
    parts = make_parts(os.path.join(table.build_dir(), "bench"))
    return table.Table(ROWS, [BOOT], lambda logs: all_configs(parts, opts, logs), show, "bench-disk.json").run(opts)


if __name__ == "__main__":
    sys.exit(main())
