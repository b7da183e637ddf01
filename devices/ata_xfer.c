/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving data between host, buffer and drive: ATA/ATAPI-7 volume 2, clause 5 (PIO data-in,
 * data-out and DMA protocols).
 *
 * PIO goes through the buffer, which is a window on the drive of up to ATA_BUF_LEN bytes, so that a
 * request to the drive serves many DRQ blocks. DMA does not: a piece of up to DRIVE_IO_MAX bytes
 * moves between the drive and the guest's memory, pieces in order.
 *
 * A transfer from the drive by DMA starts when the bus master has been started, and data that come
 * when it has been stopped meanwhile are asked for again.
 */
#include <errno.h>
#include <string.h>
#include "ata.h"
#include "log.h"

#define READY (ATA_DRDY | ATA_DSC)

static uint32_t min_u32(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

void ata_xfer_stop(struct ata_unit *u)
{
	u->phase = ATA_IDLE;
	u->from_drive = u->short_dma = 0;
	u->left = 0;
	u->io_len = 0;
	u->pos = u->end = u->len = 0;
}

static void finish(struct ata_unit *u)
{
	ata_xfer_stop(u);
	u->kind->done(u);
}

/* The host side is at a loss: it waits for data that it cannot take. */
static void stick(struct ata_unit *u)
{
	ata_xfer_stop(u);
	u->phase = ATA_STUCK;
	u->status = READY | ATA_DRQ;
}

static void start(struct ata_unit *u, enum ata_phase phase, bool from_drive, uint32_t block)
{
	must(!u->io_id && block > 0);
	ata_xfer_stop(u);
	u->phase = (uint8_t)phase;
	u->from_drive = from_drive;
	u->block = block;
}

/* ---- PIO ---- */

static void block_begin(struct ata_unit *u, bool irq)
{
	uint32_t n = min_u32(u->block, u->len - u->pos);

	u->end = u->pos + n;
	u->status = READY | ATA_DRQ;
	if (u->kind->block)
		u->kind->block(u, n);
	if (irq)
		ata_irq(u);
}

static void window_read(struct ata_unit *u)
{
	u->status = READY | ATA_BSY;
	u->io_len = min_u32(u->left, ATA_BUF_LEN);
	u->io_id = drive_read(&u->dev, u->drive, u->offset, u->io_len);
}

static void window_open(struct ata_unit *u, bool irq)
{
	u->pos = 0;
	u->len = min_u32(u->left, ATA_BUF_LEN);
	block_begin(u, irq);
}

static void window_write(struct ata_unit *u)
{
	u->status = READY | ATA_BSY;
	u->io_len = u->len;
	u->io_id = drive_write(&u->dev, u->drive, u->offset, u->buf, u->len);
}

static void in_block_end(struct ata_unit *u)
{
	if (u->pos < u->len)
		block_begin(u, true);
	else if (u->left)
		window_read(u);
	else
		finish(u);
}

static void out_block_end(struct ata_unit *u)
{
	if (u->pos < u->len) {
		block_begin(u, true);
	} else if (u->from_drive) {
		window_write(u);
	} else {
		ata_xfer_stop(u);
		u->status = READY | ATA_BSY;
		u->kind->received(u);
	}
}

/* Elements of the data register that lie within the DRQ block move at once. An odd byte at its end
 * (ATAPI) is half an element. */
void ata_data_read(struct ata_unit *u, unsigned size, uint32_t n, uint8_t *buf)
{
	size_t total = (size_t)n * size;

	while (total > 0 && u->phase == ATA_PIO_IN && (u->status & ATA_DRQ)) {
		uint32_t k = min_u32(total, u->end - u->pos);

		memcpy(buf, u->buf + u->pos, k);
		u->pos += k;
		if (u->pos == u->end) {
			uint32_t pad = (uint32_t)((size - k % size) % size);

			memset(buf + k, 0, pad < total - k ? pad : total - k);
			k += pad < total - k ? pad : (uint32_t)(total - k);
			in_block_end(u);
		}
		buf += k;
		total -= k;
	}
	memset(buf, 0xff, total);
}

void ata_data_write(struct ata_unit *u, unsigned size, uint32_t n, const uint8_t *buf)
{
	size_t total = (size_t)n * size;

	while (total > 0 && u->phase == ATA_PIO_OUT && (u->status & ATA_DRQ)) {
		uint32_t k = min_u32(total, u->end - u->pos);

		memcpy(u->buf + u->pos, buf, k);
		u->pos += k;
		if (u->pos == u->end) {
			uint32_t pad = (uint32_t)((size - k % size) % size);

			k += pad < total - k ? pad : (uint32_t)(total - k);
			out_block_end(u);
		}
		buf += k;
		total -= k;
	}
}

/* ---- DMA ---- */

static void dma_in_piece(struct ata_unit *u)
{
	uint32_t n;

	if (u->from_drive) {
		u->status = READY | ATA_BSY;
		u->io_len = min_u32(u->left, DRIVE_IO_MAX);
		u->io_id = drive_read(&u->dev, u->drive, u->offset, u->io_len);
		return;
	}
	n = bm_to_ram(u->ch, u->buf + u->pos, u->len - u->pos);
	if (n == u->len - u->pos)
		finish(u);
	else
		stick(u);
}

static void dma_out_piece(struct ata_unit *u)
{
	uint8_t *buf;
	uint32_t n;

	if (!u->from_drive) {
		n = bm_from_ram(u->ch, u->buf, u->len);
		if (n < u->len) {
			stick(u);
			return;
		}
		ata_xfer_stop(u);
		u->status = READY | ATA_BSY;
		u->kind->received(u);
		return;
	}
	u->io_len = min_u32(u->left, DRIVE_IO_MAX);
	buf = drive_buffer(&u->dev, u->drive);
	n = bm_from_ram(u->ch, buf, u->io_len);
	if (n < u->io_len) {
		/* Whole sectors have been received, and are written. */
		u->short_dma = 1;
		u->io_len = n & ~(ATA_SECTOR - 1u);
	}
	if (u->io_len == 0) {
		stick(u);
		return;
	}
	u->status = READY | ATA_BSY;
	u->io_id = drive_write(&u->dev, u->drive, u->offset, buf, u->io_len);
}

void ata_dma_go(struct ata_unit *u)
{
	if (u->io_id || (u->phase != ATA_DMA_IN && u->phase != ATA_DMA_OUT))
		return;
	u->status = READY | ATA_DRQ;
	if (!bm_ready(u->ch, u->phase == ATA_DMA_IN))
		return;
	if (u->phase == ATA_DMA_IN)
		dma_in_piece(u);
	else
		dma_out_piece(u);
}

static void dma_in_done(struct ata_unit *u, const uint8_t *data, uint32_t len)
{
	uint32_t n;

	if (bm_ready(u->ch, true)) {
		n = bm_to_ram(u->ch, data, len);
		if (n < len) {
			stick(u);
			return;
		}
		u->offset += len;
		u->left -= len;
	}
	if (u->left)
		ata_dma_go(u);
	else
		finish(u);
}

/* ---- starting ---- */

void ata_read(struct ata_unit *u, uint64_t offset, uint64_t left, uint32_t block, bool dma)
{
	start(u, dma ? ATA_DMA_IN : ATA_PIO_IN, true, block);
	u->offset = offset;
	u->left = left;
	if (dma)
		ata_dma_go(u);
	else
		window_read(u);
}

void ata_write(struct ata_unit *u, uint64_t offset, uint64_t left, uint32_t block, bool dma)
{
	start(u, dma ? ATA_DMA_OUT : ATA_PIO_OUT, true, block);
	u->offset = offset;
	u->left = left;
	if (dma)
		ata_dma_go(u);
	else
		window_open(u, false);
}

void ata_send(struct ata_unit *u, uint32_t len, uint32_t block, bool dma)
{
	must(len > 0 && len <= ATA_BUF_LEN);
	start(u, dma ? ATA_DMA_IN : ATA_PIO_IN, false, block);
	u->len = len;
	if (dma)
		ata_dma_go(u);
	else
		block_begin(u, true);
}

void ata_receive(struct ata_unit *u, uint32_t len, uint32_t block, bool dma)
{
	must(len > 0 && len <= ATA_BUF_LEN);
	start(u, dma ? ATA_DMA_OUT : ATA_PIO_OUT, false, block);
	u->len = len;
	if (dma)
		ata_dma_go(u);
	else
		block_begin(u, false);
}

void ata_flush(struct ata_unit *u)
{
	start(u, ATA_WAIT, false, 1);
	u->status = READY | ATA_BSY;
	u->io_id = drive_flush(&u->dev, u->drive);
}

void ata_discard(struct ata_unit *u, uint64_t offset, uint64_t len)
{
	start(u, ATA_WAIT, false, 1);
	u->status = READY | ATA_BSY;
	u->offset = offset;
	u->io_id = drive_discard(&u->dev, u->drive, offset, len);
}

/* ---- the drive's answer ---- */

void ata_xfer_io_done(struct ata_unit *u, uint32_t error, const uint8_t *data, uint32_t len)
{
	bool reads = u->phase == ATA_PIO_IN || u->phase == ATA_DMA_IN;
	uint32_t moved = u->io_len;

	u->io_len = 0;
	/* Another request than the transfer's comes out of a snapshot that nobody made. */
	if (!error && (reads != (data != NULL) || (data && len != moved)))
		error = EIO;
	if (error) {
		uint64_t at = u->offset;

		ata_xfer_stop(u);
		u->offset = at;
		u->kind->failed(u, error);
		return;
	}
	switch (u->phase) {
	case ATA_PIO_IN:
		must(data && len <= ATA_BUF_LEN && len <= u->left);
		memcpy(u->buf, data, len);
		u->offset += len;
		u->left -= len;
		u->pos = 0;
		u->len = len;
		block_begin(u, true);
		break;
	case ATA_PIO_OUT:
		u->offset += u->len;
		u->left -= u->len;
		if (u->left)
			window_open(u, true);
		else
			finish(u);
		break;
	case ATA_DMA_IN: dma_in_done(u, data, len); break;
	case ATA_DMA_OUT:
		u->offset += moved;
		u->left -= moved;
		if (u->short_dma)
			stick(u);
		else if (u->left)
			ata_dma_go(u);
		else
			finish(u);
		break;
	case ATA_WAIT: finish(u); break;
	}
}
