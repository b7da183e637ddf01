/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU-style option strings (see opts.h). */
#include "opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPTS_MAX 1024 /* elements of one option; a bound, not a feature */

/* The value that starts at *p and ends at a single comma or the end, with ",," made ",". Moves *p
 * behind it. */
static char *take_value(const char **p)
{
	const char *s = *p;
	char *out = malloc(strlen(s) + 1);
	size_t n = 0;

	if (!out)
		return NULL;
	for (; *s; s++) {
		if (*s == ',') {
			if (s[1] != ',')
				break;
			s++;
		}
		out[n++] = *s;
	}
	out[n] = '\0';
	*p = s;
	return out;
}

static int opts_append(struct opts *o, char *key, char *value)
{
	struct opt *v;

	if (!key || !value)
		goto no_memory;
	v = realloc(o->v, (o->n + 1) * sizeof(*v));
	if (!v)
		goto no_memory;
	o->v = v;
	o->v[o->n++] = (struct opt){ .key = key, .value = value };
	return 0;
no_memory:
	free(key);
	free(value);
	return -ENOMEM;
}

int opts_parse(struct opts *o, const char *origin, const char *text, const char *implied,
	struct error *err)
{
	const char *p = text;
	int r = 0;

	*o = (struct opts){ .origin = strdup(origin) };
	if (!o->origin)
		return error_set(err, ENOMEM, "%s: out of memory", origin);
	while (*p) {
		size_t len = strcspn(p, "=,");
		bool has_value = p[len] == '=';

		if (o->n >= OPTS_MAX) {
			r = error_set(err, EINVAL, "%s: more than %d elements", origin, OPTS_MAX);
			break;
		}
		if (len == 0) {
			r = error_set(err, EINVAL,
				"%s: an element without a name at '%.40s' (expected key=value,...; "
				"a comma inside a value is written ',,')",
				origin, p);
			break;
		}
		if (has_value) {
			char *key = strndup(p, len);

			p += len + 1;
			r = opts_append(o, key, take_value(&p));
		} else if (o->n == 0 && implied) {
			r = opts_append(o, strdup(implied), take_value(&p));
		} else {
			r = opts_append(o, strndup(p, len), strdup("on"));
			p += len;
		}
		if (r < 0) {
			error_set(err, -r, "%s: out of memory", origin);
			break;
		}
		if (*p == ',')
			p++;
	}
	if (r < 0)
		opts_done(o);
	return r;
}

void opts_done(struct opts *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->v[i].key);
		free(o->v[i].value);
	}
	free(o->v);
	free(o->origin);
	*o = (struct opts){ 0 };
}

const char *opts_get(struct opts *o, const char *key)
{
	const char *value = NULL;

	for (size_t i = 0; i < o->n; i++) {
		if (strcmp(o->v[i].key, key) == 0) {
			o->v[i].used = true;
			value = o->v[i].value;
		}
	}
	return value;
}

int opts_get_bool(struct opts *o, const char *key, bool *ret, struct error *err)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "on", true }, { "off", false }, { "yes", true }, { "no", false },
		{ "true", true }, { "false", false }, { "y", true }, { "n", false } };
	const char *v = opts_get(o, key);

	if (!v)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(v, words[i].word) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return error_set(err, EINVAL, "%s: %s='%.200s': expected 'on' or 'off'", o->origin, key, v);
}

int opts_get_u64(struct opts *o, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct error *err)
{
	const char *v = opts_get(o, key);
	unsigned long long n;
	char *end;

	if (!v)
		return 0;
	errno = 0;
	n = strtoull(v, &end, 0);
	/* strtoull() takes blanks and signs; we do not. */
	if (v[0] < '0' || v[0] > '9' || *end || errno || n < min || n > max)
		return error_set(err, EINVAL,
			"%s: %s='%.200s': expected a number from %llu to %llu", o->origin, key, v,
			(unsigned long long)min, (unsigned long long)max);
	*ret = n;
	return 0;
}

/* Multiplier of a size's suffix, 0 if it is none. */
static uint64_t size_unit(char c)
{
	switch (c) {
	case 'B':
	case 'b': return 1;
	case 'K':
	case 'k': return UINT64_C(1) << 10;
	case 'M':
	case 'm': return UINT64_C(1) << 20;
	case 'G':
	case 'g': return UINT64_C(1) << 30;
	case 'T':
	case 't': return UINT64_C(1) << 40;
	default: return 0;
	}
}

/* Decimal digits with an optional fraction and suffix, in bytes: "512", "1.5G". False if malformed
 * or too large. */
static bool parse_size(const char *s, uint64_t default_unit, uint64_t *ret)
{
	uint64_t whole = 0, frac_num = 0, frac_den = 1, unit = default_unit, bytes;
	const char *p = s;

	if (p[0] == '0' &&
		(p[1] == 'x' || p[1] == 'X')) { /* hexadecimal has no suffix: 'B' is a digit */
		char *end;

		errno = 0;
		whole = strtoull(p, &end, 16);
		if (end == p + 1 || !p[2] || *end || errno)
			return false;
		return !__builtin_mul_overflow(whole, unit, ret);
	}
	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			return false;
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++) {
			if (frac_den >= UINT64_C(1000000)) /* finer than that is nobody's wish */
				continue;
			frac_num = frac_num * 10 + (uint64_t)(*p - '0');
			frac_den *= 10;
		}
		if (frac_den == 1)
			return false;
	}
	if (*p) {
		unit = size_unit(*p++);
		if (!unit || *p)
			return false;
	}
	/* A fraction of a byte is a mistake, not a size. */
	if (unit == 1 && frac_num)
		return false;
	if (__builtin_mul_overflow(whole, unit, &bytes))
		return false;
	/* frac_num < 10^6 and unit <= 2^40: no overflow. */
	return !__builtin_add_overflow(bytes, frac_num * unit / frac_den, ret);
}

int opts_get_size(
	struct opts *o, const char *key, uint64_t default_unit, uint64_t *ret, struct error *err)
{
	const char *v = opts_get(o, key);
	uint64_t n;

	if (!v)
		return 0;
	if (!parse_size(v, default_unit, &n))
		return error_set(err, EINVAL,
			"%s: %s='%.200s': expected a size: a number with an optional suffix B, K, "
			"M, G or T",
			o->origin, key, v);
	*ret = n;
	return 0;
}

int opts_check_unused(const struct opts *o, const char *const *known, struct error *err)
{
	char list[640];
	size_t n = 0;

	for (size_t i = 0; i < o->n; i++) {
		if (o->v[i].used)
			continue;
		list[0] = '\0';
		for (; known && *known; known++) {
			size_t len = strlen(*known);

			if (n + len + 3 > sizeof(list))
				break;
			if (n) {
				memcpy(list + n, ", ", 2);
				n += 2;
			}
			memcpy(list + n, *known, len + 1);
			n += len;
		}
		return error_set(err, EINVAL, "%s: unknown key '%.200s' (there are: %s)", o->origin,
			o->v[i].key, n ? list : "none");
	}
	return 0;
}
