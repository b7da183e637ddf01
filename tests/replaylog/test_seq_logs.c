/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logs that cannot be used, or not wholly: of another machine, foreign, damaged at any byte, cut at
 * any byte. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_machine),
		cmocka_unit_test(another_disk),
		cmocka_unit_test(empty_and_foreign_files),
		cmocka_unit_test(corrupt_byte),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(damaged_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
