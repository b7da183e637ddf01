/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See snapshot.h. What happens in which order is in the tables of steps. */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "hub.h"
#include "log.h"
#include "stateport.h"

#define STEP_S 60 /* for an answer */

enum { PART_VCPU, PART_DEVICES, PART_REPLAYLOG };

static const char *const part_names[] = { "vcpu", "devices", "replaylog" };
static const int part_procs[] = { PROC_VCPU, PROC_DEVICES, PROC_REPLAYLOG };

/* ---- steps ---- */

enum step_kind {
	STEP_STORE_UP, /* whoever keeps snapshots is there */
	STEP_STATE,    /* a StateRequest to a part */
	STEP_STORE,    /* a SnapshotRequest */
	STEP_END,
};

struct snapshot_step {
	enum step_kind kind;
	int op;	  /* Dejavm__StateOp or Dejavm__SnapshotOp */
	int part; /* STEP_STATE */
};

#define STATE(p, o)                                               \
	{                                                         \
		STEP_STATE, DEJAVM__STATE_OP__STATE_##o, PART_##p \
	}
#define STORE(o)                                                 \
	{                                                        \
		STEP_STORE, DEJAVM__SNAPSHOT_OP__SNAPSHOT_##o, 0 \
	}
#define UP                          \
	{                           \
		STEP_STORE_UP, 0, 0 \
	}
#define END                    \
	{                      \
		STEP_END, 0, 0 \
	}

/* Devices are asked only while the vCPU stands, and replaylog after devices have let go of what
 * they had for it. */
static const struct snapshot_step save_steps[] = { UP, STATE(REPLAYLOG, HOLD), STATE(VCPU, HOLD),
	STATE(VCPU, SAVE), STATE(DEVICES, SAVE), STATE(REPLAYLOG, SAVE), STORE(SAVE), END };

/* Everything is looked at before anything is changed. Devices ask replaylog where the log stands,
 * and the vCPU takes their memory map: so in this order. */
static const struct snapshot_step load_steps[] = { UP, STATE(REPLAYLOG, HOLD), STATE(VCPU, HOLD),
	STORE(OPEN), STATE(REPLAYLOG, CHECK), STATE(VCPU, CHECK), STATE(DEVICES, CHECK),
	STORE(RESTORE), STATE(REPLAYLOG, LOAD), STATE(DEVICES, LOAD), STATE(VCPU, LOAD), END };

static const struct snapshot_step delete_steps[] = { UP, STORE(DELETE), END };
static const struct snapshot_step list_steps[] = { UP, STORE(LIST), END };

static const struct snapshot_step *const plans[] = { [SNAPSHOT_DO_SAVE] = save_steps,
	[SNAPSHOT_DO_LOAD] = load_steps,
	[SNAPSHOT_DO_DELETE] = delete_steps,
	[SNAPSHOT_DO_LIST] = list_steps };

static void run_step(struct hub *hub);

/* ---- the end of an operation ---- */

static void state_send(struct hub *hub, int part, int op)
{
	struct snapshots *s = &hub->snapshots;
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__StateRequest r = DEJAVM__STATE_REQUEST__INIT;

	r.id = ++s->id;
	r.op = (Dejavm__StateOp)op;
	r.name = s->name;
	r.icount = s->icount;
	r.len = s->len[part];
	c.msg_case = DEJAVM__CONTROL__MSG_STATE_REQUEST;
	c.state_request = &r;
	s->from = &hub->proc[part_procs[part]];
	process_send(s->from, &c);
}

/* Is there a disk whose recording's overlay is not at hand? */
static bool kept_is_missing(const struct hub *hub)
{
	for (size_t i = 0; i < hub->opt.n_drives; i++)
		if (hub->opt.rr == RR_DO_REPLAY && hub->opt.drives[i].temporary &&
			!*hub->disks.drives[i].kept)
			return true;
	return false;
}

/* Writes go to files that end with the run: so do snapshots in them. */
static bool disks_are_temporary(const struct hub *hub)
{
	for (size_t i = 0; i < hub->opt.n_drives; i++)
		if (hub->opt.drives[i].image && hub->opt.drives[i].temporary)
			return true;
	return false;
}

static void finish(struct hub *hub, const char *error, const Dejavm__SnapshotReply *reply)
{
	struct snapshots *s = &hub->snapshots;

	event_del(s->timer);
	s->step = NULL;
	if (s->held) {
		/* Nobody waits for its answer: what comes later goes the same way. */
		state_send(hub, PART_REPLAYLOG, DEJAVM__STATE_OP__STATE_RELEASE);
		s->held = false;
		life_thaw(hub);
	}
	s->from = NULL;
	if (s->done)
		s->done(s->opaque, error, reply);
	/* What the start wants to do may have had to wait for this. */
	if (hub->life.phase == LIFE_SETUP && !s->step)
		life_try_start(hub);
}

static void failed(struct hub *hub, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void failed(struct hub *hub, const char *fmt, ...)
{
	static const char *const verbs[] = { [SNAPSHOT_DO_SAVE] = "save",
		[SNAPSHOT_DO_LOAD] = "load",
		[SNAPSHOT_DO_DELETE] = "delete",
		[SNAPSHOT_DO_LIST] = "list" };
	struct snapshots *s = &hub->snapshots;
	char text[900], what[1300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->what == SNAPSHOT_DO_LIST)
		snprintf(what, sizeof(what), "cannot list snapshots: %s", text);
	else
		snprintf(what, sizeof(what), "cannot %s snapshot '%s': %s%s", verbs[s->what],
			s->name, text,
			s->what == SNAPSHOT_DO_LOAD && kept_is_missing(hub)
				? " (a recording's snapshots are in its disks' overlay=FILE)"
				: "");
	if (s->spoilt) {
		life_broken(
			hub, "%s; the machine is neither what it was nor what it was to be", what);
		s->step = NULL;
		return;
	}
	finish(hub, what, NULL);
}

static void on_timeout(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;

	if (hub->snapshots.step)
		failed(hub, "process %s has not answered for %d s",
			hub->snapshots.from ? hub->snapshots.from->role->name : "snapstore",
			STEP_S);
}

/* ---- who keeps snapshots ---- */

/* Disks that can be written keep the snapshots. */
static bool has_disks(const struct hub *hub)
{
	for (size_t i = 0; i < hub->opt.n_drives; i++)
		if (hub->opt.drives[i].image && !hub->opt.drives[i].readonly)
			return true;
	return false;
}

static struct process *store_process(struct hub *hub)
{
	return &hub->proc[has_disks(hub) ? PROC_BLKPROXY : PROC_SNAPSTORE];
}

/*
 * The file of a machine without disks. What is beside a log that is recorded anew belongs to the
 * log that was there before.
 */
static int file_open(struct hub *hub, struct error *err)
{
	struct snapshots *s = &hub->snapshots;
	bool may_create = s->what == SNAPSHOT_DO_SAVE, readonly = false;
	int fd;

	if (s->file_open)
		return 0;
	if (!s->path)
		return error_set(err, ENOENT,
			"there is nothing to keep snapshots in: no disk that can be written, and "
			"no "
			"-snapshots FILE");
	fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOCTTY | (may_create ? O_CREAT : 0), 0644);
	if (fd < 0 && !may_create && (errno == EACCES || errno == EROFS)) {
		readonly = true;
		fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	}
	if (fd < 0)
		return error_set(
			err, errno, "cannot open the file '%s': %s", s->path, strerror(errno));
	if (hub->opt.rr == RR_DO_RECORD && !hub->opt.snapshots && ftruncate(fd, 0) < 0) {
		close(fd);
		return error_set(
			err, errno, "cannot empty the file '%s': %s", s->path, strerror(errno));
	}
	s->file_open = true;
	return shm_add_fd(&hub->shm, "snapfile", fd, readonly, err);
}

static void store_up(struct hub *hub)
{
	struct snapshots *s = &hub->snapshots;
	struct process *p = store_process(hub);
	struct error err = ERROR_INIT;

	if (p->state == PROCESS_READY) {
		/* A command may come before the group is complete. */
		for (int i = 0; i < 3; i++)
			if (hub->proc[part_procs[i]].state != PROCESS_READY)
				return;
		s->step++;
		run_step(hub);
		return;
	}
	if (has_disks(hub))
		return; /* it starts, or starts again, by itself */
	if (file_open(hub, &err) < 0 || (!p->pid && process_add(p, &err) < 0))
		failed(hub, "%s", err.msg);
}

void snapshot_on_ready(struct process *p)
{
	struct snapshots *s = &p->hub->snapshots;

	if (s->step && s->step->kind == STEP_STORE_UP)
		store_up(p->hub);
}

static void store_send(struct hub *hub, int op)
{
	struct snapshots *s = &hub->snapshots;
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__SnapshotRequest r = DEJAVM__SNAPSHOT_REQUEST__INIT;
	Dejavm__SnapshotInfo info = DEJAVM__SNAPSHOT_INFO__INIT;
	Dejavm__SnapshotPart part[3], *parts[3];

	info.name = s->name;
	info.icount = s->icount;
	info.has_icount = true;
	info.vm_clock_ns = s->vtime_ns;
	info.date_ns = (uint64_t)host_realtime_ns();
	for (int i = 0; i < 3; i++) {
		dejavm__snapshot_part__init(&part[i]);
		part[i].role = (char *)part_names[i];
		part[i].len = s->len[i];
		parts[i] = &part[i];
	}
	r.id = ++s->id;
	r.op = (Dejavm__SnapshotOp)op;
	r.info = &info;
	r.parts = parts;
	r.n_parts = 3;
	r.config = hub->config.key_ptrs;
	r.n_config = hub->config.n_keys;
	c.msg_case = DEJAVM__CONTROL__MSG_SNAPSHOT_REQUEST;
	c.snapshot_request = &r;
	s->from = store_process(hub);
	process_send(s->from, &c);
}

/* ---- the machine that runs ---- */

static void run_step(struct hub *hub)
{
	struct snapshots *s = &hub->snapshots;
	const struct timeval tv = { .tv_sec = STEP_S };

	event_add(s->timer, &tv);
	switch (s->step->kind) {
	case STEP_STORE_UP: store_up(hub); break;
	case STEP_STATE:
		if (!s->held) {
			s->held = true;
			life_freeze(hub);
			hostlink_drain(hub);
		}
		state_send(hub, s->step->part, s->step->op);
		break;
	case STEP_STORE:
		if (s->step->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_RESTORE) {
			s->spoilt = true;
			hostlink_freeze(hub);
		}
		store_send(hub, s->step->op);
		break;
	case STEP_END:
		s->spoilt = false;
		if (s->what == SNAPSHOT_DO_SAVE && disks_are_temporary(hub))
			log_warn("snapshot '%s' is in a disk's temporary overlay, and ends with "
				 "this "
				 "run; overlay=FILE keeps both",
				s->name);
		finish(hub, NULL, NULL);
		break;
	}
}

/* It is the answer that is waited for. */
static bool awaited(struct process *p, enum step_kind kind, uint64_t id)
{
	const struct snapshots *s = &p->hub->snapshots;

	return s->step && s->step->kind == kind && s->from == p && s->id == id;
}

void snapshot_on_state_reply(struct process *p, const Dejavm__StateReply *r)
{
	struct snapshots *s = &p->hub->snapshots;

	if (!awaited(p, STEP_STATE, r->id))
		return;
	if (!r->ok) {
		failed(p->hub, "%s", r->text);
		return;
	}
	if (s->step->op == DEJAVM__STATE_OP__STATE_SAVE)
		s->len[s->step->part] = r->len;
	if (s->step->part == PART_VCPU && s->step->op == DEJAVM__STATE_OP__STATE_SAVE) {
		s->icount = r->icount;
		s->vtime_ns = r->vtime_ns;
	}
	s->step++;
	run_step(p->hub);
}

static bool parts_take(struct snapshots *s, const Dejavm__SnapshotReply *r)
{
	bool have[3] = { false };

	for (size_t i = 0; i < r->n_parts; i++) {
		for (int k = 0; k < 3; k++) {
			if (strcmp(r->parts[i]->role, part_names[k]))
				continue;
			have[k] = true;
			s->len[k] = r->parts[i]->len;
		}
	}
	return have[0] && have[1] && have[2];
}

void snapshot_on_reply(struct process *p, const Dejavm__SnapshotReply *r)
{
	struct snapshots *s = &p->hub->snapshots;

	if (!awaited(p, STEP_STORE, r->id))
		return;
	if (!r->ok) {
		failed(p->hub, "%s", r->text);
		return;
	}
	if (s->step->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_LIST) {
		finish(p->hub, NULL, r);
		return;
	}
	if (s->step->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_OPEN && !parts_take(s, r)) {
		failed(p->hub, "states are missing");
		return;
	}
	if (s->step->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_RESTORE)
		disks_on_restored(p->hub, r->kept_view);
	s->step++;
	run_step(p->hub);
}

bool snapshot_on_death(struct process *p, const char *how)
{
	struct snapshots *s = &p->hub->snapshots;

	if (p->role->index == PROC_BLKPROXY && s->step && s->step->kind == STEP_STORE)
		failed(p->hub, "process blkproxy %s", how);
	if (p->role->index != PROC_SNAPSTORE)
		return false;
	p->wanted = false;
	if (!s->step || (s->step->kind != STEP_STORE_UP && s->from != p)) {
		log_warn("process snapstore %s; it is started again when it is needed", how);
		return true;
	}
	failed(p->hub, "process snapstore %s%s%s", how, *p->fatal_text ? ": " : "", p->fatal_text);
	return true;
}

/* ---- what others ask for ---- */

bool snapshot_busy(const struct hub *hub)
{
	return hub->snapshots.step != NULL;
}

/* Why it cannot be done now, or NULL. */
static const char *impossible(const struct hub *hub, enum snapshot_what what, const char *name)
{
	if (hub->snapshots.step)
		return "another one is being worked on";
	if (what != SNAPSHOT_DO_LIST && !*name)
		return "it needs a name";
	if (strlen(name) > SNAPSHOT_NAME_MAX)
		return "a name has at most 255 bytes";
	if (hub->life.finished || hub->life.phase > LIFE_LIVE)
		return "the run is over";
	if (what == SNAPSHOT_DO_LOAD && hub->opt.rr == RR_DO_RECORD)
		return "the machine is being recorded, and the log would have a past that never "
		       "was; a replay can go there";
	return NULL;
}

void snapshot_do(struct hub *hub, enum snapshot_what what, const char *name, snapshot_done_fn *done,
	void *opaque)
{
	struct snapshots *s = &hub->snapshots;
	const char *no = impossible(hub, what, name);
	struct stat st;

	if (s->step) {
		done(opaque, no, NULL);
		return;
	}
	s->what = what;
	snprintf(s->name, sizeof(s->name), "%.*s", SNAPSHOT_NAME_MAX, name);
	s->done = done;
	s->opaque = opaque;
	s->held = s->spoilt = false;
	s->step = plans[what];
	if (no) {
		failed(hub, "%s", no);
		return;
	}
	/* No file, no snapshots: that is no reason to make one. */
	if (what == SNAPSHOT_DO_LIST && !has_disks(hub) && !s->file_open &&
		(!s->path || stat(s->path, &st) < 0)) {
		finish(hub, NULL, NULL);
		return;
	}
	run_step(hub);
}

static void started(void *opaque, const char *error, const Dejavm__SnapshotReply *reply)
{
	struct hub *hub = opaque;

	if (error) {
		life_refused(hub, error);
		return;
	}
	hub->snapshots.start_done = true;
	life_try_start(hub);
}

bool snapshot_at_start(struct hub *hub)
{
	const struct options *o = &hub->opt;
	bool save = o->rr == RR_DO_RECORD && o->rr_snapshot;
	const char *name = o->rr_snapshot ? o->rr_snapshot : o->loadvm;

	if (!name || hub->snapshots.start_done)
		return true;
	if (!hub->snapshots.step)
		snapshot_do(hub, save ? SNAPSHOT_DO_SAVE : SNAPSHOT_DO_LOAD, name, started, hub);
	return hub->snapshots.start_done;
}

int snapshots_open(struct hub *hub, struct error *err)
{
	static const char *const segments[] = { "state-vcpu", "state-devices", "state-replaylog" };
	struct snapshots *s = &hub->snapshots;
	int r = 0;

	if (hub->opt.snapshots)
		s->path = strdup(hub->opt.snapshots);
	else if (hub->opt.rr_file && asprintf(&s->path, "%s.snapshots.qcow2", hub->opt.rr_file) < 0)
		s->path = NULL;
	s->timer = evtimer_new(hub->base, on_timeout, hub);
	must(s->timer);
	for (int i = 0; i < 3 && r == 0; i++)
		r = shm_add_memory(&hub->shm, segments[i], STATE_SEGMENT_LEN, err);
	return r;
}

void snapshots_close(struct hub *hub)
{
	if (hub->snapshots.timer)
		event_free(hub->snapshots.timer);
	hub->snapshots.timer = NULL;
	free(hub->snapshots.path);
	hub->snapshots.path = NULL;
}
