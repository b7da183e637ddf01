/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 inside: what the files qcow2_*.c share. The format is that of QEMU's docs/interop/qcow2.txt
 * (versions 2 and 3); docs/images.md says how we order writes.
 *
 *	qcow2.c		opening, and what image.c asks of a format
 *	qcow2_header.c	the header: reading, refusing, changing fields in place
 *	qcow2_create.c	a new image
 *	qcow2_cache.c	slices of L2 tables and reference count blocks in memory
 *	qcow2_set.c	which clusters hold tables: never to be overwritten by data
 *	qcow2_refs.c	reference counts
 *	qcow2_alloc.c	finding free clusters, growing the reference count table
 *	qcow2_map.c	L1 and L2: from a disk's offset to a file's
 *	qcow2_io.c	reading, writing, discarding, the order in which tables reach the file
 *	qcow2_zip.c	compressed clusters
 *	qcow2_snap.c	the snapshot table;  qcow2_snapop.c  making, applying, deleting
 *	qcow2_check.c	references compared with counts, and repair
 */
#ifndef DEJAVM_QCOW2_H
#define DEJAVM_QCOW2_H

#include <endian.h>

#include "image_priv.h"

#define QCOW2_MAGIC	       0x514649fbu
#define QCOW2_CLUSTER_BITS_MIN 9
#define QCOW2_CLUSTER_BITS_MAX 21
#define QCOW2_L1_MAX	       (32u << 20) /* bytes; 2 EiB of disk with large clusters */
#define QCOW2_REFT_MAX	       (8u << 20)  /* bytes */
#define QCOW2_SNAPSHOTS_MAX    65536
#define QCOW2_SNAP_TABLE_MAX   (64u << 20) /* bytes */
#define QCOW2_SNAP_EXTRA_MAX   1024
#define QCOW2_BACKING_MAX      1023

#define QCOW2_INCOMPAT_DIRTY   (UINT64_C(1) << 0)
#define QCOW2_INCOMPAT_CORRUPT (UINT64_C(1) << 1)
#define QCOW2_INCOMPAT_DATA    (UINT64_C(1) << 2)
#define QCOW2_INCOMPAT_ZIP     (UINT64_C(1) << 3)
#define QCOW2_INCOMPAT_EXTL2   (UINT64_C(1) << 4)
#define QCOW2_COMPAT_LAZY      (UINT64_C(1) << 0)

#define QCOW2_EXT_END	    0u
#define QCOW2_EXT_BACKING   0xe2792acau
#define QCOW2_EXT_FEATURES  0x6803f857u
#define QCOW2_EXT_CRYPT	    0x0537be77u
#define QCOW2_EXT_DATA_FILE 0x44415441u

/* Where the header's fields are; all are big-endian. */
enum qcow2_header_at {
	QCOW2_AT_MAGIC = 0,
	QCOW2_AT_VERSION = 4,
	QCOW2_AT_BACKING_OFFSET = 8,
	QCOW2_AT_BACKING_LEN = 16,
	QCOW2_AT_CLUSTER_BITS = 20,
	QCOW2_AT_LEN = 24,
	QCOW2_AT_CRYPT = 32,
	QCOW2_AT_L1_SIZE = 36,
	QCOW2_AT_L1_OFFSET = 40,
	QCOW2_AT_REFT_OFFSET = 48,
	QCOW2_AT_REFT_CLUSTERS = 56,
	QCOW2_AT_N_SNAPSHOTS = 60,
	QCOW2_AT_SNAPSHOTS_OFFSET = 64,
	QCOW2_LEN_V2 = 72,
	QCOW2_AT_INCOMPAT = 72,
	QCOW2_AT_COMPAT = 80,
	QCOW2_AT_AUTOCLEAR = 88,
	QCOW2_AT_REFCOUNT_ORDER = 96,
	QCOW2_AT_HEADER_LEN = 100,
	QCOW2_LEN_V3 = 104,
	QCOW2_AT_ZIP = 104,
	QCOW2_LEN_ZIP = 112,
};

#define QCOW2_COPIED	    (UINT64_C(1) << 63) /* exactly one reference: may be written in place */
#define QCOW2_PACKED	    (UINT64_C(1) << 62)
#define QCOW2_ZERO	    (UINT64_C(1) << 0)
#define QCOW2_OFFSET_MASK   UINT64_C(0x00fffffffffffe00)
#define QCOW2_L1_RESERVED   UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED   UINT64_C(0x3f000000000001fe)
#define QCOW2_REFT_RESERVED UINT64_C(0x1ff)

/* ---- slices in memory (qcow2_cache.c) ---- */

#define QCOW2_SLICE_MAX 4096
#define QCOW2_WAYS	8

struct qcow2_slot {
	uint64_t offset; /* in the file; 0: empty, because no table is there */
	uint64_t stamp;
	bool dirty;
};

struct qcow2_cache {
	uint8_t *data;
	struct qcow2_slot *slot;
	uint32_t *dirty; /* slots, n_dirty of them */
	uint32_t n_slots, n_dirty, slice_len;
	uint64_t clock;
};

struct qcow2;

int qcow2_cache_init(struct qcow2_cache *c, uint32_t n_slots, uint32_t slice_len);
void qcow2_cache_done(struct qcow2_cache *c);
/*
 * *ret_slice: the slice of the table at offset (a multiple of slice_len), as in the file. It stays
 * where it is until the next call for this cache. Makes room by writing tables if it must.
 */
int qcow2_cache_get(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, uint8_t **ret_slice,
	struct error *err);
/* The slice was changed. */
void qcow2_cache_dirty(struct qcow2_cache *c, const uint8_t *slice);
/* Writes what is dirty. What could not be written stays dirty. */
int qcow2_cache_write(struct qcow2 *q, struct qcow2_cache *c, struct error *err);
/* Forgets what lies in len bytes at offset, dirty or not. */
void qcow2_cache_drop(struct qcow2_cache *c, uint64_t offset, uint64_t len);

/* ---- clusters that hold tables (qcow2_set.c) ---- */

enum qcow2_table {
	QCOW2_T_NONE,
	QCOW2_T_HEADER,
	QCOW2_T_L1,
	QCOW2_T_L2,
	QCOW2_T_REFT,
	QCOW2_T_REFBLOCK,
	QCOW2_T_SNAPSHOTS,
	QCOW2_T_SNAP_L1,
};

struct qcow2_set {
	uint64_t *key; /* cluster + 1; 0: empty */
	uint8_t *what;
	size_t size, n; /* size is a power of two */
};

void qcow2_set_done(struct qcow2_set *s);
enum qcow2_table qcow2_set_find(const struct qcow2_set *s, uint64_t cluster);
/* 0, -EEXIST (the cluster is there; nothing changes) or -ENOMEM. */
int qcow2_set_add(struct qcow2_set *s, uint64_t cluster, enum qcow2_table what);
void qcow2_set_remove(struct qcow2_set *s, uint64_t cluster);
/* "the L1 table"... */
const char *qcow2_table_words(enum qcow2_table what);

/* ---- the image ---- */

struct qcow2_snap {
	struct image_snapshot s;
	uint64_t l1_offset;
	uint32_t l1_size;
	/* Extra data as found, written again as it was but for the fields that we know. */
	uint8_t *extra;
	uint32_t extra_len;
	char *long_name; /* all of the name, of which s.name may be a part */
};

/* Clusters that lose a reference when the tables that referred to them have been written. */
struct qcow2_frees {
	struct qcow2_free {
		uint64_t first, n;
	} * list;
	size_t n, size;
};

struct qcow2 {
	struct image *img;
	struct image_file *file;
	bool readonly;
	bool through;
	bool broken; /* damage was found, or tables could not be written: no more writing */
	bool dirty;  /* the dirty bit is set in the file */
	bool lazy;   /* reference counts are written at the end */
	bool zstd;
	bool checking; /* what is wrong is being collected, not held against the image */
	unsigned version, cluster_bits, l2_bits, refcount_order;
	unsigned block_bits; /* a reference count block counts 1 << block_bits clusters */
	uint32_t cluster_len;
	uint32_t header_len;
	uint64_t len; /* virtual, bytes */
	uint64_t incompat, compat, autoclear;

	uint64_t l1_offset;
	uint32_t l1_size;      /* entries */
	uint32_t l1_disk;      /* of which the disk has this many; the VM state follows */
	uint64_t *l1;	       /* in our byte order */
	uint32_t l1_lo, l1_hi; /* dirty entries */

	uint64_t reft_offset;
	uint32_t reft_clusters, reft_size; /* size: entries */
	uint64_t *reft;

	uint64_t snap_offset, snap_len; /* the table, bytes */
	uint32_t n_snaps;
	struct qcow2_snap *snaps;

	struct qcow2_cache l2_cache, ref_cache;
	struct qcow2_set tables;
	struct qcow2_frees frees;
	uint64_t free_hint; /* no free cluster lies before this one */
	uint64_t file_end;  /* bytes; the file was never written beyond */

	uint8_t *bounce;   /* a cluster, for copying */
	uint8_t *unpacked; /* a cluster, what unpacked_entry says */
	uint64_t unpacked_entry;
	uint8_t *packed; /* one compressed cluster as in the file */
	void *zip;	 /* qcow2_zip.c's */
};

static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t len)
{
	return (len + q->cluster_len - 1) >> q->cluster_bits;
}

static inline uint64_t qcow2_l2_reach(const struct qcow2 *q)
{
	return UINT64_C(1) << (q->l2_bits + q->cluster_bits);
}

/* Where the VM state begins in the space that L1 maps. */
static inline uint64_t qcow2_vmstate_at(const struct qcow2 *q)
{
	return (uint64_t)q->l1_disk << (q->l2_bits + q->cluster_bits);
}

/* The file is, or is about to be, written up to end: zeros lie only beyond it. */
static inline void qcow2_grown_to(struct qcow2 *q, uint64_t end)
{
	if (end > q->file_end)
		q->file_end = end;
}

/* The image is damaged: says so in *err and in the header, and forbids writing. Returns -EIO. */
int qcow2_damaged(struct qcow2 *q, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Tables in memory and in the file may differ in a way that cannot be mended. Returns r. */
int qcow2_give_up(struct qcow2 *q, int r);
/* Refuses if the image is broken. */
int qcow2_sound(struct qcow2 *q, struct error *err);

/* ---- header (qcow2_header.c) ---- */

int qcow2_header_read(struct qcow2 *q, struct error *err);
int qcow2_header_put32(struct qcow2 *q, enum qcow2_header_at at, uint32_t v, struct error *err);
int qcow2_header_put64(struct qcow2 *q, enum qcow2_header_at at, uint64_t v, struct error *err);
/* Neighbouring fields in one write: a 32-bit one, then a 64-bit one, or the other way round. */
int qcow2_header_put_pair(struct qcow2 *q, enum qcow2_header_at at, uint64_t a, unsigned a_len,
	uint64_t b, struct error *err);
/* Both wait until the bit is durable; nothing in version 2, which has no such bit. */
int qcow2_set_dirty(struct qcow2 *q, struct error *err);
int qcow2_clear_dirty(struct qcow2 *q, struct error *err);
/* A table of len bytes at offset: aligned, inside the file, not longer than max? what: its words.
 */
int qcow2_table_ok(struct qcow2 *q, const char *what, uint64_t offset, uint64_t len, uint64_t max,
	struct error *err);
/* Reads n big-endian entries; *ret is the caller's to free (NULL if n is 0). */
int qcow2_read_entries(
	struct qcow2 *q, uint64_t offset, uint32_t n, uint64_t **ret, struct error *err);
int qcow2_write_entries(
	struct qcow2 *q, uint64_t offset, const uint64_t *entries, uint32_t n, struct error *err);

/* ---- reference counts (qcow2_refs.c, qcow2_alloc.c) ---- */

/* The i-th count of a block in memory. */
uint64_t qcow2_count_get(const uint8_t *block, unsigned order, uint64_t i);
void qcow2_count_put(uint8_t *block, unsigned order, uint64_t i, uint64_t count);
int qcow2_ref_get(struct qcow2 *q, uint64_t cluster, uint64_t *ret_count, struct error *err);
/* The block that counts the cluster must be there. */
int qcow2_ref_set(struct qcow2 *q, uint64_t cluster, uint64_t count, struct error *err);
/* ENOSPC: the count is as high as its width allows. */
int qcow2_ref_inc(struct qcow2 *q, uint64_t cluster, struct error *err);
/* At zero the cluster's tables are forgotten. *ret_gone (may be NULL): it is free now. */
int qcow2_ref_dec(struct qcow2 *q, uint64_t cluster, bool *ret_gone, struct error *err);
uint64_t qcow2_ref_max(const struct qcow2 *q);
/* For after the next writing of tables. */
void qcow2_free_later(struct qcow2 *q, uint64_t first, uint64_t n);
/* Also what an L2 entry refers to. */
void qcow2_free_entry_later(struct qcow2 *q, uint64_t entry);
/* The tables have been written: drops the references, gives back the space. */
int qcow2_frees_run(struct qcow2 *q, struct error *err);
/*
 * Takes n clusters in a row (or, with some, between 1 and n). *ret_first is counted 1, in memory.
 * table: what they are for, if for a table.
 */
int qcow2_alloc(struct qcow2 *q, uint64_t n, bool some, enum qcow2_table table, uint64_t *ret_first,
	uint64_t *ret_n, struct error *err);
/* Makes sure that blocks count the n clusters from first on. Takes clusters for them from end on.
 */
int qcow2_refs_cover(struct qcow2 *q, uint64_t first, uint64_t n, struct error *err);
/* Undoes qcow2_alloc() of what nothing refers to yet. */
void qcow2_unalloc(struct qcow2 *q, uint64_t first, uint64_t n);

/* ---- L1, L2 (qcow2_map.c) ---- */

enum qcow2_kind {
	QCOW2_HOLE,  /* the backing file's, or zeros */
	QCOW2_ZEROS, /* zeros, maybe with a cluster kept for them */
	QCOW2_NORMAL,
	QCOW2_COMPRESSED,
};

struct qcow2_run {
	enum qcow2_kind kind;
	uint64_t host;	/* NORMAL: offset in the file */
	uint64_t len;	/* bytes from the asked offset on that are the same kind, in a row */
	uint64_t entry; /* the first L2 entry */
};

int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t max_len, struct qcow2_run *ret_run,
	struct error *err);
/* Checks an L2 entry (of the cluster at offset of the disk) for all that can be wrong with it. */
int qcow2_entry_kind(struct qcow2 *q, uint64_t entry, uint64_t offset, enum qcow2_kind *ret_kind,
	struct error *err);
/* *ret_l2: the offset of the L2 table of L1 entry i, 0 if there is none. Checked. */
int qcow2_l2_offset(
	struct qcow2 *q, uint64_t l1_entry, uint32_t i, uint64_t *ret_l2, struct error *err);
/* The same, one of its own in any case, that may be written in place. */
int qcow2_l2_for_write(struct qcow2 *q, uint32_t i, uint64_t *ret_l2, struct error *err);
int qcow2_l2_get(
	struct qcow2 *q, uint64_t l2, uint32_t index, uint64_t *ret_entry, struct error *err);
int qcow2_l2_put(struct qcow2 *q, uint64_t l2, uint32_t index, uint64_t entry, struct error *err);
void qcow2_l1_dirty(struct qcow2 *q, uint32_t i);
/* Replaces the active L1 table, in one write of the header, and returns when that is durable. The
 * old one's clusters lose their reference. l1 becomes the image's on success. */
int qcow2_l1_replace(struct qcow2 *q, uint64_t *l1, uint32_t size, struct error *err);
/* Grows L1, so that it maps up to end. */
int qcow2_l1_grow(struct qcow2 *q, uint64_t end, struct error *err);

/* ---- data (qcow2_io.c) ---- */

int qcow2_read(struct qcow2 *q, uint64_t offset, void *buf, size_t len, struct error *err);
int qcow2_write(struct qcow2 *q, uint64_t offset, const void *buf, size_t len, struct error *err);
int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t len, struct error *err);
/* Tables to the file, in an order that is safe to interrupt; with barriers if the image wants them.
 */
int qcow2_tables_write(struct qcow2 *q, struct error *err);
/* What ends a request: tables if they go through, and what became free. */
int qcow2_request_end(struct qcow2 *q, int r, struct error *err);
/* All of it, and durable. */
int qcow2_flush(struct qcow2 *q, struct error *err);

/* ---- compressed clusters (qcow2_zip.c) ---- */

int qcow2_zip_init(struct qcow2 *q, struct error *err);
void qcow2_zip_done(struct qcow2 *q);
/* Where an entry's compressed bytes are. */
void qcow2_zip_where(
	const struct qcow2 *q, uint64_t entry, uint64_t *ret_offset, uint64_t *ret_len);
/* *ret: a cluster of data, until the next call. at: offset of the disk, for messages. */
int qcow2_unpack(
	struct qcow2 *q, uint64_t entry, uint64_t at, const uint8_t **ret, struct error *err);

/* ---- snapshots (qcow2_snap.c, qcow2_snapop.c) ---- */

int qcow2_snaps_read(struct qcow2 *q, struct error *err);
void qcow2_snaps_free(struct qcow2_snap *snaps, uint32_t n);
/* A table of snapshots that lies in the file, but is not the image's yet. */
struct qcow2_snap_table {
	uint64_t offset, clusters, len;
	uint32_t n_snaps;
};

int qcow2_snaps_prepare(struct qcow2 *q, const struct qcow2_snap *snaps, uint32_t n,
	struct qcow2_snap_table *ret_table, struct error *err);
void qcow2_snaps_cancel(struct qcow2 *q, const struct qcow2_snap_table *t);
/* Makes it the image's, in one write of the header, durably. The old one's clusters go. */
int qcow2_snaps_commit(struct qcow2 *q, const struct qcow2_snap_table *t, struct error *err);
int qcow2_snap_find(struct qcow2 *q, const char *name, uint32_t *ret_i, struct error *err);
/* The L1 table of a snapshot; *ret_l1 is the caller's to free. */
int qcow2_snap_l1(
	struct qcow2 *q, const struct qcow2_snap *snap, uint64_t **ret_l1, struct error *err);
/* Sets the COPIED bits of n entries of an L1 table, and of what they reach, as the counts say. */
int qcow2_flag_tree(struct qcow2 *q, uint64_t *l1, uint32_t n, struct error *err);
int qcow2_snapshot_create(struct qcow2 *q, const struct image_snapshot *snap, struct error *err);
int qcow2_snapshot_apply(struct qcow2 *q, const char *name, struct error *err);
/* Of an image that is open for reading only: its disk is what the snapshot kept. */
int qcow2_snapshot_show(struct qcow2 *q, const char *name, struct error *err);
int qcow2_snapshot_delete(struct qcow2 *q, const char *name, struct error *err);
int qcow2_vmstate_write(
	struct qcow2 *q, uint64_t offset, const void *buf, size_t len, struct error *err);
int qcow2_vmstate_read(struct qcow2 *q, const char *name, uint64_t offset, void *buf, size_t len,
	struct error *err);

/* ---- check (qcow2_check.c) ---- */

int qcow2_check(struct qcow2 *q, bool repair, struct image_check *check, struct error *err);
/* Finds all tables, for q->tables; refuses an image in which they overlap. */
int qcow2_tables_find(struct qcow2 *q, struct error *err);

#endif
