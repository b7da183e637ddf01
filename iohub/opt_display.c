/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -vga, -display, -vnc: the display adapter, and where its picture goes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "display.h"
#include "log.h"
#include "options.h"
#include "opts.h"

#define VNC_PORT_BASE 5900u

int option_vga(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "std", "none", NULL };

	if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
		puts("std                  VGA with Bochs DISPI extension (default)\n"
		     "none                 no display adapter");
		return 1;
	}
	for (int i = 0; known[i]; i++) {
		if (!strcmp(arg, known[i])) {
			o->vga = i ? VGA_NONE : VGA_STD;
			return 0;
		}
	}
	return option_no_such(err, name, "display adapter", arg, known);
}

/* "HOST:D" as a TCP port, "unix:PATH" as a socket. */
static int vnc_address(
	struct chardev_spec *s, const char *name, const char *text, struct error *err)
{
	const char *colon = strrchr(text, ':');
	char *end, port[16];
	unsigned long n;
	int r;

	if (!strncmp(text, "unix:", 5)) {
		if (!text[5] || strlen(text + 5) > 107)
			return error_set(err, EINVAL, "%s %s: expected a path of 1 to 107 bytes",
				name, text);
		return option_set_string(&s->path, text + 5, err);
	}
	errno = 0;
	n = colon ? strtoul(colon + 1, &end, 10) : 0;
	if (!colon || end == colon + 1 || *end || errno || n > 65535 - VNC_PORT_BASE ||
		strchr(colon, '-'))
		return error_set(err, EINVAL,
			"%s %s: expected [HOST]:NUMBER (TCP port %u + NUMBER) or unix:PATH", name,
			text, VNC_PORT_BASE);
	snprintf(port, sizeof(port), "%lu", n + VNC_PORT_BASE);
	r = option_set_string(&s->port, port, err);
	if (!r)
		r = option_set_string(&s->host, text, err);
	if (r)
		return r;
	s->host[colon - text] = '\0';
	/* An IPv6 address in brackets. */
	if (*s->host == '[' && colon[-1] == ']') {
		s->host[colon - text - 1] = '\0';
		memmove(s->host, s->host + 1, strlen(s->host));
	}
	return 0;
}

static int vnc_parse(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "vnc", "password", NULL };
	const char *where;
	struct opts opts;
	int r = opts_parse(&opts, name, arg, "vnc", err);

	if (r)
		return r;
	where = opts_get(&opts, "vnc");
	chardev_spec_done(&o->vnc_spec);
	o->vnc_password = false;
	if (!where)
		r = error_set(err, EINVAL, "%s %s: expected [HOST]:NUMBER or unix:PATH", name, arg);
	else if (strcmp(where, "none"))
		r = vnc_address(&o->vnc_spec, name, where, err);
	if (!r)
		r = opts_get_bool(&opts, "password", &o->vnc_password, err);
	if (!r)
		r = opts_check_unused(&opts, known, err);
	if (!r) {
		o->vnc_spec.kind = CHARDEV_SOCKET;
		o->vnc_spec.server = true;
		o->display = where && strcmp(where, "none") ? DISPLAY_VNC : DISPLAY_NONE;
	}
	opts_done(&opts);
	return r;
}

int option_vnc(struct options *o, const char *name, const char *arg, struct error *err)
{
	return vnc_parse(o, name, arg, err);
}

int option_display(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "none", "curses", "vnc=[HOST]:NUMBER", NULL };

	if (!strncmp(arg, "vnc=", 4))
		return vnc_parse(o, "-display vnc", arg + 4, err);
	if (!strcmp(arg, "none"))
		o->display = DISPLAY_NONE;
	else if (!strcmp(arg, "curses"))
		o->display = DISPLAY_CURSES;
	else
		return option_no_such(err, name, "display", arg, known);
	return 0;
}

int options_resolve_display(struct options *o, struct error *err)
{
	struct device_spec vga = { .chardev = -1, .stream = -1 };
	size_t n = 0;

	for (size_t i = 0; i < o->n_devices; i++)
		n += !strcmp(o->devices[i].type->driver, "VGA");
	if (n > 1)
		return error_set(err, EINVAL, "-device VGA: there can be one display adapter");
	if (n && o->vga == VGA_STD)
		return error_set(
			err, EINVAL, "-vga std and -device VGA: there can be one display adapter");
	if (!n && (o->vga == VGA_STD || (o->vga == VGA_DEFAULT && !o->nodefaults))) {
		vga.type = device_type_find("VGA");
		if (o->n_devices == DEVICES_MAX)
			return error_set(err, EINVAL, "more than %d devices", DEVICES_MAX);
		o->devices[o->n_devices++] = vga;
		n = 1;
	}
	if (!n && o->display > DISPLAY_NONE)
		return error_set(
			err, EINVAL, "-display: this machine has no display adapter (-vga std)");
	if (o->nographic && o->display == DISPLAY_CURSES)
		return error_set(
			err, EINVAL, "-nographic and -display curses: both want the terminal");
	return 0;
}

uint64_t options_vram_bytes(const struct options *o)
{
	for (size_t i = 0; i < o->n_devices; i++) {
		uint64_t mib = VGAMEM_MIB;

		if (strcmp(o->devices[i].type->driver, "VGA"))
			continue;
		device_spec_get(&o->devices[i], "vgamem_mb", &mib);
		return (mib << 20) + DISPLAY_EXTRA_LEN;
	}
	return 0;
}
