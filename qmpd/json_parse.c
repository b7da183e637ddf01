/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parser of QMP's input: from the tokens of one value to json-c's objects (RFC 8259). The words
 * of errors are QEMU's. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_in.h"
#include "log.h"

struct parse {
	struct json_in *in;
	size_t pos; /* the next token */
	char *buf;  /* room for any decoded string */
};

static int fail(struct parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct parse *p, const char *fmt, ...)
{
	int n = snprintf(p->in->error, sizeof(p->in->error), "JSON parse error, ");
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->in->error + n, sizeof(p->in->error) - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static const struct json_token *next(struct parse *p)
{
	return p->pos < p->in->n_tokens ? &p->in->tokens[p->pos++] : NULL;
}

static const struct json_token *look(const struct parse *p)
{
	return p->pos < p->in->n_tokens ? &p->in->tokens[p->pos] : NULL;
}

/* ---- strings ---- */

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static int hex4(const char *s, const char *end)
{
	int v = 0;

	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = s[i];

		if (c >= '0' && c <= '9')
			v = v * 16 + c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v * 16 + (c | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

/* The \u escape at *s (behind the u), with its low surrogate if it needs one. */
static int unicode_escape(struct parse *p, const char **s, const char *end, uint32_t *ret)
{
	int v = hex4(*s, end), low;

	if (v < 0)
		return fail(p, "invalid hex escape '\\u%.*s' in string",
			(int)(end - *s < 4 ? end - *s : 4), *s);
	*s += 4;
	*ret = (uint32_t)v;
	if (v >= 0xd800 && v < 0xdc00 && end - *s >= 6 && (*s)[0] == '\\' && (*s)[1] == 'u' &&
		(low = hex4(*s + 2, end)) >= 0xdc00 && low < 0xe000) {
		*ret = 0x10000 + ((uint32_t)(v & 0x3ff) << 10) + (uint32_t)(low & 0x3ff);
		*s += 6;
	} else if (v == 0 || (v >= 0xd800 && v < 0xe000)) {
		return fail(p, "\\u%.4s is not a valid Unicode character", *s - 4);
	}
	return 0;
}

/* Length of the valid UTF-8 sequence at s, or 0 (Unicode 15, table 3-7). */
static size_t utf8_len(const unsigned char *s, const unsigned char *end)
{
	size_t n = s[0] < 0x80			 ? 1
		   : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		   : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
		   : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						 : 0;

	if (!n || (size_t)(end - s) < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return n;
}

static int plain_char(struct parse *p, const char **s, const char *end, size_t *out)
{
	size_t n = utf8_len((const unsigned char *)*s, (const unsigned char *)end);

	if (!n)
		return fail(p, "invalid UTF-8 sequence in string");
	memcpy(p->buf + *out, *s, n);
	*s += n;
	*out += n;
	return 0;
}

static int escaped_char(struct parse *p, const char **s, const char *end, size_t *out)
{
	static const char from[] = "\"'\\/bfnrt", to[] = "\"'\\/\b\f\n\r\t";
	char c = *(*s)++;
	const char *f = c ? strchr(from, c) : NULL;
	uint32_t u = 0;
	int r;

	if (f) {
		p->buf[(*out)++] = to[f - from];
		return 0;
	}
	if (c != 'u')
		return fail(p, "invalid escape sequence '\\%c' in string", c);
	r = unicode_escape(p, s, end, &u);
	if (!r)
		*out += put_utf8(p->buf + *out, u);
	return r;
}

/* The decoded string is in p->buf; no escape is shorter than what it stands for. */
static int parse_string(struct parse *p, const struct json_token *t, size_t *ret_len)
{
	const char *s = p->in->text + t->off + 1, *end = s + t->len - 2;
	size_t out = 0;
	int r = 0;

	while (s < end && !r) {
		if (*s == '\\') {
			s++;
			r = escaped_char(p, &s, end, &out);
		} else {
			r = plain_char(p, &s, end, &out);
		}
	}
	p->buf[out] = '\0';
	*ret_len = out;
	return r;
}

/* ---- values ---- */

static int parse_value(struct parse *p, struct json_object **ret);

static int parse_number(struct parse *p, const struct json_token *t, struct json_object **ret)
{
	char *end;

	/* As QEMU: int64 if it fits, else uint64, else floating point. */
	memcpy(p->buf, p->in->text + t->off, t->len);
	p->buf[t->len] = '\0';
	if (!strpbrk(p->buf, ".eE")) {
		errno = 0;
		*ret = json_object_new_int64(strtoll(p->buf, &end, 10));
		if (!errno)
			return 0;
		json_object_put(*ret);
		errno = 0;
		*ret = json_object_new_uint64(strtoull(p->buf, &end, 10));
		if (!errno && *p->buf != '-')
			return 0;
		json_object_put(*ret);
	}
	*ret = json_object_new_double_s(strtod(p->buf, NULL), p->buf);
	return 0;
}

static int parse_keyword(struct parse *p, const struct json_token *t, struct json_object **ret)
{
	const char *s = p->in->text + t->off;

	if (t->len == 4 && !memcmp(s, "true", 4))
		*ret = json_object_new_boolean(true);
	else if (t->len == 5 && !memcmp(s, "false", 5))
		*ret = json_object_new_boolean(false);
	else if (t->len == 4 && !memcmp(s, "null", 4))
		*ret = NULL;
	else
		return fail(p, "invalid keyword '%.*s'", (int)(t->len < 80 ? t->len : 80), s);
	return 0;
}

/* "key": value, into obj. */
static int parse_pair(struct parse *p, struct json_object *obj)
{
	const struct json_token *t = next(p);
	struct json_object *value = NULL;
	size_t len;
	char *key;
	int r;

	if (!t || t->type != TOKEN_STRING)
		return fail(p, "key is not a string in object");
	r = parse_string(p, t, &len);
	if (r)
		return r;
	key = strdup(p->buf);
	must(key);
	t = next(p);
	if (!t || t->type != TOKEN_COLON)
		r = fail(p, "missing : in object pair");
	else
		r = parse_value(p, &value);
	if (!r && json_object_object_get_ex(obj, key, NULL)) {
		r = fail(p, "duplicate key");
		json_object_put(value);
	} else if (!r) {
		json_object_object_add(obj, key, value);
	}
	free(key);
	return r;
}

static int parse_object(struct parse *p, struct json_object *obj)
{
	const struct json_token *t = look(p);
	int r;

	if (t && t->type == TOKEN_RBRACE) {
		p->pos++;
		return 0;
	}
	for (;;) {
		r = parse_pair(p, obj);
		if (r)
			return r;
		t = next(p);
		if (t && t->type == TOKEN_RBRACE)
			return 0;
		if (!t || t->type != TOKEN_COMMA)
			return fail(p, "expected separator in dict");
	}
}

static int parse_array(struct parse *p, struct json_object *arr)
{
	const struct json_token *t = look(p);
	int r;

	if (t && t->type == TOKEN_RBRACKET) {
		p->pos++;
		return 0;
	}
	for (;;) {
		struct json_object *value = NULL;

		r = parse_value(p, &value);
		if (r)
			return r;
		json_object_array_add(arr, value);
		t = next(p);
		if (t && t->type == TOKEN_RBRACKET)
			return 0;
		if (!t || t->type != TOKEN_COMMA)
			return fail(p, "expected separator in list");
	}
}

static int parse_value(struct parse *p, struct json_object **ret)
{
	const struct json_token *t = next(p);
	struct json_object *o;
	size_t len;
	int r;

	if (!t)
		return fail(p, "premature EOI");
	switch (t->type) {
	case TOKEN_NUMBER: return parse_number(p, t, ret);
	case TOKEN_KEYWORD: return parse_keyword(p, t, ret);
	case TOKEN_STRING:
		r = parse_string(p, t, &len);
		if (!r)
			*ret = json_object_new_string_len(p->buf, (int)len);
		return r;
	case TOKEN_LBRACE:
	case TOKEN_LBRACKET:
		o = t->type == TOKEN_LBRACE ? json_object_new_object() : json_object_new_array();
		r = t->type == TOKEN_LBRACE ? parse_object(p, o) : parse_array(p, o);
		if (r)
			json_object_put(o);
		else
			*ret = o;
		return r;
	default: return fail(p, "expecting value");
	}
}

int json_in_parse(struct json_in *in, struct json_object **ret)
{
	struct parse p = { .in = in, .buf = malloc(in->text_len + 1) };
	struct json_object *value = NULL;
	int r;

	must(p.buf);
	r = parse_value(&p, &value);
	/* The lexer ends a value where its brackets close; tokens may be left when they did not
	 * match. */
	if (!r && p.pos != in->n_tokens) {
		json_object_put(value);
		r = fail(&p, "expecting value");
	}
	free(p.buf);
	if (!r)
		*ret = value;
	return r;
}
