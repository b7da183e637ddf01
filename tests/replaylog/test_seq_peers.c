/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deaths of the sequencer's peers while it records, requests to stop, and peers that do what they
 * may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "log_reader.h"
#include "log_writer.h"
#include "logtail.h"
#include "script.h"

/* ---- deaths ---- */

/* Runs the recording up to a point and then lets somebody die. */
static int record_part(int steps, enum sequencer_stop_why why, struct sequencer_result *res)
{
	static struct rig r;
	int fd = new_file();

	assert_true(rig_start(&r, conf_of(SOURCE_RECORD, fd)));
	if (steps > 0)
		rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0);
	if (steps > 1) {
		rig_request(&r, (struct seq_req){ .hdr.type = SEQ_CLOCK }, NULL, 0);
		recorded_clock = r.done.value;
	}
	if (steps > 2) {
		rig_type(&r, 0, "ls\n");
		rig_settle(&r);
		rig_take(&r, 100, 3200);
	}
	if (steps > 3)
		rig_output(&r, 120, 0, "hello, ");
	sequencer_stop(&r.s, why, "dejavm-vcpu died (signal 9)");
	*res = rig_finish(&r);
	return fd;
}

static void abandoned_recording(void **state)
{
	for (int steps = 0; steps <= 4; steps++) {
		struct sequencer_result res;
		struct sequencer_conf c;
		static struct rig r;
		int fd = record_part(steps, STOP_ABANDON, &res);

		assert_int_equal(res.exit_status, RUN_FAILED);
		assert_string_equal(res.text, "dejavm-vcpu died (signal 9)");
		assert_int_equal(res.log_bytes, lseek(fd, 0, SEEK_END));
		/* The log is whole, and replays to where it stops. */
		c = conf_of(SOURCE_REPLAY, fd);
		assert_true(rig_start(&r, c));
		assert_true(rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
		if (steps > 1)
			assert_true(rig_request(
				&r, (struct seq_req){ .hdr.type = SEQ_CLOCK }, NULL, 0));
		if (steps > 2) {
			assert_int_equal(r.done.next_icount, 100);
			assert_true(rig_take(&r, 100, 3200));
			assert_int_equal(r.ev[0].rep.arg, SEQ_EV_CHAR);
		}
		if (steps > 3) {
			rig_output(&r, 120, 0, "hello, ");
			assert_int_equal(r.done.next_icount, 121);
			assert_true(rig_take(&r, 121, 3900));
		} else if (steps < 3) {
			assert_true(rig_take(&r, r.done.next_icount, 0));
		}
		assert_int_equal(r.ev[r.n_ev - 1].rep.arg, SEQ_EV_SHUTDOWN);
		assert_int_equal(r.ev[r.n_ev - 1].rep.a, SHUTDOWN_HOST_ERROR);
		assert_true(rig_digest(&r, 200, 0, 9));
		assert_true(rig_shutdown(&r, 200, 0, SHUTDOWN_HOST_ERROR));
		res = rig_finish(&r);
		assert_string_equal(res.text, "");
		assert_int_equal(res.exit_status, RUN_OK);
		close(fd);
	}
}

/* The last event is a digest: devices take nothing at its icount any more, and come at the next
 * one. */
static void abandoned_behind_a_digest(void **state)
{
	static struct rig r;
	int fd = new_file();
	struct sequencer_result res;

	assert_true(rig_start(&r, conf_of(SOURCE_RECORD, fd)));
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0);
	rig_digest(&r, 300, 0, 4);
	sequencer_stop(&r.s, STOP_ABANDON, "devices died");
	rig_finish(&r);
	assert_true(rig_start(&r, conf_of(SOURCE_REPLAY, fd)));
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0);
	assert_int_equal(r.done.next_icount, 300);
	assert_true(rig_take(&r, 300, 0));
	assert_int_equal(r.n_ev, 0);
	assert_true(rig_digest(&r, 300, 0, 4));
	rig_output(&r, 301, 0, "x");
	assert_true(rig_take(&r, 301, 0));
	assert_int_equal(r.n_ev, 1);
	assert_int_equal(r.ev[0].rep.arg, SEQ_EV_SHUTDOWN);
	assert_true(rig_digest(&r, 301, 0, 5));
	assert_true(rig_shutdown(&r, 301, 0, SHUTDOWN_HOST_ERROR));
	res = rig_finish(&r);
	assert_string_equal(res.text, "");
	assert_int_equal(res.exit_status, RUN_OK);
	close(fd);
}

static void hub_death_leaves_a_whole_log(void **state)
{
	struct sequencer_result res;
	int fd = record_part(3, STOP_HUB_DIED, &res);
	struct log_source src;
	struct log_reader lr;
	struct log_event ev;
	struct error err = ERROR_INIT;
	int ret;

	assert_int_equal(log_reader_init(&lr, log_source_file(&src, fd), &err), 0);
	while ((ret = log_reader_next(&lr, &ev, &err)) == 1)
		;
	assert_int_equal(ret, 0);
	log_reader_done(&lr);
	close(fd);
}

static void replay_can_be_stopped(void **state)
{
	static struct rig r;
	int fd = record();
	struct sequencer_result res;

	assert_true(rig_start(&r, conf_of(SOURCE_REPLAY, fd)));
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0);
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_CLOCK }, NULL, 0);
	/* Typing is not heard; a request to end is. */
	rig_type(&r, 0, "rm -rf /\n");
	rig_input(&r,
		(struct hostio_msg){ .hdr.type = HOSTIO_INPUT,
			.event = SEQ_EV_SHUTDOWN,
			.a = SHUTDOWN_HOST_SIGNAL },
		NULL, 0);
	rig_settle(&r);
	assert_true(rig_take(&r, 70, 0));
	assert_int_equal(r.n_ev, 1);
	assert_int_equal(r.ev[0].rep.arg, SEQ_EV_SHUTDOWN);
	assert_true(rig_digest(&r, 70, 0, 9));
	assert_true(rig_shutdown(&r, 70, 0, SHUTDOWN_HOST_SIGNAL));
	res = rig_finish(&r);
	assert_int_equal(res.exit_status, RUN_FAILED);
	assert_has(
		res.text, "stopped (host-signal) at icount 70, before the log's end at icount 400");
	close(fd);
}

/* ---- hostile peers ---- */

static void fails_with(
	struct seq_req rq, const void *data, uint32_t len, bool init, const char *part)
{
	static struct rig r;
	struct sequencer_result res;
	int fd = new_file();

	assert_true(rig_start(&r, conf_of(SOURCE_RECORD, fd)));
	if (init)
		rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT, .icount = 10 }, NULL, 0);
	assert_false(rig_request(&r, rq, data, len));
	res = rig_finish(&r);
	assert_int_equal(res.exit_status, RUN_FAILED);
	assert_has(res.text, "devices broke the protocol");
	assert_has(res.text, part);
	close(fd);
}

static void devices_that_misbehave(void **state)
{
	uint8_t data[8192] = { 0 };

	fails_with((struct seq_req){ .hdr.type = 99 }, NULL, 0, true, "message type 99");
	fails_with((struct seq_req){ .hdr.type = SEQ_TAKE, .icount = 10 }, data, 4, true,
		"mark of 4 bytes");
	fails_with((struct seq_req){ .hdr.type = SEQ_TAKE, .icount = 10 }, data, 40, false,
		"before SEQ_INIT");
	fails_with((struct seq_req){ .hdr.type = SEQ_INIT, .icount = 10 }, NULL, 0, true,
		"a second SEQ_INIT");
	fails_with((struct seq_req){ .hdr.type = SEQ_TAKE, .icount = 9 }, data, 40, true,
		"icount 9 after icount 10");
	fails_with((struct seq_req){ .hdr.type = SEQ_CLOCK, .icount = 10, .arg = 7 }, NULL, 0, true,
		"clock 7");
	fails_with((struct seq_req){ .hdr.type = SEQ_DIGEST, .icount = 10 }, data, 100, true,
		"malformed digest");
	fails_with((struct seq_req){ .hdr.type = SEQ_SHUTDOWN, .icount = 10, .arg = 50 }, NULL, 0,
		true, "cause 50");
	fails_with((struct seq_req){ .hdr.type = SEQ_OUTPUT, .icount = 10, .arg = 256 }, data, 1,
		true, "stream 256");
	fails_with((struct seq_req){ .hdr.type = SEQ_OUTPUT, .icount = 10 }, data, 4097, true,
		"4097 bytes");
	fails_with((struct seq_req){ .hdr.type = SEQ_HALT, .icount = 10, .now_ns = SEQ_NEVER },
		data, 40, true, "end of time");
}

static void request_during_halt(void **state)
{
	static struct rig r;
	uint32_t mark[CPU_MARK_COUNT] = { 0 };
	struct sequencer_result res;

	assert_true(rig_start(&r, conf_of(SOURCE_NONE, -1)));
	rig_request(&r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0);
	rig_send(&r, (struct seq_req){ .hdr.type = SEQ_HALT, .deadline_ns = SEQ_NEVER }, mark,
		sizeof(mark));
	assert_false(rig_take(&r, 0, 0));
	res = rig_finish(&r);
	assert_has(res.text, "SEQ_TAKE while a HALT waits");
}

static void hub_that_misbehaves(void **state)
{
	static const struct {
		struct hostio_msg m;
		uint32_t len;
		const char *part;
	} bad[] = {
		{ { .hdr.type = 9 }, 0, "message type 9" },
		{ { .hdr.type = HOSTIO_INPUT, .event = SEQ_EVENT_COUNT }, 0, "unknown input" },
		{ { .hdr.type = HOSTIO_INPUT, .event = SEQ_EV_CHAR, .dev = 256 }, 3,
			"characters out of bounds" },
		{ { .hdr.type = HOSTIO_INPUT, .event = SEQ_EV_CHAR }, 0,
			"characters out of bounds" },
		{ { .hdr.type = HOSTIO_INPUT, .event = SEQ_EV_KEY, .a = 0x300 }, 0, "key code" },
		{ { .hdr.type = HOSTIO_INPUT, .event = SEQ_EV_SHUTDOWN, .a = 8 }, 0, "cause" },
		{ { .hdr.type = HOSTIO_INPUT, .event = SEQ_EV_BREAK, .a = 999 }, 0, "stream" },
		{ { .hdr.type = HOSTIO_INPUT, .event = SEQ_EV_NMI }, 3, "bytes with an input" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		static struct rig r;
		struct sequencer_result res;
		uint8_t data[16] = { 0 };

		assert_true(rig_start(&r, conf_of(SOURCE_NONE, -1)));
		rig_input(&r, bad[i].m, data, bad[i].len);
		res = rig_finish(&r);
		assert_int_equal(res.exit_status, RUN_FAILED);
		assert_has(res.text, bad[i].part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(abandoned_recording),
		cmocka_unit_test(abandoned_behind_a_digest),
		cmocka_unit_test(hub_death_leaves_a_whole_log),
		cmocka_unit_test(replay_can_be_stopped),
		cmocka_unit_test(devices_that_misbehave),
		cmocka_unit_test(request_during_halt),
		cmocka_unit_test(hub_that_misbehaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
