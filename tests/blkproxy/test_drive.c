/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drives and the server in this process: what others (snapshots) do with them while requests come.
 */
#include "image_test.h"

#include <pthread.h>

#include "rig.h"
#include "serve.h"

#define LEN (1u << 20)

static Dejavm__BlkDrive config(const char *file, const char *format)
{
	Dejavm__BlkDrive d = DEJAVM__BLK_DRIVE__INIT;

	d.id = (char *)"d";
	d.option = (char *)"-drive d";
	d.file = (char *)file;
	d.format = (char *)format;
	return d;
}

static int teardown(void **state)
{
	mem_files_done();
	return 0;
}

/* ---- a drive ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t done_ids[64];
static unsigned n_done;

static void on_done(void *opaque, struct drive_work *w)
{
	pthread_mutex_lock(&lock);
	done_ids[n_done++] = w->rq.id;
	pthread_mutex_unlock(&lock);
}

static unsigned count_done(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = n_done;
	pthread_mutex_unlock(&lock);
	return n;
}

static struct drive_work write_work(uint64_t id, const void *data)
{
	return (struct drive_work){
		.rq = { .hdr.type = BLK_WRITE, .id = id, .offset = id * 512, .len = 512 },
		.out = data
	};
}

static void test_quiesce(void **state)
{
	static const uint8_t data[512] = { 1 };
	Dejavm__BlkDrive cfg = config("q", "qcow2");
	struct drive_work work[20];
	struct drive d;

	n_done = 0;
	mem_qcow2("q", &(struct qcow2_how){ .len = LEN, .refcount_order = -1u });
	drive_init(&d, &cfg, false);
	assert_works(drive_start(&d, on_done, NULL, &err));
	assert_works(drive_open(&d, mem_open, NULL, &err));
	assert_int_equal(d.len, LEN);
	for (unsigned i = 0; i < 10; i++) {
		work[i] = write_work(i + 1, data);
		drive_submit(&d, &work[i]);
	}
	/* What was asked for before is done; what comes now waits. */
	drive_quiesce(&d);
	assert_int_equal(count_done(), 10);
	for (unsigned i = 10; i < 20; i++) {
		work[i] = write_work(i + 1, data);
		drive_submit(&d, &work[i]);
	}
	drive_quiesce(&d);
	assert_ptr_equal(drive_writable(&d, NULL), d.image);
	assert_works(image_snapshot_create(
		drive_writable(&d, NULL), &(struct image_snapshot){ .name = "s" }, &err));
	assert_works(drive_flush(&d, &err));
	drive_resume(&d);
	usleep(20000);
	assert_int_equal(count_done(), 10);
	drive_resume(&d);
	drive_stop(&d);
	assert_int_equal(count_done(), 20);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(done_ids[i], i + 1);
	assert_works(drive_close(&d, &err));
}

static void test_writable(void **state)
{
	Dejavm__BlkDrive raw = config("r", "raw"), none = config("", ""), q = config("q", "qcow2");
	struct drive d;

	assert_int_equal(ftruncate(mem_file("r"), LEN), 0);
	mem_qcow2("q", &(struct qcow2_how){ .len = LEN, .refcount_order = -1u });
	drive_init(&d, &raw, false);
	assert_works(drive_open(&d, mem_open, NULL, &err));
	assert_refused(drive_writable(&d, &err) ? 0 : -err.code, ENOTSUP, "needs qcow2");
	assert_works(drive_close(&d, &err));
	drive_init(&d, &none, false);
	assert_works(drive_open(&d, mem_open, NULL, &err));
	assert_refused(drive_writable(&d, &err) ? 0 : -err.code, EROFS, "cannot be written");
	assert_works(drive_flush(&d, &err));
	assert_works(drive_close(&d, &err));
	q.readonly = true;
	drive_init(&d, &q, false);
	assert_works(drive_open(&d, mem_open, NULL, &err));
	assert_refused(drive_writable(&d, &err) ? 0 : -err.code, EROFS, "cannot be written");
	assert_works(drive_close(&d, &err));
}

/* ---- replaying: the recording's overlay between the image and ours ---- */

static int open_with_base(const char *name, struct image **ret, struct error *err)
{
	struct image_how how = { .name = name, .no_backing = true, .opener = mem_open };
	int r = image_open(&how, ret, err);

	if (r == 0)
		image_lay_over(*ret, must_open("base", true));
	return r;
}

static void make_kept(void)
{
	struct image *img;

	mem_qcow2("base", &(struct qcow2_how){ .len = LEN, .refcount_order = -1u });
	img = must_open("base", false);
	assert_works(image_write(img, 0, "base", 4, &err));
	must_close(img);
	/* What its header says is below it is not there any more. */
	mem_qcow2("kept", &(struct qcow2_how){ .len = LEN,
				  .refcount_order = -1u,
				  .backing = "moved away",
				  .backing_format = "qcow2" });
	assert_works(open_with_base("kept", &img, &err));
	assert_works(image_write(img, 0, "old", 3, &err));
	assert_works(image_snapshot_create(img, &(struct image_snapshot){ .name = "s" }, &err));
	assert_works(image_write(img, 0, "new", 3, &err));
	assert_works(image_close(img, &err));
}

static Dejavm__BlkDrive replayed(const char *view, bool needed)
{
	Dejavm__BlkDrive cfg = config("base", "qcow2");

	mem_file("temporary");
	cfg.kept = (char *)"kept";
	cfg.kept_view = (char *)view;
	cfg.kept_needed = needed;
	cfg.overlay = (char *)"temporary";
	cfg.overlay_new = true;
	cfg.backing = (char *)"base";
	return cfg;
}

static void shows(struct drive *d, const char *want)
{
	uint8_t buf[4];

	assert_works(image_read(d->image, 0, buf, 4, &err));
	assert_memory_equal(buf, want, 4);
}

static void test_kept(void **state)
{
	Dejavm__BlkDrive cfg;
	struct drive d;
	size_t len, len_after;
	uint8_t *before, *after;

	make_kept();
	before = mem_copy("kept", &len);
	cfg = replayed("s", true);
	drive_init(&d, &cfg, true);
	assert_works(drive_open(&d, mem_open, NULL, &err));
	shows(&d, "olde");
	assert_works(image_write(d.image, 0, "xyz", 3, &err));
	shows(&d, "xyze");
	assert_works(image_snapshot_show(d.kept, NULL, &err));
	assert_works(image_snapshot_apply(d.image, NULL, &err));
	shows(&d, "base");
	assert_works(drive_close(&d, &err));
	cfg = replayed("", false);
	drive_init(&d, &cfg, true);
	assert_works(drive_open(&d, mem_open, NULL, &err));
	shows(&d, "base");
	assert_works(drive_close(&d, &err));
	after = mem_copy("kept", &len_after);
	assert_int_equal(len, len_after);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
}

static void test_kept_unusable(void **state)
{
	Dejavm__BlkDrive cfg;
	struct drive d;

	make_kept();
	assert_int_equal(ftruncate(mem_file("kept"), 100), 0);
	cfg = replayed("", false);
	drive_init(&d, &cfg, true);
	assert_works(drive_open(&d, mem_open, NULL, &err));
	assert_null(d.kept);
	shows(&d, "base");
	assert_works(drive_close(&d, &err));
	cfg = replayed("", true);
	drive_init(&d, &cfg, true);
	assert_refused(drive_open(&d, mem_open, NULL, &err), EINVAL, "kept");
	drive_close(&d, NULL);
	/* It was there when the machine began. */
	cfg = replayed("s", false);
	drive_init(&d, &cfg, true);
	assert_refused(drive_open(&d, mem_open, NULL, &err), EINVAL, "kept");
	drive_close(&d, NULL);
}

static void test_discard_ignored(void **state)
{
	Dejavm__BlkDrive cfg = config("r", "raw");
	struct drive_work w = { .rq = { .hdr.type = BLK_DISCARD, .id = 1, .len = LEN - 512 } };
	static uint8_t data[LEN];
	struct stat st;
	struct drive d;

	memset(data, 7, sizeof(data));
	mem_put("r", 0, data, sizeof(data));
	cfg.ignore_discard = true;
	drive_init(&d, &cfg, false);
	assert_works(drive_open(&d, mem_open, NULL, &err));
	w.drive = &d;
	drive_do(&d, &w);
	assert_int_equal(w.error, 0);
	/* It reads as zeros all the same, but keeps its place. */
	assert_works(image_read(d.image, 0, data, LEN, &err));
	assert_int_equal(data[0], 0);
	assert_int_equal(data[LEN - 513], 0);
	assert_int_equal(data[LEN - 512], 7);
	assert_int_equal(fstat(mem_file("r"), &st), 0);
	assert_true(st.st_blocks * 512 >= LEN);
	assert_works(drive_close(&d, &err));
}

/* ---- the server ---- */

struct serving {
	struct rig rig;
	struct proc proc;
	struct server server;
	struct drive drives[2];
};

static void *serve(void *opaque)
{
	struct serving *s = opaque;

	server_run(&s->server);
	return NULL;
}

static void wait_idle(unsigned n_drives)
{
	static struct serving s;
	Dejavm__BlkDrive cfg[2] = { config("a", "qcow2"), config("b", "qcow2") };
	pthread_t thread;

	rig_init(&s.rig);
	rig_proc(&s.rig, &s.proc);
	for (unsigned i = 0; i < n_drives; i++) {
		mem_qcow2(cfg[i].file, &(struct qcow2_how){ .len = LEN, .refcount_order = -1u });
		drive_init(&s.drives[i], &cfg[i], false);
	}
	assert_works(server_init(&s.server, &s.proc, s.drives, n_drives, &err));
	assert_works(server_start(&s.server, &err));
	for (unsigned i = 0; i < n_drives; i++)
		assert_works(drive_open(&s.drives[i], mem_open, NULL, &err));
	assert_int_equal(pthread_create(&thread, NULL, serve, &s), 0);
	for (unsigned round = 0; round < 50; round++) {
		struct blkseq_msg m = { 0 };
		struct blk_rep rep = { 0 };

		for (unsigned i = 0; i < 30; i++)
			rig_send(&s.rig, BLK_WRITE, i % n_drives, i * 16384, 16384, i);
		chan_notify(&s.rig.blk);
		server_wait_idle(&s.server);
		/* All answers are there, now. */
		for (unsigned i = 0; i < 30; i++) {
			assert_true(rig_rep(&s.rig, &rep, 0));
			assert_true(rig_seq(&s.rig, &m, 0));
		}
		for (unsigned i = 0; i < n_drives; i++) {
			drive_quiesce(&s.drives[i]);
			assert_false(s.drives[i].busy);
			drive_resume(&s.drives[i]);
		}
	}
	server_quit(&s.server);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < n_drives; i++)
		assert_works(drive_close(&s.drives[i], &err));
	chan_done(&s.server.blk);
	chan_done(&s.server.seq);
	rig_done(&s.rig);
}

static void test_wait_idle(void **state)
{
	wait_idle(1);
}

static void test_wait_idle_two(void **state)
{
	wait_idle(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_quiesce, teardown),
		cmocka_unit_test_teardown(test_writable, teardown),
		cmocka_unit_test_teardown(test_kept, teardown),
		cmocka_unit_test_teardown(test_kept_unusable, teardown),
		cmocka_unit_test_teardown(test_discard_ignored, teardown),
		cmocka_unit_test_teardown(test_wait_idle, teardown),
		cmocka_unit_test_teardown(test_wait_idle_two, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
