#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dejavm-hub with processes that only pretend (fake_proc.c): introductions, deaths, ends, character
back ends. Usage: test_group.py HUB FAKE QMPD BLKPROXY"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import termios
import time

from group import FAKE, HUB, ROLES, Group, exchange, expect, gone, main, read_until, test


# ---- introductions ----

@test
def wrong_protocol_version_is_refused():
    with Group(plans={"devices": "protocol=99"}) as g:
        expect(g.wait() == 1, "status")
        e = g.stderr()
        expect("protocol version 99" in e and "version 1" in e and "'devices'" in e, e)
        expect("fake devices: refused" in e, e)


@test
def wrong_role_is_refused():
    with Group(plans={"vcpu": "role=devices"}) as g:
        expect(g.wait() == 1)
        expect("started as 'vcpu'" in g.stderr(), g.stderr())


@test
def another_build_is_a_warning():
    with Group(plans={"vcpu": "build=v0-of-old"}) as g:
        g.running()
        expect("v0-of-old" in g.stderr(), g.stderr())
        g.proc.send_signal(signal.SIGTERM)
        expect(g.wait() == 0, g.stderr())


@test
def garbage_on_the_control_socket_ends_the_group():
    with Group(plans={"devices": "garbage"}) as g:
        expect(g.wait() == 1)
        expect("devices" in g.stderr() and "not a message" in g.stderr(), g.stderr())


@test
def fatal_before_ready():
    with Group(plans={"devices": "fatal=no such chip"}, args=["-D", "/dev/null"]) as g:
        expect(g.wait() == 1)
        e = g.stderr()
        expect("no such chip" in e and "exit status 1" in e and "devices" in e, e)


@test
def missing_program_is_named():
    with Group() as g:
        pass
    r = subprocess.run([HUB, "-kernel", HUB], env={**os.environ, "DEJAVM_LIBEXEC": "/nonexistent"}, capture_output=True,
                       text=True, timeout=10)
    expect(r.returncode == 1 and "dejavm-vcpu" in r.stderr and "/nonexistent" in r.stderr, r.stderr)


@test
def process_started_by_hand():
    with Group(args=["--wrap", "devices=none"]) as g:
        g.until(lambda: "waiting for dejavm-devices --control" in g.stderr())
        sock = os.path.join(g.run_dir, "hub.sock")
        # Not waited for: refused, and the hub goes on.
        r = subprocess.run(["dejavm-vcpu", "--control", sock], executable=FAKE, capture_output=True, text=True, timeout=10)
        expect("does not wait" in r.stderr, r.stderr)
        r = subprocess.run(["dejavm-devices", "--control", sock], executable=FAKE, capture_output=True, text=True,
                           timeout=10, env={**os.environ, "FAKE_DEVICES": "protocol=7"})
        expect("version 7" in r.stderr, r.stderr)
        p = subprocess.Popen(["dejavm-devices", "--control", sock], executable=FAKE)
        g.running()
        p.kill()
        p.wait()
        expect(g.wait() == 1)
        expect("process devices (pid %d)" % p.pid in g.stderr() and "ended" in g.stderr(), g.stderr())


@test
def wrap_puts_a_command_in_front():
    with Group(args=["--wrap", "vcpu=env WRAPPED=yes"]) as g:
        g.running()
        with open(f"/proc/{g.pids()['vcpu']}/environ", "rb") as f:
            expect(b"WRAPPED=yes" in f.read())


# ---- deaths ----

def death(role, record):
    with Group(record=record) as g:
        s = g.running()
        pids = g.pids()
        t = time.monotonic()
        os.kill(pids[role], signal.SIGKILL)
        status = g.wait()
        took = time.monotonic() - t
        e = g.stderr()
        expect(status == 1, "status", status, e)
        expect(took < 2, "took", took)
        expect(f"process {role} (pid {pids[role]}) was killed by signal 9 (SIGKILL)" in e, e)
        expect(all(gone(p) for p in pids.values()), "left over")
        expect(g.stats()["exit_status"] == 1 and role in g.stats()["text"], g.stats())
        s.close()


for _role in ROLES:
    for _record in (False, True):
        def _t(role=_role, record=_record):
            death(role, record)
        _t.__name__ = f"kill_9_of_{_role}{'_recording' if _record else ''}"
        test(_t)


@test
def death_with_a_deaf_peer_takes_less_than_2_s():
    with Group(record=True, plans={"replaylog": "deaf", "devices": "deaf"}) as g:
        g.running()
        pids = g.pids()
        t = time.monotonic()
        os.kill(pids["vcpu"], signal.SIGKILL)
        expect(g.wait() == 1)
        expect(time.monotonic() - t < 2, time.monotonic() - t)
        expect(all(gone(p) for p in pids.values()))


@test
def hub_death_ends_the_others():
    with Group() as g:
        g.running()
        pids = g.pids()
        os.kill(g.proc.pid, signal.SIGKILL)
        g.until(lambda: all(gone(p) for p in pids.values()), 2)


@test
def exit_of_a_process_is_told_with_its_status():
    with Group(plans={"devices": "exit=42"}) as g:
        expect(g.wait() == 1)
        expect("devices" in g.stderr() and "exit status 42" in g.stderr(), g.stderr())


@test
def stopped_process_is_not_killed():
    with Group() as g:
        s = g.running()
        for role in ROLES:
            os.kill(g.pids()[role], signal.SIGSTOP)
        time.sleep(1)
        for role in ROLES:
            os.kill(g.pids()[role], signal.SIGCONT)
        exchange(s, b"still")
        expect(g.proc.poll() is None)


@test
def qmpd_is_restarted():
    with Group(qmp=True) as g:
        s = g.running()
        for i in range(3):
            q = g.connect("qmp")
            expect(b'"QMP"' in read_until(q, b"\r\n"))
            old = g.pids()["qmpd"]
            os.kill(old, signal.SIGKILL)
            g.until(lambda: g.pids().get("qmpd", old) != old)
            exchange(s, b"guest goes on %d" % i)
            q.close()
        q = g.connect("qmp")
        expect(b'"QMP"' in read_until(q, b"\r\n"))
        expect("process qmpd" in g.stderr() and "started again" in g.stderr(), g.stderr())


@test
def qmpd_that_keeps_dying_is_given_up():
    with Group(qmp=True) as g:
        s = g.running()
        end = time.monotonic() + 9
        while "goes on without it" not in g.stderr():
            expect(time.monotonic() < end, g.stderr())
            pid = g.pids().get("qmpd")
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.02)
        exchange(s, b"and the guest goes on")


@test
def no_restart_ends_the_group():
    with Group(qmp=True, args=["--no-restart"]) as g:
        g.running()
        q = g.connect("qmp")
        read_until(q, b"QMP")
        os.kill(g.pids()["qmpd"], signal.SIGKILL)
        expect(g.wait() == 1)
        expect("process qmpd" in g.stderr(), g.stderr())


# ---- ends ----

def end_by(sig, **kw):
    with Group(**kw) as g:
        g.running()
        g.proc.send_signal(sig)
        return g.wait(), g.stderr(), g.stats()


@test
def sigterm_ends_in_order():
    status, err, stats = end_by(signal.SIGTERM)
    expect(status == 0 and stats["cause"] == "host-signal" and stats["finished"], status, stats)
    expect("terminating on signal 15 from pid %d" % os.getpid() in err, err)


@test
def sigint_ends_a_recording_in_order():
    status, err, stats = end_by(signal.SIGINT, record=True)
    expect(status == 0 and stats["cause"] == "host-signal" and stats["finished"], status, stats, err)


@test
def sigterm_while_paused():
    # wait=on: the pause is told when somebody is there to read it
    with Group(qmp=True, args=["-S"], wait="on") as g:
        s = g.connect()
        read_until(s, b"[pause 1]")
        g.proc.send_signal(signal.SIGTERM)
        expect(g.wait(5) == 0, g.stderr())


@test
def signal_in_a_replay_interrupts_it():
    for sig, want in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        with Group(replay=True, plans={"replaylog": ""}) as g:
            g.until(lambda: len(g.pids()) == 3)
            s = g.connect()
            time.sleep(0.3)
            g.proc.send_signal(sig)
            expect(g.wait() == want, g.proc.returncode, g.stderr())
            expect("replay interrupted at icount" in g.stderr(), g.stderr())
            s.close()


@test
def signal_before_the_guest_runs():
    with Group(plans={"devices": "silent"}) as g:
        g.until(lambda: len(g.pids()) == 3)
        time.sleep(0.3)
        g.proc.send_signal(signal.SIGTERM)
        expect(g.wait() == 143, g.proc.returncode, g.stderr())


@test
def second_signal_is_harder():
    # A machine that does not answer: replaylog is stopped.
    with Group(record=True) as g:
        g.running()
        os.kill(g.pids()["replaylog"], signal.SIGSTOP)
        t = time.monotonic()
        g.proc.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        g.proc.send_signal(signal.SIGTERM)
        expect(g.wait() == 1, g.proc.returncode)
        expect(time.monotonic() - t < 2.8, time.monotonic() - t)
        expect("second signal" in g.stderr(), g.stderr())


@test
def signal_and_its_echo_are_one():
    # timeout(1) signals the child and then the whole process group.
    with Group(record=True) as g:
        g.running()
        os.kill(g.pids()["replaylog"], signal.SIGSTOP)
        for _ in range(3):
            g.proc.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        os.kill(g.pids()["replaylog"], signal.SIGCONT)
        expect(g.wait() == 0, g.stderr())
        expect(g.stderr().count("terminating on signal") == 1, g.stderr())


@test
def machine_that_does_not_answer_a_signal():
    with Group() as g:
        g.running()
        os.kill(g.pids()["replaylog"], signal.SIGSTOP)
        t = time.monotonic()
        g.proc.send_signal(signal.SIGTERM)
        expect(g.wait() == 1)
        expect(2.9 < time.monotonic() - t < 5.5, time.monotonic() - t)
        expect("did not take the request to end" in g.stderr(), g.stderr())


@test
def finished_status_and_text_come_through():
    for status in (0, 2, 3, 4, 5, 33):
        with Group(plans={"replaylog": f"finish={status},text=the registers differ"}) as g:
            expect(g.wait() == status, g.proc.returncode)
            expect("the registers differ" in g.stderr(), g.stderr())
            s = g.stats()
            expect(s["exit_status"] == status and s["icount"] == 123456 and s["digest"] == "00000000decafbad", s)


@test
def no_shutdown_stays_until_quit():
    with Group(qmp=True, args=["-no-shutdown"], plans={"replaylog": "finish=0"}) as g:
        q = g.connect("qmp")
        f = q.makefile("rwb", buffering=0)
        f.readline()

        def cmd(name):
            f.write(json.dumps({"execute": name}).encode())
            while True:
                r = json.loads(f.readline())
                if "event" not in r:
                    return r
        cmd("qmp_capabilities")
        g.until(lambda: cmd("query-status")["return"]["status"] == "shutdown")
        expect(cmd("cont")["error"]["class"] == "GenericError")
        expect("log is closed" in cmd("system_reset")["error"]["desc"])
        expect(cmd("quit") == {"return": {}})
        expect(g.wait() == 0)


@test
def run_dir_is_cleaned():
    with Group() as g:
        g.running()
        expect(os.path.exists(os.path.join(g.run_dir, "hub.sock")))
        expect(os.stat(os.path.join(g.run_dir, "hub.sock")).st_mode & 0o777 == 0o600)
        r = subprocess.run([HUB, "--run-dir", g.run_dir, "-kernel", HUB], capture_output=True, text=True, timeout=10)
        expect(r.returncode == 1 and "another hub" in r.stderr, r.stderr)
        g.proc.send_signal(signal.SIGTERM)
        g.wait()
        expect(os.listdir(g.run_dir) == [], os.listdir(g.run_dir))


@test
def recording_twice_into_one_log_is_refused():
    with Group(record=True) as g:
        g.running()
        r = subprocess.run([HUB, "-kernel", HUB, "-icount", f"rr=record,rrfile={g.log}"], capture_output=True, text=True,
                           timeout=10)
        expect(r.returncode == 1 and "another recording" in r.stderr, r.stderr)


@test
def a_mistake_does_not_cost_an_old_log():
    with Group() as g:
        with open(g.log, "wb") as f:
            f.write(b"precious")
        r = subprocess.run([HUB, "-kernel", HUB, "-icount", f"rr=record,rrfile={g.log}", "-serial", "file:/nonexistent/x"],
                           capture_output=True, text=True, timeout=10)
        expect(r.returncode == 1 and "/nonexistent/x" in r.stderr, r.stderr)
        with open(g.log, "rb") as f:
            expect(f.read() == b"precious")


# ---- QMP through to the hub ----

@test
def qmp_drives_the_run():
    with Group(qmp=True, args=["-name", "guest one"]) as g:
        s = g.running()
        q = g.connect("qmp")
        f = q.makefile("rwb", buffering=0)
        f.readline()

        def say(name):
            f.write(json.dumps({"execute": name}).encode())

        def line():
            r = json.loads(f.readline())
            return r.get("event", r)
        say("qmp_capabilities")
        expect(line() == {"return": {}})
        say("query-status")
        expect(line() == {"return": {"status": "running", "singlestep": False, "running": True}})
        say("query-name")
        expect(line() == {"return": {"name": "guest one"}})
        say("stop")
        expect(line() == "STOP" and line() == {"return": {}})
        read_until(s, b"[pause 1]")
        say("stop")
        expect(line() == {"return": {}})
        say("query-status")
        expect(line()["return"]["status"] == "paused")
        say("cont")
        expect(line() == "RESUME" and line() == {"return": {}})
        read_until(s, b"[pause 0]")
        say("system_reset")
        expect(line() == {"return": {}} and line() == "RESET")
        read_until(s, b"[reset]")
        say("system_powerdown")
        expect(line() == {"return": {}} and line() == "POWERDOWN")
        read_until(s, b"[powerdown]")
        f.write(b'{"execute": "quit", "id": "bye"}')
        r = json.loads(f.readline())
        expect(r["event"] == "SHUTDOWN" and r["data"] == {"guest": False, "reason": "host-qmp-quit"}, r)
        expect(json.loads(f.readline()) == {"return": {}, "id": "bye"})
        expect(g.wait() == 0)
        expect(g.stats()["cause"] == "host-qmp", g.stats())


@test
def replay_takes_no_input_from_qmp():
    with Group(qmp=True, replay=True) as g:
        q = g.connect("qmp")
        f = q.makefile("rwb", buffering=0)
        f.readline()
        f.write(b"{'execute': 'qmp_capabilities'}{'execute': 'system_reset'}")
        f.readline()
        expect("replay" in json.loads(f.readline())["error"]["desc"])
        f.write(b"{'execute': 'quit'}")
        expect(g.wait() == 6, g.proc.returncode)


# ---- character back ends ----

@test
def socket_serves_one_client_after_the_other():
    with Group() as g:
        s = g.running()
        s2 = g.connect()
        exchange(s, b"first")
        s.close()
        exchange(s2, b"second")


@test
def bytes_are_neither_lost_nor_doubled_within_credit():
    with Group() as g:
        s = g.running()
        want = os.urandom(200000).replace(b"u", b"v")
        got = b""
        sent = 0
        s.setblocking(False)
        end = time.monotonic() + 30
        while len(got) < len(want) and time.monotonic() < end:
            r, w, _ = select.select([s], [s] if sent < len(want) else [], [], 1)
            if w:
                sent += s.send(want[sent:sent + 3000])
            if r:
                got += s.recv(65536)
        expect(got == want, len(got), "of", len(want))


@test
def wait_on_holds_the_start():
    with Group(wait="on", qmp=True) as g:
        q = g.connect("qmp")
        f = q.makefile("rwb", buffering=0)
        f.readline()
        f.write(b"{'execute': 'qmp_capabilities'}")
        f.readline()
        time.sleep(0.3)
        f.write(b"{'execute': 'query-status'}")
        expect(json.loads(f.readline())["return"]["status"] == "prelaunch")
        expect("waiting for a connection on unix:" in g.stderr(), g.stderr())
        exchange(g.connect(), b"now")
        f.write(b"{'execute': 'query-status'}")
        expect(json.loads(f.readline())["return"]["status"] == "running")


@test
def qmp_wait_on_holds_the_start():
    with Group(args=["-qmp", "unix:q0,server=on,wait=on", "-S"], cwd=True) as g:
        g.until(lambda: "waiting for a connection on unix:q0" in g.stderr() and len(g.pids()) == 3)
        time.sleep(0.3)
        expect("qmpd" not in g.pids())
        f = g.connect("q0").makefile("rwb", buffering=0)
        f.readline()
        f.write(b"{'execute': 'qmp_capabilities'}{'execute': 'cont'}")
        exchange(g.connect(), b"runs")


@test
def wait_on_does_not_hold_a_replay():
    with Group(wait="on", replay=True, plans={"replaylog": "finish=0"}) as g:
        expect(g.wait() == 0)


@test
def absent_back_end_does_not_stop_a_replay():
    with Group(serial="", replay=True, plans={"replaylog": "finish=0"}, args=["-serial", "unix:/nonexistent/sock"]) as g:
        expect(g.wait() == 0, g.stderr())
        expect("goes on without it" in g.stderr(), g.stderr())


@test
def tcp_client_and_server():
    lst = socket.create_server(("127.0.0.1", 0))
    port = lst.getsockname()[1]
    with Group(serial="", args=["-serial", f"tcp:127.0.0.1:{port}"]) as g:
        s, _ = lst.accept()
        exchange(s, b"over tcp")
    lst.close()
    with Group(serial="", args=["-serial", f"tcp:127.0.0.1:{port},server=on,wait=on,nodelay=on"]) as g:
        g.until(lambda: "waiting for a connection on tcp:127.0.0.1" in g.stderr())
        s = socket.create_connection(("127.0.0.1", port))
        exchange(s, b"over tcp")


@test
def pty_back_end():
    with Group(serial="", args=["-serial", "pty"]) as g:
        g.until(lambda: "char device redirected to" in g.stderr())
        m = re.search(r"redirected to (/dev/pts/\d+) \(label serial0\)", g.stderr())
        expect(m, g.stderr())
        for word in (b"first time", b"and again"):
            fd = os.open(m.group(1), os.O_RDWR | os.O_NOCTTY)
            time.sleep(0.3)
            os.write(fd, word)
            read_until(fd, word)
            os.close(fd)
            time.sleep(0.3)
        expect(g.proc.poll() is None)


@test
def file_back_end():
    with Group(serial="", args=["-serial", "null", "-chardev", "socket,id=a,server=on,wait=off,path=/tmp/hubtest-%d" % os.getpid(),
                                "-chardev", "null,id=n", "-device", "isa-serial,chardev=a", "-device",
                                "isa-debugcon,chardev=n"]) as g:
        pass
    with Group(serial="", args=["-S", "-serial", "file:" + tempfile.gettempdir() + "/hubtest-file"], qmp=True) as g:
        g.until(lambda: os.path.exists(tempfile.gettempdir() + "/hubtest-file"))
        g.until(lambda: open(tempfile.gettempdir() + "/hubtest-file").read() == "[pause 1]")
    os.unlink(tempfile.gettempdir() + "/hubtest-file")


@test
def stdio_pipe_and_its_end():
    r, w = os.pipe()
    out_r, out_w = os.pipe()
    with Group(serial="", args=["-serial", "stdio"], stdin=r, stdout=out_w) as g:
        os.close(r)
        os.close(out_w)
        os.write(w, b"through a pipe")
        read_until(out_r, b"through a pipe")
        os.close(w)
        time.sleep(0.3)
        # The end of input must not make the hub spin.
        with open(f"/proc/{g.proc.pid}/stat") as f:
            t1 = int(f.read().rsplit(")", 1)[1].split()[11])
        time.sleep(0.5)
        with open(f"/proc/{g.proc.pid}/stat") as f:
            t2 = int(f.read().rsplit(")", 1)[1].split()[11])
        expect(t2 - t1 < 10, "ticks", t2 - t1)
        expect(g.proc.poll() is None, g.stderr())
        g.proc.send_signal(signal.SIGTERM)
        expect(g.wait() == 0)
    os.close(out_r)


@test
def stdin_from_a_file():
    with tempfile.TemporaryFile() as f:
        f.write(b"typed beforehand" * 1000)
        f.seek(0)
        out_r, out_w = os.pipe()
        with Group(serial="", args=["-serial", "stdio"], stdin=f, stdout=out_w) as g:
            os.close(out_w)
            got = b""
            while len(got) < 16000:
                got += os.read(out_r, 65536)
            expect(got == b"typed beforehand" * 1000)
        os.close(out_r)


@test
def slow_reader_gets_everything():
    # 3 MiB through a reader that pauses: more than all queues hold.
    r, w = os.pipe()
    out_r, out_w = os.pipe()
    data = bytes(range(256)) * 4096 * 3
    pid = os.fork()
    if pid == 0:
        os.close(out_r)
        os.close(out_w)
        view = memoryview(data)
        while view:
            view = view[os.write(w, view[:65536]):]
        os._exit(0)
    os.close(w)
    with Group(serial="", args=["-serial", "stdio"], stdin=r, stdout=out_w, env={"FAKE_CREDIT": "4096"}) as g:
        os.close(r)
        os.close(out_w)
        time.sleep(1)
        got = bytearray()
        while len(got) < len(data):
            d = os.read(out_r, 65536)
            expect(d, "the end after", len(got))
            got += d
        expect(bytes(got) == data, "bytes differ")
    os.close(out_r)
    os.waitpid(pid, 0)


def on_terminal(args, env=None):
    """A Group whose stdin and stdout are a terminal; returns (group, master, slave)."""
    master, slave = pty.openpty()

    def controlling():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    g = Group(serial="", args=args, stdin=slave, stdout=slave, preexec=controlling, env=env)
    # Before it is raw the terminal echoes by itself.
    g.until(lambda: is_raw(slave) and len(g.pids()) == 3)
    return g, master, slave


def is_raw(fd):
    return not termios.tcgetattr(fd)[3] & termios.ICANON


@test
def nographic_keys():
    g, master, slave = on_terminal(["-nographic"])
    with g:
        os.write(master, b"hello")
        read_until(master, b"hello")
        expect(is_raw(slave))
        os.write(master, b"\x03")       # Ctrl-C is the guest's
        read_until(master, b"\x03")
        os.write(master, b"\x01h")
        read_until(master, b"C-a x")
        os.write(master, b"\x01c")
        read_until(master, b"(qemu) ")
        os.write(master, b"info starX\x7f\x7ftus\r")
        read_until(master, b"VM status: running")
        os.write(master, b"\x01c")
        read_until(master, b"goes to serial0")
        os.write(master, b"\x01b")
        read_until(master, b"[break]")
        os.write(master, b"\x01\x01")
        read_until(master, b"\x01")
        os.write(master, b"\x01x")
        expect(g.wait() == 0, g.stderr())
        expect(not is_raw(slave), "the terminal was left raw")
        expect(g.stats()["cause"] == "host-ui", g.stats())
    os.close(master)
    os.close(slave)


@test
def ctrl_a_x_works_when_the_guest_takes_nothing():
    g, master, slave = on_terminal(["-nographic"])
    with g:
        os.write(master, b"up")
        read_until(master, b"up")
        os.kill(g.pids()["replaylog"], signal.SIGSTOP)
        for i in range(20):
            os.write(master, b"x" * 50)
            time.sleep(0.01)
        os.write(master, b"\x01x")
        g.until(lambda: g.proc.poll() is not None, 6)
        expect(g.proc.returncode == 1 and "did not take the request" in g.stderr(), g.stderr())
        expect(not is_raw(slave))
    os.close(master)
    os.close(slave)


@test
def plain_stdio_keeps_ctrl_c_as_a_signal():
    g, master, slave = on_terminal(["-serial", "stdio"])
    with g:
        os.write(master, b"hello")
        read_until(master, b"hello")
        os.write(master, b"\x03")
        expect(g.wait() == 0, g.stderr())
        expect("terminating on signal 2" in g.stderr(), g.stderr())
        expect(not is_raw(slave), "the terminal was left raw")
    os.close(master)
    os.close(slave)


@test
def terminal_is_restored_when_a_process_dies():
    g, master, slave = on_terminal(["-nographic"])
    with g:
        os.write(master, b"hello")
        read_until(master, b"hello")
        os.kill(g.pids()["vcpu"], signal.SIGKILL)
        expect(g.wait() == 1)
        expect(not is_raw(slave))
    os.close(master)
    os.close(slave)


@test
def shared_mux_switches():
    g, master, slave = on_terminal(["-chardev", "stdio,id=c,mux=on,signal=off", "-serial", "chardev:c", "-debugcon",
                                    "chardev:c"], env={"FAKE_STREAMS": "2"})
    with g:
        os.write(master, b"to serial")
        read_until(master, b"to serial")
        os.write(master, b"\x01c")
        read_until(master, b"debugcon")
        os.write(master, b"to debugcon")
        read_until(master, b"to debugcon")
    os.close(master)
    os.close(slave)


if __name__ == "__main__":
    main()
