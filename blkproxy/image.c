/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening images and their chains, and what all formats have in common: bounds, the lock, who may
 * write. The lock of the first image covers its whole chain: a backing file is opened for one
 * overlay only.
 */
#include "image_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

/* "nbd://host" and "json:{}" name no file; a colon behind a slash belongs to a name. */
static bool names_protocol(const char *name)
{
	size_t n = strcspn(name, ":/");

	return name[n] == ':';
}

/* The name of a backing file as seen from where we are. */
static int backing_path(const struct image *img, char *ret, size_t size, struct error *err)
{
	const char *name = img->backing_name;
	const char *slash = strrchr(img->name, '/');
	int n;

	if (strncmp(name, "file:", 5) == 0)
		name += 5;
	else if (names_protocol(name))
		return error_set(err, ENOTSUP, "'%s': its backing file '%s' is not a local file",
			img->name, name);
	if (name[0] == '/' || !slash)
		n = snprintf(ret, size, "%s", name);
	else
		n = snprintf(ret, size, "%.*s/%s", (int)(slash - img->name), img->name, name);
	if (n < 0 || (size_t)n >= size)
		return error_set(err, ENAMETOOLONG,
			"'%s': the name of its backing file is longer than %zu bytes", img->name,
			size - 1);
	return 0;
}

/* ---- opening ---- */

static const struct image_ops *const formats[] = { &image_raw_ops, &image_qcow2_ops };

static int find_format(struct image *img, const char *format, struct error *err)
{
	uint8_t head[4];
	int r;

	if (format && strcmp(format, "file") != 0 && strcmp(format, "host_device") != 0) {
		for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
			if (strcmp(formats[i]->format, format) == 0)
				img->ops = formats[i];
		if (!img->ops)
			return error_set(err, EINVAL,
				"'%s': format '%s' is not known, expected raw or qcow2", img->name,
				format);
		return 0;
	}
	img->ops = &image_raw_ops;
	if (format)
		return 0;
	img->probed = true;
	r = image_file_read(&img->file, 0, head, sizeof(head), err);
	/* Of any version: one that is not known is better refused than taken for a raw disk. */
	if (r == 0 && memcmp(head, "QFI\xfb", 4) == 0)
		img->ops = &image_qcow2_ops;
	return r;
}

static int file_open(struct image *img, const struct image_how *how, const struct image *first,
	struct error *err)
{
	struct stat st;
	int fd;

	fd = how->opener(
		how->opaque, img->name, img->readonly ? IMAGE_OPEN_RDONLY : IMAGE_OPEN_RDWR);
	if (fd < 0)
		return error_set(err, -fd, "'%s': opening: %s", img->name, strerror(-fd));
	img->file.fd = fd;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "'%s': %s", img->name, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(
			err, EINVAL, "'%s' is neither a file nor a block device", img->name);
	img->file.dev = st.st_dev;
	img->file.ino = st.st_ino;
	/* Before the lock, which one image of the chain would hold against the other. */
	for (; first; first = first->backing)
		if (first->file.dev == st.st_dev && first->file.ino == st.st_ino)
			return error_set(err, ELOOP,
				"the chain of backing files comes back to '%s'", first->name);
	return how->no_lock ? 0 : image_file_lock(&img->file, !img->readonly, err);
}

/* One image, without its backing file. first: the chain above it, or NULL. */
static int open_one(const struct image_how *how, const char *name, const char *format,
	unsigned depth, const struct image *first, struct image **ret_img, struct error *err)
{
	struct image *img;
	int r;

	if (strlen(name) >= IMAGE_NAME_MAX)
		return error_set(err, ENAMETOOLONG, "the name of an image is longer than %d bytes",
			IMAGE_NAME_MAX - 1);
	img = calloc(1, sizeof(*img));
	if (!img)
		return error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&img->lock, NULL);
	strcpy(img->name, name);
	img->readonly = how->readonly || depth > 0;
	img->tables = how->tables;
	img->file = (struct image_file){ .fd = -1,
		.depth = depth,
		.no_sync = how->no_sync,
		.hook = how->hook,
		.hook_opaque = how->hook_opaque,
		.name = img->name };
	r = file_open(img, how, first, err);
	if (r == 0)
		r = find_format(img, format, err);
	if (r == 0)
		r = img->ops->open(img, err);
	if (r < 0) {
		image_close(img, NULL);
		return r;
	}
	*ret_img = img;
	return 0;
}

static int open_chain(struct image *first, const struct image_how *how, struct error *err)
{
	char path[IMAGE_NAME_MAX];
	unsigned depth = 0;
	int r;

	for (struct image *img = first; img->backing_name[0]; img = img->backing) {
		if (++depth == IMAGE_CHAIN_MAX)
			return error_set(err, ELOOP,
				"'%s': its chain of backing files is longer than %d", first->name,
				IMAGE_CHAIN_MAX);
		r = backing_path(img, path, sizeof(path), err);
		if (r < 0)
			return r;
		r = open_one(how, path, img->backing_format[0] ? img->backing_format : NULL, depth,
			first, &img->backing, err);
		if (r < 0) {
			error_prefix(err, "the backing file of '%s'", img->name);
			return r;
		}
	}
	return 0;
}

static int has_none(struct image *img, const char *what, struct error *err)
{
	return error_set(
		err, ENOTSUP, "'%s': the format %s has no %s", img->name, img->ops->format, what);
}

static int show_snapshot(struct image *img, const char *snapshot, struct error *err)
{
	if (!img->readonly)
		return error_set(err, EINVAL,
			"'%s': snapshot '%s' can be looked at, but not written to", img->name,
			snapshot ? snapshot : "");
	return img->ops->show ? img->ops->show(img, snapshot, err)
			      : has_none(img, "snapshots", err);
}

int image_open(const struct image_how *how, struct image **ret_img, struct error *err)
{
	struct image *img;
	int r = open_one(how, how->name, how->format, 0, NULL, &img, err);

	if (r < 0)
		return r;
	if (how->snapshot)
		r = show_snapshot(img, how->snapshot, err);
	if (r == 0 && !how->no_backing && !how->backing)
		r = open_chain(img, how, err);
	if (r < 0) {
		image_close(img, NULL);
		return r;
	}
	if (how->backing)
		img->backing = how->backing;
	*ret_img = img;
	return 0;
}

void image_lay_over(struct image *img, struct image *below)
{
	img->backing = below;
}

int image_close(struct image *img, struct error *err)
{
	int ret = 0;

	while (img) {
		struct image *below = img->backing;
		int r = img->ops && img->state ? img->ops->close(img, ret ? NULL : err) : 0;

		if (ret == 0)
			ret = r;
		if (img->file.fd >= 0)
			close(img->file.fd);
		pthread_mutex_destroy(&img->lock);
		free(img);
		img = below;
	}
	return ret;
}

/* ---- asking ---- */

static const struct image *at_depth(const struct image *img, unsigned depth)
{
	while (img && depth-- > 0)
		img = img->backing;
	return img;
}

uint64_t image_len(const struct image *img)
{
	return img->len;
}

bool image_readonly(const struct image *img)
{
	return img->readonly;
}

int image_fd(const struct image *img, unsigned depth)
{
	img = at_depth(img, depth);
	return img ? img->file.fd : -1;
}

const char *image_name(const struct image *img, unsigned depth)
{
	img = at_depth(img, depth);
	return img ? img->name : NULL;
}

void image_get_info(struct image *img, struct image_info *ret_info)
{
	struct image_info info = { .format = img->ops->format, .readonly = img->readonly };

	pthread_mutex_lock(&img->lock);
	info.len = img->len;
	if (image_file_len(&img->file, &info.file_len, NULL) < 0)
		info.file_len = 0;
	memcpy(info.backing, img->backing_name, sizeof(info.backing));
	memcpy(info.backing_format, img->backing_format, sizeof(info.backing_format));
	for (const struct image *i = img; i; i = i->backing)
		info.depth++;
	img->ops->info(img, &info);
	pthread_mutex_unlock(&img->lock);
	*ret_info = info;
}

/* ---- reading and writing ---- */

uint64_t image_backing_reach(const struct image *img, uint64_t offset)
{
	uint64_t end;

	if (!img->backing)
		return 0;
	end = img->backing->len < img->len ? img->backing->len : img->len;
	return offset < end ? end - offset : 0;
}

int image_read_backing(struct image *img, uint64_t offset, void *buf, size_t len, struct error *err)
{
	uint64_t reach = image_backing_reach(img, offset);
	size_t n = reach < len ? (size_t)reach : len;

	memset((uint8_t *)buf + n, 0, len - n);
	return n ? img->backing->ops->read(img->backing, offset, buf, n, err) : 0;
}

static int check_range(struct image *img, uint64_t offset, uint64_t len, struct error *err)
{
	if (offset > img->len || len > img->len - offset)
		return error_set(err, EINVAL, "'%s': %llu bytes at %llu reach beyond its %llu",
			img->name, (unsigned long long)len, (unsigned long long)offset,
			(unsigned long long)img->len);
	return 0;
}

static int check_writable(struct image *img, struct error *err)
{
	if (img->readonly)
		return error_set(err, EROFS, "'%s' is open for reading only", img->name);
	return 0;
}

int image_read(struct image *img, uint64_t offset, void *buf, size_t len, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = check_range(img, offset, len, err);
	if (r == 0 && len > 0)
		r = img->ops->read(img, offset, buf, len, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_write(struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = check_writable(img, err);
	if (r == 0)
		r = check_range(img, offset, len, err);
	if (r == 0 && len > 0)
		r = img->ops->write(img, offset, buf, len, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_discard(struct image *img, uint64_t offset, uint64_t len, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = check_writable(img, err);
	if (r == 0)
		r = check_range(img, offset, len, err);
	if (r == 0 && len > 0)
		r = img->ops->discard(img, offset, len, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_flush(struct image *img, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = img->readonly ? 0 : img->ops->flush(img, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

/* ---- what only some formats have ---- */

int image_check(struct image *img, bool repair, struct image_check *ret_check, struct error *err)
{
	struct image_check check = { 0 };
	int r = 0;

	pthread_mutex_lock(&img->lock);
	if (!img->ops->check)
		r = has_none(img, "reference counts to check", err);
	if (r == 0 && repair)
		r = check_writable(img, err);
	if (r == 0)
		r = img->ops->check(img, repair, &check, err);
	pthread_mutex_unlock(&img->lock);
	if (r == 0)
		*ret_check = check;
	return r;
}

int image_snapshot_create(struct image *img, const struct image_snapshot *snap, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = img->ops->snapshot_create ? check_writable(img, err) : has_none(img, "snapshots", err);
	if (r == 0)
		r = img->ops->snapshot_create(img, snap, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_snapshot_apply(struct image *img, const char *name, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = img->ops->snapshot_apply ? check_writable(img, err) : has_none(img, "snapshots", err);
	if (r == 0)
		r = img->ops->snapshot_apply(img, name, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_snapshot_show(struct image *img, const char *name, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = show_snapshot(img, name, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_snapshot_delete(struct image *img, const char *name, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = img->ops->snapshot_delete ? check_writable(img, err) : has_none(img, "snapshots", err);
	if (r == 0)
		r = img->ops->snapshot_delete(img, name, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_snapshot_list(
	struct image *img, struct image_snapshot **ret_list, size_t *ret_n, struct error *err)
{
	struct image_snapshot *list = NULL;
	size_t n = 0;
	int r = 0;

	pthread_mutex_lock(&img->lock);
	if (!img->ops->snapshot_count)
		r = has_none(img, "snapshots", err);
	else
		n = img->ops->snapshot_count(img);
	if (n) {
		list = calloc(n, sizeof(*list));
		if (!list)
			r = error_set(err, ENOMEM, "out of memory for %zu snapshots", n);
	}
	for (size_t i = 0; list && i < n; i++)
		img->ops->snapshot_get(img, i, &list[i]);
	pthread_mutex_unlock(&img->lock);
	if (r == 0) {
		*ret_list = list;
		*ret_n = n;
	}
	return r;
}

int image_snapshot_find(
	struct image *img, const char *name, struct image_snapshot *ret_snap, struct error *err)
{
	struct image_snapshot *list, *found = NULL;
	size_t n;
	int r = image_snapshot_list(img, &list, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && !found; i++)
		if (strcmp(list[i].id, name) == 0)
			found = &list[i];
	for (size_t i = 0; i < n && !found; i++)
		if (strcmp(list[i].name, name) == 0)
			found = &list[i];
	if (!found)
		r = error_set(err, ENOENT, "'%s' has no snapshot '%s'", img->name, name);
	else if (ret_snap)
		*ret_snap = *found;
	free(list);
	return r;
}

int image_vmstate_write(
	struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	int r;

	pthread_mutex_lock(&img->lock);
	r = img->ops->vmstate_write ? check_writable(img, err) : has_none(img, "VM state", err);
	if (r == 0 && len > 0)
		r = img->ops->vmstate_write(img, offset, buf, len, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}

int image_vmstate_read(struct image *img, const char *snapshot, uint64_t offset, void *buf,
	size_t len, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&img->lock);
	if (!img->ops->vmstate_read)
		r = has_none(img, "VM state", err);
	else if (len > 0)
		r = img->ops->vmstate_read(img, snapshot, offset, buf, len, err);
	pthread_mutex_unlock(&img->lock);
	return r;
}
