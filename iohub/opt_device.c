/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -device: which devices and properties there are (device_table.def). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"
#include "opts.h"

/* The table's rows as one list; a row with a driver begins a device. */
static const struct device_row {
	const char *driver, *prop, *help;
	unsigned flags;
	uint64_t min, max;
	enum device_prop_kind kind;
} device_rows[] = {
#define DEVICE(driver, flags, help)	      { driver, NULL, help, flags, 0, 0, 0 },
#define DEVICE_PROP(prop, min, max, help)     { NULL, prop, help, 0, min, max, DEVICE_PROP_NUMBER },
#define DEVICE_PROP_OF(kind, prop, max, help) { NULL, prop, help, 0, 0, max, kind },
#include "device_table.def"
#undef DEVICE
#undef DEVICE_PROP
#undef DEVICE_PROP_OF
};

#define N_ROWS	  (sizeof(device_rows) / sizeof(device_rows[0]))
#define TYPES_MAX 32

static const struct device_type *device_types(size_t *ret_n)
{
	static struct device_type types[TYPES_MAX];
	static size_t n;

	if (!n) {
		size_t np = 0;

		for (size_t i = 0; i < N_ROWS; i++) {
			const struct device_row *r = &device_rows[i];

			if (r->driver) {
				must(n < TYPES_MAX);
				types[n++] = (struct device_type){
					.driver = r->driver, .help = r->help, .flags = r->flags
				};
				np = 0;
				continue;
			}
			must(n > 0 && np < DEVICE_PROPS_MAX);
			types[n - 1].props[np++] = (struct device_prop_type){ r->prop, r->help,
				r->min, r->max, r->kind };
		}
	}
	*ret_n = n;
	return types;
}

const struct device_type *device_type_find(const char *driver)
{
	size_t n;
	const struct device_type *t = device_types(&n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(t[i].driver, driver))
			return &t[i];
	return NULL;
}

static int no_such_device(const char *driver, struct error *err)
{
	size_t n;
	const struct device_type *t = device_types(&n);
	const char *names[TYPES_MAX + 1];

	for (size_t i = 0; i < n; i++)
		names[i] = t[i].driver;
	names[n] = NULL;
	return option_no_such(err, "-device", "device", driver, names);
}

static void print_devices(void)
{
	size_t n;
	const struct device_type *t = device_types(&n);

	for (size_t i = 0; i < n; i++)
		printf("%-20s %s\n", t[i].driver, t[i].help);
}

static void print_props(const struct device_type *t)
{
	printf("%s: %s\n", t->driver, t->help);
	for (const struct device_prop_type *p = t->props; p->name; p++)
		printf("  %-12s %s\n", p->name, p->help);
	if (t->flags & DEVICE_CHARDEV)
		printf("  %-12s %s\n", "chardev", "id of the character back end");
	if (t->flags & DEVICE_DISK)
		printf("  %-12s %s\n", "drive", "id of the -drive");
	printf("  %-12s %s\n", "id", "name of the device");
}

int device_spec_set(struct device_spec *d, const char *key, uint64_t value)
{
	must(d->n_props < DEVICE_PROPS_MAX);
	d->props[d->n_props].key = key;
	d->props[d->n_props++].value = value;
	return 0;
}

bool device_spec_get(const struct device_spec *d, const char *key, uint64_t *ret)
{
	for (size_t i = 0; i < d->n_props; i++) {
		if (!strcmp(d->props[i].key, key) && !d->props[i].text) {
			*ret = d->props[i].value;
			return true;
		}
	}
	return false;
}

static int set_text(struct device_spec *d, const struct device_prop_type *p, const char *text,
	struct error *err)
{
	int r;

	for (const char *c = text; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			return error_set(err, EINVAL,
				"-device %s,%s=%s: expected printable ASCII characters",
				d->type->driver, p->name, text);
	if (strlen(text) > p->max)
		return error_set(err, EINVAL, "-device %s,%s=%s: %zu characters; at most %d fit",
			d->type->driver, p->name, text, strlen(text), (int)p->max);
	must(d->n_props < DEVICE_PROPS_MAX);
	r = option_set_string(&d->props[d->n_props].text, text, err);
	if (!r)
		d->props[d->n_props++].key = p->name;
	return r;
}

static int set_bus(struct device_spec *d, const struct device_prop_type *p, const char *text,
	struct error *err)
{
	if (strncmp(text, "ide.", 4) || text[4] < '0' || text[4] > '0' + (char)p->max || text[5])
		return error_set(err, EINVAL, "-device %s,%s=%s: there are: ide.0, ide.%d",
			d->type->driver, p->name, text, (int)p->max);
	return device_spec_set(d, p->name, (uint64_t)(text[4] - '0'));
}

static int set_prop(struct device_spec *d, struct opts *opts, const struct device_prop_type *p,
	struct error *err)
{
	const char *text = opts_get(opts, p->name);
	uint64_t value = 0;
	int r;

	if (!text)
		return 0;
	switch (p->kind) {
	case DEVICE_PROP_TEXT: return set_text(d, p, text, err);
	case DEVICE_PROP_IDE_BUS: return set_bus(d, p, text, err);
	case DEVICE_PROP_NUMBER: break;
	}
	r = opts_get_u64(opts, p->name, p->min, p->max, &value, err);
	return r ? r : device_spec_set(d, p->name, value);
}

static int set_drive(struct device_spec *d, struct opts *opts, struct error *err)
{
	const char *drive = opts_get(opts, "drive");

	if (!drive && !(d->type->flags & DEVICE_CDROM))
		return error_set(err, EINVAL,
			"-device %s: drive=ID is missing: define the drive with -drive "
			"if=none,id=ID",
			d->type->driver);
	return drive ? option_set_string(&d->drive_text, drive, err) : 0;
}

static int spec_fill(struct device_spec *d, struct opts *opts, struct error *err)
{
	const char *known[DEVICE_PROPS_MAX + 4], *chardev, *id;
	size_t n = 0;
	int r = 0;

	for (const struct device_prop_type *p = d->type->props; p->name && !r; p++) {
		known[n++] = p->name;
		r = set_prop(d, opts, p, err);
	}
	if (!r && (d->type->flags & DEVICE_DISK)) {
		known[n++] = "drive";
		r = set_drive(d, opts, err);
	}
	if (!r && (id = opts_get(opts, "id")))
		r = option_set_string(&d->id, id, err);
	known[n++] = "id";
	if (!r && (d->type->flags & DEVICE_CHARDEV)) {
		known[n++] = "chardev";
		chardev = opts_get(opts, "chardev");
		if (!chardev)
			return error_set(err, EINVAL,
				"-device %s: chardev=ID is missing: define the back end with "
				"-chardev",
				d->type->driver);
		if (asprintf(&d->chardev_text, "chardev:%s", chardev) < 0) {
			d->chardev_text = NULL;
			return error_set(err, ENOMEM, "out of memory");
		}
	}
	known[n] = NULL;
	return r ? r : opts_check_unused(opts, known, err);
}

int device_spec_parse(struct device_spec *ret, const char *text, struct error *err)
{
	struct device_spec d = { .chardev = -1, .stream = -1, .drive = -1 };
	const char *driver;
	char origin[64];
	struct opts opts;
	int r;

	if (!strcmp(text, "help") || !strcmp(text, "?")) {
		print_devices();
		return 1;
	}
	r = opts_parse(&opts, "-device", text, "driver", err);
	if (r)
		return r;
	driver = opts_get(&opts, "driver");
	if (!driver) {
		r = error_set(err, EINVAL, "-device %s: expected DRIVER[,PROPERTY=VALUE...]", text);
	} else if (!(d.type = device_type_find(driver))) {
		r = no_such_device(driver, err);
	} else if (opts_get(&opts, "help")) {
		print_props(d.type);
		r = 1;
	} else {
		snprintf(origin, sizeof(origin), "-device %s", driver);
		r = option_set_string(&opts.origin, origin, err);
		if (!r)
			r = spec_fill(&d, &opts, err);
	}
	opts_done(&opts);
	if (r)
		device_spec_done(&d);
	else
		*ret = d;
	return r;
}

void device_spec_done(struct device_spec *d)
{
	free(d->id);
	free(d->chardev_text);
	free(d->drive_text);
	for (size_t i = 0; i < d->n_props; i++)
		free(d->props[i].text);
	memset(d, 0, sizeof(*d));
}

int option_add_device(struct options *o, const char *name, struct device_spec *d, struct error *err)
{
	if (o->n_devices == DEVICES_MAX) {
		device_spec_done(d);
		return error_set(err, EINVAL, "%s: more than %d devices", name, DEVICES_MAX);
	}
	for (size_t i = 0; d->id && i < o->n_devices; i++) {
		if (o->devices[i].id && !strcmp(o->devices[i].id, d->id)) {
			int r = error_set(err, EINVAL, "%s: the id '%s' is taken by another device",
				name, d->id);

			device_spec_done(d);
			return r;
		}
	}
	o->devices[o->n_devices++] = *d;
	return 0;
}

int option_device(struct options *o, const char *name, const char *arg, struct error *err)
{
	struct device_spec d;
	int r = device_spec_parse(&d, arg, err);

	return r ? r : option_add_device(o, name, &d, err);
}

int option_debugcon(struct options *o, const char *name, const char *arg, struct error *err)
{
	struct device_spec d = {
		.type = device_type_find("isa-debugcon"), .chardev = -1, .stream = -1, .drive = -1
	};
	int r;

	if (!strcmp(arg, "none"))
		return 0;
	r = option_set_string(&d.chardev_text, arg, err);
	return r ? r : option_add_device(o, name, &d, err);
}
