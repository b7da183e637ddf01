/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See snapstore_proc.h. */
#include "snapstore_proc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

int snapstore_map(struct snapstore *s, struct proc *p, struct error *err)
{
	static const char *const roles[SNAPSTORE_PARTS] = { "vcpu", "devices", "replaylog" };
	size_t len;

	for (int i = 0; i < SNAPSTORE_PARTS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "state-%s", roles[i]);
		s->part[i].role = roles[i];
		s->part[i].mem = proc_map(p, name, true, &s->part[i].len, err);
		if (!s->part[i].mem)
			return -err->code;
	}
	s->ram.mem = proc_map(p, "ram", true, &len, err);
	if (!s->ram.mem)
		return -err->code;
	s->ram.npages = (uint32_t)(len / RAM_PAGE_LEN);
	s->ram.fd = proc_segment_fd(p, "ram");
	s->codec = ram_codec_new(0);
	return s->codec ? 0 : error_set(err, ENOMEM, "cannot start threads for snapshots");
}

/* A copy that outlives the message. */
static Dejavm__SnapshotRequest *request_copy(const Dejavm__SnapshotRequest *rq)
{
	size_t len = dejavm__snapshot_request__get_packed_size(rq);
	uint8_t *buf = malloc(len + 1);
	Dejavm__SnapshotRequest *copy;

	must(buf);
	dejavm__snapshot_request__pack(rq, buf);
	copy = dejavm__snapshot_request__unpack(NULL, len, buf);
	free(buf);
	return copy;
}

void snapstore_inbox_post(struct snapstore_inbox *b, const Dejavm__SnapshotRequest *rq)
{
	pthread_mutex_lock(&b->lock);
	if (!b->rq)
		b->rq = request_copy(rq);
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

void snapstore_inbox_close(struct snapstore_inbox *b)
{
	pthread_mutex_lock(&b->lock);
	b->closed = true;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

Dejavm__SnapshotRequest *snapstore_inbox_wait(struct snapstore_inbox *b)
{
	Dejavm__SnapshotRequest *rq;

	pthread_mutex_lock(&b->lock);
	while (!b->rq && !b->closed)
		pthread_cond_wait(&b->changed, &b->lock);
	rq = b->rq;
	/* Before the answer: the hub's next one may follow at once. */
	b->rq = NULL;
	pthread_mutex_unlock(&b->lock);
	return rq;
}

void snapstore_answer(struct proc *p, Dejavm__SnapshotReply *r)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;

	c.msg_case = DEJAVM__CONTROL__MSG_SNAPSHOT_REPLY;
	c.snapshot_reply = r;
	if (proc_send(p, &c) < 0)
		log_debug("cannot answer the hub about a snapshot");
	snapstore_reply_done(r);
}
