/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every process but the hub does at its start and beside its work: find
 * the control socket, say Hello, take Welcome's configuration and descriptors, watch the
 * control socket and beat the heart. A main() looks like this:
 *
 *	static struct proc p;
 *	struct error err = ERROR_INIT;
 *
 *	if (proc_start(&p, "devices", argc, argv, &err) < 0)
 *		log_fatal("%s", err.msg);
 *	// use p.welcome, proc_map(), proc_chan(); any failure: proc_fatal(&p, "...")
 *	proc_run_control(&p, on_control, &state);
 *	proc_sandbox(&p, &err);
 *	proc_ready(&p);
 *	// loop
 *
 * Lifetime: a struct proc is static or lives as long as the process. proc_send(), proc_fatal() and
 * proc_beat() may be called from any thread; everything else from the main thread.
 */
#ifndef DEJAVM_PROC_H
#define DEJAVM_PROC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "control.pb-c.h"
#include "ctl.h"
#include "error.h"
#include "ring.h"
#include "segments.h"

#define PROC_SEGMENT_NAME_MAX 47

struct proc_segment {
	char name[PROC_SEGMENT_NAME_MAX + 1];
	int fd;	      /* close-on-exec; owned by struct proc for the life of the process */
	uint64_t len; /* as Welcome says; 0 when it does not apply */
};

struct proc {
	const char *role; /* kept by reference */
	int index;	  /* enum proc_index, or -1 for a role that has none */
	int sock;	  /* the control socket, blocking */
	uint64_t epoch;
	const Dejavm__Welcome *welcome; /* never NULL after proc_start(); owned */
	Dejavm__Control *welcome_msg;	/* what owns it */
	struct proc_segment seg[CTL_MAX_FDS];
	int n_seg;
	struct machine_page *machine; /* mapped if there is a segment "machine", else NULL */
	/*
	 * Called on the control thread when the hub has died (end of file or an error of the
	 * socket). When it returns, the process exits with status 1 all the same. NULL: exit at
	 * once. Set it before proc_run_control().
	 */
	void (*on_hub_death)(void *opaque);
	/* private */
	pthread_mutex_t send_lock;
	pthread_t control_thread;
	void (*on_msg)(void *opaque, const Dejavm__Control *msg);
	void *opaque;
	uint8_t *rx_buf; /* of the thread that calls proc_recv() */
	int rx_fds[CTL_MAX_FDS], n_rx_fds;
	_Atomic bool quit_seen;
	bool sandboxed;
};

/*
 * Parses the command line (--control-fd N, --control PATH, --version, --help; the latter two print
 * and exit with status 0), connects, sends Hello and waits for Welcome. Initialises logging and
 * trace patterns as Welcome says. SIGPIPE is ignored from here on. 0; -EINVAL: bad command line;
 * -ECONNREFUSED: the hub refused, its text in *err; -EPROTO: not a hub; or another -errno. *err is
 * always set on failure.
 */
int proc_start(struct proc *p, const char *role, int argc, char **argv, struct error *err);

/* Descriptor of a segment, or -ENOENT. It stays the property of *p. */
int proc_segment_fd(const struct proc *p, const char *name);
/* Entry of a segment, or NULL. */
const struct proc_segment *proc_segment(const struct proc *p, const char *name);
/*
 * Maps the whole segment (MAP_SHARED; read-only unless writable). *ret_len (may be NULL) is the
 * length of the mapping in bytes. NULL with *err set on failure. The mapping is for the life of the
 * process.
 */
void *proc_map(struct proc *p, const char *name, bool writable, size_t *ret_len, struct error *err);
/*
 * The same for a fixed layout: fails unless the segment has at least need bytes.
 */
void *proc_map_min(struct proc *p, const char *name, bool writable, size_t need, struct error *err);
/*
 * Opens channel "bus", "seq" or "host": segments chan-NAME-MY_ROLE (writable) and
 * chan-NAME-PEER_ROLE, bells bell-MY_ROLE and bell-PEER_ROLE. is_a: I am side A. 0 or -errno with
 * *err.
 */
int proc_chan(struct proc *p, struct chan *c, const char *name, bool is_a,
	const struct chan_geometry *g, const char *my_role, const char *peer_role,
	struct error *err);

/* Sends a message to the hub, with no descriptors. 0 or -errno. Any thread. */
int proc_send(struct proc *p, const Dejavm__Control *msg);
/* "I am set up." 0 or -errno. */
int proc_ready(struct proc *p);
/* Tells the hub and stderr why this process cannot go on, and exits with status 1. Any thread. */
_Noreturn void proc_fatal(struct proc *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Receives one message, blocking. *ret is the caller's: dejavm__control__free_unpacked(msg, NULL).
 * 1: a message, 0: the hub closed the socket, -errno. For a process that watches p->sock in its own
 * event loop instead of proc_run_control().
 */
int proc_recv(struct proc *p, Dejavm__Control **ret);
/*
 * For on_msg: the descriptor that came with this message becomes the caller's; -1: none did. What
 * is not taken is closed after on_msg.
 */
int proc_take_fd(struct proc *p);
/*
 * Starts the control thread: each message goes to on_msg (on that thread; it may be NULL; msg is
 * freed afterwards); the heart beats every 250 ms. End of file: see on_hub_death. 0 or -errno.
 * Signals are blocked in that thread.
 */
int proc_run_control(
	struct proc *p, void (*on_msg)(void *opaque, const Dejavm__Control *msg), void *opaque);
/* One beat of this process's heart; proc_run_control() does it by itself. */
void proc_beat(struct proc *p);

/*
 * Locks the process down if Welcome.log.sandbox says so: no-new-privs and a system call filter, the
 * common rows of proto/sandbox.c and those of p->role. Call it when everything has been opened,
 * mapped and started (threads started before are covered too). A refused call fails with EPERM, or
 * kills the process when it is one that no honest code path could make. 0 or -errno with *err.
 */
int proc_sandbox(struct proc *p, struct error *err);

#endif
