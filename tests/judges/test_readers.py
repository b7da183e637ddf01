#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the judges' readers see a failure when there is one? Short transcripts with one thing wrong in each, and a right one."""
import judges
import lib

FLAGS = "judge: flags fpu vme tsc sse2 pni syscall\n"


def selftests(body, over=True):
    # Those that expected.txt wants to see skipping, the rest by body.
    text = FLAGS
    for test, result, condition, _ in judges.expectations("selftests"):
        if result.startswith("skip:") and condition == "always":
            text += f"judge: {test}\n[SKIP]\t{result[5:].replace('_', ' ')}\njudge: {test} ended 0\n"
    return (text + body + ("judge: over\n" if over else "")).encode()


def bad(name, output, quick=True):
    j = {j.name: j for j in judges.judges(quick, None)}[name]
    j.at_least = 1
    return judges.complaints(j, j.read(output))


def main():
    tap = lib.Tap()

    def right(what, name, output, **kw):
        c = bad(name, output, **kw)
        tap.ok(not c, what, "\n".join(c))

    def wrong(what, name, output, **kw):
        tap.ok(bad(name, output, **kw), what, "nobody complained")

    good = "judge: iopl\n[OK]\tfine\njudge: iopl ended 0\n"
    right("self-tests that pass", "selftests", selftests(good))
    wrong("a self-test that exits with 1", "selftests", selftests("judge: iopl\njudge: iopl ended 1\n"))
    wrong("a self-test that says FAIL and exits with 0", "selftests",
          selftests("judge: iopl\n[FAIL]\tno\njudge: iopl ended 0\n"))
    wrong("a self-test that never ends", "selftests", selftests("judge: iopl\n"))
    wrong("a skip that nobody expects", "selftests", selftests("judge: iopl\n[SKIP]\twhy\njudge: iopl ended 0\n"))
    wrong("a guest that does not come to the end", "selftests", selftests(good, over=False))
    wrong("an expected skip that is gone", "selftests", (FLAGS + good + "judge: over\n").encode())
    wrong("no output", "selftests", b"")
    fisttp = "judge: test_FISTTP\n[FAIL]\tGot signal 4, exiting\njudge: test_FISTTP ended 1\n"
    wrong("FISTTP fails on a CPU with SSE3", "selftests", selftests(fisttp))

    right("GRUB's tests pass", "grub", b"mul_test: PASS\r\nALL TESTS PASSED\r\n")
    wrong("one of GRUB's tests fails", "grub", b"mul_test: FAIL\r\ndiv_test: PASS\r\nTEST FAILURE\r\n")
    wrong("GRUB stops", "grub", b"mul_test: PASS\r\n")

    line = b"#%d  [Moving inversions] Pass:  %d        Errors: %d    "
    right("memtest86+ passes", "memtest", line % (3, 0, 0) + line % (10, 1, 0), quick=False)
    wrong("memtest86+ finds an error", "memtest", line % (3, 0, 4) + line % (10, 1, 4), quick=False)
    wrong("memtest86+ does not end its pass", "memtest", line % (10, 0, 0), quick=False)
    tap.done()


if __name__ == "__main__":
    main()
