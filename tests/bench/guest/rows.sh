#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Does one row of the benchmark table, in the guest and on the host: rows.sh ROW SIZE, with DATA (input for the
# compressors), BIN (where the programs are: busybox would take its own gzip), SCRIPTS (where mix.lua is) and WORK (a scratch
# directory in memory) in the environment.
#
# Between the lines "@@ START" and "@@ END", whose times of arrival are what is measured, stands the work and nothing else. Both
# carry the guest's own clock, which under dejavm is the instruction count. "@@ RESULT" must be the same wherever the row runs.
row=$1 n=$2
# shellcheck source=tests/bench/guest/common.sh
. "$SCRIPTS/common.sh"

# A file of N bytes, of the data over and over.
fill() {
    have=0
    while [ "$have" -lt "$1" ]; do
        head -c $(($1 - have)) "$DATA"
        have=$((have + $(wc -c < "$DATA")))
    done > "$WORK/in"
}

case $row in
gzip|bzip2|xz|sha256|aes) fill "$n" ;;
esac

mark START
case $row in
coremix) "$BIN/coremix" "$n" > "$WORK/out" ;;
gzip) "$BIN/gzip" -6 -c "$WORK/in" > "$WORK/z" && "$BIN/gzip" -dc "$WORK/z" > "$WORK/back" ;;
bzip2) "$BIN/bzip2" -9 -c "$WORK/in" > "$WORK/z" && "$BIN/bzip2" -dc "$WORK/z" > "$WORK/back" ;;
xz) "$BIN/xz" -T1 -3 -c "$WORK/in" > "$WORK/z" && "$BIN/xz" -T1 -dc "$WORK/z" > "$WORK/back" ;;
sha256) "$BIN/openssl" dgst -sha256 -r "$WORK/in" > "$WORK/out" ;;
aes)
    cipher="enc -aes-256-cbc -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 00112233445566778899aabbccddeeff"
    "$BIN/openssl" $cipher -in "$WORK/in" -out "$WORK/z" && "$BIN/openssl" $cipher -d -in "$WORK/z" -out "$WORK/back" ;;
lua) "$BIN/lua5.4" "$SCRIPTS/mix.lua" "$n" > "$WORK/out" ;;
x87-lin) "$BIN/linalg-x87" lin "$n" > "$WORK/out" ;;
x87-trans) "$BIN/linalg-x87" trans "$n" > "$WORK/out" ;;
sse-lin) "$BIN/linalg-sse" lin "$n" > "$WORK/out" ;;
sse-trans) "$BIN/linalg-sse" trans "$n" > "$WORK/out" ;;
mem-rep) "$BIN/mem" rep "$n" > "$WORK/out" ;;
mem-libc) "$BIN/mem" libc "$n" > "$WORK/out" ;;
syscall) "$BIN/sys" call "$n" > "$WORK/out" ;;
fork) "$BIN/sys" fork "$n" > "$WORK/out" ;;
pipe) "$BIN/sys" pipe "$n" > "$WORK/out" ;;
*) echo "no row $row"; false ;;
esac
status=$?
mark END

# What was made is checked outside of what is measured.
case $row in
gzip|bzip2|xz|aes) cmp "$WORK/in" "$WORK/back" || status=9 ;;
esac
case $row in
gzip|bzip2|xz) result="$(wc -c < "$WORK/z") bytes" ;;
aes) result=$(tail -c 16 "$WORK/z" | od -An -tx1) ;;
sha256) read -r result _ < "$WORK/out" ;;
*) result=$(cat "$WORK/out") ;;
esac
echo "@@ RESULT $status $result"
cd "$WORK" && rm -f in out z back
