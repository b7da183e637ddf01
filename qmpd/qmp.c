/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP sessions (see qmp.h). Classes and words of errors are those of QEMU 7.2, which clients match
 * on; docs/qmpd.md lists them.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "log.h"
#include "qmp.h"

#define GENERIC	  "GenericError"
#define NOT_FOUND "CommandNotFound"
#define ARGS_MAX  8

/* The interface that we speak is that of this version; who we are is said in "package". */
#define QMP_MAJOR 7
#define QMP_MINOR 2
#define QMP_MICRO 0

struct command {
	const char *name;
	/* NULL: the hub's. Sends the answer itself. */
	void (*run)(struct qmp *q, struct json_object *args, struct json_object *id, bool has_id);
	const char *args[ARGS_MAX + 1]; /* of the hub's */
};

#define QMP_LOCAL(name, fn)       \
	static void command_##fn( \
		struct qmp *q, struct json_object *args, struct json_object *id, bool has_id);
#define QMP_HUB(name)
#define QMP_HUB_ARGS(name, ...)
#include "qmp_commands.def"
#undef QMP_LOCAL
#undef QMP_HUB
#undef QMP_HUB_ARGS

static const struct command commands[] = {
#define QMP_LOCAL(name, fn)	{ name, command_##fn, { NULL } },
#define QMP_HUB(name)		{ name, NULL, { NULL } },
#define QMP_HUB_ARGS(name, ...) { name, NULL, { __VA_ARGS__, NULL } },
#include "qmp_commands.def"
#undef QMP_LOCAL
#undef QMP_HUB
#undef QMP_HUB_ARGS
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* ---- what goes out ---- */

/* Sends o and gives it up. */
static void send_object(struct qmp *q, struct json_object *o)
{
	size_t len;
	char *line = json_out_line(o, &len);

	q->output(q->opaque, line, len);
	free(line);
	json_object_put(o);
}

static void add_id(struct json_object *o, struct json_object *id, bool has_id)
{
	if (has_id)
		json_object_object_add(o, "id", json_object_get(id));
}

/* Answers; takes value. */
static void send_return(
	struct qmp *q, struct json_object *value, struct json_object *id, bool has_id)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "return", value);
	add_id(o, id, has_id);
	send_object(q, o);
}

static void send_error(struct qmp *q, struct json_object *id, bool has_id, const char *class,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void send_error(
	struct qmp *q, struct json_object *id, bool has_id, const char *class, const char *fmt, ...)
{
	struct json_object *o = json_object_new_object(), *e = json_object_new_object();
	char desc[1100];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(desc, sizeof(desc), fmt, ap);
	va_end(ap);
	add_id(o, id, has_id);
	json_object_object_add(e, "class", json_object_new_string(class));
	json_object_object_add(e, "desc", json_object_new_string(desc));
	json_object_object_add(o, "error", e);
	send_object(q, o);
}

static struct json_object *version_object(void)
{
	struct json_object *o = json_object_new_object(), *v = json_object_new_object();

	json_object_object_add(v, "micro", json_object_new_int(QMP_MICRO));
	json_object_object_add(v, "minor", json_object_new_int(QMP_MINOR));
	json_object_object_add(v, "major", json_object_new_int(QMP_MAJOR));
	json_object_object_add(o, "qemu", v);
	json_object_object_add(o, "package", json_object_new_string("dejavm " DEJAVM_VERSION));
	return o;
}

static void send_greeting(struct qmp *q)
{
	struct json_object *o = json_object_new_object(), *g = json_object_new_object();

	json_object_object_add(g, "version", version_object());
	json_object_object_add(g, "capabilities", json_object_new_array());
	json_object_object_add(o, "QMP", g);
	send_object(q, o);
}

void qmp_event(struct qmp *q, const char *name, const char *data, int64_t time_us)
{
	struct json_object *o, *t, *d = *data ? json_tokener_parse(data) : NULL;

	if (!q->negotiated) {
		json_object_put(d);
		return;
	}
	o = json_object_new_object();
	t = json_object_new_object();
	json_object_object_add(t, "seconds", json_object_new_int64(time_us / 1000000));
	json_object_object_add(t, "microseconds", json_object_new_int64(time_us % 1000000));
	json_object_object_add(o, "timestamp", t);
	json_object_object_add(o, "event", json_object_new_string(name));
	if (d)
		json_object_object_add(o, "data", d);
	send_object(q, o);
}

/* ---- commands that are answered here ---- */

/* 0, or -EINVAL when an error has been sent. */
static int enable_capabilities(
	struct qmp *q, struct json_object *list, struct json_object *id, bool has_id)
{
	if (!json_object_is_type(list, json_type_array)) {
		send_error(q, id, has_id, GENERIC,
			"Invalid parameter type for 'enable', expected: array");
		return -EINVAL;
	}
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *c = json_object_array_get_idx(list, i);

		if (!json_object_is_type(c, json_type_string)) {
			send_error(q, id, has_id, GENERIC,
				"Invalid parameter type for 'enable[%zu]', expected: string", i);
		} else if (strcmp(json_object_get_string(c), "oob")) {
			send_error(q, id, has_id, GENERIC,
				"Parameter 'null' does not accept value '%.200s'",
				json_object_get_string(c));
		} else {
			send_error(q, id, has_id, GENERIC, "Capability oob not available");
		}
		return -EINVAL;
	}
	return 0;
}

static void command_qmp_capabilities(
	struct qmp *q, struct json_object *args, struct json_object *id, bool has_id)
{
	struct json_object *list;

	if (q->negotiated) {
		send_error(q, id, has_id, NOT_FOUND,
			"Capabilities negotiation is already complete, command ignored");
		return;
	}
	if (args && json_object_object_get_ex(args, "enable", &list) &&
		enable_capabilities(q, list, id, has_id) < 0)
		return;
	q->negotiated = true;
	send_return(q, json_object_new_object(), id, has_id);
}

static void command_query_commands(
	struct qmp *q, struct json_object *args, struct json_object *id, bool has_id)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < N_COMMANDS; i++) {
		struct json_object *c = json_object_new_object();

		json_object_object_add(c, "name", json_object_new_string(commands[i].name));
		json_object_array_add(list, c);
	}
	send_return(q, list, id, has_id);
}

static void command_query_version(
	struct qmp *q, struct json_object *args, struct json_object *id, bool has_id)
{
	send_return(q, version_object(), id, has_id);
}

/* ---- what comes in ---- */

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* What is wrong with the request's form, as a sentence in buf; NULL if nothing. */
static const char *form_error(struct json_object *req, char *buf, size_t cap)
{
	bool have_execute = false;

	if (!json_object_is_type(req, json_type_object))
		return "QMP input must be a JSON object";
	json_object_object_foreach(req, key, value)
	{
		if (!strcmp(key, "execute")) {
			if (!json_object_is_type(value, json_type_string))
				return "QMP input member 'execute' must be a string";
			have_execute = true;
		} else if (!strcmp(key, "arguments")) {
			if (!json_object_is_type(value, json_type_object))
				return "QMP input member 'arguments' must be an object";
		} else if (strcmp(key, "id")) {
			snprintf(buf, cap, "QMP input member '%.200s' is unexpected", key);
			return buf;
		}
	}
	return have_execute ? NULL : "QMP input lacks member 'execute'";
}

/* The first argument that the command does not have, or NULL. */
static const char *unexpected_argument(const struct command *c, struct json_object *args)
{
	if (!args)
		return NULL;
	json_object_object_foreach(args, key, value)
	{
		size_t i = 0;

		(void)value;
		while (c->args[i] && strcmp(c->args[i], key))
			i++;
		if (!c->args[i] && (c->run != command_qmp_capabilities || strcmp(key, "enable")))
			return key;
	}
	return NULL;
}

static void run_command(struct qmp *q, const char *name, struct json_object *args,
	struct json_object *id, bool has_id)
{
	const struct command *c = find_command(name);
	const char *extra, *text;

	if (!q->negotiated && (!c || c->run != command_qmp_capabilities)) {
		send_error(q, id, has_id, NOT_FOUND,
			"Expecting capabilities negotiation with 'qmp_capabilities'");
		return;
	}
	if (!c) {
		send_error(q, id, has_id, NOT_FOUND, "The command %.200s has not been found", name);
		return;
	}
	extra = unexpected_argument(c, args);
	if (extra && !(c->run == command_qmp_capabilities && q->negotiated)) {
		send_error(q, id, has_id, GENERIC, "Parameter '%.200s' is unexpected", extra);
		return;
	}
	if (c->run) {
		c->run(q, args, id, has_id);
		return;
	}
	text = args ? json_object_to_json_string_ext(args, JSON_C_TO_STRING_PLAIN) : "";
	if (strlen(text) > QMP_ARGUMENTS_MAX) {
		send_error(q, id, has_id, GENERIC,
			"The arguments of '%s' are too long: at most %d bytes", name,
			QMP_ARGUMENTS_MAX);
		return;
	}
	q->pending = ++*q->next_number;
	q->pending_id = json_object_get(id);
	q->has_id = has_id;
	q->forward(q->opaque, q->pending, name, text);
}

static bool on_value(void *opaque, struct json_object *req, const char *error)
{
	struct qmp *q = opaque;
	struct json_object *id = NULL, *args = NULL, *name = NULL;
	bool has_id = false;
	char buf[260];

	if (!error && json_object_is_type(req, json_type_object))
		has_id = json_object_object_get_ex(req, "id", &id);
	if (!error)
		error = form_error(req, buf, sizeof(buf));
	if (error) {
		send_error(q, id, has_id, GENERIC, "%s", error);
	} else {
		json_object_object_get_ex(req, "execute", &name);
		json_object_object_get_ex(req, "arguments", &args);
		run_command(q, json_object_get_string(name), args, id, has_id);
	}
	json_object_put(req);
	return !q->pending;
}

void qmp_reply(struct qmp *q, uint64_t number, const char *value, const char *error_class,
	const char *error_desc)
{
	struct json_object *v;

	if (!q->pending || number != q->pending)
		return;
	q->pending = 0;
	if (error_desc) {
		send_error(q, q->pending_id, q->has_id, *error_class ? error_class : GENERIC, "%s",
			error_desc);
	} else {
		v = json_tokener_parse(value);
		send_return(q, v ? v : json_object_new_object(), q->pending_id, q->has_id);
	}
	json_object_put(q->pending_id);
	q->pending_id = NULL;
}

bool qmp_busy(const struct qmp *q)
{
	return q->pending != 0;
}

size_t qmp_feed(struct qmp *q, const void *data, size_t len)
{
	return qmp_busy(q) ? 0 : json_in_feed(&q->in, data, len);
}

void qmp_init(struct qmp *q, uint64_t *next_number,
	void (*output)(void *opaque, const char *text, size_t len),
	void (*forward)(void *opaque, uint64_t number, const char *command, const char *arguments),
	void *opaque)
{
	*q = (struct qmp){
		.output = output, .forward = forward, .opaque = opaque, .next_number = next_number
	};
	json_in_init(&q->in, on_value, q);
	send_greeting(q);
}

void qmp_done(struct qmp *q)
{
	json_in_done(&q->in);
	json_object_put(q->pending_id);
	q->pending_id = NULL;
	q->pending = 0;
}
