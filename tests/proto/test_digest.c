/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Digest items: round trips, malformed input, words. And the digest function's golden values: logs
 * depend on them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "digest.h"
#include "hash.h"

#define HASH_GOLDEN_EMPTY UINT64_C(0x9e233af840ada88d)
#define HASH_GOLDEN_7	  UINT64_C(0x10b4b5a3d9eda35e)
#define HASH_GOLDEN_100	  UINT64_C(0x39f14280788e428b)

static void test_round_trip(void **state)
{
	uint8_t buf[256];
	struct digest_writer w = { .buf = buf, .cap = sizeof(buf) };
	struct digest_item it;
	size_t pos = 0;

	digest_put(&w, DIGEST_REG, "eip", 0xfedcba98);
	digest_put_bucket(&w, 0x100, 0x40, 0xdeadbeef);
	digest_put(&w, DIGEST_DEVICE, "", UINT64_MAX);
	assert_int_equal(w.overflow, 0);
	assert_int_equal(digest_next(buf, w.len, &pos, &it), 1);
	assert_int_equal(it.kind, DIGEST_REG);
	assert_string_equal(it.name, "eip");
	assert_true(it.value == 0xfedcba98);
	assert_int_equal(digest_next(buf, w.len, &pos, &it), 1);
	assert_int_equal(it.kind, DIGEST_RAM_BUCKET);
	assert_int_equal(it.first_page, 0x100);
	assert_int_equal(it.npages, 0x40);
	assert_true(it.value == 0xdeadbeef);
	assert_int_equal(digest_next(buf, w.len, &pos, &it), 1);
	assert_string_equal(it.name, "");
	assert_true(it.value == UINT64_MAX);
	assert_int_equal(digest_next(buf, w.len, &pos, &it), 0);
	assert_int_equal(pos, w.len);
}

/* Cut anywhere, the reader says so or ends at an item's border; it never reads behind the end. */
static void test_cut(void **state)
{
	uint8_t buf[64];
	struct digest_writer w = { .buf = buf, .cap = sizeof(buf) };
	struct digest_item it;

	digest_put(&w, DIGEST_REG, "eax", 1);
	digest_put_bucket(&w, 1, 2, 3);
	for (size_t len = 0; len <= w.len; len++) {
		uint8_t exact[64];
		size_t pos = 0;
		int r, n = 0;

		memcpy(exact, buf, len);
		while ((r = digest_next(exact, len, &pos, &it)) == 1)
			n++;
		assert_true(r == (len == 0 || len == 13 || len == w.len ? 0 : -EINVAL));
		assert_true(n == (len < 13 ? 0 : len < w.len ? 1 : 2));
	}
}

static void test_malformed(void **state)
{
	const uint8_t kinds[] = { 0, 7, 255 };
	uint8_t buf[300] = { 0 };
	struct digest_item it;
	size_t pos;

	for (size_t i = 0; i < sizeof(kinds); i++) {
		pos = 0;
		buf[0] = kinds[i];
		assert_int_equal(digest_next(buf, sizeof(buf), &pos, &it), -EINVAL);
		assert_int_equal(pos, 0);
	}
	buf[0] = DIGEST_REG;
	buf[1] = DIGEST_NAME_MAX + 1;
	pos = 0;
	assert_int_equal(digest_next(buf, sizeof(buf), &pos, &it), -EINVAL);
}

static void test_overflow(void **state)
{
	uint8_t buf[20];
	struct digest_writer w = { .buf = buf, .cap = sizeof(buf) };

	digest_put(&w, DIGEST_REG, "eax", 1);
	assert_int_equal(w.overflow, 0);
	digest_put(&w, DIGEST_REG, "ecx", 1);
	assert_int_equal(w.overflow, 1);
	assert_int_equal(w.len, 13);
}

static void test_words(void **state)
{
	struct digest_item it = { .kind = DIGEST_RAM_BUCKET, .first_page = 0x10, .npages = 16 };
	char buf[80];

	digest_item_words(&it, buf, sizeof(buf));
	assert_string_equal(buf, "RAM at 0x10000-0x1ffff");
	it = (struct digest_item){ .kind = DIGEST_DEVICE, .name = "i8254" };
	digest_item_words(&it, buf, sizeof(buf));
	assert_string_equal(buf, "device i8254");
}

/* The function is part of the log's format: these values never change. */
static void test_hash_golden(void **state)
{
	uint8_t data[100];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 1);
	assert_true(hash64(0, data, 0) == HASH_GOLDEN_EMPTY);
	assert_true(hash64(0, data, 7) == HASH_GOLDEN_7);
	assert_true(hash64(1, data, 100) == HASH_GOLDEN_100);
}

/* One bit of difference anywhere changes it. */
static void test_hash_sensitive(void **state)
{
	uint8_t data[77] = { 0 };
	uint64_t h = hash64(5, data, sizeof(data));

	for (size_t bit = 0; bit < sizeof(data) * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_true(hash64(5, data, sizeof(data)) != h);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(hash64(6, data, sizeof(data)) != h);
	assert_true(hash64(5, data, sizeof(data) - 1) != h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_hash_golden),
		cmocka_unit_test(test_hash_sensitive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
