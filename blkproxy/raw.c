/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images: the file is the disk. A length that is no multiple of a sector is rounded up; what
 * lies behind the file's end in the last sector reads as zeros, and a write to it is dropped,
 * because the file's length belongs to its owner.
 */
#include "image_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct raw {
	uint64_t file_len;
};

static int raw_open(struct image *img, struct error *err)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int r;

	if (!raw)
		return error_set(err, ENOMEM, "out of memory");
	img->state = raw;
	r = image_file_len(&img->file, &raw->file_len, err);
	if (r < 0)
		return r;
	img->len = (raw->file_len + IMAGE_SECTOR - 1) & ~(uint64_t)(IMAGE_SECTOR - 1);
	return 0;
}

static int raw_close(struct image *img, struct error *err)
{
	free(img->state);
	img->state = NULL;
	return 0;
}

/* How much of len bytes at offset lies in the file. */
static size_t raw_inside(const struct image *img, uint64_t offset, uint64_t len)
{
	const struct raw *raw = img->state;

	if (offset >= raw->file_len)
		return 0;
	return (size_t)(len < raw->file_len - offset ? len : raw->file_len - offset);
}

static int raw_read(struct image *img, uint64_t offset, void *buf, size_t len, struct error *err)
{
	size_t in = raw_inside(img, offset, len);

	memset((uint8_t *)buf + in, 0, len - in);
	return in ? image_file_read(&img->file, offset, buf, in, err) : 0;
}

static int raw_write(
	struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	size_t in = raw_inside(img, offset, len);

	/* A guest could otherwise make its disk name any file as its backing file. */
	if (img->probed && offset == 0 && len >= 4 && memcmp(buf, "QFI\xfb", 4) == 0)
		return error_set(err, EPERM,
			"'%s': the format was guessed as raw, and this write to its first sector "
			"would make it a qcow2 image; say format=raw to allow it",
			img->name);
	return in ? image_file_write(&img->file, offset, buf, in, err) : 0;
}

static int raw_discard(struct image *img, uint64_t offset, uint64_t len, struct error *err)
{
	size_t in = raw_inside(img, offset, len);

	if (!in)
		return 0;
	if (image_file_punch(&img->file, offset, in) == 0)
		return 0;
	return image_file_zero(&img->file, offset, in, err);
}

static int raw_flush(struct image *img, struct error *err)
{
	return image_file_sync(&img->file, err);
}

static void raw_info(struct image *img, struct image_info *info)
{
}

const struct image_ops image_raw_ops = {
	.format = "raw",
	.open = raw_open,
	.close = raw_close,
	.read = raw_read,
	.write = raw_write,
	.discard = raw_discard,
	.flush = raw_flush,
	.info = raw_info,
};
