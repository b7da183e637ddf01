/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What devices tell those who draw the picture: the display adapter's registers, in the segment
 * "display". One writer (devices); readers copy and check the sequence number. The picture's
 * memory itself is the end of the segment "ram", from byte MachineConfig.ram_bytes on: video
 * memory, and DISPLAY_EXTRA_LEN bytes behind it.
 *
 * Nothing flows back: whether anybody looks at the page makes no difference to the machine.
 *
 * Names and numbers of registers are those of the IBM VGA (IBM PS/2 Hardware Interface Technical
 * Reference, "Video Subsystem"), and of the Bochs DISPI interface.
 */
#ifndef DEJAVM_DISPLAY_H
#define DEJAVM_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "atomic.h"

#define VGA_SEQ_REGS  5
#define VGA_CRTC_REGS 25
#define VGA_GC_REGS   9
#define VGA_AC_REGS   21
#define VGA_DAC_BYTES 768

/* Registers of the DISPI interface, by index. */
enum dispi_reg {
	DISPI_ID,
	DISPI_XRES,
	DISPI_YRES,
	DISPI_BPP,
	DISPI_ENABLE,
	DISPI_BANK,
	DISPI_VIRT_WIDTH,
	DISPI_VIRT_HEIGHT,
	DISPI_X_OFFSET,
	DISPI_Y_OFFSET,
	DISPI_VIDEO_MEMORY_64K, /* read-only, holds nothing */
	DISPI_REGS
};
#define DISPI_ENABLED  0x01
#define DISPI_GETCAPS  0x02
#define DISPI_8BIT_DAC 0x20
#define DISPI_LFB      0x40
#define DISPI_NOCLEAR  0x80

/*
 * Behind video memory: characters and attributes of a text mode as the processor sees them, and a
 * copy of what they were when they were put there.
 */
#define DISPLAY_TEXT_LEN  0x8000
#define DISPLAY_EXTRA_LEN (2 * DISPLAY_TEXT_LEN)

struct display_regs {
	uint8_t present; /* there is an adapter */
	uint8_t text;	 /* the first cells are behind video memory, not in planes 0 and 1 */
	uint8_t misc;	 /* miscellaneous output */
	uint8_t seq[VGA_SEQ_REGS];
	uint8_t crtc[VGA_CRTC_REGS];
	uint8_t gc[VGA_GC_REGS];
	uint8_t ac[VGA_AC_REGS];
	uint8_t ac_index; /* bit 5: the picture is shown */
	uint8_t dac_mask;
	uint8_t dac[VGA_DAC_BYTES]; /* red, green, blue of each colour; 6 bits, or 8 by DISPI */
	uint16_t dispi[DISPI_REGS];
};

struct display_page {
	_Alignas(64) _Atomic uint32_t sequence; /* odd while it is being written */
	struct display_regs regs;
};

/* Devices' side: [off, off+len) of *regs has changed. */
static inline void display_publish(
	struct display_page *p, const struct display_regs *regs, size_t off, size_t len)
{
	uint32_t n = atomic_read(&p->sequence);

	atomic_set(&p->sequence, n + 1);
	smp_wmb(); /* pairs with the smp_rmb()s of display_read() */
	memcpy((uint8_t *)&p->regs + off, (const uint8_t *)regs + off, len);
	atomic_store_release(&p->sequence, n + 2);
}

/*
 * A copy that nobody wrote to meanwhile; false: the writer did not let us have one (it died in the
 * middle, or it writes all the time), and *ret may be torn. What is in it is to be distrusted
 * either way.
 */
static inline bool display_read(const struct display_page *p, struct display_regs *ret)
{
	for (int i = 0; i < 1000; i++) {
		uint32_t n = atomic_load_acquire(&p->sequence);

		memcpy(ret, &p->regs, sizeof(*ret));
		smp_rmb();
		if (!(n & 1) && atomic_read(&p->sequence) == n)
			return true;
	}
	return false;
}

#endif
