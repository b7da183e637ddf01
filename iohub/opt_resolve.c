/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What options mean together, once all have been read: default devices, who uses which back end,
 * the numbers of the streams, and contradictions.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options.h"

/* ---- character back ends and their users ---- */

static int find_chardev(
	struct options *o, const char *user, const char *id, int *ret, struct error *err)
{
	const char *names[CHARDEVS_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < o->n_chardevs; i++) {
		names[n++] = o->chardevs[i].id;
		if (!strcmp(o->chardevs[i].id, id)) {
			*ret = (int)i;
			return 0;
		}
	}
	names[n] = NULL;
	if (!n)
		return error_set(err, EINVAL,
			"%s: there is no -chardev with id=%s (there is no -chardev at all)", user,
			id);
	return option_no_such(err, user, "-chardev with id", id, names);
}

/* Finds or makes the back end that text names, for a user of this name. */
static int attach(struct options *o, const char *text, const char *user, int *ret_chardev,
	const char *origin, struct error *err)
{
	struct chardev_spec *s;
	int r;

	if (!strncmp(text, "chardev:", 8)) {
		r = find_chardev(o, origin, text + 8, ret_chardev, err);
		if (r)
			return r;
	} else {
		if (o->n_chardevs == CHARDEVS_MAX)
			return error_set(err, EINVAL, "%s: more than %d character back ends",
				origin, CHARDEVS_MAX);
		r = chardev_spec_parse_short(&o->chardevs[o->n_chardevs], origin, text, user, err);
		if (r)
			return r;
		*ret_chardev = (int)o->n_chardevs++;
	}
	s = &o->chardevs[*ret_chardev];
	if (s->n_users && !s->mux)
		return error_set(err, EINVAL,
			"%s: the character back end '%s' is used by %s already; with mux=on it can "
			"have several users",
			origin, s->id, s->user);
	if (!s->n_users++)
		snprintf(s->user, sizeof(s->user), "%s", user);
	return 0;
}

static int check_stdio_once(const struct options *o, struct error *err)
{
	const struct chardev_spec *first = NULL;

	for (size_t i = 0; i < o->n_chardevs; i++) {
		const struct chardev_spec *s = &o->chardevs[i];

		if (s->kind != CHARDEV_STDIO)
			continue;
		if (first)
			return error_set(err, EINVAL,
				"standard input and output can have one user: '%s' and '%s' both "
				"want them (one -chardev "
				"stdio,mux=on can be shared)",
				first->id, s->id);
		first = s;
	}
	return 0;
}

/* ---- serial ports ---- */

/* What -serial gave (or the default) becomes isa-serial devices in front of those of -device. */
static int add_serial_ports(struct options *o, struct error *err)
{
	struct device_spec made[SERIAL_PORTS_MAX];
	size_t n = 0;
	int r;

	if (!o->n_serial && !o->nodefaults) {
		bool have = false;

		for (size_t i = 0; i < o->n_devices; i++)
			have = have || (o->devices[i].type->flags & DEVICE_SERIAL);
		/* As with QEMU, a serial port by -device takes the place of the default one, but
		 * not of the terminal's. */
		if (o->nographic || !have) {
			r = option_set_string(
				&o->serial_text[0], o->nographic ? "mon:stdio" : "null", err);
			if (r)
				return r;
			o->n_serial = 1;
		}
	}
	for (size_t i = 0; i < o->n_serial; i++) {
		if (!strcmp(o->serial_text[i], "none"))
			continue;
		made[n] = (struct device_spec){ .type = device_type_find("isa-serial"),
			.chardev = -1,
			.stream = -1,
			.drive = -1 };
		device_spec_set(&made[n], "index", i);
		r = option_set_string(&made[n].chardev_text, o->serial_text[i], err);
		if (r) {
			while (n--)
				device_spec_done(&made[n]);
			return r;
		}
		n++;
	}
	if (o->n_devices + n > DEVICES_MAX) {
		while (n--)
			device_spec_done(&made[n]);
		return error_set(err, EINVAL, "more than %d devices", DEVICES_MAX);
	}
	memmove(o->devices + n, o->devices, o->n_devices * sizeof(o->devices[0]));
	memcpy(o->devices, made, n * sizeof(made[0]));
	o->n_devices += n;
	return 0;
}

/* Gives each serial port without one the first free index; an index is a port's name. */
static int number_serial_ports(struct options *o, struct error *err)
{
	bool taken[SERIAL_PORTS_MAX] = { false };

	for (size_t i = 0; i < o->n_devices; i++) {
		struct device_spec *d = &o->devices[i];
		uint64_t index;

		if (!(d->type->flags & DEVICE_SERIAL) || !device_spec_get(d, "index", &index))
			continue;
		if (taken[index])
			return error_set(err, EINVAL, "two serial ports have index=%d", (int)index);
		taken[index] = true;
	}
	for (size_t i = 0; i < o->n_devices; i++) {
		struct device_spec *d = &o->devices[i];
		uint64_t index;

		if (!(d->type->flags & DEVICE_SERIAL))
			continue;
		if (!device_spec_get(d, "index", &index)) {
			for (index = 0; index < SERIAL_PORTS_MAX && taken[index]; index++)
				;
			if (index == SERIAL_PORTS_MAX)
				return error_set(err, EINVAL,
					"-device isa-serial: there are only %d serial ports",
					SERIAL_PORTS_MAX);
			taken[index] = true;
			device_spec_set(d, "index", index);
		}
		snprintf(d->stream_name, sizeof(d->stream_name), "serial%d", (int)index);
	}
	return 0;
}

/* ---- streams ---- */

static void name_streams(struct options *o)
{
	int n_debugcon = 0;

	for (size_t i = 0; i < o->n_devices; i++) {
		struct device_spec *d = &o->devices[i];
		const char *base = d->type->driver;

		if (!(d->type->flags & DEVICE_CHARDEV) || (d->type->flags & DEVICE_SERIAL))
			continue;
		if (!strncmp(base, "isa-", 4))
			base += 4;
		if (n_debugcon++)
			snprintf(d->stream_name, sizeof(d->stream_name), "%.16s%d", base,
				n_debugcon - 1);
		else
			snprintf(d->stream_name, sizeof(d->stream_name), "%.16s", base);
	}
}

/* Serial ports first, then others, in command line order; devices take the same order. */
static void order_devices(struct options *o)
{
	struct device_spec sorted[DEVICES_MAX];
	size_t n = 0;

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < o->n_devices; i++)
			if (!!(o->devices[i].type->flags & DEVICE_SERIAL) == !pass)
				sorted[n++] = o->devices[i];
	must(n == o->n_devices);
	memcpy(o->devices, sorted, n * sizeof(sorted[0]));
	for (size_t i = 0; i < n; i++)
		if (o->devices[i].type->flags & DEVICE_CHARDEV)
			o->devices[i].stream = (int)o->n_streams++;
}

static int attach_all(struct options *o, struct error *err)
{
	for (size_t i = 0; i < o->n_devices; i++) {
		struct device_spec *d = &o->devices[i];
		char origin[48];
		int r;

		if (!(d->type->flags & DEVICE_CHARDEV))
			continue;
		snprintf(origin, sizeof(origin), "%s (%s)", d->stream_name, d->type->driver);
		r = attach(o, d->chardev_text, d->stream_name, &d->chardev, origin, err);
		if (r)
			return r;
	}
	for (size_t i = 0; i < o->n_monitors; i++) {
		char name[32];
		int r;

		snprintf(name, sizeof(name), i ? "monitor%zu" : "monitor", i);
		r = attach(o, o->monitors[i].text, name, &o->monitors[i].chardev, "-monitor", err);
		if (r)
			return r;
	}
	for (size_t i = 0; i < o->n_chardevs; i++)
		if (!o->chardevs[i].n_users)
			return error_set(err, EINVAL, "-chardev %s,id=%s: no device uses it",
				chardev_kind_name(o->chardevs[i].kind), o->chardevs[i].id);
	return check_stdio_once(o, err);
}

/* ---- contradictions ---- */

static int check_together(struct options *o, struct error *err)
{
	if (o->rr != RR_OFF && (!o->rr_file || !*o->rr_file))
		return error_set(err, EINVAL, "-icount rr=%s: rrfile=FILE is missing: the log",
			o->rr == RR_DO_RECORD ? "record" : "replay");
	if (o->rr == RR_OFF && o->rr_file)
		return error_set(err, EINVAL,
			"-icount rrfile=%s: rr=record or rr=replay is missing", o->rr_file);
	if (o->rr == RR_OFF && (o->rr_marks_all || o->rr_raw || o->digest_log2 >= 0))
		return error_set(err, EINVAL,
			"-icount: rrmarks, rrformat and rrdigest need rr=record or rr=replay");
	if (o->rr != RR_DO_REPLAY && o->replay_realtime)
		return error_set(err, EINVAL, "-icount replay-speed=realtime needs rr=replay");
	if (o->rr != RR_OFF && o->rtc == RTC_LOCALTIME)
		return error_set(err, EINVAL,
			"-rtc base=localtime cannot be recorded or replayed, because it depends on "
			"the host's time zone; use "
			"base=utc or a date");
	if (o->rr == RR_OFF && o->rr_snapshot)
		return error_set(err, EINVAL,
			"-icount rrsnapshot=%s: rr=record or rr=replay is missing", o->rr_snapshot);
	if (o->rr == RR_DO_RECORD && o->loadvm)
		return error_set(err, EINVAL,
			"-loadvm %s: a recording begins with the machine's first instruction; "
			"-icount rrsnapshot=NAME makes a snapshot there",
			o->loadvm);
	if (o->loadvm && o->rr_snapshot && strcmp(o->loadvm, o->rr_snapshot))
		return error_set(err, EINVAL,
			"-loadvm %s and -icount rrsnapshot=%s: a replay starts in one place",
			o->loadvm, o->rr_snapshot);
	if (!o->kernel && o->initrd)
		return error_set(err, EINVAL, "-initrd %s needs -kernel", o->initrd);
	if (!o->kernel && o->append)
		return error_set(err, EINVAL, "-append needs -kernel");
	return 0;
}

int options_resolve(struct options *o, struct error *err)
{
	int r;

	/* The defaults are the tables' first rows; asking the handlers for them keeps the tables in
	 * one place. */
	if (!o->machine && (r = option_machine(o, "-machine", "pc", err)))
		return r;
	if (!o->cpu_model && (r = option_cpu(o, "-cpu", "dejavm32", err)))
		return r;
	if (!o->engine && (r = option_accel(o, "-accel", "tcg", err)))
		return r;
	if ((r = check_together(o, err)) || (r = options_resolve_display(o, err)) ||
		(r = add_serial_ports(o, err)) || (r = number_serial_ports(o, err)) ||
		(r = options_resolve_drives(o, err)))
		return r;
	name_streams(o);
	order_devices(o);
	return attach_all(o, err);
}
