/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clusters that hold tables. Before data are written to a cluster it is looked up here: an
 * image in which an L2 entry points at a table would otherwise be destroyed by a harmless write of
 * its guest, and worse, the guest would write its own tables, and with them read any part of the
 * file.
 *
 * A hash table with open addressing; removing closes the gap, so that there are no graves.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>

void qcow2_set_done(struct qcow2_set *s)
{
	free(s->key);
	free(s->what);
	*s = (struct qcow2_set){ 0 };
}

static size_t home(const struct qcow2_set *s, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (s->size - 1);
}

static size_t place(const struct qcow2_set *s, uint64_t key)
{
	size_t i = home(s, key);

	while (s->key[i] && s->key[i] != key)
		i = (i + 1) & (s->size - 1);
	return i;
}

enum qcow2_table qcow2_set_find(const struct qcow2_set *s, uint64_t cluster)
{
	size_t i;

	if (!s->n)
		return QCOW2_T_NONE;
	i = place(s, cluster + 1);
	return s->key[i] ? (enum qcow2_table)s->what[i] : QCOW2_T_NONE;
}

static int grow(struct qcow2_set *s)
{
	struct qcow2_set bigger = { .size = s->size ? s->size * 2 : 64, .n = s->n };

	bigger.key = calloc(bigger.size, sizeof(*bigger.key));
	bigger.what = calloc(bigger.size, sizeof(*bigger.what));
	if (!bigger.key || !bigger.what) {
		free(bigger.key);
		free(bigger.what);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->size; i++) {
		size_t to;

		if (!s->key[i])
			continue;
		to = place(&bigger, s->key[i]);
		bigger.key[to] = s->key[i];
		bigger.what[to] = s->what[i];
	}
	free(s->key);
	free(s->what);
	*s = bigger;
	return 0;
}

int qcow2_set_add(struct qcow2_set *s, uint64_t cluster, enum qcow2_table what)
{
	size_t i;

	if (s->n * 2 >= s->size && grow(s) < 0)
		return -ENOMEM;
	i = place(s, cluster + 1);
	if (s->key[i])
		return -EEXIST;
	s->key[i] = cluster + 1;
	s->what[i] = (uint8_t)what;
	s->n++;
	return 0;
}

void qcow2_set_remove(struct qcow2_set *s, uint64_t cluster)
{
	size_t gap, i;

	if (!s->n)
		return;
	gap = place(s, cluster + 1);
	if (!s->key[gap])
		return;
	s->n--;
	for (i = (gap + 1) & (s->size - 1); s->key[i]; i = (i + 1) & (s->size - 1)) {
		size_t h = home(s, s->key[i]);

		/* May the entry at i move to the gap, that is, is its home not behind the gap? */
		if (((i - h) & (s->size - 1)) < ((i - gap) & (s->size - 1)))
			continue;
		s->key[gap] = s->key[i];
		s->what[gap] = s->what[i];
		gap = i;
	}
	s->key[gap] = 0;
}

const char *qcow2_table_words(enum qcow2_table what)
{
	static const char *const words[] = {
		[QCOW2_T_NONE] = "no table",
		[QCOW2_T_HEADER] = "the header",
		[QCOW2_T_L1] = "the L1 table",
		[QCOW2_T_L2] = "an L2 table",
		[QCOW2_T_REFT] = "the reference count table",
		[QCOW2_T_REFBLOCK] = "a reference count block",
		[QCOW2_T_SNAPSHOTS] = "the snapshot table",
		[QCOW2_T_SNAP_L1] = "the L1 table of a snapshot",
	};

	return words[what];
}
