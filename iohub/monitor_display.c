/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Monitor commands about picture, keyboard and pointer. Words are QEMU's. */
#include <stdio.h>
#include <string.h>

#include <json.h>

#include "hub.h"
#include "keys.h"
#include "log.h"
#include "seq.h"

#define HOLD_MS_DEFAULT 100
#define HOLD_MS_MAX	60000
#define EVENTS_MAX	256
#define REL_MAX		4096

static char error_text[600];

static const char *fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static const char *fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error_text, sizeof(error_text), fmt, ap);
	va_end(ap);
	return error_text;
}

/* A member of the type; NULL when it is absent. *ret_error when it is another type, or absent and
 * needed. */
static struct json_object *member(struct json_object *o, const char *key, enum json_type type,
	bool needed, const char **ret_error)
{
	struct json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v)) {
		if (needed && !*ret_error)
			*ret_error = fail("Parameter '%s' is missing", key);
		return NULL;
	}
	if (json_object_is_type(v, type))
		return v;
	if (!*ret_error)
		*ret_error = fail("Invalid parameter type for '%s', expected: %s", key,
			type == json_type_int ? "integer" : json_type_to_name(type));
	return NULL;
}

/* ---- screendump ---- */

const char *cmd_screendump(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	const char *error = NULL, *format;
	struct error err = ERROR_INIT;
	struct json_object *name = member(args, "filename", json_type_string, true, &error);
	struct json_object *how = member(args, "format", json_type_string, false, &error);

	member(args, "device", json_type_string, false, &error);
	member(args, "head", json_type_int, false, &error);
	if (error)
		return error;
	format = how ? json_object_get_string(how) : "ppm";
	if (strcmp(format, "ppm") && strcmp(format, "png"))
		return fail("Parameter 'format' does not accept value '%.100s'", format);
	if (screendump(hub, json_object_get_string(name),
		    *format && format[1] == 'n' ? SCREENDUMP_PNG : SCREENDUMP_PPM, &err) < 0)
		return fail("%s", err.msg);
	return NULL;
}

/* ---- keys ---- */

/* A KeyValue: {"type": "qcode", "data": "a"}, or a number. */
static const char *key_value(struct json_object *o, uint32_t *ret_code)
{
	const char *error = NULL, *type;
	struct json_object *t = member(o, "type", json_type_string, true, &error), *d;

	if (error)
		return error;
	type = json_object_get_string(t);
	if (!strcmp(type, "qcode")) {
		d = member(o, "data", json_type_string, true, &error);
		if (error)
			return error;
		*ret_code = key_by_name(json_object_get_string(d));
		if (!*ret_code)
			return fail("Parameter 'data' does not accept value '%.100s'",
				json_object_get_string(d));
		return NULL;
	}
	if (strcmp(type, "number"))
		return fail("Parameter 'type' does not accept value '%.100s'", type);
	d = member(o, "data", json_type_int, true, &error);
	if (error)
		return error;
	*ret_code = json_object_get_int64(d) > 0 && json_object_get_int64(d) < 256
			    ? key_by_number((uint32_t)json_object_get_int64(d))
			    : 0;
	return *ret_code ? NULL : fail("There is no key of number %s", json_object_get_string(d));
}

static void key_send(struct hub *hub, uint32_t code, bool down)
{
	hostlink_input(hub, SEQ_EV_KEY, 0, code, down, NULL, 0);
}

static void release_keys(struct hub *hub)
{
	struct display *d = &hub->display;
	size_t n = d->n_down;

	d->n_down = 0;
	if (monitor_no_input(hub))
		return;
	while (n > 0)
		key_send(hub, d->down[--n], false);
	hostlink_input(hub, SEQ_EV_INPUT_SYNC, 0, 0, 0, NULL, 0);
}

static void on_release(evutil_socket_t fd, short what, void *opaque)
{
	release_keys(opaque);
}

const char *cmd_send_key(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	struct display *d = &hub->display;
	const char *error = NULL;
	struct json_object *keys = member(args, "keys", json_type_array, true, &error);
	struct json_object *hold = member(args, "hold-time", json_type_int, false, &error);
	int64_t ms = hold ? json_object_get_int64(hold) : HOLD_MS_DEFAULT;
	uint32_t code[sizeof(d->down) / sizeof(d->down[0])];
	size_t n = keys ? json_object_array_length(keys) : 0;
	struct timeval tv;

	if (n > sizeof(code) / sizeof(code[0]))
		return fail("Parameter 'keys' has %zu keys: expected at most %zu", n,
			sizeof(code) / sizeof(code[0]));
	for (size_t i = 0; i < n && !error; i++)
		error = key_value(json_object_array_get_idx(keys, i), &code[i]);
	if (!error)
		error = monitor_no_input(hub);
	if (error)
		return error;
	if (ms < 1 || ms > HOLD_MS_MAX)
		ms = HOLD_MS_DEFAULT;
	release_keys(hub); /* of the command before */
	for (size_t i = 0; i < n; i++) {
		key_send(hub, code[i], true);
		d->down[d->n_down++] = code[i];
	}
	hostlink_input(hub, SEQ_EV_INPUT_SYNC, 0, 0, 0, NULL, 0);
	if (!d->release_ev)
		d->release_ev = evtimer_new(hub->base, on_release, hub);
	must(d->release_ev);
	tv = (struct timeval){ ms / 1000, ms % 1000 * 1000 };
	event_add(d->release_ev, &tv);
	return NULL;
}

/* ---- input-send-event ---- */

struct input {
	unsigned event;
	uint32_t a;
	int64_t b;
};

static const char *event_button(struct json_object *data, struct input *ret)
{
	static const char *const names[] = { "left", "right", "middle", "side", "extra" };
	const char *error = NULL, *name;
	struct json_object *down = member(data, "down", json_type_boolean, true, &error);
	struct json_object *button = member(data, "button", json_type_string, true, &error);

	if (error)
		return error;
	name = json_object_get_string(button);
	*ret = (struct input){ SEQ_EV_BTN, 0, json_object_get_boolean(down) };
	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ret->a = i;
		if (!strcmp(names[i], name))
			return NULL;
	}
	/* A wheel is a button that moves: its press is a step. */
	if (strcmp(name, "wheel-up") && strcmp(name, "wheel-down"))
		return fail("Parameter 'button' does not accept value '%.100s'", name);
	*ret = (struct input){ SEQ_EV_REL, 2, !ret->b ? 0 : strcmp(name, "wheel-up") ? -1 : 1 };
	return NULL;
}

static const char *event_rel(struct json_object *data, struct input *ret)
{
	const char *error = NULL, *name;
	struct json_object *axis = member(data, "axis", json_type_string, true, &error);
	struct json_object *value = member(data, "value", json_type_int, true, &error);
	int64_t v;

	if (error)
		return error;
	name = json_object_get_string(axis);
	if (strcmp(name, "x") && strcmp(name, "y"))
		return fail("Parameter 'axis' does not accept value '%.100s'", name);
	v = json_object_get_int64(value);
	*ret = (struct input){ SEQ_EV_REL, *name == 'y',
		v < -REL_MAX  ? -REL_MAX
		: v > REL_MAX ? REL_MAX
			      : v };
	return NULL;
}

static const char *event_key(struct json_object *data, struct input *ret)
{
	const char *error = NULL;
	struct json_object *down = member(data, "down", json_type_boolean, true, &error);
	struct json_object *key = member(data, "key", json_type_object, true, &error);

	if (error)
		return error;
	*ret = (struct input){ SEQ_EV_KEY, 0, json_object_get_boolean(down) };
	return key_value(key, &ret->a);
}

static const char *event_parse(struct json_object *o, struct input *ret)
{
	const char *error = NULL, *type;
	struct json_object *t = member(o, "type", json_type_string, true, &error);
	struct json_object *data = member(o, "data", json_type_object, true, &error);

	if (error)
		return error;
	type = json_object_get_string(t);
	if (!strcmp(type, "key"))
		return event_key(data, ret);
	if (!strcmp(type, "btn"))
		return event_button(data, ret);
	if (!strcmp(type, "rel"))
		return event_rel(data, ret);
	if (!strcmp(type, "abs"))
		return "This machine's pointer is a mouse: it has no absolute positions";
	return fail("Parameter 'type' does not accept value '%.100s'", type);
}

const char *cmd_input_send_event(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	static struct input in[EVENTS_MAX];
	const char *error = NULL;
	struct json_object *events = member(args, "events", json_type_array, true, &error);
	size_t n = events ? json_object_array_length(events) : 0;

	member(args, "device", json_type_string, false, &error);
	member(args, "head", json_type_int, false, &error);
	if (n > EVENTS_MAX)
		return fail(
			"Parameter 'events' has %zu events: expected at most %d", n, EVENTS_MAX);
	/* All or none. */
	for (size_t i = 0; i < n && !error; i++)
		error = event_parse(json_object_array_get_idx(events, i), &in[i]);
	if (!error)
		error = monitor_no_input(hub);
	if (error)
		return error;
	for (size_t i = 0; i < n; i++)
		hostlink_input(hub, in[i].event, 0, in[i].a, in[i].b, NULL, 0);
	hostlink_input(hub, SEQ_EV_INPUT_SYNC, 0, 0, 0, NULL, 0);
	return NULL;
}

/* ---- VNC ---- */

static const char *take_password(struct hub *hub, struct json_object *args)
{
	const char *error = NULL;
	struct json_object *p = member(args, "password", json_type_string, true, &error);

	if (error)
		return error;
	if (hub->opt.display != DISPLAY_VNC || !hub->opt.vnc_password)
		return "Could not set password";
	display_set_password(hub, json_object_get_string(p));
	return NULL;
}

const char *cmd_change_vnc_password(
	struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	return take_password(hub, args);
}

const char *cmd_set_password(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	const char *error = NULL;
	struct json_object *p = member(args, "protocol", json_type_string, true, &error);

	if (error)
		return error;
	if (strcmp(json_object_get_string(p), "vnc"))
		return fail("Parameter 'protocol' does not accept value '%.100s'",
			json_object_get_string(p));
	return take_password(hub, args);
}

const char *cmd_query_vnc(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	const struct chardev_spec *s = &hub->opt.vnc_spec;
	struct json_object *o = json_object_new_object();
	bool on = hub->opt.display == DISPLAY_VNC;

	json_object_object_add(o, "enabled", json_object_new_boolean(on));
	if (on) {
		json_object_object_add(o, "host",
			json_object_new_string(s->path		     ? s->path
					       : s->host && *s->host ? s->host
								     : "0.0.0.0"));
		json_object_object_add(
			o, "service", json_object_new_string(s->path ? s->path : s->port));
		json_object_object_add(
			o, "family", json_object_new_string(s->path ? "unix" : "ipv4"));
		json_object_object_add(
			o, "auth", json_object_new_string(hub->opt.vnc_password ? "vnc" : "none"));
		json_object_object_add(o, "clients", json_object_new_array());
	}
	snprintf(ret, cap, "%s", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return NULL;
}

const char *cmd_query_mice(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	snprintf(ret, cap,
		"[{\"name\":\"PS/2 Mouse\",\"index\":0,\"absolute\":false,\"current\":true}]");
	return NULL;
}
