/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields as messages and back: see state.h. */
#include "state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"

uint64_t field_element(const void *p, unsigned size)
{
	uint64_t v;
	uint32_t w;
	uint16_t h;

	switch (size) {
	case 1: return *(const uint8_t *)p;
	case 2: memcpy(&h, p, 2); return h;
	case 4: memcpy(&w, p, 4); return w;
	case 8: memcpy(&v, p, 8); return v;
	}
	must(!"element size 1, 2, 4 or 8");
	return 0;
}

static void element_put(void *p, unsigned size, uint64_t v)
{
	uint32_t w = (uint32_t)v;
	uint16_t h = (uint16_t)v;

	switch (size) {
	case 1: *(uint8_t *)p = (uint8_t)v; break;
	case 2: memcpy(p, &h, 2); break;
	case 4: memcpy(p, &w, 4); break;
	case 8: memcpy(p, &v, 8); break;
	}
}

static uint64_t wire_get(const uint8_t *p, unsigned size)
{
	uint64_t v = 0;

	for (unsigned b = 0; b < size; b++)
		v |= (uint64_t)p[b] << 8 * b;
	return v;
}

/* ---- saving ---- */

static Dejavm__StateField *field_save(const struct field *f, const void *base)
{
	Dejavm__StateField *m = malloc(sizeof(*m));
	const uint8_t *p = (const uint8_t *)base + f->offset;
	uint8_t *out;

	if (!m)
		return NULL;
	dejavm__state_field__init(m);
	m->name = strdup(f->name);
	m->elem = f->elem;
	m->data.len = (size_t)f->elem * f->count;
	m->data.data = out = malloc(m->data.len);
	if (!m->name || !out) {
		dejavm__state_field__free_unpacked(m, NULL);
		return NULL;
	}
	for (uint32_t i = 0; i < f->count; i++, p += f->elem) {
		uint64_t v = field_element(p, f->elem);

		for (unsigned b = 0; b < f->elem; b++, v >>= 8)
			*out++ = (uint8_t)v;
	}
	return m;
}

Dejavm__StateGroup *fields_save(
	const struct field *f, const void *base, const char *kind, const char *id)
{
	Dejavm__StateGroup *g = malloc(sizeof(*g));
	size_t n = 0;

	if (!g)
		return NULL;
	dejavm__state_group__init(g);
	g->version = STATE_GROUP_VERSION;
	g->kind = strdup(kind);
	g->id = strdup(id);
	while (f && f[n].name)
		n++;
	g->fields = calloc(n ? n : 1, sizeof(*g->fields));
	if (!g->kind || !g->id || !g->fields)
		goto fail;
	for (; g->n_fields < n; g->n_fields++) {
		g->fields[g->n_fields] = field_save(&f[g->n_fields], base);
		if (!g->fields[g->n_fields])
			goto fail;
	}
	return g;
fail:
	dejavm__state_group__free_unpacked(g, NULL);
	return NULL;
}

/* ---- loading ---- */

static const Dejavm__StateField *group_find(const Dejavm__StateGroup *g, const char *name)
{
	for (size_t i = 0; i < g->n_fields; i++)
		if (!strcmp(g->fields[i]->name, name))
			return g->fields[i];
	return NULL;
}

static int field_check(const struct field *f, const Dejavm__StateField *m, struct error *err)
{
	size_t want = (size_t)f->elem * f->count;

	if (m->elem != f->elem || m->data.len != want)
		return error_set(err, EINVAL,
			"field '%s' has %zu bytes in elements of %u: expected %zu in elements of "
			"%u",
			f->name, m->data.len, m->elem, want, f->elem);
	for (uint32_t i = 0; f->max && i < f->count; i++) {
		uint64_t v = wire_get(m->data.data + (size_t)i * f->elem, f->elem);

		if (v > f->max)
			return error_set(err, EINVAL,
				"field '%s' is %" PRIu64 ": expected at most %" PRIu64, f->name, v,
				f->max);
	}
	return 0;
}

int fields_check(const struct field *f, const Dejavm__StateGroup *g, struct error *err)
{
	size_t n = 0;

	if (g->version != STATE_GROUP_VERSION)
		return error_set(
			err, EINVAL, "version %u: expected %d", g->version, STATE_GROUP_VERSION);
	for (; f && f->name; f++, n++) {
		const Dejavm__StateField *m = group_find(g, f->name);

		if (!m)
			return error_set(err, EINVAL, "field '%s' is missing", f->name);
		if (field_check(f, m, err) < 0)
			return -EINVAL;
	}
	if (g->n_fields != n)
		return error_set(err, EINVAL, "it has %zu fields: expected %zu", g->n_fields, n);
	return 0;
}

int fields_load(const struct field *f, void *base, const Dejavm__StateGroup *g, struct error *err)
{
	int r = fields_check(f, g, err);

	if (r < 0)
		return r;
	for (; f && f->name; f++) {
		const uint8_t *in = group_find(g, f->name)->data.data;
		uint8_t *p = (uint8_t *)base + f->offset;

		for (uint32_t i = 0; i < f->count; i++, p += f->elem, in += f->elem)
			element_put(p, f->elem, wire_get(in, f->elem));
	}
	return 0;
}
