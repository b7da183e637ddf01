#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's second half: records a session, replays it, compares. Called by demo.sh."""
import os
import subprocess
import sys
import tempfile
import time

import session


def main(argv):
    keep = os.path.join(os.environ.get("DEJAVM_BUILD", "build"), "demo")
    os.makedirs(keep, exist_ok=True)
    log = os.path.join(keep, "session.bin")
    start = time.monotonic()
    seen = [0]

    def step(text):
        print(f"   {time.monotonic() - start:6.1f} s  {text}", flush=True)

    def progress(data):
        # A sign of life for each half kilobyte that the guest prints.
        seen[0] += len(data)
        if sys.stdout.isatty():
            print(f"   {time.monotonic() - start:6.1f} s  {seen[0]} bytes of serial output", end="\r", flush=True)

    print("== recording a session typed into the serial console")
    try:
        rec, rec_out = session.record(log, argv, step=step, progress=progress)
    except session.SessionError as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    with open(os.path.join(keep, "serial.recorded"), "wb") as f:
        f.write(rec_out)
    print(f"   {rec['icount']:,} instructions, {rec['events']:,} events, log of {os.path.getsize(log):,} bytes, {rec['wall_s']:.1f} s")

    print("== replaying it; no input back end is there")
    with tempfile.TemporaryDirectory():
        status, rep, rep_out, err = session.replay(log, argv, out=os.path.join(keep, "serial.replayed"))
    sys.stderr.write(err)
    if status != 0 or rep is None:
        print(f"demo: the replay ended with status {status}", file=sys.stderr)
        return 1
    print(f"   {rep['icount']:,} instructions, {rep['wall_s']:.1f} s")

    same_out, same_digest = rec_out == rep_out, rec["digest"] == rep["digest"] and rec["icount"] == rep["icount"]
    print("== result")
    print(f"   instructions      {rec['icount']:,}")
    print(f"   events            {rec['events']:,}")
    print(f"   log bytes         {os.path.getsize(log):,}")
    print(f"   recording         {rec['wall_s']:.2f} s")
    print(f"   replay            {rep['wall_s']:.2f} s")
    print(f"   serial output     {len(rec_out):,} bytes, {'the same' if same_out else 'DIFFERENT'}")
    print(f"   final digest      {rec['digest']} recorded, {rep['digest']} replayed: {'the same' if same_digest else 'DIFFERENT'}")
    print(f"   kept in           {keep}")
    verify = subprocess.run([session.log_tool(), "verify", log], capture_output=True, text=True)
    print(f"   dejavm-log verify {(verify.stdout or verify.stderr).strip()}")
    return 0 if same_out and same_digest and verify.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
