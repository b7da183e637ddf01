/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See stateport.h. */
#include "stateport.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"

int state_port_open(struct state_port *p, struct proc *proc, struct error *err)
{
	char name[PROC_SEGMENT_NAME_MAX + 1];

	snprintf(name, sizeof(name), "state-%s", proc->role);
	p->proc = proc;
	p->role = proc->role;
	pthread_mutex_init(&p->lock, NULL);
	p->mem = proc_map(proc, name, true, &p->mem_len, err);
	return p->mem ? 0 : -err->code;
}

void state_port_post(struct state_port *p, const Dejavm__StateRequest *msg)
{
	pthread_mutex_lock(&p->lock);
	p->rq = (struct state_rq){
		.id = msg->id, .op = msg->op, .icount = msg->icount, .len = msg->len
	};
	snprintf(p->rq.name, sizeof(p->rq.name), "%s", msg->name);
	atomic_store_release(&p->waiting, true);
	pthread_mutex_unlock(&p->lock);
}

bool state_port_take(struct state_port *p, struct state_rq *ret)
{
	bool there;

	if (!state_port_waiting(p))
		return false;
	pthread_mutex_lock(&p->lock);
	there = p->waiting;
	*ret = p->rq;
	atomic_store_release(&p->waiting, false);
	pthread_mutex_unlock(&p->lock);
	return there;
}

static void answer(struct state_port *p, Dejavm__StateReply *r)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;

	c.msg_case = DEJAVM__CONTROL__MSG_STATE_REPLY;
	c.state_reply = r;
	if (proc_send(p->proc, &c) < 0)
		log_debug("cannot answer the hub about a snapshot");
}

void state_port_fail(struct state_port *p, const struct state_rq *rq, const char *text)
{
	Dejavm__StateReply r = DEJAVM__STATE_REPLY__INIT;

	r.id = rq->id;
	r.text = (char *)text;
	answer(p, &r);
}

void state_port_done(struct state_port *p, const struct state_rq *rq, const ProtobufCMessage *msg,
	uint64_t icount, uint64_t vtime_ns)
{
	Dejavm__StateReply r = DEJAVM__STATE_REPLY__INIT;

	r.id = rq->id;
	r.ok = true;
	r.icount = icount;
	r.vtime_ns = vtime_ns;
	if (msg) {
		r.len = protobuf_c_message_get_packed_size(msg);
		if (r.len > p->mem_len) {
			char text[128];

			snprintf(text, sizeof(text),
				"%s: a state of %" PRIu64 " bytes: at most %zu fit", p->role,
				(uint64_t)r.len, p->mem_len);
			state_port_fail(p, rq, text);
			return;
		}
		protobuf_c_message_pack(msg, p->mem);
	}
	answer(p, &r);
}

ProtobufCMessage *state_port_message(struct state_port *p, const struct state_rq *rq,
	const ProtobufCMessageDescriptor *type, struct error *err)
{
	ProtobufCMessage *m;
	uint8_t *copy;

	if (rq->len > p->mem_len) {
		error_set(err, EINVAL, "%s: a state of %" PRIu64 " bytes: at most %zu fit", p->role,
			rq->len, p->mem_len);
		return NULL;
	}
	/* Others can write there: believe a copy. */
	copy = malloc(rq->len + 1);
	if (!copy) {
		error_set(err, ENOMEM, "%s: no memory for its state", p->role);
		return NULL;
	}
	memcpy(copy, p->mem, rq->len);
	m = protobuf_c_message_unpack(type, NULL, rq->len, copy);
	free(copy);
	if (!m)
		error_set(err, EINVAL, "%s: its state of %" PRIu64 " bytes is not a %s message",
			p->role, rq->len, type->short_name);
	return m;
}
