#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs a guest test in QEMU: qemu.sh KERNEL. isa-debug-exit makes status 1 of the guest's 0.
timeout 20 qemu-system-i386 -cpu qemu32 -kernel "$1" -device isa-debug-exit,iobase=0xf4,iosize=4 \
	-debugcon stdio -display none -no-reboot
[ $? -eq 1 ]
