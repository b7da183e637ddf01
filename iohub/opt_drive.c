/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -drive, -hda and their like: one at a time. What they mean together is in opt_drives.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"
#include "opts.h"

static const char *const drive_keys[] = { "file", "if", "index", "bus", "unit", "media", "format",
	"driver", "image", "id", "node-name", "snapshot", "readonly", "read-only", "cache",
	"discard", "aio", "werror", "rerror", "overlay", NULL };

static const char drive_help[] =
	"file=FILE               the image; none: an empty CD-ROM drive\n"
	"if=ide|none             an IDE disk; only a name for -device (default ide)\n"
	"index=N, bus=N,unit=N   its place: index 0 to 3 is bus 0 unit 0 to bus 1 unit 1\n"
	"media=disk|cdrom        what it is (default disk)\n"
	"format=raw|qcow2        of the image (default: by looking at it)\n"
	"driver=raw|qcow2|file   the same\n"
	"driver=blkreplay,image=ID  a layer over another -drive: nothing of it is written when\n"
	"                        recording or replaying (as without this layer)\n"
	"driver=blkdebug,image=ID,inject-error.N.event=read|write|flush|discard,\n"
	"  inject-error.N.errno=N,inject-error.N.sector=N,inject-error.N.once=on|off\n"
	"                        a layer that makes requests fail\n"
	"id=ID, node-name=NAME   names for -device and image=\n"
	"snapshot=on|off         it is written to a temporary file\n"
	"overlay=FILE            it is written to this new qcow2 image, which stays\n"
	"readonly=on|off         (default on for CD-ROMs)\n"
	"cache=writeback|none|writethrough|directsync|unsafe\n"
	"discard=unmap|ignore    what the guest discards gives back space (default unmap)\n"
	"werror=report, rerror=report  the guest hears of errors\n"
	"aio=threads|native|io_uring   accepted\n";

void drive_spec_done(struct drive_spec *s)
{
	char *const strings[] = { s->option, s->id, s->node_name, s->file, s->format, s->image,
		s->overlay };

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free(strings[i]);
	memset(s, 0, sizeof(*s));
}

/* ---- words ---- */

/* Position of key's value in list (-1: not given), or -EINVAL with what there is. */
static int choice(
	struct opts *opts, const char *key, const char *const *list, int *ret, struct error *err)
{
	const char *v = opts_get(opts, key);

	*ret = -1;
	for (int i = 0; v && list[i]; i++) {
		if (strcmp(list[i], v))
			continue;
		*ret = i;
		return 0;
	}
	return v ? option_no_such(err, opts->origin, key, v, list) : 0;
}

static int tristate(struct opts *opts, const char *key, int *ret, struct error *err)
{
	bool v = false;
	int r;

	if (!opts_get(opts, key))
		return 0;
	r = opts_get_bool(opts, key, &v, err);
	if (!r)
		*ret = v;
	return r;
}

static int small_number(
	struct opts *opts, const char *key, uint64_t max, int *ret, struct error *err)
{
	uint64_t v = 0;
	int r;

	if (!opts_get(opts, key))
		return 0;
	r = opts_get_u64(opts, key, 0, max, &v, err);
	if (!r)
		*ret = (int)v;
	return r;
}

static int string(struct opts *opts, const char *key, char **ret, struct error *err)
{
	const char *v = opts_get(opts, key);

	if (!v)
		return 0;
	if (!*v)
		return error_set(err, EINVAL, "%s: %s= is empty", opts->origin, key);
	return option_set_string(ret, v, err);
}

/* ---- kinds of layers ---- */

static int take_driver(struct drive_spec *s, struct opts *opts, struct error *err)
{
	static const char *const drivers[] = { "raw", "qcow2", "file", "blkreplay", "blkdebug",
		NULL };
	static const char *const formats[] = { "raw", "qcow2", NULL };
	const char *format = opts_get(opts, "format");
	int driver, ignored, r = choice(opts, "driver", drivers, &driver, err);

	if (!r)
		r = choice(opts, "format", formats, &ignored, err);
	if (r)
		return r;
	if (format && driver >= 0)
		return error_set(
			err, EINVAL, "%s: format= and driver= cannot be given both", opts->origin);
	if (driver >= 3) {
		s->layer = driver == 3 ? DRIVE_BLKREPLAY : DRIVE_BLKDEBUG;
		return 0;
	}
	if (driver >= 0)
		format = driver == 2 ? "raw" : drivers[driver];
	return format ? option_set_string(&s->format, format, err) : 0;
}

static int take_source(struct drive_spec *s, struct opts *opts, struct error *err)
{
	int r = string(opts, "file", &s->file, err);

	if (!r)
		r = string(opts, "image", &s->image, err);
	if (r)
		return r;
	if (s->layer == DRIVE_IMAGE && s->image)
		return error_set(err, EINVAL,
			"%s: image= belongs to driver=blkreplay and driver=blkdebug", opts->origin);
	if (s->layer != DRIVE_IMAGE && s->file)
		return error_set(err, EINVAL,
			"%s: this driver has no file=; image=ID names the -drive below it",
			opts->origin);
	if (s->layer != DRIVE_IMAGE && !s->image)
		return error_set(
			err, EINVAL, "%s: image=ID is missing: the -drive below it", opts->origin);
	if (s->layer == DRIVE_IMAGE && !s->file && s->format)
		return error_set(err, EINVAL, "%s: file=FILE is missing", opts->origin);
	return 0;
}

/* ---- inject-error.N.KEY ---- */

static int inject_event(
	struct opts *opts, const char *key, struct drive_inject *k, struct error *err)
{
	/* QEMU's names of events that are about the same are understood. */
	static const char *const events[] = { "read", "write", "flush", "discard", "read_aio",
		"write_aio", "flush_to_disk", NULL };
	static const unsigned ops[] = { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_READ,
		BLK_WRITE, BLK_FLUSH };
	int i, r = choice(opts, key, events, &i, err);

	if (r)
		return r;
	if (i < 0)
		return error_set(err, EINVAL, "%s: %s= is missing", opts->origin, key);
	k->event = ops[i];
	return 0;
}

static int take_inject(struct drive_spec *s, struct opts *opts, unsigned n, struct error *err)
{
	struct drive_inject k = { .error = EIO };
	char key[48];
	int r;

	if (s->n_inject == DRIVE_INJECTS_MAX)
		return error_set(err, EINVAL, "%s: more than %d inject-error", opts->origin,
			DRIVE_INJECTS_MAX);
	snprintf(key, sizeof(key), "inject-error.%u.event", n);
	r = inject_event(opts, key, &k, err);
	snprintf(key, sizeof(key), "inject-error.%u.errno", n);
	if (!r)
		r = opts_get_u64(opts, key, 1, 4095, &k.error, err);
	snprintf(key, sizeof(key), "inject-error.%u.sector", n);
	k.has_sector = opts_get(opts, key) != NULL;
	if (!r && k.has_sector)
		r = opts_get_u64(opts, key, 0, UINT64_MAX / BLK_SECTOR, &k.sector, err);
	snprintf(key, sizeof(key), "inject-error.%u.once", n);
	if (!r)
		r = opts_get_bool(opts, key, &k.once, err);
	if (!r)
		s->inject[s->n_inject++] = k;
	return r;
}

/* In the order of their numbers; which need not be without gaps. */
static int take_injects(struct drive_spec *s, struct opts *opts, struct error *err)
{
	long last = -1;

	for (;;) {
		long next = -1;
		int r;

		for (size_t i = 0; i < opts->n; i++) {
			char *end;
			long n;

			if (strncmp(opts->v[i].key, "inject-error.", 13))
				continue;
			n = strtol(opts->v[i].key + 13, &end, 10);
			if (end == opts->v[i].key + 13 || *end != '.' || n < 0 || n > 9999)
				return error_set(err, EINVAL,
					"%s: %s: expected inject-error.N.event, .errno, .sector, "
					".once",
					opts->origin, opts->v[i].key);
			if (n > last && (next < 0 || n < next))
				next = n;
		}
		if (next < 0)
			return 0;
		if (s->layer != DRIVE_BLKDEBUG)
			return error_set(err, EINVAL, "%s: inject-error belongs to driver=blkdebug",
				opts->origin);
		r = take_inject(s, opts, (unsigned)next, err);
		if (r)
			return r;
		last = next;
	}
}

/* ---- all keys ---- */

static int take_cache(struct drive_spec *s, struct opts *opts, struct error *err)
{
	static const char *const modes[] = { "writeback", "none", "writethrough", "directsync",
		"unsafe", NULL };
	static const enum drive_cache caches[] = { DRIVE_WRITEBACK, DRIVE_WRITEBACK,
		DRIVE_WRITETHROUGH, DRIVE_WRITETHROUGH, DRIVE_UNSAFE };
	static const char *const discards[] = { "unmap", "on", "ignore", "off", NULL };
	int i, r = choice(opts, "cache", modes, &i, err);

	if (r)
		return r;
	s->has_cache = i >= 0;
	if (i >= 0)
		s->cache = caches[i];
	r = choice(opts, "discard", discards, &i, err);
	s->ignore_discard = i >= 2;
	return r;
}

/* What is accepted because it changes nothing here. */
static int check_fixed(struct opts *opts, struct error *err)
{
	static const char *const aio[] = { "threads", "native", "io_uring", NULL };
	static const char *const report[] = { "report", NULL };
	int i, r = choice(opts, "aio", aio, &i, err);

	if (!r)
		r = choice(opts, "werror", report, &i, err);
	return r ? r : choice(opts, "rerror", report, &i, err);
}

static int take_place(struct drive_spec *s, struct opts *opts, struct error *err)
{
	static const char *const interfaces[] = { "ide", "none", NULL };
	static const char *const media[] = { "disk", "cdrom", NULL };
	int i, r = choice(opts, "if", interfaces, &i, err);

	s->none = i == 1;
	if (!r)
		r = choice(opts, "media", media, &i, err);
	s->cdrom = i == 1;
	if (!r)
		r = small_number(opts, "index", IDE_BUSES * IDE_UNITS - 1, &s->index, err);
	if (!r)
		r = small_number(opts, "bus", IDE_BUSES - 1, &s->bus, err);
	if (!r)
		r = small_number(opts, "unit", IDE_UNITS - 1, &s->unit, err);
	if (r)
		return r;
	if (s->index >= 0 && (s->bus >= 0 || s->unit >= 0))
		return error_set(
			err, EINVAL, "%s: index= cannot be used with bus= and unit=", opts->origin);
	if (s->none && (s->index >= 0 || s->bus >= 0 || s->unit >= 0))
		return error_set(err, EINVAL,
			"%s: with if=none it has no place; -device says where it goes",
			opts->origin);
	return 0;
}

static int take_all(struct drive_spec *s, struct opts *opts, struct error *err)
{
	int r;

	if ((r = take_place(s, opts, err)) || (r = take_driver(s, opts, err)) ||
		(r = take_source(s, opts, err)) || (r = take_injects(s, opts, err)) ||
		(r = string(opts, "id", &s->id, err)) ||
		(r = string(opts, "node-name", &s->node_name, err)) ||
		(r = string(opts, "overlay", &s->overlay, err)) ||
		(r = tristate(opts, "snapshot", &s->snapshot, err)) ||
		(r = tristate(opts, "readonly", &s->readonly, err)) ||
		(r = tristate(opts, "read-only", &s->readonly, err)) ||
		(r = take_cache(s, opts, err)) || (r = check_fixed(opts, err)))
		return r;
	s->id_given = s->id != NULL;
	if (s->overlay && s->snapshot == 1)
		return error_set(err, EINVAL,
			"%s: snapshot=on writes to a temporary file, overlay= to one that stays: "
			"only one of them is possible",
			opts->origin);
	return opts_check_unused(opts, drive_keys, err);
}

static struct drive_spec *new_spec(struct options *o, const char *name, struct error *err)
{
	struct drive_spec *s = &o->drive_specs[o->n_drive_specs];

	if (o->n_drive_specs == DRIVE_SPECS_MAX) {
		error_set(err, EINVAL, "%s: more than %d drives", name, DRIVE_SPECS_MAX);
		return NULL;
	}
	*s = (struct drive_spec){
		.index = -1, .bus = -1, .unit = -1, .snapshot = -1, .readonly = -1
	};
	return s;
}

static int name_option(struct drive_spec *s, const char *name, const char *arg, struct error *err)
{
	if (asprintf(&s->option, "%s %.200s%s", name, arg, strlen(arg) > 200 ? "..." : "") < 0) {
		s->option = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

int option_drive(struct options *o, const char *name, const char *arg, struct error *err)
{
	struct drive_spec *s;
	struct opts opts;
	int r;

	if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
		fputs(drive_help, stdout);
		return 1;
	}
	s = new_spec(o, name, err);
	if (!s)
		return -err->code;
	r = name_option(s, name, arg, err);
	if (!r)
		r = opts_parse(&opts, s->option, arg, NULL, err);
	if (!r) {
		r = take_all(s, &opts, err);
		opts_done(&opts);
	}
	if (r)
		drive_spec_done(s);
	else
		o->n_drive_specs++;
	return r;
}

static int add_at(struct options *o, const char *name, const char *file, int index, bool cdrom,
	struct error *err)
{
	struct drive_spec *s = new_spec(o, name, err);
	int r;

	if (!s)
		return -err->code;
	if (!*file)
		return error_set(err, EINVAL, "%s: the image's name is empty", name);
	s->index = index;
	s->cdrom = cdrom;
	r = name_option(s, name, file, err);
	if (!r)
		r = option_set_string(&s->file, file, err);
	if (r)
		drive_spec_done(s);
	else
		o->n_drive_specs++;
	return r;
}

/* -hda to -hdd, -cdrom. */
int option_hda(struct options *o, const char *name, const char *arg, struct error *err)
{
	const char *word = name + 1 + (name[1] == '-');
	bool cdrom = !strcmp(word, "cdrom");

	return add_at(o, name, arg, cdrom ? 2 : word[2] - 'a', cdrom, err);
}

int option_disk(struct options *o, const char *file, struct error *err)
{
	return add_at(o, "disk image", file, 0, false, err);
}
