/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Salvage: a recording process that is killed at any instant leaves a log that is whole and can be
 * ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "log_reader.h"
#include "log_writer.h"
#include "logtail.h"
#include "seq.h"

static struct logtail *shared_tail(void)
{
	struct logtail *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(t != MAP_FAILED);
	return t;
}

/* Reads the log; every CLOCK_HOST holds its own number. Returns how many there are. The log must be
 * good and ended. */
static uint64_t check(int fd, uint8_t cause, uint64_t icount)
{
	struct log_source src;
	struct log_reader r;
	struct log_event ev, before = { 0 };
	struct error err = ERROR_INIT;
	uint64_t n = 0;
	int ret = log_reader_init(&r, log_source_file(&src, fd), &err);

	while (ret == 0 && (ret = log_reader_next(&r, &ev, &err)) == 1) {
		if (ev.id == LOG_CLOCK_HOST)
			assert_int_equal(ev.value, n++);
		if (ev.id == LOG_END) {
			assert_int_equal(before.id, LOG_SHUTDOWN);
			assert_int_equal(before.sub, cause);
		}
		before = ev;
		ret = 0;
	}
	if (ret < 0)
		fail_msg("%s", err.msg);
	if (icount != UINT64_MAX)
		assert_int_equal(r.icount, icount);
	log_reader_done(&r);
	return n;
}

static void put_clock(struct log_writer *w, uint64_t n)
{
	assert_int_equal(
		log_writer_put(w, n * 10, &(struct log_event){ .id = LOG_CLOCK_HOST, .value = n }),
		0);
}

static void of_what_is_published(void **state)
{
	for (int e = 0; e < 2; e++) {
		struct logtail *t = shared_tail();
		int fd = memfd_create("log", MFD_CLOEXEC);
		struct log_writer w;
		struct error err = ERROR_INIT;

		assert_int_equal(log_writer_init(&w, fd, true, (enum log_encoding)e, t, &err), 0);
		for (uint64_t i = 0; i < 7; i++) {
			put_clock(&w, i);
			log_writer_publish(&w);
			if (i == 3)
				assert_int_equal(log_writer_flush(&w), 0);
		}
		/* This belongs to something that was not finished. */
		put_clock(&w, 7);
		log_writer_set_end(&w, 61);
		assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), 0);
		assert_int_equal(check(fd, SHUTDOWN_HOST_ERROR, 61), 7);
		/* Once is enough; twice does no harm. */
		assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_SIGNAL, &err), 0);
		assert_int_equal(check(fd, SHUTDOWN_HOST_ERROR, 61), 7);
		log_writer_done(&w);
		munmap(t, sizeof(*t));
		close(fd);
	}
}

static void of_nothing(void **state)
{
	struct logtail *t = shared_tail();
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct error err = ERROR_INIT;

	assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	/* Dead before the header was written. */
	atomic_store_release(&t->state, LOGTAIL_RECORDING);
	t->encoding = LOG_CHUNKED;
	assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), 0);
	assert_int_equal(check(fd, SHUTDOWN_HOST_ERROR, 0), 0);
	munmap(t, sizeof(*t));
	close(fd);
}

/* Half a chunk behind the whole ones: what a writer leaves that dies while it writes. */
static void of_half_a_chunk(void **state)
{
	struct logtail *t = shared_tail();
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct log_writer w;
	struct error err = ERROR_INIT;
	uint8_t junk[100];

	memset(junk, 0x55, sizeof(junk));
	assert_int_equal(log_writer_init(&w, fd, true, LOG_CHUNKED, t, &err), 0);
	put_clock(&w, 0);
	assert_int_equal(log_writer_flush(&w), 0);
	put_clock(&w, 1);
	log_writer_publish(&w);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), (off_t)w.file_len), sizeof(junk));
	assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), 0);
	assert_int_equal(check(fd, SHUTDOWN_HOST_ERROR, 10), 2);
	log_writer_done(&w);
	munmap(t, sizeof(*t));
	close(fd);
}

static void of_an_end_that_was_not_written(void **state)
{
	struct logtail *t = shared_tail();
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct log_writer w;
	struct error err = ERROR_INIT;

	assert_int_equal(log_writer_init(&w, fd, true, LOG_CHUNKED, t, &err), 0);
	put_clock(&w, 0);
	log_writer_put(
		&w, 5, &(struct log_event){ .id = LOG_SHUTDOWN, .sub = SHUTDOWN_GUEST_RESET });
	log_writer_put(&w, 5, &(struct log_event){ .id = LOG_END });
	log_writer_publish(&w);
	assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), 0);
	assert_int_equal(check(fd, SHUTDOWN_GUEST_RESET, 5), 1);
	log_writer_done(&w);
	munmap(t, sizeof(*t));
	close(fd);
}

/* What a process that went mad left in the tail. */
static void of_nonsense(void **state)
{
	struct logtail *t = shared_tail();
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct error err = ERROR_INIT;

	atomic_store_release(&t->state, LOGTAIL_RECORDING);
	t->encoding = LOG_CHUNKED;
	atomic_store_release(&t->bank[0].head, LOGTAIL_BANK_MAX + 1);
	assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), -EBADMSG);
	atomic_store_release(&t->bank[0].head, 100);
	t->bank[0].file_len = 1000;
	assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), -EBADMSG);
	t->bank[0].file_len = 0;
	memset(t->bank[0].data, 0x7f, 100);
	/* How far it came is not believed if it is absurd. */
	atomic_store_release(&t->last_icount, UINT64_MAX);
	assert_int_equal(logtail_salvage(t, fd, 99, &err), 0);
	assert_int_equal(check(fd, SHUTDOWN_HOST_ERROR, 0), 0);
	munmap(t, sizeof(*t));
	close(fd);
}

/* The real thing: a process writes as fast as it can and is killed after a while; again and again,
 * with other whiles. */
static void of_a_process_that_was_killed(void **state)
{
	uint64_t total = 0;

	for (int i = 0; i < 60; i++) {
		struct logtail *t = shared_tail();
		int fd = memfd_create("log", MFD_CLOEXEC), status;
		struct error err = ERROR_INIT;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct log_writer w;

			if (log_writer_init(
				    &w, fd, true, i & 1 ? LOG_PLAIN : LOG_CHUNKED, t, &err) < 0)
				_exit(1);
			for (uint64_t n = 0;; n++) {
				log_writer_put(&w, n * 10,
					&(struct log_event){ .id = LOG_CLOCK_HOST, .value = n });
				log_writer_publish(&w);
				/* Chunks are closed all the time, so that many die while one is. */
				if (n % 8 == 7)
					log_writer_flush(&w);
			}
		}
		nanosleep(&(struct timespec){ 0, 1000000 + i * 130000 }, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(logtail_salvage(t, fd, SHUTDOWN_HOST_ERROR, &err), 0);
		if (lseek(fd, 0, SEEK_END) > 0) {
			uint64_t n = check(fd, SHUTDOWN_HOST_ERROR, UINT64_MAX);

			/* Everything that was published is there. */
			assert_true(n * 10 >= atomic_load_acquire(&t->last_icount));
			total += n;
		}
		munmap(t, sizeof(*t));
		close(fd);
	}
	assert_true(total > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_what_is_published),
		cmocka_unit_test(of_nothing),
		cmocka_unit_test(of_half_a_chunk),
		cmocka_unit_test(of_an_end_that_was_not_written),
		cmocka_unit_test(of_nonsense),
		cmocka_unit_test(of_a_process_that_was_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
