/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dejavm-blkproxy as a process: requests, failures, its death in the middle of work, mad peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "image.h"
#include "rig.h"

#define DISK_LEN (4u << 20)

static char dir[] = "/tmp/test-proxy-XXXXXX";
static char raw_path[64], raw2_path[64], qcow2_path[64], overlay_path[64];

/* ---- files ---- */

static void make_raw(const char *path, uint8_t fill)
{
	static uint8_t data[DISK_LEN];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	memset(data, fill, sizeof(data));
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	close(fd);
}

static void make_qcow2(const char *path)
{
	struct qcow2_how how = { .len = DISK_LEN, .refcount_order = -1u };
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct error err;

	if (image_create_qcow2(fd, &how, &err) < 0)
		fail_msg("%s", err.msg);
	close(fd);
}

static int set_up(void **state)
{
	rig_clean_up();
	if (!strchr(raw_path, '/')) {
		assert_non_null(mkdtemp(dir));
		snprintf(raw_path, sizeof(raw_path), "%s/a.img", dir);
		snprintf(raw2_path, sizeof(raw2_path), "%s/b.img", dir);
		snprintf(qcow2_path, sizeof(qcow2_path), "%s/a.qcow2", dir);
		snprintf(overlay_path, sizeof(overlay_path), "%s/overlay.qcow2", dir);
	}
	/* New files: a test that failed may hold locks on the old ones. */
	unlink(raw_path);
	unlink(raw2_path);
	unlink(qcow2_path);
	make_raw(raw_path, 0x11);
	make_raw(raw2_path, 0x22);
	make_qcow2(qcow2_path);
	unlink(overlay_path);
	return 0;
}

static int clean_up(void **state)
{
	const char *const all[] = { raw_path, raw2_path, qcow2_path, overlay_path };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		unlink(all[i]);
	return rmdir(dir);
}

/* Whether the file has len bytes of value v at offset. */
static bool file_has(const char *path, uint64_t offset, size_t len, uint8_t v)
{
	static uint8_t data[DISK_LEN];
	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, data, len, (off_t)offset), len);
	close(fd);
	for (size_t i = 0; i < len; i++)
		if (data[i] != v)
			return false;
	return true;
}

static bool buffer_has(const uint8_t *p, size_t len, uint8_t v)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != v)
			return false;
	return true;
}

static uint8_t *out_buf(struct rig *r, unsigned buf)
{
	return r->out + (size_t)buf * BLK_BUF_LEN;
}

static uint8_t *in_buf(struct rig *r, unsigned buf)
{
	return r->in + (size_t)buf * BLK_BUF_LEN;
}

static void overlay(struct rig *r, Dejavm__BlkDrive *d, bool kept)
{
	d->overlay = overlay_path;
	d->overlay_new = true;
	d->overlay_kept = kept;
	d->backing = raw_path;
	rig_file(r, overlay_path, true, open(overlay_path, O_RDWR | O_CREAT | O_EXCL, 0644));
}

/* ---- requests ---- */

static void roundtrip(const char *file, const char *format)
{
	struct rig r;

	rig_init(&r);
	rig_drive(&r, file, format);
	assert_true(rig_start(&r));
	assert_int_equal(r.opened[0].len, DISK_LEN);
	memset(out_buf(&r, 3), 0x77, BLK_BUF_LEN);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 4096, BLK_BUF_LEN, 3, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 0, 1024, 3, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_READ, 0, 4096, BLK_BUF_LEN, 5, NULL), 0);
	assert_true(buffer_has(in_buf(&r, 5), BLK_BUF_LEN, 0x77));
	assert_int_equal(rig_do(&r, BLK_READ, 0, 0, 4096, 31, NULL), 0);
	assert_true(buffer_has(in_buf(&r, 31), 1024, 0x77));
	assert_false(buffer_has(in_buf(&r, 31), 4096, 0x77));
	assert_int_equal(rig_do(&r, BLK_DISCARD, 0, 4096 + 512, 65536, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_READ, 0, 4096, 65536 + 1024, 5, NULL), 0);
	assert_true(buffer_has(in_buf(&r, 5), 512, 0x77));
	assert_true(buffer_has(in_buf(&r, 5) + 512, 65536, 0));
	assert_true(buffer_has(in_buf(&r, 5) + 512 + 65536, 512, 0x77));
	/* Longer than a buffer: only a discard may be. */
	assert_int_equal(rig_do(&r, BLK_DISCARD, 0, 0, DISK_LEN, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_READ, 0, DISK_LEN - BLK_BUF_LEN, BLK_BUF_LEN, 0, NULL), 0);
	assert_true(buffer_has(in_buf(&r, 0), BLK_BUF_LEN, 0));
	assert_int_equal(rig_do(&r, BLK_FLUSH, 0, 0, 0, 0, NULL), 0);
	assert_int_equal(atomic_load(&r.flight->stats[0].n[BLK_READ]), 4);
	assert_int_equal(atomic_load(&r.flight->stats[0].bytes[BLK_WRITE]), BLK_BUF_LEN + 1024);
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

static void test_raw(void **state)
{
	roundtrip(raw_path, "raw");
}

static void test_qcow2(void **state)
{
	roundtrip(qcow2_path, "");
}

static void test_overlay(void **state)
{
	struct rig r;

	rig_init(&r);
	overlay(&r, rig_drive(&r, raw_path, "raw"), true);
	assert_true(rig_start(&r));
	memset(out_buf(&r, 0), 0x99, 4096);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 65536, 4096, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_READ, 0, 65536 - 512, 1024, 0, NULL), 0);
	assert_true(buffer_has(in_buf(&r, 0), 512, 0x11));
	assert_true(buffer_has(in_buf(&r, 0) + 512, 512, 0x99));
	/* Its next life finds the overlay as it was. */
	rig_kill(&r);
	r.drive[0].overlay_new = false;
	assert_true(rig_start(&r));
	assert_int_equal(rig_do(&r, BLK_READ, 0, 65536, 4096, 0, NULL), 0);
	assert_true(buffer_has(in_buf(&r, 0), 4096, 0x99));
	assert_int_equal(rig_quit(&r), 0);
	assert_true(file_has(raw_path, 0, DISK_LEN, 0x11));
	rig_done(&r);
}

/* Requests of several drives at once; each drive's come back in order. */
static void test_two_drives(void **state)
{
	uint64_t last[2] = { 0 }, drive_of[33];
	struct blkseq_msg m = { 0 };
	struct blk_rep rep = { 0 };
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	rig_drive(&r, raw2_path, "raw");
	assert_true(rig_start(&r));
	for (unsigned i = 0; i < 32; i++) {
		unsigned drive = (i * 5 / 3) % 2;

		drive_of[rig_send(&r, BLK_READ, drive, i * 4096, 4096, i)] = drive;
	}
	for (unsigned i = 0; i < 32; i++) {
		assert_true(rig_seq(&r, &m, 10000) && rig_rep(&r, &rep, 0));
		assert_int_equal(m.id, rep.id);
		assert_int_equal(rep.error, 0);
		assert_true(rep.id > last[drive_of[rep.id]]);
		last[drive_of[rep.id]] = rep.id;
		assert_true(buffer_has(
			in_buf(&r, (unsigned)rep.id - 1), 4096, drive_of[rep.id] ? 0x22 : 0x11));
	}
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

static void test_refused_image(void **state)
{
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "qcow2");
	assert_false(rig_start(&r));
	assert_non_null(strstr(r.refused, "-drive test: "));
	assert_non_null(strstr(r.refused, raw_path));
	assert_int_equal(rig_quit(&r), 0);
	r.drive[0].file = (char *)"/nonexistent/image";
	assert_false(rig_start(&r));
	assert_non_null(strstr(r.refused, "No such file"));
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

/* ---- failures ---- */

/* The host refuses to write beyond a place in the middle of a request, and of a cluster. */
static void test_host_error(void **state)
{
	uint64_t limit = (1u << 20) + 3 * 512, done;
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	r.fsize = limit;
	assert_true(rig_start(&r));
	memset(out_buf(&r, 0), 0x55, BLK_BUF_LEN);
	assert_int_equal(
		rig_do(&r, BLK_WRITE, 0, limit - 131072 - 512, BLK_BUF_LEN, 0, &done), EFBIG);
	assert_int_equal(done, 131072 + 512);
	assert_true(file_has(raw_path, limit - 131072 - 512, 131072 + 512, 0x55));
	assert_true(file_has(raw_path, limit, BLK_BUF_LEN, 0x11));
	/* It goes on. */
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 0, 512, 0, NULL), 0);
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

/* What the log of such a run makes of the same disk. */
static void test_must_fail(void **state)
{
	uint64_t done;
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	r.replaying = true;
	assert_true(rig_start(&r));
	for (unsigned i = 0; i < 1000; i++)
		rig_fail(&r, 3 + 2 * i, 512 * (i % 3), ENOSPC);
	/* The list outlives whoever heard it. */
	while (r.flight->n_fails < 1000)
		usleep(1000);
	rig_kill(&r);
	assert_true(rig_start(&r));
	memset(out_buf(&r, 0), 0x66, 4096);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 0, 4096, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 8192, 4096, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 16384, 4096, 0, &done), ENOSPC);
	assert_int_equal(done, 0);
	assert_true(file_has(raw_path, 16384, 4096, 0x11));
	assert_int_equal(rig_do(&r, BLK_READ, 0, 0, 512, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 16384, 4096, 0, &done), ENOSPC);
	assert_int_equal(done, 512);
	assert_true(file_has(raw_path, 16384, 512, 0x66));
	assert_true(file_has(raw_path, 16384 + 512, 4096, 0x11));
	assert_int_equal(rig_do(&r, BLK_FLUSH, 0, 0, 0, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_DISCARD, 0, 32768, 4096, 0, &done), ENOSPC);
	assert_int_equal(done, 1024);
	assert_true(file_has(raw_path, 32768, 1024, 0));
	assert_true(file_has(raw_path, 32768 + 1024, 3072, 0x11));
	assert_int_equal(rig_do(&r, BLK_FLUSH, 0, 0, 0, 0, NULL), 0);
	memset(in_buf(&r, 0), 0xcc, 512);
	assert_int_equal(rig_do(&r, BLK_READ, 0, 0, 512, 0, NULL), ENOSPC);
	assert_true(buffer_has(in_buf(&r, 0), 512, 0xcc));
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

/* An error that the log does not know cannot become the guest's. */
static void test_replay_error(void **state)
{
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	r.replaying = true;
	r.fsize = 8192;
	assert_true(rig_start(&r));
	rig_send(&r, BLK_WRITE, 0, 8192, 512, 0);
	assert_int_equal(rig_wait_end(&r), 1);
	assert_non_null(strstr(r.fatal, "not when it was recorded"));
	assert_non_null(strstr(r.fatal, "write of 512 bytes at 8192"));
	rig_done(&r);
}

static void test_inject(void **state)
{
	Dejavm__BlkInject k[3], *ptrs[] = { &k[0], &k[1], &k[2] };
	Dejavm__BlkDrive *d;
	uint64_t done;
	struct rig r;

	for (int i = 0; i < 3; i++)
		dejavm__blk_inject__init(&k[i]);
	k[0].op = BLK_WRITE, k[0].error = EIO, k[0].has_sector = true, k[0].sector = 10;
	k[1].op = BLK_READ, k[1].error = ENOMEDIUM, k[1].once = true;
	k[2].op = BLK_FLUSH, k[2].error = ENOSPC;
	rig_init(&r);
	d = rig_drive(&r, raw_path, "raw");
	d->inject = ptrs;
	d->n_inject = 3;
	assert_true(rig_start(&r));
	memset(out_buf(&r, 0), 0x44, 8192);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 0, 10 * 512, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 11 * 512, 512, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_WRITE, 0, 8 * 512, 8192, 0, &done), EIO);
	assert_int_equal(done, 1024);
	assert_true(file_has(raw_path, 10 * 512, 512, 0x11));
	assert_true(file_has(raw_path, 12 * 512, 8192, 0x11));
	assert_int_equal(rig_do(&r, BLK_READ, 0, 0, 512, 0, NULL), ENOMEDIUM);
	/* Once is once, whoever comes next. */
	rig_kill(&r);
	assert_true(rig_start(&r));
	assert_int_equal(rig_do(&r, BLK_READ, 0, 0, 512, 0, NULL), 0);
	assert_int_equal(rig_do(&r, BLK_FLUSH, 0, 0, 0, 0, NULL), ENOSPC);
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

/* ---- a successor ---- */

static struct blk_flight_row *put_row(
	struct rig *r, unsigned i, unsigned op, uint64_t id, uint64_t offset, unsigned buf)
{
	struct blk_flight_row *row = &r->flight->row[i];

	row->rq = (struct blk_req){
		.hdr.type = (uint16_t)op, .id = id, .offset = offset, .len = 4096, .buf = buf
	};
	atomic_store(&row->id, id);
	if (id > r->next_id)
		r->next_id = id;
	return row;
}

/* What was begun is done again, in order, before what is in the ring. */
static void test_redo(void **state)
{
	struct blkseq_msg m = { 0 };
	struct blk_rep rep = { 0 };
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	for (unsigned i = 0; i < 4; i++)
		memset(out_buf(&r, i), 0xa0 + (int)i, 4096);
	put_row(&r, 9, BLK_WRITE, 7, 0, 1);
	put_row(&r, 2, BLK_WRITE, 8, 0, 2);
	put_row(&r, 5, BLK_WRITE, 6, 0, 0);
	r.next_id = 7;
	rig_send(&r, BLK_WRITE, 0, 0, 4096, 2); /* 8: its slot was not freed any more */
	rig_send(&r, BLK_WRITE, 0, 4096, 4096, 3);
	assert_true(rig_start(&r));
	for (uint64_t id = 6; id <= 9; id++) {
		assert_true(rig_seq(&r, &m, 10000) && rig_rep(&r, &rep, 0));
		assert_int_equal(m.id, id);
		assert_int_equal(rep.id, id);
	}
	assert_false(rig_seq(&r, &m, 50));
	assert_true(file_has(raw_path, 0, 4096, 0xa2));
	assert_true(file_has(raw_path, 4096, 4096, 0xa3));
	assert_int_equal(rig_quit(&r), 0);
	for (int i = 0; i < BLK_BUFS; i++)
		assert_int_equal(atomic_load(&r.flight->row[i].id), 0);
	rig_done(&r);
}

/* A request whose answer is out is not done again: its buffer may be another's. */
static void test_answer_was_out(void **state)
{
	static const struct {
		bool answering, rep_out, seq_out;
	} cases[] = { { false, false, false }, { true, false, false }, { true, true, false },
		{ true, true, true } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct blk_flight_row *row;
		struct blkseq_msg m = { 0 };
		struct blk_rep rep = { 0 };
		struct rig r;

		make_raw(raw_path, 0x11);
		rig_init(&r);
		rig_drive(&r, raw_path, "raw");
		assert_true(rig_start(&r));
		memset(out_buf(&r, 0), 0xee, 4096);
		assert_int_equal(rig_do(&r, BLK_READ, 0, 0, 4096, 0, NULL), 0);
		rig_kill(&r);
		row = put_row(&r, 0, BLK_WRITE, 2, 8192, 0);
		row->error = ENOSPC;
		row->done = 512;
		row->rep_at = cases[i].rep_out ? 0 : 1;
		row->seq_at = cases[i].seq_out ? 0 : 1;
		atomic_store(
			&row->state, cases[i].answering ? BLK_FLIGHT_ANSWERING : BLK_FLIGHT_DONE);
		assert_true(rig_start(&r));
		assert_int_equal(
			rig_rep(&r, &rep, cases[i].rep_out ? 100 : 10000), !cases[i].rep_out);
		assert_int_equal(
			rig_seq(&r, &m, cases[i].seq_out ? 100 : 10000), !cases[i].seq_out);
		if (!cases[i].seq_out) {
			assert_int_equal(m.id, 2);
			assert_int_equal(m.error, ENOSPC);
			assert_int_equal(m.done, 512);
		}
		assert_true(file_has(raw_path, 8192, 4096, 0x11));
		assert_int_equal(rig_quit(&r), 0);
		assert_int_equal(atomic_load(&r.flight->row[0].id), 0);
		rig_done(&r);
	}
}

/* The one whose answers were being given comes first: the others' would move its places. */
static void test_answering_first(void **state)
{
	struct blk_flight_row *row;
	struct blkseq_msg m = { 0 };
	struct blk_rep rep = { 0 };
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	rig_drive(&r, raw2_path, "raw");
	row = put_row(&r, 0, BLK_WRITE, 3, 0, 0);
	row->rq.drive = 1;
	atomic_store(&row->state, BLK_FLIGHT_ANSWERING);
	atomic_store(&put_row(&r, 1, BLK_WRITE, 1, 0, 1)->state, BLK_FLIGHT_DONE);
	put_row(&r, 2, BLK_READ, 2, 0, 2);
	assert_true(rig_start(&r));
	for (unsigned i = 0; i < 3; i++) {
		static const uint64_t ids[] = { 3, 1, 2 };

		assert_true(rig_seq(&r, &m, 10000) && rig_rep(&r, &rep, 0));
		assert_int_equal(m.id, ids[i]);
		assert_int_equal(rep.id, ids[i]);
	}
	assert_true(file_has(raw_path, 0, 4096, 0x11));
	assert_true(file_has(raw2_path, 0, 4096, 0x22));
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

/* A read that was done is not done again behind a write that came later. */
static void test_read_before_write(void **state)
{
	struct blk_rep rep = { 0 };
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	atomic_store(&put_row(&r, 0, BLK_READ, 1, 0, 0)->state, BLK_FLIGHT_DONE);
	put_row(&r, 1, BLK_WRITE, 2, 0, 1);
	memset(in_buf(&r, 0), 0x11, 4096);
	make_raw(raw_path, 0x99);
	assert_true(rig_start(&r));
	assert_true(rig_rep(&r, &rep, 10000));
	assert_int_equal(rep.id, 1);
	assert_true(buffer_has(in_buf(&r, 0), 4096, 0x11));
	assert_true(rig_rep(&r, &rep, 10000));
	assert_int_equal(rep.id, 2);
	assert_true(file_has(raw_path, 0, 4096, 0));
	assert_int_equal(rig_quit(&r), 0);
	rig_done(&r);
}

/* ---- killed in the middle of heavy writing ---- */

struct flood {
	struct rig r;
	uint8_t model[2][DISK_LEN / 512]; /* a byte that each sector is full of */
	struct {
		uint64_t id; /* 0: the buffer is free */
		bool rep, seq, read;
		unsigned drive;
		uint64_t sector, n;
		uint8_t want[256];
	} buf[BLK_BUFS];
	unsigned n_drives, n_done;
	bool early; /* as in a replay: the answer alone frees the buffer */
};

static uint32_t rnd(uint32_t n)
{
	return (uint32_t)rand() % n;
}

static void flood_send(struct flood *f, unsigned b)
{
	unsigned drive = rnd(f->n_drives), n = 1 + rnd(200);
	uint64_t sector = rnd(DISK_LEN / 512 - n);
	bool read = rnd(4) == 0;
	uint8_t v = (uint8_t)rnd(256);

	f->buf[b].drive = drive;
	f->buf[b].sector = sector;
	f->buf[b].n = n;
	f->buf[b].read = read;
	f->buf[b].rep = f->buf[b].seq = false;
	/* Requests of a drive are done in order, so what a read will find is known. */
	memcpy(f->buf[b].want, f->model[drive] + sector, n);
	if (!read) {
		memset(out_buf(&f->r, b), v, n * 512);
		memset(f->model[drive] + sector, v, n);
	}
	f->buf[b].id =
		rig_send(&f->r, read ? BLK_READ : BLK_WRITE, drive, sector * 512, n * 512, b);
}

static void flood_answered(struct flood *f, uint64_t id, bool seq)
{
	for (unsigned b = 0; b < BLK_BUFS; b++) {
		if (f->buf[b].id != id)
			continue;
		if (!seq && !f->buf[b].rep && f->buf[b].read)
			for (unsigned i = 0; i < f->buf[b].n; i++)
				assert_true(buffer_has(
					in_buf(&f->r, b) + i * 512, 512, f->buf[b].want[i]));
		*(seq ? &f->buf[b].seq : &f->buf[b].rep) = true;
		if (f->buf[b].rep && (f->buf[b].seq || f->early)) {
			f->buf[b].id = 0;
			/* Whoever looks at it now sees what is not his. */
			memset(out_buf(&f->r, b), 0xdb, f->buf[b].n * 512);
			f->n_done++;
		}
	}
}

static void flood_receive(struct flood *f)
{
	struct blkseq_msg m = { 0 };
	struct blk_rep rep = { 0 };

	while (rig_rep(&f->r, &rep, 0)) {
		assert_int_equal(rep.error, 0);
		flood_answered(f, rep.id, false);
	}
	while (rig_seq(&f->r, &m, 0))
		flood_answered(f, m.id, true);
}

static void flood_run(struct flood *f, unsigned requests)
{
	unsigned sent = 0, kills = 0;
	int64_t next_kill = (int64_t)rnd(400);

	while (f->n_done < requests) {
		bool any = false;

		for (unsigned b = 0; b < BLK_BUFS && sent < requests; b++) {
			if (f->buf[b].id || rnd(3) == 0)
				continue;
			flood_send(f, b);
			sent++;
			any = true;
			if (next_kill-- == 0) {
				usleep(rnd(2000));
				rig_kill(&f->r);
				for (unsigned i = 0; i < f->n_drives; i++)
					f->r.drive[i].overlay_new = false;
				assert_true(rig_start(&f->r));
				kills++;
				next_kill = (int64_t)rnd(400);
			}
		}
		flood_receive(f);
		if (!any)
			usleep(50);
	}
	assert_true(kills > 3);
	for (unsigned d = 0; d < f->n_drives; d++)
		for (unsigned s = 0; s < DISK_LEN / 512; s += 2048) {
			assert_int_equal(
				rig_do(&f->r, BLK_READ, d, s * 512, BLK_BUF_LEN, 0, NULL), 0);
			for (unsigned i = 0; i < 2048; i++)
				assert_true(buffer_has(
					in_buf(&f->r, 0) + i * 512, 512, f->model[d][s + i]));
		}
}

static void flood(bool early, bool two)
{
	static struct flood f;

	memset(&f, 0, sizeof(f));
	f.early = early;
	f.n_drives = two ? 2 : 1;
	rig_init(&f.r);
	overlay(&f.r, rig_drive(&f.r, raw_path, "raw"), false);
	memset(f.model[0], 0x11, sizeof(f.model[0]));
	if (two)
		rig_drive(&f.r, qcow2_path, "qcow2");
	assert_true(rig_start(&f.r));
	flood_run(&f, 4000);
	assert_int_equal(rig_quit(&f.r), 0);
	rig_done(&f.r);
}

static void test_flood(void **state)
{
	flood(false, false);
}

static void test_flood_early(void **state)
{
	flood(true, false);
}

static void test_flood_two(void **state)
{
	flood(true, true);
}

/* ---- mad peers ---- */

static const struct {
	struct blk_req rq;
	const char *says;
} mad[] = {
	{ { .hdr.type = BLK_OP_COUNT, .id = 1 }, "no such operation" },
	{ { .hdr.type = 0xffff, .id = 1 }, "no such operation" },
	{ { .hdr.type = BLK_READ, .id = 1, .len = 512, .drive = 2 }, "no such drive" },
	{ { .hdr.type = BLK_READ, .id = 1, .len = 512, .drive = 0xffffffff }, "no such drive" },
	{ { .hdr.type = BLK_READ, .id = 1, .len = 512, .drive = 1 }, "no medium" },
	{ { .hdr.type = BLK_READ, .id = 0, .len = 512 }, "its id" },
	{ { .hdr.type = BLK_READ, .id = 1, .len = 0 }, "multiples" },
	{ { .hdr.type = BLK_READ, .id = 1, .len = 513 }, "multiples" },
	{ { .hdr.type = BLK_READ, .id = 1, .offset = 1, .len = 512 }, "multiples" },
	{ { .hdr.type = BLK_WRITE, .id = 1, .offset = DISK_LEN, .len = 512 }, "beyond the end" },
	{ { .hdr.type = BLK_READ, .id = 1, .offset = DISK_LEN - 512, .len = 1024 },
		"beyond the end" },
	{ { .hdr.type = BLK_READ, .id = 1, .offset = -512ull, .len = 1024 }, "beyond the end" },
	{ { .hdr.type = BLK_DISCARD, .id = 1, .offset = 512, .len = -512ull }, "beyond the end" },
	{ { .hdr.type = BLK_READ, .id = 1, .len = BLK_BUF_LEN + 512 }, "longer than a buffer" },
	{ { .hdr.type = BLK_WRITE, .id = 1, .len = 512, .buf = BLK_BUFS }, "no such buffer" },
	{ { .hdr.type = BLK_READ, .id = 1, .len = 512, .buf = 0xffffffff }, "no such buffer" },
};

static void test_mad_devices(void **state)
{
	for (size_t i = 0; i < sizeof(mad) / sizeof(mad[0]); i++) {
		union slot slot = { 0 };
		struct rig r;

		rig_init(&r);
		rig_drive(&r, raw_path, "raw");
		rig_drive(&r, "", "");
		assert_true(rig_start(&r));
		memcpy(&slot, &mad[i].rq, sizeof(mad[i].rq));
		assert_int_equal(chan_send(&r.blk, &slot, NULL, 0, 1000000000), 0);
		assert_int_equal(rig_wait_end(&r), 1);
		if (!strstr(r.fatal, mad[i].says))
			fail_msg("%zu: '%s' was expected in '%s'", i, mad[i].says, r.fatal);
		rig_done(&r);
	}
	assert_true(file_has(raw_path, 0, DISK_LEN, 0x11));
}

static void test_mad_readonly(void **state)
{
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw")->readonly = true;
	assert_true(rig_start(&r));
	rig_send(&r, BLK_WRITE, 0, 0, 512, 0);
	assert_int_equal(rig_wait_end(&r), 1);
	assert_non_null(strstr(r.fatal, "cannot be written"));
	rig_done(&r);
}

static void test_mad_ids(void **state)
{
	struct rig r;

	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	assert_true(rig_start(&r));
	assert_int_equal(rig_do(&r, BLK_FLUSH, 0, 0, 0, 0, NULL), 0);
	r.next_id--;
	rig_send(&r, BLK_FLUSH, 0, 0, 0, 0);
	assert_int_equal(rig_wait_end(&r), 1);
	assert_non_null(strstr(r.fatal, "its id"));
	rig_done(&r);
}

static void test_mad_replaylog(void **state)
{
	static const struct blkseq_msg bad[] = {
		{ .hdr.type = BLKSEQ_DONE, .id = 1 },
		{ .hdr.type = 99, .id = 1 },
		{ .hdr.type = BLKSEQ_FAIL, .id = 0, .error = EIO },
	};
	uint64_t id;
	struct rig r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		union slot slot = { 0 };

		rig_init(&r);
		rig_drive(&r, raw_path, "raw");
		assert_true(rig_start(&r));
		memcpy(&slot, &bad[i], sizeof(bad[i]));
		assert_int_equal(chan_send(&r.seq, &slot, NULL, 0, 1000000000), 0);
		assert_int_equal(rig_wait_end(&r), 1);
		rig_done(&r);
	}
	/* More bytes done than the request has. */
	rig_init(&r);
	rig_drive(&r, raw_path, "raw");
	r.replaying = true;
	assert_true(rig_start(&r));
	rig_fail(&r, 1, 1024, EIO);
	id = rig_send(&r, BLK_WRITE, 0, 0, 512, 0);
	assert_int_equal(id, 1);
	assert_int_equal(rig_wait_end(&r), 1);
	assert_non_null(strstr(r.fatal, "1024 of its 512"));
	rig_done(&r);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = { T(test_raw), T(test_qcow2), T(test_overlay),
		T(test_two_drives), T(test_refused_image), T(test_host_error), T(test_must_fail),
		T(test_replay_error), T(test_inject), T(test_redo), T(test_answer_was_out),
		T(test_answering_first), T(test_read_before_write), T(test_flood),
		T(test_flood_early), T(test_flood_two), T(test_mad_devices), T(test_mad_readonly),
		T(test_mad_ids), T(test_mad_replaylog) };
#undef T
	const char *seed = getenv("SEED");

	srand(seed ? (unsigned)atoi(seed) : 1);
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
