/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the human monitor. Words, answers and formats are QEMU's. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json.h>

#include "hmp.h"
#include "hub.h"
#include "log.h"

#define WORDS_MAX 6
#define WORD_MAX  HMP_LINE_MAX

/* One line at work. */
struct request {
	struct hub *hub;
	hmp_done_fn *done;
	void *opaque;
	char *text;
	size_t len;
	int n; /* words, the command included */
	char word[WORDS_MAX][WORD_MAX];
};

static void say(struct request *rq, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct request *rq, const char *fmt, ...)
{
	char *more;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&more, fmt, ap);
	va_end(ap);
	must(n >= 0);
	rq->text = realloc(rq->text, rq->len + (size_t)n + 1);
	must(rq->text);
	memcpy(rq->text + rq->len, more, (size_t)n + 1);
	rq->len += (size_t)n;
	free(more);
}

static void end(struct request *rq)
{
	hmp_done_fn *done = rq->done;
	void *opaque = rq->opaque;
	char *text = rq->text;

	free(rq);
	done(opaque, text ? text : "");
	free(text);
}

/* ---- snapshots ---- */

static void on_snapshot(void *opaque, const char *error, const Dejavm__SnapshotReply *reply)
{
	struct request *rq = opaque;

	if (error)
		say(rq, "Error: %s\n", error);
	end(rq);
}

static void cmd_savevm(struct request *rq)
{
	char name[64];
	time_t now = time(NULL);

	strftime(name, sizeof(name), "vm-%Y%m%d%H%M%S", localtime(&now));
	snapshot_do(rq->hub, SNAPSHOT_DO_SAVE, rq->n > 1 ? rq->word[1] : name, on_snapshot, rq);
}

static void cmd_loadvm(struct request *rq)
{
	snapshot_do(rq->hub, SNAPSHOT_DO_LOAD, rq->word[1], on_snapshot, rq);
}

static void cmd_delvm(struct request *rq)
{
	snapshot_do(rq->hub, SNAPSHOT_DO_DELETE, rq->word[1], on_snapshot, rq);
}

static void say_size(char *buf, size_t cap, uint64_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)n;
	int u = 0;

	while (v >= 1000 && u < 4) {
		v /= 1024;
		u++;
	}
	snprintf(buf, cap, "%.3g %s", v, units[u]);
}

static void say_snapshot(struct request *rq, const Dejavm__SnapshotInfo *in)
{
	char size[32], date[32], clock[32], icount[24] = "--";
	time_t s = (time_t)(in->date_ns / 1000000000);
	uint64_t ms = in->vm_clock_ns / 1000000;
	struct tm tm;

	localtime_r(&s, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	say_size(size, sizeof(size), in->vm_size);
	snprintf(clock, sizeof(clock), "%02u:%02u:%02u.%03u", (unsigned)(ms / 3600000 % 100000),
		(unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
	if (in->has_icount)
		snprintf(icount, sizeof(icount), "%llu", (unsigned long long)in->icount);
	say(rq, "%-9s %-16s %8s %20s %14s %12s\n", in->id, in->name, size, date, clock, icount);
}

static void on_list(void *opaque, const char *error, const Dejavm__SnapshotReply *reply)
{
	struct request *rq = opaque;

	if (error) {
		say(rq, "Error: %s\n", error);
	} else if (!reply || !reply->n_list) {
		say(rq, "There is no snapshot available.\n");
	} else {
		say(rq, "List of snapshots present on all disks:\n%-9s %-16s %8s %20s %14s %12s\n",
			"ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
		for (size_t i = 0; i < reply->n_list; i++)
			say_snapshot(rq, reply->list[i]);
	}
	end(rq);
}

/* ---- the run ---- */

static void info_status(struct request *rq)
{
	bool running = rq->hub->life.run_state == RUN_RUNNING;

	say(rq, "VM status: %s%s%s%s\n", running ? "running" : "paused", running ? "" : " (",
		running ? "" : life_status_name(rq->hub), running ? "" : ")");
	end(rq);
}

static void info_version(struct request *rq)
{
	say(rq, "dejavm " DEJAVM_VERSION "\n");
	end(rq);
}

static void info_name(struct request *rq)
{
	if (rq->hub->opt.name)
		say(rq, "%s\n", rq->hub->opt.name);
	end(rq);
}

static void info_snapshots(struct request *rq)
{
	snapshot_do(rq->hub, SNAPSHOT_DO_LIST, "", on_list, rq);
}

/* Where the machine is, and in which log. */
static void info_replay(struct request *rq)
{
	static const char *const modes[] = { "not recording or replaying", "Recording execution",
		"Replaying execution" };
	const struct options *o = &rq->hub->opt;

	if (o->rr == RR_OFF)
		say(rq, "Record/replay is not active\n");
	else
		say(rq, "%s '%s': instruction count = %llu\n", modes[o->rr], o->rr_file,
			(unsigned long long)atomic_read(&rq->hub->machine->icount_now));
	end(rq);
}

static void cmd_stop(struct request *rq)
{
	life_stop(rq->hub);
	end(rq);
}

static void cmd_cont(struct request *rq)
{
	if (life_cont(rq->hub) < 0)
		say(rq, "Error: Resetting the Virtual Machine is required\n");
	end(rq);
}

static void cmd_quit(struct request *rq)
{
	struct hub *hub = rq->hub;

	end(rq);
	life_request_end(hub, END_BY_QMP, 0);
}

/* A command of QMP (monitor.c), with these arguments. */
static void qmp(struct request *rq, const char *command, struct json_object *args)
{
	const char *error = monitor_run(rq->hub, command, args);

	if (error)
		say(rq, "Error: %s\n", error);
	json_object_put(args);
	end(rq);
}

static void cmd_system_reset(struct request *rq)
{
	qmp(rq, "system_reset", NULL);
}

static void cmd_system_powerdown(struct request *rq)
{
	qmp(rq, "system_powerdown", NULL);
}

static void hmp_screendump(struct request *rq)
{
	struct json_object *o = json_object_new_object();
	int file = rq->n > 3 && !strcmp(rq->word[1], "-f") ? 3 : 1;

	json_object_object_add(o, "filename", json_object_new_string(rq->word[file]));
	if (file == 3)
		json_object_object_add(o, "format", json_object_new_string(rq->word[2]));
	else if (rq->n > 3 && !strcmp(rq->word[2], "-f"))
		json_object_object_add(o, "format", json_object_new_string(rq->word[3]));
	qmp(rq, "screendump", o);
}

static void cmd_sendkey(struct request *rq)
{
	struct json_object *o = json_object_new_object(), *keys = json_object_new_array();
	char *save = NULL;

	for (char *k = strtok_r(rq->word[1], "-", &save); k; k = strtok_r(NULL, "-", &save)) {
		struct json_object *v = json_object_new_object();

		json_object_object_add(v, "type", json_object_new_string("qcode"));
		json_object_object_add(v, "data", json_object_new_string(k));
		json_object_array_add(keys, v);
	}
	json_object_object_add(o, "keys", keys);
	if (rq->n > 2)
		json_object_object_add(
			o, "hold-time", json_object_new_int64(strtoll(rq->word[2], NULL, 0)));
	qmp(rq, "send-key", o);
}

static void cmd_help(struct request *rq);
static void cmd_info(struct request *rq);

/* ---- the tables ---- */

struct command {
	const char *name, *alias, *args, *help;
	int min, max; /* arguments */
	void (*run)(struct request *rq);
};

static const struct command commands[] = {
	{ "help", "?", "[cmd]", "show the help", 0, 1, cmd_help },
	{ "info", NULL, "subcommand", "show various information about the system state", 0, 1,
		cmd_info },
	{ "savevm", NULL, "[tag]", "save a VM snapshot; one of this name is replaced", 0, 1,
		cmd_savevm },
	{ "loadvm", NULL, "tag", "restore a VM snapshot from its tag", 1, 1, cmd_loadvm },
	{ "delvm", NULL, "tag", "delete a VM snapshot from its tag", 1, 1, cmd_delvm },
	{ "stop", "s", "", "stop emulation", 0, 0, cmd_stop },
	{ "cont", "c", "", "resume emulation", 0, 0, cmd_cont },
	{ "system_reset", NULL, "", "reset the system", 0, 0, cmd_system_reset },
	{ "system_powerdown", NULL, "", "send system power down event", 0, 0,
		cmd_system_powerdown },
	{ "sendkey", NULL, "keys [hold_ms]", "send keys to the VM (e.g. 'sendkey ctrl-alt-f1')", 1,
		2, cmd_sendkey },
	{ "screendump", NULL, "filename [-f format]", "save the screen to a file", 1, 3,
		hmp_screendump },
	{ "quit", "q", "", "quit the emulator", 0, 0, cmd_quit },
};

static const struct command infos[] = {
	{ "name", NULL, "", "show the current VM name", 0, 0, info_name },
	{ "replay", NULL, "", "show where a recording or replay is", 0, 0, info_replay },
	{ "snapshots", NULL, "", "show the currently saved VM snapshots", 0, 0, info_snapshots },
	{ "status", NULL, "", "show the current VM status (running|paused)", 0, 0, info_status },
	{ "version", NULL, "", "show the version", 0, 0, info_version },
};

#define COUNT(t) (sizeof(t) / sizeof((t)[0]))

static void say_commands(
	struct request *rq, const char *prefix, const struct command *t, size_t n, const char *only)
{
	for (size_t i = 0; i < n; i++)
		if (!only || !strcmp(only, t[i].name))
			say(rq, "%s%s%s%s%s%s -- %s\n", prefix, t[i].name, t[i].alias ? "|" : "",
				t[i].alias ? t[i].alias : "", *t[i].args ? " " : "", t[i].args,
				t[i].help);
}

static void cmd_help(struct request *rq)
{
	const char *only = rq->n > 1 ? rq->word[1] : NULL;

	if (only && !strcmp(only, "info"))
		say_commands(rq, "info ", infos, COUNT(infos), NULL);
	else
		say_commands(rq, "", commands, COUNT(commands), only);
	end(rq);
}

static void cmd_info(struct request *rq)
{
	for (size_t i = 0; i < COUNT(infos) && rq->n > 1; i++) {
		if (strcmp(infos[i].name, rq->word[1]))
			continue;
		infos[i].run(rq);
		return;
	}
	if (rq->n > 1)
		say(rq, "unknown command: 'info %s'\n", rq->word[1]);
	say_commands(rq, "info ", infos, COUNT(infos), NULL);
	end(rq);
}

/* ---- lines ---- */

/* Splits a line into words; "..." is one, with \" and \\ in it. False: a quote is not closed, or
 * there are too many. */
static bool split(struct request *rq, const char *line)
{
	for (;;) {
		char *w;

		line += strspn(line, " \t");
		if (!*line)
			return true;
		if (rq->n == WORDS_MAX)
			return false;
		w = rq->word[rq->n++];
		if (*line != '"') {
			size_t n = strcspn(line, " \t");

			memcpy(w, line, n);
			line += n;
			continue;
		}
		for (line++; *line && *line != '"'; *w++ = *line++)
			if (*line == '\\' && line[1])
				line++;
		if (*line++ != '"')
			return false;
	}
}

void hmp_run(struct hub *hub, const char *line, hmp_done_fn *done, void *opaque)
{
	struct request *rq = calloc(1, sizeof(*rq));

	must(rq && strlen(line) < HMP_LINE_MAX);
	rq->hub = hub;
	rq->done = done;
	rq->opaque = opaque;
	if (!split(rq, line)) {
		say(rq, "Error: a quote is not closed, or there are more than %d words\n",
			WORDS_MAX);
		end(rq);
		return;
	}
	if (!rq->n) {
		end(rq);
		return;
	}
	for (size_t i = 0; i < COUNT(commands); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, rq->word[0]) && (!c->alias || strcmp(c->alias, rq->word[0])))
			continue;
		if (rq->n - 1 >= c->min && rq->n - 1 <= c->max) {
			c->run(rq);
			return;
		}
		say(rq, "%s: %s\nTry \"help %s\" for more information\n", c->name,
			rq->n - 1 < c->min ? "an argument is missing" : "too many arguments",
			c->name);
		end(rq);
		return;
	}
	say(rq, "unknown command: '%s'\n", rq->word[0]);
	end(rq);
}
