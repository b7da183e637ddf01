/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process's part in snapshots: the hub's StateRequests, handed from the control thread to the
 * thread that owns the state, and the segment "state-ROLE" in which the state travels.
 *
 *	control thread:	state_port_post(&port, msg->state_request); then wake the owner
 *	owner:		while (state_port_take(&port, &rq)) ... state_port_done() or _fail()
 *
 * One request at a time: the hub waits for the answer.
 */
#ifndef DEJAVM_STATEPORT_H
#define DEJAVM_STATEPORT_H

#include <pthread.h>
#include "proc.h"

#define STATE_SEGMENT_LEN (64u << 20)
#define STATE_NAME_MAX	  256

struct state_rq {
	uint64_t id;
	Dejavm__StateOp op;
	char name[STATE_NAME_MAX]; /* of the snapshot */
	uint64_t icount;	   /* where the vCPU stands */
	uint64_t len;		   /* bytes of the state to be checked or loaded */
};

struct state_port {
	struct proc *proc;
	const char *role;
	uint8_t *mem;
	size_t mem_len;
	pthread_mutex_t lock;
	struct state_rq rq;
	_Atomic bool waiting;
};

/* Maps the segment of this role. 0 or -errno with *err. */
int state_port_open(struct state_port *p, struct proc *proc, struct error *err);
void state_port_post(struct state_port *p, const Dejavm__StateRequest *msg);
static inline bool state_port_waiting(struct state_port *p)
{
	return atomic_load_acquire(&p->waiting);
}
/* False: there is none. */
bool state_port_take(struct state_port *p, struct state_rq *ret);
/* Answers rq. msg: the state that it asked for, or NULL. */
void state_port_done(struct state_port *p, const struct state_rq *rq, const ProtobufCMessage *msg,
	uint64_t icount, uint64_t vtime_ns);
void state_port_fail(struct state_port *p, const struct state_rq *rq, const char *text);
/* The message in the segment, the caller's (protobuf_c_message_free_unpacked()); NULL with *err. */
ProtobufCMessage *state_port_message(struct state_port *p, const struct state_rq *rq,
	const ProtobufCMessageDescriptor *type, struct error *err);

#endif
