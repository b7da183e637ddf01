/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of a structure's fields, from which its snapshot (state.h), its digest and the check of
 * what a snapshot brings are made. A table names what is saved, field by field, so that no layout
 *of memory ever gets into a file.
 *
 *	static const struct field pit_fields[] = {
 *		FIELD(struct pit, mode),
 *		FIELD_ARRAY(struct pit, count),
 *		FIELD_END,
 *	};
 */
#ifndef DEJAVM_FIELDS_H
#define DEJAVM_FIELDS_H

#include <stddef.h>
#include <stdint.h>

/* Integers of elem bytes (1, 2, 4, 8), count of them, in the host's order in memory and
 * little-endian outside. */
struct field {
	const char *name;
	uint32_t offset;
	uint16_t elem;
	uint32_t count;
	uint64_t max; /* of each element that a snapshot may bring; 0: whatever fits */
};

#define FIELD_MAX(type, member, most)                                                 \
	{                                                                             \
#member, offsetof(type, member), sizeof(((type *)0)->member), 1, most \
	}
#define FIELD(type, member)	 FIELD_MAX(type, member, 0)
#define FIELD_BOOL(type, member) FIELD_MAX(type, member, 1)
#define FIELD_ARRAY(type, member)                                                       \
	{                                                                               \
#member, offsetof(type, member), sizeof(((type *)0)->member[0]),        \
			sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), 0 \
	}
#define FIELD_ARRAY_MAX(type, member, most)                                                \
	{                                                                                  \
#member, offsetof(type, member), sizeof(((type *)0)->member[0]),           \
			sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), most \
	}
#define FIELD_END                \
	{                        \
		NULL, 0, 0, 0, 0 \
	}

/* Element at p, of size 1, 2, 4 or 8. */
uint64_t field_element(const void *p, unsigned size);

#endif
