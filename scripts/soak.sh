#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Long soaks and fuzz campaigns, of which scripts/test.sh runs a short slice.
#
#   scripts/soak.sh [MINUTES]        default: 60
#
# A quarter of the time goes to recordings and replays on a loaded host with processes stopped and continued, a quarter to the same
# with disks and kill -9 of blkproxy, a quarter to the fuzzers, a quarter to random instruction streams. Stops at the
# first failure, with the command that repeats it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
minutes=${1:-60}
case $minutes in
*[!0-9]*|'') echo "usage: scripts/soak.sh [MINUTES]" >&2; exit 2 ;;
esac
export DEJAVM_BUILD="${DEJAVM_BUILD:-$root/build}"
export DEJAVM_GUEST="${DEJAVM_GUEST:-$DEJAVM_BUILD/guest}"
"$here/deps.sh" all
"$here/build.sh" "$DEJAVM_BUILD" > /dev/null
"$here/fetch-guest.sh" "$DEJAVM_GUEST" both
"$here/fetch-disk.sh" "$DEJAVM_GUEST"
share=$((minutes * 15)) # seconds
seed=$(date +%s)

now() { date +%s; }

echo "== determinism, $share s from seed $seed"
end=$(($(now) + share))
while [ "$(now)" -lt $end ]; do
    echo "python3 tests/system/test_determinism.py --rounds 3 --seed $seed"
    (cd "$root" && python3 tests/system/test_determinism.py --rounds 3 --seed "$seed") || exit 1
    seed=$((seed + 1))
done

echo "== disks, $share s from seed $seed"
end=$(($(now) + share))
part="debian installer"
while [ "$(now)" -lt $end ]; do
    echo "python3 tests/system/test_disk.py --long --seed $seed $part busy"
    # shellcheck disable=SC2086
    (cd "$root" && python3 tests/system/test_disk.py --long --seed "$seed" $part busy) || exit 1
    part=
    seed=$((seed + 1))
done

echo "== fuzzers, $share s"
n=$(find "$DEJAVM_BUILD/tests/fuzz" -maxdepth 1 -name 'fuzz_*' -type f -perm -u+x | wc -l)
[ "$n" -gt 0 ] || { echo "soak: no fuzzers in $DEJAVM_BUILD/tests/fuzz" >&2; exit 1; }
for f in "$DEJAVM_BUILD"/tests/fuzz/fuzz_*; do
    if [ ! -f "$f" ] || [ ! -x "$f" ]; then continue; fi
    echo "$f --seconds $((share / n + 1)) --seed $seed"
    "$f" --seconds $((share / n + 1)) --seed "$seed" || exit 1
done

echo "== random instruction streams, $share s"
end=$(($(now) + share))
ninja -C "$DEJAVM_BUILD" tests/vcpu/test_vcpu_fuzz tests/vcpu/test_vcpu_tcg > /dev/null
jobs=$(nproc)
while [ "$(now)" -lt $end ]; do
    # short and long slices
    echo "$DEJAVM_BUILD/tests/vcpu/test_vcpu_fuzz $seed 20000"
    "$DEJAVM_BUILD/tests/vcpu/test_vcpu_fuzz" "$seed" 20000 || exit 1
    # interpreter and translator: about a minute and a half, on each processor
    pids=
    for _ in $(seq "$jobs"); do
        echo "$DEJAVM_BUILD/tests/vcpu/test_vcpu_tcg $seed 20000"
        "$DEJAVM_BUILD/tests/vcpu/test_vcpu_tcg" "$seed" 20000 &
        pids="$pids $!"
        seed=$((seed + 20000))
    done
    failed=
    for p in $pids; do wait "$p" || failed=1; done
    [ -z "$failed" ] || exit 1
done
echo "soak: nothing found"
