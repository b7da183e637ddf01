/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the formats share: the file under an image, and the calls that a format answers. Private to
 * the library; users see image.h. */
#ifndef DEJAVM_IMAGE_PRIV_H
#define DEJAVM_IMAGE_PRIV_H

#include <pthread.h>
#include <sys/types.h>

#include "image.h"

/* No offset in a file that we accept reaches this; sums of an offset and a length cannot overflow.
 */
#define IMAGE_FILE_MAX (UINT64_C(1) << 62)

/* A file. Every access goes through here, so that a test sees (and breaks) each of them. */
struct image_file {
	int fd;
	unsigned depth;
	bool no_sync;
	bool no_punch; /* the file system has no holes to make */
	dev_t dev;
	ino_t ino;
	int (*hook)(void *opaque, unsigned depth, enum image_file_op op, uint64_t offset,
		const void *data, size_t len);
	void *hook_opaque;
	const char *name; /* for messages; the image's */
};

struct image_ops {
	const char *format;
	/* img->file, readonly, tables and name are set. Sets img->len, and backing_name/format. */
	int (*open)(struct image *img, struct error *err);
	/* Also of an image whose open failed half way. Frees in any case. */
	int (*close)(struct image *img, struct error *err);
	int (*read)(struct image *img, uint64_t offset, void *buf, size_t len, struct error *err);
	int (*write)(
		struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err);
	int (*discard)(struct image *img, uint64_t offset, uint64_t len, struct error *err);
	int (*flush)(struct image *img, struct error *err);
	void (*info)(struct image *img, struct image_info *info);
	/* From here on NULL: the format has none of it. */
	int (*show)(struct image *img, const char *snapshot, struct error *err);
	int (*check)(struct image *img, bool repair, struct image_check *check, struct error *err);
	int (*snapshot_create)(
		struct image *img, const struct image_snapshot *snap, struct error *err);
	int (*snapshot_apply)(struct image *img, const char *name, struct error *err);
	int (*snapshot_delete)(struct image *img, const char *name, struct error *err);
	size_t (*snapshot_count)(struct image *img);
	void (*snapshot_get)(struct image *img, size_t i, struct image_snapshot *ret);
	int (*vmstate_write)(
		struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err);
	int (*vmstate_read)(struct image *img, const char *snapshot, uint64_t offset, void *buf,
		size_t len, struct error *err);
};

struct image {
	const struct image_ops *ops;
	struct image_file file;
	pthread_mutex_t lock;
	uint64_t len;
	bool readonly;
	bool probed; /* the format was found by looking */
	enum image_tables tables;
	struct image *backing;
	char name[IMAGE_NAME_MAX];
	char backing_name[IMAGE_NAME_MAX]; /* as the image says it; "": none */
	char backing_format[IMAGE_NAME_MAX];
	void *state; /* the format's */
};

extern const struct image_ops image_raw_ops;
extern const struct image_ops image_qcow2_ops;

/* Bytes beyond the end of the file read as zeros. */
int image_file_read(
	struct image_file *f, uint64_t offset, void *buf, size_t len, struct error *err);
int image_file_write(
	struct image_file *f, uint64_t offset, const void *buf, size_t len, struct error *err);
int image_file_zero(struct image_file *f, uint64_t offset, uint64_t len, struct error *err);
int image_file_sync(struct image_file *f, struct error *err);
/* -EOPNOTSUPP where the file system cannot; then nothing has happened. */
int image_file_punch(struct image_file *f, uint64_t offset, uint64_t len);
int image_file_truncate(struct image_file *f, uint64_t len, struct error *err);
int image_file_len(struct image_file *f, uint64_t *ret_len, struct error *err);
/* Locks in the bytes where QEMU looks for them; they go with the last copy of the descriptor. */
int image_file_lock(struct image_file *f, bool writer, struct error *err);

/* What an image without data of its own at offset reads there: its backing file's, or zeros. */
int image_read_backing(
	struct image *img, uint64_t offset, void *buf, size_t len, struct error *err);
/* Bytes from offset on that a backing file may have something to say about. */
uint64_t image_backing_reach(const struct image *img, uint64_t offset);

#endif
