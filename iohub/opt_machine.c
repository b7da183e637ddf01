/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options that say what the machine is, how its time runs, and what is logged about it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "options.h"
#include "opts.h"

struct named {
	const char *name, *help;
	int value;
	const char *trace; /* -d: stands for -trace of this */
};

enum { DEBUG_LEVEL_INFO = LOG_LVL_INFO, DEBUG_LEVEL_DEBUG = LOG_LVL_DEBUG };

#define ROW(n, h) { n, h, 0, NULL },

static const struct named machine_types[] = {
#define MACHINE_TYPE(n, h) ROW(n, h)
#define CPU_MODEL(n, h)
#define ENGINE(n, h)
#define DEBUG_ITEM(n, v, h)
#define DEBUG_TRACE(n, t, h)
#include "machine_table.def"
#undef MACHINE_TYPE
#undef CPU_MODEL
	{ NULL, NULL, 0, NULL }
};

static const struct named cpu_models[] = {
#define MACHINE_TYPE(n, h)
#define CPU_MODEL(n, h) ROW(n, h)
#include "machine_table.def"
#undef CPU_MODEL
#undef ENGINE
	{ NULL, NULL, 0, NULL }
};

static const struct named engines[] = {
#define CPU_MODEL(n, h)
#define ENGINE(n, h) ROW(n, h)
#include "machine_table.def"
#undef ENGINE
#undef DEBUG_ITEM
#undef DEBUG_TRACE
	{ NULL, NULL, 0, NULL }
};

static const struct named debug_items[] = {
#define ENGINE(n, h)
#define DEBUG_ITEM(n, v, h)  { n, h, v, NULL },
#define DEBUG_TRACE(n, t, h) { n, h, 0, t },
#include "machine_table.def"
	{ NULL, NULL, 0, NULL }
};

#define NAMES_MAX 16

/* Finds word in the table; 1 when it was "help" and the table was shown. */
static int named_find(const struct named *table, const char *option, const char *kind,
	const char *word, const struct named **ret, struct error *err)
{
	const char *names[NAMES_MAX + 1];
	size_t n = 0;

	if (!strcmp(word, "help") || !strcmp(word, "?")) {
		for (const struct named *t = table; t->name; t++)
			printf("%-20s %s%s\n", t->name, t->help, t == table ? " (default)" : "");
		return 1;
	}
	for (const struct named *t = table; t->name; t++) {
		if (!strcmp(t->name, word)) {
			*ret = t;
			return 0;
		}
		must(n < NAMES_MAX);
		names[n++] = t->name;
	}
	names[n] = NULL;
	return option_no_such(err, option, kind, word, names);
}

/* ---- machine, CPU, engine, memory ---- */

static int set_engine(struct options *o, const char *name, const char *word, struct error *err)
{
	const struct named *t = NULL;
	int r = named_find(engines, name, "execution engine", word, &t, err);

	if (!r)
		o->engine = t->name;
	return r;
}

int option_machine(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "type", "accel", NULL };
	const struct named *t = NULL;
	const char *type, *accel;
	struct opts opts;
	int r = opts_parse(&opts, name, arg, "type", err);

	if (r)
		return r;
	type = opts_get(&opts, "type");
	accel = opts_get(&opts, "accel");
	if (type) {
		r = named_find(machine_types, name, "machine", type, &t, err);
		if (!r)
			o->machine = t->name;
	}
	if (!r && accel)
		r = set_engine(o, name, accel, err);
	if (!r)
		r = opts_check_unused(&opts, known, err);
	opts_done(&opts);
	return r;
}

/* MODEL[,+FEATURE|,-FEATURE]...: what the features' names are, the vCPU knows. */
int option_cpu(struct options *o, const char *name, const char *arg, struct error *err)
{
	const struct named *t = NULL;
	size_t n = strcspn(arg, ",");
	char model[32];
	int r;

	snprintf(model, sizeof(model), "%.*s", (int)n, arg);
	r = named_find(cpu_models, name, "CPU model", model, &t, err);
	if (r)
		return r;
	for (const char *p = arg + n; *p; p += 1 + strcspn(p + 1, ","))
		if ((p[1] != '+' && p[1] != '-') || strcspn(p + 2, ",") == 0)
			return error_set(err, EINVAL,
				"%s %s: after the model come features, as in %s,+sse4.1,-nx", name,
				arg, t->name);
	o->cpu_model = arg;
	return 0;
}

static int engine_numbers(struct options *o, struct opts *opts, struct error *err)
{
	const uint64_t max = 1000000000;
	const char *thread = opts_get(opts, "thread"), *window = opts_get(opts, "window");
	int r;

	if (thread && strcmp(thread, "single"))
		return error_set(err, EINVAL,
			"%s: thread=%s is not possible; this machine has one CPU: thread=single",
			opts->origin, thread);
	if (opts_get(opts, "thresh")) {
		r = opts_get_u64(opts, "thresh", 0, max, &o->accel.thresh, err);
		if (r)
			return r;
		o->accel.has_thresh = true;
	}
	if ((r = opts_get_u64(opts, "budget", 1, max, &o->accel.budget, err)) ||
		(r = opts_get_u64(opts, "tb-size", 1, ACCEL_TB_SIZE_MAX, &o->accel.tb_size, err)) ||
		(r = opts_get_bool(opts, "one-insn-per-tb", &o->accel.one_insn, err)) ||
		(r = opts_get_bool(opts, "return-stack", &o->accel.return_stack, err)))
		return r;
	o->accel.window_always = window && !strcmp(window, "always");
	if (!o->accel.window_always && (r = opts_get_bool(opts, "window", &o->accel.window, err)))
		return r;
	if ((r = opts_get_bool(opts, "share", &o->accel.share, err)))
		return r;
	return opts_get_bool(opts, "perf", &o->accel.perf, err);
}

int option_accel(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "accel", "thresh", "budget", "tb-size", "window",
		"share", "return-stack", "one-insn-per-tb", "perf", "thread", NULL };
	static const char *const none[] = { "accel", NULL };
	const char *engine;
	struct opts opts;
	int r = opts_parse(&opts, name, arg, "accel", err);

	if (r)
		return r;
	engine = opts_get(&opts, "accel");
	r = engine ? set_engine(o, name, engine, err)
		   : error_set(err, EINVAL, "%s %s: the engine's name is missing", name, arg);
	if (!r && strcmp(o->engine, "interp"))
		r = engine_numbers(o, &opts, err);
	if (!r)
		r = opts_check_unused(&opts, strcmp(o->engine, "interp") ? known : none, err);
	opts_done(&opts);
	return r;
}

int option_smp(struct options *o, const char *name, const char *arg, struct error *err)
{
	if (strcmp(arg, "1") && strcmp(arg, "cpus=1"))
		return error_set(err, EINVAL,
			"%s %s: this machine has one CPU; only '%s 1' is possible", name, arg,
			name);
	return 0;
}

int option_memory(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "size", NULL };
	const uint64_t min = 1u << 20, max = UINT64_C(3) << 30;
	uint64_t size = o->ram_bytes;
	struct opts opts;
	int r = opts_parse(&opts, name, arg, "size", err);

	if (r)
		return r;
	r = opts_get_size(&opts, "size", 1u << 20, &size, err);
	if (!r)
		r = opts_check_unused(&opts, known, err);
	opts_done(&opts);
	if (r)
		return r;
	if (size < min || size > max || size % 4096)
		return error_set(err, EINVAL,
			"%s %s: %llu bytes of RAM; from 1M to 3G in whole pages of 4K are possible",
			name, arg, (unsigned long long)size);
	o->ram_bytes = size;
	return 0;
}

/* Letters as in QEMU: each at most once. */
static int boot_letters(const char *origin, const char *key, const char *v, struct error *err)
{
	static const char all[] = "acdn";

	for (const char *c = v; *c; c++) {
		if (!strchr(all, *c))
			return error_set(err, EINVAL,
				"%s: %s=%s: there is no '%c'; there are: a (floppy disk), c (hard "
				"disk), "
				"d (CD-ROM), n (network)",
				origin, key, v, *c);
		if (strchr(c + 1, *c))
			return error_set(
				err, EINVAL, "%s: %s=%s: '%c' is given twice", origin, key, v, *c);
	}
	return *v ? 0
		  : error_set(err, EINVAL, "%s: %s= is empty: expected letters of '%s'", origin,
			    key, all);
}

int option_boot(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "order", "once", "menu", NULL };
	const char *order, *once;
	struct opts opts;
	int r = opts_parse(&opts, name, arg, "order", err);

	if (r)
		return r;
	if ((order = opts_get(&opts, "order")) && !(r = boot_letters(name, "order", order, err)))
		r = option_set_string(&o->boot_order, order, err);
	if (!r && (once = opts_get(&opts, "once")) && !(r = boot_letters(name, "once", once, err)))
		r = option_set_string(&o->boot_once, once, err);
	if (!r)
		r = opts_get_bool(&opts, "menu", &o->boot_menu, err);
	if (!r)
		r = opts_check_unused(&opts, known, err);
	opts_done(&opts);
	return r;
}

int option_only_none(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const none[] = { "none", NULL };

	if (strcmp(arg, "none"))
		return option_no_such(err, name, "choice", arg, none);
	return 0;
}

/* ---- time ---- */

/* One of two words; *ret untouched when the key is absent. */
static int get_choice(struct opts *opts, const char *key, const char *no, const char *yes,
	bool *ret, struct error *err)
{
	const char *v = opts_get(opts, key);

	if (!v)
		return 0;
	if (strcmp(v, no) && strcmp(v, yes))
		return error_set(err, EINVAL, "%s: %s=%s is not possible; %s is '%s' or '%s'",
			opts->origin, key, v, key, no, yes);
	*ret = !strcmp(v, yes);
	return 0;
}

static int icount_shift(struct options *o, struct opts *opts, struct error *err)
{
	const char *v = opts_get(opts, "shift");
	uint64_t shift = 0;
	int r;

	if (!v)
		return 0;
	if (!strcmp(v, "auto")) {
		o->shift = -1;
		return 0;
	}
	r = opts_get_u64(opts, "shift", 0, ICOUNT_SHIFT_MAX, &shift, err);
	if (!r)
		o->shift = (int)shift;
	return r;
}

static int icount_rr(struct options *o, struct opts *opts, struct error *err)
{
	const char *rr = opts_get(opts, "rr"), *file = opts_get(opts, "rrfile");
	uint64_t log2 = 0;
	int r;

	if (rr && strcmp(rr, "record") && strcmp(rr, "replay"))
		return error_set(err, EINVAL,
			"%s: rr=%s is not possible; rr is 'record' or 'replay'", opts->origin, rr);
	if (rr)
		o->rr = !strcmp(rr, "record") ? RR_DO_RECORD : RR_DO_REPLAY;
	if (file && (r = option_set_string(&o->rr_file, file, err)))
		return r;
	if (opts_get(opts, "rrsnapshot") &&
		(r = option_set_string(&o->rr_snapshot, opts_get(opts, "rrsnapshot"), err)))
		return r;
	if ((r = get_choice(opts, "rrmarks", "input", "all", &o->rr_marks_all, err)) ||
		(r = get_choice(opts, "rrformat", "chunks", "raw", &o->rr_raw, err)) ||
		(r = get_choice(opts, "replay-speed", "max", "realtime", &o->replay_realtime, err)))
		return r;
	if (opts_get(opts, "rrdigest")) {
		r = opts_get_u64(opts, "rrdigest", DIGEST_LOG2_MIN, DIGEST_LOG2_MAX, &log2, err);
		if (r)
			return r;
		o->digest_log2 = (int)log2;
	}
	return 0;
}

int option_icount(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "shift", "sleep", "rr", "rrfile", "rrmarks",
		"rrdigest", "rrformat", "rrsnapshot", "replay-speed", NULL };
	struct opts opts;
	int r = opts_parse(&opts, name, arg, "shift", err);

	if (r)
		return r;
	r = icount_shift(o, &opts, err);
	if (!r)
		r = opts_get_bool(&opts, "sleep", &o->sleep, err);
	if (!r)
		r = icount_rr(o, &opts, err);
	if (!r)
		r = opts_check_unused(&opts, known, err);
	opts_done(&opts);
	return r;
}

static bool parse_date(const char *text, int64_t *ret_s)
{
	static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d" };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm;
		const char *end;
		time_t t;
		int mday;

		memset(&tm, 0, sizeof(tm));
		end = strptime(text, formats[i], &tm);
		if (!end || *end)
			continue;
		mday = tm.tm_mday;
		t = timegm(&tm);
		/* strptime() takes the 31st of any month; timegm() makes the 1st of the next of it.
		 */
		if (tm.tm_mday != mday || t < 0)
			return false;
		*ret_s = t;
		return true;
	}
	return false;
}

static int rtc_base(struct options *o, const char *name, const char *base, struct error *err)
{
	if (!strcmp(base, "utc")) {
		o->rtc = RTC_UTC;
	} else if (!strcmp(base, "localtime")) {
		o->rtc = RTC_LOCALTIME;
	} else if (parse_date(base, &o->rtc_s)) {
		o->rtc = RTC_DATE;
	} else {
		return error_set(err, EINVAL,
			"%s: base=%s is not possible; base is 'utc', 'localtime' or a date like "
			"2026-01-02T03:04:05",
			name, base);
	}
	return 0;
}

int option_rtc(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const char *const known[] = { "base", "clock", NULL };
	const char *base, *clock;
	struct opts opts;
	int r = opts_parse(&opts, name, arg, NULL, err);

	if (r)
		return r;
	base = opts_get(&opts, "base");
	clock = opts_get(&opts, "clock");
	if (base)
		r = rtc_base(o, name, base, err);
	if (!r && clock && strcmp(clock, "vm"))
		r = error_set(err, EINVAL,
			"%s: clock=%s is not possible; the clock chip follows virtual time only: "
			"clock=vm",
			name, clock);
	if (!r)
		r = opts_check_unused(&opts, known, err);
	opts_done(&opts);
	return r;
}

/* ---- logging, processes ---- */

int option_trace(struct options *o, const char *name, const char *arg, struct error *err)
{
	if (o->n_trace == TRACE_MAX)
		return error_set(err, EINVAL, "%s: more than %d patterns", name, TRACE_MAX);
	return option_set_string(&o->trace[o->n_trace], arg, err) ?: (o->n_trace++, 0);
}

static int debug_item(struct options *o, const char *name, const char *word, struct error *err)
{
	const struct named *t = NULL;
	int r;

	if (!strncmp(word, "trace:", 6))
		return option_trace(o, name, word + 6, err);
	r = named_find(debug_items, name, "log item", word, &t, err);
	if (r == 1)
		printf("%-20s %s\n", "trace:PATTERN", "the same as -trace PATTERN");
	if (r)
		return r;
	if (t->trace)
		return option_trace(o, name, t->trace, err);
	if (t->value > o->log_level)
		o->log_level = t->value;
	return 0;
}

int option_debug(struct options *o, const char *name, const char *arg, struct error *err)
{
	char *copy = strdup(arg), *save = NULL;
	int r = copy ? 0 : error_set(err, ENOMEM, "out of memory");

	for (char *w = copy ? strtok_r(copy, ",", &save) : NULL; w && !r;
		w = strtok_r(NULL, ",", &save))
		r = debug_item(o, name, w, err);
	free(copy);
	return r;
}

int option_wrap(struct options *o, const char *name, const char *arg, struct error *err)
{
	static const struct {
		const char *name;
		int index;
	} roles[] = {
#define ROLE(index, role, folder, restart) { role, index },
#define SEGMENT(name, role, access)
#include "proc_table.def"
#undef ROLE
#undef SEGMENT
	};
	const char *names[sizeof(roles) / sizeof(roles[0]) + 1] = { NULL };
	const char *eq = strchr(arg, '=');
	char word[32];

	if (!eq || !eq[1])
		return error_set(err, EINVAL,
			"%s %s: expected PROCESS=COMMAND, as in vcpu='gdb --args'", name, arg);
	snprintf(word, sizeof(word), "%.*s", (int)(eq - arg), arg);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (!strcmp(roles[i].name, word))
			return option_set_string(&o->wrap[roles[i].index], eq + 1, err);
		names[i] = roles[i].name;
	}
	return option_no_such(err, name, "process", word, names);
}
