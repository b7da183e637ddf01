/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What qmpd forwards: commands that concern the run. Words and order of events are QEMU's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "clock.h"
#include "hub.h"
#include "log.h"
#include "seq.h"

/* Room for the longest "return", and in a packet. */
#define MONITOR_VALUE_MAX (64 * 1024)

struct monitor_command {
	const char *name;
	/* Returns NULL, or the text of a GenericError. *ret_value: JSON of "return"; it begins as
	 * "{}". */
	const char *(*run)(struct hub *hub, struct json_object *args, char *ret_value, size_t cap);
};

void monitor_event(struct hub *hub, const char *name, const char *data)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__MonitorEvent e = DEJAVM__MONITOR_EVENT__INIT;

	e.name = (char *)name;
	e.data = (char *)data;
	e.time_us = host_realtime_ns() / 1000;
	c.msg_case = DEJAVM__CONTROL__MSG_MONITOR_EVENT;
	c.monitor_event = &e;
	process_send(&hub->proc[PROC_QMPD], &c);
}

static const char *cmd_query_status(
	struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	snprintf(ret, cap, "{\"status\":\"%s\",\"singlestep\":false,\"running\":%s}",
		life_status_name(hub), hub->life.run_state == RUN_RUNNING ? "true" : "false");
	return NULL;
}

static const char *cmd_query_name(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	struct json_object *o;

	if (!hub->opt.name)
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "name", json_object_new_string(hub->opt.name));
	snprintf(ret, cap, "%s", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return NULL;
}

static const char *cmd_stop(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	life_stop(hub);
	return NULL;
}

static const char *cmd_cont(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	return life_cont(hub) < 0 ? "Resetting the Virtual Machine is required" : NULL;
}

const char *monitor_no_input(const struct hub *hub)
{
	if (hub->life.finished)
		return "The run has ended and its log is closed; only 'quit' is possible";
	if (hub->opt.rr == RR_DO_REPLAY)
		return "This is a replay: the machine takes its inputs from the log";
	return NULL;
}

static const char *cmd_system_reset(
	struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	const char *no = monitor_no_input(hub);

	if (!no)
		hostlink_input(hub, SEQ_EV_RESET, 0, SHUTDOWN_HOST_QMP, 0, NULL, 0);
	return no;
}

static const char *cmd_system_powerdown(
	struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	const char *no = monitor_no_input(hub);

	if (!no)
		hostlink_input(hub, SEQ_EV_POWERDOWN, 0, 0, 0, NULL, 0);
	return no;
}

static const char *cmd_quit(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	return NULL; /* after the reply: see monitor_request() */
}

static const struct monitor_command commands[] = {
	{ "query-status", cmd_query_status },
	{ "query-name", cmd_query_name },
	{ "stop", cmd_stop },
	{ "cont", cmd_cont },
	{ "system_reset", cmd_system_reset },
	{ "system_powerdown", cmd_system_powerdown },
	{ "quit", cmd_quit },
	{ "screendump", cmd_screendump },
	{ "send-key", cmd_send_key },
	{ "input-send-event", cmd_input_send_event },
	{ "change-vnc-password", cmd_change_vnc_password },
	{ "set_password", cmd_set_password },
	{ "query-vnc", cmd_query_vnc },
	{ "query-mice", cmd_query_mice },
	{ "query-block", cmd_query_block },
	{ "query-blockstats", cmd_query_blockstats },
	{ "query-named-block-nodes", cmd_query_named_block_nodes },
};

static void reply(struct hub *hub, uint64_t id, const char *error, const char *value)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__MonitorReply r = DEJAVM__MONITOR_REPLY__INIT;

	r.id = id;
	r.ok = !error;
	if (error) {
		r.error_class = (char *)"GenericError";
		r.error_desc = (char *)error;
	} else {
		r.value = (char *)value;
	}
	c.msg_case = DEJAVM__CONTROL__MSG_MONITOR_REPLY;
	c.monitor_reply = &r;
	process_send(&hub->proc[PROC_QMPD], &c);
}

/* Events that QEMU's main loop sends after the command's reply. */
static void after(struct hub *hub, const char *command, const char *error)
{
	if (error)
		return;
	if (!strcmp(command, "system_reset"))
		monitor_event(
			hub, "RESET", "{\"guest\":false,\"reason\":\"host-qmp-system-reset\"}");
	else if (!strcmp(command, "system_powerdown"))
		monitor_event(hub, "POWERDOWN", "");
}

const char *monitor_run(struct hub *hub, const char *command, struct json_object *args)
{
	static char value[MONITOR_VALUE_MAX];
	const char *error = "The hub does not know this command";

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, command))
			error = commands[i].run(hub, args, value, sizeof(value));
	after(hub, command, error);
	return error;
}

/* ---- human-monitor-command: answered when the command is done ---- */

struct human {
	struct hub *hub;
	uint64_t id;
};

static void on_human_done(void *opaque, const char *text)
{
	struct human *h = opaque;
	size_t len = strlen(text), n = 0;
	char *lines = malloc(2 * len + 1);
	struct json_object *o;

	/* Line ends as a monitor sends them, which clients know. */
	must(lines);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			lines[n++] = '\r';
		lines[n++] = text[i];
	}
	o = json_object_new_string_len(lines, (int)n);
	free(lines);
	reply(h->hub, h->id, NULL, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	free(h);
}

static void human_command(struct hub *hub, uint64_t id, struct json_object *args)
{
	struct json_object *line = NULL;
	struct human *h;

	if (!json_object_is_type(args, json_type_object) ||
		!json_object_object_get_ex(args, "command-line", &line)) {
		reply(hub, id, "Parameter 'command-line' is missing", NULL);
		return;
	}
	if (!json_object_is_type(line, json_type_string) ||
		json_object_get_string_len(line) >= HMP_LINE_MAX) {
		reply(hub, id, "Invalid parameter type for 'command-line', expected: string", NULL);
		return;
	}
	h = malloc(sizeof(*h));
	must(h);
	*h = (struct human){ hub, id };
	hmp_run(hub, json_object_get_string(line), on_human_done, h);
}

void monitor_request(struct hub *hub, const Dejavm__MonitorRequest *req)
{
	const char *error = "The hub does not know this command";
	static char value[MONITOR_VALUE_MAX];
	struct json_object *args = *req->arguments ? json_tokener_parse(req->arguments) : NULL;

	if (!strcmp(req->command, "human-monitor-command")) {
		human_command(hub, req->id, args);
		json_object_put(args);
		return;
	}
	strcpy(value, "{}");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, req->command))
			continue;
		error = commands[i].run(hub, args, value, sizeof(value));
		/* quit: SHUTDOWN comes before the reply, and the reply before the end. */
		if (!strcmp(req->command, "quit")) {
			if (!hub->life.shutdown_told)
				monitor_event(hub, "SHUTDOWN",
					"{\"guest\":false,\"reason\":\"host-qmp-quit\"}");
			hub->life.shutdown_told = true;
			reply(hub, req->id, NULL, value);
			json_object_put(args);
			life_request_end(hub, END_BY_QMP, 0);
			return;
		}
		break;
	}
	json_object_put(args);
	reply(hub, req->id, error, value);
	after(hub, req->command, error);
}
