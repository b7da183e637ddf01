/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAM in a snapshot: what is encoded is decoded, whatever was there before; and what is not an
 * index is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ramcodec.h"

#define NPAGES 3333u /* no multiple of anything */
#define LEN    ((size_t)NPAGES * RAM_PAGE_LEN)

struct sink {
	uint8_t buf[LEN];
	size_t len;
	int fail_after;
};

static int sink_put(void *opaque, const uint8_t *data, size_t len)
{
	struct sink *s = opaque;

	if (s->fail_after && --s->fail_after == 0)
		return -ENOSPC;
	assert_true(s->len + len <= sizeof(s->buf));
	memcpy(s->buf + s->len, data, len);
	s->len += len;
	return 0;
}

static uint8_t *memory(int *ret_fd)
{
	uint8_t *p;

	*ret_fd = memfd_create("ram", MFD_CLOEXEC);
	assert_true(*ret_fd >= 0 && ftruncate(*ret_fd, LEN) == 0);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* Pages of all kinds: text, noise, zero, nearly zero, never touched. */
static void fill(uint8_t *ram, unsigned seed)
{
	srandom(seed);
	for (uint32_t page = 0; page < NPAGES; page++) {
		uint8_t *p = ram + (size_t)page * RAM_PAGE_LEN;

		switch (random() % 40 < 30 ? page / 50 % 5 : (uint32_t)(random() % 5)) {
		case 0:
			for (unsigned i = 0; i < RAM_PAGE_LEN; i++)
				p[i] = (uint8_t) "the quick brown fox "[(i * page) % 20];
			break;
		case 1:
			for (unsigned i = 0; i < RAM_PAGE_LEN; i++)
				p[i] = (uint8_t)random();
			break;
		case 2: memset(p, 0, RAM_PAGE_LEN); break;
		case 3: p[random() % RAM_PAGE_LEN] = 1; break;
		default: break;
		}
	}
}

static void round_trip(unsigned threads, unsigned seed, bool with_fd)
{
	struct ram_codec *c = ram_codec_new(threads);
	int fd_a, fd_b;
	uint8_t *a = memory(&fd_a), *b = memory(&fd_b);
	struct sink *s = calloc(1, sizeof(*s));
	struct ram_index ix, back;
	uint8_t *coded;
	struct stat sa, sb;

	assert_non_null(c);
	fill(a, seed);
	fill(b, seed + 1);
	assert_int_equal(ram_encode(c, a, NPAGES, with_fd ? fd_a : -1, sink_put, s, &ix, NULL), 0);
	assert_int_equal(ix.data_len, s->len);
	coded = malloc(ix.n * RAM_BLOCK_ENTRY_LEN);
	ram_index_encode(&ix, coded);
	assert_int_equal(
		ram_index_decode(&back, coded, ix.n * RAM_BLOCK_ENTRY_LEN, NPAGES, s->len, NULL),
		0);
	assert_int_equal(ram_verify(c, &back, s->buf, NULL), 0);
	assert_int_equal(ram_decode(c, &back, s->buf, b, NPAGES, with_fd ? fd_b : -1, NULL), 0);
	assert_memory_equal(a, b, LEN);
	if (with_fd) { /* zero pages were given back */
		assert_int_equal(fstat(fd_a, &sa), 0);
		assert_int_equal(fstat(fd_b, &sb), 0);
		assert_true(sb.st_blocks <= sa.st_blocks);
	}
	ram_index_free(&ix);
	ram_index_free(&back);
	free(coded);
	free(s);
	munmap(a, LEN);
	munmap(b, LEN);
	close(fd_a);
	close(fd_b);
	ram_codec_free(c);
}

static void test_round_trip(void **state)
{
	for (unsigned seed = 1; seed < 7; seed++)
		round_trip(1 + seed % 3, seed * 100, seed & 1);
	(void)state;
}

static void test_put_fails(void **state)
{
	struct ram_codec *c = ram_codec_new(2);
	struct sink *s = calloc(1, sizeof(*s));
	struct ram_index ix;
	int fd;
	uint8_t *a = memory(&fd);

	fill(a, 1);
	s->fail_after = 2;
	assert_int_equal(ram_encode(c, a, NPAGES, fd, sink_put, s, &ix, NULL), -ENOSPC);
	/* and the threads are ready for the next */
	s->len = 0;
	assert_int_equal(ram_encode(c, a, NPAGES, fd, sink_put, s, &ix, NULL), 0);
	ram_index_free(&ix);
	ram_codec_free(c);
	munmap(a, LEN);
	close(fd);
	free(s);
	(void)state;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void test_bad(void **state)
{
	static const uint32_t bad[][3] = { /* page, npages, stored_len; of 100 pages */
		{ 100, 1, 10 }, { 99, 2, 10 }, { 0, 0, 10 }, { 0, 65, 10 }, { 0, 1, 0 },
		{ 0, 1, 4097 }, { UINT32_MAX, 64, 10 }, { 1, UINT32_MAX, 10 }
	};
	struct ram_codec *c = ram_codec_new(1);
	uint8_t entry[32] = { 0 }, noise[64];
	uint8_t *ram = calloc(100, RAM_PAGE_LEN);
	struct ram_index ix;
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (unsigned k = 0; k < 3; k++)
			put32(entry + 4 * k, bad[i][k]);
		assert_int_equal(ram_index_decode(&ix, entry, 16, 100, bad[i][2], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "RAM"));
	}
	put32(entry, 3);
	put32(entry + 4, 1);
	put32(entry + 8, 64);
	/* out of order, a sum that is wrong, half an entry */
	memcpy(entry + 16, entry, 16);
	assert_int_equal(ram_index_decode(&ix, entry, 32, 100, 128, &err), -EINVAL);
	assert_int_equal(ram_index_decode(&ix, entry, 16, 100, 65, &err), -EINVAL);
	assert_int_equal(ram_index_decode(&ix, entry, 15, 100, 64, &err), -EINVAL);
	/* stored bytes that are not what the index says, or do not inflate */
	assert_int_equal(ram_index_decode(&ix, entry, 16, 100, 64, NULL), 0);
	memset(noise, 0xff, sizeof(noise));
	assert_int_equal(ram_verify(c, &ix, noise, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "page 3"));
	assert_int_equal(ram_decode(c, &ix, noise, ram, 100, -1, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "does not inflate"));
	ram_index_free(&ix);
	free(ram);
	ram_codec_free(c);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_put_fails),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
