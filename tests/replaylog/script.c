/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See script.h. */
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

static const struct config_item config[] = { RIG_KEY("cpu", "pentium3"), RIG_KEY("ram", "67108864"),
	RIG_KEY("shift", "5") };

struct sequencer_conf conf_of(int mode, int fd)
{
	return (struct sequencer_conf){
		.mode = mode, .sleep = true, .config = config, .n_config = 3, .log_fd = fd
	};
}

int new_file(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

int copy_file(int from, off_t len)
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

const struct vary same = {
	.digest_eip = 0x1234, .out1 = "hello, ", .out2 = "world\n", .cause = SHUTDOWN_GUEST_SHUTDOWN
};

void expect_chars(struct rig *r, const char *text)
{
	assert_int_equal(r->n_ev, 1);
	assert_int_equal(r->ev[0].rep.arg, SEQ_EV_CHAR);
	assert_int_equal(r->ev[0].len, strlen(text));
	assert_memory_equal(r->ev[0].data, text, strlen(text));
}

uint64_t recorded_clock;
static uint64_t recorded_halt;

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

struct sequencer_result run(struct sequencer_conf conf, struct vary v)
{
	static struct rig r;

	v.record = conf.mode != SOURCE_REPLAY;
	if (rig_start(&r, conf))
		machine(&r, v);
	return rig_finish(&r);
}

int record(void)
{
	int fd = new_file();
	struct sequencer_result res = run(conf_of(SOURCE_RECORD, fd), same);

	assert_string_equal(res.text, "");
	assert_int_equal(res.exit_status, RUN_OK);
	assert_int_equal(res.icount, 400);
	assert_int_equal(res.log_bytes, lseek(fd, 0, SEEK_END));
	return fd;
}
