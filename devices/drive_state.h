/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to drives in a snapshot: beside what machine.h says of them. */
#ifndef DEJAVM_DRIVE_STATE_H
#define DEJAVM_DRIVE_STATE_H

#include "machine.h"
#include "state.h"

/* Are the requests that g, the fields of "drives", has in flight possible? -EINVAL with *err. */
int drive_state_check(const struct machine *m, const Dejavm__StateGroup *g, struct error *err);

#endif
