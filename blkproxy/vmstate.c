/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmstate.h. All integers little-endian:
 *
 *	0	"DJVMSNAP"
 *	8	u32 version, u32 number of sections
 *	16	u64 bytes in all
 *	24	u32 pages of RAM, u32 CRC-32 of header and table (this field 0)
 *	32	sections: name[16], u64 offset, u64 length, u32 CRC-32, u32 0
 *	65536	data
 */
#include "vmstate.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC	   "DJVMSNAP"
#define TABLE_OFF  32u
#define ENTRY_LEN  40u
#define HEADER_LEN (TABLE_OFF + VMSTATE_SECTIONS_MAX * ENTRY_LEN)
#define DATA_OFF   65536u
#define STAGE_LEN  (1u << 20)
#define READ_LEN   (4u << 20)
#define RAM_INDEX  "ram.index"
#define RAM_DATA   "ram.data"

struct header {
	uint32_t n;
	uint64_t len;
	uint32_t npages;
	struct vmstate_section v[VMSTATE_SECTIONS_MAX];
};

static void put(uint8_t *p, unsigned n, uint64_t v)
{
	for (unsigned b = 0; b < n; b++)
		p[b] = (uint8_t)(v >> 8 * b);
}

static uint64_t get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned b = 0; b < n; b++)
		v |= (uint64_t)p[b] << 8 * b;
	return v;
}

/* ---- writing ---- */

/* Bytes on their way, so that the image gets large aligned writes. */
struct stage {
	const struct vmstate_io *io;
	struct error *err;
	uint64_t off;
	size_t len;
	uint8_t *buf;
};

static int stage_flush(struct stage *s)
{
	int r = s->len ? s->io->write(s->io->opaque, s->off, s->buf, s->len, s->err) : 0;

	s->off += s->len;
	s->len = 0;
	return r;
}

static int stage_put(void *opaque, const uint8_t *data, size_t len)
{
	struct stage *s = opaque;
	int r = 0;

	while (len && r == 0) {
		size_t room = STAGE_LEN - (size_t)((s->off + s->len) % STAGE_LEN);
		size_t n = len < room ? len : room;

		memcpy(s->buf + s->len, data, n);
		s->len += n;
		data += n;
		len -= n;
		if (n == room)
			r = stage_flush(s);
	}
	return r;
}

static void section_add(
	struct header *h, const char *name, uint64_t off, uint64_t len, uint32_t crc)
{
	struct vmstate_section *s = &h->v[h->n++];

	strncpy(s->name, name, VMSTATE_NAME_LEN);
	s->off = off;
	s->len = len;
	s->crc = crc;
}

static int part_write(
	struct stage *s, struct header *h, const char *name, const uint8_t *data, size_t len)
{
	section_add(h, name, s->off + s->len, len, libdeflate_crc32(0, data, len));
	return stage_put(s, data, len);
}

static int ram_write(
	struct stage *s, struct header *h, struct ram_codec *codec, const struct vmstate_ram *ram)
{
	uint64_t off = s->off + s->len;
	struct ram_index ix;
	uint8_t *buf;
	int r = ram_encode(codec, ram->mem, ram->npages, ram->fd, stage_put, s, &ix, s->err);

	if (r < 0)
		return r;
	section_add(h, RAM_DATA, off, ix.data_len, 0);
	buf = malloc(ix.n * RAM_BLOCK_ENTRY_LEN + 1);
	if (!buf) {
		ram_index_free(&ix);
		return error_set(s->err, ENOMEM, "no memory for the index of RAM");
	}
	ram_index_encode(&ix, buf);
	r = part_write(s, h, RAM_INDEX, buf, ix.n * RAM_BLOCK_ENTRY_LEN);
	free(buf);
	ram_index_free(&ix);
	return r;
}

static int header_write(const struct vmstate_io *io, const struct header *h, struct error *err)
{
	uint8_t buf[HEADER_LEN] = MAGIC;

	put(buf + 8, 4, VMSTATE_VERSION);
	put(buf + 12, 4, h->n);
	put(buf + 16, 8, h->len);
	put(buf + 24, 4, h->npages);
	for (uint32_t i = 0; i < h->n; i++) {
		uint8_t *e = buf + TABLE_OFF + i * ENTRY_LEN;

		memcpy(e, h->v[i].name, VMSTATE_NAME_LEN);
		put(e + 16, 8, h->v[i].off);
		put(e + 24, 8, h->v[i].len);
		put(e + 32, 4, h->v[i].crc);
	}
	put(buf + 28, 4, libdeflate_crc32(0, buf, sizeof(buf)));
	return io->write(io->opaque, 0, buf, sizeof(buf), err);
}

int vmstate_write(const struct vmstate_io *io, struct ram_codec *codec,
	const struct vmstate_ram *ram, const struct vmstate_part *parts, size_t n_parts,
	uint64_t *ret_len, struct error *err)
{
	struct stage s = { .io = io, .err = err, .off = DATA_OFF, .buf = malloc(STAGE_LEN) };
	struct header h = { .npages = ram->npages };
	int r;

	if (!s.buf || n_parts + 2 > VMSTATE_SECTIONS_MAX) {
		free(s.buf);
		return error_set(
			err, ENOMEM, "no memory to write a snapshot of %zu parts", n_parts);
	}
	r = ram_write(&s, &h, codec, ram);
	for (size_t i = 0; i < n_parts && r == 0; i++)
		r = part_write(&s, &h, parts[i].name, parts[i].data, parts[i].len);
	if (r == 0)
		r = stage_flush(&s);
	h.len = s.off;
	free(s.buf);
	if (r == 0)
		r = header_write(io, &h, err);
	if (r == 0)
		*ret_len = h.len;
	return r;
}

/* ---- reading ---- */

static int header_read(
	struct header *h, const struct vmstate_io *io, uint64_t len, struct error *err)
{
	uint8_t buf[HEADER_LEN];
	uint32_t crc;
	int r;

	if (len < DATA_OFF)
		return error_set(err, EINVAL, "a VM state of %llu bytes: expected %u or more",
			(unsigned long long)len, DATA_OFF);
	r = io->read(io->opaque, 0, buf, sizeof(buf), err);
	if (r < 0)
		return r;
	if (memcmp(buf, MAGIC, 8))
		return error_set(
			err, EINVAL, "the VM state is not dejavm's (another program's snapshot)");
	if (get(buf + 8, 4) != VMSTATE_VERSION)
		return error_set(err, EINVAL, "VM state of version %u: expected %d",
			(unsigned)get(buf + 8, 4), VMSTATE_VERSION);
	crc = (uint32_t)get(buf + 28, 4);
	put(buf + 28, 4, 0);
	if (libdeflate_crc32(0, buf, sizeof(buf)) != crc)
		return error_set(err, EINVAL, "the CRC of the VM state's header is wrong");
	h->n = (uint32_t)get(buf + 12, 4);
	h->len = get(buf + 16, 8);
	h->npages = (uint32_t)get(buf + 24, 4);
	if (h->n > VMSTATE_SECTIONS_MAX || h->len > len)
		return error_set(err, EINVAL,
			"a VM state of %u sections in %llu bytes: expected at most %u, in %llu",
			h->n, (unsigned long long)h->len, VMSTATE_SECTIONS_MAX,
			(unsigned long long)len);
	for (uint32_t i = 0; i < h->n; i++) {
		const uint8_t *e = buf + TABLE_OFF + i * ENTRY_LEN;
		struct vmstate_section *s = &h->v[i];

		memcpy(s->name, e, VMSTATE_NAME_LEN);
		s->name[VMSTATE_NAME_LEN] = '\0';
		s->off = get(e + 16, 8);
		s->len = get(e + 24, 8);
		s->crc = (uint32_t)get(e + 32, 4);
		if (s->off < DATA_OFF || s->off > h->len || s->len > h->len - s->off)
			return error_set(err, EINVAL,
				"section %u of the VM state: %llu bytes at %llu: expected them "
				"within %u to %llu",
				i, (unsigned long long)s->len, (unsigned long long)s->off, DATA_OFF,
				(unsigned long long)h->len);
	}
	return 0;
}

static const struct vmstate_section *section_find(const struct header *h, const char *name)
{
	for (uint32_t i = 0; i < h->n; i++)
		if (!strcmp(h->v[i].name, name))
			return &h->v[i];
	return NULL;
}

static uint8_t *section_read(
	const struct vmstate_io *io, const struct vmstate_section *s, struct error *err)
{
	uint8_t *p = malloc(s->len + 1);

	if (!p) {
		error_set(err, ENOMEM, "no memory for %llu bytes of a snapshot",
			(unsigned long long)s->len);
		return NULL;
	}
	for (uint64_t at = 0; at < s->len; at += READ_LEN) {
		size_t n = s->len - at < READ_LEN ? (size_t)(s->len - at) : READ_LEN;

		if (io->read(io->opaque, s->off + at, p + at, n, err) < 0) {
			free(p);
			return NULL;
		}
	}
	return p;
}

/* A section with a CRC of its own. */
static uint8_t *part_read(const struct vmstate_io *io, const struct vmstate_section *s,
	uint64_t max, struct error *err)
{
	uint8_t *p;

	if (s->len > max) {
		error_set(err, EINVAL, "section '%s' of the VM state has %llu bytes: at most %llu",
			s->name, (unsigned long long)s->len, (unsigned long long)max);
		return NULL;
	}
	p = section_read(io, s, err);
	if (p && libdeflate_crc32(0, p, s->len) != s->crc) {
		error_set(err, EINVAL, "the CRC of section '%s' of the VM state is wrong", s->name);
		free(p);
		return NULL;
	}
	return p;
}

static bool is_ram(const struct vmstate_section *s)
{
	return !strcmp(s->name, RAM_INDEX) || !strcmp(s->name, RAM_DATA);
}

static int parts_read(
	struct vmstate *v, const struct header *h, const struct vmstate_io *io, struct error *err)
{
	for (uint32_t i = 0; i < h->n; i++) {
		const struct vmstate_section *s = &h->v[i];

		if (is_ram(s))
			continue;
		memcpy(v->part[v->n_parts].name, s->name, sizeof(s->name));
		v->part[v->n_parts].len = (size_t)s->len;
		v->part[v->n_parts].data = part_read(io, s, VMSTATE_PART_MAX, err);
		if (!v->part[v->n_parts++].data)
			return -EINVAL;
	}
	return 0;
}

int vmstate_read(struct vmstate *v, const struct vmstate_io *io, uint64_t len, struct error *err)
{
	const struct vmstate_section *ix, *data;
	struct header h = { 0 };
	int r = header_read(&h, io, len, err);

	*v = (struct vmstate){ .npages = h.npages };
	if (r < 0)
		return r;
	ix = section_find(&h, RAM_INDEX);
	data = section_find(&h, RAM_DATA);
	if (!ix || !data)
		return error_set(err, EINVAL, "the VM state has no RAM");
	v->index = *ix;
	v->data = *data;
	return parts_read(v, &h, io, err);
}

int vmstate_read_ram(struct vmstate *v, const struct vmstate_io *io, struct ram_codec *codec,
	uint32_t npages, struct error *err)
{
	uint8_t *buf;
	int r;

	if (v->npages != npages)
		return error_set(err, EINVAL,
			"%u pages of RAM and video memory: this machine has %u", v->npages, npages);
	buf = part_read(io, &v->index, (uint64_t)npages * RAM_BLOCK_ENTRY_LEN, err);
	if (!buf)
		return -EINVAL;
	r = ram_index_decode(&v->blocks, buf, v->index.len, npages, v->data.len, err);
	free(buf);
	if (r < 0)
		return r;
	v->ram_data = section_read(io, &v->data, err);
	return v->ram_data ? ram_verify(codec, &v->blocks, v->ram_data, err) : -EINVAL;
}

void vmstate_done(struct vmstate *v)
{
	ram_index_free(&v->blocks);
	free(v->ram_data);
	for (size_t i = 0; i < v->n_parts; i++)
		free(v->part[i].data);
	*v = (struct vmstate){ 0 };
}

const uint8_t *vmstate_part(const struct vmstate *v, const char *name, size_t *ret_len)
{
	for (size_t i = 0; i < v->n_parts; i++) {
		if (strcmp(v->part[i].name, name))
			continue;
		*ret_len = v->part[i].len;
		return v->part[i].data;
	}
	return NULL;
}
