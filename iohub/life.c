/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a run, and the ways to end it. docs/exit-status.md has the numbers, docs/hub.md the
 *sequence:
 *
 *	SETUP ──all ready──▶ LIVE ──Finished──────────────────────────▶ LEAVING ──all gone, output
 *out──▶ exit │                   ├──someone died──▶ CLOSING ──Finished, or time is up──▶ LEAVING
 *	  └──someone died─────┴──▶ ...
 *
 * CLOSING: replaylog has been told to Abandon, that is to end the log at the last place known. If
 *it cannot, because it is what died, life_done() writes the log's tail from shared memory.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "clock.h"
#include "hub.h"
#include "log.h"
#include "logtail.h"
#include "seq.h"

/* The whole group is gone within 2 s of a death: what is waited for, together, is less. */
#define CLOSING_MS	  1200 /* for replaylog's Finished after Abandon */
#define LEAVING_BROKEN_MS 400  /* for processes to follow Quit */
#define LEAVING_MS	  1500
#define END_MS		  3000	/* for the machine to take a request to end */
#define THAW_MS		  500	/* for that request to get through replaylog */
#define FLUSH_STALL_MS	  30000 /* for a reader of our output that takes nothing */
#define FLUSH_BROKEN_MS	  300
#define TICK_MS		  5

#define EXIT_INTERRUPTED 6 /* a replay that a user ended */

/* ---- run state ---- */

static void set_run_state(struct hub *hub, enum run_state s)
{
	hub->life.run_state = s;
	if (s == RUN_RUNNING && hub->life.held)
		s = RUN_PAUSED;
	atomic_store_release(&hub->machine->run_state, (uint32_t)s);
	syscall(SYS_futex, &hub->machine->run_state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void arm_ms(struct hub *hub, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_add(hub->life.timer, &tv);
}

static int64_t ms_since(int64_t then_ns)
{
	return (host_monotonic_ns() - then_ns) / 1000000;
}

const char *life_status_name(const struct hub *hub)
{
	static const char *const names[] = { [RUN_PRELAUNCH] = "prelaunch",
		[RUN_RUNNING] = "running",
		[RUN_PAUSED] = "paused",
		[RUN_SHUTDOWN] = "shutdown",
		[RUN_QUIT] = "shutdown" };

	return names[hub->life.run_state];
}

void life_try_start(struct hub *hub)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Start start = DEJAVM__START__INIT;

	if (hub->life.phase != LIFE_SETUP || !processes_ready(hub) || hub->qmp_waiting ||
		hostlink_waiting(hub))
		return;
	if (!snapshot_at_start(hub))
		return;
	event_del(hub->life.timer);
	hub->life.phase = LIFE_LIVE;
	hub->life.start_ns = host_monotonic_ns();
	if (hub->opt.start_paused)
		hostlink_pause(hub, true);
	else
		set_run_state(hub, RUN_RUNNING);
	c.msg_case = DEJAVM__CONTROL__MSG_START;
	c.start = &start;
	process_send(&hub->proc[PROC_VCPU], &c);
}

void life_stop(struct hub *hub)
{
	/* Before the start it is -S, said late. */
	if (hub->life.phase == LIFE_SETUP)
		hub->opt.start_paused = true;
	if (hub->life.phase != LIFE_LIVE || hub->life.run_state != RUN_RUNNING)
		return;
	set_run_state(hub, RUN_PAUSED);
	hostlink_pause(hub, true);
	monitor_event(hub, "STOP", "");
}

static void thaw(struct hub *hub)
{
	hostlink_pause(hub, false);
	set_run_state(hub, RUN_RUNNING);
}

int life_cont(struct hub *hub)
{
	if (hub->life.run_state == RUN_SHUTDOWN)
		return -EINVAL;
	if (hub->life.phase == LIFE_SETUP)
		hub->opt.start_paused = false;
	if (hub->life.phase != LIFE_LIVE || hub->life.run_state == RUN_RUNNING)
		return 0;
	thaw(hub);
	monitor_event(hub, "RESUME", "");
	return 0;
}

/* The vCPU's side is park() in vcpu/main.c: a slice is less than a millisecond. While it waits in a
 * HALT, nothing writes either, and when it comes out it sees the run state first. */
bool life_hold(struct hub *hub, int ms)
{
	int64_t start = host_monotonic_ns();
	const struct timespec nap = { .tv_nsec = 100 * 1000 };

	if (hub->life.phase != LIFE_LIVE || hub->life.run_state != RUN_RUNNING)
		return true;
	atomic_store_release(&hub->machine->run_state, RUN_PAUSED);
	while (!atomic_load_acquire(&hub->machine->vcpu_parked)) {
		if (ms_since(start) >= ms)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

void life_release(struct hub *hub)
{
	if (hub->life.phase == LIFE_LIVE && hub->life.run_state == RUN_RUNNING)
		set_run_state(hub, RUN_RUNNING);
}

void life_freeze(struct hub *hub)
{
	hub->life.held = true;
	if (hub->life.run_state == RUN_RUNNING)
		atomic_store_release(&hub->machine->run_state, RUN_PAUSED);
}

void life_thaw(struct hub *hub)
{
	hub->life.held = false;
	set_run_state(hub, hub->life.run_state);
}

/* ---- the end ---- */

static void leave(struct hub *hub)
{
	struct life *l = &hub->life;

	if (l->phase == LIFE_LEAVING)
		return;
	l->phase = LIFE_LEAVING;
	set_run_state(hub, RUN_QUIT);
	processes_quit(hub);
	l->leave_ns = l->flush_ns = host_monotonic_ns();
	l->unsent = hostlink_unsent(hub);
	arm_ms(hub, TICK_MS);
}

/* Output that somebody still reads is waited for as long as he reads. */
static bool output_done(struct hub *hub)
{
	struct life *l = &hub->life;
	size_t unsent;

	if (hostlink_flushed(hub))
		return true;
	unsent = hostlink_unsent(hub);
	if (unsent != l->unsent) {
		l->unsent = unsent;
		l->flush_ns = host_monotonic_ns();
	}
	if (ms_since(l->flush_ns) <
		(l->normal && l->n_signals < 2 ? FLUSH_STALL_MS : FLUSH_BROKEN_MS))
		return false;
	log_warn("%zu bytes of the guest's output were not taken by their reader and are lost",
		unsent);
	return true;
}

static void leaving_tick(struct hub *hub)
{
	struct life *l = &hub->life;
	int grace = l->normal ? LEAVING_MS : LEAVING_BROKEN_MS;

	if (!l->killed && !processes_gone(hub) && ms_since(l->leave_ns) >= grace) {
		l->killed = true;
		processes_kill(hub);
	}
	if (processes_gone(hub) && output_done(hub)) {
		event_base_loopbreak(hub->base);
		return;
	}
	arm_ms(hub, TICK_MS);
}

/* Asks replaylog to close the log; it answers with Finished. */
static void close_log(struct hub *hub, const char *text)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Abandon a = DEJAVM__ABANDON__INIT;
	struct process *p = &hub->proc[PROC_REPLAYLOG];

	hub->life.phase = LIFE_CLOSING;
	if (!p->pid || p->state < PROCESS_SETUP || hub->life.finished) {
		leave(hub);
		return;
	}
	a.text = (char *)text;
	c.msg_case = DEJAVM__CONTROL__MSG_ABANDON;
	c.abandon = &a;
	process_send(p, &c);
	arm_ms(hub, CLOSING_MS);
}

void life_broken(struct hub *hub, const char *fmt, ...)
{
	struct life *l = &hub->life;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (l->phase == LIFE_LEAVING || l->phase == LIFE_CLOSING) {
		log_info("%s", text);
		return;
	}
	log_error("%s; the group ends", text);
	snprintf(l->text, sizeof(l->text), "%s", text);
	l->status = 1;
	if (!l->shutdown_told)
		monitor_event(hub, "SHUTDOWN", "{\"guest\":false,\"reason\":\"host-error\"}");
	l->shutdown_told = true;
	close_log(hub, text);
}

void life_refused(struct hub *hub, const char *text)
{
	struct life *l = &hub->life;

	if (l->phase != LIFE_SETUP) {
		life_broken(hub, "%s", text);
		return;
	}
	fprintf(stderr, "dejavm: %s\n", text);
	snprintf(l->text, sizeof(l->text), "%s", text);
	l->status = 1;
	l->shutdown_told = true;
	close_log(hub, text);
}

/* QMP's words for a cause (SHUTDOWN event). */
static void tell_shutdown(struct hub *hub, uint32_t cause)
{
	static const struct {
		const char *reason;
		bool guest;
	} words[SHUTDOWN_COUNT] = {
		[SHUTDOWN_NONE] = { "none", false },
		[SHUTDOWN_HOST_ERROR] = { "host-error", false },
		[SHUTDOWN_HOST_QMP] = { "host-qmp-quit", false },
		[SHUTDOWN_HOST_SIGNAL] = { "host-signal", false },
		[SHUTDOWN_HOST_UI] = { "host-ui", false },
		[SHUTDOWN_GUEST_SHUTDOWN] = { "guest-shutdown", true },
		[SHUTDOWN_GUEST_RESET] = { "guest-reset", true },
		[SHUTDOWN_GUEST_PANIC] = { "guest-panic", true },
	};
	char data[96];

	if (hub->life.shutdown_told)
		return;
	hub->life.shutdown_told = true;
	if (cause >= SHUTDOWN_COUNT)
		cause = SHUTDOWN_NONE;
	snprintf(data, sizeof(data), "{\"guest\":%s,\"reason\":\"%s\"}",
		words[cause].guest ? "true" : "false", words[cause].reason);
	monitor_event(hub, "SHUTDOWN", data);
}

/* With -no-shutdown the group stays when the guest has switched itself off. */
static bool stays(const struct hub *hub, const Dejavm__Finished *f)
{
	return hub->opt.no_shutdown && !f->exit_status && !hub->life.end_requested &&
	       (f->cause == SHUTDOWN_GUEST_SHUTDOWN || f->cause == SHUTDOWN_GUEST_RESET ||
		       f->cause == SHUTDOWN_GUEST_PANIC);
}

void life_on_finished(struct hub *hub, const Dejavm__Finished *f)
{
	struct life *l = &hub->life;

	if (l->finished || l->phase == LIFE_LEAVING)
		return;
	l->finished = true;
	l->result = *f;
	l->result.text = (char *)"";
	hostlink_drain(hub);
	if (l->phase == LIFE_CLOSING) {
		leave(hub);
		return;
	}
	if (*f->text) {
		fprintf(stderr, "dejavm: %s%s", f->text,
			f->text[strlen(f->text) - 1] == '\n' ? "" : "\n");
		snprintf(l->text, sizeof(l->text), "%s", f->text);
	}
	l->status = (int)(f->exit_status & 0xff);
	if (f->exit_status && !l->status)
		l->status = 1;
	tell_shutdown(hub, f->cause);
	if (stays(hub, f)) {
		event_del(l->timer);
		l->phase = LIFE_LIVE;
		set_run_state(hub, RUN_SHUTDOWN);
		monitor_event(hub, "STOP", "");
		return;
	}
	l->normal = true;
	leave(hub);
}

void life_on_death(struct hub *hub, struct process *p, pid_t pid, const char *how)
{
	struct life *l = &hub->life;
	const char *words = p->fatal_text;

	if (l->phase == LIFE_LEAVING)
		return;
	if (snapshot_on_death(p, how))
		return;
	if (l->phase == LIFE_CLOSING) {
		if (p->role->index == PROC_REPLAYLOG)
			leave(hub);
		return;
	}
	if (p->role->index == PROC_REPLAYLOG && l->finished)
		return; /* it has done its work; -no-shutdown holds the rest */
	/* A blkproxy that says why it cannot go on could not in its next life, either. */
	if (p->role->restartable && !hub->opt.no_restart &&
		(p->role->index != PROC_BLKPROXY || !*words)) {
		log_warn("process %s (pid %d) %s; it is started again", p->role->name, (int)pid,
			how);
		if (process_restart(p))
			return;
		if (p->role->index == PROC_BLKPROXY) {
			life_broken(hub,
				"process %s died more than %d times in %d s, and with it the disks",
				p->role->name, RESTARTS_MAX,
				(int)(RESTARTS_WINDOW_NS / 1000000000));
			return;
		}
		log_error(
			"process %s died more than %d times in %d s; the guest goes on without it",
			p->role->name, RESTARTS_MAX, (int)(RESTARTS_WINDOW_NS / 1000000000));
		p->wanted = false;
		life_try_start(hub);
		return;
	}
	/* With -D its own message went to the file. */
	if (*words && hub->log_fd >= 0)
		log_error("process %s: %s", p->role->name, words);
	life_broken(hub, "process %s (pid %d) %s", p->role->name, (int)pid, how);
}

/* ---- a user asks for the end ---- */

static int status_of_interruption(enum end_by by, int sig)
{
	return by == END_BY_SIGNAL ? 128 + sig : EXIT_INTERRUPTED;
}

/* Before the guest has run, and in a replay, nothing needs to be recorded: the end comes at once.
 */
static void interrupt(struct hub *hub, enum end_by by, int sig)
{
	struct life *l = &hub->life;

	l->status = status_of_interruption(by, sig);
	if (l->phase == LIFE_SETUP)
		snprintf(l->text, sizeof(l->text), "interrupted before the guest ran");
	else
		snprintf(l->text, sizeof(l->text), "replay interrupted at icount %llu",
			(unsigned long long)atomic_read(&hub->machine->icount_now));
	fprintf(stderr, "dejavm: %s\n", l->text);
	l->normal = true;
	if (hub->opt.rr == RR_DO_RECORD)
		close_log(hub, l->text);
	else
		leave(hub);
}

void life_request_end(struct hub *hub, enum end_by by, int sig)
{
	static const uint32_t causes[] = { [END_BY_SIGNAL] = SHUTDOWN_HOST_SIGNAL,
		[END_BY_QMP] = SHUTDOWN_HOST_QMP,
		[END_BY_UI] = SHUTDOWN_HOST_UI };
	struct life *l = &hub->life;

	if (by == END_BY_SIGNAL)
		l->n_signals++;
	if (l->phase == LIFE_CLOSING || l->phase == LIFE_LEAVING)
		return;
	if (l->finished) { /* -no-shutdown's waiting room */
		l->normal = true;
		leave(hub);
		return;
	}
	if (l->end_requested) {
		if (l->n_signals > 1)
			life_broken(hub, "ended by a second signal before the machine had answered "
					 "the first");
		return;
	}
	l->end_requested = true;
	tell_shutdown(hub, causes[by]);
	if (l->phase == LIFE_SETUP || hub->opt.rr == RR_DO_REPLAY) {
		interrupt(hub, by, sig);
		return;
	}
	hostlink_input(hub, SEQ_EV_SHUTDOWN, 0, causes[by], 0, NULL, 0);
	if (l->run_state == RUN_RUNNING) {
		arm_ms(hub, END_MS);
		return;
	}
	/* A paused machine takes no input: it runs again as soon as the request is queued, and
	 * takes it at once. */
	l->thaw = true;
	l->thaw_deadline_ns = host_monotonic_ns() + THAW_MS * INT64_C(1000000);
	arm_ms(hub, TICK_MS);
}

static void thaw_tick(struct hub *hub)
{
	struct life *l = &hub->life;

	if (!atomic_load_acquire(&hub->machine->input_pending) &&
		host_monotonic_ns() < l->thaw_deadline_ns) {
		arm_ms(hub, TICK_MS);
		return;
	}
	l->thaw = false;
	thaw(hub);
	arm_ms(hub, END_MS);
}

static void say_who_is_missing(struct hub *hub)
{
	for (int i = 0; i < PROC_COUNT; i++) {
		static const char *const what[] = { [PROCESS_NONE] = "is not there",
			[PROCESS_HELLO] = "has not said Hello",
			[PROCESS_SETUP] = "has not said Ready" };
		const struct process *p = &hub->proc[i];

		/* Nobody else is started before the images are open. */
		if (hub->opt.n_drives && !hub->disks.opened && i != PROC_BLKPROXY)
			continue;
		if (p->wanted && p->state != PROCESS_READY)
			log_warn("still waiting: process %s (pid %d) %s", p->role->name,
				(int)p->pid, what[p->state]);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;
	struct life *l = &hub->life;

	switch (l->phase) {
	case LIFE_SETUP: say_who_is_missing(hub); break;
	case LIFE_LIVE:
		if (l->thaw)
			thaw_tick(hub);
		else if (l->end_requested && !l->finished)
			life_broken(hub, "the machine did not take the request to end within %d s",
				END_MS / 1000);
		break;
	case LIFE_CLOSING: leave(hub); break;
	case LIFE_LEAVING: leaving_tick(hub); break;
	}
}

void life_init(struct hub *hub)
{
	hub->life.start_ns = host_monotonic_ns();
	hub->life.timer = evtimer_new(hub->base, on_timer, hub);
	must(hub->life.timer);
	dejavm__finished__init(&hub->life.result);
	arm_ms(hub, 10000);
}

void life_done(struct hub *hub)
{
	const struct shm_segment *log = shm_find(&hub->shm, "logfile");
	struct error err = ERROR_INIT;

	if (hub->life.timer)
		event_free(hub->life.timer);
	hub->life.timer = NULL;
	if (hub->opt.rr != RR_DO_RECORD || !log || !hub->logtail || hub->life.finished)
		return;
	/* replaylog is dead by now, and had not ended the log. */
	if (logtail_salvage(hub->logtail, log->rw_fd, SHUTDOWN_HOST_ERROR, &err) < 0) {
		log_error("the log '%s' could not be ended: %s", hub->opt.rr_file, err.msg);
		if (!hub->life.status)
			hub->life.status = 1;
	}
}
