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
 *	disks.c			files of disk images
 *	monitor_block.c		QMP's commands about them
 *	display.c		the process that shows the picture, and what a user types there
 *	snapshot.c		snapshots: who is asked for what, in which order
 *	hmp.c, hmp_commands.c	the human monitor
 *	screendump.c		the picture as a file
 *	stats.c			--stats
 */
#ifndef DEJAVM_HUB_HUB_H
#define DEJAVM_HUB_HUB_H

#include <event2/event.h>
#include <stdarg.h>
#include <termios.h>

#include "config.h"
#include "control.pb-c.h"
#include "disks.h"
#include "display.h"
#include "hostlink.h"
#include "options.h"
#include "process.h"
#include "rundir.h"
#include "segments.h"
#include "shm.h"
#include "snapshot.h"

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
	bool held; /* a snapshot is being worked on: the vCPU does not run, whatever run_state says
		    */
	bool normal; /* leaving because the run ended, not because something broke */
	struct event *timer;
	int64_t start_ns, flush_ns, leave_ns;
	size_t unsent;
};

/* The picture, and who shows it; all NULL without a display adapter. */
struct display {
	const struct display_page *page;
	const uint8_t *vram;
	uint64_t vram_len;
	char name[160];	  /* where VNC clients connect */
	char password[9]; /* VNC knows eight bytes of it */
	Dejavm__DisplayConfig config;
	/* -display curses: how the terminal was; the display itself may die without a word */
	int terminal_fd; /* shm's; 0: none */
	struct termios terminal;
	/* send-key: keys that are down until the timer */
	struct event *release_ev;
	uint32_t down[16];
	size_t n_down;
};

struct hub {
	struct options opt;
	struct event_base *base;
	struct shm shm;
	struct rundir rundir;
	struct config config;
	struct machine_page *machine;
	struct logtail *logtail;
	const struct blk_flight *blkflight; /* NULL: no disks */
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
	struct display display;
	struct snapshots snapshots;
	struct disks disks;
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
/* The run cannot begin, for a reason that the user gave: a sentence, and the end. */
void life_refused(struct hub *hub, const char *text);
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

/* Runs a command of QMP for the human monitor. NULL, or the text of the error. */
struct json_object;
const char *monitor_run(struct hub *hub, const char *command, struct json_object *args);

/* Why an input that changes the machine cannot be given now, or NULL. */
const char *monitor_no_input(const struct hub *hub);

/* ---- monitor_display.c: commands, as in monitor.c ---- */

struct json_object;
const char *cmd_screendump(struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_send_key(struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_input_send_event(struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_change_vnc_password(
	struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_set_password(struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_query_vnc(struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_query_mice(struct hub *hub, struct json_object *args, char *ret, size_t cap);

/* ---- monitor_block.c: commands, as in monitor.c ---- */

const char *cmd_query_block(struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_query_blockstats(struct hub *hub, struct json_object *args, char *ret, size_t cap);
const char *cmd_query_named_block_nodes(
	struct hub *hub, struct json_object *args, char *ret, size_t cap);

/* ---- display.c ---- */

/* Adds to hub->shm what the display process gets, before any process is started. 0 or -errno with
 * *err. */
int display_open(struct hub *hub, struct error *err);
/* What a user did at the display. */
void display_on_inputs(struct hub *hub, const Dejavm__UserInputs *in);
/* The password for VNC clients from now on; "": nobody gets in. */
void display_set_password(struct hub *hub, const char *text);
/* It is ready (again). */
void display_on_ready(struct hub *hub);
void display_close(struct hub *hub);

/* ---- screendump.c ---- */

enum screendump_format { SCREENDUMP_PPM, SCREENDUMP_PNG };
/*
 * Writes the picture of this moment to a file; the guest stands still at a checkpoint meanwhile. 0
 * or -errno with *err.
 */
int screendump(struct hub *hub, const char *path, enum screendump_format format, struct error *err);

/* ---- life.c, again ---- */

/*
 * Stops the vCPU between two instructions, for a look at memory that leaves no trace: at most ms
 * milliseconds are waited for that. True: it stands, until life_release(). It need not be running.
 */
bool life_hold(struct hub *hub, int ms);
void life_release(struct hub *hub);
/*
 * For a snapshot: the vCPU stops, and stays so, whatever stop and cont do, until life_thaw(). To be
 * sure that it stands, ask it.
 */
void life_freeze(struct hub *hub);
void life_thaw(struct hub *hub);

/* ---- stats.c ---- */

void stats_write(struct hub *hub);

#endif
