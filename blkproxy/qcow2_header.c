/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header of a qcow2 image. It is read whole and checked once; afterwards single fields are
 * changed in place, so that extensions that we do not know stay as they are.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

/* ---- tables ---- */

int qcow2_table_ok(struct qcow2 *q, const char *what, uint64_t offset, uint64_t len, uint64_t max,
	struct error *err)
{
	if (len > max)
		return error_set(err, EFBIG, "'%s': %s has %llu bytes, at most %llu are supported",
			q->img->name, what, (unsigned long long)len, (unsigned long long)max);
	if (offset & (q->cluster_len - 1))
		return error_set(err, EINVAL,
			"'%s': %s begins at %#llx, which is no multiple of the cluster size %#x",
			q->img->name, what, (unsigned long long)offset, q->cluster_len);
	if (len && offset < q->cluster_len)
		return error_set(err, EINVAL, "'%s': %s begins at %#llx, in the header",
			q->img->name, what, (unsigned long long)offset);
	if (len && (offset >= q->file_end || len > q->file_end - offset))
		return error_set(err, EINVAL,
			"'%s': %s (%llu bytes at %#llx) reaches beyond the end of the file at "
			"%#llx",
			q->img->name, what, (unsigned long long)len, (unsigned long long)offset,
			(unsigned long long)q->file_end);
	return 0;
}

int qcow2_read_entries(
	struct qcow2 *q, uint64_t offset, uint32_t n, uint64_t **ret, struct error *err)
{
	uint64_t *e;
	int r;

	*ret = NULL;
	if (!n)
		return 0;
	e = malloc((size_t)n * sizeof(*e));
	if (!e)
		return error_set(err, ENOMEM, "out of memory for a table of %u entries", n);
	r = image_file_read(q->file, offset, e, (size_t)n * sizeof(*e), err);
	if (r < 0) {
		free(e);
		return r;
	}
	for (uint32_t i = 0; i < n; i++)
		e[i] = be64toh(e[i]);
	*ret = e;
	return 0;
}

int qcow2_write_entries(
	struct qcow2 *q, uint64_t offset, const uint64_t *entries, uint32_t n, struct error *err)
{
	uint64_t be[512];
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0;) {
		uint32_t k = n - i < 512 ? n - i : 512;

		for (uint32_t j = 0; j < k; j++)
			be[j] = htobe64(entries[i + j]);
		r = image_file_write(q->file, offset + (uint64_t)i * 8, be, k * sizeof(be[0]), err);
		i += k;
	}
	return r;
}

/* ---- features ---- */

#define FEATURE_ROW 48 /* kind, bit, name */

/* The name that the image gives a feature, or "bit N". */
static void feature_name(
	const uint8_t *ext, uint32_t ext_len, unsigned kind, unsigned bit, char *ret, size_t size)
{
	for (uint32_t at = 0; ext && at + FEATURE_ROW <= ext_len; at += FEATURE_ROW)
		if (ext[at] == kind && ext[at + 1] == bit && ext[at + 2]) {
			char name[FEATURE_ROW - 1] = "";

			memcpy(name, ext + at + 2, FEATURE_ROW - 2);
			for (char *c = name; *c; c++)
				if (*c < 32 || *c > 126)
					*c = '?';
			snprintf(ret, size, "'%s' (bit %u)", name, bit);
			return;
		}
	snprintf(ret, size, "bit %u", bit);
}

static const struct {
	uint64_t bit;
	const char *words;
} refused_features[] = {
	{ QCOW2_INCOMPAT_DATA, "its data lie in an external file" },
	{ QCOW2_INCOMPAT_EXTL2, "it has extended L2 entries (subclusters)" },
};

static int check_features(
	struct qcow2 *q, const uint8_t *names, uint32_t names_len, struct error *err)
{
	uint64_t unknown =
		q->incompat & ~(QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_ZIP |
				      QCOW2_INCOMPAT_DATA | QCOW2_INCOMPAT_EXTL2);
	char text[400] = "", one[80];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(refused_features) / sizeof(refused_features[0]); i++)
		if (q->incompat & refused_features[i].bit)
			return error_set(err, ENOTSUP, "'%s' cannot be used: %s", q->img->name,
				refused_features[i].words);
	if (!unknown)
		return 0;
	for (unsigned bit = 0; bit < 64 && n < sizeof(text) - 1; bit++) {
		if (!(unknown >> bit & 1))
			continue;
		feature_name(names, names_len, 0, bit, one, sizeof(one));
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "", one);
	}
	return error_set(err, ENOTSUP, "'%s' has incompatible features that are not known: %s",
		q->img->name, text);
}

/* ---- reading ---- */

struct extensions {
	const uint8_t *features;
	uint32_t features_len;
};

/* All of the first cluster is in head. */
static int read_extensions(
	struct qcow2 *q, const uint8_t *head, uint64_t end, struct extensions *x, struct error *err)
{
	uint64_t at = q->header_len;

	*x = (struct extensions){ 0 };
	while (at + 8 <= end) {
		uint32_t type = get32(head + at), len = get32(head + at + 4);

		at += 8;
		if (type == QCOW2_EXT_END)
			break;
		if (len > end - at)
			return error_set(err, EINVAL,
				"'%s': header extension %#x at %#llx has %u bytes, which reach "
				"beyond the first cluster or the backing file's name",
				q->img->name, type, (unsigned long long)at - 8, len);
		if (type == QCOW2_EXT_BACKING) {
			if (len >= IMAGE_NAME_MAX || memchr(head + at, 0, len))
				return error_set(err, EINVAL,
					"'%s': the backing file's format in the header is no name",
					q->img->name);
			memcpy(q->img->backing_format, head + at, len);
			q->img->backing_format[len] = '\0';
		} else if (type == QCOW2_EXT_FEATURES) {
			x->features = head + at;
			x->features_len = len;
		}
		at += (len + 7) & ~UINT64_C(7);
	}
	return 0;
}

static int read_backing(struct qcow2 *q, const uint8_t *head, struct error *err)
{
	uint64_t offset = get64(head + QCOW2_AT_BACKING_OFFSET);
	uint32_t len = get32(head + QCOW2_AT_BACKING_LEN);

	if (!offset)
		return 0;
	if (len > QCOW2_BACKING_MAX || offset > q->cluster_len || len > q->cluster_len - offset ||
		offset < q->header_len)
		return error_set(err, EINVAL,
			"'%s': the backing file's name (%u bytes at %#llx) does not lie in the "
			"first cluster behind the header, or is longer than %d",
			q->img->name, len, (unsigned long long)offset, QCOW2_BACKING_MAX);
	if (memchr(head + offset, 0, len))
		return error_set(err, EINVAL, "'%s': the backing file's name has a zero byte in it",
			q->img->name);
	memcpy(q->img->backing_name, head + offset, len);
	q->img->backing_name[len] = '\0';
	return 0;
}

static int read_v3(struct qcow2 *q, const uint8_t *head, struct error *err)
{
	uint8_t zip = 0;

	q->refcount_order = 4;
	q->header_len = QCOW2_LEN_V2;
	if (q->version == 2)
		return 0;
	q->incompat = get64(head + QCOW2_AT_INCOMPAT);
	q->compat = get64(head + QCOW2_AT_COMPAT);
	q->autoclear = get64(head + QCOW2_AT_AUTOCLEAR);
	q->refcount_order = get32(head + QCOW2_AT_REFCOUNT_ORDER);
	q->header_len = get32(head + QCOW2_AT_HEADER_LEN);
	if (q->header_len < QCOW2_LEN_V3 || q->header_len > q->cluster_len || q->header_len % 8)
		return error_set(err, EINVAL,
			"'%s': header_length is %u, expected a multiple of 8 from %d to the "
			"cluster size %u",
			q->img->name, q->header_len, QCOW2_LEN_V3, q->cluster_len);
	if (q->refcount_order > 6)
		return error_set(err, EINVAL, "'%s': refcount_order is %u, expected 0 to 6",
			q->img->name, q->refcount_order);
	if (q->header_len > QCOW2_AT_ZIP)
		zip = head[QCOW2_AT_ZIP];
	if (zip > 1 || (zip != 0) != !!(q->incompat & QCOW2_INCOMPAT_ZIP))
		return error_set(err, ENOTSUP,
			"'%s': compression type %u does not go with its feature bit %d (0: zlib "
			"without, 1: zstd with)",
			q->img->name, zip, !!(q->incompat & QCOW2_INCOMPAT_ZIP));
	q->zstd = zip == 1;
	return 0;
}

static int read_sizes(struct qcow2 *q, const uint8_t *head, struct error *err)
{
	uint64_t l1_need;

	q->l2_bits = q->cluster_bits - 3;
	q->block_bits = q->cluster_bits + 3 - q->refcount_order;
	q->len = get64(head + QCOW2_AT_LEN);
	q->l1_size = get32(head + QCOW2_AT_L1_SIZE);
	q->l1_offset = get64(head + QCOW2_AT_L1_OFFSET);
	q->reft_offset = get64(head + QCOW2_AT_REFT_OFFSET);
	q->reft_clusters = get32(head + QCOW2_AT_REFT_CLUSTERS);
	q->n_snaps = get32(head + QCOW2_AT_N_SNAPSHOTS);
	q->snap_offset = get64(head + QCOW2_AT_SNAPSHOTS_OFFSET);
	if (get32(head + QCOW2_AT_CRYPT))
		return error_set(err, ENOTSUP, "'%s' is encrypted (crypt_method %u)", q->img->name,
			get32(head + QCOW2_AT_CRYPT));
	if (q->len >= IMAGE_FILE_MAX)
		return error_set(err, EFBIG, "'%s': a disk of %llu bytes is too long", q->img->name,
			(unsigned long long)q->len);
	/* A part of a sector is a whole one to a guest. */
	q->len = (q->len + IMAGE_SECTOR - 1) & ~(uint64_t)(IMAGE_SECTOR - 1);
	l1_need = (q->len + qcow2_l2_reach(q) - 1) >> (q->l2_bits + q->cluster_bits);
	if (l1_need > QCOW2_L1_MAX / 8)
		return error_set(err, EFBIG,
			"'%s': a disk of %llu bytes needs too long an L1 table", q->img->name,
			(unsigned long long)q->len);
	if (q->l1_size < l1_need)
		return error_set(err, EINVAL,
			"'%s': l1_size is %u, but a disk of %llu bytes needs %llu", q->img->name,
			q->l1_size, (unsigned long long)q->len, (unsigned long long)l1_need);
	q->l1_disk = (uint32_t)l1_need;
	if (q->n_snaps > QCOW2_SNAPSHOTS_MAX)
		return error_set(err, EFBIG, "'%s': nb_snapshots is %u, at most %d are supported",
			q->img->name, q->n_snaps, QCOW2_SNAPSHOTS_MAX);
	return 0;
}

static int read_all(struct qcow2 *q, uint8_t *head, struct error *err)
{
	struct extensions x;
	uint64_t end;
	int r;

	/* The rest of the first cluster, up to 2 MiB. */
	r = image_file_read(q->file, 0, head, q->cluster_len, err);
	if (r == 0)
		r = read_v3(q, head, err);
	if (r == 0)
		r = read_sizes(q, head, err);
	if (r == 0)
		r = read_backing(q, head, err);
	if (r < 0)
		return r;
	end = q->img->backing_name[0] ? get64(head + QCOW2_AT_BACKING_OFFSET) : q->cluster_len;
	r = read_extensions(q, head, end, &x, err);
	return r < 0 ? r : check_features(q, x.features, x.features_len, err);
}

int qcow2_header_read(struct qcow2 *q, struct error *err)
{
	uint8_t first[QCOW2_LEN_V2], *head;
	int r = image_file_read(q->file, 0, first, sizeof(first), err);

	if (r < 0)
		return r;
	q->version = get32(first + QCOW2_AT_VERSION);
	q->cluster_bits = get32(first + QCOW2_AT_CLUSTER_BITS);
	if (get32(first) != QCOW2_MAGIC)
		return error_set(err, EINVAL, "'%s' is no qcow2 image: it begins with %#x, not %#x",
			q->img->name, get32(first), QCOW2_MAGIC);
	if (q->version != 2 && q->version != 3)
		return error_set(err, ENOTSUP, "'%s': version is %u, expected 2 or 3", q->img->name,
			q->version);
	if (q->cluster_bits < QCOW2_CLUSTER_BITS_MIN || q->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return error_set(err, EINVAL, "'%s': cluster_bits is %u, expected %d to %d",
			q->img->name, q->cluster_bits, QCOW2_CLUSTER_BITS_MIN,
			QCOW2_CLUSTER_BITS_MAX);
	q->cluster_len = 1u << q->cluster_bits;
	head = malloc(q->cluster_len);
	if (!head)
		return error_set(err, ENOMEM, "out of memory");
	r = read_all(q, head, err);
	free(head);
	return r;
}

/* ---- changing ---- */

int qcow2_header_put32(struct qcow2 *q, enum qcow2_header_at at, uint32_t v, struct error *err)
{
	v = htobe32(v);
	return image_file_write(q->file, at, &v, sizeof(v), err);
}

int qcow2_header_put64(struct qcow2 *q, enum qcow2_header_at at, uint64_t v, struct error *err)
{
	v = htobe64(v);
	return image_file_write(q->file, at, &v, sizeof(v), err);
}

int qcow2_header_put_pair(struct qcow2 *q, enum qcow2_header_at at, uint64_t a, unsigned a_len,
	uint64_t b, struct error *err)
{
	uint8_t buf[12];
	uint64_t wide = htobe64(a_len == 8 ? a : b);
	uint32_t narrow = htobe32((uint32_t)(a_len == 8 ? b : a));

	memcpy(buf + (a_len == 8 ? 0 : 4), &wide, 8);
	memcpy(buf + (a_len == 8 ? 8 : 0), &narrow, 4);
	return image_file_write(q->file, at, buf, sizeof(buf), err);
}

int qcow2_set_dirty(struct qcow2 *q, struct error *err)
{
	int r;

	if (q->version == 2 || q->dirty)
		return 0;
	r = qcow2_header_put64(q, QCOW2_AT_INCOMPAT, q->incompat | QCOW2_INCOMPAT_DIRTY, err);
	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r == 0) {
		q->incompat |= QCOW2_INCOMPAT_DIRTY;
		q->dirty = true;
	}
	return r;
}

int qcow2_clear_dirty(struct qcow2 *q, struct error *err)
{
	int r;

	if (!q->dirty)
		return 0;
	/* All that it stands for comes first. */
	r = image_file_sync(q->file, err);
	if (r == 0)
		r = qcow2_header_put64(
			q, QCOW2_AT_INCOMPAT, q->incompat & ~QCOW2_INCOMPAT_DIRTY, err);
	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r == 0) {
		q->incompat &= ~QCOW2_INCOMPAT_DIRTY;
		q->dirty = false;
	}
	return r;
}
