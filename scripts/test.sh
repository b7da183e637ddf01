#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what is missing, builds with both compilers, and runs every test.
#
#   scripts/test.sh [--quick] [STAGE...]
#
# Stages: format build unit asan install boot display disk snapshots failures deaths
# determinism bench. Without a stage: all. --quick: fewer rounds. The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
export DEJAVM_BUILD=${DEJAVM_BUILD:-$root/build}
export DEJAVM_GUEST=${DEJAVM_GUEST:-$DEJAVM_BUILD/guest}
rounds=10
stages=
for a in "$@"; do
    case $a in
    --quick) rounds=3 ;;
    -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "test.sh: unknown option $a; there is --quick" >&2; exit 2 ;;
    *) stages="$stages $a" ;;
    esac
done

passed=0 failed=0 skipped=0
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

wanted() { [ -z "$stages" ] || [[ " $stages " == *" $1 "* ]]; }
stage() { printf '\n=== %s (%ss)\n' "$1" "$SECONDS"; }

# check NAME COMMAND...: one test, its output shown only when it fails
check() {
    local name=$1
    shift
    if "$@" > "$logs/out" 2>&1; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        tail -n 60 "$logs/out" | sed 's/^/#   /'
        failed=$((failed + 1))
    fi
}

# tap COMMAND...: a program that prints TAP; its lines are counted
tap() {
    "$@" 2>&1 | tee "$logs/tap"
    local status=${PIPESTATUS[0]} ok bad skip
    skip=$(grep -c '^ok .*# SKIP' "$logs/tap")
    ok=$(grep -c '^ok ' "$logs/tap")
    bad=$(grep -c '^not ok ' "$logs/tap")
    passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if ! grep -q '^1\.\.' "$logs/tap" || { [ "$status" != 0 ] && [ "$bad" = 0 ]; }; then
        echo "not ok - $* ended early with status $status"
        failed=$((failed + 1))
    fi
}

# meson_tests DIR [suite arguments]: every meson test counts
meson_tests() {
    local dir=$1 counts
    shift
    meson test -C "$dir" --print-errorlogs --num-processes 2 "$@" > "$logs/meson" 2>&1
    grep -E '^ *[0-9]+/[0-9]+|^---|^[#0-9a-zA-Z/].*(FAIL|Error|error)' "$logs/meson" | tail -n 150
    grep -q '^Ok:' "$logs/meson" || tail -n 30 "$logs/meson"
    counts=$(python3 - "$dir" <<'PY'
import json, sys
ok = bad = skip = 0
try:
    for line in open(sys.argv[1] + "/meson-logs/testlog.json"):
        r = json.loads(line)["result"]
        if r == "SKIP":
            skip += 1
        elif r in ("OK", "EXPECTEDFAIL"):
            ok += 1
        else:
            bad += 1
except OSError:
    bad = 1
print(ok, bad, skip)
PY
)
    # shellcheck disable=SC2086
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

"$root/scripts/deps.sh" all || { echo "test.sh: not everything that the tests need could be installed" >&2; echo "0 passed, 1 failed"; exit 1; }

if wanted format; then
    stage "format and scripts"
    check "clang-format finds nothing to change" bash -c 'git ls-files "*.c" "*.h" | xargs clang-format --dry-run -Werror'
    check "no folder includes another's headers" scripts/check-includes.sh
    # shellcheck disable=SC2046
    check "python sources compile" python3 -c 'import sys
for f in sys.argv[1:]: compile(open(f).read(), f, "exec")' $(git ls-files '*.py')
    # shellcheck disable=SC2016
    check "man pages are clean" bash -c 'set -e; for f in $(git ls-files "docs/man/*.[158]"); do mandoc -T lint -W warning "$f"; done'
fi

stage "build"
check "builds with gcc, no warning" env CC=gcc scripts/build.sh "$DEJAVM_BUILD"
if wanted build; then
    check "builds with clang, no warning" env CC=clang scripts/build.sh "$DEJAVM_BUILD-clang"
fi

if wanted unit; then
    stage "unit tests, guest programs, lints, short fuzzing"
    meson_tests "$DEJAVM_BUILD"
fi

if wanted asan; then
    stage "unit tests under AddressSanitizer and UBSan"
    check "builds with sanitizers" env CC=gcc scripts/build.sh "$DEJAVM_BUILD-asan" \
        -Db_sanitize=address,undefined -Dbuildtype=debugoptimized
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        meson_tests "$DEJAVM_BUILD-asan" --timeout-multiplier 4
fi

if wanted install; then
    stage "installation"
    check "the installed tree works from any directory" tests/system/test_install.sh "$DEJAVM_BUILD"
fi

if wanted boot || wanted display || wanted snapshots || wanted failures || wanted deaths || wanted determinism || wanted asan; then
    stage "guest"
    check "Debian's i386 kernels and busybox are there" scripts/fetch-guest.sh "$DEJAVM_GUEST" both
fi
wanted boot && { stage "boots"; tap python3 tests/system/test_boot.py; }
wanted display && { stage "display"; tap python3 tests/system/test_display.py; tap python3 tests/system/test_pictures.py; tap python3 tests/system/test_curses.py; }
if wanted disk; then
    stage "disks"
    check "what the disk tests boot is there" scripts/fetch-disk.sh "$DEJAVM_GUEST"
    tap python3 tests/system/test_disk.py
fi
if wanted snapshots; then
    stage "snapshots"
    check "what the disk tests boot is there" scripts/fetch-disk.sh "$DEJAVM_GUEST"
    tap python3 tests/system/test_snapshots.py
fi
wanted failures && { stage "replays that must fail"; tap python3 tests/system/test_failures.py; }
wanted deaths && { stage "deaths"; tap python3 tests/system/test_deaths.py; }
wanted determinism && { stage "determinism by force"; tap python3 tests/system/test_determinism.py --rounds "$rounds"; }
if wanted asan; then
    stage "a recording and its replay under the sanitizers"
    DEJAVM_BUILD=$DEJAVM_BUILD-asan ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 \
        tap python3 tests/system/test_determinism.py --rounds 1 --no-paste --no-load
fi

printf '\n%s s\n' "$SECONDS"
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" = 0 ]
