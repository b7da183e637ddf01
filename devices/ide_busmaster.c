/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus master of an IDE channel: its registers, and moving data along the table of regions that
 * a driver has in memory. "Programming Interface for Bus Master IDE Controller", revision 1.0.
 *
 * A region that crosses a 64 KiB border, which the specification does not allow, goes on linearly.
 */
#include "ata.h"
#include "bytes.h"
#include "machine.h"

#define BM_START   0x01
#define BM_TO_RAM  0x08
#define BM_ACTIVE  0x01
#define BM_ERROR   0x02
#define BM_INTR	   0x04
#define BM_CAPABLE 0x60 /* kept for drivers */
#define PRD_LEN	   8
#define PRD_LAST   0x80000000u
#define REGION_MAX 0x10000u

bool bm_ready(const struct ata_channel *ch, bool to_ram)
{
	return (ch->bm_status & BM_ACTIVE) && to_ram == ((ch->bm_command & BM_TO_RAM) != 0);
}

static void bm_bus_error(struct ata_channel *ch)
{
	ch->bm_status = (uint8_t)((ch->bm_status & ~BM_ACTIVE) | BM_ERROR);
}

/* The next region of the table; false: there is none. */
static bool bm_fetch(struct ata_channel *ch)
{
	uint8_t prd[PRD_LEN];
	uint32_t count;

	if (ch->bm_last)
		return false;
	if (dma_read(ch->controller, ch->bm_next, prd, sizeof(prd)) < 0) {
		bm_bus_error(ch);
		return false;
	}
	count = get_le32(prd + 4);
	ch->bm_next += PRD_LEN;
	ch->bm_addr = get_le32(prd) & ~1u;
	ch->bm_left = count & 0xfffe ? count & 0xfffe : REGION_MAX;
	ch->bm_last = (count & PRD_LAST) != 0;
	return true;
}

static uint32_t bm_move(struct ata_channel *ch, uint8_t *buf, uint32_t len, bool to_ram)
{
	uint32_t moved = 0;

	while (moved < len && (ch->bm_left || bm_fetch(ch))) {
		uint32_t n = ch->bm_left < len - moved ? ch->bm_left : len - moved;
		int r = to_ram ? dma_write(ch->controller, ch->bm_addr, buf + moved, n)
			       : dma_read(ch->controller, ch->bm_addr, buf + moved, n);

		if (r < 0) {
			bm_bus_error(ch);
			break;
		}
		ch->bm_addr += n;
		ch->bm_left -= n;
		moved += n;
	}
	if (!ch->bm_left && ch->bm_last)
		ch->bm_status &= (uint8_t)~BM_ACTIVE;
	return moved;
}

uint32_t bm_to_ram(struct ata_channel *ch, const uint8_t *buf, uint32_t len)
{
	return bm_move(ch, (uint8_t *)(uintptr_t)buf, len, true);
}

uint32_t bm_from_ram(struct ata_channel *ch, uint8_t *buf, uint32_t len)
{
	return bm_move(ch, buf, len, false);
}

static void bm_command(struct ata_channel *ch, uint8_t val)
{
	bool was = ch->bm_command & BM_START;

	ch->bm_command = val & (BM_START | BM_TO_RAM);
	if (!(val & BM_START)) {
		ch->bm_status &= (uint8_t)~BM_ACTIVE;
	} else if (!was) {
		ch->bm_status |= BM_ACTIVE;
		ch->bm_next = ch->bm_table;
		ch->bm_left = ch->bm_last = 0;
		if (ch->unit[ch->selected])
			ata_dma_go(ch->unit[ch->selected]);
	}
}

uint8_t bm_reg_read(const struct ata_channel *ch, unsigned reg)
{
	switch (reg) {
	case 0: return ch->bm_command;
	case 2: return ch->bm_status;
	case 4:
	case 5:
	case 6:
	case 7: return (uint8_t)(ch->bm_table >> 8 * (reg - 4));
	}
	return 0;
}

void bm_reg_write(struct ata_channel *ch, unsigned reg, uint8_t val)
{
	unsigned shift = 8 * (reg & 3);

	machine_ports_changed(ch->controller);
	switch (reg) {
	case 0: bm_command(ch, val); break;
	case 2:
		ch->bm_status =
			(uint8_t)((ch->bm_status & ~BM_CAPABLE & ~(val & (BM_INTR | BM_ERROR))) |
				  (val & BM_CAPABLE));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		ch->bm_table &= ~(0xffu << shift);
		ch->bm_table |= (uint32_t)val << shift;
		ch->bm_table &= ~3u;
		break;
	}
}

void bm_interrupt(struct ata_channel *ch)
{
	ch->bm_status |= BM_INTR;
}

void bm_ports(const struct ata_channel *ch, uint32_t base)
{
	port_defer(ch->controller, base, 1, 1, BM_START);
	port_defer(ch->controller, base + 2, 1, 1, 0);
	port_defer(ch->controller, base + 4, 1, 4, 0);
	port_show(ch->controller, base, ch->bm_command);
	port_show(ch->controller, base + 2, ch->bm_status);
}

void bm_reset(struct ata_channel *ch)
{
	ch->bm_command = ch->bm_status = ch->bm_last = 0;
	ch->bm_table = ch->bm_next = ch->bm_addr = ch->bm_left = 0;
}

void bm_loaded(struct ata_channel *ch)
{
	if (ch->bm_left > REGION_MAX)
		ch->bm_left = REGION_MAX;
}
