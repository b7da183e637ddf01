/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressed clusters: raw deflate (RFC 1951, a window of 4 KiB) or zstd. They are only read; what
 * is written to one goes to a new cluster. The last one that was unpacked is kept, because a guest
 * reads a cluster in several pieces.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define DEFLATE_WINDOW_BITS (-12) /* negative: without zlib's header */

struct zip {
	z_stream z;
	bool z_ready;
#ifdef HAVE_ZSTD
	ZSTD_DCtx *zstd;
#endif
};

int qcow2_zip_init(struct qcow2 *q, struct error *err)
{
#ifndef HAVE_ZSTD
	if (q->zstd)
		return error_set(err, ENOTSUP,
			"'%s' is compressed with zstd, which this build does not know",
			q->img->name);
#endif
	return 0;
}

void qcow2_zip_done(struct qcow2 *q)
{
	struct zip *zip = q->zip;

	if (zip && zip->z_ready)
		inflateEnd(&zip->z);
#ifdef HAVE_ZSTD
	if (zip)
		ZSTD_freeDCtx(zip->zstd);
#endif
	free(zip);
	free(q->packed);
	free(q->unpacked);
	q->zip = NULL;
	q->packed = q->unpacked = NULL;
}

/* At the first compressed cluster; most images have none. */
static int prepare(struct qcow2 *q, struct error *err)
{
	if (!q->zip)
		q->zip = calloc(1, sizeof(struct zip));
	if (!q->packed)
		q->packed = malloc((size_t)q->cluster_len * 2);
	if (!q->unpacked)
		q->unpacked = malloc(q->cluster_len);
	if (!q->zip || !q->packed || !q->unpacked)
		return error_set(err, ENOMEM, "out of memory for a compressed cluster");
	return 0;
}

void qcow2_zip_where(const struct qcow2 *q, uint64_t entry, uint64_t *ret_offset, uint64_t *ret_len)
{
	unsigned offset_bits = 62 - (q->cluster_bits - 8);
	uint64_t n = (entry & (QCOW2_PACKED - 1)) >> offset_bits;

	*ret_offset = entry & ((UINT64_C(1) << offset_bits) - 1);
	*ret_len = (n + 1) * 512 - (*ret_offset & 511);
}

static int inflate_cluster(struct qcow2 *q, size_t len)
{
	struct zip *zip = q->zip;
	int r = zip->z_ready ? inflateReset(&zip->z) : inflateInit2(&zip->z, DEFLATE_WINDOW_BITS);

	if (r != Z_OK)
		return -ENOMEM;
	zip->z_ready = true;
	zip->z.next_in = q->packed;
	zip->z.avail_in = (uInt)len;
	zip->z.next_out = q->unpacked;
	zip->z.avail_out = q->cluster_len;
	r = inflate(&zip->z, Z_FINISH);
	/* Behind the end there may be rests of other data; a missing end does no harm. */
	return (r == Z_STREAM_END || r == Z_BUF_ERROR) && zip->z.avail_out == 0 ? 0 : -EIO;
}

static int zstd_cluster(struct qcow2 *q, size_t len)
{
#ifdef HAVE_ZSTD
	struct zip *zip = q->zip;
	ZSTD_inBuffer in = { q->packed, len, 0 };
	ZSTD_outBuffer out = { q->unpacked, q->cluster_len, 0 };

	if (!zip->zstd)
		zip->zstd = ZSTD_createDCtx();
	if (!zip->zstd)
		return -ENOMEM;
	ZSTD_DCtx_reset(zip->zstd, ZSTD_reset_session_only);
	while (out.pos < out.size) {
		size_t in_was = in.pos, out_was = out.pos;
		size_t r = ZSTD_decompressStream(zip->zstd, &out, &in);

		if (ZSTD_isError(r) || (in.pos == in_was && out.pos == out_was))
			return -EIO;
	}
	return 0;
#else
	return -ENOTSUP;
#endif
}

int qcow2_unpack(
	struct qcow2 *q, uint64_t entry, uint64_t at, const uint8_t **ret, struct error *err)
{
	uint64_t offset, len;
	int r = prepare(q, err);

	if (r < 0)
		return r;
	qcow2_zip_where(q, entry, &offset, &len);
	if (q->unpacked_entry != entry) {
		q->unpacked_entry = 0;
		r = image_file_read(q->file, offset, q->packed, (size_t)len, err);
		if (r < 0)
			return r;
		r = q->zstd ? zstd_cluster(q, (size_t)len) : inflate_cluster(q, (size_t)len);
		if (r < 0)
			return error_set(err, -r,
				"'%s': the compressed cluster at %#llx (disk %#llx) does not "
				"unpack to %u bytes",
				q->img->name, (unsigned long long)offset, (unsigned long long)at,
				q->cluster_len);
		q->unpacked_entry = entry;
	}
	*ret = q->unpacked;
	return 0;
}
