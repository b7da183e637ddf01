/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sequencer over real channels: what is recorded is replayed, every kind of divergence is found
 * and named, and nothing hangs. The "machine" is a script of requests, run once recording and then,
 * with a variation, replaying.
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

#include "log_reader.h"
#include "log_writer.h"
#include "logtail.h"
#include "rig.h"

static const struct config_item config[] = { RIG_KEY("cpu", "pentium3"), RIG_KEY("ram", "67108864"),
	RIG_KEY("shift", "5") };

static struct sequencer_conf conf_of(int mode, int fd)
{
	return (struct sequencer_conf){
		.mode = mode, .sleep = true, .config = config, .n_config = 3, .log_fd = fd
	};
}

static int new_file(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int copy_file(int from, off_t len)
{
	int fd = new_file();
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	while (at < len && (n = pread(from, buf, sizeof(buf), at)) > 0) {
		if (n > len - at)
			n = len - at;
		assert_int_equal(pwrite(fd, buf, (size_t)n, at), n);
		at += n;
	}
	return fd;
}

/* What the scripted machine does differently. */
struct vary {
	bool record;
	uint64_t clock_at, halt_now, digest_eip, first_take;
	const char *out1, *out2;
	uint32_t cause;
	bool no_digest, no_clock, extra_clock, no_halt, halt_for_ever, extra_output, no_shutdown;
	uint32_t shutdown_status;
};

static const struct vary same = {
	.digest_eip = 0x1234, .out1 = "hello, ", .out2 = "world\n", .cause = SHUTDOWN_GUEST_SHUTDOWN
};

#define STEP(x)                 \
	do {                    \
		if (!(x))       \
			return; \
	} while (0)

/* The events that the last request brought, as the test expects them. */
static void expect_chars(struct rig *r, const char *text)
{
	assert_int_equal(r->n_ev, 1);
	assert_int_equal(r->ev[0].rep.arg, SEQ_EV_CHAR);
	assert_int_equal(r->ev[0].len, strlen(text));
	assert_memory_equal(r->ev[0].data, text, strlen(text));
}

/*
 * icount   what
 *      0   INIT; a read of the host's clock
 *    100   typed "ls\n" is taken; output
 *    200   halted until 5000 ns, deadline; then halted until an input (key) comes
 *    300   digest, output
 *    400   shutdown
 */
static uint64_t recorded_clock, recorded_halt;

static void machine(struct rig *r, struct vary v)
{
	STEP(rig_request(r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
	if (!v.record)
		assert_int_equal(r->done.next_icount, 100);
	else
		assert_true(r->done.next_icount == SEQ_NEVER);
	if (!v.no_clock) {
		STEP(rig_request(r, (struct seq_req){ .hdr.type = SEQ_CLOCK, .icount = v.clock_at },
			NULL, 0));
		if (v.record)
			recorded_clock = r->done.value;
		else
			assert_int_equal(r->done.value, recorded_clock);
	}
	if (v.extra_clock)
		STEP(rig_request(
			r, (struct seq_req){ .hdr.type = SEQ_CLOCK, .icount = 50 }, NULL, 0));
	if (v.record) {
		rig_type(r, 0, "ls\n");
		rig_settle(r);
	}
	STEP(rig_take(r, v.first_take ? v.first_take : 100, 3200));
	if (!v.first_take)
		expect_chars(r, "ls\n");
	if (v.first_take)
		STEP(rig_take(r, 100, 3200));
	assert_int_equal(atomic_load_acquire(&r->machine->input_pending), 0);
	rig_output(r, 120, 0, v.out1);
	if (!v.no_halt) {
		STEP(rig_halt(r, 200, 4000, 5000));
		assert_int_equal(r->n_ev, 0);
		assert_int_equal(r->done.value, 5000);
		if (v.record) {
			rig_input(r,
				(struct hostio_msg){ .hdr.type = HOSTIO_INPUT,
					.event = SEQ_EV_KEY,
					.a = 30,
					.b = 1 },
				NULL, 0);
			rig_input(r,
				(struct hostio_msg){
					.hdr.type = HOSTIO_INPUT, .event = SEQ_EV_INPUT_SYNC },
				NULL, 0);
			rig_settle(r);
		}
		STEP(rig_halt(r, 200, 5000 + v.halt_now, SEQ_NEVER));
		if (!v.record)
			assert_int_equal(r->done.value, recorded_halt);
		recorded_halt = r->done.value;
		assert_int_equal(r->n_ev, 2);
		assert_int_equal(r->ev[0].rep.arg, SEQ_EV_KEY);
		assert_int_equal(r->ev[0].rep.a, 30);
		assert_int_equal(r->ev[0].rep.b, 1);
		assert_int_equal(r->ev[1].rep.arg, SEQ_EV_INPUT_SYNC);
	}
	if (v.halt_for_ever)
		STEP(rig_halt(r, 250, 6000, SEQ_NEVER));
	rig_output(r, 290, 0, v.out2);
	if (!v.no_digest)
		STEP(rig_digest(r, 300, 9600, v.digest_eip));
	if (v.extra_output)
		rig_output(r, 310, 1, "x");
	STEP(rig_digest(r, 400, 12800, 0x5555));
	STEP(rig_request(r,
		(struct seq_req){ .hdr.type = SEQ_SHUTDOWN,
			.icount = 400,
			.now_ns = 12800,
			.arg = v.cause,
			.value = v.shutdown_status },
		NULL, 0));
}

static struct sequencer_result run(struct sequencer_conf conf, struct vary v)
{
	static struct rig r;

	v.record = conf.mode != SOURCE_REPLAY;
	if (rig_start(&r, conf))
		machine(&r, v);
	return rig_finish(&r);
}

static int record(void)
{
	int fd = new_file();
	struct sequencer_result res = run(conf_of(SOURCE_RECORD, fd), same);

	assert_string_equal(res.text, "");
	assert_int_equal(res.exit_status, RUN_OK);
	assert_int_equal(res.icount, 400);
	assert_int_equal(res.log_bytes, lseek(fd, 0, SEEK_END));
	return fd;
}

#define assert_has(text, part)                                       \
	do {                                                         \
		if (!strstr(text, part))                             \
			fail_msg("'%s' is not in:\n%s", part, text); \
	} while (0)

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

/* ---- logs that cannot be used, or not wholly ---- */

static void another_machine(void **state)
{
	static const struct config_item other[] = { RIG_KEY("cpu", "pentium3"),
		RIG_KEY("disk", "a.img"), RIG_KEY("ram", "134217728") };
	int fd = record();
	struct sequencer_conf c = conf_of(SOURCE_REPLAY, fd);
	struct sequencer_result res;

	c.config = other;
	res = run(c, same);
	assert_int_equal(res.exit_status, RUN_CONFIG_DIFFERS);
	assert_has(res.text, "3 differences");
	assert_has(res.text, "ram: log 67108864, this machine 134217728");
	assert_has(res.text, "shift: log 5, this machine has none");
	assert_has(res.text, "disk: log has none, this machine a.img");
	close(fd);
}

/* A disk is named by its file. */
static void another_disk(void **state)
{
	static char *files[] = { (char *)"my.img" };
	struct config_item disk[] = { { "drive.0", "512 512-1.000000000-0000000000000001", files,
		1 } };
	struct sequencer_conf c = conf_of(SOURCE_RECORD, new_file());
	struct sequencer_result res;

	c.config = disk;
	c.n_config = 1;
	res = run(c, same);
	assert_int_equal(res.exit_status, RUN_OK);
	c.mode = SOURCE_REPLAY;
	c.tail = NULL;
	disk[0].value = "512 512-2.000000000-0000000000000001";
	res = run(c, same);
	assert_int_equal(res.exit_status, RUN_CONFIG_DIFFERS);
	assert_has(res.text,
		"drive.0: file 'my.img' has changed: time of modification: log 1970-01-01 "
		"00:00:01.000000000 UTC, this machine 1970-01-01 00:00:02.000000000 UTC");
	disk[0].value = "none";
	res = run(c, same);
	assert_has(
		res.text, "drive.0: log 512 512-1.000000000-0000000000000001, this machine none");
	close(c.log_fd);
}

static void empty_and_foreign_files(void **state)
{
	static const uint8_t v12[12] = { 0x00, 0xe0, 0x20, 0x0c };
	int fd = new_file();
	struct sequencer_result res = run(conf_of(SOURCE_REPLAY, fd), same);

	assert_int_equal(res.exit_status, RUN_LOG_UNUSABLE);
	assert_has(res.text, "it is empty");
	assert_int_equal(pwrite(fd, v12, 7, 0), 7);
	res = run(conf_of(SOURCE_REPLAY, fd), same);
	assert_int_equal(res.exit_status, RUN_LOG_UNUSABLE);
	assert_has(res.text, "7 bytes only");
	assert_int_equal(pwrite(fd, v12, 12, 0), 12);
	res = run(conf_of(SOURCE_REPLAY, fd), same);
	assert_int_equal(res.exit_status, RUN_LOG_UNUSABLE);
	assert_has(res.text, "version is 0x00e0200c");
	assert_has(res.text, "reads version 0x00e02007");
	close(fd);
}

static void corrupt_byte(void **state)
{
	int fd = record();
	uint8_t b;

	assert_int_equal(pread(fd, &b, 1, 60), 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, 60), 1);
	{
		struct sequencer_result res = run(conf_of(SOURCE_REPLAY, fd), same);

		assert_int_equal(res.exit_status, RUN_LOG_UNUSABLE);
		assert_has(res.text, "chunk 0 at offset 12");
		assert_has(res.text, "CRC-32");
	}
	close(fd);
}

/*
 * The scripted machine as devices run it: it stops where it is told to, takes what comes, and ends
 * when it is told to. It expects nothing.
 */
static void drive(struct rig *r)
{
	static const struct {
		uint64_t icount, now, deadline;
		int what;
		const char *out;
	} plan[] = {
		{ 0, 0, 0, SEQ_INIT, NULL },
		{ 0, 0, 0, SEQ_CLOCK, NULL },
		{ 100, 3200, 0, SEQ_TAKE, NULL },
		{ 120, 0, 0, SEQ_OUTPUT, "hello, " },
		{ 200, 4000, 5000, SEQ_HALT, NULL },
		{ 200, 5000, SEQ_NEVER, SEQ_HALT, NULL },
		{ 290, 0, 0, SEQ_OUTPUT, "world\n" },
		{ 300, 9600, 0, SEQ_DIGEST, NULL },
		{ 400, 12800, 0, SEQ_DIGEST, NULL },
		{ 400, 12800, 0, SEQ_SHUTDOWN, NULL },
	};
	uint64_t next = SEQ_NEVER, now = 0;
	bool ended = false;

	for (size_t i = 0; i < sizeof(plan) / sizeof(plan[0]); i++) {
		uint64_t at = plan[i].icount;

		if (plan[i].now > now)
			now = plan[i].now;
		/* Takes that the log asks for on the way, one at an icount. */
		for (uint64_t last = 0; !ended && next < at && last < at;) {
			if (next > last)
				last = next;
			else
				last++;
			STEP(rig_take(r, last, now));
			for (int k = 0; k < r->n_ev; k++)
				ended |= r->ev[k].rep.arg == SEQ_EV_SHUTDOWN;
			if (ended)
				at = last;
			next = r->done.next_icount;
		}
		if (!ended && plan[i].what == SEQ_OUTPUT) {
			rig_output(r, at, 0, plan[i].out);
			continue;
		}
		if (!ended) {
			switch (plan[i].what) {
			case SEQ_INIT:
				STEP(rig_request(
					r, (struct seq_req){ .hdr.type = SEQ_INIT }, NULL, 0));
				break;
			case SEQ_CLOCK:
				STEP(rig_request(
					r, (struct seq_req){ .hdr.type = SEQ_CLOCK }, NULL, 0));
				break;
			case SEQ_TAKE: STEP(rig_take(r, at, now)); break;
			case SEQ_HALT:
				STEP(rig_halt(r, at, now, plan[i].deadline));
				now = r->done.value;
				break;
			case SEQ_DIGEST:
				STEP(rig_digest(r, at, now, at == 300 ? same.digest_eip : 0x5555));
				break;
			case SEQ_SHUTDOWN: STEP(rig_shutdown(r, at, now, same.cause)); break;
			}
			for (int k = 0; k < r->n_ev; k++)
				ended |= r->ev[k].rep.arg == SEQ_EV_SHUTDOWN;
			next = r->done.next_icount;
		}
		if (ended) {
			STEP(rig_digest(r, at, now, 1));
			STEP(rig_shutdown(r, at, now, SHUTDOWN_HOST_ERROR));
			return;
		}
	}
}

static int record_plain(void)
{
	int fd = new_file();
	struct sequencer_conf c = conf_of(SOURCE_RECORD, fd);

	c.raw = true;
	run(c, same);
	return fd;
}

/* A log without its end: replays what is there, then says so. Cut plain logs at every byte. */
static void cut_anywhere(void **state)
{
	int fd = record_plain(), whole = 0;
	off_t len = lseek(fd, 0, SEEK_END), config_end = 0;

	for (off_t n = 12; n < len; n++) {
		int cut = copy_file(fd, n);
		static struct rig r;
		struct sequencer_result res;
		bool opened = rig_start(&r, conf_of(SOURCE_REPLAY, cut));

		if (opened)
			drive(&r);
		res = rig_finish(&r);
		close(cut);
		if (!opened) {
			assert_int_equal(res.exit_status, RUN_LOG_UNUSABLE);
			config_end = n;
			continue;
		}
		if (res.exit_status != RUN_LOG_CUT)
			fail_msg("cut at %ld of %ld: status %u: %s", (long)n, (long)len,
				res.exit_status, res.text);
		assert_has(res.text, "it has no end");
		whole++;
	}
	assert_true(config_end > 12);
	assert_true(whole > 100);
	close(fd);
}

/* Whatever byte of a plain log is another one: the run ends, in words. (A rig that waits for ever
 * aborts.) */
static void damaged_anywhere(void **state)
{
	int fd = record_plain(), statuses[6] = { 0 };
	off_t len = lseek(fd, 0, SEEK_END);

	for (off_t n = 0; n < len; n++)
		for (int how = 0; how < 4; how++) {
			static const uint8_t x[] = { 0x01, 0x80, 0xff, 0x10 };
			int bad = copy_file(fd, len);
			static struct rig r;
			struct sequencer_result res;
			uint8_t b;

			assert_int_equal(pread(bad, &b, 1, n), 1);
			b ^= x[how];
			assert_int_equal(pwrite(bad, &b, 1, n), 1);
			if (rig_start(&r, conf_of(SOURCE_REPLAY, bad)))
				drive(&r);
			else
				assert_true(r.s.result.over);
			/* It may have come to its own end without the log's. */
			if (r.running && !atomic_load_acquire(&r.ended))
				sequencer_stop(&r.s, STOP_ABANDON, "the script is over");
			res = rig_finish(&r);
			assert_in_range(res.exit_status, 0, 5);
			if (res.exit_status != RUN_OK)
				assert_true(res.text[0] != '\0');
			statuses[res.exit_status]++;
			close(bad);
		}
	/* Nearly every byte counts. What does not: wording of the cause of an end, the checkpoint
	 * of an input. */
	assert_true(statuses[RUN_DIVERGED] > 100);
	assert_true(statuses[RUN_LOG_UNUSABLE] > 100);
	assert_true(statuses[RUN_CONFIG_DIFFERS] > 50);
	assert_true(statuses[RUN_OK] < 100);
	assert_int_equal(statuses[RUN_FAILED], 0);
	close(fd);
}

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
		cmocka_unit_test(record_and_replay),
		cmocka_unit_test(variants_of_recording),
		cmocka_unit_test(no_log_at_all),
		cmocka_unit_test(exit_status_of_the_guest),
		cmocka_unit_test(output_reaches_the_hub),
		cmocka_unit_test(halt_sleeps_in_real_time),
		cmocka_unit_test(halt_without_sleep),
		cmocka_unit_test(pause_freezes_the_wait),
		cmocka_unit_test(paused_group_can_be_ended),
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
		cmocka_unit_test(another_machine),
		cmocka_unit_test(another_disk),
		cmocka_unit_test(empty_and_foreign_files),
		cmocka_unit_test(corrupt_byte),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(damaged_anywhere),
		cmocka_unit_test(abandoned_recording),
		cmocka_unit_test(abandoned_behind_a_digest),
		cmocka_unit_test(hub_death_leaves_a_whole_log),
		cmocka_unit_test(replay_can_be_stopped),
		cmocka_unit_test(realtime_replay_waits),
		cmocka_unit_test(devices_that_misbehave),
		cmocka_unit_test(request_during_halt),
		cmocka_unit_test(hub_that_misbehaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
