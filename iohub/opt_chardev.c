/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts that describe character back ends: -chardev's long form, and the short form of -serial,
 * -debugcon and -qmp. Both end in the same properties: "unix:PATH,server=on" is
 * "socket,path=PATH,server=on".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "opts.h"

/* Properties of each kind, beside id and mux. */
static const struct {
	const char *name, *help;
	const char *props[8];
} kinds[CHARDEV_KINDS] = {
	[CHARDEV_NULL] = { "null", "nothing comes in, what goes out is dropped", { NULL } },
	[CHARDEV_STDIO] = { "stdio", "this terminal, or the program's standard input and output",
		{ "signal", NULL } },
	[CHARDEV_PTY] = { "pty", "a new pseudo-terminal, whose name is printed", { NULL } },
	[CHARDEV_FILE] = { "file", "output to a file", { "path", "append", NULL } },
	[CHARDEV_SOCKET] = { "socket", "unix (path=) or TCP (host=,port=) socket",
		{ "path", "host", "port", "server", "wait", "nodelay", NULL } },
};

const char *chardev_kind_name(enum chardev_kind k)
{
	return kinds[k].name;
}

static void print_chardev_help(void)
{
	for (size_t k = 0; k < CHARDEV_KINDS; k++) {
		printf("%-8s %s\n         options: id, mux", kinds[k].name, kinds[k].help);
		for (const char *const *p = kinds[k].props; *p; p++)
			printf(", %s", *p);
		putchar('\n');
	}
}

static int kind_find(
	const char *origin, const char *word, enum chardev_kind *ret, struct error *err)
{
	const char *names[CHARDEV_KINDS + 1];

	for (size_t k = 0; k < CHARDEV_KINDS; k++) {
		names[k] = kinds[k].name;
		if (!strcmp(word, kinds[k].name)) {
			*ret = (enum chardev_kind)k;
			return 0;
		}
	}
	names[CHARDEV_KINDS] = NULL;
	return option_no_such(err, origin, "character back end", word, names);
}

static int get_string(struct opts *opts, const char *key, char **ret, struct error *err)
{
	const char *v = opts_get(opts, key);

	return v ? option_set_string(ret, v, err) : 0;
}

static int check_socket(
	struct chardev_spec *s, const char *origin, bool wait_given, struct error *err)
{
	char *end;
	unsigned long port;

	if (!s->path == !s->port)
		return error_set(err, EINVAL,
			"%s: a socket needs either path=PATH or host=HOST,port=PORT", origin);
	if (s->host && !s->port)
		return error_set(err, EINVAL, "%s: host=%s needs port=", origin, s->host);
	/* The longest name that struct sockaddr_un holds. */
	if (s->path && (!*s->path || strlen(s->path) > 107))
		return error_set(err, EINVAL,
			"%s: the socket's path has %zu bytes; 1 to 107 are possible", origin,
			strlen(s->path));
	if (s->port) {
		port = strtoul(s->port, &end, 10);
		if (!*s->port || *end || port > 65535)
			return error_set(err, EINVAL,
				"%s: port '%s' is not a number from 0 to 65535", origin, s->port);
	}
	if (wait_given && s->wait && !s->server)
		return error_set(
			err, EINVAL, "%s: wait=on is for a server (server=on) only", origin);
	return 0;
}

/* Reads the kind's properties from opts into *s, which is zeroed but for kind and id. */
static int spec_fill(struct chardev_spec *s, struct opts *opts, bool is_short, struct error *err)
{
	static const char *const known_short[] = { "server", "wait", "nodelay", NULL };
	const char *known[12] = { "id", "mux" };
	bool nowait = false, wait_given = opts_get(opts, "wait") != NULL;
	size_t n = 2;
	int r;

	for (const char *const *p = kinds[s->kind].props; *p; p++)
		known[n++] = *p;
	s->wait = true;
	s->signal = true;
	if ((r = opts_get_bool(opts, "mux", &s->mux, err)))
		return r;
	if (s->kind == CHARDEV_STDIO) {
		s->signal = !s->mux;
		r = opts_get_bool(opts, "signal", &s->signal, err);
	} else if (s->kind == CHARDEV_FILE) {
		if (!(r = get_string(opts, "path", &s->path, err)))
			r = opts_get_bool(opts, "append", &s->append, err);
		if (!r && (!s->path || !*s->path))
			r = error_set(err, EINVAL,
				"%s: path= is missing: the name of the file to write",
				opts->origin);
	} else if (s->kind == CHARDEV_SOCKET) {
		if ((r = get_string(opts, "path", &s->path, err)) ||
			(r = get_string(opts, "host", &s->host, err)) ||
			(r = get_string(opts, "port", &s->port, err)) ||
			(r = opts_get_bool(opts, "server", &s->server, err)) ||
			(r = opts_get_bool(opts, "wait", &s->wait, err)) ||
			(r = opts_get_bool(opts, "nodelay", &s->nodelay, err)) ||
			/* QEMU's older spelling of wait=off. */
			(r = opts_get_bool(opts, "nowait", &nowait, err)))
			return r;
		r = check_socket(s, opts->origin, wait_given, err);
		s->wait = s->wait && !nowait && s->server;
	}
	return r ? r : opts_check_unused(opts, is_short ? known_short : known, err);
}

void chardev_spec_done(struct chardev_spec *s)
{
	free(s->id);
	free(s->path);
	free(s->host);
	free(s->port);
	memset(s, 0, sizeof(*s));
}

int chardev_spec_parse(struct chardev_spec *ret, const char *text, struct error *err)
{
	struct chardev_spec s = { 0 };
	const char *kind, *id;
	struct opts opts;
	int r = opts_parse(&opts, "-chardev", text, "backend", err);

	if (r)
		return r;
	kind = opts_get(&opts, "backend");
	id = opts_get(&opts, "id");
	if (!kind)
		r = error_set(err, EINVAL,
			"-chardev %s: expected KIND,id=ID; '-chardev help' lists the kinds", text);
	if (!r)
		r = kind_find("-chardev", kind, &s.kind, err);
	if (!r && (!id || !*id))
		r = error_set(err, EINVAL,
			"-chardev %s: id= is missing: the name by which a device refers to it",
			text);
	if (!r)
		r = option_set_string(&s.id, id, err);
	if (!r)
		r = spec_fill(&s, &opts, false, err);
	opts_done(&opts);
	if (r)
		chardev_spec_done(&s);
	else
		*ret = s;
	return r;
}

/* "[HOST]:PORT,rest" or "[v6]:PORT,rest" of tcp: into spec; *ret_rest: what follows the port. */
static int split_tcp(struct chardev_spec *s, const char *origin, const char *text,
	const char **ret_rest, struct error *err)
{
	const char *host = text, *colon, *comma = strchr(text, ',');
	size_t addr_len = comma ? (size_t)(comma - text) : strlen(text), host_len;

	colon = memrchr(text, ':', addr_len);
	if (!colon)
		return error_set(err, EINVAL, "%s: 'tcp:%s' has no port; expected tcp:[HOST]:PORT",
			origin, text);
	host_len = (size_t)(colon - host);
	if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
		host++;
		host_len -= 2;
	}
	s->host = strndup(host, host_len);
	s->port = strndup(colon + 1, addr_len - (size_t)(colon + 1 - text));
	if (!s->host || !s->port)
		return error_set(err, ENOMEM, "out of memory");
	*ret_rest = comma ? comma + 1 : "";
	return 0;
}

/* "PATH,rest" of unix:, where a comma in the path is written twice. */
static int split_unix(
	struct chardev_spec *s, const char *text, const char **ret_rest, struct error *err)
{
	size_t n = 0;

	s->path = malloc(strlen(text) + 1);
	if (!s->path)
		return error_set(err, ENOMEM, "out of memory");
	for (; *text && (*text != ',' || text[1] == ','); text++) {
		if (*text == ',')
			text++;
		s->path[n++] = *text;
	}
	s->path[n] = '\0';
	*ret_rest = *text ? text + 1 : "";
	return 0;
}

static int short_socket(
	struct chardev_spec *s, const char *origin, const char *text, struct error *err)
{
	const char *rest = "";
	struct opts opts;
	int r;

	s->kind = CHARDEV_SOCKET;
	if (!strncmp(text, "tcp:", 4))
		r = split_tcp(s, origin, text + 4, &rest, err);
	else
		r = split_unix(s, text + 5, &rest, err);
	if (r)
		return r;
	r = opts_parse(&opts, origin, rest, NULL, err);
	if (r)
		return r;
	/* The address has been read from the text: path=, host= and port= are not options of the
	 * short form. */
	for (size_t i = 0; i < opts.n && !r; i++)
		if (!strcmp(opts.v[i].key, "path") || !strcmp(opts.v[i].key, "host") ||
			!strcmp(opts.v[i].key, "port") || !strcmp(opts.v[i].key, "id"))
			r = error_set(err, EINVAL,
				"%s %s: %s= has no place here; the options are server, wait, "
				"nodelay",
				origin, text, opts.v[i].key);
	if (!r)
		r = spec_fill(s, &opts, true, err);
	opts_done(&opts);
	return r;
}

static int short_plain(
	struct chardev_spec *s, const char *origin, const char *text, struct error *err)
{
	static const char *const forms[] = { "stdio", "mon:stdio", "pty", "null", "none",
		"file:PATH", "unix:PATH", "tcp:HOST:PORT", "chardev:ID", NULL };

	s->signal = true;
	if (!strcmp(text, "null"))
		s->kind = CHARDEV_NULL;
	else if (!strcmp(text, "stdio"))
		s->kind = CHARDEV_STDIO;
	else if (!strcmp(text, "pty"))
		s->kind = CHARDEV_PTY;
	else if (!strncmp(text, "file:", 5)) {
		s->kind = CHARDEV_FILE;
		if (!text[5])
			return error_set(err, EINVAL,
				"%s file: needs the name of the file to write: file:PATH", origin);
		return option_set_string(&s->path, text + 5, err);
	} else
		return option_no_such(err, origin, "character device", text, forms);
	return 0;
}

int chardev_spec_parse_short(struct chardev_spec *ret, const char *origin, const char *text,
	const char *id, struct error *err)
{
	struct chardev_spec s = { 0 };
	bool mux = !strncmp(text, "mon:", 4);
	int r = option_set_string(&s.id, id, err);

	if (r)
		return r;
	if (mux)
		text += 4;
	if (!strncmp(text, "tcp:", 4) || !strncmp(text, "unix:", 5))
		r = short_socket(&s, origin, text, err);
	else
		r = short_plain(&s, origin, text, err);
	if (r) {
		chardev_spec_done(&s);
		return r;
	}
	if (mux) {
		s.mux = s.monitor = true;
		s.signal = false;
	}
	*ret = s;
	return 0;
}

/* ---- option handlers ---- */

int option_chardev(struct options *o, const char *name, const char *arg, struct error *err)
{
	struct chardev_spec s;
	int r;

	if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
		print_chardev_help();
		return 1;
	}
	if (o->n_chardevs == CHARDEVS_MAX)
		return error_set(err, EINVAL, "%s: more than %d back ends", name, CHARDEVS_MAX);
	r = chardev_spec_parse(&s, arg, err);
	if (r)
		return r;
	for (size_t i = 0; i < o->n_chardevs; i++) {
		if (!strcmp(o->chardevs[i].id, s.id)) {
			r = error_set(err, EINVAL,
				"%s %s: the id '%s' is taken by another -chardev", name, arg, s.id);
			chardev_spec_done(&s);
			return r;
		}
	}
	o->chardevs[o->n_chardevs++] = s;
	return 0;
}

int option_serial(struct options *o, const char *name, const char *arg, struct error *err)
{
	int r;

	if (o->n_serial == SERIAL_PORTS_MAX)
		return error_set(err, EINVAL, "%s %s: there are only %d serial ports", name, arg,
			SERIAL_PORTS_MAX);
	r = option_set_string(&o->serial_text[o->n_serial], arg, err);
	if (!r)
		o->n_serial++;
	return r;
}

int option_monitor(struct options *o, const char *name, const char *arg, struct error *err)
{
	int r;

	if (!strcmp(arg, "none") || !strcmp(arg, "null"))
		return 0;
	if (o->n_monitors == MONITORS_MAX)
		return error_set(
			err, EINVAL, "%s %s: more than %d monitors", name, arg, MONITORS_MAX);
	r = option_set_string(&o->monitors[o->n_monitors].text, arg, err);
	if (!r)
		o->n_monitors++;
	return r;
}

int option_qmp(struct options *o, const char *name, const char *arg, struct error *err)
{
	struct chardev_spec s = { 0 };
	int r;

	if (!strcmp(arg, "none")) {
		o->qmp = false;
		return 0;
	}
	if (o->qmp)
		return error_set(err, EINVAL,
			"%s %s: there is one QMP server already; one is possible", name, arg);
	if (strncmp(arg, "unix:", 5) && strncmp(arg, "tcp:", 4))
		return error_set(err, EINVAL,
			"%s %s: expected unix:PATH,server=on,wait=off or "
			"tcp:HOST:PORT,server=on,wait=off or none",
			name, arg);
	r = chardev_spec_parse_short(&s, name, arg, "qmp", err);
	if (!r && !s.server)
		r = error_set(err, EINVAL,
			"%s %s: server=on is missing: QMP is served, it does not call", name, arg);
	if (r) {
		chardev_spec_done(&s);
		return r;
	}
	o->qmp = true;
	o->qmp_spec = s;
	return 0;
}
