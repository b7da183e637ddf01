#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark table: fixed pieces of work inside Debian's i386 Linux, under dejavm and under qemu-system-i386, beside a native
x86-64 build of the same. Time is taken outside, when the lines before and after the work arrive from the serial console.

    table.py [--rows A,B] [--configs A,B] [--runs N] [--scale F] [--quick] [--apart] [--json FILE]

Rows and configurations: --list. All rows of a configuration run in one machine, one after the other; with --apart each has a machine of
its own and the configurations take turns, which takes longer and suffers less from a noisy host. Every row's result must be the same wherever it ran. A row that failed shows so and makes the exit
status 1. Needs fetch-guest.sh's packages: `fetch-guest.sh DIR bench`.
"""
import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boot  # noqa: E402
import guestdisk  # noqa: E402
import session  # noqa: E402

# row, size, what the size counts. Sizes are such that plain QEMU needs some 3 s on a machine of 2025.
ROWS = [
    ("coremix", 5000, "rounds of lists, matrices, a state machine, CRC"),
    ("gzip", 6 << 20, "bytes of kernel code, there and back"),
    ("bzip2", 3 << 20, "bytes of kernel code, there and back"),
    ("xz", 1 << 20, "bytes of kernel code, there and back"),
    ("sha256", 72 << 20, "bytes, Debian's openssl"),
    ("aes", 16 << 20, "bytes of AES-256-CBC, there and back, Debian's openssl"),
    ("lua", 160, "rounds of a mixed script, Debian's lua5.4"),
    ("x87-lin", 25, "rounds of matrix product and LU, 96 by 96"),
    ("x87-trans", 140, "rounds of 4096 points: FSIN, F2XM1..., libm"),
    ("sse-lin", 200, "rounds of matrix product and LU, 96 by 96"),
    ("sse-trans", 2000, "rounds of 4096 points, polynomials, SSE2"),
    ("mem-rep", 340, "rounds of 1.3 MB of REP MOVS and STOS"),
    ("mem-libc", 220, "rounds of 2 MB of memcpy and memset"),
    ("syscall", 1500000, "times two system calls"),
    ("fork", 1400, "forks with exec and wait"),
    ("pipe", 45000, "round trips between two processes"),
    ("boot", 1, "command to init, the same bzImage for all"),
    ("boot-elf", 1, "command to init, ELF kernel (dejavm)"),
]
BOOTS = ("boot", "boot-elf")
RUN_LIMIT_S = 1200


class Failure(Exception):
    """One run of one row did not do what it should; the text says what."""


def parse_row(text):
    """(START, END as the guest's clock has them, result) from what a row printed."""
    start = re.search(r"@@ START ([\d.]+)", text)
    end = re.search(r"@@ END ([\d.]+)", text)
    result = re.search(r"@@ RESULT (\d+) *([^\r\n]*)", text)
    if not (start and end and result) or result.group(1) != "0":
        raise Failure(f"the row did not end well: {text[-300:]!r}")
    return float(start.group(1)), float(end.group(1)), result.group(2).strip()


# ---- where a row can run ----

# run(rows) of each fills found[row] with the figures of a run, or with a Failure; rows are (name, size).

class Native:
    """The host itself."""

    name = "native"

    def __init__(self, parts):
        self.parts = parts

    def run(self, rows, found):
        for row, size in rows:
            if row not in BOOTS:
                try:
                    found[row] = self.run_row(row, size)
                except Failure as e:
                    found[row] = e

    def run_row(self, row, size):
        work = tempfile.mkdtemp(prefix="dejavm-bench-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        env = {**os.environ, "DATA": self.parts["data"], "SCRIPTS": self.parts["scripts"], "WORK": work, "BIN": self.parts["native"]}
        try:
            # The fastest of five: it is short, and the host's other work is not what is asked for.
            runs = [self.once([os.path.join(self.parts["scripts"], "rows.sh"), row, str(size)], env) for _ in range(5)]
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return min(runs, key=lambda r: r["seconds"])

    @staticmethod
    def once(cmd, env):
        times, text = {}, ""
        with subprocess.Popen(["sh"] + cmd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) as p:
            for line in p.stdout:
                times[line.split()[1] if line.startswith(b"@@ ") else b""] = time.monotonic()
                text += line.decode(errors="replace")
        result = parse_row(text)[2]
        return {"seconds": times[b"END"] - times[b"START"], "result": result}


def cpu_time(pids):
    """Processor time that processes and their threads have had, in seconds, to 10 ms each."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Guest:
    """What the two emulators have in common. start() gives a running machine, workers() the processes whose time counts, figures() adds
    what only one emulator knows."""

    def __init__(self, parts, opts):
        self.parts, self.opts = parts, opts

    def boot_args(self, rows, kernel):
        g = session.guest_dir()
        only_boot = rows[0][0] in BOOTS
        work = "" if only_boot else " bench=" + ",".join(f"{row}:{size}" for row, size in rows)
        return ["-m", str(self.opts.ram), "-kernel", os.path.join(g, kernel), "-initrd", self.parts["boot" if only_boot else "bench"],
                "-append", session.APPEND + work]

    def run(self, rows, found):
        work = [r for r in rows if r[0] not in BOOTS]
        for group in [work] * bool(work) + [[r] for r in rows if r[0] in BOOTS and self.can_boot(r[0])]:
            try:
                self.run_machine(group, found)
            except (Failure, session.SessionError) as e:
                for row, _ in group:
                    found.setdefault(row, e)

    def run_machine(self, rows, found):
        def seen(pattern):
            m.expect(pattern, RUN_LIMIT_S)
            return time.monotonic()

        m = self.start(rows)
        try:
            at_init = seen(r"@@ INIT\r?\n")
            workers = self.workers(m)
            good = {}
            for row, _ in rows:
                if row in BOOTS:
                    good[row] = {"seconds": at_init - m.start, "cpu_s": cpu_time(workers), "result": ""}
                    continue
                start = seen(r"@@ START \S+\r?\n")
                cpu = cpu_time(workers)
                end = seen(r"@@ END \S+\r?\n")
                cpu = cpu_time(workers) - cpu
                last = m.expect(r"@@ RESULT [^\r\n]*\r?\n", RUN_LIMIT_S).end()
                try:
                    a, b, result = parse_row(bytes(m.output[m.mark:last]).decode(errors="replace"))
                    good[row] = {"seconds": end - start, "cpu_s": round(cpu, 2), "virtual_s": round(b - a, 2), "result": result}
                except Failure as e:
                    found[row] = e
                m.mark = last
            status = m.wait(RUN_LIMIT_S)
            if status != 0:
                raise Failure(f"{self.name} ended with status {status}: {m.stderr()}")
            for row, r in good.items():
                self.figures(m, row, r)
                found[row] = r
        finally:
            m.close()


class Qemu(Guest):
    """mode: plain, icount or record."""

    def __init__(self, parts, opts, mode, logs):
        super().__init__(parts, opts)
        self.mode, self.name = mode, "qemu" if mode == "plain" else "qemu-" + mode
        self.log = os.path.join(logs, "qemu")

    def can_boot(self, row):
        return row == "boot"

    def start(self, rows):
        icount = {"plain": [], "icount": ["-icount", "shift=1,sleep=off"],
                  "record": ["-icount", f"shift=1,rr=record,rrfile={self.log}"]}
        return boot.Qemu(self.boot_args(rows, "vmlinuz") + icount[self.mode])

    def workers(self, m):
        return [m.proc.pid]

    def figures(self, m, row, r):
        if self.mode == "record":
            r["log_bytes_of_run"] = os.path.getsize(self.log)


class Dejavm(Guest):
    """mode: plain, record or replay (of what the same engine's record run left)."""

    def __init__(self, parts, opts, engine, mode, logs):
        super().__init__(parts, opts)
        self.engine, self.mode, self.logs = engine, mode, logs
        self.name = engine if mode == "plain" else f"{engine}-{mode}"

    def can_boot(self, row):
        return True

    def start(self, rows):
        # With --apart each row has a log of its own; without, the first row's name stands for all.
        self.log = os.path.join(self.logs, f"{self.engine}-{rows[0][0]}")
        if self.mode == "replay" and not os.path.exists(self.log):
            raise Failure(f"{self.name} needs a run of {self.engine}-record before it")
        rr = "" if self.mode == "plain" else f",rr={self.mode},rrfile={self.log}"
        args = self.boot_args(rows, "vmlinuz" if rows[0][0] == "boot" else "vmlinux")
        return session.Machine(args + ["-accel", self.engine, "-icount", f"shift={self.opts.shift}{rr}"] + self.opts.dejavm_args)

    def workers(self, m):
        return [m.members()["vcpu"]]

    def figures(self, m, row, r):
        total = m.stats()["icount"]
        # The guest's clock is the instruction count; /proc/uptime shows it to 10 ms.
        r["icount"] = total if row in BOOTS else round(r["virtual_s"] * 1e9 / (1 << self.opts.shift))
        r["icount_of_run"] = total
        if self.mode == "record":
            r["log_bytes_of_run"] = os.path.getsize(self.log)


def engines():
    """What this build's -accel knows, the default first."""
    r = subprocess.run([session.launcher(), "-accel", "help"], capture_output=True, text=True)
    names = [line.split()[0] for line in r.stdout.splitlines() if line.strip()]
    if not names:
        sys.exit(f"table.py: '{session.launcher()} -accel help' lists no engine: {r.stderr}")
    return names


def all_configs(parts, opts, logs, found):
    configs = [Native(parts)]
    if shutil.which("qemu-system-i386"):
        configs += [Qemu(parts, opts, mode, logs) for mode in ("plain", "icount", "record")]
    else:
        print("no qemu-system-i386: its columns are skipped")
    for engine in found:
        configs += [Dejavm(parts, opts, engine, mode, logs) for mode in ("plain", "record", "replay")]
    return configs


# ---- measuring and showing ----

def measure(rows, configs, opts):
    """results[row][config] = {"runs": [...], "seconds": median} or {"failed": text}."""
    results = {row: {} for row, _ in rows}
    for n in range(opts.runs):
        for group in [[r] for r in rows] if opts.apart else [rows]:
            for c in configs:
                if c.name == "native" and n > 0:
                    continue
                what = group[0][0] if opts.apart else f"{len(rows)} rows"
                print(f"\r{what} {c.name} {n + 1}/{opts.runs}\x1b[K", end="", file=sys.stderr, flush=True)
                found = {}
                c.run(group, found)
                for row, r in found.items():
                    cell = results[row].setdefault(c.name, {"runs": []})
                    if isinstance(r, dict):
                        cell["runs"].append(r)
                    else:
                        cell["failed"] = str(r)
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    for row, _ in rows:
        for cell in results[row].values():
            if cell["runs"] and "failed" not in cell:
                cell["seconds"] = statistics.median(r["cpu_s" if opts.cpu and "cpu_s" in r else "seconds"] for r in cell["runs"])
                if "icount" in cell["runs"][0] and cell["seconds"] > 0:
                    cell["mips"] = statistics.median(r["icount"] for r in cell["runs"]) / cell["seconds"] / 1e6
    return results


def compare_results(results):
    """Marks as failed what computed something else than the others; all of a row stand or fall by the majority."""
    for row, cells in results.items():
        seen = [r["result"] for c in cells.values() for r in c["runs"]]
        if not seen:
            continue
        right = statistics.mode(seen)
        for cell in cells.values():
            wrong = [r["result"] for r in cell["runs"] if r["result"] != right]
            if wrong and "failed" not in cell:
                cell["failed"] = f"result {wrong[0]!r}, the others have {right!r}"
                cell.pop("seconds", None)


def figure(x, digits=2):
    return "-" if x is None else f"{x:.{digits}f}"


def seconds(results, row, name):
    return results[row].get(name, {}).get("seconds")


def ratio(a, b):
    return None if a is None or not b else a / b


def show(rows, configs, results, opts):
    names = [c.name for c in configs]
    records = [n for n in names if n not in ("native", "qemu-record") and n.endswith("-record")]
    heads = ["row", "size"] + names
    for n in records:
        heads += [f"{n}:", "xQEMU", "xQ.rec", "/native", "MIPS"]
    lines = [heads]
    for row, size in rows:
        line = [row, str(size)]
        for n in names:
            cell = results[row].get(n, {})
            line.append("FAILED" if "failed" in cell else figure(cell.get("seconds"), 3 if n == "native" else 2))
        for n in records:
            t = seconds(results, row, n)
            line += ["", figure(ratio(seconds(results, row, "qemu"), t)), figure(ratio(seconds(results, row, "qemu-record"), t)),
                     figure(ratio(t, seconds(results, row, "native"))), figure(results[row].get(n, {}).get("mips"), 0)]
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    print(f"{'Seconds of processor time' if opts.cpu else 'Seconds'}; medians of {opts.runs} (native: best of 5). xQEMU, xQ.rec: times as fast as plain QEMU and as QEMU recording; "
          "/native: times native's time.")
    for line in lines:
        print("  ".join(f.ljust(w) if i == 0 else f.rjust(w) for i, (f, w) in enumerate(zip(line, widths))))
    for n in records:
        print_costs(rows, results, n)


def print_costs(rows, results, record):
    """What recording and replaying cost, over all rows together."""
    base = record[:-len("-record")]
    for what, a, b in (("recording / plain", record, base), ("replay / recording", base + "-replay", record)):
        pairs = [(seconds(results, row, a), seconds(results, row, b)) for row, _ in rows]
        pairs = [(x, y) for x, y in pairs if x is not None and y is not None]
        if pairs:
            print(f"{base}: {what}, all rows: {sum(x for x, _ in pairs) / sum(y for _, y in pairs):.3f}")


def show_failures(results):
    n = 0
    for row, cells in results.items():
        for name, cell in cells.items():
            if "failed" in cell:
                n += 1
                print(f"FAILED {row} {name}: {cell['failed'].strip()[-800:]}")
    return n


def host():
    model = ""
    try:
        with open("/proc/cpuinfo") as f:
            model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "")
    except OSError:
        pass
    qemu = subprocess.run(["qemu-system-i386", "--version"], capture_output=True, text=True).stdout if shutil.which("qemu-system-i386") else ""
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "qemu": qemu.split("\n")[0],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def choose(wanted, known, what):
    names = wanted.split(",")
    for n in names:
        if n not in known:
            sys.exit(f"table.py: no {what} {n!r}; there are: {' '.join(known)}")
    return names


# ---- the program; disk.py's too ----

def arguments(ram):
    ap = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=sys.modules["__main__"].__doc__)
    ap.add_argument("--rows", help="only these rows")
    ap.add_argument("--configs", help="only these columns")
    ap.add_argument("--runs", type=int, default=1)
    ap.add_argument("--scale", type=float, default=1.0, help="factor for all sizes")
    ap.add_argument("--quick", action="store_true", help="a tenth of the work")
    ap.add_argument("--apart", action="store_true", help="a machine for each row")
    ap.add_argument("--cpu", action="store_true", help="show processor time (disk.py: of all processes; else of the one that executes the guest): "
                    "for a busy host")
    ap.add_argument("--pin", type=int, metavar="CPU", help="run everything on this processor: what remains is the work, without what the host "
                    "makes of passing it around")
    ap.add_argument("--ram", type=int, default=ram)
    ap.add_argument("--shift", type=int, default=3)
    ap.add_argument("--json", default=None)
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--dejavm-args", type=str.split, default=[], help="further options for dejavm, separated by spaces")
    return ap


def build_dir():
    return os.environ.get("DEJAVM_BUILD", os.path.join(session.ROOT, "build"))


def list_all(rows, configs):
    for row, size, what in rows:
        print(f"{row:10} {size:10} {what}")
    print("configurations:", " ".join(c.name for c in configs))


class Table:
    """What a program measures. rows: as ROWS; boots: those whose size is no amount of work; all_configs(logs): where they can run, logs
    being a folder for recordings; default(names): those that are run unless --configs says otherwise; show(rows, configs, results, opts)."""

    def __init__(self, rows, boots, all_configs, show, json_name, default=lambda names: names):
        self.rows, self.boots, self.all_configs, self.show, self.json_name, self.default = rows, boots, all_configs, show, json_name, default

    def choose_rows(self, opts):
        known = [r[0] for r in self.rows]
        wanted = choose(opts.rows, known, "row") if opts.rows else known
        return [(row, size if row in self.boots else max(1, round(size * opts.scale))) for row, size, _ in self.rows if row in wanted]

    def choose_configs(self, opts, configs):
        known = [c.name for c in configs]
        names = choose(opts.configs, known, "configuration") if opts.configs else self.default(known)
        return [c for c in configs if c.name in names]

    def write(self, opts, rows, results):
        path = opts.json or os.path.join(build_dir(), self.json_name)
        with open(path, "w") as f:
            json.dump({"host": host(), "sizes": dict(rows), "shift": opts.shift, "ram_mb": opts.ram, "runs": opts.runs, "pin": opts.pin, "rows": results}, f, indent=1)
        print(f"all figures: {path}")

    def run(self, opts):
        """Measures, shows, and returns the exit status."""
        # So that the machines that run are ended by their owners.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
        if opts.quick:
            opts.scale *= 0.1
        if opts.pin is not None:
            os.sched_setaffinity(0, {opts.pin})
        logs = tempfile.mkdtemp(prefix="dejavm-bench-")
        try:
            configs = self.all_configs(logs)
            if opts.list:
                list_all(self.rows, configs)
                return 0
            configs, rows = self.choose_configs(opts, configs), self.choose_rows(opts)
            results = measure(rows, configs, opts)
        finally:
            shutil.rmtree(logs, ignore_errors=True)
        compare_results(results)
        self.show(rows, configs, results, opts)
        bad = show_failures(results)
        self.write(opts, rows, results)
        return 1 if bad else 0


def main():
    opts = arguments(ram=256).parse_args()
    found = engines()
    parts = guestdisk.make(session.guest_dir(), os.path.join(build_dir(), "bench"))

    def default(names):
        """Native, QEMU's, the first engine's, the other engines' record; with --quick without QEMU's icount and record and our replay."""
        others = [e for e in found[1:] if e != "check"]
        names = [n for n in names if n.split("-")[0] not in found[1:] or n in [e + "-record" for e in others]]
        return [n for n in names if not (opts.quick and (n.endswith("-replay") or n in ("qemu-icount", "qemu-record")))]

    return Table(ROWS, BOOTS, lambda logs: all_configs(parts, opts, logs, found), show, "bench.json", default).run(opts)


if __name__ == "__main__":
    sys.exit(main())
