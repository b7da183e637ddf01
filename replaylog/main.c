/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-replaylog: the process that orders the inputs of a run, keeps them in the log, or takes
 * them from there. Set-up, the sequencer's loop (sequencer.c), and the last message to the hub.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include "blk.h"
#include "control.pb-c.h"
#include "log.h"
#include "proc.h"
#include "sequencer.h"
#include "stateport.h"

#define HUB_DEATH_GRACE_S 5 /* to write the log's end when the hub has died */

struct replaylog {
	struct proc proc;
	struct chan seq, host, blk;
	struct sequencer s;
	struct state_port port;
	struct config_item *config;
	/* What the control thread and the main thread tell each other. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool quit;   /* the hub said so, or died */
	bool closed; /* the log is whole and in the file */
};

static struct replaylog me = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER };

static void tell(bool *what)
{
	pthread_mutex_lock(&me.lock);
	*what = true;
	pthread_cond_broadcast(&me.changed);
	pthread_mutex_unlock(&me.lock);
}

/* ---- snapshots, on the sequencer's thread ---- */

static void serve_save(const struct state_rq *rq)
{
	Dejavm__ReplaylogState *m = malloc(sizeof(*m));
	struct error err = ERROR_INIT;

	if (!m) {
		state_port_fail(&me.port, rq, "replaylog: no memory for its state");
		return;
	}
	dejavm__replaylog_state__init(m);
	if (sequencer_save(&me.s, rq->name, rq->icount, m, &err) < 0)
		state_port_fail(&me.port, rq, err.msg);
	else
		state_port_done(&me.port, rq, &m->base, me.s.icount, me.s.now_ns);
	dejavm__replaylog_state__free_unpacked(m, NULL);
}

static void serve_load(const struct state_rq *rq)
{
	struct error err = ERROR_INIT;
	ProtobufCMessage *m =
		state_port_message(&me.port, rq, &dejavm__replaylog_state__descriptor, &err);

	if (!m || sequencer_check(&me.s, (Dejavm__ReplaylogState *)m, &err) < 0) {
		state_port_fail(&me.port, rq, err.msg);
	} else {
		if (rq->op == DEJAVM__STATE_OP__STATE_LOAD)
			sequencer_load(&me.s, (Dejavm__ReplaylogState *)m);
		state_port_done(&me.port, rq, NULL, me.s.icount, me.s.now_ns);
	}
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
}

static void serve_state(void *opaque)
{
	struct state_rq rq;

	if (!state_port_take(&me.port, &rq))
		return;
	switch (rq.op) {
	case DEJAVM__STATE_OP__STATE_SAVE: serve_save(&rq); return;
	case DEJAVM__STATE_OP__STATE_CHECK:
	case DEJAVM__STATE_OP__STATE_LOAD: serve_load(&rq); return;
	case DEJAVM__STATE_OP__STATE_HOLD: sequencer_hold(&me.s); break;
	default: sequencer_release(&me.s); break;
	}
	state_port_done(&me.port, &rq, NULL, me.s.icount, me.s.now_ns);
}

/* ---- control thread ---- */

static void on_control(void *opaque, const Dejavm__Control *msg)
{
	uint64_t one = 1;

	switch (msg->msg_case) {
	case DEJAVM__CONTROL__MSG_QUIT:
		sequencer_stop(&me.s, STOP_QUIT, NULL);
		tell(&me.quit);
		break;
	case DEJAVM__CONTROL__MSG_STATE_REQUEST:
		state_port_post(&me.port, msg->state_request);
		if (write(me.s.conf.wake_fd, &one, sizeof(one)) < 0)
			log_debug("cannot wake the sequencer: %s", strerror(errno));
		break;
	case DEJAVM__CONTROL__MSG_ABANDON:
		sequencer_stop(&me.s, STOP_ABANDON, msg->abandon->text);
		break;
	default: break;
	}
}

/* The process ends when this returns: not before the log does. */
static void on_hub_death(void *opaque)
{
	struct timespec until;

	sequencer_stop(&me.s, STOP_HUB_DIED, "the hub died");
	tell(&me.quit);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += HUB_DEATH_GRACE_S;
	pthread_mutex_lock(&me.lock);
	while (!me.closed)
		if (pthread_cond_timedwait(&me.changed, &me.lock, &until) != 0)
			break;
	pthread_mutex_unlock(&me.lock);
}

/* ---- set-up ---- */

static bool has_disks(struct proc *p)
{
	return proc_segment(p, "chan-blkseq-blkproxy") != NULL;
}

static void open_channels(struct proc *p)
{
	static const struct chan_geometry seq = { SEQ_NSLOTS, SEQ_ARENA_LEN, SEQ_NSLOTS,
		SEQ_ARENA_LEN };
	static const struct chan_geometry host = { HOSTIO_NSLOTS, HOSTIO_ARENA_LEN, HOSTIO_NSLOTS,
		HOSTIO_ARENA_LEN };
	static const struct chan_geometry blk = { BLKSEQ_NSLOTS, 0, BLKSEQ_NSLOTS, 0 };
	struct error err = ERROR_INIT;

	if (proc_chan(p, &me.seq, "seq", false, &seq, "replaylog", "devices", &err) < 0 ||
		proc_chan(p, &me.host, "host", false, &host, "replaylog", "hub", &err) < 0)
		proc_fatal(p, "%s", err.msg);
	if (!has_disks(p))
		return;
	if (proc_chan(p, &me.blk, "blkseq", false, &blk, "replaylog", "blkproxy", &err) < 0)
		proc_fatal(p, "%s", err.msg);
}

static void read_config(struct proc *p, struct sequencer_conf *c)
{
	const Dejavm__ReplayConfig *rc = p->welcome->replay;
	struct error err = ERROR_INIT;

	if (!rc)
		proc_fatal(p, "the hub's welcome has no replay configuration");
	if (rc->mode != DEJAVM__REPLAY_MODE__RR_NONE &&
		rc->mode != DEJAVM__REPLAY_MODE__RR_RECORD &&
		rc->mode != DEJAVM__REPLAY_MODE__RR_REPLAY)
		proc_fatal(p, "the hub's welcome has replay mode %d", (int)rc->mode);
	c->mode = rc->mode == DEJAVM__REPLAY_MODE__RR_RECORD   ? SOURCE_RECORD
		  : rc->mode == DEJAVM__REPLAY_MODE__RR_REPLAY ? SOURCE_REPLAY
							       : SOURCE_NONE;
	c->sleep = rc->sleep;
	c->realtime = rc->realtime;
	c->marks_all = rc->marks_all;
	c->raw = rc->raw;
	c->file_name = rc->file_name && rc->file_name[0] ? rc->file_name : "log";
	me.config = calloc(rc->n_config + 1, sizeof(*me.config));
	if (!me.config)
		proc_fatal(p, "no memory");
	for (size_t i = 0; i < rc->n_config; i++)
		me.config[i] = (struct config_item){ .key = rc->config[i]->key,
			.value = rc->config[i]->value,
			.files = rc->config[i]->files,
			.n_files = rc->config[i]->n_files };
	c->config = me.config;
	c->n_config = rc->n_config;
	if (c->mode != SOURCE_NONE && (c->log_fd = proc_segment_fd(p, "logfile")) < 0)
		proc_fatal(p, "the hub gave no descriptor of the log file");
	if (c->mode != SOURCE_RECORD)
		return;
	c->tail = proc_map_min(p, "logtail", true, sizeof(struct logtail), &err);
	if (!c->tail)
		proc_fatal(p, "%s", err.msg);
}

static void set_up(struct proc *p)
{
	struct sequencer_conf c = { .seq = &me.seq, .host = &me.host, .machine = p->machine };
	struct error err = ERROR_INIT;

	if (!p->machine)
		proc_fatal(p, "the hub gave no machine page");
	read_config(p, &c);
	open_channels(p);
	c.between = serve_state;
	if (state_port_open(&me.port, p, &err) < 0)
		proc_fatal(p, "%s", err.msg);
	if (has_disks(p))
		c.blk = &me.blk;
	c.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c.wake_fd < 0 || sequencer_init(&me.s, &c, &err) < 0)
		proc_fatal(p, "%s", err.code ? err.msg : "cannot make an eventfd");
}

static void send_finished(struct proc *p)
{
	const struct sequencer_result *r = &me.s.result;
	Dejavm__Finished fin = DEJAVM__FINISHED__INIT;
	Dejavm__Control msg = DEJAVM__CONTROL__INIT;

	fin.exit_status = r->exit_status;
	fin.cause = r->cause;
	fin.icount = r->icount;
	fin.vtime_ns = r->vtime_ns;
	fin.events = r->events;
	fin.log_bytes = r->log_bytes;
	fin.digest = r->digest;
	fin.text = (char *)r->text;
	msg.msg_case = DEJAVM__CONTROL__MSG_FINISHED;
	msg.finished = &fin;
	if (proc_send(p, &msg) < 0)
		log_debug("cannot tell the hub that the run is over");
}

int main(int argc, char **argv)
{
	struct proc *p = &me.proc;
	struct error err = ERROR_INIT;

	if (proc_start(p, "replaylog", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	set_up(p);
	p->on_hub_death = on_hub_death;
	if (proc_run_control(p, on_control, NULL) < 0)
		proc_fatal(p, "cannot start the control thread");
	if (proc_sandbox(p, &err) < 0)
		proc_fatal(p, "%s", err.msg);
	if (sequencer_open(&me.s) == 0) {
		proc_ready(p);
		sequencer_run(&me.s);
	}
	/* The log ends here, whatever ended the run; only then is it said. */
	sequencer_done(&me.s);
	tell(&me.closed);
	if (me.s.result.over)
		send_finished(p);
	pthread_mutex_lock(&me.lock);
	while (!me.quit)
		pthread_cond_wait(&me.changed, &me.lock);
	pthread_mutex_unlock(&me.lock);
	return EXIT_SUCCESS;
}
