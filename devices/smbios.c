/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS 2.8 structures and entry point: DMTF System Management BIOS Reference Specification
 * (DSP0134 2.8.0), clauses 5.2.1 and 7. Everything that the PC cannot know is "unknown".
 */
#include "smbios.h"
#include <string.h>
#include "bytes.h"
#include "log.h"

#define HANDLE_MEMORY 0x1000
#define HANDLE_NONE   0xfffe
#define MIB	      (UINT64_C(1) << 20)

/* The next structure: type, length of its formatted part. Its bytes from the header on, zeroed. */
static uint8_t *structure(struct smbios *s, uint8_t type, uint8_t len, uint16_t handle)
{
	uint8_t *p = s->data + s->len;

	must(s->len + len <= SMBIOS_TABLES_MAX);
	memset(p, 0, len);
	p[0] = type;
	p[1] = len;
	put_le16(p + 2, handle);
	s->len += len;
	return p;
}

/* Its strings, numbered from 1, and the end of the structure that began at p. */
static void strings(struct smbios *s, const uint8_t *p, const char *const *list, unsigned n)
{
	unsigned len;

	for (unsigned i = 0; i < n; i++) {
		size_t k = strlen(list[i]) + 1;

		must(s->len + k <= SMBIOS_TABLES_MAX);
		memcpy(s->data + s->len, list[i], k);
		s->len += (uint32_t)k;
	}
	must(s->len + 2 <= SMBIOS_TABLES_MAX);
	s->data[s->len++] = 0;
	if (n == 0)
		s->data[s->len++] = 0;
	len = (unsigned)(s->data + s->len - p);
	if (len > s->longest)
		s->longest = len;
	s->n++;
}

static void firmware(struct smbios *s)
{
	static const char *const text[] = { "dejavm", DEJAVM_VERSION, "01/01/2026" };
	uint8_t *p = structure(s, 0, 0x18, 0x0000);

	p[0x04] = 1;
	p[0x05] = 2;
	put_le16(p + 0x06, 0xf000);
	p[0x08] = 3;
	p[0x0a] = 0x08; /* characteristics are not told */
	p[0x13] = 0x14; /* a virtual machine */
	p[0x16] = p[0x17] = 0xff;
	strings(s, p, text, 3);
}

static void system_and_chassis(struct smbios *s)
{
	static const char *const system[] = { "dejavm", "dejavm PC", DEJAVM_VERSION },
				 *const chassis[] = { "dejavm" };
	uint8_t *p = structure(s, 1, 0x1b, 0x0100);

	p[0x04] = 1;
	p[0x05] = 2;
	p[0x06] = 3;
	p[0x18] = 6; /* started by the power switch */
	strings(s, p, system, 3);
	p = structure(s, 3, 0x0d, 0x0300);
	p[0x04] = 1;
	p[0x05] = 1; /* of another kind */
	p[0x09] = p[0x0a] = p[0x0b] = 3;
	p[0x0c] = 2;
	strings(s, p, chassis, 1);
}

static void processor(struct smbios *s)
{
	static const char *const text[] = { "CPU 0", "dejavm" };
	uint8_t *p = structure(s, 4, 0x1a, 0x0400);

	p[0x04] = 1;
	p[0x05] = 3; /* central */
	p[0x06] = 2;
	p[0x07] = 2;
	p[0x18] = 0x41; /* there, enabled */
	p[0x19] = 1;
	strings(s, p, text, 2);
}

static void memory(struct smbios *s, uint64_t ram_bytes)
{
	static const char *const text[] = { "DIMM 0" };
	uint32_t kib = (uint32_t)(ram_bytes >> 10);
	uint8_t *p = structure(s, 16, 0x0f, HANDLE_MEMORY);

	p[0x04] = 1;
	p[0x05] = 3; /* main memory */
	p[0x06] = 3; /* no error correction */
	put_le32(p + 0x07, kib);
	put_le16(p + 0x0b, HANDLE_NONE);
	put_le16(p + 0x0d, 1);
	strings(s, p, NULL, 0);
	p = structure(s, 17, 0x15, 0x1100);
	put_le16(p + 0x04, HANDLE_MEMORY);
	put_le16(p + 0x06, HANDLE_NONE);
	put_le16(p + 0x08, 64);
	put_le16(p + 0x0a, 64);
	/* whole MiB, or KiB as far as those go */
	if (ram_bytes % MIB && kib < 0x8000)
		put_le16(p + 0x0c, (uint16_t)(0x8000 | kib));
	else
		put_le16(p + 0x0c, (uint16_t)(ram_bytes / MIB));
	p[0x0e] = 9;
	p[0x10] = 1;
	p[0x12] = 7;
	put_le16(p + 0x13, 0x0002);
	strings(s, p, text, 1);
	p = structure(s, 19, 0x0f, 0x1300);
	put_le32(p + 0x08, kib - 1);
	put_le16(p + 0x0c, HANDLE_MEMORY);
	p[0x0e] = 1;
	strings(s, p, NULL, 0);
}

static uint8_t complement(const uint8_t *p, unsigned len)
{
	unsigned sum = 0;

	while (len--)
		sum += *p++;
	return (uint8_t)-sum;
}

void smbios_link(struct smbios *s, uint32_t gpa)
{
	uint8_t *a = s->anchor;

	memset(a, 0, SMBIOS_ANCHOR_LEN);
	memcpy(a, "_SM_", 4);
	a[0x05] = SMBIOS_ANCHOR_LEN;
	a[0x06] = 2;
	a[0x07] = 8;
	put_le16(a + 0x08, (uint16_t)s->longest);
	memcpy(a + 0x10, "_DMI_", 5);
	put_le16(a + 0x16, (uint16_t)s->len);
	put_le32(a + 0x18, gpa);
	put_le16(a + 0x1c, (uint16_t)s->n);
	a[0x1e] = 0x28;
	a[0x15] = complement(a + 0x10, 15);
	a[0x04] = complement(a, SMBIOS_ANCHOR_LEN);
}

void smbios_build(struct smbios *s, uint64_t ram_bytes)
{
	uint8_t *p;

	memset(s, 0, sizeof(*s));
	firmware(s);
	system_and_chassis(s);
	processor(s);
	memory(s, ram_bytes);
	p = structure(s, 32, 0x0b, 0x2000); /* boot status: no errors */
	strings(s, p, NULL, 0);
	p = structure(s, 127, 4, 0x7f00);
	strings(s, p, NULL, 0);
	smbios_link(s, 0);
}
