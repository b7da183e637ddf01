/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option strings: whatever the text, parsing ends, and what was parsed, written again with its
 * commas doubled, parses to the same.
 */
#include "fuzz.h"

#include <string.h>

#include "opts.h"

static const char s0[] = "pc,accel=tcg,usb=off";
static const char s1[] = "file=a,,b,if=none,id=img,,direct,,,size=1.5G,n=0x10";
static const char s2[] = "shift=7,sleep=on,rr=record,rrfile=replay.bin,size=64K,n=12,flag";

const struct fuzz_seed fuzz_seeds[] = { { s0, sizeof(s0) - 1 }, { s1, sizeof(s1) - 1 },
	{ s2, sizeof(s2) - 1 }, { NULL, 0 } };

static char *write_again(const struct opts *o)
{
	size_t len = 1, n = 0;
	char *out;

	for (size_t i = 0; i < o->n; i++)
		len += strlen(o->v[i].key) + 2 * strlen(o->v[i].value) + 2;
	out = malloc(len);
	FUZZ_CHECK(out);
	for (size_t i = 0; i < o->n; i++) {
		if (i)
			out[n++] = ',';
		n += (size_t)sprintf(out + n, "%s=", o->v[i].key);
		for (const char *p = o->v[i].value; *p; p++) {
			if (*p == ',')
				out[n++] = ',';
			out[n++] = *p;
		}
	}
	out[n] = '\0';
	return out;
}

static void check_getters(struct opts *o)
{
	static const char *const known[] = { "shift", "size", NULL };
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < o->n; i++) {
		const char *key = o->v[i].key;
		uint64_t n = 42;
		bool b = true;

		if (opts_get_u64(o, key, 3, 1000, &n, &err) < 0)
			FUZZ_CHECK(n == 42 && err.code && err.msg[0]);
		else
			FUZZ_CHECK(n >= 3 && n <= 1000);
		opts_get_size(o, key, 1 << 20, &n, &err);
		opts_get_bool(o, key, &b, &err);
		FUZZ_CHECK(opts_get(o, key) != NULL);
	}
	FUZZ_CHECK(opts_check_unused(o, known, &err) == 0);
	for (size_t i = 0; i < o->n; i++)
		o->v[i].used = false;
	FUZZ_CHECK((opts_check_unused(o, known, &err) < 0) == (o->n > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct opts a, b;
	char *text, *again;

	if (size < 1)
		return 0;
	text = malloc(size);
	FUZZ_CHECK(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (opts_parse(&a, "-fuzz", text, data[0] & 1 ? "implied" : NULL, &err) == 0) {
		again = write_again(&a);
		FUZZ_CHECK(opts_parse(&b, "-fuzz", again, NULL, &err) == 0);
		FUZZ_CHECK(a.n == b.n);
		for (size_t i = 0; i < a.n; i++) {
			FUZZ_CHECK(strcmp(a.v[i].key, b.v[i].key) == 0);
			FUZZ_CHECK(strcmp(a.v[i].value, b.v[i].value) == 0);
		}
		check_getters(&a);
		opts_done(&b);
		opts_done(&a);
		free(again);
	} else {
		FUZZ_CHECK(err.code && err.msg[0]);
	}
	free(text);
	return 0;
}
