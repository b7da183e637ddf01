/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What -drive and disk devices mean together: names, layers, places on the IDE buses, and for each
 * disk what is behind it (struct drive_plan).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"

#define LAYERS_MAX 8

/* ---- names ---- */

static bool has_name(const struct drive_spec *s, const char *name)
{
	return (s->id && !strcmp(s->id, name)) || (s->node_name && !strcmp(s->node_name, name));
}

static int check_names(const struct options *o, struct error *err)
{
	for (size_t i = 0; i < o->n_drive_specs; i++) {
		const struct drive_spec *a = &o->drive_specs[i];

		for (size_t k = 0; k < i; k++) {
			const struct drive_spec *b = &o->drive_specs[k];

			if ((a->id && has_name(b, a->id)) ||
				(a->node_name && has_name(b, a->node_name)))
				return error_set(err, EINVAL,
					"%s: the name '%s' is taken by another drive: %s",
					a->option,
					a->id && has_name(b, a->id) ? a->id : a->node_name,
					b->option);
		}
	}
	return 0;
}

static int find_spec(struct options *o, const char *who, const char *name, struct drive_spec **ret,
	struct error *err)
{
	const char *names[2 * DRIVE_SPECS_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < o->n_drive_specs; i++) {
		struct drive_spec *s = &o->drive_specs[i];

		if (has_name(s, name)) {
			*ret = s;
			return 0;
		}
		if (s->id)
			names[n++] = s->id;
		if (s->node_name)
			names[n++] = s->node_name;
	}
	names[n] = NULL;
	if (!n)
		return error_set(err, EINVAL,
			"%s: there is no -drive with id=%s (there is none with an id)", who, name);
	return option_no_such(err, who, "-drive with id", name, names);
}

/* Whoever uses a drive is its only user. */
static int use(struct drive_spec *s, const char *who, struct error *err)
{
	if (*s->user)
		return error_set(err, EINVAL, "%s: '%s' is used by %s already", who,
			s->id ? s->id : s->node_name, s->user);
	snprintf(s->user, sizeof(s->user), "%.79s", who);
	return 0;
}

static int link_layers(struct options *o, struct error *err)
{
	for (size_t i = 0; i < o->n_drive_specs; i++) {
		struct drive_spec *s = &o->drive_specs[i], *below;
		int r;

		if (s->layer == DRIVE_IMAGE)
			continue;
		r = find_spec(o, s->option, s->image, &below, err);
		if (!r && !below->none)
			r = error_set(err, EINVAL,
				"%s: image=%s: that drive is a disk of the machine itself; it "
				"needs "
				"if=none",
				s->option, s->image);
		if (!r)
			r = use(below, s->option, err);
		if (r)
			return r;
		s->below = below;
	}
	for (size_t i = 0; i < o->n_drive_specs; i++) {
		const struct drive_spec *s = &o->drive_specs[i];
		int n = 0;

		for (; s; s = s->below)
			if (++n > LAYERS_MAX)
				return error_set(err, EINVAL,
					"%s: image= names go in a circle, or through more than %d "
					"layers",
					o->drive_specs[i].option, LAYERS_MAX);
	}
	return 0;
}

/* ---- places ---- */

struct places {
	const char *taken[IDE_BUSES][IDE_UNITS]; /* by whom */
};

static int take_place(struct places *p, const char *who, int bus, int unit, struct error *err)
{
	if (p->taken[bus][unit])
		return error_set(err, EINVAL, "%s: ide.%d unit %d is taken by %s", who, bus, unit,
			p->taken[bus][unit]);
	p->taken[bus][unit] = who;
	return 0;
}

/* Where it goes; -1 is anywhere. */
static int find_place(struct places *p, const char *who, int *bus, int *unit, struct error *err)
{
	int b0 = *bus >= 0 ? *bus : 0, b1 = *bus >= 0 ? *bus : IDE_BUSES - 1;
	int u0 = *unit >= 0 ? *unit : 0, u1 = *unit >= 0 ? *unit : IDE_UNITS - 1;

	for (int b = b0; b <= b1; b++) {
		for (int u = u0; u <= u1; u++) {
			if (p->taken[b][u] && (b0 != b1 || u0 != u1))
				continue;
			*bus = b;
			*unit = u;
			return take_place(p, who, b, u, err);
		}
	}
	if (*bus >= 0)
		return error_set(err, EINVAL, "%s: there is no place left on ide.%d", who, *bus);
	return error_set(err, EINVAL, "%s: there is no place left: two buses have %d disks each",
		who, IDE_UNITS);
}

static int set_id(char **id, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int set_id(char **id, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(id, format, ap);
	va_end(ap);
	if (r < 0)
		*id = NULL;
	return r < 0 ? -ENOMEM : 0;
}

/* if=ide: the drive makes its device. */
static int make_device(struct options *o, struct drive_spec *s, struct places *p, struct error *err)
{
	struct device_spec d = { .type = device_type_find(s->cdrom ? "ide-cd" : "ide-hd"),
		.chardev = -1,
		.stream = -1,
		.drive = -1 };
	int bus = s->bus, unit = s->unit, r;

	if (s->index >= 0) {
		bus = s->index / IDE_UNITS;
		unit = s->index % IDE_UNITS;
	}
	r = find_place(p, s->option, &bus, &unit, err);
	if (r)
		return r;
	device_spec_set(&d, "bus", (uint64_t)bus);
	device_spec_set(&d, "unit", (uint64_t)unit);
	if (!s->id && set_id(&s->id, "ide%d-%s%d", bus, s->cdrom ? "cd" : "hd", unit) < 0)
		return error_set(err, ENOMEM, "out of memory");
	r = option_set_string(&d.drive_text, s->id, err);
	return r ? r : option_add_device(o, s->option, &d, err);
}

static int make_devices(struct options *o, struct places *p, struct error *err)
{
	/* Those that say where, first: the others go where there is room. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < o->n_drive_specs; i++) {
			struct drive_spec *s = &o->drive_specs[i];
			bool says = s->index >= 0 || (s->bus >= 0 && s->unit >= 0);
			int r = 0;

			if (!s->none && says == !pass)
				r = make_device(o, s, p, err);
			if (r)
				return r;
		}
	}
	return 0;
}

static void name_disk(const struct device_spec *d, char *buf, size_t cap)
{
	snprintf(buf, cap, "-device %s%s%.40s%s%.40s", d->type->driver,
		d->drive_text ? ",drive=" : "", d->drive_text ? d->drive_text : "",
		d->id ? ",id=" : "", d->id ? d->id : "");
}

static int place_device(struct device_spec *d, const char *who, struct places *p, struct error *err)
{
	uint64_t v;
	int bus = device_spec_get(d, "bus", &v) ? (int)v : -1, r;
	int unit = device_spec_get(d, "unit", &v) ? (int)v : -1;
	bool has_bus = bus >= 0, has_unit = unit >= 0;

	r = find_place(p, who, &bus, &unit, err);
	if (r)
		return r;
	if (!has_bus)
		device_spec_set(d, "bus", (uint64_t)bus);
	if (!has_unit)
		device_spec_set(d, "unit", (uint64_t)unit);
	return 0;
}

/* ---- what is behind a disk ---- */

/* From the top layer down: what is said nearer to the disk counts. */
static int fold(struct drive_plan *d, const struct drive_spec *top, int *snapshot, int *readonly,
	const char **overlay, struct error *err)
{
	bool has_cache = false;

	for (const struct drive_spec *s = top; s; s = s->below) {
		if (*snapshot < 0)
			*snapshot = s->snapshot;
		if (*readonly < 0)
			*readonly = s->readonly;
		if (s->overlay && *overlay)
			return error_set(err, EINVAL,
				"%s: overlay=%s: a layer above it has an overlay, too: %s",
				s->option, s->overlay, *overlay);
		if (s->overlay)
			*overlay = s->overlay;
		if (!has_cache)
			d->cache = s->cache;
		has_cache |= s->has_cache;
		d->ignore_discard |= s->ignore_discard;
		for (size_t i = 0; i < s->n_inject; i++) {
			if (d->n_inject == DRIVE_INJECTS_MAX)
				return error_set(err, EINVAL,
					"%s: more than %d inject-error in all", top->option,
					DRIVE_INJECTS_MAX);
			d->inject[d->n_inject++] = s->inject[i];
		}
		if (s->layer == DRIVE_IMAGE && s->file)
			d->image = s;
	}
	return 0;
}

static int plan_writes(const struct options *o, struct drive_plan *d, int snapshot, int readonly,
	const char *overlay, struct error *err)
{
	if (d->cdrom && readonly == 0)
		return error_set(err, EINVAL, "%s: a CD-ROM cannot be written: readonly=off",
			d->image->option);
	if (!d->cdrom && readonly == 1)
		return error_set(err, EINVAL,
			"%s: readonly=on: a hard disk has no write protection; snapshot=on leaves "
			"the "
			"image as it is",
			d->image->option);
	d->readonly = d->cdrom;
	if (d->readonly && overlay)
		return error_set(err, EINVAL, "%s: overlay=%s: a CD-ROM is never written",
			d->image->option, overlay);
	if (d->readonly)
		return 0;
	if (overlay && (snapshot == 1 || (o->snapshot && snapshot < 0)))
		return error_set(err, EINVAL,
			"%s: overlay=%s and snapshot contradict each other: writes go to one file",
			d->image->option, overlay);
	if (o->rr == RR_DO_REPLAY)
		d->kept = overlay;
	else
		d->overlay = overlay;
	/* Recording and replaying, an image is never written. */
	d->temporary =
		!d->overlay && (o->rr != RR_OFF || snapshot == 1 || (o->snapshot && snapshot < 0));
	return 0;
}

static int plan(struct options *o, struct device_spec *dev, const char *who, struct error *err)
{
	struct drive_plan *d = &o->drives[o->n_drives];
	struct drive_spec *top = NULL;
	int snapshot = -1, readonly = -1, r = 0;
	const char *overlay = NULL;
	uint64_t bus = 0, unit = 0;

	if (o->n_drives == BLK_DRIVES_MAX)
		return error_set(err, EINVAL, "%s: more than %d disks", who, BLK_DRIVES_MAX);
	*d = (struct drive_plan){ .index = (unsigned)o->n_drives };
	d->cdrom = dev->type->flags & DEVICE_CDROM;
	if (dev->drive_text)
		r = find_spec(o, who, dev->drive_text, &top, err);
	if (!r && top)
		r = use(top, who, err);
	if (!r && top)
		r = fold(d, top, &snapshot, &readonly, &overlay, err);
	if (!r && !d->image && !d->cdrom)
		r = error_set(err, EINVAL, "%s: a hard disk needs an image: file=FILE is missing",
			top ? top->option : who);
	if (!r && d->image)
		r = plan_writes(o, d, snapshot, readonly, overlay, err);
	if (r)
		return r;
	device_spec_get(dev, "bus", &bus);
	device_spec_get(dev, "unit", &unit);
	if (top ? set_id(&d->id, "%s", top->id ? top->id : top->node_name)
		: set_id(&d->id, "ide%d-cd%d", (int)bus, (int)unit))
		return error_set(err, ENOMEM, "out of memory");
	dev->drive = (int)o->n_drives++;
	return 0;
}

static int check_used(const struct options *o, struct error *err)
{
	for (size_t i = 0; i < o->n_drive_specs; i++)
		if (!*o->drive_specs[i].user)
			return error_set(err, EINVAL,
				"%s: no device uses it (-device ide-hd,drive=%s would)",
				o->drive_specs[i].option,
				o->drive_specs[i].id	      ? o->drive_specs[i].id
				: o->drive_specs[i].node_name ? o->drive_specs[i].node_name
							      : "ID");
	return 0;
}

static unsigned place_of(const struct device_spec *d)
{
	uint64_t bus = 0, unit = 0;

	device_spec_get(d, "bus", &bus);
	device_spec_get(d, "unit", &unit);
	return (unsigned)(bus * IDE_UNITS + unit);
}

/* Disks go to the end, by place: it does not matter to the machine which option made them. */
static void order_disks(struct options *o)
{
	struct device_spec sorted[DEVICES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < o->n_devices; i++)
		if (!(o->devices[i].type->flags & DEVICE_DISK))
			sorted[n++] = o->devices[i];
	for (unsigned place = 0; place < IDE_BUSES * IDE_UNITS; place++)
		for (size_t i = 0; i < o->n_devices; i++)
			if ((o->devices[i].type->flags & DEVICE_DISK) &&
				place_of(&o->devices[i]) == place)
				sorted[n++] = o->devices[i];
	must(n == o->n_devices);
	memcpy(o->devices, sorted, n * sizeof(sorted[0]));
}

int options_resolve_drives(struct options *o, struct error *err)
{
	char who[DEVICES_MAX][128];
	size_t n_given = o->n_devices;
	struct places places = { 0 };
	int r;

	if ((r = check_names(o, err)) || (r = link_layers(o, err)) ||
		(r = make_devices(o, &places, err)))
		return r;
	for (size_t i = 0; i < n_given && !r; i++) {
		struct device_spec *d = &o->devices[i];

		if (!(d->type->flags & DEVICE_DISK))
			continue;
		name_disk(d, who[i], sizeof(who[i]));
		r = place_device(d, who[i], &places, err);
	}
	if (!r)
		order_disks(o);
	for (size_t i = 0; i < o->n_devices && !r; i++) {
		struct device_spec *d = &o->devices[i];

		if (!(d->type->flags & DEVICE_DISK))
			continue;
		name_disk(d, who[i], sizeof(who[i]));
		r = plan(o, d, who[i], err);
	}
	return r ? r : check_used(o, err);
}
