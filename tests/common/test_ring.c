/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring, one side at a time and deterministic; test_ring_stress.c has two processes. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "ring_pair.h"

#define MS INT64_C(1000000)

static const struct chan_geometry geo = { 4, 1024, 8, 4096 };
static struct ring_pair pair;
static struct chan a, b;
static struct error err;

static void set32(int side, size_t off, uint32_t v)
{
	memcpy(pair.seg[side] + off, &v, 4);
}

static uint32_t get32(int side, size_t off)
{
	uint32_t v;

	memcpy(&v, pair.seg[side] + off, 4);
	return v;
}

/* Both rings at free-running index start. */
static void open_both(uint32_t start)
{
	for (int i = 0; i < 2; i++) {
		set32(i, SEG_HEAD, start);
		set32(i, SEG_TAIL, start);
	}
	assert_int_equal(pair_open(&pair, &a, true, &err), 0);
	assert_int_equal(pair_open(&pair, &b, false, &err), 0);
}

static int setup(void **state)
{
	pair_init(&pair, &geo);
	open_both(0);
	return 0;
}

static int teardown(void **state)
{
	chan_done(&a);
	chan_done(&b);
	pair_done(&pair);
	return 0;
}

static union slot msg(uint16_t type, uint8_t fill)
{
	union slot s;

	memset(&s, fill, sizeof(s));
	s.hdr = (struct slot_hdr){ .type = type };
	return s;
}

static void expect_msg(struct chan *c, uint16_t type, uint8_t fill)
{
	union slot s;
	const void *data;

	assert_int_equal(chan_peek(c, &s, &data), 0);
	assert_int_equal(s.hdr.type, type);
	for (size_t i = sizeof(s.hdr); i < sizeof(s); i++)
		assert_int_equal(s.bytes[i], fill);
	chan_release(c);
}

static void expect_poisoned(struct chan *c, const char *words)
{
	union slot s = msg(1, 1);
	const void *data;

	assert_non_null(chan_error(c));
	if (!strstr(chan_error(c), words))
		fail_msg("'%s' does not say '%s'", chan_error(c), words);
	/* Everything fails from now on, and nothing hangs. */
	assert_int_equal(chan_peek(c, &s, &data), -EPROTO);
	assert_int_equal(chan_push(c, &s), -EPROTO);
	assert_int_equal(chan_recv(c, &s, NULL, 0), -EPROTO);
	assert_int_equal(chan_send(c, &s, "x", 1, -1), -EPROTO);
	assert_int_equal(chan_wait(c, 1000, -1, -1), -EPROTO);
	assert_false(chan_prepare_sleep(c));
	assert_true(chan_empty(c));
	assert_false(chan_has_room(c, 0));
	assert_null(chan_reserve(c, &s, 1));
	chan_release(c);
	chan_notify(c);
}

/* ---- geometry, mapping ---- */

static void segment_sizes(void **state)
{
	struct chan_geometry g = { 2, 0, 65536, 64 << 20 };

	assert_int_equal(chan_segment_size(&g, true), 8192);
	assert_int_equal(chan_segment_size(&g, false), 4096 + 65536 * 64 + (64 << 20));
}

static void bad_geometries(void **state)
{
	static const struct chan_geometry bad[] = { { 0, 0, 4, 0 }, { 1, 0, 4, 0 }, { 3, 0, 4, 0 },
		{ 131072, 0, 4, 0 }, { 4, 32, 4, 0 }, { 4, 1000, 4, 0 }, { 4, 128 << 20, 4, 0 },
		{ 4, 0, 5, 0 }, { 4, 0, 4, 1 } };
	static uint8_t mem[2][16384] __attribute__((aligned(4096)));
	struct chan c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			chan_attach(&c, true, &bad[i], mem[0], mem[1], -1, -1, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "powers of two"));
	}
}

static void unsealed_or_short_segments_are_refused(void **state)
{
	int fd = memfd_create("t", MFD_ALLOW_SEALING), zero = open("/dev/zero", O_RDWR);
	struct chan c;

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(chan_init(&c, true, &geo, fd, pair.seg_fd[1], pair.bell_fd[0],
				 pair.bell_fd[1], &err),
		-EPERM);
	assert_non_null(strstr(err.msg, "my segment is not sealed"));
	fcntl(fd, F_ADD_SEALS, F_SEAL_GROW);
	assert_int_equal(chan_init(&c, true, &geo, pair.seg_fd[0], fd, pair.bell_fd[0],
				 pair.bell_fd[1], &err),
		-EPERM);
	assert_non_null(strstr(err.msg, "the peer's segment is not sealed"));
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	assert_int_equal(chan_init(&c, true, &geo, pair.seg_fd[0], fd, pair.bell_fd[0],
				 pair.bell_fd[1], &err),
		-EINVAL);
	assert_non_null(strstr(err.msg, "has 4096 bytes, expected 12288 or more"));
	assert_int_equal(
		chan_init(&c, true, &geo, zero, fd, pair.bell_fd[0], pair.bell_fd[1], &err),
		-EINVAL);
	assert_non_null(strstr(err.msg, "no sealed memfd"));
	assert_int_equal(chan_init(&c, true, &geo, pair.seg_fd[0], pair.seg_fd[1], -1,
				 pair.bell_fd[1], &err),
		-EBADF);
	assert_int_equal(
		chan_init(&c, true, &geo, zero, fd, pair.bell_fd[0], pair.bell_fd[1], NULL),
		-EINVAL);
	close(fd);
	close(zero);
}

static void peer_may_be_read_only(void **state)
{
	char path[64];
	int ro;
	struct chan c;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pair.seg_fd[1]);
	ro = open(path, O_RDONLY);
	assert_true(ro >= 0);
	assert_int_equal(chan_init(&c, true, &geo, pair.seg_fd[0], ro, pair.bell_fd[0],
				 pair.bell_fd[1], &err),
		0);
	chan_done(&c);
	assert_non_null(chan_error(&c));
	close(ro);
}

/* ---- passing messages ---- */

static void empty_and_full(void **state)
{
	union slot s;
	const void *data;

	assert_true(chan_empty(&b));
	assert_int_equal(chan_peek(&b, &s, &data), -EAGAIN);
	for (uint8_t i = 0; i < 4; i++) {
		assert_true(chan_has_room(&a, 0));
		s = msg(i, i);
		assert_int_equal(chan_push(&a, &s), 0);
	}
	s = msg(9, 9);
	assert_false(chan_has_room(&a, 0));
	assert_int_equal(chan_push(&a, &s), -EAGAIN);
	assert_false(chan_empty(&b));
	expect_msg(&b, 0, 0);
	assert_true(chan_has_room(&a, 0));
	assert_int_equal(chan_push(&a, &s), 0);
	assert_int_equal(chan_push(&a, &s), -EAGAIN);
	for (uint8_t i = 1; i < 4; i++)
		expect_msg(&b, i, i);
	expect_msg(&b, 9, 9);
	assert_true(chan_empty(&b));
	assert_int_equal(a.n_tx, 5);
	assert_int_equal(b.n_rx, 5);
}

static void peek_again_is_the_same(void **state)
{
	union slot s = msg(5, 5), got;
	const void *data;

	chan_push(&a, &s);
	assert_int_equal(chan_peek(&b, &got, &data), 0);
	assert_int_equal(chan_peek(&b, &got, &data), 0);
	assert_int_equal(got.hdr.type, 5);
	assert_null(data);
	chan_release(&b);
	assert_int_equal(chan_peek(&b, &got, &data), -EAGAIN);
}

static void both_directions_are_apart(void **state)
{
	union slot s = msg(1, 1), t = msg(2, 2);

	chan_push(&a, &s);
	chan_push(&b, &t);
	expect_msg(&a, 2, 2);
	expect_msg(&b, 1, 1);
}

/* Indices run over 2^32 in the middle of it. */
static void indices_wrap(void **state)
{
	chan_done(&a);
	chan_done(&b);
	open_both(0xfffffff0);
	for (unsigned int i = 0; i < 40; i++) {
		union slot s = msg((uint16_t)i, (uint8_t)i);

		assert_int_equal(chan_push(&a, &s), 0);
		assert_int_equal(s.hdr.seq, 0xfffffff0u + i);
		if (i % 3 == 2)
			for (unsigned int k = i - 2; k <= i; k++)
				expect_msg(&b, (uint16_t)k, (uint8_t)k);
	}
	expect_msg(&b, 39, 39);
	assert_int_equal(get32(0, SEG_HEAD), 24);
	assert_int_equal(get32(1, SEG_TAIL), 24);
}

static void full_across_the_wrap(void **state)
{
	union slot s = msg(1, 1);

	chan_done(&a);
	chan_done(&b);
	open_both(0xfffffffe);
	for (int i = 0; i < 4; i++)
		assert_int_equal(chan_push(&a, &s), 0);
	assert_int_equal(chan_push(&a, &s), -EAGAIN);
	for (int i = 0; i < 4; i++)
		expect_msg(&b, 1, 1);
	assert_true(chan_empty(&b));
}

/* ---- arena ---- */

static void send_data(struct chan *c, uint16_t type, uint32_t len)
{
	uint8_t data[4096];
	union slot s = msg(type, 0);

	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(type + i);
	assert_int_equal(chan_send(c, &s, data, len, 0), 0);
}

static void recv_data(struct chan *c, uint16_t type, uint32_t len)
{
	uint8_t data[4096];
	union slot s;

	assert_int_equal(chan_recv(c, &s, data, sizeof(data)), 0);
	assert_int_equal(s.hdr.type, type);
	assert_int_equal(s.hdr.data_len, len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(data[i], (uint8_t)(type + i));
}

/* All lengths, with up to three messages in flight, so that the arena wraps at every place. */
static void arena_wraps(void **state)
{
	uint16_t sent = 0, got = 0;

	for (uint32_t round = 0; round < 3000; round++) {
		uint32_t len = round * 37 % 300;

		if (sent - got == 3 || !chan_has_room(&a, len)) {
			recv_data(&b, got, (uint32_t)got * 37 % 300);
			got++;
		}
		if (!chan_has_room(&a, len)) {
			recv_data(&b, got, (uint32_t)got * 37 % 300);
			got++;
		}
		send_data(&a, sent, len);
		sent++;
	}
}

static void arena_full(void **state)
{
	union slot s = msg(0, 0);

	send_data(&a, 1, 512);
	send_data(&a, 2, 512);
	assert_false(chan_has_room(&a, 1));
	assert_true(chan_has_room(&a, 0));
	assert_null(chan_reserve(&a, &s, 1));
	assert_int_equal(chan_send(&a, &s, "x", 1, 0), -ETIMEDOUT);
	recv_data(&b, 1, 512);
	assert_non_null(chan_reserve(&a, &s, 512));
	assert_int_equal(s.hdr.data_off, 0);
	assert_int_equal(chan_push(&a, &s), 0);
	recv_data(&b, 2, 512);
}

static void largest_data_fits_wherever_the_arena_stands(void **state)
{
	for (uint32_t first = 1; first <= 512; first += 13) {
		send_data(&a, 1, first);
		recv_data(&b, 1, first);
		send_data(&a, 2, 512);
		recv_data(&b, 2, 512);
	}
}

static void too_much_data(void **state)
{
	uint8_t big[4096] = { 0 };
	union slot s = msg(0, 0);

	assert_int_equal(chan_send(&a, &s, big, 513, 0), -EMSGSIZE);
	assert_false(chan_has_room(&a, 513));
	assert_null(chan_error(&a));
}

static void reserve_can_be_repeated_and_shrunk(void **state)
{
	union slot s = msg(3, 0);
	uint8_t *p = chan_reserve(&a, &s, 500), *q, buf[512];

	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 64, 0);
	q = chan_reserve(&a, &s, 300);
	assert_ptr_equal(p, q);
	assert_true(chan_has_room(&a, 300)); /* looking does not disturb it */
	assert_false(chan_has_room(&a, 301));
	memset(q, 0x77, 300);
	s.hdr.data_len = 10;
	assert_int_equal(chan_push(&a, &s), 0);
	assert_int_equal(chan_recv(&b, &s, buf, sizeof(buf)), 0);
	assert_int_equal(s.hdr.data_len, 10);
	assert_int_equal(buf[9], 0x77);
}

static void received_slot_is_sent_back_without_data(void **state)
{
	union slot s;
	uint8_t buf[512];

	send_data(&a, 1, 100);
	assert_int_equal(chan_recv(&b, &s, buf, sizeof(buf)), 0);
	assert_int_equal(chan_send(&b, &s, NULL, 0, 0), 0);
	assert_int_equal(chan_recv(&a, &s, buf, 0), 0);
	assert_int_equal(s.hdr.data_len, 0);
	assert_int_equal(s.hdr.data_off, 0);
}

static void no_arena_at_all(void **state)
{
	static const struct chan_geometry none = { 2, 0, 2, 0 };
	static uint8_t mem[2][8192] __attribute__((aligned(4096)));
	union slot s = msg(1, 1);
	struct chan c;

	assert_int_equal(chan_attach(&c, true, &none, mem[0], mem[1], -1, -1, &err), 0);
	assert_int_equal(chan_send(&c, &s, "x", 1, 0), -EMSGSIZE);
	assert_int_equal(chan_push(&c, &s), 0);
	chan_done(&c);
}

/* ---- violations: each kind, both sides ---- */

static void head_too_far(void **state)
{
	union slot s;
	const void *data;

	set32(0, SEG_HEAD, 5);
	assert_int_equal(chan_peek(&b, &s, &data), -EPROTO);
	expect_poisoned(&b, "head 5 is impossible: tail is 0, and the ring has 4 slots");
}

static void head_goes_back(void **state)
{
	union slot s = msg(1, 1);

	chan_push(&a, &s);
	expect_msg(&b, 1, 1);
	set32(0, SEG_HEAD, 0);
	assert_int_equal(chan_wait(&b, 0, 0, -1), -EPROTO);
	expect_poisoned(&b, "head 0 is impossible: tail is 1");
}

static void head_while_asleep(void **state)
{
	set32(0, SEG_HEAD, 77);
	assert_false(chan_prepare_sleep(&b));
	assert_int_equal(get32(1, SEG_SLEEPING), 0);
	expect_poisoned(&b, "head 77");
}

static void tail_before_what_was_sent(void **state)
{
	union slot s = msg(1, 1);

	for (int i = 0; i < 4; i++)
		chan_push(&a, &s);
	set32(1, SEG_TAIL, 5);
	assert_int_equal(chan_push(&a, &s), -EPROTO);
	expect_poisoned(&a, "tail moved from 0 to 5, but head is 4");
}

static void tail_goes_back(void **state)
{
	union slot s = msg(1, 1);

	for (int i = 0; i < 4; i++)
		chan_push(&a, &s);
	set32(1, SEG_TAIL, 2);
	assert_int_equal(chan_push(&a, &s), 0);
	assert_int_equal(chan_push(&a, &s), 0);
	set32(1, SEG_TAIL, 1);
	assert_false(chan_has_room(&a, 0));
	expect_poisoned(&a, "tail moved from 2 to 1");
}

static void slot_with_a_wrong_number(void **state)
{
	union slot s = msg(1, 1);
	const void *data;

	chan_push(&a, &s);
	set32(0, SEG_SLOTS + 4, 7);
	assert_int_equal(chan_peek(&b, &s, &data), -EPROTO);
	expect_poisoned(&b, "slot 0 says that it is number 7");
}

static void data_outside_the_arena(void **state)
{
	static const struct {
		uint32_t off, len;
		int r;
	} rows[] = { { 0, 1024, 0 }, { 1023, 1, 0 }, { 1024, 0, 0 }, { 0, 1025, -EPROTO },
		{ 1024, 1, -EPROTO }, { 1, 1024, -EPROTO }, { UINT32_MAX, 2, -EPROTO },
		{ 2, UINT32_MAX, -EPROTO }, { UINT32_MAX, UINT32_MAX, -EPROTO },
		{ UINT32_MAX, 0, -EPROTO }, { 0x80000000, 0x80000000, -EPROTO } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union slot s = msg(1, 1);
		const void *data;

		teardown(NULL);
		setup(NULL);
		chan_push(&a, &s);
		set32(0, SEG_SLOTS + 8, rows[i].off);
		set32(0, SEG_SLOTS + 12, rows[i].len);
		assert_int_equal(chan_peek(&b, &s, &data), rows[i].r);
		if (rows[i].r)
			expect_poisoned(&b, "outside its arena of 1024 bytes");
		else if (rows[i].len)
			assert_ptr_equal(data, b.rx_arena + rows[i].off);
		else
			assert_null(data);
	}
}

static void more_data_than_the_receiver_takes(void **state)
{
	uint8_t buf[16];
	union slot s;

	send_data(&a, 7, 17);
	assert_int_equal(chan_recv(&b, &s, buf, 16), -EMSGSIZE);
	expect_poisoned(&b, "slot 0 (type 7) has 17 bytes of data, but at most 16");
}

/* The copy that was checked is the one that the caller has. */
static void later_changes_do_not_reach_the_copy(void **state)
{
	union slot s = msg(1, 1), got;
	const void *data;

	chan_push(&a, &s);
	assert_int_equal(chan_peek(&b, &got, &data), 0);
	set32(0, SEG_SLOTS + 12, 0xffffffff);
	assert_int_equal(got.hdr.data_len, 0);
	chan_release(&b);
	assert_null(chan_error(&b));
}

/* ---- restart ---- */

static void consumer_restarts(void **state)
{
	union slot s;
	const void *data;

	for (uint8_t i = 0; i < 3; i++) {
		s = msg(i, i);
		chan_push(&a, &s);
	}
	expect_msg(&b, 0, 0);
	assert_int_equal(chan_peek(&b, &s, &data), 0); /* looked at but not released */
	set32(1, SEG_SLEEPING, 1);
	chan_done(&b);
	assert_int_equal(pair_open(&pair, &b, false, &err), 0);
	assert_int_equal(get32(1, SEG_SLEEPING), 0);
	expect_msg(&b, 1, 1);
	expect_msg(&b, 2, 2);
	assert_true(chan_empty(&b));
}

/* At each fill of the arena: what is in flight survives, and is not overwritten afterwards. */
static void producer_restarts(void **state)
{
	for (uint32_t start = 0; start < 12; start++) {
		teardown(NULL);
		setup(NULL);
		for (uint32_t i = 0; i < start;
			i++) { /* move the arena on, with something always in flight */
			send_data(&a, (uint16_t)i, 100);
			if (i > 0)
				recv_data(&b, (uint16_t)(i - 1), 100);
		}
		if (start)
			recv_data(&b, (uint16_t)(start - 1), 100);
		send_data(&a, 50, start % 3 ? 0 : 200);
		send_data(&a, 51, 250);
		send_data(&a, 52, 0);
		chan_done(&a);
		assert_int_equal(pair_open(&pair, &a, true, &err), 0);
		for (uint16_t t = 53; chan_has_room(&a, 200) && t < 60; t++)
			send_data(&a, t, 200);
		assert_false(chan_has_room(&a, 400));
		recv_data(&b, 50, start % 3 ? 0 : 200);
		recv_data(&b, 51, 250);
		recv_data(&b, 52, 0);
		while (!chan_empty(&b)) {
			union slot s;
			uint8_t buf[512];

			assert_int_equal(chan_recv(&b, &s, buf, sizeof(buf)), 0);
			assert_int_equal(buf[199], (uint8_t)(s.hdr.type + 199));
		}
		send_data(&a, 1, 512);
		recv_data(&b, 1, 512);
	}
}

static void takeover_of_impossible_indices(void **state)
{
	struct chan c;

	set32(0, SEG_HEAD, 5);
	assert_int_equal(pair_open(&pair, &c, true, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "head 5 in my segment and tail 0"));
}

static void takeover_of_impossible_slots(void **state)
{
	static const struct {
		uint32_t off, len;
		const char *words;
	} rows[] = { { 0, 513, "outside" }, { 1, 8, "outside" }, { 1024, 1, "outside" },
		{ 0xffffffc0, 1, "outside" }, { 960, 65, "outside" } };
	struct chan c;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set32(0, SEG_HEAD, 1);
		set32(0, SEG_SLOTS + 8, rows[i].off);
		set32(0, SEG_SLOTS + 12, rows[i].len);
		assert_int_equal(pair_open(&pair, &c, true, &err), -EPROTO);
		assert_non_null(strstr(err.msg, rows[i].words));
	}
	set32(0, SEG_HEAD, 3);
	for (size_t i = 0; i < 3; i++) {
		set32(0, SEG_SLOTS + 64 * i + 8, 0);
		set32(0, SEG_SLOTS + 64 * i + 12, 512);
	}
	assert_int_equal(pair_open(&pair, &c, true, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "more than the arena's 1024"));
}

/* ---- bells and waiting ---- */

static void bell_only_for_a_sleeper(void **state)
{
	union slot s = msg(1, 1);
	uint64_t n;

	chan_send(&a, &s, NULL, 0, 0);
	assert_int_equal(a.n_bells, 0);
	assert_false(chan_prepare_sleep(&b)); /* something is there */
	assert_int_equal(get32(1, SEG_SLEEPING), 0);
	expect_msg(&b, 1, 1);
	assert_true(chan_prepare_sleep(&b));
	assert_int_equal(get32(1, SEG_SLEEPING), 1);
	chan_send(&a, &s, NULL, 0, 0);
	assert_int_equal(a.n_bells, 1);
	chan_awake(&b);
	assert_int_equal(get32(1, SEG_SLEEPING), 0);
	assert_int_equal(read(pair.bell_fd[1], &n, sizeof(n)), -1); /* drained */
	assert_int_equal(errno, EAGAIN);
	chan_send(&a, &s, NULL, 0, 0);
	assert_int_equal(a.n_bells, 1);
}

static void waits_end_by_deadline(void **state)
{
	int64_t t0 = host_monotonic_ns(), t1;

	assert_int_equal(chan_wait(&b, 0, 0, -1), -ETIMEDOUT);
	assert_int_equal(chan_wait(&b, 100000, 20 * MS, -1), -ETIMEDOUT);
	t1 = host_monotonic_ns();
	assert_in_range(t1 - t0, 20 * MS, 5000 * MS);
	assert_int_equal(get32(1, SEG_SLEEPING), 0);
}

static void stale_bells_do_not_end_a_wait(void **state)
{
	uint64_t one = 1;
	int64_t t0 = host_monotonic_ns();

	assert_int_equal(write(pair.bell_fd[1], &one, sizeof(one)), sizeof(one));
	assert_int_equal(chan_wait(&b, 0, 20 * MS, -1), -ETIMEDOUT);
	assert_true(host_monotonic_ns() - t0 >= 20 * MS);
	assert_int_equal(b.n_sleeps, 2);
}

static void extra_descriptor_ends_a_wait(void **state)
{
	union slot s = msg(1, 1);
	int fd = eventfd(1, 0), p[2];

	assert_int_equal(chan_wait(&b, 0, -1, fd), 1);
	chan_push(&a, &s);
	assert_int_equal(chan_wait(&b, 0, -1, fd), 0); /* a message goes first */
	expect_msg(&b, 1, 1);
	close(fd);
	assert_int_equal(pipe(p), 0);
	close(p[1]);
	assert_int_equal(chan_wait(&b, 0, -1, p[0]), 1); /* hung up */
	close(p[0]);
}

static void send_waits_until_its_deadline(void **state)
{
	union slot s = msg(1, 1);
	int64_t t0;

	for (int i = 0; i < 4; i++)
		chan_push(&a, &s);
	t0 = host_monotonic_ns();
	assert_int_equal(chan_send(&a, &s, NULL, 0, 10 * MS), -ETIMEDOUT);
	assert_in_range(host_monotonic_ns() - t0, 10 * MS, 5000 * MS);
}

static void push_one(void *opaque)
{
	union slot s = msg(4, 4);

	assert_int_equal(chan_push(opaque, &s), 0);
	assert_int_equal(get32(1, SEG_SLEEPING), 0); /* the hook runs before the flag is set */
}

static void hook_runs_before_sleep(void **state)
{
	b.before_sleep = push_one;
	b.before_sleep_opaque = &a;
	assert_int_equal(chan_wait(&b, 1000, 1000 * MS, -1), 0);
	expect_msg(&b, 4, 4);
	assert_int_equal(b.n_sleeps, 0);
}

static void *send_later(void *arg)
{
	struct timespec ts = { .tv_nsec = (long)(intptr_t)arg };
	union slot s = msg(6, 6);

	nanosleep(&ts, NULL);
	chan_send(&a, &s, NULL, 0, 0);
	return NULL;
}

static void a_sleeper_wakes_up(void **state)
{
	pthread_t t;
	int64_t t0 = host_monotonic_ns();

	assert_int_equal(pthread_create(&t, NULL, send_later, (void *)(30 * MS)), 0);
	assert_int_equal(chan_wait(&b, 0, 10000 * MS, -1), 0);
	assert_in_range(host_monotonic_ns() - t0, 30 * MS, 5000 * MS);
	expect_msg(&b, 6, 6);
	pthread_join(t, NULL);
	assert_int_equal(a.n_bells, 1);
	assert_int_equal(b.n_sleeps, 1);
}

static void a_spinner_needs_no_bell(void **state)
{
	pthread_t t;

	if (!chan_may_spin())
		skip();
	assert_int_equal(pthread_create(&t, NULL, send_later, (void *)MS), 0);
	assert_int_equal(chan_wait(&b, 5000 * MS, 10000 * MS, -1), 0);
	pthread_join(t, NULL);
	assert_int_equal(b.n_spins, 1);
	assert_int_equal(b.n_sleeps, 0);
	assert_int_equal(a.n_bells, 0);
}

#define ROUNDS 300

/* Answers each message after a few microseconds of work, and sleeps in between. */
static void *answer(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		union slot s;
		int64_t end;

		if (chan_wait(&a, 0, 10000 * MS, -1) < 0 || chan_recv(&a, &s, NULL, 0) < 0)
			break;
		for (end = host_monotonic_ns() + 10000; host_monotonic_ns() < end;)
			;
		chan_send(&a, &s, NULL, 0, 0);
	}
	return NULL;
}

/* Answers come as soon as we let go of the processor that the peer needs, and not before: that is
 * no reason to hold on to it for longer. */
static void spinning_for_a_peer_on_our_processor_is_unlearnt(void **state)
{
	struct chan_spin spin = { .min_ns = 2000, .max_ns = 200000 };
	cpu_set_t all, one;
	pthread_t t;

	if (!chan_may_spin() || sched_getaffinity(0, sizeof(all), &all) < 0)
		skip();
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(pthread_create(&t, NULL, answer, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		union slot s = msg(6, 6);

		assert_int_equal(chan_send(&b, &s, NULL, 0, 0), 0);
		assert_int_equal(chan_wait_learning(&b, &spin, 10000 * MS, -1), 0);
		assert_int_equal(chan_recv(&b, &s, NULL, 0), 0);
	}
	pthread_join(t, NULL);
	sched_setaffinity(0, sizeof(all), &all);
	/* Others on this host may make a single wait look otherwise. */
	assert_in_range(spin.now_ns, spin.min_ns, 8 * spin.min_ns);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(segment_sizes),
		T(bad_geometries),
		T(unsealed_or_short_segments_are_refused),
		T(peer_may_be_read_only),
		T(empty_and_full),
		T(peek_again_is_the_same),
		T(both_directions_are_apart),
		T(indices_wrap),
		T(full_across_the_wrap),
		T(arena_wraps),
		T(arena_full),
		T(largest_data_fits_wherever_the_arena_stands),
		T(too_much_data),
		T(reserve_can_be_repeated_and_shrunk),
		T(received_slot_is_sent_back_without_data),
		T(no_arena_at_all),
		T(head_too_far),
		T(head_goes_back),
		T(head_while_asleep),
		T(tail_before_what_was_sent),
		T(tail_goes_back),
		T(slot_with_a_wrong_number),
		T(data_outside_the_arena),
		T(more_data_than_the_receiver_takes),
		T(later_changes_do_not_reach_the_copy),
		T(consumer_restarts),
		T(producer_restarts),
		T(takeover_of_impossible_indices),
		T(takeover_of_impossible_slots),
		T(bell_only_for_a_sleeper),
		T(waits_end_by_deadline),
		T(stale_bells_do_not_end_a_wait),
		T(extra_descriptor_ends_a_wait),
		T(send_waits_until_its_deadline),
		T(hook_runs_before_sleep),
		T(a_sleeper_wakes_up),
		T(a_spinner_needs_no_bell),
		T(spinning_for_a_peer_on_our_processor_is_unlearnt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
