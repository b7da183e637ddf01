/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader and the writer: whole logs there and back, from pipes, cut at every byte, damaged, and
 * hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "log_reader.h"
#include "log_words.h"
#include "log_writer.h"
#include "seq.h"

static uint8_t file[4 << 20];
static size_t file_len;

/* Writes a log with n events of which every tenth closes a chunk; the last two are SHUTDOWN and
 * END. */
static void make(enum log_encoding encoding, int n, uint64_t step)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct log_writer w;
	struct error err = ERROR_INIT;
	uint8_t empty_config[4] = { 0 };

	assert_int_equal(log_writer_init(&w, fd, true, encoding, NULL, &err), 0);
	assert_int_equal(
		log_writer_put(&w, 0,
			&(struct log_event){ .id = LOG_CONFIG, .data = empty_config, .len = 4 }),
		0);
	for (int i = 0; i < n; i++) {
		assert_int_equal(
			log_writer_put(&w, (uint64_t)i * step,
				&(struct log_event){ .id = LOG_CLOCK_HOST, .value = (uint64_t)i }),
			0);
		if (i % 10 == 9)
			assert_int_equal(log_writer_flush(&w), 0);
	}
	assert_int_equal(log_writer_end(&w, (uint64_t)n * step, SHUTDOWN_GUEST_SHUTDOWN), 0);
	assert_int_equal(atomic_load_acquire(&w.tail->state), LOGTAIL_CLOSED);
	file_len = (size_t)lseek(fd, 0, SEEK_END);
	assert_int_equal(file_len, w.file_len);
	assert_true(file_len <= sizeof(file));
	assert_int_equal(pread(fd, file, file_len, 0), file_len);
	log_writer_done(&w);
	close(fd);
}

struct outcome {
	int ret;
	uint64_t events, clocks, icount, whole_len;
	bool ended;
	char msg[1024];
};

static struct outcome read_source(struct log_source *src)
{
	struct log_reader r;
	struct log_event ev;
	struct error err = ERROR_INIT;
	struct outcome o = { 0 };

	o.ret = log_reader_init(&r, src, &err);
	while (o.ret == 0 && (o.ret = log_reader_next(&r, &ev, &err)) == 1) {
		assert_int_equal(ev.number, o.events);
		assert_true(ev.icount >= o.icount);
		o.events++;
		o.icount = ev.icount;
		if (ev.id == LOG_CLOCK_HOST) {
			assert_int_equal(ev.value, o.clocks);
			o.clocks++;
		}
		o.ret = 0;
	}
	o.ended = r.ended;
	o.whole_len = r.whole_len;
	if (o.ret < 0) {
		struct error again = ERROR_INIT;

		assert_true(err.msg[0] != '\0');
		assert_int_equal(err.code, -o.ret);
		/* A failure stays. */
		if (r.header_len == LOG_HEADER_LEN && r.raw && r.failed) {
			assert_int_equal(log_reader_next(&r, &ev, &again), o.ret);
			assert_string_equal(again.msg, err.msg);
		}
	}
	strcpy(o.msg, err.msg);
	log_reader_done(&r);
	return o;
}

static struct outcome read_mem(const uint8_t *p, size_t len)
{
	struct log_source src;

	return read_source(log_source_mem(&src, p, len));
}

static void whole_logs(void **state)
{
	for (int e = 0; e < 2; e++)
		for (int n = 0; n < 50; n += 7) {
			struct outcome o;

			make((enum log_encoding)e, n, 3);
			o = read_mem(file, file_len);
			assert_int_equal(o.ret, 0);
			assert_true(o.ended);
			assert_int_equal(o.clocks, n);
			assert_int_equal(o.icount, n * 3);
			assert_int_equal(o.whole_len, file_len);
		}
}

static void far_apart(void **state)
{
	for (int e = 0; e < 2; e++) {
		struct outcome o;

		make((enum log_encoding)e, 5, UINT64_C(0x300000007));
		o = read_mem(file, file_len);
		assert_int_equal(o.ret, 0);
		assert_true(o.icount == 5 * UINT64_C(0x300000007));
		/* 4 GiB a step at most: three and a rest for each event but the first. */
		assert_int_equal(o.events, 1 + 5 + 2 + 5 * 4);
	}
}

/* From every prefix: whatever was whole is read, the rest is said to be cut. Nothing crashes. */
static void cut_at_every_byte(void **state)
{
	for (int e = 0; e < 2; e++) {
		uint64_t clocks = 0;

		make((enum log_encoding)e, 30, 1000);
		for (size_t n = 0; n < file_len; n++) {
			struct outcome o = read_mem(file, n);

			assert_false(o.ended && o.ret == 0);
			if (n < LOG_HEADER_LEN) {
				assert_int_equal(o.ret, -EBADMSG);
				continue;
			}
			assert_int_equal(o.ret, o.ended ? 0 : -ENODATA);
			assert_non_null(strstr(o.msg, "cut off"));
			assert_true(o.clocks >= clocks);
			assert_true(o.whole_len <= n);
			clocks = o.clocks;
		}
		assert_int_equal(clocks, 30);
	}
}

/* Chunks: no bit can change without being noticed. Plain: nothing crashes, and nothing runs for
 * ever. */
static void damaged_at_every_byte(void **state)
{
	for (int e = 0; e < 2; e++) {
		make((enum log_encoding)e, 30, 1000);
		for (size_t n = 0; n < file_len; n++) {
			uint8_t was = file[n];
			struct outcome o;

			for (int bit = (int)n % 4; bit < 8; bit += 4) {
				struct log_source src;
				struct log_reader r;
				struct log_event ev;
				struct error err = ERROR_INIT;
				int ret;

				file[n] = was ^ (uint8_t)(1 << bit);
				ret = log_reader_init(
					&r, log_source_mem(&src, file, file_len), &err);
				while (ret == 0 && (ret = log_reader_next(&r, &ev, &err)) == 1)
					ret = 0;
				log_reader_done(&r);
				if (e == LOG_CHUNKED)
					assert_true(ret < 0);
			}
			file[n] = was;
			if (n % 97 == 0) {
				o = read_mem(file, file_len);
				assert_int_equal(o.ret, 0);
			}
		}
	}
}

static void something_behind_the_end(void **state)
{
	for (int e = 0; e < 2; e++) {
		struct outcome o;

		make((enum log_encoding)e, 3, 1);
		file[file_len] = 1;
		o = read_mem(file, file_len + 1);
		assert_int_equal(o.ret, -EBADMSG);
		assert_non_null(strstr(o.msg, "follow"));
	}
}

static void chunks_that_are_missing_or_swapped(void **state)
{
	struct log_chunk a, b;
	struct error err = ERROR_INIT;
	size_t la, lb;
	uint8_t *p;
	struct outcome o;

	make(LOG_CHUNKED, 30, 1000);
	assert_int_equal(log_chunk_decode(file + 12, &a, &err), 0);
	la = LOG_CHUNK_HDR_LEN + a.stored_len;
	assert_int_equal(log_chunk_decode(file + 12 + la, &b, &err), 0);
	lb = LOG_CHUNK_HDR_LEN + b.stored_len;
	p = malloc(file_len);
	/* The second is gone. */
	memcpy(p, file, 12 + la);
	memcpy(p + 12 + la, file + 12 + la + lb, file_len - 12 - la - lb);
	o = read_mem(p, file_len - lb);
	assert_int_equal(o.ret, -EBADMSG);
	assert_non_null(strstr(o.msg, "chunk 1 at offset"));
	assert_non_null(strstr(o.msg, "chunks are missing or not in order"));
	/* It is the first. */
	memcpy(p, file, 12);
	memcpy(p + 12, file + 12 + la, lb);
	memcpy(p + 12 + lb, file + 12, la);
	o = read_mem(p, 12 + la + lb);
	assert_int_equal(o.ret, -EBADMSG);
	assert_non_null(strstr(o.msg, "chunk 0 at offset 12"));
	free(p);
}

static void foreign_logs(void **state)
{
	uint8_t buf[64] = { 0 };
	struct outcome o = read_mem(buf, 64);

	assert_int_equal(o.ret, -EPROTONOSUPPORT);
	assert_non_null(
		strstr(o.msg, "version is 0x00000000 (a recording that was never finished)"));
	log_header_encode(buf, LOG_VERSION, 2);
	o = read_mem(buf, 64);
	assert_int_equal(o.ret, -EPROTONOSUPPORT);
	assert_non_null(strstr(o.msg, "encoding is 0x2"));
	log_header_encode(buf, LOG_VERSION, UINT64_C(1) << 40);
	o = read_mem(buf, 64);
	assert_int_equal(o.ret, -EPROTONOSUPPORT);
}

/* An event longer than any may be must not make a reader of a pipe wait for it. */
static void endless_event(void **state)
{
	static uint8_t buf[3 * LOG_EVENT_MAX];
	struct outcome o;

	log_header_encode(buf, LOG_VERSION, LOG_PLAIN);
	memset(buf + 12, 0, sizeof(buf) - 12);
	buf[12] = 14;
	buf[13] = 0x7f;
	o = read_mem(buf, sizeof(buf));
	assert_int_equal(o.ret, -EBADMSG);
	assert_non_null(strstr(o.msg, "array of"));
	/* A chunk whose event goes on behind it. */
	make(LOG_CHUNKED, 0, 0);
	{
		uint8_t raw[5] = { 0, 0, 0, 0, 1 }, disk[LOG_CHUNK_DISK_MAX];
		long n = log_chunk_build(raw, 3, 0, 0, disk, sizeof(disk));

		log_header_encode(buf, LOG_VERSION, LOG_CHUNKED);
		memcpy(buf + 12, disk, (size_t)n);
		o = read_mem(buf, 12 + (size_t)n);
		assert_int_equal(o.ret, -EBADMSG);
		assert_non_null(strstr(o.msg, "does not end in its chunk"));
	}
}

struct feeder {
	int fd;
	size_t step;
};

static void *feed(void *opaque)
{
	struct feeder *f = opaque;

	for (size_t at = 0; at < file_len; at += f->step) {
		size_t n = file_len - at < f->step ? file_len - at : f->step;

		assert_int_equal(write(f->fd, file + at, n), n);
	}
	close(f->fd);
	return NULL;
}

static void through_a_pipe(void **state)
{
	static const size_t steps[] = { 1, 7, 4096 };

	for (int e = 0; e < 2; e++)
		for (size_t i = 0; i < 3; i++) {
			struct log_source src;
			struct outcome o;
			pthread_t t;
			struct feeder f = { .step = steps[i] };
			int p[2];

			make((enum log_encoding)e, 200, 5);
			assert_int_equal(pipe(p), 0);
			f.fd = p[1];
			pthread_create(&t, NULL, feed, &f);
			o = read_source(log_source_fd(&src, p[0]));
			pthread_join(t, NULL);
			close(p[0]);
			assert_int_equal(o.ret, 0);
			assert_int_equal(o.clocks, 200);
		}
}

/* Many large events: banks fill up and are written, and the reader's buffer moves along. */
static void large_logs(void **state)
{
	static uint8_t data[100000];
	uint32_t x = 7;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	for (int e = 0; e < 2; e++) {
		int fd = memfd_create("log", MFD_CLOEXEC), n = 0, ret;
		struct log_writer w;
		struct log_source src;
		struct log_reader r;
		struct log_event ev;
		struct error err = ERROR_INIT;

		assert_int_equal(
			log_writer_init(&w, fd, true, (enum log_encoding)e, NULL, &err), 0);
		for (uint32_t i = 0; i < 40; i++)
			assert_int_equal(
				log_writer_put(&w, i,
					&(struct log_event){
						.id = 210, .data = data, .len = 99000 + i }),
				0);
		assert_int_equal(log_writer_end(&w, 40, SHUTDOWN_NONE), 0);
		assert_int_equal(log_reader_init(&r, log_source_file(&src, fd), &err), 0);
		while ((ret = log_reader_next(&r, &ev, &err)) == 1)
			if (ev.id == 210) {
				assert_int_equal(ev.len, 99000 + n);
				assert_int_equal(ev.icount, n);
				assert_memory_equal(ev.data, data, ev.len);
				n++;
			}
		assert_int_equal(ret, 0);
		assert_int_equal(n, 40);
		log_reader_done(&r);
		log_writer_done(&w);
		close(fd);
	}
}

static void full_disk(void **state)
{
	int fd = open("/dev/full", O_WRONLY);
	struct log_writer w;
	struct error err = ERROR_INIT;

	if (fd < 0)
		skip();
	assert_int_equal(log_writer_init(&w, fd, false, LOG_CHUNKED, NULL, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "No space left"));
	/* Nothing is written after a failure. */
	assert_int_equal(log_writer_put(&w, 1, &(struct log_event){ .id = LOG_END }), -ENOSPC);
	assert_int_equal(log_writer_flush(&w), -ENOSPC);
	log_writer_done(&w);
	close(fd);
}

/* The disk fills up in the middle of a chunk: what is there stays whole. */
static void disk_that_fills_up(void **state)
{
	struct rlimit was, small;
	char name[] = "/tmp/dejavm-test-XXXXXX";
	int fd = mkstemp(name);
	struct log_writer w;
	struct log_source src;
	struct outcome o;
	struct error err = ERROR_INIT;
	uint64_t n = 0;
	int ret = 0;

	assert_true(fd >= 0);
	unlink(name);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	small = was;
	small.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(log_writer_init(&w, fd, true, LOG_CHUNKED, NULL, &err), 0);
	while (ret == 0 && n < 10000) {
		ret = log_writer_put(
			&w, n, &(struct log_event){ .id = LOG_CLOCK_HOST, .value = n });
		if (++n % 10 == 0 && ret == 0)
			ret = log_writer_flush(&w);
	}
	setrlimit(RLIMIT_FSIZE, &was);
	assert_int_equal(ret, -EFBIG);
	assert_int_equal(lseek(fd, 0, SEEK_END), w.file_len);
	assert_int_equal(log_writer_end(&w, n, SHUTDOWN_NONE), -EFBIG);
	o = read_source(log_source_file(&src, fd));
	assert_int_equal(o.ret, -ENODATA);
	assert_true(o.clocks >= 10);
	assert_int_equal(o.clocks % 10, 0);
	assert_int_equal(o.whole_len, w.file_len);
	log_writer_done(&w);
	close(fd);
}

/* A log that is recorded over a longer one. */
static void over_a_longer_file(void **state)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct log_writer w;
	struct log_source src;
	struct error err = ERROR_INIT;

	make(LOG_CHUNKED, 100, 7);
	assert_int_equal(pwrite(fd, file, file_len, 0), file_len);
	assert_int_equal(log_writer_init(&w, fd, true, LOG_CHUNKED, NULL, &err), 0);
	assert_int_equal(log_writer_end(&w, 0, SHUTDOWN_NONE), 0);
	assert_int_equal(read_source(log_source_file(&src, fd)).ret, 0);
	log_writer_done(&w);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_logs),
		cmocka_unit_test(far_apart),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(damaged_at_every_byte),
		cmocka_unit_test(something_behind_the_end),
		cmocka_unit_test(chunks_that_are_missing_or_swapped),
		cmocka_unit_test(foreign_logs),
		cmocka_unit_test(endless_event),
		cmocka_unit_test(through_a_pipe),
		cmocka_unit_test(large_logs),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(disk_that_fills_up),
		cmocka_unit_test(over_a_longer_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
