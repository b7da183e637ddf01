/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hard disk's commands: ATA/ATAPI-7 volume 1 clause 6; DATA SET MANAGEMENT of ATA8-ACS.
 *
 * Properties: drive; bus (ide.0, ide.1) and unit (0, 1), else the first free place; serial, model,
 * ver; bootindex.
 *
 * Errors: an address beyond the end is IDNF, before anything has been moved. A read that the drive
 * fails is UNC; a write, flush or discard is a device fault (DF). The registers then hold the first
 * sector of the piece that failed.
 */
#include <errno.h>
#include <string.h>
#include "ata.h"
#include "bytes.h"

#define MULTIPLE_MAX	16
#define WRITE_CACHE_ON	0x02
#define WRITE_CACHE_OFF 0x82
#define LOOK_AHEAD_ON	0xaa
#define LOOK_AHEAD_OFF	0x55
#define XFER_MODE	0x03
#define DEFAULTS_KEEP	0x66
#define DEFAULTS_REVERT 0xcc
#define TRIM		0x01
#define TRIM_RANGE_LEN	8
#define SMART_LBA1	0x4f
#define SMART_LBA2	0xc2

/* How a command moves data. */
enum {
	F_EXT = 1,	/* 48-bit registers */
	F_MULTIPLE = 2, /* blocks of several sectors */
	F_DMA = 4,
	F_FUA = 8,
};

struct ata_command {
	void (*run)(struct ata_unit *u, unsigned flags);
	unsigned flags;
};

/* ---- addresses ---- */

static uint64_t sectors_of(const struct ata_unit *u)
{
	return u->medium ? u->medium->len / ATA_SECTOR : 0;
}

static uint32_t count_of(const struct ata_unit *u, unsigned flags)
{
	uint32_t n = u->count;

	if (flags & F_EXT) {
		n |= (uint32_t)u->hob_count << 8;
		return n ? n : 0x10000;
	}
	return n ? n : 0x100;
}

/* The sector that the registers name; UINT64_MAX: none such. */
static uint64_t sector_of(const struct ata_unit *u, unsigned flags)
{
	uint64_t low = u->lba[0] | (uint32_t)u->lba[1] << 8 | (uint32_t)u->lba[2] << 16;
	uint32_t head = u->device & 15, cylinder = u->lba[1] | (uint32_t)u->lba[2] << 8;

	if (flags & F_EXT)
		return low | (uint64_t)u->hob_lba[0] << 24 | (uint64_t)u->hob_lba[1] << 32 |
		       (uint64_t)u->hob_lba[2] << 40;
	if (u->device & ATA_LBA)
		return low | (uint64_t)head << 24;
	if (u->lba[0] == 0 || u->lba[0] > u->sectors || head >= u->heads)
		return UINT64_MAX;
	return ((uint64_t)cylinder * u->heads + head) * u->sectors + u->lba[0] - 1;
}

/* Puts a sector's address into the registers, in the form that the command used. */
static void sector_put(struct ata_unit *u, uint64_t sector, unsigned flags)
{
	if (!(flags & F_EXT) && !(u->device & ATA_LBA)) {
		uint64_t track = sector / u->sectors;

		u->lba[0] = (uint8_t)(sector % u->sectors + 1);
		u->lba[1] = (uint8_t)(track / u->heads);
		u->lba[2] = (uint8_t)(track / u->heads >> 8);
		u->device = (uint8_t)((u->device & 0xf0) | track % u->heads);
		return;
	}
	for (unsigned i = 0; i < 3; i++)
		u->lba[i] = (uint8_t)(sector >> 8 * i);
	if (flags & F_EXT)
		for (unsigned i = 0; i < 3; i++)
			u->hob_lba[i] = (uint8_t)(sector >> (24 + 8 * i));
	else
		u->device = (uint8_t)((u->device & 0xf0) | (sector >> 24 & 15));
}

/* Address and count of a command, checked; false: it has been failed. */
static bool range_take(struct ata_unit *u, unsigned flags, uint64_t *ret_sector, uint32_t *ret_n)
{
	uint64_t sector = sector_of(u, flags), all = sectors_of(u);
	uint32_t n = count_of(u, flags);

	if (sector >= all || n > all - sector) {
		ata_fail(u, ATA_IDNF);
		return false;
	}
	*ret_sector = sector;
	*ret_n = n;
	return true;
}

/* ---- reading and writing ---- */

static uint32_t block_len(const struct ata_unit *u, unsigned flags)
{
	return flags & F_MULTIPLE ? u->multiple * ATA_SECTOR : ATA_SECTOR;
}

static void cmd_read(struct ata_unit *u, unsigned flags)
{
	uint64_t sector;
	uint32_t n;

	u->standby = 0;
	if ((flags & F_MULTIPLE) && !u->multiple)
		ata_fail(u, ATA_ABRT);
	else if (range_take(u, flags, &sector, &n))
		ata_read(u, sector * ATA_SECTOR, (uint64_t)n * ATA_SECTOR, block_len(u, flags),
			flags & F_DMA);
}

static void cmd_write(struct ata_unit *u, unsigned flags)
{
	uint64_t sector;
	uint32_t n;

	u->standby = 0;
	u->fua = (flags & F_FUA) || !u->write_cache;
	if (((flags & F_MULTIPLE) && !u->multiple) || u->medium->readonly)
		ata_fail(u, ATA_ABRT);
	else if (range_take(u, flags, &sector, &n))
		ata_write(u, sector * ATA_SECTOR, (uint64_t)n * ATA_SECTOR, block_len(u, flags),
			flags & F_DMA);
}

/* Nothing can be wrong with what can be addressed. */
static void cmd_verify(struct ata_unit *u, unsigned flags)
{
	uint64_t sector;
	uint32_t n;

	if (range_take(u, flags, &sector, &n))
		ata_end(u);
}

static void cmd_seek(struct ata_unit *u, unsigned flags)
{
	if (sector_of(u, flags) >= sectors_of(u))
		ata_fail(u, ATA_IDNF);
	else
		ata_end(u);
}

static void cmd_flush(struct ata_unit *u, unsigned flags)
{
	ata_flush(u);
}

/* ---- TRIM ---- */

static uint32_t trim_len(const struct ata_unit *u)
{
	return (u->count | (uint32_t)u->hob_count << 8) * ATA_SECTOR;
}

/* Starts the next range; the end, or a range that is not on the disk, ends the command. */
static void trim_next(struct ata_unit *u)
{
	uint64_t all = sectors_of(u);
	uint32_t len = trim_len(u) < ATA_BUF_LEN ? trim_len(u) : ATA_BUF_LEN;

	for (; u->trim_pos + TRIM_RANGE_LEN <= len; u->trim_pos += TRIM_RANGE_LEN) {
		const uint8_t *p = u->buf + u->trim_pos;
		uint64_t sector = get_le32(p) | (uint64_t)get_le16(p + 4) << 32;
		uint32_t n = get_le16(p + 6);

		if (n == 0)
			continue;
		if (sector >= all || n > all - sector) {
			ata_fail(u, ATA_IDNF);
			return;
		}
		u->trim_pos += TRIM_RANGE_LEN;
		ata_discard(u, sector * ATA_SECTOR, (uint64_t)n * ATA_SECTOR);
		return;
	}
	ata_end(u);
}

static void cmd_data_set(struct ata_unit *u, unsigned flags)
{
	uint32_t len = trim_len(u);

	if (!(u->feature & TRIM) || len == 0 || len > ATA_BUF_LEN || u->medium->readonly) {
		ata_fail(u, ATA_ABRT);
		return;
	}
	u->trim_pos = 0;
	ata_receive(u, len, ATA_SECTOR, true);
}

/* ---- settings ---- */

static bool xfer_mode_known(uint8_t mode)
{
	return mode <= 1 || (mode >= 0x08 && mode <= 0x0c) || (mode >= 0x20 && mode <= 0x22) ||
	       (mode >= 0x40 && mode <= 0x45);
}

static void cmd_set_features(struct ata_unit *u, unsigned flags)
{
	switch (u->feature) {
	case WRITE_CACHE_ON: u->write_cache = 1; break;
	case WRITE_CACHE_OFF:
		u->write_cache = 0;
		ata_flush(u);
		return;
	case LOOK_AHEAD_ON: u->look_ahead = 1; break;
	case LOOK_AHEAD_OFF: u->look_ahead = 0; break;
	case XFER_MODE:
		if (!xfer_mode_known(u->count)) {
			ata_fail(u, ATA_ABRT);
			return;
		}
		u->xfer_mode = u->count;
		break;
	case DEFAULTS_KEEP:
	case DEFAULTS_REVERT: break;
	default: ata_fail(u, ATA_ABRT); return;
	}
	ata_end(u);
}

static void cmd_set_multiple(struct ata_unit *u, unsigned flags)
{
	if (u->count > MULTIPLE_MAX || (u->count & (u->count - 1))) {
		ata_fail(u, ATA_ABRT);
		return;
	}
	u->multiple = u->count;
	ata_end(u);
}

static void cmd_init_params(struct ata_unit *u, unsigned flags)
{
	uint8_t heads = (u->device & 15) + 1;

	if (u->count == 0) {
		ata_fail(u, ATA_ABRT);
		return;
	}
	u->heads = heads;
	u->sectors = u->count;
	ata_end(u);
}

static void cmd_recalibrate(struct ata_unit *u, unsigned flags)
{
	if (!(u->device & ATA_LBA))
		u->lba[1] = u->lba[2] = 0;
	ata_end(u);
}

static void cmd_nop(struct ata_unit *u, unsigned flags)
{
	ata_fail(u, ATA_ABRT);
}

static void cmd_standby(struct ata_unit *u, unsigned flags)
{
	u->standby = 1;
	ata_flush(u);
}

static void cmd_idle(struct ata_unit *u, unsigned flags)
{
	u->standby = 0;
	ata_end(u);
}

static void cmd_check_power(struct ata_unit *u, unsigned flags)
{
	u->count = u->standby ? 0x00 : 0xff;
	ata_end(u);
}

static void cmd_native_max(struct ata_unit *u, unsigned flags)
{
	uint64_t last = sectors_of(u) - 1;

	if (!(u->device & ATA_LBA)) {
		ata_fail(u, ATA_ABRT);
		return;
	}
	if (!(flags & F_EXT) && last > 0xfffffff)
		last = 0xfffffff;
	sector_put(u, last, flags);
	ata_end(u);
}

/* ---- information ---- */

static void cmd_identify(struct ata_unit *u, unsigned flags)
{
	ata_identify_disk(u);
	ata_send(u, ATA_SECTOR, ATA_SECTOR, false);
}

static void cmd_diagnostic(struct ata_unit *u, unsigned flags)
{
	ata_diagnostic(u);
}

static void cmd_smart(struct ata_unit *u, unsigned flags)
{
	bool on = u->smart || u->feature == 0xd8;

	if (u->lba[1] != SMART_LBA1 || u->lba[2] != SMART_LBA2 || !on) {
		ata_fail(u, ATA_ABRT);
		return;
	}
	switch (u->feature) {
	case 0xd0: /* read data */
		ata_smart_data(u);
		ata_send(u, ATA_SECTOR, ATA_SECTOR, false);
		return;
	case 0xd1: /* read thresholds: none */
		memset(u->buf, 0, ATA_SECTOR);
		u->buf[0] = 1;
		u->buf[ATA_SECTOR - 1] = 0xff;
		ata_send(u, ATA_SECTOR, ATA_SECTOR, false);
		return;
	case 0xd8: u->smart = 1; break;
	case 0xd9: u->smart = 0; break;
	case 0xd2: /* autosave of attributes: there are none */
	case 0xda: /* status: all is well, which the registers say unchanged */ break;
	default: ata_fail(u, ATA_ABRT); return;
	}
	ata_end(u);
}

static const struct ata_command commands[256] = {
	[0x00] = { cmd_nop, 0 },
	[0x06] = { cmd_data_set, F_EXT | F_DMA },
	[0x10] = { cmd_recalibrate, 0 },
	[0x20] = { cmd_read, 0 },
	[0x21] = { cmd_read, 0 },
	[0x24] = { cmd_read, F_EXT },
	[0x25] = { cmd_read, F_EXT | F_DMA },
	[0x27] = { cmd_native_max, F_EXT },
	[0x29] = { cmd_read, F_EXT | F_MULTIPLE },
	[0x30] = { cmd_write, 0 },
	[0x31] = { cmd_write, 0 },
	[0x34] = { cmd_write, F_EXT },
	[0x35] = { cmd_write, F_EXT | F_DMA },
	[0x39] = { cmd_write, F_EXT | F_MULTIPLE },
	[0x3d] = { cmd_write, F_EXT | F_DMA | F_FUA },
	[0x40] = { cmd_verify, 0 },
	[0x41] = { cmd_verify, 0 },
	[0x42] = { cmd_verify, F_EXT },
	[0x70] = { cmd_seek, 0 },
	[ATA_CMD_DIAGNOSTIC] = { cmd_diagnostic, 0 },
	[0x91] = { cmd_init_params, 0 },
	[0xb0] = { cmd_smart, 0 },
	[0xc4] = { cmd_read, F_MULTIPLE },
	[0xc5] = { cmd_write, F_MULTIPLE },
	[0xc6] = { cmd_set_multiple, 0 },
	[0xc8] = { cmd_read, F_DMA },
	[0xc9] = { cmd_read, F_DMA },
	[0xca] = { cmd_write, F_DMA },
	[0xcb] = { cmd_write, F_DMA },
	[0xce] = { cmd_write, F_EXT | F_MULTIPLE | F_FUA },
	/* power, with the codes that ATA-1 had for it */
	[0x94] = { cmd_standby, 0 },
	[0x95] = { cmd_idle, 0 },
	[0x96] = { cmd_standby, 0 },
	[0x97] = { cmd_idle, 0 },
	[0x98] = { cmd_check_power, 0 },
	[0x99] = { cmd_standby, 0 },
	[0xe0] = { cmd_standby, 0 },
	[0xe1] = { cmd_idle, 0 },
	[0xe2] = { cmd_standby, 0 },
	[0xe3] = { cmd_idle, 0 },
	[0xe5] = { cmd_check_power, 0 },
	[0xe6] = { cmd_standby, 0 },
	[0xe7] = { cmd_flush, 0 },
	[0xea] = { cmd_flush, F_EXT },
	[0xec] = { cmd_identify, 0 },
	[0xef] = { cmd_set_features, 0 },
	[0xf8] = { cmd_native_max, 0 },
};

static void disk_command(struct ata_unit *u, uint8_t command)
{
	const struct ata_command *c = &commands[command];

	if (c->run)
		c->run(u, c->flags);
	else
		ata_fail(u, ATA_ABRT);
}

/* ---- ends ---- */

static void disk_received(struct ata_unit *u)
{
	trim_next(u);
}

static bool reads_to_host(uint8_t command)
{
	const struct ata_command *c = &commands[command];

	return (c->run == cmd_read && !(c->flags & F_DMA)) || c->run == cmd_identify ||
	       c->run == cmd_smart;
}

static void disk_done(struct ata_unit *u)
{
	const struct ata_command *c = &commands[u->command];

	if (c->run == cmd_write && u->fua) {
		u->fua = 0;
		ata_flush(u);
	} else if (c->run == cmd_data_set) {
		trim_next(u);
	} else if (reads_to_host(u->command)) {
		/* PIO data-in ends with the last block, which had its interrupt. */
		u->status = ATA_DRDY | ATA_DSC;
	} else {
		ata_end(u);
	}
}

static void disk_failed(struct ata_unit *u, uint32_t error)
{
	const struct ata_command *c = &commands[u->command];

	sector_put(u, u->offset / ATA_SECTOR, c->flags);
	if (c->run == cmd_read) {
		ata_fail(u, ATA_UNC);
		return;
	}
	ata_fail(u, ATA_ABRT);
	u->status |= ATA_DF;
}

static const struct ata_kind disk = {
	.signature = { 0x00, 0x00 },
	.idle_status = ATA_DRDY | ATA_DSC,
	.command = disk_command,
	.received = disk_received,
	.done = disk_done,
	.failed = disk_failed,
};

/* ---- the device ---- */

static void disk_reset(struct device *dev)
{
	struct ata_unit *u = (struct ata_unit *)dev;

	ata_reset_begin(u, true);
	ata_reset_end(u);
}

static int disk_realize(struct device *dev, struct error *err)
{
	struct ata_unit *u = (struct ata_unit *)dev;
	const struct drive_info *info = drive_info(dev, u->drive);

	if (!info || info->cdrom || info->len < ATA_SECTOR)
		return error_set(err, EINVAL, "%s: %s%s", dev->id,
			!info ? "there is no such drive" : info->id,
			!info	      ? ": expected drive="
			: info->cdrom ? " is a CD-ROM: expected a disk"
				      : " is empty: a disk has at least one sector");
	if (!u->model)
		u->model = "DEJAVM HARDDISK";
	return ata_realize(u, &disk, err);
}

const struct device_class ide_hd_class = {
	.name = "ide-hd",
	.desc = "ATA disk on the IDE controller",
	.instance_size = sizeof(struct ata_unit),
	.props = ata_props,
	.fields = ata_fields,
	.user_creatable = true,
	.realize = disk_realize,
	.reset = disk_reset,
	.loaded = ata_loaded,
	.blk_done = ata_blk_done,
};
