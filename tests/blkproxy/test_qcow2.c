/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 from the inside: each field of the header that can be wrong, entries that point where they
 * must not, reference counts of every width, the set of tables, creation.
 */
#include "image_test.h"

#include "qcow2.h"

#define LEN 65536

static int teardown(void **state)
{
	mem_files_done();
	return 0;
}

static void make(unsigned version)
{
	struct qcow2_how how = {
		.len = LEN, .version = version, .cluster_bits = 9, .refcount_order = 4
	};

	mem_qcow2("q", &how);
}

/* ---- hostile headers ---- */

static const struct {
	const char *words;
	uint64_t at, value;
	unsigned n;
	int code;
} header_rows[] = {
	{ "no qcow2 image", 0, 0x514649fa, 4, EINVAL }, { "version is 1", 4, 1, 4, ENOTSUP },
	{ "version is 4", 4, 4, 4, ENOTSUP }, { "cluster_bits is 8", 20, 8, 4, EINVAL },
	{ "cluster_bits is 22", 20, 22, 4, EINVAL },
	{ "cluster_bits is 4294967295", 20, 0xffffffff, 4, EINVAL },
	{ "l1_size is", 24, UINT64_C(1) << 30, 8, EINVAL },
	{ "too long", 24, UINT64_MAX, 8, EFBIG }, { "encrypted", 32, 1, 4, ENOTSUP },
	{ "the L1 table has", 36, 0xffffffff, 4, EFBIG }, { "l1_size is 0", 36, 0, 4, EINVAL },
	{ "beyond the end", 36, 4000000, 4, EINVAL },
	{ "no multiple of the cluster size", 40, 0x601, 8, EINVAL },
	{ "the L1 table begins at 0", 40, 0, 8, EINVAL },
	{ "beyond the end of the file", 40, UINT64_C(1) << 40, 8, EINVAL },
	{ "beyond the end of the file", 40, UINT64_MAX & ~UINT64_C(511), 8, EINVAL },
	{ "the reference count table begins", 48, 3, 8, EINVAL },
	{ "the reference count table", 48, UINT64_C(1) << 50, 8, EINVAL },
	{ "refcount_table_clusters is 0", 56, 0, 4, EINVAL },
	{ "the reference count table has", 56, 0xffffffff, 4, EFBIG },
	{ "nb_snapshots is", 60, 65537, 4, EFBIG },
	{ "the snapshot table begins", 60, 1, 4, EINVAL },
	{ "backing file's name", 8, 600, 8, EINVAL },
	{ "backing file's name", 8, UINT64_MAX, 8, EINVAL },
	{ "backing file's name", 8, 4, 8, EINVAL }, { "refcount_order is 7", 96, 7, 4, EINVAL },
	{ "header_length is 100", 100, 100, 4, EINVAL },
	{ "header_length is 4096", 100, 4096, 4, EINVAL },
	{ "header_length is 109", 100, 109, 4, EINVAL },
	{ "compression type 2", 104, 2, 1, ENOTSUP }, { "compression type 1", 104, 1, 1, ENOTSUP },
	{ "header extension", 116, 0xffffffff, 4, EINVAL }, { "external file", 72, 4, 8, ENOTSUP },
	{ "extended L2", 72, 16, 8, ENOTSUP },
	{ "bit 40, bit 63", 72, UINT64_C(1) << 63 | UINT64_C(1) << 40, 8, ENOTSUP },
	{ "'compression type' (bit 5)", 0, 0, 0, ENOTSUP }, /* made below */
};

static void test_headers(void **state)
{
	for (size_t i = 0; i < sizeof(header_rows) / sizeof(header_rows[0]); i++) {
		struct image_how how = { .name = "q", .format = "qcow2", .opener = mem_open };
		uint8_t *before, *after;
		size_t len, len_after;

		make(3);
		if (header_rows[i].n) {
			mem_put_be("q", header_rows[i].at, header_rows[i].n, header_rows[i].value);
		} else {
			/* The name of an unknown feature comes from the image's own table. */
			for (unsigned row = 0; row < 4; row++)
				if (mem_get_be("q", 120 + row * 48, 2) == 3)
					mem_put_be("q", 120 + row * 48, 2, 5);
			mem_put_be("q", 72, 8, 1 << 5);
		}
		before = mem_copy("q", &len);
		for (int readonly = 0; readonly < 2; readonly++) {
			struct error err = ERROR_INIT;
			struct image *img;
			int r;

			how.readonly = readonly;
			r = image_open(&how, &img, &err);
			if (r != -header_rows[i].code || !strstr(err.msg, header_rows[i].words))
				fail_msg("row %zu ('%s'): %d '%s'", i, header_rows[i].words, r,
					err.msg);
		}
		after = mem_copy("q", &len_after);
		assert_int_equal(len, len_after);
		assert_memory_equal(before, after, len);
		free(before);
		free(after);
		mem_files_done();
	}
}

/* Every length that a file can be cut to: never more than a refusal. */
static void test_cut_off(void **state)
{
	uint8_t buf[LEN], *whole;
	struct image *img;
	size_t len;

	make(3);
	img = must_open("q", false);
	memset(buf, 'x', sizeof(buf));
	assert_works(image_write(img, 0, buf, 3000, &err));
	assert_works(image_snapshot_create(img, &(struct image_snapshot){ .name = "s" }, &err));
	must_close(img);
	whole = mem_copy("q", &len);
	for (size_t n = 0; n < len; n += n < 512 ? 1 : 64) {
		struct image_how how = { .name = "q", .format = "qcow2", .opener = mem_open };
		struct error err = ERROR_INIT;
		int r;

		assert_int_equal(ftruncate(mem_file("q"), 0), 0);
		mem_put("q", 0, whole, n);
		r = image_open(&how, &img, &err);
		if (r == 0) {
			image_read(img, 0, buf, LEN, NULL);
			image_write(img, 0, buf, LEN, NULL);
			image_close(img, NULL);
		} else {
			assert_true(err.msg[0]);
			assert_int_equal(lseek(mem_file("q"), 0, SEEK_END), n);
		}
	}
	free(whole);
}

/* ---- hostile tables ---- */

static uint64_t l2_of(unsigned i)
{
	return mem_get_be("q", mem_get_be("q", QCOW2_AT_L1_OFFSET, 8) + i * 8, 8) &
	       QCOW2_OFFSET_MASK;
}

static void make_with_data(unsigned version)
{
	struct image *img;
	uint8_t buf[4096];

	make(version);
	memset(buf, 'd', sizeof(buf));
	img = must_open("q", false);
	assert_works(image_write(img, 0, buf, sizeof(buf), &err));
	must_close(img);
}

static const struct {
	const char *words;
	uint64_t entry;
	bool only_writing; /* reading it does no harm */
} l2_rows[] = {
	{ "reserved bits", QCOW2_COPIED | 0x1002, false },
	{ "reserved bits", QCOW2_COPIED | UINT64_C(1) << 58 | 0x1000, false },
	{ "beyond the end of the file", QCOW2_COPIED | UINT64_C(1) << 40, false },
	{ "outside of the file", QCOW2_PACKED | UINT64_C(1) << 50, false },
	{ "compressed and COPIED", QCOW2_PACKED | QCOW2_COPIED | 0x1000, false },
	{ "does not unpack", QCOW2_PACKED | 0x600, false },
	{ "overwrite the reference count table", QCOW2_COPIED | 0x200, true },
	{ "overwrite a reference count block", QCOW2_COPIED | 0x400, true },
	{ "overwrite the L1 table", QCOW2_COPIED | 0x600, true },
	{ "overwrite an L2 table", QCOW2_COPIED | 0x800, true },
};

static void test_l2_entries(void **state)
{
	for (size_t i = 0; i < sizeof(l2_rows) / sizeof(l2_rows[0]); i++) {
		struct image *img;
		struct image_info info;
		uint8_t buf[512], *before, *after;
		size_t len, len_after;

		make_with_data(3);
		assert_int_equal(l2_of(0), 0x800);
		mem_put_be("q", l2_of(0) + 8, 8, l2_rows[i].entry);
		before = mem_copy("q", &len);
		img = must_open("q", true);
		if (!l2_rows[i].only_writing)
			assert_refused(image_read(img, 512, buf, 512, &err), EIO, l2_rows[i].words);
		must_close(img);
		img = must_open("q", false);
		assert_refused(image_write(img, 600, "x", 1, &err), EIO, l2_rows[i].words);
		/* Not "does not unpack": that is the data's damage, not the tables'. */
		if (!strstr(l2_rows[i].words, "unpack")) {
			assert_refused(
				image_write(img, 4096, "x", 1, &err), EIO, "no more writing");
			image_get_info(img, &info);
			assert_true(info.corrupt);
		}
		image_close(img, NULL);
		after = mem_copy("q", &len_after);
		/* Nothing but the corrupt bit. */
		before[79] |= after[79] & 2;
		if (!strstr(l2_rows[i].words, "unpack")) {
			assert_int_equal(len, len_after);
			assert_memory_equal(before, after, len);
			assert_refused(mem_image("q", false, &img, &err), EROFS, "corrupt");
			img = must_open("q", true);
			must_close(img);
		}
		free(before);
		free(after);
		mem_files_done();
	}
}

static const struct {
	const char *words;
	uint64_t entry; /* of L1 */
} l1_rows[] = {
	{ "reserved bits", QCOW2_COPIED | 0x801 },
	{ "reserved bits", QCOW2_COPIED | UINT64_C(1) << 57 | 0x800 },
	{ "beyond the end of the file", QCOW2_COPIED | UINT64_C(1) << 41 },
	{ "overlaps the reference count table", QCOW2_COPIED | 0x200 },
	{ "overlaps the L1 table", QCOW2_COPIED | 0x600 },
};

static void test_l1_entries(void **state)
{
	for (size_t i = 0; i < sizeof(l1_rows) / sizeof(l1_rows[0]); i++) {
		uint8_t *before, *after;
		size_t len, len_after;
		struct image *img;

		make_with_data(3);
		mem_put_be("q", 0x600, 8, l1_rows[i].entry);
		before = mem_copy("q", &len);
		{
			struct error err = ERROR_INIT;

			assert_true(mem_image("q", false, &img, &err) < 0);
			if (!strstr(err.msg, l1_rows[i].words))
				fail_msg("row %zu: '%s'", i, err.msg);
		}
		after = mem_copy("q", &len_after);
		assert_int_equal(len, len_after);
		assert_memory_equal(before, after, len);
		free(before);
		free(after);
		mem_files_done();
	}
}

static void test_shared_l2(void **state)
{
	struct image *img;

	make_with_data(3);
	mem_put_be("q", 0x608, 8, QCOW2_COPIED | 0x800);
	assert_refused(mem_image("q", false, &img, &err), EINVAL, "two entries of one L1 table");
}

/* A count of 0 for what is in use: neither taken for something else, nor written. */
static void test_forgotten_counts(void **state)
{
	struct image *img;
	struct image_check check;
	uint8_t buf[4096];

	make_with_data(3);
	mem_put_be("q", 0x400 + 2 * 3, 2, 0); /* the L1 table's */
	img = must_open("q", false);
	assert_refused(
		image_write(img, 20000, buf, 1, &err), EIO, "the L1 table, but its reference");
	image_close(img, NULL);
	make_with_data(3);
	mem_put_be("q", 0x400 + 2 * 5, 2, 0); /* the first data cluster's */
	img = must_open("q", true);
	assert_works(image_check(img, false, &check, &err));
	assert_int_equal(check.errors, 1);
	assert_non_null(strstr(check.first, "cluster 5 has 1 references"));
	must_close(img);
	img = must_open("q", false);
	assert_refused(image_write(img, 0, buf, 1, &err), EIO, "a free cluster");
	image_close(img, NULL);
}

static void test_repair(void **state)
{
	struct image *img;
	struct image_check check;
	uint8_t buf[4096], want[4096];

	memset(want, 'd', sizeof(want));
	make_with_data(3);
	for (unsigned i = 3; i < 14; i++)
		mem_put_be("q", 0x400 + 2 * i, 2, i % 3);
	mem_put_be("q", QCOW2_AT_INCOMPAT, 8, QCOW2_INCOMPAT_DIRTY);
	img = must_open("q", false);
	assert_works(image_check(img, false, &check, &err));
	assert_int_equal(check.errors + check.leaks, 0);
	assert_works(image_read(img, 0, buf, 4096, &err));
	assert_memory_equal(buf, want, sizeof(want));
	must_close(img);
	assert_int_equal(mem_get_be("q", QCOW2_AT_INCOMPAT, 8), 0);
	/* Without any block: new ones, where nothing is. */
	mem_put_be("q", 0x200, 8, 0);
	mem_put_be("q", QCOW2_AT_INCOMPAT, 8, QCOW2_INCOMPAT_DIRTY);
	img = must_open("q", false);
	assert_works(image_check(img, false, &check, &err));
	assert_int_equal(check.errors, 0);
	assert_works(image_read(img, 0, buf, 4096, &err));
	assert_memory_equal(buf, want, sizeof(want));
	assert_works(image_write(img, 50000, buf, 4096, &err));
	must_close(img);
}

/* ---- small parts ---- */

static void test_counts(void **state)
{
	for (unsigned order = 0; order <= 6; order++) {
		struct qcow2 q = { .refcount_order = order };
		uint8_t block[512] = { 0 };
		uint64_t n = sizeof(block) * 8 >> order, max = qcow2_ref_max(&q);

		for (uint64_t i = 0; i < n; i++)
			qcow2_count_put(block, order, i, (i * UINT64_C(0x9e3779b97f4a7c15)) & max);
		for (uint64_t i = 0; i < n; i++)
			assert_int_equal(qcow2_count_get(block, order, i),
				(i * UINT64_C(0x9e3779b97f4a7c15)) & max);
	}
}

static void test_set(void **state)
{
	struct qcow2_set s = { 0 };
	static uint8_t model[2000];
	uint64_t rng = 1;

	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t c = (rng = rng * 6364136223846793005u + 1442695040888963407u) >> 33;
		enum qcow2_table t = 1 + c % 7;
		uint64_t key;

		c = c / 7 % 2000;
		key = c * 1000003;
		if (rng & UINT64_C(1) << 20) {
			assert_int_equal(qcow2_set_add(&s, key, t), model[c] ? -EEXIST : 0);
			if (!model[c])
				model[c] = (uint8_t)t;
		} else {
			qcow2_set_remove(&s, key);
			model[c] = 0;
		}
		c = (c * 7 + 1) % 2000;
		assert_int_equal(qcow2_set_find(&s, c * 1000003), model[c]);
	}
	for (uint64_t c = 0; c < 2000; c++)
		assert_int_equal(qcow2_set_find(&s, c * 1000003), model[c]);
	qcow2_set_done(&s);
}

static void test_create(void **state)
{
	static const struct qcow2_how good[] = {
		{ .len = 0, .refcount_order = 4 },
		{ .len = 1, .refcount_order = -1u },
		{ .len = UINT64_C(1) << 40, .refcount_order = 6, .cluster_bits = 12 },
		{ .len = UINT64_C(1) << 36, .refcount_order = 0, .cluster_bits = 9 },
		{ .len = UINT64_C(1) << 50, .cluster_bits = 21, .refcount_order = 3 },
		{ .len = 1 << 20, .version = 2, .refcount_order = 4 },
	};
	static const struct {
		struct qcow2_how how;
		int code;
		const char *words;
	} bad[] = {
		{ { .len = UINT64_MAX }, EFBIG, "too long" },
		{ { .len = UINT64_C(1) << 50, .cluster_bits = 9, .refcount_order = 4 }, EFBIG,
			"too long" },
		{ { .cluster_bits = 8 }, EINVAL, "9 to 21" },
		{ { .cluster_bits = 22 }, EINVAL, "9 to 21" },
		{ { .version = 4 }, EINVAL, "version 2 or 3" },
		{ { .version = 2, .refcount_order = 3 }, EINVAL, "do not go with version 2" },
		{ { .refcount_order = 7 }, EINVAL, "reference counts" },
		{ { .backing = "x" }, EINVAL, "name and a format" },
	};
	char name[1100];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct image_check check;
		struct image *img;

		mem_qcow2("q", &good[i]);
		img = must_open("q", false);
		assert_int_equal(image_len(img), (good[i].len + 511) & ~UINT64_C(511));
		if (image_len(img)) {
			assert_works(image_write(img, image_len(img) - 1, "x", 1, &err));
			assert_works(image_read(img, image_len(img) - 1, name, 1, &err));
			assert_int_equal(name[0], 'x');
		}
		assert_works(image_check(img, false, &check, &err));
		assert_int_equal(check.errors + check.leaks, 0);
		must_close(img);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(image_create_qcow2(mem_file("q"), &bad[i].how, &err), bad[i].code,
			bad[i].words);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_refused(image_create_qcow2(mem_file("q"),
			       &(struct qcow2_how){ .len = 512,
				       .refcount_order = 4,
				       .backing = name,
				       .backing_format = "raw" },
			       &err),
		ENAMETOOLONG, "too long");
	name[400] = '\0';
	assert_refused(image_create_qcow2(mem_file("q"),
			       &(struct qcow2_how){ .len = 512,
				       .refcount_order = 4,
				       .cluster_bits = 9,
				       .backing = name,
				       .backing_format = "raw" },
			       &err),
		ENAMETOOLONG, "too long");
}

static void test_snapshot_errors(void **state)
{
	struct image_snapshot s = { .name = "one", .vm_state_len = 10, .icount = 5 }, got;
	struct image *img;
	char buf[20];

	make(3);
	img = must_open("q", false);
	assert_works(image_vmstate_write(img, 0, "0123456789", 10, &err));
	assert_works(image_snapshot_create(img, &s, &err));
	assert_refused(image_snapshot_create(img, &s, &err), EEXIST, "already");
	assert_refused(image_snapshot_apply(img, "two", &err), ENOENT, "no snapshot 'two'");
	assert_refused(image_snapshot_delete(img, "two", &err), ENOENT, "no snapshot 'two'");
	assert_refused(image_snapshot_find(img, "two", NULL, &err), ENOENT, "no snapshot 'two'");
	assert_refused(image_vmstate_read(img, "two", 0, buf, 1, &err), ENOENT, "no snapshot");
	assert_refused(image_vmstate_read(img, "one", 1, buf, 10, &err), EINVAL, "reach beyond");
	assert_refused(image_vmstate_write(img, UINT64_MAX, buf, 1, &err), EFBIG, "too long");
	assert_works(image_snapshot_find(img, "1", &got, &err));
	assert_string_equal(got.name, "one");
	assert_int_equal(got.icount, 5);
	assert_int_equal(got.disk_len, LEN);
	assert_works(image_vmstate_read(img, "one", 2, buf, 8, &err));
	assert_memory_equal(buf, "23456789", 8);
	/* The present state has none of it any more. */
	assert_works(image_vmstate_read(img, NULL, 0, buf, 10, &err));
	assert_memory_equal(buf, "\0\0\0\0\0\0\0\0\0\0", 10);
	must_close(img);
}

static int open_with(const char *name, bool readonly, const char *snapshot, struct image *backing,
	struct image **ret, struct error *err)
{
	struct image_how how = { .name = name,
		.readonly = readonly,
		.snapshot = snapshot,
		.backing = backing,
		.opener = mem_open };

	return image_open(&how, ret, err);
}

/* A snapshot's disk, read-only: what was written later is not in it, nor is the VM state. */
static void test_snapshot_view(void **state)
{
	struct image_snapshot s = { .name = "one", .vm_state_len = 5 };
	struct image *img, *view;
	uint8_t buf[512];
	size_t len, len_after;
	uint8_t *before, *after;

	mem_qcow2("q", &(struct qcow2_how){ .len = LEN, .refcount_order = -1u });
	img = must_open("q", false);
	assert_works(image_write(img, 0, "old", 3, &err));
	assert_works(image_write(img, LEN - 3, "end", 3, &err));
	assert_works(image_vmstate_write(img, 0, "state", 5, &err));
	assert_works(image_snapshot_create(img, &s, &err));
	assert_works(image_write(img, 0, "new", 3, &err));
	assert_works(image_write(img, 30000, "more", 4, &err));
	must_close(img);
	before = mem_copy("q", &len);
	assert_works(open_with("q", true, "one", NULL, &view, &err));
	assert_int_equal(image_len(view), LEN);
	assert_works(image_read(view, 0, buf, 3, &err));
	assert_memory_equal(buf, "old", 3);
	assert_works(image_read(view, 30000, buf, 4, &err));
	assert_memory_equal(buf, "\0\0\0\0", 4);
	assert_works(image_read(view, LEN - 3, buf, 3, &err));
	assert_memory_equal(buf, "end", 3);
	assert_works(image_vmstate_read(view, "one", 0, buf, 5, &err));
	assert_memory_equal(buf, "state", 5);
	assert_refused(image_write(view, 0, "x", 1, &err), EROFS, "reading only");
	assert_works(image_snapshot_show(view, NULL, &err));
	assert_works(image_read(view, 0, buf, 3, &err));
	assert_memory_equal(buf, "\0\0\0", 3);
	assert_refused(image_snapshot_show(view, "two", &err), ENOENT, "no snapshot 'two'");
	assert_works(image_snapshot_show(view, "one", &err));
	assert_works(image_read(view, 0, buf, 3, &err));
	assert_memory_equal(buf, "old", 3);
	must_close(view);
	after = mem_copy("q", &len_after);
	assert_int_equal(len, len_after);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
	assert_refused(open_with("q", true, "two", NULL, &view, &err), ENOENT, "no snapshot 'two'");
	assert_refused(open_with("q", false, "one", NULL, &view, &err), EINVAL, "looked at");
	/* Emptied: nothing is left of the disk but what the snapshot has. */
	img = must_open("q", false);
	assert_refused(image_snapshot_show(img, NULL, &err), EINVAL, "looked at");
	assert_works(image_snapshot_apply(img, NULL, &err));
	assert_works(image_read(img, 0, buf, 3, &err));
	assert_memory_equal(buf, "\0\0\0", 3);
	assert_works(image_write(img, 30000, "more", 4, &err));
	assert_works(image_snapshot_apply(img, "one", &err));
	assert_works(image_read(img, 0, buf, 3, &err));
	assert_memory_equal(buf, "old", 3);
	must_close(img);
	assert_int_equal(ftruncate(mem_file("r"), 4096), 0);
	assert_refused(open_with("r", true, "one", NULL, &view, &err), ENOTSUP, "no snapshots");
}

/* An overlay over what is open: a name that leads nowhere is not followed. */
static void test_given_backing(void **state)
{
	struct image_snapshot s = { .name = "one" };
	struct image *base, *img;
	uint8_t buf[8];

	mem_qcow2("q", &(struct qcow2_how){ .len = LEN, .refcount_order = -1u });
	img = must_open("q", false);
	assert_works(image_write(img, 0, "old", 3, &err));
	assert_works(image_snapshot_create(img, &s, &err));
	assert_works(image_write(img, 0, "new", 3, &err));
	must_close(img);
	mem_qcow2("o", &(struct qcow2_how){ .len = LEN,
			       .refcount_order = -1u,
			       .backing = "/nowhere",
			       .backing_format = "qcow2" });
	assert_works(open_with("q", true, "one", NULL, &base, &err));
	assert_works(open_with("o", false, NULL, base, &img, &err));
	assert_works(image_read(img, 0, buf, 3, &err));
	assert_memory_equal(buf, "old", 3);
	/* Part of a cluster: the rest of it is copied from below. */
	assert_works(image_write(img, 1, "LD", 2, &err));
	assert_works(image_read(img, 0, buf, 4, &err));
	assert_memory_equal(buf, "oLD", 4);
	assert_works(image_discard(img, 0, 2, &err));
	assert_works(image_read(img, 0, buf, 3, &err));
	assert_memory_equal(buf, "\0\0D", 3);
	must_close(img);
	/* It stays the caller's when opening fails. */
	base = must_open("q", true);
	assert_refused(open_with("absent", false, NULL, base, &img, &err), ENOENT, "absent");
	assert_works(image_read(base, 0, buf, 3, &err));
	assert_memory_equal(buf, "new", 3);
	must_close(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_headers, teardown),
		cmocka_unit_test_teardown(test_cut_off, teardown),
		cmocka_unit_test_teardown(test_l2_entries, teardown),
		cmocka_unit_test_teardown(test_l1_entries, teardown),
		cmocka_unit_test_teardown(test_shared_l2, teardown),
		cmocka_unit_test_teardown(test_forgotten_counts, teardown),
		cmocka_unit_test_teardown(test_repair, teardown),
		cmocka_unit_test_teardown(test_counts, teardown),
		cmocka_unit_test_teardown(test_set, teardown),
		cmocka_unit_test_teardown(test_create, teardown),
		cmocka_unit_test_teardown(test_snapshot_errors, teardown),
		cmocka_unit_test_teardown(test_snapshot_view, teardown),
		cmocka_unit_test_teardown(test_given_backing, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
