/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a video BIOS leaves behind, for a kernel that is started without one: vga_text.c. */
#ifndef DEJAVM_VGA_TEXT_H
#define DEJAVM_VGA_TEXT_H

#include "device.h"

/* Where firmware puts the adapter's BARs. */
#define VGA_LFB_GPA  0xfd000000u
#define VGA_MMIO_GPA 0xfebf0000u

/* The adapter of this machine, or NULL. */
struct device *vga_find(struct machine *m);
/*
 * After a reset: 80x25 text (mode 3), colours and the font of the adapter's own video BIOS if it
 * has one, the screen empty. BARs are given addresses, so that a kernel finds the frame buffer.
 */
void vga_text_mode(struct device *dev);

#endif
