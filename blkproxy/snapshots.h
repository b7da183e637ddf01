/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of a machine with disks: the hub's SnapshotRequests, done on a thread of their own
 * while the machine stands still and no request to a drive is in flight.
 */
#ifndef DEJAVM_BLKPROXY_SNAPSHOTS_H
#define DEJAVM_BLKPROXY_SNAPSHOTS_H

#include "serve.h"

/* Maps what is needed and starts the threads: before the sandbox. 0 or -errno with *err. */
int snapshots_start(struct server *s, struct error *err);
/* On the control thread. */
void snapshots_post(const Dejavm__SnapshotRequest *rq);

#endif
