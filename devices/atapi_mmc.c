/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a CD-ROM drive does with a packet: SCSI Primary Commands (SPC-3), Multi-Media Commands
 * (MMC-4). One data track of 2048-byte blocks; no audio.
 *
 * A unit attention (power-on, new medium) fails the first command that is not marked ANY; a command
 * that needs a medium without one is NOT READY. Allocation lengths cut answers off.
 */
#include <string.h>
#include "ata.h"
#include "bytes.h"

#define CD_BLOCK    2048
#define DVD_BLOCKS  (900u * 512) /* more than a CD holds: it is a DVD */
#define PROFILE_CD  0x0008
#define PROFILE_DVD 0x0010
#define FRAMES	    75
#define LEADIN	    150 /* blocks before the first, in minutes, seconds and frames */
#define LEADOUT	    0xaa

#define NOT_READY	    2
#define ILLEGAL		    5
#define ATTENTION	    6
#define ASC_OPCODE	    0x20
#define ASC_RANGE	    0x21
#define ASC_FIELD	    0x24
#define ASC_NEW_MEDIUM	    0x28
#define ASC_SAVING	    0x39
#define ASC_NO_MEDIUM	    0x3a
#define ASC_LOCKED	    0x53
#define NO_MEDIUM_TRAY_OPEN 2

enum { EVENT_NONE, EVENT_EJECT, EVENT_NEW, EVENT_REMOVAL };

enum {
	F_MEDIUM = 1, /* needs a medium */
	F_ANY = 2,    /* runs in spite of a unit attention */
};

struct packet_command {
	void (*run)(struct ata_unit *u, const uint8_t *p);
	unsigned flags;
};

/* ---- pieces ---- */

static bool medium_in(const struct ata_unit *u)
{
	return u->medium && !u->tray_open;
}

static uint32_t blocks_of(const struct ata_unit *u)
{
	uint64_t n = u->medium ? u->medium->len / CD_BLOCK : 0;

	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static bool is_dvd(const struct ata_unit *u)
{
	return blocks_of(u) > DVD_BLOCKS;
}

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static void no_medium(struct ata_unit *u)
{
	atapi_check(u, NOT_READY, ASC_NO_MEDIUM, u->tray_open ? NO_MEDIUM_TRAY_OPEN : 1);
}

static void bad_field(struct ata_unit *u)
{
	atapi_check(u, ILLEGAL, ASC_FIELD, 0);
}

static uint8_t *answer(struct ata_unit *u, uint32_t len)
{
	memset(u->buf, 0, len);
	return u->buf;
}

/* A block's address as it is asked for: number, or minute, second and frame. */
static void address_put(uint8_t *p, uint32_t lba, bool msf)
{
	if (!msf) {
		put_be32(p, lba);
		return;
	}
	lba += LEADIN;
	p[0] = 0;
	p[1] = (uint8_t)(lba / FRAMES / 60);
	p[2] = (uint8_t)(lba / FRAMES % 60);
	p[3] = (uint8_t)(lba % FRAMES);
}

/* ---- the drive ---- */

static void test_unit_ready(struct ata_unit *u, const uint8_t *p)
{
	atapi_good(u);
}

static void request_sense(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 18);

	a[0] = 0x70;
	a[7] = 10;
	if (u->attention && !u->sense_key) {
		a[2] = ATTENTION;
		a[12] = u->attention;
		u->attention = 0;
	} else {
		a[2] = u->sense_key;
		a[12] = u->asc;
		a[13] = u->ascq;
	}
	u->sense_key = u->asc = u->ascq = 0;
	atapi_reply(u, 18, p[4]);
}

static void pad(uint8_t *to, unsigned len, const char *s)
{
	size_t n = strlen(s);

	for (unsigned i = 0; i < len; i++)
		to[i] = i < n ? (uint8_t)s[i] : ' ';
}

static void inquiry(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 36);

	if ((p[1] & 1) || p[2]) {
		bad_field(u);
		return;
	}
	a[0] = 0x05; /* CD/DVD */
	a[1] = 0x80; /* removable */
	a[3] = 0x21; /* ATAPI, this format */
	a[4] = 31;
	pad(a + 8, 8, "DEJAVM");
	pad(a + 16, 16, u->model);
	pad(a + 32, 4, u->ver ? u->ver : "1.0");
	atapi_reply(u, 36, be16(p + 3));
}

static void start_stop(struct ata_unit *u, const uint8_t *p)
{
	bool start = p[4] & 1, load = p[4] & 2;

	if (load && !start) {
		if (u->tray_locked && !u->tray_open) {
			atapi_check(u, ILLEGAL, ASC_LOCKED, 2);
			return;
		}
		u->tray_open = 1;
		u->media_event = EVENT_REMOVAL;
	} else if (load && u->tray_open) {
		u->tray_open = 0;
		if (u->medium) {
			u->media_event = EVENT_NEW;
			u->attention = ASC_NEW_MEDIUM;
		}
	}
	atapi_good(u);
}

static void prevent_allow(struct ata_unit *u, const uint8_t *p)
{
	u->tray_locked = p[4] & 1;
	atapi_good(u);
}

static void mechanism_status(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 8);

	a[1] = u->tray_open ? 0x10 : 0;
	a[5] = 1; /* one slot, without a table */
	atapi_reply(u, 8, be16(p + 8));
}

static void event_status(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 8);
	uint32_t len = 8;

	if (!(p[1] & 1)) { /* waits for an event, which we cannot */
		bad_field(u);
		return;
	}
	a[3] = 0x10; /* of the classes there is media */
	if (p[4] & 0x10) {
		a[2] = 0x04;
		a[4] = u->media_event;
		a[5] = (uint8_t)((medium_in(u) ? 2 : 0) | (u->tray_open ? 1 : 0));
		u->media_event = EVENT_NONE;
	} else {
		a[2] = 0x80; /* none of those asked for */
		len = 4;
	}
	put_be16(a, (uint16_t)(len - 2));
	atapi_reply(u, len, be16(p + 7));
}

/* ---- MODE SENSE ---- */

static const uint8_t page_error[] = { 0x01, 0x0a, 0x80, 0x05, 0, 0, 0, 0, 0, 0, 0, 0 };
static const uint8_t page_audio[] = { 0x0e, 0x0e, 0x04, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0 };
static const uint8_t page_caps[] = {
	0x2a,
	0x14, /* 20 bytes follow */
	0x3b, /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
	0x00,
	0x70, /* mode 2 forms, multisession */
	0x00,
	0x29, /* a tray that can be locked and ejected */
	0x00,
	0x02,
	0xc2, /* 4x */
	0x00,
	0x00,
	0x02,
	0x00, /* 512 KiB buffer */
	0x02,
	0xc2,
	0,
	0,
	0,
	0,
	0,
	0,
};

static const struct {
	const uint8_t *bytes;
	uint8_t len;
} pages[] = {
	{ page_error, sizeof(page_error) },
	{ page_audio, sizeof(page_audio) },
	{ page_caps, sizeof(page_caps) },
};

static void mode_sense(struct ata_unit *u, const uint8_t *p)
{
	unsigned code = p[2] & 0x3f, control = p[2] >> 6;
	uint8_t *a = answer(u, 128);
	uint32_t len = 8;

	if (control == 3) {
		atapi_check(u, ILLEGAL, ASC_SAVING, 0);
		return;
	}
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (code != 0x3f && code != pages[i].bytes[0])
			continue;
		memcpy(a + len, pages[i].bytes, pages[i].len);
		if (control == 1) /* what may be changed: nothing */
			memset(a + len + 2, 0, pages[i].len - 2u);
		else if (pages[i].bytes == page_caps && u->tray_locked)
			a[len + 6] |= 0x02;
		len += pages[i].len;
	}
	if (len == 8) {
		bad_field(u);
		return;
	}
	put_be16(a, (uint16_t)(len - 2));
	a[2] = medium_in(u) ? 0x01 : 0x70;
	atapi_reply(u, len, be16(p + 7));
}

/* ---- features ---- */

static uint8_t *feature_put(uint8_t *to, unsigned code, unsigned flags, unsigned len)
{
	put_be16(to, (uint16_t)code);
	to[2] = (uint8_t)flags; /* version, persistent, current */
	to[3] = (uint8_t)len;
	return to + 4;
}

static uint8_t *features_put(const struct ata_unit *u, uint8_t *a, unsigned from, bool one)
{
	unsigned cd = medium_in(u) && !is_dvd(u), dvd = medium_in(u) && is_dvd(u);
	unsigned in = medium_in(u);

#define WANTED(code) (one ? from == (code) : from <= (code))
	if (WANTED(0x00)) {
		a = feature_put(a, 0x00, 0x03, 8);
		put_be32(a, PROFILE_DVD << 16 | dvd << 8);
		put_be32(a + 4, PROFILE_CD << 16 | cd << 8);
		a += 8;
	}
	if (WANTED(0x01)) {
		a = feature_put(a, 0x01, 0x0b, 8);
		put_be32(a, 2); /* ATAPI */
		a[4] = 1;
		a += 8;
	}
	if (WANTED(0x03)) {
		a = feature_put(a, 0x03, 0x03, 4);
		a[0] = 0x29;
		a += 4;
	}
	if (WANTED(0x10)) {
		a = feature_put(a, 0x10, in, 8);
		put_be32(a, CD_BLOCK);
		a[5] = 1;
		a += 8;
	}
	if (WANTED(0x1e))
		a = feature_put(a, 0x1e, 0x08 | cd, 4) + 4;
	if (WANTED(0x1f))
		a = feature_put(a, 0x1f, dvd, 4) + 4;
#undef WANTED
	return a;
}

static void get_configuration(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 128);
	unsigned rt = p[1] & 3;
	uint32_t len;

	if (rt == 3) {
		bad_field(u);
		return;
	}
	len = (uint32_t)(features_put(u, a + 8, be16(p + 2), rt == 2) - a);
	put_be32(a, len - 4);
	if (medium_in(u))
		put_be16(a + 6, is_dvd(u) ? PROFILE_DVD : PROFILE_CD);
	atapi_reply(u, len, be16(p + 7));
}

/* ---- the medium ---- */

static void read_capacity(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 8);

	put_be32(a, blocks_of(u) - 1);
	put_be32(a + 4, CD_BLOCK);
	atapi_reply(u, 8, 8);
}

static void read_range(struct ata_unit *u, uint32_t lba, uint32_t n)
{
	uint32_t all = blocks_of(u);

	if (lba > all || n > all - lba || (n == 0 && lba == all && all != 0))
		atapi_check(u, ILLEGAL, ASC_RANGE, 0);
	else
		atapi_read_blocks(u, lba, n);
}

static void read_10(struct ata_unit *u, const uint8_t *p)
{
	read_range(u, get_be32(p + 2), be16(p + 7));
}

static void read_12(struct ata_unit *u, const uint8_t *p)
{
	read_range(u, get_be32(p + 2), get_be32(p + 6));
}

/* READ CD: user data of a data track, and nothing but them. */
static void read_cd(struct ata_unit *u, const uint8_t *p)
{
	unsigned type = p[1] >> 2 & 7, parts = p[9] & 0xf8;
	uint32_t n = (uint32_t)p[6] << 16 | be16(p + 7);

	if (n == 0 || parts == 0)
		atapi_good(u);
	else if ((type != 0 && type != 2) || parts != 0x10 || p[10])
		bad_field(u);
	else
		read_range(u, get_be32(p + 2), n);
}

static void seek_10(struct ata_unit *u, const uint8_t *p)
{
	if (get_be32(p + 2) >= blocks_of(u))
		atapi_check(u, ILLEGAL, ASC_RANGE, 0);
	else
		atapi_good(u);
}

static uint8_t *toc_track(uint8_t *a, uint8_t track, uint32_t lba, bool msf)
{
	a[0] = 0;
	a[1] = 0x14; /* a data track */
	a[2] = track;
	a[3] = 0;
	address_put(a + 4, lba, msf);
	return a + 8;
}

/* Points of the full TOC (format 2): first track, last track, lead-out, track 1. */
static uint8_t *toc_full(const struct ata_unit *u, uint8_t *a)
{
	static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };

	for (unsigned i = 0; i < sizeof(points); i++, a += 11) {
		memset(a, 0, 11);
		a[0] = 1; /* session */
		a[1] = 0x14;
		a[3] = points[i];
		if (i < 2)
			a[8] = 1;
		else
			address_put(a + 7, i == 2 ? blocks_of(u) : 0, true);
	}
	return a;
}

static void read_toc(struct ata_unit *u, const uint8_t *p)
{
	unsigned format = p[2] & 15, start = p[6];
	bool msf = p[1] & 2;
	uint8_t *a = answer(u, 64), *end = a + 4;

	if (format == 0) /* older drives have it in the control byte */
		format = p[9] >> 6;
	a[2] = a[3] = 1; /* first and last track, or session */
	switch (format) {
	case 0:
		if (start > 1 && start != LEADOUT) {
			bad_field(u);
			return;
		}
		if (start <= 1)
			end = toc_track(end, 1, 0, msf);
		end = toc_track(end, LEADOUT, blocks_of(u), msf);
		break;
	case 1: end = toc_track(end, 1, 0, msf); break;
	case 2: end = toc_full(u, end); break;
	default: bad_field(u); return;
	}
	put_be16(a, (uint16_t)(end - a - 2));
	atapi_reply(u, (uint32_t)(end - a), be16(p + 7));
}

static void read_disc_info(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 34);

	if (p[1] & 7) {
		bad_field(u);
		return;
	}
	put_be16(a, 32);
	a[2] = 0x0e; /* complete, not erasable */
	a[3] = a[4] = a[5] = a[6] = 1;
	a[7] = 0x20; /* unrestricted use */
	memset(a + 16, 0xff, 8);
	atapi_reply(u, 34, be16(p + 7));
}

static void read_track_info(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 36);

	put_be16(a, 34);
	a[2] = a[3] = 1;
	a[5] = 0x04;
	a[6] = 0x01; /* mode 1 */
	put_be32(a + 24, blocks_of(u));
	atapi_reply(u, 36, be16(p + 7));
}

/* Current position: nothing plays. */
static void read_sub_channel(struct ata_unit *u, const uint8_t *p)
{
	uint8_t *a = answer(u, 16);
	uint32_t len = p[2] & 0x40 ? 16 : 4;

	if (len == 16 && p[3] != 1) {
		bad_field(u);
		return;
	}
	a[1] = 0x15; /* no audio status */
	if (len == 16) {
		a[3] = 12;
		a[4] = 1;
		a[5] = 0x14;
		a[6] = a[7] = 1;
		address_put(a + 8, 0, p[1] & 2);
		address_put(a + 12, 0, p[1] & 2);
	}
	atapi_reply(u, len, be16(p + 7));
}

static void nothing_to_do(struct ata_unit *u, const uint8_t *p)
{
	atapi_good(u);
}

static const struct packet_command commands[256] = {
	[0x00] = { test_unit_ready, F_MEDIUM },
	[0x03] = { request_sense, F_ANY },
	[0x12] = { inquiry, F_ANY },
	[0x1b] = { start_stop, 0 },
	[0x1e] = { prevent_allow, 0 },
	[0x25] = { read_capacity, F_MEDIUM },
	[0x28] = { read_10, F_MEDIUM },
	[0x2b] = { seek_10, F_MEDIUM },
	[0x2f] = { nothing_to_do, F_MEDIUM }, /* VERIFY */
	[0x35] = { nothing_to_do, 0 },	      /* SYNCHRONIZE CACHE */
	[0x42] = { read_sub_channel, F_MEDIUM },
	[0x43] = { read_toc, F_MEDIUM },
	[0x46] = { get_configuration, F_ANY },
	[0x4a] = { event_status, F_ANY },
	[0x51] = { read_disc_info, F_MEDIUM },
	[0x52] = { read_track_info, F_MEDIUM },
	[0x5a] = { mode_sense, 0 },
	[0xa8] = { read_12, F_MEDIUM },
	[0xbb] = { nothing_to_do, 0 }, /* SET CD SPEED */
	[0xbd] = { mechanism_status, 0 },
	[0xbe] = { read_cd, F_MEDIUM },
};

void atapi_execute(struct ata_unit *u)
{
	const struct packet_command *c = &commands[u->packet[0]];
	uint8_t attention = u->attention;

	u->standby = 0;
	if (attention && !(c->flags & F_ANY)) {
		u->attention = 0;
		atapi_check(u, ATTENTION, attention, 0);
	} else if (!c->run) {
		atapi_check(u, ILLEGAL, ASC_OPCODE, 0);
	} else if ((c->flags & F_MEDIUM) && !medium_in(u)) {
		no_medium(u);
	} else {
		c->run(u, u->packet);
	}
}
