/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A unit on an IDE channel: its registers, resets and interrupt; ATA/ATAPI-7 volume 1 clause 5
 * (registers), volume 2 clauses 3 and 5 (resets, signatures). What disks and CD-ROM drives have in
 * common.
 *
 * A reset while a request to the drive is in flight leaves the unit busy until that is complete, as
 * a disk does that is writing; its outcome is dropped.
 */
#include <errno.h>
#include <string.h>
#include "ata.h"
#include "log.h"

struct ata_unit *ata_other(const struct ata_unit *u)
{
	return u->ch->unit[u->unit ^ 1];
}

void ata_irq(struct ata_unit *u)
{
	u->intrq = 1;
	ide_irq_update(u->ch, true);
}

void ata_end(struct ata_unit *u)
{
	u->status = ATA_DRDY | ATA_DSC;
	ata_irq(u);
}

void ata_fail(struct ata_unit *u, uint8_t error)
{
	ata_xfer_stop(u);
	u->error = error;
	u->status = ATA_DRDY | ATA_DSC | ATA_ERR;
	ata_irq(u);
}

/* ---- registers ---- */

uint8_t ata_reg_read(struct ata_unit *u, enum ata_reg reg, bool hob)
{
	switch (reg) {
	case ATA_REG_ERROR: return u->error;
	case ATA_REG_COUNT: return hob ? u->hob_count : u->count;
	case ATA_REG_LBA0:
	case ATA_REG_LBA1:
	case ATA_REG_LBA2: return hob ? u->hob_lba[reg - ATA_REG_LBA0] : u->lba[reg - ATA_REG_LBA0];
	case ATA_REG_DEVICE: return u->device;
	case ATA_REG_STATUS: return u->status;
	case ATA_REG_DATA: break;
	}
	return 0xff;
}

static void pair_write(uint8_t *now, uint8_t *before, uint8_t val)
{
	*before = *now;
	*now = val;
}

/* A unit that is at work takes nothing but its selection. */
void ata_reg_write(struct ata_unit *u, enum ata_reg reg, uint8_t val)
{
	if (u->status & (ATA_BSY | ATA_DRQ)) {
		if (reg == ATA_REG_DEVICE)
			u->device = (uint8_t)((u->device & ~ATA_DEV1) | (val & ATA_DEV1));
		return;
	}
	switch (reg) {
	case ATA_REG_ERROR: pair_write(&u->feature, &u->hob_feature, val); break;
	case ATA_REG_COUNT: pair_write(&u->count, &u->hob_count, val); break;
	case ATA_REG_LBA0:
	case ATA_REG_LBA1:
	case ATA_REG_LBA2:
		pair_write(&u->lba[reg - ATA_REG_LBA0], &u->hob_lba[reg - ATA_REG_LBA0], val);
		break;
	case ATA_REG_DEVICE: u->device = val; break;
	case ATA_REG_DATA:
	case ATA_REG_STATUS: break;
	}
}

/* ---- resets ---- */

void ata_signature(struct ata_unit *u)
{
	u->count = u->lba[0] = 1;
	u->lba[1] = u->kind->signature[0];
	u->lba[2] = u->kind->signature[1];
	u->device &= ATA_DEV1;
	u->error = 1; /* diagnostic: passed */
	u->status = u->kind->idle_status;
}

void ata_reset_begin(struct ata_unit *u, bool hard)
{
	ata_xfer_stop(u);
	u->status = ATA_BSY;
	u->device = 0;
	u->intrq = 0;
	u->packet_wait = 0;
	u->reset_wait = 0;
	u->standby = 0;
	u->feature = u->count = u->hob_feature = u->hob_count = 0;
	memset(u->lba, 0, sizeof(u->lba));
	memset(u->hob_lba, 0, sizeof(u->hob_lba));
	if (!hard)
		return;
	u->heads = ATA_HEADS;
	u->sectors = ATA_SECTORS;
	u->multiple = 16;
	u->xfer_mode = 0;
	u->write_cache = u->look_ahead = u->smart = 1;
	u->tray_locked = 0;
	u->sense_key = u->asc = u->ascq = 0;
}

void ata_reset_end(struct ata_unit *u)
{
	if (u->io_id) {
		u->reset_wait = 1;
		return;
	}
	u->reset_wait = 0;
	ata_signature(u);
}

void ata_diagnostic(struct ata_unit *u)
{
	struct ata_unit *other = ata_other(u);

	if (other && !(other->status & ATA_BSY)) {
		ata_xfer_stop(other);
		ata_signature(other);
		other->device = 0;
	}
	ata_signature(u);
	u->device = 0;
	u->ch->selected = 0;
	ata_irq(u->unit == 0 || !other ? u : other);
}

/* DEVICE RESET of a packet device, which it heeds even when it is busy. */
static void device_reset(struct ata_unit *u)
{
	uint8_t selected = u->device & ATA_DEV1;

	ata_reset_begin(u, false);
	u->device = selected;
	ata_reset_end(u);
	ide_irq_update(u->ch, false);
}

void ata_command_write(struct ata_unit *u, uint8_t command)
{
	if (command == ATA_CMD_DEVICE_RESET && u->kind->packet) {
		device_reset(u);
		return;
	}
	if ((u->status & ATA_BSY) || u->io_id)
		return;
	/* A command in the middle of a transfer ends that. */
	if (u->phase != ATA_IDLE)
		ata_xfer_stop(u);
	u->intrq = 0;
	ide_irq_update(u->ch, false);
	u->packet_wait = 0;
	u->command = command;
	u->error = 0;
	u->status = ATA_DRDY | ATA_DSC;
	u->kind->command(u, command);
}

/* ---- the device classes' common parts ---- */

void ata_blk_done(
	struct device *dev, uint64_t id, uint32_t error, const uint8_t *data, uint32_t len)
{
	struct ata_unit *u = (struct ata_unit *)dev;

	if (id != u->io_id)
		return;
	machine_ports_changed(u->ch->controller);
	u->io_id = 0;
	if (u->phase != ATA_IDLE)
		ata_xfer_io_done(u, error, data, len);
	else if (u->reset_wait)
		ata_reset_end(u);
}

int ata_realize(struct ata_unit *u, const struct ata_kind *kind, struct error *err)
{
	const struct drive_info *info = drive_info(&u->dev, u->drive);

	if (u->drive != UINT32_MAX && !info)
		return error_set(
			err, EINVAL, "%s: drive=%u: there is no such drive", u->dev.id, u->drive);
	u->kind = kind;
	u->medium = info && info->len ? info : NULL;
	return ide_attach(u, err);
}

/* Is the transfer one that could have been begun? */
static bool xfer_is_sane(const struct ata_unit *u)
{
	uint64_t all = u->medium ? u->medium->len : 0;

	if (u->len > ATA_BUF_LEN || u->end > u->len || u->pos > u->end || u->block == 0)
		return false;
	if (u->offset > all || u->left > all - u->offset || (u->offset | u->left) % ATA_SECTOR)
		return false;
	if (u->io_len > u->left)
		return false;
	switch (u->phase) {
	case ATA_PIO_IN: return u->io_len <= ATA_BUF_LEN;
	case ATA_PIO_OUT:
		return u->len > 0 &&
		       (!u->from_drive || (u->len <= u->left && u->len % ATA_SECTOR == 0));
	case ATA_DMA_IN:
	case ATA_DMA_OUT: return u->from_drive ? u->left > 0 : u->len > 0;
	}
	return u->phase <= ATA_STUCK;
}

/* What is loaded is not to be believed. */
void ata_loaded(struct device *dev)
{
	struct ata_unit *u = (struct ata_unit *)dev;

	if (!u->heads || !u->sectors) {
		u->heads = ATA_HEADS;
		u->sectors = ATA_SECTORS;
	}
	if (u->trim_pos > ATA_BUF_LEN)
		u->trim_pos = ATA_BUF_LEN;
	if (u->io_id && !drive_claim(dev, u->io_id))
		u->io_id = 0;
	if (u->phase != ATA_IDLE && !xfer_is_sane(u))
		ata_xfer_stop(u);
}

const struct prop ata_props[] = {
	{ "drive", PROP_U32, offsetof(struct ata_unit, drive), UINT32_MAX },
	{ "bus", PROP_STR, offsetof(struct ata_unit, bus), 0 },
	{ "unit", PROP_U32, offsetof(struct ata_unit, unit), UINT32_MAX },
	{ "serial", PROP_STR, offsetof(struct ata_unit, serial), 0 },
	{ "model", PROP_STR, offsetof(struct ata_unit, model), 0 },
	{ "ver", PROP_STR, offsetof(struct ata_unit, ver), 0 },
	{ "bootindex", PROP_U32, offsetof(struct ata_unit, bootindex), UINT32_MAX },
	PROP_END,
};

const struct field ata_fields[] = {
	FIELD(struct ata_unit, status),
	FIELD(struct ata_unit, error),
	FIELD(struct ata_unit, feature),
	FIELD(struct ata_unit, count),
	FIELD_ARRAY(struct ata_unit, lba),
	FIELD(struct ata_unit, device),
	FIELD(struct ata_unit, hob_feature),
	FIELD(struct ata_unit, hob_count),
	FIELD_ARRAY(struct ata_unit, hob_lba),
	FIELD(struct ata_unit, intrq),
	FIELD(struct ata_unit, reset_wait),
	FIELD(struct ata_unit, command),
	FIELD(struct ata_unit, phase),
	FIELD(struct ata_unit, from_drive),
	FIELD(struct ata_unit, short_dma),
	FIELD(struct ata_unit, io_id),
	FIELD(struct ata_unit, offset),
	FIELD(struct ata_unit, left),
	FIELD(struct ata_unit, io_len),
	FIELD(struct ata_unit, block),
	FIELD(struct ata_unit, pos),
	FIELD(struct ata_unit, end),
	FIELD(struct ata_unit, len),
	FIELD_ARRAY(struct ata_unit, buf),
	FIELD(struct ata_unit, heads),
	FIELD(struct ata_unit, sectors),
	FIELD(struct ata_unit, multiple),
	FIELD(struct ata_unit, xfer_mode),
	FIELD(struct ata_unit, write_cache),
	FIELD(struct ata_unit, look_ahead),
	FIELD(struct ata_unit, smart),
	FIELD(struct ata_unit, standby),
	FIELD(struct ata_unit, fua),
	FIELD(struct ata_unit, trim_pos),
	FIELD(struct ata_unit, packet_wait),
	FIELD(struct ata_unit, packet_dma),
	FIELD(struct ata_unit, sense_key),
	FIELD(struct ata_unit, asc),
	FIELD(struct ata_unit, ascq),
	FIELD(struct ata_unit, attention),
	FIELD(struct ata_unit, tray_open),
	FIELD(struct ata_unit, tray_locked),
	FIELD(struct ata_unit, media_event),
	FIELD_ARRAY(struct ata_unit, packet),
	FIELD_END,
};
