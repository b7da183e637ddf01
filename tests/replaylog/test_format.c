/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log's format: every event there and back, golden bytes, bounds, chunks, configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "digest.h"
#include "log_words.h"
#include "logfmt.h"
#include "seq.h"

static const uint8_t abc[] = { 'a', 'b', 'c' };
static const uint8_t samples[32] = { 1, 2, 3 };
/* One register item, "eip" = 0x1000. */
static const uint8_t items[] = { DIGEST_REG, 3, 'e', 'i', 'p', 0, 0, 0, 0, 0, 0, 0x10, 0 };
static const uint8_t config[] = { 0, 0, 0, 1, 0, 0, 0, 1, 'k', 0, 0, 0, 2, 'v', 'w' };

#define DATA(x) .data = x, .len = sizeof(x)

/* An event and, where the format is not our own, its bytes as the documents of others have them. */
static const struct {
	struct log_event ev;
	size_t len;
	uint8_t bytes[24];
} cases[] = {
	{ { .id = LOG_INSTRUCTION, .a = 0x01020304 }, 5, { 0, 1, 2, 3, 4 } },
	{ { .id = LOG_INTERRUPT }, 1, { 1 } },
	{ { .id = LOG_EXCEPTION }, 1, { 2 } },
	{ { .id = LOG_ASYNC, .sub = 4, .kind = LOG_ASYNC_BH, .value = 7 }, 11,
		{ 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 7 } },
	{ { .id = LOG_ASYNC,
		  .sub = 4,
		  .kind = LOG_ASYNC_INPUT,
		  .input = LOG_INPUT_KEY,
		  .a = LOG_KEY_NUMBER,
		  .value = 30,
		  .down = 1 },
		20, { 3, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30, 1 } },
	{ { .id = LOG_ASYNC,
		  .sub = 0,
		  .kind = LOG_ASYNC_INPUT,
		  .input = LOG_INPUT_KEY,
		  .a = LOG_KEY_QCODE,
		  .value = 30 },
		16, { 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 30, 0 } },
	{ { .id = LOG_ASYNC, .kind = LOG_ASYNC_INPUT, .input = LOG_INPUT_BTN, .a = 2, .down = 1 },
		12, { 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1 } },
	{ { .id = LOG_ASYNC,
		  .kind = LOG_ASYNC_INPUT,
		  .input = LOG_INPUT_REL,
		  .a = 1,
		  .value = (uint64_t)-3 },
		19, { 3, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 253 } },
	{ { .id = LOG_ASYNC,
		  .kind = LOG_ASYNC_INPUT,
		  .input = LOG_INPUT_ABS,
		  .a = 0,
		  .value = 0x7fff },
		19, { 3, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff } },
	{ { .id = LOG_ASYNC, .sub = 4, .kind = LOG_ASYNC_INPUT_SYNC }, 3, { 3, 4, 2 } },
	{ { .id = LOG_ASYNC, .sub = 4, .kind = LOG_ASYNC_CHAR_READ, .dev = 9, DATA(abc) }, 11,
		{ 3, 4, 3, 9, 0, 0, 0, 3, 'a', 'b', 'c' } },
	{ { .id = LOG_ASYNC, .sub = 4, .kind = LOG_ASYNC_BLOCK, .value = 0x100 }, 11,
		{ 3, 4, 4, 0, 0, 0, 0, 0, 0, 1, 0 } },
	{ { .id = LOG_ASYNC, .sub = 4, .kind = LOG_ASYNC_NET, .dev = 1, .a = 5, DATA(abc) }, 15,
		{ 3, 4, 5, 1, 0, 0, 0, 5, 0, 0, 0, 3, 'a', 'b', 'c' } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_NONE }, 1, { 4 } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_HOST_ERROR }, 1, { 5 } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_HOST_QMP }, 1, { 6 } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_HOST_SIGNAL }, 1, { 7 } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_HOST_UI }, 1, { 8 } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_GUEST_SHUTDOWN }, 1, { 9 } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_GUEST_RESET }, 1, { 10 } },
	{ { .id = LOG_SHUTDOWN, .sub = SHUTDOWN_GUEST_PANIC }, 1, { 11 } },
	{ { .id = LOG_CHAR_WRITE, .a = 1, .b = 2 }, 9, { 13, 0, 0, 0, 1, 0, 0, 0, 2 } },
	{ { .id = LOG_CHAR_READ_ALL, DATA(abc) }, 8, { 14, 0, 0, 0, 3, 'a', 'b', 'c' } },
	{ { .id = LOG_CHAR_READ_ALL_ERROR, .a = 11 }, 5, { 15, 0, 0, 0, 11 } },
	{ { .id = LOG_AUDIO_OUT, .a = 256 }, 5, { 16, 0, 0, 1, 0 } },
	{ { .id = LOG_AUDIO_IN, .a = 2, .b = 6, DATA(samples) }, 41,
		{ 17, 0, 0, 0, 2, 0, 0, 0, 6, 1, 2, 3 } },
	{ { .id = LOG_CLOCK_HOST, .value = 0x0102030405060708 }, 9,
		{ 18, 1, 2, 3, 4, 5, 6, 7, 8 } },
	{ { .id = LOG_CLOCK_VIRTUAL_RT, .value = 1 }, 9, { 19, 0, 0, 0, 0, 0, 0, 0, 1 } },
	{ { .id = LOG_CHECKPOINT, .sub = LOG_CP_WARP_START }, 1, { 20 } },
	{ { .id = LOG_CHECKPOINT, .sub = LOG_CP_CLOCK_VIRTUAL }, 1, { 24 } },
	{ { .id = LOG_CHECKPOINT, .sub = LOG_CP_RESET }, 1, { 28 } },
	{ { .id = LOG_END }, 1, { 29 } },
	{ { .id = LOG_CONFIG, DATA(config) }, 20,
		{ 128, 0, 0, 0, 15, 0, 0, 0, 1, 0, 0, 0, 1, 'k', 0, 0, 0, 2, 'v', 'w' } },
	{ { .id = LOG_DIGEST, DATA(items) }, 18,
		{ 129, 0, 0, 0, 13, 1, 3, 'e', 'i', 'p', 0, 0, 0, 0, 0, 0, 0x10, 0 } },
	{ { .id = LOG_SNAPSHOT, DATA(abc) }, 12, { 130, 0, 0, 0, 7, 0, 0, 0, 3, 'a', 'b', 'c' } },
	{ { .id = LOG_RESTART, DATA(abc) }, 12, { 131, 0, 0, 0, 7, 0, 0, 0, 3, 'a', 'b', 'c' } },
	{ { .id = LOG_WARP, .value = 5000 }, 13,
		{ 132, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x13, 0x88 } },
	{ { .id = LOG_REQUEST, .kind = LOG_REQUEST_RESET }, 6, { 133, 0, 0, 0, 1, 0 } },
	{ { .id = LOG_REQUEST, .kind = LOG_REQUEST_POWERDOWN }, 6, { 133, 0, 0, 0, 1, 1 } },
	{ { .id = LOG_REQUEST, .kind = LOG_REQUEST_NMI }, 6, { 133, 0, 0, 0, 1, 2 } },
	{ { .id = LOG_REQUEST, .kind = LOG_REQUEST_BREAK, .dev = 3 }, 7,
		{ 133, 0, 0, 0, 2, 3, 3 } },
	{ { .id = LOG_CPU_MARK, .mark = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } }, 45,
		{ 134, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4 } },
	{ { .id = LOG_OUTPUT, .dev = 2, DATA(abc) }, 9, { 135, 0, 0, 0, 4, 2, 'a', 'b', 'c' } },
	{ { .id = LOG_BLOCK_ERROR, .value = 0x102, .a = 28, .done = 512 }, 25,
		{ 136, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 2 } },
	{ { .id = 200, DATA(abc) }, 8, { 200, 0, 0, 0, 3, 'a', 'b', 'c' } },
	{ { .id = 255 }, 5, { 255, 0, 0, 0, 0 } },
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static void there_and_back(void **state)
{
	for (size_t i = 0; i < N_CASES; i++) {
		uint8_t buf[256];
		struct log_event ev;
		struct error err = ERROR_INIT;
		int n = log_event_encode(&cases[i].ev, buf, sizeof(buf));
		char words[512];

		assert_int_equal(n, cases[i].len);
		assert_memory_equal(buf, cases[i].bytes, n < 24 ? (size_t)n : 24);
		assert_int_equal(log_event_decode(buf, (size_t)n, &ev, &err), n);
		assert_int_equal(ev.size, n);
		assert_true(log_event_equal(&ev, &cases[i].ev));
		assert_memory_equal(ev.mark, cases[i].ev.mark, sizeof(ev.mark));
		/* More behind it is not looked at. */
		buf[n] = 0xff;
		assert_int_equal(log_event_decode(buf, sizeof(buf), &ev, &err), n);
		/* A piece of it is not an event, and not an error. */
		for (int k = 0; k < n; k++)
			assert_int_equal(log_event_decode(buf, (size_t)k, &ev, &err), 0);
		for (int k = 0; k < n; k++)
			assert_int_equal(log_event_encode(&cases[i].ev, buf, (size_t)k), -EMSGSIZE);
		log_event_words(&cases[i].ev, words, sizeof(words));
		assert_true(words[0] != '\0');
	}
}

/* Each row of the table has a case here: a new event without one is noticed. */
static void all_rows_have_cases(void **state)
{
	static const uint8_t ids[] = {
#define LOG_EVENT(id, name, text, args) id,
#include "log_events.def"
#undef LOG_EVENT
	};

	for (size_t i = 0; i < sizeof(ids); i++) {
		bool found = false;

		for (size_t k = 0; k < N_CASES; k++)
			found |= cases[k].ev.id == ids[i];
		if (!found)
			fail_msg("event %u has no case", ids[i]);
	}
}

static void different_events_are_different(void **state)
{
	for (size_t i = 0; i < N_CASES; i++)
		for (size_t k = 0; k < N_CASES; k++)
			assert_int_equal(log_event_equal(&cases[i].ev, &cases[k].ev), i == k);
}

static void bad_bytes(void **state)
{
	static const struct {
		uint8_t bytes[16];
		size_t len;
		const char *part;
	} bad[] = {
		{ { 12 }, 1, "event id 12" },
		{ { 30 }, 1, "event id 30" },
		{ { 127 }, 1, "event id 127" },
		{ { 3, 9, 0 }, 3, "checkpoint 9" },
		{ { 3, 0, 6 }, 3, "kind 6" },
		{ { 3, 0, 1, 0, 0, 0, 4 }, 7, "input of kind 4" },
		{ { 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2 }, 11, "code of kind 2" },
		{ { 3, 0, 3, 0, 0xff, 0xff, 0xff, 0xff }, 8, "array of 4294967295 bytes" },
		{ { 14, 0x7f, 0, 0, 0 }, 5, "array of" },
		{ { 17, 0xff, 0, 0, 0, 0, 0, 0, 0 }, 9, "audio samples" },
		{ { 129, 0xff, 0xff, 0xff, 0xff }, 5, "payload of 4294967295 bytes" },
		{ { 129, 0, 0, 0, 2, 9, 9 }, 7, "malformed item" },
		{ { 128, 0, 0, 0, 2, 9, 9 }, 7, "config event" },
		{ { 128, 0, 0, 0, 4, 0, 0, 0, 1 }, 9, "config event" },
		{ { 128, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9 }, 13, "config event" },
		{ { 132, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7 }, 12, "warp event with 7 bytes" },
		{ { 132, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9 }, 14, "warp event with 9 bytes" },
		{ { 133, 0, 0, 0, 1, 4 }, 6, "request of kind 4" },
		{ { 133, 0, 0, 0, 1, 3 }, 6, "request event with 1 bytes" },
		{ { 134, 0, 0, 0, 1, 3 }, 6, "cpu-mark event with 1 bytes" },
		{ { 135, 0, 0, 0, 1, 3 }, 6, "output event without bytes" },
		{ { 130, 0, 0, 0, 5, 0, 0, 0, 2, 'x' }, 10, "snapshot event" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct log_event ev;
		struct error err = ERROR_INIT;

		assert_int_equal(log_event_decode(bad[i].bytes, bad[i].len, &ev, &err), -EBADMSG);
		if (!strstr(err.msg, bad[i].part))
			fail_msg("'%s' is not in: %s", bad[i].part, err.msg);
	}
}

static void events_that_cannot_be(void **state)
{
	static const struct log_event bad[] = {
		{ .id = 12 },
		{ .id = 77 },
		{ .id = LOG_SHUTDOWN, .sub = SHUTDOWN_COUNT },
		{ .id = LOG_CHECKPOINT, .sub = LOG_CP_COUNT },
		{ .id = LOG_ASYNC, .kind = LOG_ASYNC_COUNT },
		{ .id = LOG_ASYNC, .sub = LOG_CP_COUNT },
		{ .id = LOG_ASYNC, .kind = LOG_ASYNC_INPUT, .input = LOG_INPUT_COUNT },
		{ .id = LOG_AUDIO_IN, .a = 2, .len = 16 },
		{ .id = LOG_REQUEST, .kind = LOG_REQUEST_COUNT },
		{ .id = LOG_OUTPUT },
	};
	uint8_t buf[64];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(log_event_encode(&bad[i], buf, sizeof(buf)), -EINVAL);
}

static void largest_event(void **state)
{
	size_t max = LOG_EVENT_MAX;
	uint8_t *data = calloc(1, max), *buf = malloc(max + 16);
	struct log_event ev = { .id = 222, .data = data, .len = LOG_EVENT_MAX - 5 }, back;
	struct error err = ERROR_INIT;

	assert_int_equal(log_event_encode(&ev, buf, max + 16), max);
	assert_int_equal(log_event_decode(buf, max, &back, &err), max);
	ev.len++;
	assert_int_equal(log_event_encode(&ev, buf, max + 16), -EMSGSIZE);
	free(data);
	free(buf);
}

static void header(void **state)
{
	static const uint8_t golden[12] = { 0, 0xe0, 0x20, 0x07, 0, 0, 0, 0, 0, 0, 0, 1 };
	uint8_t buf[LOG_HEADER_LEN];
	uint32_t version;
	uint64_t reserved;

	log_header_encode(buf, LOG_VERSION, LOG_CHUNKED);
	assert_memory_equal(buf, golden, 12);
	log_header_decode(buf, &version, &reserved);
	assert_int_equal(version, LOG_VERSION);
	assert_int_equal(reserved, 1);
}

/* The header of a chunk and the CRC, against numbers that were computed elsewhere (python3:
 * zlib.crc32). */
static void chunk_golden(void **state)
{
	static const uint8_t hdr[32] = { 'D', 'J', 'C', 'K', 0, 0, 0, 3, 0, 0, 0, 11, 0, 0, 0, 0, 0,
		0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0xaa, 0x40, 0x3c, 0x30 };
	static const uint8_t stored[11] = { 0x78, 0x9c, 0x4b, 0x4c, 0x4a, 0x06, 0x00, 0x02, 0x4d,
		0x01, 0x27 };
	struct log_chunk c;
	struct error err = ERROR_INIT;
	uint8_t raw[3];

	assert_int_equal(log_chunk_decode(hdr, &c, &err), 0);
	assert_int_equal(c.start_icount, 5);
	assert_int_equal(c.start_event, 6);
	assert_int_equal(log_chunk_open(hdr, &c, stored, raw, &err), 0);
	assert_memory_equal(raw, "abc", 3);
}

static void chunk_there_and_back(void **state)
{
	static uint8_t raw[LOG_CHUNK_RAW_MAX], back[LOG_CHUNK_RAW_MAX], disk[LOG_CHUNK_DISK_MAX];
	static const size_t lens[] = { 1, 2, 1000, LOG_CHUNK_CLOSE, LOG_CHUNK_RAW_MAX };
	struct log_chunk c;
	struct error err = ERROR_INIT;
	uint32_t x = 1;

	/* Nothing that deflate could make smaller. */
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		long n = log_chunk_build(raw, lens[i], 77, 88, disk, sizeof(disk));

		assert_true(n > LOG_CHUNK_HDR_LEN);
		assert_int_equal(log_chunk_decode(disk, &c, &err), 0);
		assert_int_equal(c.raw_len, lens[i]);
		assert_int_equal(c.stored_len, n - LOG_CHUNK_HDR_LEN);
		assert_int_equal(log_chunk_open(disk, &c, disk + LOG_CHUNK_HDR_LEN, back, &err), 0);
		assert_memory_equal(raw, back, lens[i]);
	}
	assert_int_equal(log_chunk_build(raw, 0, 0, 0, disk, sizeof(disk)), -EINVAL);
	assert_int_equal(
		log_chunk_build(raw, LOG_CHUNK_RAW_MAX + 1, 0, 0, disk, sizeof(disk)), -EINVAL);
}

/* Every bit of a chunk counts. */
static void chunk_bits(void **state)
{
	uint8_t raw[40], back[64], disk[LOG_CHUNK_DISK_MAX];
	long n;

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)i;
	n = log_chunk_build(raw, sizeof(raw), 1, 2, disk, sizeof(disk));
	for (long bit = 0; bit < n * 8; bit++) {
		struct log_chunk c;
		struct error err = ERROR_INIT;

		disk[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (log_chunk_decode(disk, &c, &err) == 0) {
			/* A reader would have as many bytes as the header says. */
			if (c.stored_len <= LOG_CHUNK_DISK_MAX - LOG_CHUNK_HDR_LEN &&
				c.raw_len <= sizeof(back))
				assert_int_equal(log_chunk_open(disk, &c, disk + LOG_CHUNK_HDR_LEN,
							 back, &err),
					-EBADMSG);
		}
		assert_true(err.code != 0 || c.raw_len > sizeof(back));
		disk[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void config_items(void **state)
{
	uint8_t buf[128];
	size_t len = 0, pos = 0;
	struct log_config_item it;

	assert_int_equal(log_config_put(buf, sizeof(buf), &len, "a", "1"), 0);
	assert_int_equal(log_config_put(buf, sizeof(buf), &len, "key", ""), 0);
	assert_int_equal(log_config_next(buf, len, &pos, &it), 1);
	assert_int_equal(it.key_len, 1);
	assert_memory_equal(it.value, "1", 1);
	assert_int_equal(log_config_next(buf, len, &pos, &it), 1);
	assert_memory_equal(it.key, "key", 3);
	assert_int_equal(it.value_len, 0);
	assert_int_equal(log_config_next(buf, len, &pos, &it), 0);
	assert_int_equal(
		log_config_put(buf, 40, &len, "long key", "long value, too long"), -EMSGSIZE);
}

static void digest_differences(void **state)
{
	uint8_t a[256], b[256];
	struct digest_writer wa = { a, 0, sizeof(a), 0 }, wb = { b, 0, sizeof(b), 0 };
	char text[2048] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	digest_put(&wa, DIGEST_REG, "eax", 1);
	digest_put(&wa, DIGEST_REG, "ebx", 2);
	digest_put(&wa, DIGEST_CPU, "fpu", 3);
	digest_put_bucket(&wa, 0x100, 0x40, 9);
	digest_put_bucket(&wa, 0x200, 0x40, 9);
	digest_put(&wa, DIGEST_OUTPUT, "serial0", 100);
	digest_put(&wb, DIGEST_REG, "eax", 1);
	digest_put(&wb, DIGEST_REG, "ebx", 0x22);
	digest_put(&wb, DIGEST_CPU, "fpu", 3);
	digest_put_bucket(&wb, 0x100, 0x40, 8);
	digest_put(&wb, DIGEST_DEVICE, "i8254", 5);
	digest_put(&wb, DIGEST_OUTPUT, "serial0", 101);
	assert_int_equal(digest_diff(f, a, wa.len, "log", b, wb.len, "replay", 10), 5);
	fclose(f);
	assert_non_null(strstr(text, "register ebx: log 0x00000002, replay 0x00000022\n"));
	assert_non_null(strstr(text, "RAM at 0x100000-0x13ffff: log hash 0000000000000009, replay "
				     "hash 0000000000000008\n"));
	assert_non_null(
		strstr(text, "RAM at 0x200000-0x23ffff: log hash 0000000000000009, replay none\n"));
	assert_non_null(strstr(text, "device i8254: log none, replay hash 0000000000000005\n"));
	assert_non_null(strstr(text, "output serial0: log 100 bytes, replay 101 bytes\n"));
	assert_null(strstr(text, "eax"));
	assert_null(strstr(text, "fpu"));
}

static void escaped_bytes(void **state)
{
	char buf[16];

	assert_int_equal(bytes_escape(buf, sizeof(buf), (const uint8_t *)"a\n\x01\"", 4), 9);
	assert_string_equal(buf, "a\\n\\x01\\\"");
	bytes_escape(buf, sizeof(buf), (const uint8_t *)"abcdefghijklmnopqrst", 20);
	assert_string_equal(buf, "abcdefghijkl...");
	for (size_t cap = 1; cap < 12; cap++) {
		memset(buf, 'x', sizeof(buf));
		bytes_escape(buf, cap, (const uint8_t *)"\x01\x02\x03\x04", 4);
		assert_true(strnlen(buf, cap) < cap);
		assert_int_equal(buf[cap], 'x');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(all_rows_have_cases),
		cmocka_unit_test(different_events_are_different),
		cmocka_unit_test(bad_bytes),
		cmocka_unit_test(events_that_cannot_be),
		cmocka_unit_test(largest_event),
		cmocka_unit_test(header),
		cmocka_unit_test(chunk_golden),
		cmocka_unit_test(chunk_there_and_back),
		cmocka_unit_test(chunk_bits),
		cmocka_unit_test(config_items),
		cmocka_unit_test(digest_differences),
		cmocka_unit_test(escaped_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
