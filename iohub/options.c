/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop over argv, and --help; both come from options.def. What an option means is in the
 * opt_*.c files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "names.h"
#include "options.h"

enum option_kind { OPT_HEAD, OPT_FLAG, OPT_STR, OPT_FN };

struct option_row {
	enum option_kind kind;
	const char *name, *alias, *arg, *help;
	size_t offset;
	int (*fn)(struct options *, const char *, const char *, struct error *);
};

static const struct option_row option_rows[] = {
#define OPTION_HEAD(text) { OPT_HEAD, text, NULL, NULL, NULL, 0, NULL },
#define OPTION_FLAG(name, alias, field, help) \
	{ OPT_FLAG, name, alias, NULL, help, offsetof(struct options, field), NULL },
#define OPTION_STR(name, alias, arg, field, help) \
	{ OPT_STR, name, alias, arg, help, offsetof(struct options, field), NULL },
#define OPTION_FN(name, alias, arg, fn, help) { OPT_FN, name, alias, arg, help, 0, option_##fn },
#include "options.def"
#undef OPTION_HEAD
#undef OPTION_FLAG
#undef OPTION_STR
#undef OPTION_FN
};

#define N_ROWS (sizeof(option_rows) / sizeof(option_rows[0]))

static const struct option_row *row_find(const char *name)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct option_row *r = &option_rows[i];

		if (r->kind != OPT_HEAD &&
			(!strcmp(r->name, name) || (r->alias && !strcmp(r->alias, name))))
			return r;
	}
	return NULL;
}

static void print_row(const struct option_row *r)
{
	const char *p = r->help, *nl;
	char left[96];
	int n = snprintf(left, sizeof(left), "-%s", r->name);

	if (r->alias)
		n += snprintf(left + n, sizeof(left) - (size_t)n, ", -%s", r->alias);
	if (r->arg)
		n += snprintf(left + n, sizeof(left) - (size_t)n, " %s", r->arg);
	printf(n <= 25 ? "  %-25s " : "  %s\n                            ", left);
	while ((nl = strchr(p, '\n'))) {
		printf("%.*s\n                            ", (int)(nl - p), p);
		p = nl + 1;
	}
	puts(p);
}

void options_print_help(void)
{
	puts("usage: dejavm [OPTION]...\n"
	     "A PC that records what happens to it, and replays it bit for bit. Options are "
	     "QEMU's.");
	for (size_t i = 0; i < N_ROWS; i++) {
		if (option_rows[i].kind == OPT_HEAD)
			printf("\n%s:\n", option_rows[i].name);
		else
			print_row(&option_rows[i]);
	}
}

int option_help(struct options *o, const char *name, const char *arg, struct error *err)
{
	options_print_help();
	return 1;
}

int option_version(struct options *o, const char *name, const char *arg, struct error *err)
{
	puts("dejavm " DEJAVM_VERSION);
	return 1;
}

int option_set_string(char **field, const char *value, struct error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	free(*field);
	*field = copy;
	return 0;
}

int option_no_such(struct error *err, const char *name, const char *kind, const char *word,
	const char *const *exist)
{
	char list[700];
	const char *close = name_closest(word, exist);

	names_join(list, sizeof(list), exist);
	if (close)
		return error_set(err, EINVAL,
			"%s: there is no %s '%s'; did you mean '%s'? There are: %s", name, kind,
			word, close, list);
	return error_set(
		err, EINVAL, "%s: there is no %s '%s'; there are: %s", name, kind, word, list);
}

static int unknown_option(const char *word, const char *dashless, struct error *err)
{
	const char *names[2 * N_ROWS + 1];
	const char *close;
	char list[800];
	size_t n = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		if (option_rows[i].kind != OPT_HEAD)
			names[n++] = option_rows[i].name;
	names[n] = NULL;
	names_join(list, sizeof(list), names);
	close = name_closest(dashless, names);
	if (close)
		return error_set(err, EINVAL,
			"there is no option '%s'; did you mean '-%s'? There are: %s", word, close,
			list);
	return error_set(err, EINVAL, "there is no option '%s'; there are: %s", word, list);
}

static int apply(struct options *o, const struct option_row *r, const char *word, const char *arg,
	struct error *err)
{
	char *base = (char *)o;

	switch (r->kind) {
	case OPT_FLAG: *(bool *)(base + r->offset) = true; return 0;
	case OPT_STR: return option_set_string((char **)(void *)(base + r->offset), arg, err);
	case OPT_FN: return r->fn(o, word, arg, err);
	case OPT_HEAD: break;
	}
	must(!"a heading is not an option");
	return -EINVAL;
}

static void options_init(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->ram_bytes = 128u << 20;
	o->shift = -1;
	o->sleep = true;
	o->accel.window = o->accel.share = o->accel.return_stack = true;
	o->digest_log2 = -1;
	o->log_level = -1;
}

int options_parse(struct options *o, int argc, char **argv, struct error *err)
{
	options_init(o);
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *name, *arg = NULL;
		const struct option_row *r;
		int ret;

		if (word[0] != '-') {
			ret = option_disk(o, word, err);
			if (ret)
				return ret;
			continue;
		}
		if (!word[1])
			return error_set(err, EINVAL,
				"'%s' is not an option, nor the name of a disk image (see --help)",
				word);
		name = word + 1 + (word[1] == '-');
		r = row_find(name);
		if (!r)
			return unknown_option(word, name, err);
		if (r->arg) {
			if (i + 1 >= argc)
				return error_set(err, EINVAL, "%s: an argument is missing: %s %s",
					word, word, r->arg);
			arg = argv[++i];
		}
		ret = apply(o, r, word, arg, err);
		if (ret)
			return ret;
	}
	return options_resolve(o, err);
}

void options_done(struct options *o)
{
	char **strings[] = { &o->kernel, &o->initrd, &o->append, &o->bios, &o->rr_file, &o->name,
		&o->log_file, &o->stats_file, &o->run_dir, &o->debug_items, &o->boot_order,
		&o->boot_once, &o->snapshots, &o->loadvm, &o->rr_snapshot };

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free(*strings[i]);
	for (size_t i = 0; i < o->n_serial; i++)
		free(o->serial_text[i]);
	for (size_t i = 0; i < o->n_monitors; i++)
		free(o->monitors[i].text);
	for (size_t i = 0; i < o->n_chardevs; i++)
		chardev_spec_done(&o->chardevs[i]);
	for (size_t i = 0; i < o->n_devices; i++)
		device_spec_done(&o->devices[i]);
	for (size_t i = 0; i < o->n_drive_specs; i++)
		drive_spec_done(&o->drive_specs[i]);
	for (size_t i = 0; i < o->n_drives; i++)
		free(o->drives[i].id);
	for (size_t i = 0; i < o->n_trace; i++)
		free(o->trace[i]);
	for (size_t i = 0; i < PROC_COUNT; i++)
		free(o->wrap[i]);
	chardev_spec_done(&o->qmp_spec);
	chardev_spec_done(&o->vnc_spec);
	memset(o, 0, sizeof(*o));
}
