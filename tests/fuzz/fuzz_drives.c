/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about disks: a line of the input is an argument, its first letter says of which option.
 * Whatever they are, parsing ends, with a sentence or with a machine whose disks are each at a
 * place of their own, and have one thing behind them.
 */
#include "fuzz.h"

#include <string.h>

#include "options.h"

#define ARGS_MAX 24

static const char s0[] = "dfile=a.qcow2,if=none,id=i\nddriver=blkreplay,if=none,image=i,id=r\n"
			 "Dide-hd,drive=r,bus=ide.1,unit=1,serial=x,bootindex=1\n";
static const char s1[] = "aa.img\nbb.img\ncc.iso\nhd.img\ns\nBorder=dc,once=n,menu=on\n";
static const char s2[] =
	"ddriver=blkdebug,image=i,id=b,if=none,inject-error.0.event=write,inject-error.0."
	"errno=28,inject-error.0.sector=9,inject-error.0.once=on\n"
	"dfile=x,if=none,node-name=i,cache=none,discard=unmap,aio=native\nDide-hd,drive=b\n";
static const char s3[] =
	"rfile=x,overlay=y\ndfile=x,overlay=y,media=disk,index=3,format=raw\nDide-cd\n";

const struct fuzz_seed fuzz_seeds[] = { { s0, sizeof(s0) - 1 }, { s1, sizeof(s1) - 1 },
	{ s2, sizeof(s2) - 1 }, { s3, sizeof(s3) - 1 }, { NULL, 0 } };

static const struct {
	char letter;
	const char *option;
	const char *fixed; /* the argument, instead of the line's */
} letters[] = {
	{ 'd', "-drive", NULL },
	{ 'D', "-device", NULL },
	{ 'a', "-hda", NULL },
	{ 'b', "-hdb", NULL },
	{ 'c', "-cdrom", NULL },
	{ 'h', "-hdd", NULL },
	{ 'B', "-boot", NULL },
	{ 'r', "-icount", "rr=record,rrfile=f" },
	{ 'p', "-icount", "rr=replay,rrfile=f" },
};

static int make_args(char *text, char **argv)
{
	int argc = 1;
	char *save = NULL;

	argv[0] = (char *)"dejavm";
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		if (argc + 2 > ARGS_MAX)
			break;
		if (*l == 's')
			argv[argc++] = (char *)"-snapshot";
		for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
			if (letters[i].letter != *l)
				continue;
			argv[argc++] = (char *)letters[i].option;
			argv[argc++] = letters[i].fixed ? (char *)letters[i].fixed : l + 1;
		}
	}
	return argc;
}

static void check_plan(const struct options *o, const struct device_spec *d)
{
	const struct drive_plan *p = &o->drives[d->drive];

	FUZZ_CHECK(d->drive >= 0 && (size_t)d->drive < o->n_drives);
	FUZZ_CHECK(p->index == (unsigned)d->drive && p->id && *p->id);
	FUZZ_CHECK(p->image || p->cdrom);
	FUZZ_CHECK(!p->image || (p->image->file && *p->image->file));
	FUZZ_CHECK(!(p->overlay && p->temporary) && !(p->overlay && p->kept));
	FUZZ_CHECK(!p->readonly || (!p->overlay && !p->temporary));
	/* The invariant of record and replay. */
	FUZZ_CHECK(o->rr == RR_OFF || !p->image || p->readonly || p->overlay || p->temporary);
}

static void check_disks(const struct options *o)
{
	bool taken[IDE_BUSES][IDE_UNITS] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < o->n_devices; i++) {
		const struct device_spec *d = &o->devices[i];
		uint64_t bus = ~UINT64_C(0), unit = ~UINT64_C(0);

		if (!(d->type->flags & DEVICE_DISK))
			continue;
		FUZZ_CHECK(device_spec_get(d, "bus", &bus) && bus < IDE_BUSES);
		FUZZ_CHECK(device_spec_get(d, "unit", &unit) && unit < IDE_UNITS);
		FUZZ_CHECK(!taken[bus][unit]);
		taken[bus][unit] = true;
		check_plan(o, d);
		n++;
	}
	FUZZ_CHECK(n == o->n_drives);
	for (size_t i = 0; i < o->n_drive_specs; i++)
		FUZZ_CHECK(*o->drive_specs[i].user);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *argv[ARGS_MAX + 2];
	struct error err = ERROR_INIT;
	struct options o;
	int r;

	FUZZ_CHECK(text);
	memcpy(text, data, size);
	text[size] = '\0';
	/* Help is printed. */
	if (!strstr(text, "help") && !strchr(text, '?')) {
		r = options_parse(&o, make_args(text, argv), argv, &err);
		if (r == 0)
			check_disks(&o);
		else
			FUZZ_CHECK(r < 0 && err.code == -r && err.msg[0]);
		options_done(&o);
	}
	free(text);
	return 0;
}
