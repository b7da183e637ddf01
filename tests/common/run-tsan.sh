#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# ThreadSanitizer on the ring: run-tsan.sh COMPILER SOURCE_ROOT. Builds its own program, since a sanitizer must see all of it.
# Exit status 77: cannot run here (meson counts that as skipped).
set -eu
cc=$1
root=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# ring.c has fences, which gcc warns that TSan does not model; the ring's data do not depend on them (docs/atomics.md).
flags="-std=gnu11 -D_GNU_SOURCE -O1 -g -fsanitize=thread -pthread -fno-strict-aliasing -I $root/common"
if $cc -Wno-tsan -Werror -x c -c -o /dev/null - </dev/null 2>/dev/null; then
	flags="$flags -Wno-tsan"
fi
printf 'int main(void){return 0;}\n' >"$dir/try.c"
if ! $cc $flags -o "$dir/try" "$dir/try.c" 2>"$dir/log"; then
	echo "SKIP: $cc has no ThreadSanitizer: $(head -n 1 "$dir/log")"
	exit 77
fi
# Address space randomisation with many bits is too much for older runtimes.
run=
if ! "$dir/try" >/dev/null 2>&1; then
	run="setarch -R"
	if ! $run "$dir/try" >/dev/null 2>&1; then
		echo "SKIP: a program with ThreadSanitizer does not run here"
		exit 77
	fi
fi
$cc $flags -o "$dir/t" "$root/tests/common/test_ring_tsan.c" "$root/common/ring.c" \
	"$root/common/clock.c" "$root/common/error.c" "$root/common/log.c"
export TSAN_OPTIONS="halt_on_error=1 exitcode=66"
$run "$dir/t" || { echo "FAILED: ThreadSanitizer found a race in the ring (status $?)"; exit 1; }
status=0
$run "$dir/t" --plant >"$dir/log" 2>&1 || status=$?
if [ $status -ne 66 ]; then
	cat "$dir/log"
	echo "FAILED: a planted race was not found (status $status), so this test proves nothing"
	exit 1
fi
echo "PASS: no race; the planted one was found"
