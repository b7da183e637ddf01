/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One process of the group, seen from the hub: how it is started, its introduction (Hello, Welcome,
 * Ready), its control socket and its death. Roles and their segments: proc_table.def.
 */
#ifndef DEJAVM_HUB_PROCESS_H
#define DEJAVM_HUB_PROCESS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control.pb-c.h"
#include "error.h"

struct hub;

struct role {
	int index; /* enum proc_index */
	const char *name, *folder;
	bool restartable;
};

enum process_state {
	PROCESS_NONE,  /* not part of this run, or gone */
	PROCESS_HELLO, /* it has not said Hello yet */
	PROCESS_SETUP, /* it has been welcomed */
	PROCESS_READY,
};

#define RESTARTS_MAX	   5
#define RESTARTS_WINDOW_NS INT64_C(10000000000)

struct process_packet; /* a message that did not fit into the socket */

struct process {
	struct hub *hub;
	const struct role *role;
	enum process_state state;
	bool wanted;	  /* part of this run */
	bool by_hand;	  /* --wrap ROLE=none */
	const char *wrap; /* --wrap's command, or NULL */
	pid_t pid;	  /* of our child, or of whoever said Hello; 0: none */
	int pidfd;
	bool is_child, refused;
	pid_t hello_pid; /* differs from pid under a debugger */
	int sock;
	uint64_t epoch;
	struct event *sock_ev, *pid_ev, *out_ev, *eof_ev;
	struct process_packet *queue, **queue_end;
	char fatal_text[512]; /* its last words */
	int64_t restarts_ns[RESTARTS_MAX];
	/* heart */
	uint64_t beat;
	int64_t beat_ns;
	bool beat_warned;
};

/* Connections to hub.sock that have not said Hello yet (introduce.c). */
#define INTRODUCTIONS_MAX 8
struct introductions {
	struct event *accept_ev;
	struct {
		int sock;
		struct event *ev;
		struct hub *hub;
	} v[INTRODUCTIONS_MAX];
};

const struct role *role_find(int index);
void processes_init(struct hub *hub);
/*
 * Starts all that this run wants; or only blkproxy, if it wants that: what the others are told
 * depends on the images. 0 or -errno with *err.
 */
int processes_start(struct hub *hub, struct error *err);
/* Starts all that were left out for blkproxy. 0 or -errno with *err. */
int processes_start_rest(struct hub *hub, struct error *err);
/* Starts one that is not part of every run. 0 or -errno with *err. */
int process_add(struct process *p, struct error *err);
/* Starts one that processes_start() left out: qmpd, once its first client is there. */
void process_start_late(struct process *p);
/* Whether all that this run wants have said Ready. */
bool processes_ready(const struct hub *hub);
/* Whether none is left. */
bool processes_gone(const struct hub *hub);
/* Quit to all that live. */
void processes_quit(struct hub *hub);
void processes_kill(struct hub *hub);
/* Starts a dead process again; false: it has died too often. */
bool process_restart(struct process *p);
/* Sends a message; what does not fit into the socket now is kept and sent later. Without effect on
 * one that is gone. */
void process_send(struct process *p, const Dejavm__Control *msg);
/* The same with a descriptor (which stays the caller's), unless that is negative. */
void process_send_fd(struct process *p, const Dejavm__Control *msg, int fd);
/* Frees everything; processes that live are killed. */
void processes_done(struct hub *hub);

/* ---- between process.c and introduce.c ---- */

/* What is wrong with a Hello (of the process that was started as role, unless that is NULL), in
 * buf; NULL: nothing. */
const char *process_hello_wrong(const Dejavm__Hello *h, const char *role, char *buf, size_t cap);
void process_refuse(int sock, const char *text);
/* p was waited for, and has said h on sock. */
void process_adopt(struct process *p, int sock, pid_t pid, const Dejavm__Hello *h);
void introductions_open(struct hub *hub);
void introductions_close(struct hub *hub);

/* ---- spawn.c ---- */

/*
 * Finds a program of ours: in $DEJAVM_LIBEXEC, beside the hub, in the build tree, or where it was
 * installed. 0 or -ENOENT with *err naming the places.
 */
int program_find(const char *name, const char *folder, char *path, size_t cap, struct error *err);
/*
 * Starts the role's program with the control socket as its descriptor 3. Returns the pid, or -errno
 * with *err. err_fd: its stderr, or -1 to inherit ours.
 */
pid_t process_spawn(
	const struct role *role, const char *wrap, int sock, int err_fd, struct error *err);

#endif
