/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots of the machine: see machine_state.h. */
#include "machine_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "blk.h"
#include "drive_state.h"
#include "log.h"

/* ---- saving ---- */

static int streams_save(const struct machine *m, Dejavm__DevicesState *ret)
{
	unsigned n = m->cfg.n_streams;

	ret->streams = calloc(n + 1, sizeof(*ret->streams));
	if (!ret->streams)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		Dejavm__StreamState *s = malloc(sizeof(*s));

		if (!s)
			return -ENOMEM;
		dejavm__stream_state__init(s);
		ret->streams[ret->n_streams++] = s;
		s->name = strdup(m->cfg.stream_name[i]);
		s->bytes = m->stream_bytes[i];
		s->credit = m->stream_credit[i];
		if (!s->name)
			return -ENOMEM;
	}
	return 0;
}

/* What is being written must be written again: its bytes are in our half of the drives' buffers. */
static int written_save(const struct machine *m, Dejavm__DevicesState *ret)
{
	struct blk_req rq[BLK_BUFS];
	unsigned n = m->cfg.blkout ? drive_in_flight(m, rq) : 0;

	ret->written = calloc(n + 1, sizeof(*ret->written));
	if (!ret->written)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		Dejavm__WrittenBytes *w;

		if (rq[i].hdr.type != BLK_WRITE)
			continue;
		w = malloc(sizeof(*w));
		if (!w)
			return -ENOMEM;
		dejavm__written_bytes__init(w);
		ret->written[ret->n_written++] = w;
		w->buf = rq[i].buf;
		w->data.len = rq[i].len;
		w->data.data = malloc(rq[i].len);
		if (!w->data.data)
			return -ENOMEM;
		memcpy(w->data.data, m->cfg.blkout + (size_t)rq[i].buf * BLK_BUF_LEN, rq[i].len);
	}
	return 0;
}

int machine_save(const struct machine *m, Dejavm__DevicesState *ret)
{
	ret->version = DEVICES_STATE_VERSION;
	ret->icount = m->icount;
	ret->warp_ns = m->warp_ns;
	ret->ram_bytes = m->cfg.ram_bytes;
	ret->vram_bytes = m->cfg.vram_bytes;
	ret->powered = m->powered;
	ret->devices = calloc(m->n_devices, sizeof(*ret->devices));
	if (!ret->devices)
		return -ENOMEM;
	for (const struct device *d = m->devices; d; d = d->next) {
		Dejavm__StateGroup *g = fields_save(d->cls->fields, d, d->cls->name, d->id);

		if (!g)
			return -ENOMEM;
		ret->devices[ret->n_devices++] = g;
	}
	return streams_save(m, ret) < 0 ? -ENOMEM : written_save(m, ret);
}

/* ---- loading ---- */

static int sizes_check(const struct machine *m, const Dejavm__DevicesState *s, struct error *err)
{
	if (s->version != DEVICES_STATE_VERSION)
		return error_set(err, EINVAL, "devices: state version %u: expected %d", s->version,
			DEVICES_STATE_VERSION);
	if (s->ram_bytes != m->cfg.ram_bytes || s->vram_bytes != m->cfg.vram_bytes)
		return error_set(err, EINVAL,
			"devices: %" PRIu64 " bytes of RAM and %" PRIu64
			" of video memory: this machine has %" PRIu64 " and %" PRIu64,
			s->ram_bytes, s->vram_bytes, m->cfg.ram_bytes, m->cfg.vram_bytes);
	if (s->icount >> 62 || s->warp_ns >> 62)
		return error_set(err, EINVAL, "devices: icount %" PRIu64 ", warp %" PRIu64 " ns",
			s->icount, s->warp_ns);
	if (s->n_devices != m->n_devices)
		return error_set(err, EINVAL, "devices: %zu devices: this machine has %u",
			s->n_devices, m->n_devices);
	if (s->n_streams != m->cfg.n_streams)
		return error_set(err, EINVAL, "devices: %zu character streams: this machine has %u",
			s->n_streams, m->cfg.n_streams);
	for (size_t i = 0; i < s->n_streams; i++)
		if (s->streams[i]->credit > UINT32_MAX)
			return error_set(err, EINVAL,
				"devices: a credit of %" PRIu64 " bytes for stream '%.64s'",
				s->streams[i]->credit, s->streams[i]->name);
	return 0;
}

static int written_check(const struct machine *m, const Dejavm__DevicesState *s, struct error *err)
{
	for (size_t i = 0; i < s->n_written; i++)
		if (!m->cfg.blkout || s->written[i]->buf >= BLK_BUFS ||
			s->written[i]->data.len > BLK_BUF_LEN)
			return error_set(err, EINVAL,
				"devices: %zu bytes that are written by buffer %u",
				s->written[i]->data.len, s->written[i]->buf);
	return 0;
}

int machine_load_check(const struct machine *m, const Dejavm__DevicesState *s, struct error *err)
{
	int r = sizes_check(m, s, err);
	size_t i = 0;

	for (const struct device *d = m->devices; d && r == 0; d = d->next, i++) {
		const Dejavm__StateGroup *g = s->devices[i];

		if (strcmp(g->id, d->id) || strcmp(g->kind, d->cls->name))
			return error_set(err, EINVAL,
				"devices: device %zu is %.64s '%.64s': this machine has %s '%s' "
				"there",
				i, g->kind, g->id, d->cls->name, d->id);
		r = fields_check(d->cls->fields, g, err);
		if (r == 0 && !strcmp(d->cls->name, "drives"))
			r = drive_state_check(m, g, err);
		if (r < 0)
			error_prefix(err, "device %s", d->id);
	}
	return r < 0 ? r : written_check(m, s, err);
}

int machine_load(struct machine *m, const Dejavm__DevicesState *s, struct error *err)
{
	int r = machine_load_check(m, s, err);
	size_t i = 0;

	if (r < 0)
		return r;
	m->icount = s->icount;
	m->warp_ns = s->warp_ns;
	m->powered = s->powered;
	for (struct device *d = m->devices; d; d = d->next)
		must(fields_load(d->cls->fields, d, s->devices[i++], NULL) == 0);
	for (i = 0; i < s->n_streams; i++) {
		m->stream_bytes[i] = s->streams[i]->bytes;
		m->stream_credit[i] = s->streams[i]->credit;
	}
	for (i = 0; i < s->n_written; i++)
		memcpy(m->cfg.blkout + (size_t)s->written[i]->buf * BLK_BUF_LEN,
			s->written[i]->data.data, s->written[i]->data.len);
	m->timers_dirty = true;
	for (struct device *d = m->devices; d; d = d->next)
		if (d->cls->loaded)
			d->cls->loaded(d);
	memmap_rebuild(m);
	m->ports_changed = true;
	machine_ports_update(m);
	/* All of RAM is another. */
	m->cfg.memmap->n_dma = 0;
	m->cfg.memmap->dma_overflow = 1;
	m->dma_told = false;
	return 0;
}
