/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new qcow2 image: header, reference count table, blocks, L1 table, in this order. The header
 * comes last, so that a file that was cut off is no image.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct layout {
	struct qcow2_how how;
	uint64_t cluster_len, l1_size;
	uint64_t reft_clusters, n_blocks, l1_clusters; /* in the file's order, behind the header */
	unsigned block_bits;
};

static const struct {
	uint8_t kind, bit;
	const char *name;
} features[] = {
	{ 0, 0, "dirty bit" },
	{ 0, 1, "corrupt bit" },
	{ 0, 3, "compression type" },
	{ 1, 0, "lazy refcounts" },
};

#define FEATURE_ROW  48
#define FEATURES_LEN (sizeof(features) / sizeof(features[0]) * FEATURE_ROW)

static void put(uint8_t *p, unsigned n, uint64_t v)
{
	while (n-- > 0) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static int plan(const struct qcow2_how *how, struct layout *l, struct error *err)
{
	uint64_t reach, total;

	*l = (struct layout){ .how = *how };
	if (!l->how.version)
		l->how.version = 3;
	if (!l->how.cluster_bits)
		l->how.cluster_bits = 16;
	if (l->how.refcount_order == -1u)
		l->how.refcount_order = 4;
	if (l->how.version < 2 || l->how.version > 3)
		return error_set(
			err, EINVAL, "a qcow2 image has version 2 or 3, not %u", l->how.version);
	if (l->how.cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
		l->how.cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return error_set(err, EINVAL, "clusters of 1 << %u bytes: expected %d to %d",
			l->how.cluster_bits, QCOW2_CLUSTER_BITS_MIN, QCOW2_CLUSTER_BITS_MAX);
	if (l->how.refcount_order > 6 ||
		(l->how.version == 2 && (l->how.refcount_order != 4 || l->how.lazy_refcounts)))
		return error_set(err, EINVAL,
			"reference counts of 1 << %u bits%s do not go with version %u",
			l->how.refcount_order, l->how.lazy_refcounts ? ", lazy," : "",
			l->how.version);
	if (l->how.backing && (!l->how.backing_format || !l->how.backing[0]))
		return error_set(err, EINVAL, "a backing file needs a name and a format");
	l->cluster_len = UINT64_C(1) << l->how.cluster_bits;
	l->how.len = (how->len + IMAGE_SECTOR - 1) & ~(uint64_t)(IMAGE_SECTOR - 1);
	reach = l->cluster_len * (l->cluster_len / 8);
	l->block_bits = l->how.cluster_bits + 3 - l->how.refcount_order;
	if (how->len >= IMAGE_FILE_MAX || (l->how.len + reach - 1) / reach > QCOW2_L1_MAX / 8)
		return error_set(err, EFBIG,
			"a disk of %llu bytes is too long for clusters of %llu",
			(unsigned long long)how->len, (unsigned long long)l->cluster_len);
	l->l1_size = (l->how.len + reach - 1) / reach;
	/* An L1 table has a place even if it is empty. */
	l->l1_clusters = (l->l1_size * 8 + l->cluster_len - 1) / l->cluster_len;
	if (!l->l1_clusters)
		l->l1_clusters = l->l1_size = 1;
	l->n_blocks = l->reft_clusters = 1;
	for (;;) {
		uint64_t blocks;

		total = 1 + l->reft_clusters + l->n_blocks + l->l1_clusters;
		blocks = (total + (UINT64_C(1) << l->block_bits) - 1) >> l->block_bits;
		if (blocks > l->n_blocks)
			l->n_blocks = blocks;
		else if (l->n_blocks * 8 > l->reft_clusters * l->cluster_len)
			l->reft_clusters++;
		else
			return 0;
	}
}

/* The first cluster; -1: the backing file's name does not fit. */
static int make_header(const struct layout *l, uint8_t *h)
{
	const struct qcow2_how *how = &l->how;
	size_t at = how->version == 2 ? QCOW2_LEN_V2 : QCOW2_LEN_ZIP, n;

	put(h + QCOW2_AT_MAGIC, 4, QCOW2_MAGIC);
	put(h + QCOW2_AT_VERSION, 4, how->version);
	put(h + QCOW2_AT_CLUSTER_BITS, 4, how->cluster_bits);
	put(h + QCOW2_AT_LEN, 8, how->len);
	put(h + QCOW2_AT_L1_SIZE, 4, l->l1_size);
	put(h + QCOW2_AT_L1_OFFSET, 8, (1 + l->reft_clusters + l->n_blocks) * l->cluster_len);
	put(h + QCOW2_AT_REFT_OFFSET, 8, l->cluster_len);
	put(h + QCOW2_AT_REFT_CLUSTERS, 4, l->reft_clusters);
	if (how->version == 3) {
		put(h + QCOW2_AT_COMPAT, 8, how->lazy_refcounts ? QCOW2_COMPAT_LAZY : 0);
		put(h + QCOW2_AT_REFCOUNT_ORDER, 4, how->refcount_order);
		put(h + QCOW2_AT_HEADER_LEN, 4, QCOW2_LEN_ZIP);
	}
	if (how->backing) {
		n = strlen(how->backing_format);
		if (n >= 64)
			return -1;
		put(h + at, 4, QCOW2_EXT_BACKING);
		put(h + at + 4, 4, n);
		memcpy(h + at + 8, how->backing_format, n);
		at += 8 + ((n + 7) & ~(size_t)7);
	}
	n = how->backing ? strlen(how->backing) : 0;
	if (how->version == 3 && at + 8 + FEATURES_LEN + 8 + n <= l->cluster_len) {
		put(h + at, 4, QCOW2_EXT_FEATURES);
		put(h + at + 4, 4, FEATURES_LEN);
		at += 8;
		for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
			h[at] = features[i].kind;
			h[at + 1] = features[i].bit;
			memcpy(h + at + 2, features[i].name, strlen(features[i].name));
			at += FEATURE_ROW;
		}
	}
	at += 8; /* the end of extensions is all zeros */
	if (n > QCOW2_BACKING_MAX || at + n > l->cluster_len)
		return -1;
	if (n) {
		put(h + QCOW2_AT_BACKING_OFFSET, 8, at);
		put(h + QCOW2_AT_BACKING_LEN, 4, n);
		memcpy(h + at, how->backing, n);
	}
	return 0;
}

static int write_counts(
	const struct layout *l, struct image_file *f, uint8_t *buf, struct error *err)
{
	uint64_t total = 1 + l->reft_clusters + l->n_blocks + l->l1_clusters;
	uint64_t per = UINT64_C(1) << l->block_bits;
	int r = 0;

	for (uint64_t b = 0; b < l->n_blocks && r == 0; b++) {
		memset(buf, 0, l->cluster_len);
		for (uint64_t i = 0; i < per && b * per + i < total; i++)
			qcow2_count_put(buf, l->how.refcount_order, i, 1);
		r = image_file_write(
			f, (1 + l->reft_clusters + b) * l->cluster_len, buf, l->cluster_len, err);
	}
	for (uint64_t c = 0; c < l->reft_clusters && r == 0; c++) {
		uint64_t n = l->cluster_len / 8;

		memset(buf, 0, l->cluster_len);
		for (uint64_t i = 0; i < n && c * n + i < l->n_blocks; i++)
			put(buf + i * 8, 8, (1 + l->reft_clusters + c * n + i) * l->cluster_len);
		r = image_file_write(f, (1 + c) * l->cluster_len, buf, l->cluster_len, err);
	}
	return r;
}

int image_create_qcow2(int fd, const struct qcow2_how *how, struct error *err)
{
	struct image_file f = { .fd = fd, .name = "new image" };
	struct layout l;
	uint8_t *buf;
	int r = plan(how, &l, err);

	if (r < 0)
		return r;
	buf = calloc(1, l.cluster_len);
	if (!buf)
		return error_set(err, ENOMEM, "out of memory");
	r = image_file_truncate(&f, 0, err);
	if (r == 0)
		r = image_file_truncate(&f,
			(1 + l.reft_clusters + l.n_blocks + l.l1_clusters) * l.cluster_len, err);
	if (r == 0)
		r = write_counts(&l, &f, buf, err);
	if (r == 0)
		r = image_file_sync(&f, err);
	memset(buf, 0, l.cluster_len);
	if (r == 0 && make_header(&l, buf) < 0)
		r = error_set(err, ENAMETOOLONG,
			"the name or format of the backing file is too long for the first cluster "
			"of %llu bytes",
			(unsigned long long)l.cluster_len);
	if (r == 0)
		r = image_file_write(&f, 0, buf, l.cluster_len, err);
	if (r == 0)
		r = image_file_sync(&f, err);
	free(buf);
	return r;
}
