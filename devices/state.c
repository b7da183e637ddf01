/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Digests of devices, made from their field tables: a device whose digest differs in a replay is
 * named by its id. Elements are hashed as little-endian integers, whatever the host.
 */
#include <string.h>
#include "hash.h"
#include "log.h"
#include "machine.h"

static uint64_t field_digest(uint64_t h, const uint8_t *p, const struct field *f)
{
	uint8_t buf[512];
	size_t n = 0;

	if (f->elem == 1)
		return hash64(h, p, f->count);
	for (uint32_t i = 0; i < f->count; i++, p += f->elem) {
		uint64_t v = field_element(p, f->elem);

		for (unsigned b = 0; b < f->elem; b++, v >>= 8)
			buf[n++] = (uint8_t)v;
		if (n + 8 > sizeof(buf)) {
			h = hash64(h, buf, n);
			n = 0;
		}
	}
	return hash64(h, buf, n);
}

uint64_t device_digest(const struct device *dev)
{
	uint64_t h = 0;

	for (const struct field *f = dev->cls->fields; f && f->name; f++)
		h = field_digest(h, (const uint8_t *)dev + f->offset, f);
	return h;
}

void machine_digest(struct machine *m, struct digest_writer *w)
{
	for (const struct device *d = m->devices; d; d = d->next)
		if (d->cls->fields && d->cls->fields->name)
			digest_put(w, DIGEST_DEVICE, d->id, device_digest(d));
	for (unsigned i = 0; i < m->cfg.n_streams; i++)
		digest_put(w, DIGEST_OUTPUT, m->cfg.stream_name[i], m->stream_bytes[i]);
}
