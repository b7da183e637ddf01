#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of others that judge the CPU and the machine: memtest86+, GRUB's functional tests, the kernel's x86
self-tests. Each is recorded once with the first engine, what it says is compared with expected.txt, and the log is
replayed with each of the other engines: the replay checks every digest, and must end at the same instruction.

    judges.py [--quick] [--qemu] [--accel NAME[,OPTION...]]... [--cpu MODEL] [JUDGE...]

Judges: selftests, grub, grub-video, memtest; without one: all. --quick: the self-tests, GRUB's tests without those that draw, the
first tests of memtest86+. --qemu: runs the same image in qemu-system-i386 and compares what it says. --accel: engines, the first one
records; default: interp, and of "tcg,thresh=0" and "tcg,budget=7" what the build knows. Environment: DEJAVM_BUILD, DEJAVM_GUEST,
DEJAVM_JUDGES (the directory that scripts/fetch-judges.sh fills). Logs of failed runs stay in DEJAVM_JUDGES.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "system"))
import lib  # noqa: E402
from lib import Machine, SessionError, session  # noqa: E402

DIR = os.environ.get("DEJAVM_JUDGES", os.path.join(session.ROOT, "build", "judges"))
ENGINES = ["interp", "tcg,thresh=0", "tcg,budget=7"]


def image(name):
    return os.path.join(DIR, name)


def lines(output):
    return bytes(output).decode(errors="replace").replace("\r", "").split("\n")


class Findings:
    """What a judge said: each test's result, skips, and the guest's CPU flags."""

    def __init__(self):
        self.results = {}  # test: "pass" or "fail"
        self.skips = []    # (test, text)
        self.flags = None  # what /proc/cpuinfo says, or None for guests without one
        self.over = False  # the judge came to its end


class Judge:
    """One judge: how it is started, when it is over, what its output means."""

    def __init__(self, name, args, end, timeout_s, read, comparable, powers_off=True, at_least=1):
        self.name, self.args, self.end, self.timeout_s = name, args, end, timeout_s
        self.read, self.comparable = read, comparable
        self.powers_off, self.at_least = powers_off, at_least


# ---- the kernel's self-tests ----

def selftests_read(output):
    f, current, said_fail = Findings(), None, False
    for line in lines(output):
        m = re.match(r"judge: (\S+) ended (\d+)$", line)
        if m:
            f.results[m[1]] = "pass" if m[2] == "0" and not said_fail else "fail"
            current = None
        elif line == "judge: over":
            f.over = True
        elif line.startswith("judge: flags "):
            f.flags = set(line.split()[2:])
        elif re.match(r"judge: \S+$", line):
            current = line.split()[1]
            # Until it has ended; a test that takes the machine with it has failed.
            f.results[current] = "fail"
            said_fail = False
        elif line.startswith("[SKIP]") and current:
            f.skips.append((current, line[len("[SKIP]"):].strip()))
        elif line.startswith("[FAIL]"):
            said_fail = True
    return f


def selftests_comparable(output, leave_out):
    """Verdicts only: addresses, process ids and times differ from run to run."""
    keep = re.compile(r"\[(OK|FAIL|SKIP|PASS|RUN)\]|judge: \S+ ended")
    text, current = [], None
    for line in lines(output):
        m = re.match(r"judge: (\S+)$", line)
        current = m[1] if m else current
        if keep.match(line) and current not in leave_out:
            text.append(re.sub(r"0x[0-9a-fx]+|\d+", "#", line))
    return text


# ---- GRUB ----

def grub_read(output):
    f = Findings()
    for line in lines(output):
        m = re.match(r"(\w+): (PASS|FAIL)$", line)
        if m:
            f.results[m[1]] = m[2].lower()
        elif re.match(r"ALL TESTS PASSED|TEST FAILURE", line):
            f.over = True
    return f


def grub_comparable(output, _leave_out):
    """Without the durations, and the test that measures real time."""
    text = re.sub(r" done \d+ ms", " done", "\n".join(lines(output)))
    return [x for x in text.split("\n") if "sleep_test" not in x and "Interval" not in x and not x.startswith("range:")]


# ---- memtest86+ ----

def memtest_read(full):
    def read(output):
        f = Findings()
        text = bytes(output).decode(errors="replace")
        errors = re.findall(r"Errors: *(\d+)", text)
        tests = {int(n) for n in re.findall(r"#(\d+) +\[", text)}
        for n in sorted(tests):
            f.results[f"test-{n}"] = "pass"
        f.results["errors"] = "pass" if errors and not any(int(n) for n in errors) else "fail"
        f.over = bool(re.search(r"Pass: *1 " if full else r"#3 +\[", text))
        return f
    return read


def judges(quick, cpu):
    g = session.guest_dir()
    cpu_args = ["-cpu", cpu] if cpu else []
    grub = [*cpu_args, "-m", "96", "-kernel", image("grub.multiboot"), "-initrd"]
    end = r"ALL TESTS PASSED|TEST FAILURE"
    yield Judge("selftests", [*cpu_args, "-m", "128", "-kernel", os.path.join(g, "vmlinux"), "-initrd",
                              image("selftests.initrd"), "-append", session.APPEND],
                r"judge: over", 600, selftests_read, selftests_comparable, at_least=20)
    yield Judge("grub", [*grub, image("grub.tar")], end, 900, grub_read, grub_comparable, at_least=14)
    if not quick:
        yield Judge("grub-video", [*grub, image("grub-video.tar")], end, 7200, grub_read, grub_comparable, at_least=15)
    yield Judge("memtest", [*cpu_args, "-m", "24M", "-kernel", image("memtest.bin"), "-append",
                            "console=ttyS0,115200 nosmp nobench nopause"],
                r"#3 +\[" if quick else r"Pass: *1 ", 3600, memtest_read(not quick), None,
                powers_off=False, at_least=3 if quick else 9)


# ---- what is expected ----

def expectations(judge):
    with open(os.path.join(HERE, "expected.txt")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, test, result, condition, reason = line.split(None, 4)
                if name == judge:
                    yield test, result, condition, reason.strip()


def complaints(judge, f):
    """What is not as expected, in words."""
    bad = [] if f.over else ["it did not come to its end"]
    if len(f.results) < judge.at_least:
        bad.append(f"only {len(f.results)} tests of at least {judge.at_least}: {' '.join(f.results)}")
    failed = {t for t, r in f.results.items() if r != "pass"}
    skips = list(f.skips)
    for test, result, condition, reason in expectations(judge.name):
        if condition.startswith("!") and f.flags is not None and condition[1:] in f.flags:
            continue
        if result == "fail":
            if test not in failed:
                bad.append(f"{test} passes now; expected.txt says: {reason}")
            failed.discard(test)
            continue
        text = result.split(":", 1)[1].replace("_", " ")
        left = [s for s in skips if s[0] != test or not s[1].startswith(text)]
        if len(left) == len(skips):
            bad.append(f"{test} does not skip '{text}' any more; expected.txt says: {reason}")
        skips = left
    bad += [f"{t} failed" for t in sorted(failed)]
    bad += [f"{t} skips: {text}" for t, text in skips]
    return bad


# ---- running ----

def record(judge, accel, log):
    """Returns (stats, output)."""
    args = [*judge.args, "-accel", accel, "-icount", f"rr=record,rrfile={log}"]
    with Machine(args) as m:
        m.expect(judge.end, judge.timeout_s)
        if not judge.powers_off:
            m.proc.terminate()
        status = m.wait(60)
        if status != 0:
            raise SessionError(f"the recording ended with status {status}:\n{m.stderr()}")
        s = m.stats()
        s["wall_s"] = m.wall
        return s, bytes(m.output)


def in_qemu(judge):
    """The same image in QEMU; its output."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "serial")
        args = [a for a in judge.args]
        # No CPU model of ours has the same name and the same features there.
        if "-cpu" in args:
            i = args.index("-cpu")
            del args[i:i + 2]
        for i, a in enumerate(args):
            # QEMU's -kernel does not take the ELF kernel.
            if os.path.basename(a) == "vmlinux":
                args[i] = a.replace("vmlinux", "vmlinuz")
        subprocess.run(["qemu-system-i386", *args, "-display", "none", "-serial", f"file:{out}", "-no-reboot"],
                       stdin=subprocess.DEVNULL, timeout=judge.timeout_s, check=True)
        with open(out, "rb") as f:
            return f.read()


def known_engines(wanted):
    """Engines to use, and those that this build does not have."""
    if wanted:
        return wanted, []
    r = subprocess.run([session.launcher(), "-accel", "help"], capture_output=True, text=True)
    known = set(re.findall(r"^\s*(\w+)", r.stdout + r.stderr, re.M))
    return [e for e in ENGINES if e.split(",")[0] in known], [e for e in ENGINES if e.split(",")[0] not in known]


def run_judge(tap, judge, engines, missing, qemu):
    log = image(f"{judge.name}.log")
    try:
        stats, output = record(judge, engines[0], log)
    except SessionError as e:
        tap.ok(False, f"{judge.name}: recorded with {engines[0]}", str(e))
        return
    print(f"# {judge.name}: {stats['icount']} instructions, {stats['wall_s']:.1f} s with {engines[0]}", flush=True)
    with open(image(f"{judge.name}.out"), "wb") as f:
        f.write(output)
    found = judge.read(output)
    bad = complaints(judge, found)
    n = len(found.results)
    tap.ok(not bad, f"{judge.name}: {n} tests as expected, with {engines[0]}", "\n".join(bad))
    failed = bool(bad)
    for e in engines[1:]:
        name = f"{judge.name}: replayed with {e}: the same digests, output and instruction count"
        status, s, out, err = session.replay(log, ["-accel", e], boot=judge.args, timeout=judge.timeout_s * 4)
        same = status == 0 and s and s["icount"] == stats["icount"] and s["digest"] == stats["digest"] and out == output
        failed |= not tap.ok(same, name, f"status {status}, {s}\nrecorded: {stats}\nlog: {log}\n{err}")
        if s:
            print(f"# {judge.name}: {s['wall_s']:.1f} s with {e}", flush=True)
    for e in missing:
        tap.skip(f"{judge.name}: replayed with {e}", "this build does not have it")
    if qemu and judge.comparable:
        # What only the other CPU has.
        leave_out = {t for t, r, c, _ in expectations(judge.name) if r == "fail" and c != "always"}
        ours, theirs = judge.comparable(output, leave_out), judge.comparable(in_qemu(judge), leave_out)
        diff = [f"line {i}: here '{a}', QEMU '{b}'" for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
        if len(ours) != len(theirs):
            diff.append(f"{len(ours)} lines here, {len(theirs)} in QEMU")
        tap.ok(not diff, f"{judge.name}: {len(ours)} lines of output as QEMU's", "\n".join(diff[:40]))
    if not failed:
        os.unlink(log)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--qemu", action="store_true")
    p.add_argument("--accel", action="append", default=[])
    p.add_argument("--cpu")
    p.add_argument("judge", nargs="*")
    a = p.parse_args()
    # So that whoever ends us does not leave a machine running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("judges.py: told to end"))
    engines, missing = known_engines(a.accel)
    todo = {j.name: j for j in judges(a.quick, a.cpu)}
    unknown = set(a.judge) - set(todo)
    if unknown:
        sys.exit(f"judges.py: no such judge: {' '.join(sorted(unknown))}; there are {' '.join(todo)}")
    tap = lib.Tap()
    for name in a.judge or todo:
        run_judge(tap, todo[name], engines, missing, a.qemu)
    tap.done()


if __name__ == "__main__":
    main()
