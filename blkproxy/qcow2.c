/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 images: opening and closing, damage, and what image.c asks of a format. The other files are
 * listed in qcow2.h.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 4 MiB of L2 tables map 32 GiB with the usual clusters; 1 MiB of counts the same. Touched only as
 * used. */
#define L2_SLOTS  1024
#define REF_SLOTS 256

/* ---- damage ---- */

int qcow2_damaged(struct qcow2 *q, struct error *err, const char *fmt, ...)
{
	char what[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!q->readonly && !q->checking && !q->broken) {
		q->broken = true;
		if (q->version == 3 && qcow2_header_put64(q, QCOW2_AT_INCOMPAT,
					       q->incompat | QCOW2_INCOMPAT_CORRUPT, NULL) == 0)
			q->incompat |= QCOW2_INCOMPAT_CORRUPT;
	}
	return error_set(err, EIO, "'%s' is damaged: %s", q->img->name, what);
}

int qcow2_give_up(struct qcow2 *q, int r)
{
	q->broken = true;
	return r;
}

int qcow2_sound(struct qcow2 *q, struct error *err)
{
	if (q->broken)
		return error_set(err, EIO,
			"'%s' is damaged, or an earlier write of its tables failed: no more "
			"writing",
			q->img->name);
	return 0;
}

/* ---- opening ---- */

static int read_reft(struct qcow2 *q, struct error *err)
{
	uint64_t len = (uint64_t)q->reft_clusters << q->cluster_bits;
	int r = qcow2_table_ok(
		q, "the reference count table", q->reft_offset, len, QCOW2_REFT_MAX, err);

	if (r < 0)
		return r;
	if (!len)
		return error_set(err, EINVAL, "'%s': refcount_table_clusters is 0", q->img->name);
	q->reft_size = (uint32_t)(len / 8);
	r = qcow2_read_entries(q, q->reft_offset, q->reft_size, &q->reft, err);
	for (uint32_t i = 0; i < q->reft_size && r == 0; i++) {
		if (q->reft[i] & (QCOW2_REFT_RESERVED | (q->cluster_len - 1)))
			r = error_set(err, EINVAL,
				"'%s': entry %u of the reference count table is %#llx, no multiple "
				"of the cluster size",
				q->img->name, i, (unsigned long long)q->reft[i]);
		else if (q->reft[i] >= q->file_end)
			r = error_set(err, EINVAL,
				"'%s': entry %u of the reference count table is %#llx, beyond the "
				"end of the file",
				q->img->name, i, (unsigned long long)q->reft[i]);
	}
	return r;
}

static int read_tables(struct qcow2 *q, struct error *err)
{
	uint32_t slice = q->cluster_len < QCOW2_SLICE_MAX ? q->cluster_len : QCOW2_SLICE_MAX;
	int r = qcow2_table_ok(
		q, "the L1 table", q->l1_offset, (uint64_t)q->l1_size * 8, QCOW2_L1_MAX, err);

	if (r == 0)
		r = qcow2_read_entries(q, q->l1_offset, q->l1_size, &q->l1, err);
	if (r == 0)
		r = read_reft(q, err);
	if (r == 0)
		r = qcow2_snaps_read(q, err);
	if (r == 0)
		r = qcow2_zip_init(q, err);
	if (r < 0)
		return r;
	q->bounce = malloc(q->cluster_len);
	if (!q->bounce || qcow2_cache_init(&q->l2_cache, L2_SLOTS, slice) < 0 ||
		qcow2_cache_init(&q->ref_cache, REF_SLOTS, slice) < 0)
		return error_set(err, ENOMEM, "out of memory for tables");
	return 0;
}

/* A writer was interrupted: its counts are not to be believed. */
static int repair(struct qcow2 *q, struct error *err)
{
	struct image_check found = { 0 };
	int r = qcow2_check(q, true, &found, err);

	if (r == 0)
		r = qcow2_clear_dirty(q, err);
	if (r < 0)
		error_prefix(err, "repairing an image that was not closed");
	return r;
}

static int prepare_to_write(struct qcow2 *q, struct error *err)
{
	int r;

	if (q->incompat & QCOW2_INCOMPAT_CORRUPT)
		return error_set(err, EROFS,
			"'%s' is marked as corrupt: it can be read only, until it is repaired",
			q->img->name);
	/* Nothing that we write may land on a table, and tables not on each other. */
	q->checking = true;
	r = qcow2_tables_find(q, err);
	q->checking = false;
	q->dirty = q->incompat & QCOW2_INCOMPAT_DIRTY;
	if (r == 0 && q->dirty)
		r = repair(q, err);
	if (r == 0 && q->autoclear) {
		/* We do not know what they promise, so after us it may not hold. */
		r = qcow2_header_put64(q, QCOW2_AT_AUTOCLEAR, 0, err);
		q->autoclear = 0;
	}
	q->lazy = q->version == 3 && (q->compat & QCOW2_COMPAT_LAZY);
	return r;
}

static int q_open(struct image *img, struct error *err)
{
	struct qcow2 *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return error_set(err, ENOMEM, "out of memory");
	img->state = q;
	q->img = img;
	q->file = &img->file;
	q->readonly = img->readonly;
	q->through = img->tables == IMAGE_TABLES_THROUGH;
	q->broken = true; /* close writes nothing until all is known to be well */
	r = image_file_len(&img->file, &q->file_end, err);
	if (r == 0)
		r = qcow2_header_read(q, err);
	img->len = q->len;
	if (r == 0)
		r = read_tables(q, err);
	if (r == 0 && !q->readonly) {
		q->broken = false;
		r = prepare_to_write(q, err);
		if (r < 0)
			q->broken = true;
	}
	return r;
}

static int q_close(struct image *img, struct error *err)
{
	struct qcow2 *q = img->state;
	int r = 0;

	if (!q->readonly && !q->broken) {
		q->lazy = false;
		r = qcow2_flush(q, err);
		if (r == 0)
			r = qcow2_clear_dirty(q, err);
	}
	free(q->l1);
	free(q->reft);
	qcow2_snaps_free(q->snaps, q->n_snaps);
	qcow2_cache_done(&q->l2_cache);
	qcow2_cache_done(&q->ref_cache);
	qcow2_set_done(&q->tables);
	free(q->frees.list);
	free(q->bounce);
	qcow2_zip_done(q);
	free(q);
	img->state = NULL;
	return r;
}

/* ---- requests ---- */

static int begin_write(struct qcow2 *q, struct error *err)
{
	int r = qcow2_sound(q, err);

	return r == 0 && q->lazy ? qcow2_set_dirty(q, err) : r;
}

static int q_read(struct image *img, uint64_t offset, void *buf, size_t len, struct error *err)
{
	return qcow2_read(img->state, offset, buf, len, err);
}

static int q_write(
	struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	struct qcow2 *q = img->state;
	int r = begin_write(q, err);

	return r < 0 ? r : qcow2_request_end(q, qcow2_write(q, offset, buf, len, err), err);
}

static int q_discard(struct image *img, uint64_t offset, uint64_t len, struct error *err)
{
	struct qcow2 *q = img->state;
	int r = begin_write(q, err);

	return r < 0 ? r : qcow2_request_end(q, qcow2_discard(q, offset, len, err), err);
}

static int q_flush(struct image *img, struct error *err)
{
	return qcow2_flush(img->state, err);
}

static void q_info(struct image *img, struct image_info *info)
{
	const struct qcow2 *q = img->state;

	info->cluster_len = q->cluster_len;
	info->version = q->version;
	info->refcount_bits = 1u << q->refcount_order;
	info->lazy_refcounts = q->compat & QCOW2_COMPAT_LAZY;
	info->dirty = q->incompat & QCOW2_INCOMPAT_DIRTY;
	info->corrupt = q->incompat & QCOW2_INCOMPAT_CORRUPT;
	info->compression = q->zstd ? "zstd" : "zlib";
	info->n_snapshots = q->n_snaps;
}

static int q_show(struct image *img, const char *snapshot, struct error *err)
{
	return qcow2_snapshot_show(img->state, snapshot, err);
}

static int q_check(struct image *img, bool fix, struct image_check *check, struct error *err)
{
	return qcow2_check(img->state, fix, check, err);
}

static int q_snapshot_create(
	struct image *img, const struct image_snapshot *snap, struct error *err)
{
	int r = begin_write(img->state, err);

	return r < 0 ? r : qcow2_snapshot_create(img->state, snap, err);
}

static int q_snapshot_apply(struct image *img, const char *name, struct error *err)
{
	int r = begin_write(img->state, err);

	return r < 0 ? r : qcow2_snapshot_apply(img->state, name, err);
}

static int q_snapshot_delete(struct image *img, const char *name, struct error *err)
{
	int r = begin_write(img->state, err);

	return r < 0 ? r : qcow2_snapshot_delete(img->state, name, err);
}

static size_t q_snapshot_count(struct image *img)
{
	const struct qcow2 *q = img->state;

	return q->n_snaps;
}

static void q_snapshot_get(struct image *img, size_t i, struct image_snapshot *ret)
{
	const struct qcow2 *q = img->state;

	*ret = q->snaps[i].s;
}

static int q_vmstate_write(
	struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	struct qcow2 *q = img->state;
	int r = begin_write(q, err);

	return r < 0 ? r : qcow2_request_end(q, qcow2_vmstate_write(q, offset, buf, len, err), err);
}

static int q_vmstate_read(struct image *img, const char *snapshot, uint64_t offset, void *buf,
	size_t len, struct error *err)
{
	return qcow2_vmstate_read(img->state, snapshot, offset, buf, len, err);
}

const struct image_ops image_qcow2_ops = {
	.format = "qcow2",
	.open = q_open,
	.close = q_close,
	.read = q_read,
	.write = q_write,
	.discard = q_discard,
	.flush = q_flush,
	.info = q_info,
	.show = q_show,
	.check = q_check,
	.snapshot_create = q_snapshot_create,
	.snapshot_apply = q_snapshot_apply,
	.snapshot_delete = q_snapshot_delete,
	.snapshot_count = q_snapshot_count,
	.snapshot_get = q_snapshot_get,
	.vmstate_write = q_vmstate_write,
	.vmstate_read = q_vmstate_read,
};
