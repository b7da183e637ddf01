#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hub and dejavm-blkproxy, with other processes that only pretend: images and overlays from the command line, what is
said about those that are wrong, blkproxy's deaths, QMP. Usage: test_disks.py HUB FAKE QMPD BLKPROXY"""
import fcntl
import json
import os
import signal
import struct
import subprocess
import tempfile

from group import BLKPROXY, Group, exchange, expect, gone, main, test

MIB = 1 << 20


def raw(d, name="a.img", mib=1, fill=b"\x11"):
    path = os.path.join(d, name)
    with open(path, "wb") as f:
        f.write(fill * (mib * MIB))
    return path


def qcow2(d, name, backing=None, backing_format="raw", mib=1):
    """An empty version 3 image, by hand: header, one reference count block, an L1 table."""
    cluster = 65536
    names = backing.encode() if backing else b""
    ext = struct.pack(">II", 0xE2792ACA, len(backing_format)) + backing_format.encode().ljust(8, b"\0") if backing else b""
    head = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 104 + len(ext) + 8 if backing else 0, len(names), 16, mib * MIB,
                       0, 1, 3 * cluster, cluster, 1, 0, 0, 0, 0, 0, 4, 104) + ext + struct.pack(">II", 0, 0) + names
    data = head.ljust(cluster, b"\0") + struct.pack(">Q", 2 * cluster).ljust(cluster, b"\0")
    data += struct.pack(">HHHH", 1, 1, 1, 1).ljust(cluster, b"\0") + b"\0" * cluster
    path = os.path.join(d, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def blkproxy_pid(g):
    try:
        with open(os.path.join(g.run_dir, "blkproxy.pid")) as f:
            return int(f.read())
    except (OSError, ValueError):
        return None


def refused(args, *words, **kw):
    """The run ends with status 1 and one sentence; nobody but blkproxy was started."""
    with Group(args, **kw) as g:
        expect(g.wait() == 1, g.stderr())
        lines = [line for line in g.stderr().splitlines() if not line.startswith("dejavm: info")]
        expect(len(lines) == 1 and lines[0].startswith("dejavm: "), lines)
        for w in words:
            expect(w in lines[0], w, lines)
        expect("died" not in g.stderr() and g.stats()["exit_status"] == 1)
        return g.stderr()


def in_dir(fn):
    """A test that gets a folder of its own."""
    def run():
        with tempfile.TemporaryDirectory(prefix="disktest-") as d:
            fn(d)
    run.__name__ = fn.__name__
    return test(run)


@in_dir
def disks_come_up(d):
    base = raw(d, "base.img")
    with Group(["-hda", raw(d), "-hdb", qcow2(d, "b.qcow2", base), "-cdrom", raw(d, "c.iso")]) as g:
        g.running()
        expect(blkproxy_pid(g))
        os.kill(g.proc.pid, signal.SIGTERM)
        expect(g.wait() == 0, g.stderr())


@in_dir
def images_that_are_wrong_are_named(d):
    refused(["-hda", d + "/none.img"], "-hda " + d, "none.img'", "No such file")
    refused(["-hda", d], "Is a directory")
    os.mkfifo(d + "/fifo")
    refused(["-drive", f"file={d}/fifo"], "file=" + d, "neither")
    path = qcow2(d, "q.qcow2")
    with open(path, "r+b") as f:
        f.seek(20)
        f.write(struct.pack(">I", 40))
    refused(["-hda", path], "q.qcow2'", "cluster_bits", "40")
    refused(["-drive", f"file={raw(d)},format=qcow2"], "format=qcow2", "a.img'")
    refused(["-hda", qcow2(d, "o.qcow2", d + "/gone.img")], "the backing file of", "gone.img'", "No such file")
    refused(["-hda", qcow2(d, "n.qcow2", "nbd://host/x")], "n.qcow2'", "not a local file")
    open(d + "/empty.img", "w").close()
    refused(["-hda", d + "/empty.img"], "empty")


@in_dir
def one_writer_of_an_image(d):
    a = raw(d)
    refused(["-hda", a, "-hdb", a], "-hdb " + a, "busy", "'ide0-hd0' has it open for writing")
    refused(["-hda", a, "-hdb", qcow2(d, "o.qcow2", a)], "a.img'", "busy")
    with Group(["-hda", a]) as g:
        g.running()
        refused(["-hda", a], "a.img'", "in use")
        # One that reads is refused by one that writes, too.
        refused(["-hda", qcow2(d, "p.qcow2", a)], "the backing file of", "in use")
    with Group(["-snapshot", "-hda", a, "-hdb", a]) as g, Group(["-hda", a], record=True) as h:
        g.running()
        h.running()


@in_dir
def a_bad_image_does_not_cost_an_old_log(d):
    with Group(["-hda", d + "/none.img"], record=True) as g:
        expect(g.wait() == 1)
    log = d + "/old.bin"
    open(log, "w").write("precious")
    refused(["-hda", d + "/none.img", "-icount", f"rr=record,rrfile={log}"], "none.img")
    expect(open(log).read() == "precious")


@in_dir
def overlays_are_never_overwritten(d):
    a, o = raw(d), d + "/o.qcow2"
    args = ["-drive", f"file={a},overlay={o}"]
    with Group(args, record=True) as g:
        g.running()
        expect(os.path.getsize(o) > 0)
        os.kill(g.proc.pid, signal.SIGTERM)
        expect(g.wait() == 0, g.stderr())
    before = open(o, "rb").read()
    expect(before[:4] == b"QFI\xfb" and os.path.realpath(a).encode() in before[:1024])
    refused(args, "overlay=" + o, "exists", record=True)
    refused(args, "overlay=" + o, "exists")
    # A replay only reads it, and says so; it does without.
    for content in (before, b"no image", None):
        if content != before:
            os.unlink(o)
        if content == b"no image":
            open(o, "wb").write(content)
        with Group(args, replay=True, plans={"replaylog": "finish=0"}) as g:
            expect(g.wait() == 0, g.stderr())
            expect("not written by a replay" in g.stderr())
            expect(("cannot be loaded" in g.stderr()) == (content == b"no image"), g.stderr())
        expect(open(o, "rb").read() == content if content else not os.path.exists(o))
    # A run that does not begin leaves none behind.
    refused(["-drive", f"file={a},overlay={d}/p.qcow2", "-hdd", d + "/none.img"], "none.img")
    expect(not os.path.exists(d + "/p.qcow2"))


@in_dir
def temporary_overlays_have_no_name(d):
    a, tmp = raw(d), d + "/tmp"
    os.mkdir(tmp)
    with Group(["-hda", a], record=True, env={"TMPDIR": tmp}) as g:
        g.running()
        expect(os.listdir(tmp) == [])
        held = [os.readlink(f"/proc/{g.proc.pid}/fd/{f}") for f in os.listdir(f"/proc/{g.proc.pid}/fd")]
        expect(any(h.startswith(tmp + "/dejavm-overlay-0") for h in held), held)
    refused(["-hda", a], "temporary overlay", d + "/absent", record=True, env={"TMPDIR": d + "/absent"})


@in_dir
def a_killed_blkproxy_is_started_again(d):
    with Group(["-hda", raw(d), "-cdrom", raw(d, "c.iso")], record=True) as g:
        s = g.running()
        for i in range(4):
            pid = blkproxy_pid(g)
            os.kill(pid, signal.SIGKILL)
            g.until(lambda: blkproxy_pid(g) not in (None, pid))
            g.until(lambda: g.stderr().count("is started again") == i + 1)
        exchange(s, b"alive")
        os.kill(g.proc.pid, signal.SIGTERM)
        expect(g.wait() == 0, g.stderr())


@in_dir
def a_blkproxy_that_keeps_dying_ends_the_group(d):
    with Group(["-hda", raw(d)], record=True) as g:
        g.running()
        pids = g.pids()
        pid = None
        for _ in range(6):
            g.until(lambda: blkproxy_pid(g) not in (None, pid))
            pid = blkproxy_pid(g)
            os.kill(pid, signal.SIGKILL)
        expect(g.wait() == 1, g.stderr())
        expect("and with it the disks" in g.stderr(), g.stderr())
        expect(all(gone(p) for p in pids.values()))


@in_dir
def no_restart_ends_the_group(d):
    with Group(["-hda", raw(d), "--no-restart"]) as g:
        g.running()
        os.kill(blkproxy_pid(g), signal.SIGKILL)
        expect(g.wait() == 1, g.stderr())
        expect("process blkproxy" in g.stderr())


@in_dir
def an_image_that_is_renamed_while_it_runs_stays(d):
    """blkproxy's next life works with the same open files, whatever their names lead to by then."""
    a = raw(d)
    with Group(["-hda", a]) as g:
        g.running()
        os.rename(a, d + "/b.img")
        pid = blkproxy_pid(g)
        os.kill(pid, signal.SIGKILL)
        g.until(lambda: blkproxy_pid(g) not in (None, pid))
        new = blkproxy_pid(g)
        g.until(lambda: any(x.endswith("/b.img") for x in links(new)))
        # And it is still locked.
        f = open(d + "/b.img", "r+b")
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 201, 1, 0)
        got = fcntl.fcntl(f, fcntl.F_OFD_GETLK if hasattr(fcntl, "F_OFD_GETLK") else 36, lock)
        expect(struct.unpack("hhqqi4x", got)[0] != fcntl.F_UNLCK)


def links(pid):
    try:
        return [os.readlink(f"/proc/{pid}/fd/{f}") for f in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


@in_dir
def blkproxy_started_by_hand(d):
    with Group(["-hda", raw(d), "--wrap", "blkproxy=none"]) as g:
        g.until(lambda: "waiting for dejavm-blkproxy" in g.stderr())
        p = subprocess.Popen([BLKPROXY, "--control", g.run_dir + "/hub.sock"], stderr=subprocess.DEVNULL)
        try:
            g.running()
            os.kill(g.proc.pid, signal.SIGTERM)
            expect(g.wait() == 0, g.stderr())
            expect(p.wait(10) == 0)
        finally:
            p.kill()


@in_dir
def the_sandbox_lets_blkproxy_open_nothing(d):
    with open(BLKPROXY, "rb") as f:
        if b"__asan_init" in f.read():
            return  # built with a sanitizer, which needs more system calls
    with Group(["-hda", raw(d)]) as g:
        g.running()
        with open(f"/proc/{blkproxy_pid(g)}/status") as f:
            status = f.read()
        expect("Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status)


def command(g, s, name, **args):
    s.sendall(json.dumps({"execute": name, "arguments": args}).encode() + b"\n")
    return read_reply(s)


def read_reply(s):
    buf = b""
    while True:
        c = s.recv(65536)
        expect(c, "QMP is gone")
        buf += c
        for line in buf.split(b"\n")[:-1]:
            v = json.loads(line)
            if "return" in v or "error" in v:
                return v
        buf = buf.split(b"\n")[-1]


@in_dir
def qmp_tells_about_disks(d):
    base = raw(d, "base.img")
    q = qcow2(d, "q.qcow2", base)
    args = ["-drive", f"file={q},if=none,id=disk,node-name=node0,snapshot=on", "-device", "ide-hd,drive=disk,id=hd,unit=1",
            "-drive", "if=ide,media=cdrom,index=2"]
    with Group(args, qmp=True) as g:
        g.running()
        s = g.connect("qmp")
        expect(b"QMP" in s.recv(65536))
        command(g, s, "qmp_capabilities")
        disk, cd = command(g, s, "query-block")["return"]
        expect(disk["device"] == "disk" and disk["qdev"] == "hd" and not disk["removable"], disk)
        ins = disk["inserted"]
        expect(ins["drv"] == "qcow2" and not ins["ro"] and ins["backing_file_depth"] == 2, ins)
        expect(ins["image"]["virtual-size"] == MIB and ins["backing_file"] == q, ins)
        expect(cd["device"] == "ide1-cd0" and cd["removable"] and "inserted" not in cd, cd)
        nodes = command(g, s, "query-named-block-nodes")["return"]
        expect([n["file"] for n in nodes][1:] == [q, base], nodes)
        expect(nodes[1]["node-name"] == "node0" and nodes[1]["ro"] and nodes[1]["drv"] == "qcow2", nodes)
        stats = command(g, s, "query-blockstats")["return"]
        expect([x["device"] for x in stats] == ["disk", "ide1-cd0"], stats)
        expect(stats[0]["stats"]["rd_operations"] == 0 and stats[0]["stats"]["wr_bytes"] == 0, stats)


@test
def no_disks_no_blkproxy():
    with Group() as g:
        g.running()
        expect(blkproxy_pid(g) is None)


if __name__ == "__main__":
    main()
