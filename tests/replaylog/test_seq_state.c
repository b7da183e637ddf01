/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots and the sequencer: a halt that is interrupted for one goes on as if it had not been, a
 * replay goes on from the place in the log that was saved, and to no other log's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "rig.h"

#define MS INT64_C(1000000)

static const struct config_item config[] = { RIG_KEY("cpu", "pentium3"), RIG_KEY("shift", "5") };

/* ---- what is done on the sequencer's thread ---- */

struct job {
	_Atomic(void (*)(struct sequencer *s)) fn;
	struct rig *rig;
};

static struct job job;
static Dejavm__ReplaylogState saved;
static int checked;
static struct error job_err;

static void between(void *opaque)
{
	void (*fn)(struct sequencer *) = atomic_load(&job.fn);

	if (!fn)
		return;
	fn(&job.rig->s);
	atomic_store(&job.fn, NULL);
}

static void nap(int64_t ns)
{
	nanosleep(&(struct timespec){ ns / 1000000000, ns % 1000000000 }, NULL);
}

static void on_thread(struct rig *r, void (*fn)(struct sequencer *s))
{
	uint64_t one = 1;

	job.rig = r;
	atomic_store(&job.fn, fn);
	assert_int_equal(write(r->wake_fd, &one, sizeof(one)), sizeof(one));
	for (int i = 0; i < 5000 && atomic_load(&job.fn); i++)
		nap(MS);
	assert_true(!atomic_load(&job.fn));
}

static void do_save(struct sequencer *s)
{
	struct error err = ERROR_INIT;

	dejavm__replaylog_state__init(&saved);
	assert_int_equal(sequencer_save(s, "here", 200, &saved, &err), 0);
}

static void do_check(struct sequencer *s)
{
	checked = sequencer_check(s, &saved, &job_err);
}

static void do_load(struct sequencer *s)
{
	sequencer_load(s, &saved);
}

static bool start(struct rig *r, int mode, int fd)
{
	return rig_start(r, (struct sequencer_conf){ .mode = mode,
				    .sleep = true,
				    .config = config,
				    .n_config = 2,
				    .log_fd = fd,
				    .between = between });
}

static bool request(struct rig *r, enum seq_message type, uint64_t icount)
{
	return rig_request(r,
		(struct seq_req){ .hdr.type = type, .icount = icount, .now_ns = icount * 10 }, NULL,
		0);
}

/* ---- holding ---- */

static void test_hold(void **state)
{
	struct rig r;
	int64_t t;
	uint32_t mark[CPU_MARK_COUNT];
	struct seq_req halt = {
		.hdr.type = SEQ_HALT, .icount = 50, .now_ns = 500, .deadline_ns = 500 + 400 * MS
	};

	assert_true(start(&r, SOURCE_NONE, -1));
	assert_true(request(&r, SEQ_INIT, 0));
	rig_mark(mark, 50);
	rig_send(&r, halt, mark, sizeof(mark));
	nap(250 * MS);
	on_thread(&r, sequencer_hold);
	assert_true(rig_wait(&r));
	assert_int_equal(r.done.value, 500); /* nothing has happened */
	assert_int_equal(r.n_ev, 0);
	t = host_monotonic_ns();
	rig_send(&r, halt, mark, sizeof(mark));
	assert_true(rig_wait(&r));
	assert_int_equal(r.done.value, 500); /* nor now, and at once */
	assert_true(host_monotonic_ns() - t < 200 * MS);
	nap(300 * MS);
	on_thread(&r, sequencer_release);
	/* The rest of the sleep, not all of it, and not nothing of it. */
	t = host_monotonic_ns();
	rig_send(&r, halt, mark, sizeof(mark));
	assert_true(rig_wait(&r));
	t = host_monotonic_ns() - t;
	assert_int_equal(r.done.value, halt.deadline_ns);
	if (t < 60 * MS || t > 300 * MS)
		fail_msg("the rest of the halt took %lld ms", (long long)(t / MS));
	assert_true(rig_shutdown(&r, 60, 600 * MS, SHUTDOWN_GUEST_SHUTDOWN));
	assert_int_equal(rig_finish(&r).exit_status, RUN_OK);
	(void)state;
}

/* ---- a place in the log ---- */

static void expect(struct rig *r, const char *text)
{
	assert_int_equal(r->n_ev, 1);
	assert_int_equal(r->ev[0].len, strlen(text));
	assert_memory_equal(r->ev[0].data, text, strlen(text));
}

static void first_half(struct rig *r, bool record)
{
	assert_true(request(r, SEQ_INIT, 0));
	if (record) {
		rig_type(r, 0, "ab");
		rig_settle(r);
	}
	assert_true(rig_take(r, 100, 1000));
	expect(r, "ab");
	rig_output(r, 150, 0, "hello");
}

static struct sequencer_result second_half(struct rig *r, bool record)
{
	if (record) {
		rig_type(r, 0, "cd");
		rig_settle(r);
	}
	assert_true(rig_take(r, 300, 3000));
	expect(r, "cd");
	rig_output(r, 310, 0, " world");
	assert_true(rig_digest(r, 400, 4000, 0x1234));
	rig_shutdown(r, 400, 4000, SHUTDOWN_GUEST_SHUTDOWN);
	return rig_finish(r);
}

static int record(const char *between_words)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct rig r;

	assert_true(start(&r, SOURCE_RECORD, fd));
	first_half(&r, true);
	if (between_words)
		rig_output(&r, 160, 0, between_words);
	on_thread(&r, do_save);
	assert_int_equal(second_half(&r, true).exit_status, RUN_OK);
	return fd;
}

static void test_go_on(void **state)
{
	int fd = record(NULL);
	struct sequencer_result res;
	struct rig r;

	assert_true(saved.has_position);
	assert_int_equal(saved.n_streams, 1);
	assert_int_equal(saved.streams[0]->sent, 5);
	/* The whole, and the snapshot's event does not disturb. */
	assert_true(start(&r, SOURCE_REPLAY, fd));
	first_half(&r, false);
	res = second_half(&r, false);
	assert_string_equal(res.text, "");
	assert_int_equal(res.exit_status, RUN_OK);
	/* From there. */
	assert_true(start(&r, SOURCE_REPLAY, fd));
	assert_true(request(&r, SEQ_INIT, 0));
	assert_int_equal(r.done.next_icount, 100);
	on_thread(&r, do_check);
	assert_int_equal(checked, 0);
	on_thread(&r, do_load);
	assert_true(request(&r, SEQ_RESUME, 200));
	assert_int_equal(r.done.next_icount, 300);
	res = second_half(&r, false);
	assert_string_equal(res.text, "");
	assert_int_equal(res.exit_status, RUN_OK);
	/* Back, after the second half has begun. */
	assert_true(start(&r, SOURCE_REPLAY, fd));
	first_half(&r, false);
	assert_true(rig_take(&r, 300, 3000));
	rig_output(&r, 310, 0, " wor");
	on_thread(&r, do_load);
	assert_true(request(&r, SEQ_RESUME, 200));
	assert_int_equal(r.done.next_icount, 300);
	res = second_half(&r, false);
	assert_int_equal(res.exit_status, RUN_OK);
	/* What is sent after it is compared. */
	assert_true(start(&r, SOURCE_REPLAY, fd));
	assert_true(request(&r, SEQ_INIT, 0));
	on_thread(&r, do_load);
	assert_true(request(&r, SEQ_RESUME, 200));
	assert_true(rig_take(&r, 300, 3000));
	rig_output(&r, 310, 0, " WORLD");
	assert_int_equal(rig_finish(&r).exit_status, RUN_DIVERGED);
	close(fd);
	(void)state;
}

static void refused(int fd, int mode, const char *word)
{
	struct rig r;

	assert_true(start(&r, mode, fd));
	assert_true(request(&r, SEQ_INIT, 0));
	job_err = (struct error)ERROR_INIT;
	on_thread(&r, do_check);
	assert_int_not_equal(checked, 0);
	if (!strstr(job_err.msg, word))
		fail_msg("'%s' does not say '%s'", job_err.msg, word);
	sequencer_stop(&r.s, STOP_ABANDON, "the test is over");
	rig_finish(&r);
}

static void test_refused(void **state)
{
	int other = record("another "), fd = record(NULL), empty = memfd_create("x", 0);

	refused(other, SOURCE_REPLAY, "does not belong");
	saved.prefix_hash ^= 1;
	refused(fd, SOURCE_REPLAY, "does not belong");
	saved.prefix_hash ^= 1;
	saved.next_event += 1000;
	refused(fd, SOURCE_REPLAY, "does not belong");
	saved.next_event -= 1000;
	saved.version++;
	refused(fd, SOURCE_REPLAY, "version");
	saved.version--;
	saved.streams[0]->stream = 256;
	refused(fd, SOURCE_REPLAY, "stream 256");
	saved.streams[0]->stream = 0;
	saved.has_position = false;
	refused(fd, SOURCE_REPLAY, "without a log");
	refused(empty, SOURCE_RECORD, "recorded");
	close(fd);
	close(other);
	close(empty);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_go_on),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
