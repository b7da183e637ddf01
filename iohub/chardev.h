/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character back ends: where a stream's bytes come from and go to on the host. A back end opens
 *descriptors; reading, writing, queueing and flow control are common (chardev.c).
 *
 *	c = chardev_new(spec, base, replaying);
 *	chardev_open(c, &err);
 *	chardev_set_front(c, &front);
 *	chardev_write(c, data, len);
 *
 * Input: the front is asked how much it takes (room) before anything is read; when that grows, it
 *calls chardev_kick(). While the answer is 0 nothing is read, so that the writer at the other end
 *waits. Output: queued up to CHARDEV_OUT_MAX bytes; chardev_room() says how much more. A back end
 *without a peer (socket without a client, closed pseudo-terminal) drops output; any other never
 *does.
 */
#ifndef DEJAVM_HUB_CHARDEV_H
#define DEJAVM_HUB_CHARDEV_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

#define CHARDEV_OUT_MAX (1u << 20)
#define CHARDEV_READ	4096

struct chardev;

/* Who uses a back end. All are called from the event loop; opaque is theirs. */
struct chardev_front {
	size_t (*room)(void *opaque);
	void (*input)(void *opaque, const uint8_t *data, size_t len);
	void (*writable)(void *opaque);	 /* output has room again after it had none */
	void (*connected)(void *opaque); /* there is a peer */
	void *opaque;
};

struct chardev_ops {
	/* Sets in_fd, out_fd and connected. 0 or -errno with *err. */
	int (*open)(struct chardev *c, struct error *err);
	/* The peer is gone (end of file, or a write failed with error, 0 for end of file). */
	void (*closed)(struct chardev *c, int error);
	void (*done)(struct chardev *c);
};

struct chardev {
	const struct chardev_spec *spec;
	const struct chardev_ops *ops;
	struct event_base *base;
	bool replaying; /* input is not wanted, and a back end that cannot be opened may be absent
			 */
	struct chardev_front front;
	/* Set by the back end's open(), through chardev_set_fds(). */
	int in_fd, out_fd; /* -1: none */
	bool connected;	   /* output goes somewhere */
	bool waiting;	   /* wait=on, and nobody has connected yet */
	/* common */
	struct event *in_ev, *out_ev;
	bool in_armed, full, eof, out_is_socket;
	struct evbuffer *out;
	uint64_t n_in, n_out, n_dropped;
	/* back ends' own */
	int listen_fd;	      /* socket */
	struct event *own_ev; /* socket: accept; pty: look whether it is open */
	int close_fd[2];      /* descriptors to close at the end, -1: none */
	char name[160];	      /* for messages: "unix:/tmp/x", "/dev/pts/3" */
};

struct chardev *chardev_new(
	const struct chardev_spec *spec, struct event_base *base, bool replaying);
/* 0 or -errno with *err; the chardev remains the caller's either way. */
int chardev_open(struct chardev *c, struct error *err);
void chardev_set_front(struct chardev *c, const struct chardev_front *front);
/* Takes all of data (the caller has asked chardev_room(), or accepts that the queue grows a
 * little). */
void chardev_write(struct chardev *c, const void *data, size_t len);
size_t chardev_room(const struct chardev *c);
/* Bytes that are queued and have a peer to go to. */
size_t chardev_pending(const struct chardev *c);
/* The front's room has changed. */
void chardev_kick(struct chardev *c);
/* Closes; what is queued is lost. */
void chardev_free(struct chardev *c);

/* For back ends: the peer's descriptors (-1, -1: it is gone). They must not block when the loop
 * says that they are ready. */
void chardev_set_fds(struct chardev *c, int in_fd, int out_fd);

extern const struct chardev_ops chardev_stdio_ops, chardev_pty_ops, chardev_file_ops,
	chardev_socket_ops;

/*
 * A listening socket for a unix or TCP spec: descriptor or -errno with *err. name (for messages)
 * gets "unix:PATH" or "tcp:HOST:PORT".
 */
int chardev_listen(const struct chardev_spec *spec, char *name, size_t name_cap, struct error *err);

/* The terminal's mode is put back: on every way out, and from signal handlers. */
void terminal_restore(void);
/* SIGCONT: raw mode again, if it was on. */
void terminal_resume(void);

#endif
