/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing JSON: libvirt and scripts know QEMU's form, which no formatter of json-c makes. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "log.h"

struct out {
	char *p;
	size_t len, cap;
};

static void put(struct out *o, const char *s, size_t len)
{
	if (o->len + len + 1 > o->cap) {
		o->cap = (o->len + len + 1) * 2;
		o->p = realloc(o->p, o->cap);
		must(o->p);
	}
	memcpy(o->p + o->len, s, len);
	o->len += len;
	o->p[o->len] = '\0';
}

static void puts_(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

static void put_u16(struct out *o, uint32_t u)
{
	char buf[8];

	snprintf(buf, sizeof(buf), "\\u%04X", u & 0xffff);
	puts_(o, buf);
}

/* The character at s; *ret_len bytes. A byte that begins none is U+FFFD. */
static uint32_t decode(const unsigned char *s, size_t left, size_t *ret_len)
{
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2;
	uint32_t u = *s;

	*ret_len = 1;
	if (n == 1)
		return u;
	if (*s < 0xc2 || *s > 0xf4 || n > left)
		return 0xfffd;
	u = *s & (uint8_t)~lead[n];
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0xfffd;
		u = u << 6 | (s[i] & 0x3f);
	}
	if (u < lowest[n] || u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
		return 0xfffd;
	*ret_len = n;
	return u;
}

static void put_string(struct out *o, const char *s, size_t len)
{
	static const char special[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
	size_t n;

	puts_(o, "\"");
	for (size_t i = 0; i < len; i += n) {
		uint32_t u = decode((const unsigned char *)s + i, len - i, &n);
		const char *sp = u && u < 0x80 ? strchr(special, (int)u) : NULL;

		if (sp) {
			puts_(o, "\\");
			put(o, letter + (sp - special), 1);
		} else if (u >= 0x20 && u < 0x7f) {
			put(o, s + i, 1);
		} else if (u > 0xffff) {
			put_u16(o, 0xd800 + ((u - 0x10000) >> 10));
			put_u16(o, 0xdc00 + ((u - 0x10000) & 0x3ff));
		} else {
			put_u16(o, u);
		}
	}
	puts_(o, "\"");
}

static void put_value(struct out *o, struct json_object *v);

static void put_object(struct out *o, struct json_object *v)
{
	bool first = true;

	puts_(o, "{");
	json_object_object_foreach(v, key, member)
	{
		if (!first)
			puts_(o, ", ");
		first = false;
		put_string(o, key, strlen(key));
		puts_(o, ": ");
		put_value(o, member);
	}
	puts_(o, "}");
}

static void put_array(struct out *o, struct json_object *v)
{
	size_t n = json_object_array_length(v);

	puts_(o, "[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			puts_(o, ", ");
		put_value(o, json_object_array_get_idx(v, i));
	}
	puts_(o, "]");
}

static void put_value(struct out *o, struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_object: put_object(o, v); break;
	case json_type_array: put_array(o, v); break;
	case json_type_string:
		put_string(o, json_object_get_string(v), (size_t)json_object_get_string_len(v));
		break;
	default: puts_(o, json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN)); break;
	}
}

char *json_out_line(struct json_object *v, size_t *ret_len)
{
	struct out o = { NULL, 0, 0 };

	put_value(&o, v);
	puts_(&o, "\r\n");
	*ret_len = o.len;
	return o.p;
}
