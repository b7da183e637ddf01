/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logs: whatever the bytes, reading ends, and says why; what was read is written again to the same
 * bytes; a stream of events reads the same plain and in a chunk; and a tail of it can be salvaged.
 * The first byte chooses.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log_reader.h"
#include "log_words.h"
#include "logtail.h"

/* what (0 file, 1 events, 2 tail), then for a file: header and events of many kinds */
static const uint8_t plain[] = { 0, 0x00, 0xe0, 0x20, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0,
	15, 0, 0, 0, 1, 0, 0, 0, 1, 'k', 0, 0, 0, 2, 'v', 'w', 18, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0,
	1, 0, 3, 4, 3, 0, 0, 0, 0, 3, 'l', 's', '\n', 132, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0, 3, 4,
	1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30, 1, 3, 4, 2, 135, 0, 0, 0, 3, 0, 'o',
	'k', 129, 0, 0, 0, 13, 1, 3, 'e', 'i', 'p', 0, 0, 0, 0, 0, 0, 0x10, 0, 133, 0, 0, 0, 2, 3,
	0, 9, 29 };
static const uint8_t events[] = { 1, 0, 0, 0, 0, 9, 13, 0, 0, 0, 1, 0, 0, 0, 2, 14, 0, 0, 0, 2, 'a',
	'b', 15, 0, 0, 0, 1, 16, 0, 0, 0, 5, 17, 0, 0, 0, 1, 0, 0, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2,
	2, 2, 2, 2, 2, 2, 2, 19, 0, 0, 0, 0, 0, 0, 0, 1, 20, 28, 1, 2, 3, 0, 5, 1, 0, 0, 0, 0, 0, 0,
	0, 1, 'p', 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 130, 0, 0, 0, 5, 0, 0, 0, 1, 's', 131, 0, 0, 0,
	5, 0, 0, 0, 1, 'r', 200, 0, 0, 0, 1, 7, 5, 29 };
static const uint8_t tail[] = { 2, 18, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0, 18, 1, 2, 3, 4, 5, 6,
	7, 8, 0, 0 };

const struct fuzz_seed fuzz_seeds[] = { { plain, sizeof(plain) }, { events, sizeof(events) },
	{ tail, sizeof(tail) }, { NULL, 0 } };

static uint8_t *again, *disk;
static struct logtail *shared;
static int fd;

static void once(void)
{
	if (again)
		return;
	again = malloc(LOG_EVENT_MAX);
	disk = malloc(LOG_HEADER_LEN + LOG_CHUNK_DISK_MAX);
	shared = calloc(1, sizeof(*shared));
	fd = memfd_create("log", MFD_CLOEXEC);
	FUZZ_CHECK(again && disk && shared && fd >= 0);
}

struct seen {
	int ret;
	uint64_t events, icount, hash;
};

/* Reads to the end, whichever end it is. */
static struct seen read_log(struct log_source *src, const uint8_t *raw, size_t raw_len)
{
	struct log_reader r;
	struct log_event ev;
	struct error err = ERROR_INIT;
	struct seen s = { 0 };

	s.ret = log_reader_init(&r, src, &err);
	while (s.ret == 0 && (s.ret = log_reader_next(&r, &ev, &err)) == 1) {
		char words[300];
		int n = log_event_encode(&ev, again, LOG_EVENT_MAX);

		/* There is one way to write an event. */
		FUZZ_CHECK(n == (int)ev.size);
		if (raw)
			FUZZ_CHECK(ev.offset + (uint64_t)n <= raw_len &&
				   !memcmp(raw + ev.offset, again, (size_t)n));
		FUZZ_CHECK(ev.number == s.events && ev.icount >= s.icount);
		log_event_words(&ev, words, sizeof(words));
		s.hash = s.hash * 31 + log_digest_hash(again, (size_t)n);
		s.events++;
		s.icount = ev.icount;
		s.ret = 0;
	}
	FUZZ_CHECK(s.ret == 0 ? r.ended : err.code == -s.ret && err.msg[0]);
	FUZZ_CHECK(r.whole_len <= r.file_pos);
	log_reader_done(&r);
	return s;
}

static void read_events(const uint8_t *p, size_t len)
{
	uint8_t *file = malloc(LOG_HEADER_LEN + len);
	struct log_source src;
	struct seen a, b;
	long n;

	FUZZ_CHECK(file);
	log_header_encode(file, LOG_VERSION, LOG_PLAIN);
	memcpy(file + LOG_HEADER_LEN, p, len);
	a = read_log(log_source_mem(&src, file, LOG_HEADER_LEN + len), p, len);
	log_header_encode(disk, LOG_VERSION, LOG_CHUNKED);
	n = log_chunk_build(p, len, 0, 0, disk + LOG_HEADER_LEN, LOG_CHUNK_DISK_MAX);
	if (n > 0) {
		b = read_log(log_source_mem(&src, disk, LOG_HEADER_LEN + (size_t)n), p, len);
		FUZZ_CHECK(a.events == b.events && a.icount == b.icount && a.hash == b.hash);
		FUZZ_CHECK((a.ret == 0) == (b.ret == 0));
	}
	free(file);
}

static void salvage(const uint8_t *p, size_t len)
{
	struct logtail_bank *b = &shared->bank[0];
	struct error err = ERROR_INIT;
	struct log_source src;

	if (len > LOGTAIL_BANK_MAX)
		return;
	FUZZ_CHECK(ftruncate(fd, 0) == 0);
	atomic_store_release(&shared->state, LOGTAIL_RECORDING);
	shared->encoding = len & 1;
	atomic_store_release(&shared->last_icount, len * 1000);
	atomic_store_release(&shared->current, 0);
	memcpy(b->data, p, len);
	b->file_len = b->start_event = b->start_icount = 0;
	atomic_store_release(&b->head, len);
	FUZZ_CHECK(logtail_salvage(shared, fd, 1, &err) == 0);
	/* Whatever was there, it is a log now, and it ends. */
	FUZZ_CHECK(read_log(log_source_file(&src, fd), NULL, 0).ret == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log_source src;

	once();
	if (size < 2)
		return 0;
	if (data[0] % 3 == 0)
		read_log(log_source_mem(&src, data + 1, size - 1), NULL, 0);
	else if (data[0] % 3 == 1)
		read_events(data + 1, size - 1);
	else
		salvage(data + 1, size - 1);
	return 0;
}
