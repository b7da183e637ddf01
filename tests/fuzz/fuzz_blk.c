/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of a drive, whatever is in their slots: what drive_request_wrong() lets through is done
 * within the buffers' bounds, and the drive holds what a model of it holds, also when requests fail
 * half way.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drive.h"

#define SECTORS 256u
#define LEN	(SECTORS * BLK_SECTOR)

/* A request: operation, 1: about this drive, buffer, fill, failing, how far, 0, 0, offset, length.
 */
#define RQ(op, fill, fails, done, sector, n) \
	op, 1, 3, fill, fails, done, 0, 0, sector, 0, 0, 0, 0, 0, 0, 0, n, 0, 0, 0, 0, 0, 0, 0
#define REQUESTS                                                                      \
	RQ(BLK_WRITE, 0x11, 0, 0, 5, 40), RQ(BLK_READ, 0, 0, 0, 0, 63),               \
		RQ(BLK_WRITE, 0x22, 255, 9, 100, 30), RQ(BLK_READ, 0, 0, 0, 90, 60),  \
		RQ(BLK_DISCARD, 0, 0, 0, 8, 20), RQ(BLK_DISCARD, 0, 255, 3, 110, 63), \
		RQ(BLK_FLUSH, 0, 0, 0, 0, 0), RQ(BLK_WRITE, 0x33, 0, 0, 0, 63),       \
		RQ(BLK_READ, 0, 255, 0, 0, 63), RQ(BLK_READ, 0, 0, 0, 130, 63)

static const uint8_t s0[] = { 0, REQUESTS }, s1[] = { 2, REQUESTS }, s2[] = { 7, REQUESTS };
const struct fuzz_seed fuzz_seeds[] = { { s0, sizeof(s0) }, { s1, sizeof(s1) }, { s2, sizeof(s2) },
	{ NULL, 0 } };

static int base_fd, overlay_fd;

static int opener(void *opaque, const char *name, enum image_open_flags flags)
{
	char path[40];
	int fd;

	/* Anew, as locks belong to open files. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *name == 'b' ? base_fd : overlay_fd);
	fd = open(path, (flags & IMAGE_OPEN_RDWR ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* 24 bytes of the input are a request. */
static struct blk_req take(const uint8_t *p, uint64_t id)
{
	struct blk_req rq = { .hdr.type = p[0] < 0xf0 ? p[0] % BLK_OP_COUNT : p[0], .id = id };

	memcpy(&rq.offset, p + 8, 8);
	memcpy(&rq.len, p + 16, 8);
	rq.buf = p[2];
	/* Most are about this drive; some are as they are. */
	if (p[1] & 7) {
		rq.offset = rq.offset % SECTORS * BLK_SECTOR;
		rq.len = (1 + rq.len % 64) * BLK_SECTOR;
		rq.buf %= BLK_BUFS;
	}
	return rq;
}

static void check_done(const struct drive_work *w, uint8_t *model, uint8_t fill, const uint8_t *got)
{
	const struct blk_req *rq = &w->rq;
	uint64_t n = w->must_fail ? w->done : rq->len;

	if (rq->hdr.type == BLK_READ && !w->error)
		FUZZ_CHECK(memcmp(got, model + rq->offset, rq->len) == 0);
	if (rq->hdr.type == BLK_WRITE)
		memset(model + rq->offset, fill, n);
	if (rq->hdr.type == BLK_DISCARD)
		memset(model + rq->offset, 0, n);
}

static void do_one(struct drive *d, const uint8_t *p, uint64_t id, uint8_t *model)
{
	struct drive_work w = { .rq = take(p, id), .drive = d };
	uint8_t fill = p[3], *in, *out;
	size_t len;

	if (drive_request_wrong(d, &w.rq))
		return;
	/* Just as long as the request, so that AddressSanitizer sees more. */
	len = w.rq.hdr.type == BLK_READ || w.rq.hdr.type == BLK_WRITE ? w.rq.len : 1;
	FUZZ_CHECK(len <= BLK_BUF_LEN);
	w.in = in = malloc(len);
	w.out = out = malloc(len);
	FUZZ_CHECK(in && out);
	memset(out, fill, len);
	if (p[4] > 200 && w.rq.hdr.type != BLK_FLUSH) {
		w.must_fail = true;
		w.error = EIO;
		w.done =
			w.rq.hdr.type == BLK_READ ? 0 : p[5] % (w.rq.len / BLK_SECTOR) * BLK_SECTOR;
	}
	drive_do(d, &w);
	FUZZ_CHECK(!w.broken && w.error == (w.must_fail ? EIO : 0));
	check_done(&w, model, fill, in);
	free(in);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t model[LEN], all[LEN];
	Dejavm__BlkDrive cfg = DEJAVM__BLK_DRIVE__INIT;
	struct error err = ERROR_INIT;
	struct drive d;

	if (size < 1)
		return 0;
	base_fd = memfd_create("base", MFD_CLOEXEC);
	overlay_fd = memfd_create("overlay", MFD_CLOEXEC);
	memset(model, 0x5a, sizeof(model));
	FUZZ_CHECK(write(base_fd, model, sizeof(model)) == sizeof(model));
	cfg.file = cfg.backing = (char *)"base";
	cfg.format = (char *)"raw";
	cfg.ignore_discard = data[0] & 1;
	if (data[0] & 2) {
		cfg.overlay = (char *)"overlay";
		cfg.overlay_new = true;
	}
	drive_init(&d, &cfg, data[0] & 4);
	FUZZ_CHECK(drive_open(&d, opener, NULL, &err) == 0);
	for (size_t at = 1, id = 1; at + 24 <= size; at += 24, id++)
		do_one(&d, data + at, id, model);
	FUZZ_CHECK(image_read(d.image, 0, all, LEN, &err) == 0);
	FUZZ_CHECK(memcmp(all, model, LEN) == 0);
	FUZZ_CHECK(drive_close(&d, &err) == 0);
	close(base_fd);
	close(overlay_fd);
	return 0;
}
