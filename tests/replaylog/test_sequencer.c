/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sequencer over real channels: what is recorded is replayed, every kind of divergence is found
 * and named, and nothing hangs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "script.h"

static void diverges(struct vary v, const char *const *parts)
{
	int fd = record();
	struct sequencer_result res = run(conf_of(SOURCE_REPLAY, fd), v);

	if (res.exit_status != RUN_DIVERGED)
		fail_msg("status %u: %s", res.exit_status, res.text);
	assert_has(res.text, "last check that agreed: ");
	assert_has(res.text, "window: instructions ");
	for (; *parts; parts++)
		assert_has(res.text, *parts);
	close(fd);
}

#define DIVERGES(v, ...) diverges(v, (const char *const[]){ __VA_ARGS__, NULL })

static void record_and_replay(void **state)
{
	int fd = record();

	for (int i = 0; i < 3; i++) {
		struct sequencer_result res = run(conf_of(SOURCE_REPLAY, fd), same);

		assert_string_equal(res.text, "");
		assert_int_equal(res.exit_status, RUN_OK);
		assert_int_equal(res.icount, 400);
		assert_int_equal(res.cause, SHUTDOWN_GUEST_SHUTDOWN);
		assert_int_equal(res.log_bytes, lseek(fd, 0, SEEK_END));
	}
	close(fd);
}

static void variants_of_recording(void **state)
{
	for (int i = 0; i < 4; i++) {
		int fd = new_file();
		struct sequencer_conf c = conf_of(SOURCE_RECORD, fd);
		struct sequencer_result a, b;

		c.raw = i & 1;
		c.marks_all = i & 2;
		a = run(c, same);
		assert_string_equal(a.text, "");
		c.mode = SOURCE_REPLAY;
		b = run(c, same);
		assert_string_equal(b.text, "");
		assert_int_equal(b.exit_status, RUN_OK);
		assert_int_equal(a.digest, b.digest);
		assert_int_equal(a.events, b.events);
		close(fd);
	}
}

static void no_log_at_all(void **state)
{
	struct sequencer_result res = run(conf_of(SOURCE_NONE, -1), same);

	assert_string_equal(res.text, "");
	assert_int_equal(res.exit_status, RUN_OK);
	assert_int_equal(res.log_bytes, 0);
}

static void exit_status_of_the_guest(void **state)
{
	struct vary v = same;
	struct sequencer_result res;

	v.shutdown_status = 34;
	res = run(conf_of(SOURCE_NONE, -1), v);
	assert_int_equal(res.exit_status, 33);
}

static void output_reaches_the_hub(void **state)
{
	static struct rig r;
	uint8_t buf[64];
	union slot slot;
	struct hostio_msg m;

	assert_true(rig_start(&r, conf_of(SOURCE_NONE, -1)));
	assert_true(rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
	rig_output(&r, 5, 3, "abc");
	rig_send(&r, (struct seq_req){ .hdr.type = SEQ_CREDIT, .arg = 2, .value = 99 }, NULL, 0);
	assert_int_equal(chan_wait(&r.hub, 0, 2000000000, -1), 0);
	assert_int_equal(chan_recv(&r.hub, &slot, buf, sizeof(buf)), 0);
	memcpy(&m, &slot, sizeof(m));
	assert_int_equal(m.hdr.type, HOSTIO_OUTPUT);
	assert_int_equal(m.dev, 3);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(chan_wait(&r.hub, 0, 2000000000, -1), 0);
	assert_int_equal(chan_recv(&r.hub, &slot, buf, sizeof(buf)), 0);
	memcpy(&m, &slot, sizeof(m));
	assert_int_equal(m.hdr.type, HOSTIO_CREDIT);
	assert_int_equal(m.dev, 2);
	assert_int_equal(m.value, 99);
	assert_true(rig_shutdown(&r, 10, 0, SHUTDOWN_HOST_QMP));
	rig_finish(&r);
}

/* ---- halting ---- */

static int64_t mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void halt_sleeps_in_real_time(void **state)
{
	static struct rig r;
	int64_t t0;

	assert_true(rig_start(&r, conf_of(SOURCE_NONE, -1)));
	assert_true(rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
	t0 = mono();
	assert_true(rig_halt(&r, 10, 1000, 30000000 + 1000));
	assert_int_equal(r.done.value, 30001000);
	assert_true(mono() - t0 >= 30000000);
	/* A deadline that has passed does not wait. */
	assert_true(rig_halt(&r, 10, 40000000, 39000000));
	assert_int_equal(r.done.value, 40000000);
	rig_shutdown(&r, 10, 40000000, SHUTDOWN_NONE);
	rig_finish(&r);
}

static void halt_without_sleep(void **state)
{
	static struct rig r;
	struct sequencer_conf c = conf_of(SOURCE_NONE, -1);
	int64_t t0 = mono();

	c.sleep = false;
	assert_true(rig_start(&r, c));
	assert_true(rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
	assert_true(rig_halt(&r, 10, 1000, UINT64_C(3600000000000)));
	assert_int_equal(r.done.value, UINT64_C(3600000000000));
	assert_true(mono() - t0 < 2000000000);
	rig_type(&r, 1, "x");
	rig_settle(&r);
	assert_true(rig_halt(&r, 10, 2000, 9000));
	assert_int_equal(r.done.value, 2000);
	expect_chars(&r, "x");
	rig_shutdown(&r, 10, 2000, SHUTDOWN_NONE);
	rig_finish(&r);
}

static void pause_freezes_the_wait(void **state)
{
	static struct rig r;
	uint32_t mark[CPU_MARK_COUNT] = { 0 };
	int64_t t0 = mono();

	assert_true(rig_start(&r, conf_of(SOURCE_NONE, -1)));
	assert_true(rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
	rig_send(&r, (struct seq_req){ .hdr.type = SEQ_HALT, .icount = 5, .deadline_ns = 40000000 },
		mark, sizeof(mark));
	nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	rig_input(&r, (struct hostio_msg){ .hdr.type = HOSTIO_PAUSE, .value = 1 }, NULL, 0);
	rig_type(&r, 0, "y");
	nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
	assert_true(chan_empty(&r.dev));
	rig_input(&r, (struct hostio_msg){ .hdr.type = HOSTIO_PAUSE, .value = 0 }, NULL, 0);
	assert_true(rig_wait(&r));
	expect_chars(&r, "y");
	/* Frozen for 100 ms: the guest's clock has moved by what came before. */
	assert_true(r.done.value < 40000000);
	assert_true(mono() - t0 >= 100000000);
	rig_shutdown(&r, 5, 40000000, SHUTDOWN_NONE);
	rig_finish(&r);
}

static void paused_group_can_be_ended(void **state)
{
	static struct rig r;
	uint32_t mark[CPU_MARK_COUNT] = { 0 };

	assert_true(rig_start(&r, conf_of(SOURCE_NONE, -1)));
	assert_true(rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
	rig_input(&r, (struct hostio_msg){ .hdr.type = HOSTIO_PAUSE, .value = 1 }, NULL, 0);
	rig_send(&r,
		(struct seq_req){ .hdr.type = SEQ_HALT, .icount = 5, .deadline_ns = SEQ_NEVER },
		mark, sizeof(mark));
	rig_input(&r,
		(struct hostio_msg){ .hdr.type = HOSTIO_INPUT,
			.event = SEQ_EV_SHUTDOWN,
			.a = SHUTDOWN_HOST_QMP },
		NULL, 0);
	assert_true(rig_wait(&r));
	assert_int_equal(r.n_ev, 1);
	assert_int_equal(r.ev[0].rep.arg, SEQ_EV_SHUTDOWN);
	assert_int_equal(r.ev[0].rep.a, SHUTDOWN_HOST_QMP);
	rig_shutdown(&r, 5, 0, SHUTDOWN_HOST_QMP);
	rig_finish(&r);
}

static void realtime_replay_waits(void **state)
{
	static struct rig r;
	int fd = record();
	struct sequencer_conf c = conf_of(SOURCE_REPLAY, fd);
	int64_t t0;

	c.realtime = true;
	assert_true(rig_start(&r, c));
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0);
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_CLOCK }, NULL, 0);
	rig_take(&r, 100, 3200);
	rig_output(&r, 120, 0, same.out1);
	t0 = mono();
	assert_true(rig_halt(&r, 200, 1000, 20001000));
	assert_true(mono() - t0 >= 20000000 || r.done.value < 20001000);
	sequencer_stop(&r.s, STOP_QUIT, NULL);
	rig_finish(&r);
	close(fd);
}

/* ---- divergences ---- */

static void digest_that_differs(void **state)
{
	struct vary v = same;

	v.digest_eip = 0x1235;
	DIVERGES(v, "first that did not: digest at icount 300",
		"last check that agreed: cpu-mark at icount 200",
		"register eip: log 0x00001234, replay 0x00001235", "instructions 200 to 300");
}

static void output_that_differs(void **state)
{
	struct vary v = same;

	v.out2 = "wOrld\n";
	DIVERGES(v, "output of stream 0, byte 8: log 0x6f, replay 0x4f", "\"orld\\n\"",
		"\"Orld\\n\"");
}

static void output_that_is_too_much(void **state)
{
	struct vary v = same;

	v.extra_output = true;
	DIVERGES(v,
		"output of stream 1: the log has 0 bytes; the replay sends more: byte 0 is 0x78, "
		"\"x\"");
}

static void output_that_is_missing(void **state)
{
	struct vary v = same;

	v.out2 = "worl";
	DIVERGES(v, "output of stream 0: log 13 bytes, replay 11; missing: \"d\\n\"",
		"digest at icount 300");
}

static void clock_that_is_missing(void **state)
{
	struct vary v = same;

	v.no_clock = true;
	DIVERGES(v, "clock-host ns=", "it has passed that icount without it");
}

static void clock_that_is_too_much(void **state)
{
	struct vary v = same;

	v.extra_clock = true;
	DIVERGES(v, "a read of the host's clock at icount 50", "at icount 100, cpu-mark");
}

static void clock_at_another_place(void **state)
{
	struct vary v = same;

	v.clock_at = 1;
	DIVERGES(v, "event", "icount 0, clock-host");
}

static void event_that_was_passed(void **state)
{
	struct vary v = same;

	v.first_take = 101;
	DIVERGES(
		v, "log: event", "at icount 100, cpu-mark", "it has passed that icount without it");
}

static void halt_that_is_missing(void **state)
{
	struct vary v = same;

	v.no_halt = true;
	DIVERGES(v, "at icount 200, warp ns=");
}

static void halt_for_ever(void **state)
{
	struct vary v = same;

	v.halt_for_ever = true;
	DIVERGES(v, "halted for ever (no deadline)", "log: event", "digest");
}

static void digest_that_is_missing(void **state)
{
	struct vary v = same;

	v.no_digest = true;
	DIVERGES(v, "log: event", "at icount 300, digest items=2", "passed that icount");
}

static void shutdown_for_another_cause(void **state)
{
	struct vary v = same;

	v.cause = SHUTDOWN_GUEST_RESET;
	DIVERGES(v, "log: it ends at icount 400, guest-shutdown",
		"replay: it ends at icount 400, guest-reset");
}

static void mark_that_differs(void **state)
{
	static struct rig r;
	uint32_t mark[CPU_MARK_COUNT];
	int fd = record();
	struct sequencer_result res;

	assert_true(rig_start(&r, conf_of(SOURCE_REPLAY, fd)));
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0);
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_CLOCK }, NULL, 0);
	rig_mark(mark, 100);
	mark[CPU_MARK_esp] = 0xdeadbeef;
	assert_false(rig_request(
		&r, (struct seq_req){ .hdr.type = SEQ_TAKE, .icount = 100 }, mark, sizeof(mark)));
	res = rig_finish(&r);
	assert_int_equal(res.exit_status, RUN_DIVERGED);
	assert_has(res.text, "register esp: log 0x00000644, replay 0xdeadbeef");
	assert_has(res.text, "last check that agreed: clock-host at icount 0");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_and_replay),
		cmocka_unit_test(variants_of_recording),
		cmocka_unit_test(no_log_at_all),
		cmocka_unit_test(exit_status_of_the_guest),
		cmocka_unit_test(output_reaches_the_hub),
		cmocka_unit_test(halt_sleeps_in_real_time),
		cmocka_unit_test(halt_without_sleep),
		cmocka_unit_test(pause_freezes_the_wait),
		cmocka_unit_test(paused_group_can_be_ended),
		cmocka_unit_test(realtime_replay_waits),
		cmocka_unit_test(digest_that_differs),
		cmocka_unit_test(output_that_differs),
		cmocka_unit_test(output_that_is_too_much),
		cmocka_unit_test(output_that_is_missing),
		cmocka_unit_test(clock_that_is_missing),
		cmocka_unit_test(clock_that_is_too_much),
		cmocka_unit_test(clock_at_another_place),
		cmocka_unit_test(event_that_was_passed),
		cmocka_unit_test(halt_that_is_missing),
		cmocka_unit_test(halt_for_ever),
		cmocka_unit_test(digest_that_is_missing),
		cmocka_unit_test(shutdown_for_another_cause),
		cmocka_unit_test(mark_that_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
