/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields (fields.h) as messages of a snapshot (snapshot.proto), and back. */
#ifndef DEJAVM_STATE_H
#define DEJAVM_STATE_H

#include "error.h"
#include "fields.h"
#include "snapshot.pb-c.h"

#define STATE_GROUP_VERSION 1

/*
 * A group of what table f says about *base, on the heap: dejavm__state_group__free_unpacked().
 * NULL: no memory. kind: of thing ("VGA"), id: which.
 */
Dejavm__StateGroup *fields_save(
	const struct field *f, const void *base, const char *kind, const char *id);
/* Is all of g what the table has, no more and no less, and in bounds? 0 or -EINVAL with *err, which
 * names the field. */
int fields_check(const struct field *f, const Dejavm__StateGroup *g, struct error *err);
/* Checks, and puts the values into *base; nothing is touched on failure. */
int fields_load(const struct field *f, void *base, const Dejavm__StateGroup *g, struct error *err);

#endif
