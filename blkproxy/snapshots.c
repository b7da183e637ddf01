/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See snapshots.h. */
#include "snapshots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "snapstore_proc.h"

static struct {
	struct snapstore s;
	struct server *server;
	struct snapstore_inbox inbox;
	pthread_t thread;
} me = { .inbox = SNAPSTORE_INBOX_INIT };

/* The drives that can be written are all that a snapshot is of; each has to be able to. */
static int images_take(struct error *err)
{
	struct server *v = me.server;

	me.s.n_images = 0;
	for (unsigned i = 0; i < v->n_drives; i++) {
		struct drive *d = &v->drives[i];
		struct image *img;

		if (!d->image || d->cfg->readonly)
			continue;
		img = drive_writable(d, err);
		if (!img)
			return -EROFS;
		me.s.kept[me.s.n_images] = d->kept;
		me.s.image[me.s.n_images++] = img;
	}
	return 0;
}

static void serve(const Dejavm__SnapshotRequest *rq)
{
	Dejavm__SnapshotReply r = DEJAVM__SNAPSHOT_REPLY__INIT;
	struct server *v = me.server;
	struct error err = ERROR_INIT;

	server_wait_idle(v);
	for (unsigned i = 0; i < v->n_drives; i++)
		drive_quiesce(&v->drives[i]);
	r.id = rq->id;
	if (images_take(&err) < 0)
		r.text = strdup(err.msg);
	else
		snapstore_serve(&me.s, rq, &r);
	if (rq->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_RESTORE)
		server_forget_ids(v);
	for (unsigned i = 0; i < v->n_drives; i++)
		drive_resume(&v->drives[i]);
	snapstore_answer(v->p, &r);
}

static void *thread_main(void *opaque)
{
	for (;;) {
		Dejavm__SnapshotRequest *rq = snapstore_inbox_wait(&me.inbox);

		serve(rq);
		dejavm__snapshot_request__free_unpacked(rq, NULL);
	}
	return NULL;
}

void snapshots_post(const Dejavm__SnapshotRequest *rq)
{
	snapstore_inbox_post(&me.inbox, rq);
}

int snapshots_start(struct server *s, struct error *err)
{
	int r;

	me.server = s;
	/* A hub that hands out no states asks for no snapshots. */
	if (!proc_segment(s->p, "state-vcpu"))
		return 0;
	me.s.disks = true;
	for (unsigned i = 0; i < s->n_drives; i++)
		snprintf(me.s.view, sizeof(me.s.view), "%s", s->drives[i].cfg->kept_view);
	r = snapstore_map(&me.s, s->p, err);
	if (r < 0)
		return r;
	r = pthread_create(&me.thread, NULL, thread_main, NULL);
	return r ? error_set(err, r, "cannot start a thread: %s", strerror(r)) : 0;
}
