/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hub as a whole. Who does what:
 *
 *	options.c, opt_*.c	the command line
 *	config.c		what processes are told, and the configuration that the log keeps
 *	shm.c, rundir.c		shared memory, run directory
 *	process.c, spawn.c	one process: starting it, Hello and Welcome, messages, its death
 *	introduce.c		processes that are started by hand
 *	life.c			the run: start, stop, cont, the ways to end, the exit status
 *	watch.c			signals, heart beats
 *	monitor.c		what qmpd asks for
 *	hostlink.c, mux.c, chardev*.c	characters
 *	stats.c			--stats
 */
#ifndef DEJAVM_HUB_HUB_H
#define DEJAVM_HUB_HUB_H

#include <event2/event.h>
#include <stdarg.h>

#include "config.h"
#include "control.pb-c.h"
#include "hostlink.h"
#include "options.h"
#include "process.h"
#include "rundir.h"
#include "segments.h"
#include "shm.h"

/* What to do about the end of the run. */
enum end_by { END_BY_SIGNAL, END_BY_QMP, END_BY_UI };

enum life_phase {
	LIFE_SETUP,   /* processes are being introduced */
	LIFE_LIVE,    /* the machine exists: running, paused, or shut down with -no-shutdown */
	LIFE_CLOSING, /* something broke: replaylog has been asked to close the log */
	LIFE_LEAVING, /* everybody has been told to quit */
};

struct life {
	enum life_phase phase;
	enum run_state run_state;
	int status;		 /* the exit status, once phase is past LIFE_LIVE */
	bool finished;		 /* replaylog has said Finished; the log is whole */
	Dejavm__Finished result; /* its numbers; text is "" */
	char text[4096];	 /* how the run ended, when not well */
	bool end_requested, shutdown_told;
	int n_signals;
	bool thaw; /* paused, but an end was asked for: run as soon as the input is queued */
	int64_t thaw_deadline_ns;
	bool killed; /* leftovers have been killed */
	bool normal; /* leaving because the run ended, not because something broke */
	struct event *timer;
	int64_t start_ns, flush_ns, leave_ns;
	size_t unsent;
};

struct hub {
	struct options opt;
	struct event_base *base;
	struct shm shm;
	struct rundir rundir;
	struct config config;
	struct machine_page *machine;
	struct logtail *logtail;
	struct process proc[PROC_COUNT];
	struct introductions intro;
	struct hostlink hostlink;
	struct life life;
	struct event *signal_ev, *beat_ev, *qmp_wait_ev;
	int signal_fd;
	int64_t signal_ns; /* when the last one came */
	int log_fd;	   /* -D, or -1 */
	bool qmp_waiting;  /* -qmp wait=on, and no client yet */
	char qmp_name[160];
};

/* ---- life.c ---- */

void life_init(struct hub *hub);
/* Starts the guest if all are ready and connected. Called whenever that may have become so. */
void life_try_start(struct hub *hub);
/* A process's message that concerns the run. */
void life_on_finished(struct hub *hub, const Dejavm__Finished *f);
/* A process that cannot be replaced is gone. how: "killed by signal 9 (SIGKILL)". */
void life_on_death(struct hub *hub, struct process *p, pid_t pid, const char *how);
/* The run cannot go on: a message, and the log closed as well as may be. */
void life_broken(struct hub *hub, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A user asks for the end; sig: the signal, for END_BY_SIGNAL. */
void life_request_end(struct hub *hub, enum end_by by, int sig);
/* QMP stop and cont. life_cont(): -EINVAL when the guest has shut down. */
void life_stop(struct hub *hub);
int life_cont(struct hub *hub);
const char *life_status_name(const struct hub *hub);
/* After the loop: the log, if nobody closed it. */
void life_done(struct hub *hub);

/* ---- watch.c ---- */

int watch_open(struct hub *hub, struct error *err);
void watch_close(struct hub *hub);

/* ---- monitor.c ---- */

void monitor_request(struct hub *hub, const Dejavm__MonitorRequest *req);
/* Tells QMP clients. data: JSON object or "". */
void monitor_event(struct hub *hub, const char *name, const char *data);

/* ---- stats.c ---- */

void stats_write(struct hub *hub);

#endif
