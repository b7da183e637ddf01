#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs a guest test's firmware image in Bochs: bochs.sh IMAGE [CPU-MODEL]. Prints what the test prints; status 0 if it passed.
set -eu
image=$1
cpu=${2:-p3_katmai}	# t_pae wants no-execute: corei5_lynnfield_750
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
head -c 512 /dev/zero > "$dir/vga"
echo c > "$dir/commands"
cat > "$dir/rc" <<RC
plugin_ctrl: unmapped=1, biosdev=0, speaker=0, extfpuirq=0, parallel=0, serial=0, gameport=0
config_interface: textconfig
display_library: term
memory: guest=16, host=16
romimage: file="$image", address=0xfffe0000
vgaromimage: file=$dir/vga
cpu: model=$cpu, count=1, ips=20000000, reset_on_triple_fault=1
log: $dir/log
panic: action=fatal
error: action=report
port_e9_hack: enabled=1
RC
TERM=xterm timeout 20 bochs -q -f "$dir/rc" > "$dir/out" 2>&1 < "$dir/commands" || true
tr -d '\r' < "$dir/out" | sed 's/\x1b[^a-zA-Z]*[a-zA-Z]//g' | grep -a '^t_' || { tail -5 "$dir/out"; tail -40 "$dir/log"; exit 1; }
grep -aq 'passed' "$dir/out"
