/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening images and chains, names, locks, bounds, raw images. */
#include "image_test.h"

static int teardown(void **state)
{
	mem_files_done();
	return 0;
}

static void chain_over(const char *name, const char *backing, const char *format)
{
	struct qcow2_how how = { .len = 65536,
		.cluster_bits = 9,
		.refcount_order = 4,
		.backing = backing,
		.backing_format = format };

	mem_qcow2(name, &how);
}

static void test_raw_bounds(void **state)
{
	struct image *img;
	uint8_t buf[1024];

	mem_put("r", 0, "0123456789", 10);
	mem_put("r", 699, "x", 1);
	img = must_open("r", false);
	assert_int_equal(image_len(img), 1024);
	memset(buf, 0xee, sizeof(buf));
	assert_works(image_read(img, 0, buf, 1024, &err));
	assert_memory_equal(buf, "0123456789", 10);
	assert_int_equal(buf[699], 'x');
	for (size_t i = 700; i < 1024; i++)
		assert_int_equal(buf[i], 0);
	assert_refused(image_read(img, 1, buf, 1024, &err), EINVAL, "reach beyond");
	assert_refused(image_write(img, UINT64_MAX, buf, 2, &err), EINVAL, "reach beyond");
	assert_refused(image_discard(img, 1023, UINT64_MAX, &err), EINVAL, "reach beyond");
	/* What lies behind the file's end is not written. */
	memset(buf, 'y', sizeof(buf));
	assert_works(image_write(img, 600, buf, 424, &err));
	assert_works(image_read(img, 600, buf, 424, &err));
	assert_int_equal(buf[99], 'y');
	assert_int_equal(buf[100], 0);
	assert_works(image_discard(img, 0, 5, &err));
	assert_works(image_read(img, 0, buf, 10, &err));
	assert_memory_equal(buf,
		"\0\0\0\0\0"
		"56789",
		10);
	assert_int_equal(lseek(mem_file("r"), 0, SEEK_END), 700);
	must_close(img);
}

static void test_readonly(void **state)
{
	struct image *img;
	char buf[512] = "";

	mem_put("r", 4095, "", 1);
	img = must_open("r", true);
	assert_true(image_readonly(img));
	assert_refused(image_write(img, 0, buf, 512, &err), EROFS, "reading only");
	assert_refused(image_discard(img, 0, 512, &err), EROFS, "reading only");
	assert_works(image_flush(img, &err));
	must_close(img);
	chain_over("q", "r", "raw");
	img = must_open("q", true);
	assert_refused(image_snapshot_create(img, &(struct image_snapshot){ .name = "s" }, &err),
		EROFS, "reading only");
	assert_refused(image_vmstate_write(img, 0, buf, 1, &err), EROFS, "reading only");
	must_close(img);
}

static void test_raw_has_no_snapshots(void **state)
{
	struct image_snapshot *list;
	struct image *img;
	size_t n;

	mem_put("r", 4095, "", 1);
	img = must_open("r", false);
	assert_refused(image_snapshot_create(img, &(struct image_snapshot){ .name = "s" }, &err),
		ENOTSUP, "raw");
	assert_refused(image_snapshot_list(img, &list, &n, &err), ENOTSUP, "raw");
	assert_refused(image_vmstate_read(img, NULL, 0, &n, 1, &err), ENOTSUP, "raw");
	must_close(img);
}

/* A guest that writes a qcow2 header to a raw disk would choose our files at the next start. */
static void test_guessed_raw_stays_raw(void **state)
{
	struct image_how how = { .name = "r", .format = "raw", .opener = mem_open };
	struct image *img;

	mem_put("r", 4095, "", 1);
	img = must_open("r", false);
	assert_refused(image_write(img, 0, "QFI\xfb\0\0\0\3", 8, &err), EPERM, "format=raw");
	assert_works(image_write(img, 512, "QFI\xfb\0\0\0\3", 8, &err));
	must_close(img);
	assert_works(image_open(&how, &img, &err));
	assert_works(image_write(img, 0, "QFI\xfb\0\0\0\3", 8, &err));
	must_close(img);
}

static void test_formats(void **state)
{
	struct image_how how = { .name = "r", .format = "vmdk", .opener = mem_open };
	struct image_info info;
	struct image *img;

	mem_put("r", 4095, "", 1);
	assert_refused(image_open(&how, &img, &err), EINVAL, "'vmdk' is not known");
	how.format = "qcow2";
	assert_refused(image_open(&how, &img, &err), EINVAL, "no qcow2 image");
	how.name = "nothing";
	assert_refused(image_open(&how, &img, &err), ENOENT, "'nothing'");
	chain_over("q", NULL, NULL);
	img = must_open("q", false);
	image_get_info(img, &info);
	assert_string_equal(info.format, "qcow2");
	assert_int_equal(info.version, 3);
	assert_int_equal(info.cluster_len, 512);
	assert_int_equal(info.len, 65536);
	must_close(img);
	/* As raw: its bytes. */
	how.name = "q";
	how.format = "raw";
	assert_works(image_open(&how, &img, &err));
	assert_int_equal(image_len(img), lseek(mem_file("q"), 0, SEEK_END));
	must_close(img);
}

static void test_names_of_backing_files(void **state)
{
	static const struct {
		const char *image, *backing, *expected;
	} rows[] = {
		{ "a", "b", "b" },
		{ "dir/a", "b", "dir/b" },
		{ "/x/y/a", "../b", "/x/y/../b" },
		{ "dir/a", "/abs/b", "/abs/b" },
		{ "dir/a", "file:b", "dir/b" },
		{ "dir/a", "./with:colon", "dir/./with:colon" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image_info info;
		struct image *img;

		mem_put(rows[i].expected, 0, "base", 4);
		chain_over(rows[i].image, rows[i].backing, "raw");
		img = must_open(rows[i].image, false);
		assert_string_equal(image_name(img, 1), rows[i].expected);
		assert_null(image_name(img, 2));
		assert_int_equal(image_fd(img, 2), -1);
		image_get_info(img, &info);
		assert_int_equal(info.depth, 2);
		assert_string_equal(info.backing, rows[i].backing);
		assert_string_equal(info.backing_format, "raw");
		must_close(img);
		mem_files_done();
	}
}

static void test_backing_files_elsewhere(void **state)
{
	struct image *img;

	chain_over("a", "nbd://host/disk", "raw");
	assert_refused(mem_image("a", true, &img, &err), ENOTSUP, "not a local file");
	chain_over("a", "json:{\"driver\":\"file\"}", "raw");
	assert_refused(mem_image("a", true, &img, &err), ENOTSUP, "not a local file");
	chain_over("a", "gone", "raw");
	assert_refused(mem_image("a", true, &img, &err), ENOENT, "backing file of 'a'");
	chain_over("a", "gone", "vdi");
	mem_put("gone", 0, "x", 1);
	assert_refused(mem_image("a", true, &img, &err), EINVAL, "'vdi'");
}

static void test_loops(void **state)
{
	struct image *img;
	char name[16], next[16];

	chain_over("self", "self", "qcow2");
	assert_refused(mem_image("self", false, &img, &err), ELOOP, "comes back to 'self'");
	chain_over("a", "b", "qcow2");
	chain_over("b", "c", "qcow2");
	chain_over("c", "b", "qcow2");
	assert_refused(mem_image("a", true, &img, &err), ELOOP, "comes back to 'b'");
	for (int i = 0; i < IMAGE_CHAIN_MAX + 1; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		snprintf(next, sizeof(next), "n%d", i + 1);
		chain_over(name, next, "qcow2");
	}
	assert_refused(mem_image("n0", true, &img, &err), ELOOP, "longer than 64");
	/* One less is right. */
	mem_put("n64", 0, "end of the chain", 16);
	chain_over("n63", NULL, NULL);
	img = must_open("n0", false);
	assert_works(image_write(img, 0, "x", 1, &err));
	must_close(img);
}

/* A chain of three, each with a part; the lower ones are not written. */
static void test_chain_reads(void **state)
{
	struct image *img;
	uint8_t buf[65536], *before, *after;
	size_t len, len_after;

	memset(buf, 'r', 3000);
	mem_put("r", 0, buf, 3000);
	chain_over("m", "r", "raw");
	img = must_open("m", false);
	assert_works(image_write(img, 1000, "middle", 6, &err));
	assert_works(image_discard(img, 512, 256, &err));
	must_close(img);
	before = mem_copy("m", &len);
	chain_over("t", "m", "qcow2");
	img = must_open("t", false);
	assert_works(image_write(img, 1003, "TOP", 3, &err));
	assert_works(image_read(img, 0, buf, sizeof(buf), &err));
	assert_int_equal(buf[0], 'r');
	assert_int_equal(buf[511], 'r');
	assert_int_equal(buf[512], 0);
	assert_int_equal(buf[767], 0);
	assert_int_equal(buf[768], 'r');
	assert_memory_equal(buf + 999, "rmidTOPr", 8);
	assert_int_equal(buf[2999], 'r');
	for (size_t i = 3000; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
	must_close(img);
	after = mem_copy("m", &len_after);
	assert_int_equal(len, len_after);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
}

static void test_locks(void **state)
{
	struct image *a, *b, *c;

	chain_over("base", NULL, NULL);
	chain_over("over1", "base", "qcow2");
	chain_over("over2", "base", "qcow2");
	a = must_open("over1", false);
	assert_refused(mem_image("over1", false, &b, &err), EAGAIN, "in use");
	assert_refused(mem_image("over1", true, &b, &err), EAGAIN, "in use");
	/* Two overlays read one base, which nobody may write. */
	b = must_open("over2", false);
	assert_refused(mem_image("base", false, &c, &err), EAGAIN, "in use");
	c = must_open("base", true);
	must_close(a);
	must_close(b);
	assert_refused(mem_image("base", false, &a, &err), EAGAIN, "in use");
	must_close(c);
	a = must_open("base", false);
	assert_refused(mem_image("over1", false, &b, &err), EAGAIN, "in use");
	must_close(a);
}

/* The bytes that QEMU would look at. */
static void test_lock_bytes(void **state)
{
	static const int held[] = { 100, 101, 103, 201, 203 };
	struct image *img;
	int fd;

	chain_over("q", NULL, NULL);
	fd = mem_open(NULL, "q", IMAGE_OPEN_RDWR);
	img = must_open("q", false);
	for (int byte = 96; byte < 300; byte++) {
		struct flock fl = {
			.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
		};
		bool want = false;

		for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
			want |= held[i] == byte;
		assert_int_equal(fcntl(fd, F_OFD_GETLK, &fl), 0);
		assert_int_equal(fl.l_type, want ? F_RDLCK : F_UNLCK);
	}
	must_close(img);
	close(fd);
}

static struct {
	unsigned n, fail_at;
	int code;
} hook_state;

static int hook(void *opaque, unsigned depth, enum image_file_op op, uint64_t offset,
	const void *data, size_t len)
{
	return op != IMAGE_FILE_READ && ++hook_state.n == hook_state.fail_at ? -hook_state.code : 0;
}

/* No space at any moment: the request fails, what was there stays, and afterwards all goes on. */
static void test_no_space(void **state)
{
	uint8_t buf[4096], was[4096], got[4096];

	memset(was, 'w', sizeof(was));
	memset(buf, 'b', sizeof(buf));
	for (unsigned at = 1;; at++) {
		struct image_how how = { .name = "q", .opener = mem_open, .hook = hook };
		struct image_check check;
		struct image *img;
		int r;

		hook_state.n = hook_state.fail_at = 0;
		chain_over("q", NULL, NULL);
		assert_works(image_open(&how, &img, &err));
		assert_works(image_write(img, 0, was, sizeof(was), &err));
		hook_state.n = 0;
		hook_state.fail_at = at;
		hook_state.code = ENOSPC;
		r = image_write(img, 40960, buf, sizeof(buf), NULL);
		if (hook_state.n < at) {
			assert_int_equal(r, 0);
			hook_state.fail_at = 0;
			must_close(img);
			assert_true(at >= 5);
			break;
		}
		/* But for holes, which are only a saving, each failure is told. */
		assert_int_equal(r, -ENOSPC);
		assert_works(image_read(img, 0, got, sizeof(got), &err));
		assert_memory_equal(got, was, sizeof(was));
		image_close(img, NULL);
		img = must_open("q", false);
		assert_works(image_check(img, false, &check, &err));
		assert_int_equal(check.errors, 0);
		assert_works(image_write(img, 40960, buf, sizeof(buf), &err));
		assert_works(image_read(img, 40960, got, sizeof(got), &err));
		assert_memory_equal(got, buf, sizeof(buf));
		must_close(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_raw_bounds, teardown),
		cmocka_unit_test_teardown(test_readonly, teardown),
		cmocka_unit_test_teardown(test_raw_has_no_snapshots, teardown),
		cmocka_unit_test_teardown(test_guessed_raw_stays_raw, teardown),
		cmocka_unit_test_teardown(test_formats, teardown),
		cmocka_unit_test_teardown(test_names_of_backing_files, teardown),
		cmocka_unit_test_teardown(test_backing_files_elsewhere, teardown),
		cmocka_unit_test_teardown(test_loops, teardown),
		cmocka_unit_test_teardown(test_chain_reads, teardown),
		cmocka_unit_test_teardown(test_locks, teardown),
		cmocka_unit_test_teardown(test_lock_bytes, teardown),
		cmocka_unit_test_teardown(test_no_space, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
