/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encoding and decoding of digest items (see digest.h). */
#include "digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put_be(uint8_t *p, uint64_t v, int n)
{
	for (int i = n - 1; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint64_t get_be(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

void digest_put(struct digest_writer *w, enum digest_kind kind, const char *name, uint64_t value)
{
	size_t n = strnlen(name, DIGEST_NAME_MAX);

	if (w->cap - w->len < n + 10) {
		w->overflow = 1;
		return;
	}
	w->buf[w->len++] = (uint8_t)kind;
	w->buf[w->len++] = (uint8_t)n;
	memcpy(w->buf + w->len, name, n);
	w->len += n;
	put_be(w->buf + w->len, value, 8);
	w->len += 8;
}

void digest_put_bucket(struct digest_writer *w, uint32_t first_page, uint32_t npages, uint32_t hash)
{
	if (w->cap - w->len < 14) {
		w->overflow = 1;
		return;
	}
	w->buf[w->len++] = DIGEST_RAM_BUCKET;
	w->buf[w->len++] = 0;
	put_be(w->buf + w->len, first_page, 4);
	put_be(w->buf + w->len + 4, npages, 4);
	put_be(w->buf + w->len + 8, hash, 4);
	w->len += 12;
}

int digest_next(const uint8_t *buf, size_t len, size_t *pos, struct digest_item *ret)
{
	size_t p = *pos, n;

	if (p == len)
		return 0;
	if (len - p < 2)
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	ret->kind = buf[p];
	n = buf[p + 1];
	p += 2;
	if (ret->kind == DIGEST_RAM_BUCKET) {
		if (n != 0 || len - p < 12)
			return -EINVAL;
		ret->first_page = (uint32_t)get_be(buf + p, 4);
		ret->npages = (uint32_t)get_be(buf + p + 4, 4);
		ret->value = get_be(buf + p + 8, 4);
		*pos = p + 12;
		return 1;
	}
	if (ret->kind < DIGEST_REG || ret->kind > DIGEST_OUTPUT || n > DIGEST_NAME_MAX ||
		len - p < n + 8)
		return -EINVAL;
	memcpy(ret->name, buf + p, n);
	ret->value = get_be(buf + p + n, 8);
	*pos = p + n + 8;
	return 1;
}

void digest_item_words(const struct digest_item *it, char *buf, size_t cap)
{
	switch (it->kind) {
	case DIGEST_REG: snprintf(buf, cap, "register %s", it->name); break;
	case DIGEST_CPU: snprintf(buf, cap, "CPU state '%s'", it->name); break;
	case DIGEST_DEVICE: snprintf(buf, cap, "device %s", it->name); break;
	case DIGEST_RAM: snprintf(buf, cap, "RAM"); break;
	case DIGEST_RAM_BUCKET:
		snprintf(buf, cap, "RAM at 0x%llx-0x%llx", (unsigned long long)it->first_page << 12,
			((unsigned long long)it->first_page + it->npages) * 4096 - 1);
		break;
	case DIGEST_OUTPUT: snprintf(buf, cap, "output %s", it->name); break;
	default: snprintf(buf, cap, "unknown item kind %u", it->kind); break;
	}
}
