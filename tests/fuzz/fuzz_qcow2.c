/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images: whatever the bytes, opening, reading, writing, snapshots and repair end, and say
 * why; an image that was refused, or opened for reading, is not changed; and one that took all that
 * was asked is still an image.
 *
 * The first 16 bytes choose what is done, the rest is the file. The seeds are made when the program
 * starts, so that they are what the library writes today.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "image.h"

#define SCRIPT_LEN 16
#define SEED_LEN   4096
#define READ_MAX   65536

static uint8_t seed_files[6][SEED_LEN];
const struct fuzz_seed fuzz_seeds[] = { { seed_files[0], SEED_LEN }, { seed_files[1], SEED_LEN },
	{ seed_files[2], SEED_LEN }, { seed_files[3], SEED_LEN }, { seed_files[4], SEED_LEN },
	{ seed_files[5], SEED_LEN }, { NULL, 0 } };

static int file = -1;
static uint8_t buf[READ_MAX];

static int open_file(void *opaque, const char *name, enum image_open_flags flags)
{
	char path[64];
	int fd;

	/* "base" is a backing file that exists; other names, which are the image's, are not there.
	 */
	if (strcmp(name, "base") == 0)
		return open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	if (strcmp(name, "image") != 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = open(path, (flags & IMAGE_OPEN_RDWR ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void put_file(const uint8_t *data, size_t len)
{
	FUZZ_CHECK(ftruncate(file, 0) == 0);
	FUZZ_CHECK(pwrite(file, data, len, 0) == (ssize_t)len);
}

static void unchanged(const uint8_t *data, size_t len)
{
	uint8_t *now = malloc(len + 1);
	struct stat st;

	FUZZ_CHECK(now && fstat(file, &st) == 0 && st.st_size == (off_t)len);
	FUZZ_CHECK(pread(file, now, len, 0) == (ssize_t)len);
	FUZZ_CHECK(memcmp(now, data, len) == 0);
	free(now);
}

/* Both ends and the middle. */
static void read_around(struct image *img)
{
	uint64_t len = image_len(img);
	size_t n = len < READ_MAX ? (size_t)len : READ_MAX;
	struct error err = ERROR_INIT;
	uint64_t at[] = { 0, (len - n) / 2, len - n };

	for (size_t i = 0; i < 3; i++) {
		int r = image_read(img, at[i], buf, n, &err);

		FUZZ_CHECK(r == 0 || (err.code == -r && err.msg[0]));
	}
}

static void list_snapshots(struct image *img)
{
	struct image_snapshot *list;
	size_t n;

	if (image_snapshot_list(img, &list, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n && i < 3; i++)
		if (list[i].vm_state_len)
			image_vmstate_read(img, list[i].id, 0, buf,
				list[i].vm_state_len < READ_MAX ? list[i].vm_state_len : READ_MAX,
				NULL);
	free(list);
}

/* One request; -EIO and the like are answers as well. */
static int step(struct image *img, uint8_t what)
{
	uint64_t len = image_len(img), at = len ? (uint64_t)what * 1237 % len : 0;
	size_t n = (size_t)(what >> 3) * 97 + 1;
	struct image_snapshot snap = { .name = "fuzz", .vm_state_len = 3 };
	struct image_check check;

	if (n > len - at)
		n = (size_t)(len - at);
	switch (what & 7) {
	case 0:
	case 1: return image_write(img, at, buf, n, NULL);
	case 2: return image_discard(img, at, n, NULL);
	case 3: return image_flush(img, NULL);
	case 4:
		image_vmstate_write(img, 0, "vm", 3, NULL);
		return image_snapshot_create(img, &snap, NULL);
	case 5: return image_snapshot_apply(img, what & 8 ? "fuzz" : "1", NULL);
	case 6: return image_snapshot_delete(img, what & 8 ? "fuzz" : "1", NULL);
	default: return image_check(img, what & 8, &check, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_how how = { .name = "image", .readonly = true, .opener = open_file };
	struct error err = ERROR_INIT;
	const uint8_t *script = data;
	struct image_check check;
	struct image *img;
	bool damaged = false;
	int r;

	if (size < SCRIPT_LEN)
		return 0;
	data += SCRIPT_LEN;
	size -= SCRIPT_LEN;
	how.no_backing = script[0] & 1;
	how.tables = script[0] & 2 ? IMAGE_TABLES_BACK : IMAGE_TABLES_THROUGH;
	put_file(data, size);
	r = image_open(&how, &img, &err);
	FUZZ_CHECK(r == 0 || (err.code == -r && err.msg[0]));
	if (r == 0) {
		read_around(img);
		list_snapshots(img);
		image_check(img, false, &check, NULL);
		image_close(img, NULL);
	}
	unchanged(data, size);
	how.readonly = false;
	r = image_open(&how, &img, &err);
	if (r < 0) {
		/* A repair that was begun apart, a refusal leaves no trace. */
		if (size < 80 || data[7] != 3 || !(data[79] & 1))
			unchanged(data, size);
		return 0;
	}
	read_around(img);
	for (unsigned i = 1; i < SCRIPT_LEN; i++)
		damaged |= step(img, script[i]) == -EIO;
	damaged |= image_close(img, NULL) < 0;
	if (damaged)
		return 0;
	/* It is what the format says, or (raw) something that looks like qcow2 now. */
	how.readonly = true;
	if (image_open(&how, &img, &err) == 0) {
		read_around(img);
		image_close(img, NULL);
	}
	return 0;
}

/* ---- seeds ---- */

static struct image *make(const struct qcow2_how *q)
{
	struct image_how how = { .name = "image", .no_backing = true, .opener = open_file };
	struct image *img;

	FUZZ_CHECK(image_create_qcow2(file, q, NULL) == 0);
	FUZZ_CHECK(image_open(&how, &img, NULL) == 0);
	return img;
}

static void keep(unsigned i, struct image *img)
{
	static unsigned n;

	FUZZ_CHECK(image_close(img, NULL) == 0);
	/* Three different scripts, the same each time. */
	for (unsigned j = 0; j < SCRIPT_LEN; j++)
		seed_files[i][j] = (uint8_t)(n++ * 37);
	FUZZ_CHECK(pread(file, seed_files[i] + SCRIPT_LEN, SEED_LEN - SCRIPT_LEN, 0) > 0);
	/* The part of it that fits is an image. */
	FUZZ_CHECK(ftruncate(file, SEED_LEN - SCRIPT_LEN) == 0);
	img = NULL;
	FUZZ_CHECK(image_open(
			   &(struct image_how){
				   .name = "image", .no_backing = true, .opener = open_file },
			   &img, NULL) == 0);
	FUZZ_CHECK(image_close(img, NULL) == 0);
}

/* An L2 entry of a compressed cluster, which the library does not write. */
static void add_compressed(void)
{
	uint8_t in[512], out[400], be[8];
	z_stream z = { 0 };
	uint64_t entry, at = 6 * 512;

	memset(in, 'z', sizeof(in));
	FUZZ_CHECK(deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = in;
	z.avail_in = sizeof(in);
	z.next_out = out;
	z.avail_out = sizeof(out);
	FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	FUZZ_CHECK(pwrite(file, out, sizeof(out) - z.avail_out, (off_t)at) > 0);
	deflateEnd(&z);
	entry = UINT64_C(1) << 62 | at;
	for (unsigned i = 0; i < 8; i++)
		be[i] = (uint8_t)(entry >> (56 - 8 * i));
	FUZZ_CHECK(pwrite(file, be, 8, 4 * 512 + 8) == 8);
	FUZZ_CHECK(pwrite(file, "\0\1", 2, 2 * 512 + 6 * 2) == 2);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct qcow2_how q = { .len = 200000, .cluster_bits = 9, .refcount_order = 4 };
	struct image_snapshot snap = { .name = "s" };
	struct image *img;

	file = memfd_create("image", MFD_CLOEXEC);
	FUZZ_CHECK(file >= 0);
	memset(buf, 'b', sizeof(buf));
	img = make(&q);
	FUZZ_CHECK(image_write(img, 0, buf, 600, NULL) == 0);
	keep(0, img);
	img = make(&q);
	FUZZ_CHECK(image_write(img, 0, buf, 100, NULL) == 0);
	FUZZ_CHECK(image_snapshot_create(img, &snap, NULL) == 0);
	keep(1, img);
	q.backing = "base";
	q.backing_format = "raw";
	q.lazy_refcounts = true;
	img = make(&q);
	FUZZ_CHECK(image_write(img, 0, buf, 100, NULL) == 0);
	FUZZ_CHECK(image_discard(img, 512, 512, NULL) == 0);
	keep(2, img);
	q = (struct qcow2_how){
		.len = 20000, .version = 2, .cluster_bits = 9, .refcount_order = 4
	};
	img = make(&q);
	keep(3, img);
	q.version = 3;
	q.refcount_order = 0;
	img = make(&q);
	FUZZ_CHECK(image_write(img, 5000, buf, 700, NULL) == 0);
	keep(4, img);
	q.refcount_order = 4;
	img = make(&q);
	FUZZ_CHECK(image_write(img, 0, buf, 1, NULL) == 0);
	keep(5, img);
	add_compressed();
	FUZZ_CHECK(pread(file, seed_files[5] + SCRIPT_LEN, SEED_LEN - SCRIPT_LEN, 0) > 0);
	return 0;
}
