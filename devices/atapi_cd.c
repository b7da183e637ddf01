/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CD-ROM drive: the PACKET protocol and the few ATA commands of a packet device. ATA/ATAPI-7
 * volume 1 clause 6.24, volume 2 clause 5 (PACKET protocol); what packets mean is in atapi_mmc.c.
 *
 * Properties: as a disk's (ata_cmds.c). drive may be absent or empty: there is no medium.
 */
#include <errno.h>
#include <string.h>
#include "ata.h"

#define CMD_PACKET	    0xa0
#define CMD_IDENTIFY_PACKET 0xa1
#define CMD_IDENTIFY	    0xec
#define CMD_READ	    0x20
#define PACKET_DMA	    0x01
#define PACKET_OVERLAP	    0x02
#define CD_BLOCK	    2048
#define SENSE_NOT_READY	    2
#define SENSE_MEDIUM	    3
#define SENSE_ILLEGAL	    5
#define ASC_READ_ERROR	    0x11
#define ASC_POWER_ON	    0x29

/* ---- ends of a packet's command ---- */

void atapi_good(struct ata_unit *u)
{
	u->sense_key = u->asc = u->ascq = 0;
	u->count = ATA_IO | ATA_COD;
	u->status = ATA_DRDY;
	ata_irq(u);
}

void atapi_check(struct ata_unit *u, uint8_t key, uint8_t asc, uint8_t ascq)
{
	ata_xfer_stop(u);
	u->sense_key = key;
	u->asc = asc;
	u->ascq = ascq;
	u->count = ATA_IO | ATA_COD;
	u->error = (uint8_t)(key << 4 | ATA_ABRT);
	u->status = ATA_DRDY | ATA_ERR;
	ata_irq(u);
}

/*
 * Bytes of a DRQ block: what the host said (registers LBA1, LBA2) when it sent PACKET, and even; 0
 * and FFFF are the most. Blocks of a medium are whole where they fit.
 */
static uint32_t block_limit(const struct ata_unit *u)
{
	uint32_t n = u->lba[1] | (uint32_t)u->lba[2] << 8;

	if (n == 0 || n == 0xffff)
		n = 0xfffe;
	n &= ~1u;
	return n ? n : 2;
}

void atapi_reply(struct ata_unit *u, uint32_t len, uint32_t max)
{
	if (len > max)
		len = max;
	if (len == 0) {
		atapi_good(u);
		return;
	}
	ata_send(u, len, block_limit(u), u->packet_dma);
}

void atapi_read_blocks(struct ata_unit *u, uint32_t lba, uint32_t n)
{
	uint32_t limit = block_limit(u);

	if (limit >= CD_BLOCK)
		limit -= limit % CD_BLOCK;
	if (n == 0)
		atapi_good(u);
	else
		ata_read(u, (uint64_t)lba * CD_BLOCK, (uint64_t)n * CD_BLOCK, limit, u->packet_dma);
}

/* ---- commands ---- */

static void packet_begin(struct ata_unit *u)
{
	if (u->feature & PACKET_OVERLAP) {
		ata_fail(u, ATA_ABRT);
		return;
	}
	u->packet_dma = u->feature & PACKET_DMA;
	u->packet_wait = 1;
	ata_receive(u, ATA_PACKET_LEN, ATA_PACKET_LEN, false);
}

static void cd_command(struct ata_unit *u, uint8_t command)
{
	switch (command) {
	case CMD_PACKET: packet_begin(u); break;
	case CMD_IDENTIFY_PACKET:
		ata_identify_packet(u);
		ata_send(u, ATA_SECTOR, ATA_SECTOR, false);
		break;
	case CMD_IDENTIFY:
	case CMD_READ:
		/* The signature tells the host what to ask instead. */
		ata_signature(u);
		ata_fail(u, ATA_ABRT);
		break;
	case ATA_CMD_DIAGNOSTIC: ata_diagnostic(u); break;
	case 0xe5: /* CHECK POWER MODE */
		u->count = u->standby ? 0x00 : 0xff;
		ata_end(u);
		break;
	case 0xe0: /* STANDBY IMMEDIATE */
	case 0xe6: /* SLEEP */
		u->standby = 1;
		ata_end(u);
		break;
	case 0xe1: /* IDLE IMMEDIATE */
		u->standby = 0;
		ata_end(u);
		break;
	case 0xef: /* SET FEATURES */
		if (u->feature == 0x03)
			u->xfer_mode = u->count;
		if (u->feature == 0x03 || u->feature == 0x66 || u->feature == 0xcc)
			ata_end(u);
		else
			ata_fail(u, ATA_ABRT);
		break;
	default: ata_fail(u, ATA_ABRT);
	}
}

/* Byte count and interrupt reason go with each block. */
static void cd_block(struct ata_unit *u, uint32_t len)
{
	if (u->command != CMD_PACKET)
		return;
	if (u->packet_wait) {
		u->count = ATA_COD;
		return;
	}
	u->count = u->phase == ATA_PIO_IN ? ATA_IO : 0;
	u->lba[1] = (uint8_t)len;
	u->lba[2] = (uint8_t)(len >> 8);
}

static void cd_received(struct ata_unit *u)
{
	/* Nothing but packets comes from the host. */
	u->packet_wait = 0;
	memcpy(u->packet, u->buf, ATA_PACKET_LEN);
	atapi_execute(u);
}

static void cd_done(struct ata_unit *u)
{
	if (u->command == CMD_PACKET)
		atapi_good(u);
	else
		u->status = ATA_DRDY | ATA_DSC;
}

static void cd_failed(struct ata_unit *u, uint32_t error)
{
	atapi_check(u, SENSE_MEDIUM, ASC_READ_ERROR, 0);
}

static const struct ata_kind cd = {
	.signature = { 0x14, 0xeb },
	.idle_status = 0,
	.packet = true,
	.command = cd_command,
	.block = cd_block,
	.received = cd_received,
	.done = cd_done,
	.failed = cd_failed,
};

/* ---- the device ---- */

static void cd_reset(struct device *dev)
{
	struct ata_unit *u = (struct ata_unit *)dev;

	ata_reset_begin(u, true);
	u->attention = ASC_POWER_ON;
	ata_reset_end(u);
}

static int cd_realize(struct device *dev, struct error *err)
{
	struct ata_unit *u = (struct ata_unit *)dev;

	if (!u->model)
		u->model = "DEJAVM CD-ROM";
	return ata_realize(u, &cd, err);
}

const struct device_class ide_cd_class = {
	.name = "ide-cd",
	.desc = "ATAPI CD-ROM drive on the IDE controller",
	.instance_size = sizeof(struct ata_unit),
	.props = ata_props,
	.fields = ata_fields,
	.user_creatable = true,
	.realize = cd_realize,
	.reset = cd_reset,
	.loaded = ata_loaded,
	.blk_done = ata_blk_done,
};
