/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What disks and CD-ROM drives say of themselves: IDENTIFY DEVICE (ATA/ATAPI-7 volume 1, 6.16),
 * IDENTIFY PACKET DEVICE (6.17), SMART READ DATA (6.54.6). Words that are not set are 0.
 */
#include <stdio.h>
#include <string.h>
#include "ata.h"
#include "bytes.h"

#define LBA28_MAX 0x0fffffffu

static void word(struct ata_unit *u, unsigned n, unsigned v)
{
	put_le16(u->buf + 2 * n, (uint16_t)v);
}

/* Words n to n + words - 1: text, the first character in a word's higher byte, padded with
 * spaces. */
static void text(struct ata_unit *u, unsigned n, unsigned words, const char *s)
{
	size_t len = strlen(s);

	for (unsigned i = 0; i < 2 * words; i++)
		u->buf[2 * n + (i ^ 1)] = i < len ? (uint8_t)s[i] : ' ';
}

static void names(struct ata_unit *u)
{
	char serial[21] = "DV00001";

	serial[6] = (char)('1' + 2 * u->ch->n + u->unit);
	text(u, 10, 10, u->serial ? u->serial : serial);
	text(u, 23, 4, u->ver ? u->ver : "1.0");
	text(u, 27, 20, u->model);
}

/* Result of the reset: which of two units this is, and who else is there. */
static unsigned reset_result(const struct ata_unit *u)
{
	if (u->unit == 1)
		return 0x4b00 | 0x2000;
	return 0x400b | 0x2000 | (ata_other(u) ? 0x30 : 0x40);
}

/* Words 63-68, 88, 93: transfer modes; those that SET FEATURES chose are marked. */
static void modes(struct ata_unit *u)
{
	unsigned m = u->xfer_mode;

	word(u, 53, 0x0007);
	word(u, 63, 0x0007 | ((m & 0xf8) == 0x20 ? 0x100u << (m & 7) : 0));
	word(u, 64, 0x0003);
	for (unsigned i = 65; i <= 68; i++)
		word(u, i, 120);
	word(u, 88, 0x003f | ((m & 0xf8) == 0x40 ? 0x100u << (m & 7) : 0));
	word(u, 93, reset_result(u));
}

static void checksum(struct ata_unit *u)
{
	uint8_t sum = 0;

	u->buf[510] = 0xa5;
	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + u->buf[i]);
	u->buf[511] = (uint8_t)-sum;
}

uint32_t ata_cylinders(const struct ata_unit *u)
{
	uint64_t n = u->medium->len / ATA_SECTOR / (ATA_HEADS * ATA_SECTORS);

	return n > 16383 ? 16383 : n < 1 ? 1 : (uint32_t)n;
}

static void chs(struct ata_unit *u)
{
	uint64_t all = u->medium->len / ATA_SECTOR;
	uint64_t cylinders = all / ((uint64_t)u->heads * u->sectors);
	uint32_t now = cylinders > 65535 ? 65535 : (uint32_t)cylinders;

	word(u, 1, ata_cylinders(u));
	word(u, 3, ATA_HEADS);
	word(u, 6, ATA_SECTORS);
	word(u, 54, now);
	word(u, 55, u->heads);
	word(u, 56, u->sectors);
	put_le32(u->buf + 2 * 57, now * u->heads * u->sectors);
}

void ata_identify_disk(struct ata_unit *u)
{
	uint64_t all = u->medium->len / ATA_SECTOR;
	unsigned enabled = 0x4008 | (u->smart ? 0x01 : 0) | (u->write_cache ? 0x20 : 0) |
			   (u->look_ahead ? 0x40 : 0);

	memset(u->buf, 0, ATA_SECTOR);
	word(u, 0, 0x0040);
	chs(u);
	names(u);
	word(u, 47, 0x8010);
	word(u, 48, 0x0001);
	word(u, 49, 0x0f00);
	word(u, 50, 0x4000);
	word(u, 51, 0x0200);
	modes(u);
	word(u, 59, u->multiple ? 0x0100u | u->multiple : 0);
	put_le32(u->buf + 2 * 60, all > LBA28_MAX ? LBA28_MAX : (uint32_t)all);
	word(u, 69, u->medium->readonly ? 0 : 0x4020); /* trimmed sectors read as zeroes */
	word(u, 80, 0x00f0);
	word(u, 82, 0x4069); /* SMART, power management, write cache, look-ahead, NOP */
	word(u, 83, 0x7400); /* LBA48, both FLUSH CACHE */
	word(u, 84, 0x4040); /* FUA */
	word(u, 85, enabled);
	word(u, 86, 0x3400);
	word(u, 87, 0x4040);
	put_le64(u->buf + 2 * 100, all);
	word(u, 105, ATA_BUF_LEN / ATA_SECTOR);
	word(u, 106, 0x4000);
	word(u, 169, u->medium->readonly ? 0 : 1);
	word(u, 217, 1); /* nothing rotates */
	checksum(u);
}

void ata_identify_packet(struct ata_unit *u)
{
	memset(u->buf, 0, ATA_SECTOR);
	word(u, 0, 0x85c0); /* CD-ROM, removable, 12-byte packets, DRQ at once */
	names(u);
	word(u, 48, 0x0001);
	word(u, 49, 0x0f00);
	word(u, 50, 0x4000);
	modes(u);
	word(u, 71, 30);
	word(u, 72, 30);
	word(u, 80, 0x00f0);
	word(u, 82, 0x4210); /* NOP, DEVICE RESET, PACKET */
	word(u, 83, 0x4000);
	word(u, 84, 0x4000);
	word(u, 85, 0x4210);
	word(u, 87, 0x4000);
	checksum(u);
}

void ata_smart_data(struct ata_unit *u)
{
	uint8_t sum = 0;

	memset(u->buf, 0, ATA_SECTOR);
	u->buf[0] = 0x10;   /* revision of the structure; no attributes */
	u->buf[362] = 0x00; /* no off-line collection */
	u->buf[368] = 0x02; /* capability: saves on power down */
	for (unsigned i = 0; i < ATA_SECTOR - 1; i++)
		sum = (uint8_t)(sum + u->buf[i]);
	u->buf[ATA_SECTOR - 1] = (uint8_t)-sum;
}
