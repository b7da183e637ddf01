/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM state of a snapshot as a stream of bytes: a header with a table of sections, then RAM and
 * what each process gave. docs/snapshots.md has the layout. Where the bytes are kept is the
 * caller's: a qcow2 image's place for them, or memory in a test.
 *
 * What is read is hostile: all lengths are bounded and all CRCs right before anything is used.
 */
#ifndef DEJAVM_VMSTATE_H
#define DEJAVM_VMSTATE_H

#include "ramcodec.h"

#define VMSTATE_VERSION	     1
#define VMSTATE_NAME_LEN     16
#define VMSTATE_SECTIONS_MAX 16
#define VMSTATE_PART_MAX     (64u << 20) /* bytes of a section other than RAM */

struct vmstate_io {
	void *opaque;
	/* 0 or -errno with *err */
	int (*read)(void *opaque, uint64_t off, void *buf, size_t len, struct error *err);
	int (*write)(void *opaque, uint64_t off, const void *buf, size_t len, struct error *err);
};

struct vmstate_part {
	const char *name;
	const uint8_t *data;
	size_t len;
};

struct vmstate_ram {
	uint8_t *mem;
	uint32_t npages;
	int fd; /* see ramcodec.h */
};

/* Writes parts and RAM; *ret_len bytes in all. 0 or -errno with *err. */
int vmstate_write(const struct vmstate_io *io, struct ram_codec *codec,
	const struct vmstate_ram *ram, const struct vmstate_part *parts, size_t n_parts,
	uint64_t *ret_len, struct error *err);

struct vmstate_section {
	char name[VMSTATE_NAME_LEN + 1];
	uint64_t off, len;
	uint32_t crc;
};

/* One that has been read, and was good. */
struct vmstate {
	uint32_t npages;
	struct ram_index blocks;
	uint8_t *ram_data;
	struct {
		char name[VMSTATE_NAME_LEN + 1];
		uint8_t *data;
		size_t len;
	} part[VMSTATE_SECTIONS_MAX];
	size_t n_parts;
	struct vmstate_section index, data; /* private: where RAM is */
};

/*
 * Reads and checks what lies in len bytes: first everything but RAM, which says of what machine it
 * is; then RAM, for one of npages. 0 or -errno with *err; vmstate_done() after any of them.
 */
int vmstate_read(struct vmstate *v, const struct vmstate_io *io, uint64_t len, struct error *err);
int vmstate_read_ram(struct vmstate *v, const struct vmstate_io *io, struct ram_codec *codec,
	uint32_t npages, struct error *err);
void vmstate_done(struct vmstate *v);
/* NULL: there is no such part. */
const uint8_t *vmstate_part(const struct vmstate *v, const char *name, size_t *ret_len);

#endif
