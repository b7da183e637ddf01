#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Checks ring.pml exhaustively with spin(1): the protocol holds on TSO and on a weaker machine, and it fails as soon as
# one of its fences, the second look or the release is left out. Exit status 77: no spin here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if ! command -v spin >/dev/null || ! command -v cc >/dev/null; then
	echo "SKIP: spin or cc is not installed"
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# check NAME DEFINES...: prints "errors: N" of an exhaustive search, and fails if it was not exhaustive
check() {
	name=$1
	shift
	spin "$@" -a "$here/ring.pml" >log 2>&1 || { cat log; echo "FAILED: spin does not accept the model"; exit 1; }
	cc -O0 -w -DSAFETY -DMEMLIM=1024 -o pan pan.c
	./pan -m100000 >log 2>&1 || true
	if grep -q 'max search depth too small\|out of memory' log; then
		cat log
		echo "FAILED: $name: the search was cut short"
		exit 1
	fi
	errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' log)
	states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' log)
	if [ -z "$errors" ]; then
		cat log
		echo "FAILED: $name: no result"
		exit 1
	fi
}

holds() {
	check "$@"
	if [ "$errors" -ne 0 ]; then
		cat log
		echo "FAILED: $1: the protocol is wrong"
		exit 1
	fi
	echo "holds: $1 ($states states)"
}

fails() {
	check "$@"
	if [ "$errors" -eq 0 ]; then
		echo "FAILED: $1: the model finds no error, so it proves nothing"
		exit 1
	fi
	echo "fails, as it must: $1: $(sed -n 's/^pan:1: //p' log)"
}

holds "TSO"
holds "TSO, a lap and a half" -DMSGS=5
holds "stores out of order (PSO)" -DPSO
fails "no fence in chan_notify()" -DNO_FENCE_PRODUCER
fails "no fence in chan_prepare_sleep()" -DNO_FENCE_CONSUMER
fails "no second look before sleeping" -DNO_RECHECK
fails "PSO, head published without release" -DPSO -DNO_RELEASE
holds "TSO, head published without release (x86 gives it away)" -DNO_RELEASE
echo PASS
