/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images: raw and qcow2, with backing chains and internal snapshots (docs/images.md). A
 *library without a process: it opens no files by itself (an opener gives it descriptors) and logs
 *nothing.
 *
 *	struct image_how how = { .name = "disk.qcow2", .opener = my_open };
 *	struct image *img;
 *
 *	if (image_open(&how, &img, &err) < 0)
 *		log_fatal("%s", err.msg);
 *	image_read(img, 0, sector, 512, &err);
 *	image_close(img, &err);
 *
 * Each image has a lock inside: calls from several threads are right, and run one after the other.
 * All functions return 0 or -errno and put the reason into *err, which may be NULL. EIO with a
 *message about a field is damage in the image; if it was open for writing, it refuses writes from
 *then on.
 */
#ifndef DEJAVM_IMAGE_H
#define DEJAVM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define IMAGE_SECTOR		512
#define IMAGE_CHAIN_MAX		64   /* images in a chain, the first included */
#define IMAGE_NAME_MAX		1024 /* bytes of a file name, NUL included */
#define IMAGE_NO_ICOUNT		UINT64_MAX
#define IMAGE_SNAPSHOT_NAME_MAX 256
#define IMAGE_SNAPSHOT_ID_MAX	128

struct image;

enum image_open_flags {
	IMAGE_OPEN_RDONLY = 0,
	IMAGE_OPEN_RDWR = 1,
};

/* What the library is about to do to a file (image_how.hook). */
enum image_file_op {
	IMAGE_FILE_READ,
	IMAGE_FILE_WRITE,
	IMAGE_FILE_SYNC,     /* offset and len are 0 */
	IMAGE_FILE_PUNCH,    /* len bytes at offset become a hole */
	IMAGE_FILE_TRUNCATE, /* the file's length becomes offset */
};

/*
 * When tables reach the file. Either way a flush makes all that was written before it durable, and
 * a cut at any moment leaves at worst clusters that nobody refers to.
 */
enum image_tables {
	/* With each request, in order. A process that is killed loses no completed write; if the
	 * whole host loses power, what was written since the last flush is undefined. */
	IMAGE_TABLES_THROUGH,
	/* At flushes, with barriers. A killed process loses what was written since the last flush,
	 * and so does a host that loses power; both find a sound image. */
	IMAGE_TABLES_BACK,
};

struct image_how {
	/* As the user wrote it. Relative names of backing files are relative to its folder. */
	const char *name;
	/* "raw", "qcow2", or NULL: by looking at the first bytes. A raw image found by looking
	 * refuses a write that would make it look like something else. */
	const char *format;
	bool readonly;
	bool no_backing; /* do not open backing files: their data read as zeros (image_info works)
			  */
	bool no_lock;	 /* do not take locks, as for a name that no other process knows */
	bool no_sync;	 /* flushes wait for nothing: for files that die with the process */
	enum image_tables tables;
	/* Not NULL: an open image, to take the place of the backing file that the image names, or
	 * does not name. It is the image's once image_open() has succeeded. */
	struct image *backing;
	/* Not NULL: show what this internal snapshot (id or name) kept, not the present state.
	 * Needs readonly. */
	const char *snapshot;
	/*
	 * Returns a descriptor of its own (the library closes it) or -errno. Called for the image
	 * and for each of its backing files, whose names are the image author's, not the user's.
	 */
	int (*opener)(void *opaque, const char *name, enum image_open_flags flags);
	void *opaque;
	/* For tests, or NULL: called before each access to a file (depth 0: the image, 1: its
	 * backing file...). Not 0: the access is not made and fails with this -errno. */
	int (*hook)(void *opaque, unsigned depth, enum image_file_op op, uint64_t offset,
		const void *data, size_t len);
	void *hook_opaque;
};

struct image_info {
	const char *format; /* static string */
	uint64_t len;	    /* virtual, bytes */
	uint64_t file_len;  /* bytes */
	uint32_t cluster_len;
	unsigned version; /* qcow2: 2 or 3 */
	unsigned refcount_bits;
	bool lazy_refcounts, dirty, corrupt, readonly;
	const char *compression; /* static string: "zlib" or "zstd"; raw: NULL */
	unsigned n_snapshots;
	unsigned depth;			     /* images in the chain */
	char backing[IMAGE_NAME_MAX];	     /* as the image says it; "": none */
	char backing_format[IMAGE_NAME_MAX]; /* "": not said */
};

struct image_snapshot {
	char id[IMAGE_SNAPSHOT_ID_MAX]; /* when creating, "": the next free number */
	char name[IMAGE_SNAPSHOT_NAME_MAX];
	uint64_t date_s; /* since 1970 */
	uint32_t date_ns;
	uint64_t vm_clock_ns;
	uint64_t vm_state_len; /* bytes */
	uint64_t disk_len;     /* bytes; set by the library */
	uint64_t icount;       /* or IMAGE_NO_ICOUNT */
};

/* What image_check found. */
struct image_check {
	uint64_t leaks;	 /* clusters with a count larger than their references: lost space only */
	uint64_t errors; /* everything else */
	uint64_t fixed;	 /* of both, if asked to repair */
	char first[512]; /* what the first error is, "": none */
};

struct qcow2_how {
	uint64_t len;		 /* virtual, bytes; rounded up to sectors */
	unsigned version;	 /* 0: 3 */
	unsigned cluster_bits;	 /* 9 to 21; 0: 16 */
	unsigned refcount_order; /* 0 to 6, for 1 to 64 bits; -1u: 4; version 2 wants 4 */
	bool lazy_refcounts;
	const char *backing;	    /* or NULL */
	const char *backing_format; /* "raw", "qcow2"; NULL only without backing */
};

/* Opens an image and its chain. *ret_img is the caller's until image_close(). */
int image_open(const struct image_how *how, struct image **ret_img, struct error *err);
/* One that was opened with no_backing: below is its backing file from now on, and its own. Before
 * anything else has been done with it. */
void image_lay_over(struct image *img, struct image *below);
/* Writes what is pending, and frees in any case (also img == NULL). */
int image_close(struct image *img, struct error *err);

/* Virtual length in bytes, a multiple of IMAGE_SECTOR. */
uint64_t image_len(const struct image *img);
bool image_readonly(const struct image *img);
void image_get_info(struct image *img, struct image_info *ret_info);
/* The descriptor of the image (depth 0) or of a backing file; -1 beyond the chain. Stays the
 * library's. */
int image_fd(const struct image *img, unsigned depth);
/* The name by which the image at depth was opened; NULL beyond the chain. */
const char *image_name(const struct image *img, unsigned depth);

/* At any byte offset, within image_len() (else EINVAL). */
int image_read(struct image *img, uint64_t offset, void *buf, size_t len, struct error *err);
int image_write(struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err);
/* The bytes read as zeros from now on, whatever the format, and give back space where they can. */
int image_discard(struct image *img, uint64_t offset, uint64_t len, struct error *err);
/* Returns when all that was written before is durable. */
int image_flush(struct image *img, struct error *err);

/*
 * Makes fd, an empty file open for reading and writing, a qcow2 image. fd stays the caller's. A
 * backing file is not looked at: len must be given.
 */
int image_create_qcow2(int fd, const struct qcow2_how *how, struct error *err);

/* Compares reference counts with references. -ENOTSUP for raw. What it finds wrong is not an error.
 */
int image_check(struct image *img, bool repair, struct image_check *ret_check, struct error *err);

/*
 * Internal snapshots, qcow2 only (raw: ENOTSUP). A snapshot is referred to by its id or else by its
 * name. Each returns when its work is durable.
 */
int image_snapshot_create(struct image *img, const struct image_snapshot *snap, struct error *err);
/* name NULL: as before anything was written to it: what is below the image is all that it shows. */
int image_snapshot_apply(struct image *img, const char *name, struct error *err);
/* An image that is open for reading only shows another one from now on (NULL: as above); see
 * image_how.snapshot. The image of which this is the backing file must not be read meanwhile. */
int image_snapshot_show(struct image *img, const char *name, struct error *err);
int image_snapshot_delete(struct image *img, const char *name, struct error *err);
/* *ret_list: n entries, the caller's to free(); NULL if there is none. */
int image_snapshot_list(
	struct image *img, struct image_snapshot **ret_list, size_t *ret_n, struct error *err);
/* ENOENT if there is none. ret_snap may be NULL. */
int image_snapshot_find(
	struct image *img, const char *name, struct image_snapshot *ret_snap, struct error *err);

/*
 * The VM state lies behind the disk's end. It is written before image_snapshot_create(), which
 * keeps snap->vm_state_len bytes of it with the snapshot and takes it out of the present state.
 * Reading: of a snapshot, or (snapshot == NULL) of the present state, as after
 * image_snapshot_apply().
 */
int image_vmstate_write(
	struct image *img, uint64_t offset, const void *buf, size_t len, struct error *err);
int image_vmstate_read(struct image *img, const char *snapshot, uint64_t offset, void *buf,
	size_t len, struct error *err);

#endif
