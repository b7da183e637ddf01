/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all character back ends share: events, the output queue, flow control (see chardev.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "chardev.h"
#include "log.h"

static int null_open(struct chardev *c, struct error *err)
{
	return 0;
}

static const struct chardev_ops chardev_null_ops = { .open = null_open };

static const struct chardev_ops *const ops_of_kind[CHARDEV_KINDS] = {
	[CHARDEV_NULL] = &chardev_null_ops,
	[CHARDEV_STDIO] = &chardev_stdio_ops,
	[CHARDEV_PTY] = &chardev_pty_ops,
	[CHARDEV_FILE] = &chardev_file_ops,
	[CHARDEV_SOCKET] = &chardev_socket_ops,
};

static void peer_closed(struct chardev *c, int error)
{
	if (c->ops->closed)
		c->ops->closed(c, error);
	else
		chardev_set_fds(c, -1, -1);
}

/* ---- input ---- */

static void on_readable(evutil_socket_t fd, short what, void *opaque)
{
	struct chardev *c = opaque;
	uint8_t buf[CHARDEV_READ];
	size_t room = c->front.room ? c->front.room(c->front.opaque) : 0;
	ssize_t n;

	if (!room) {
		chardev_kick(c);
		return;
	}
	n = read(fd, buf, room < sizeof(buf) ? room : sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		peer_closed(c, n < 0 ? errno : 0);
		return;
	}
	c->n_in += (uint64_t)n;
	c->front.input(c->front.opaque, buf, (size_t)n);
	chardev_kick(c);
}

void chardev_kick(struct chardev *c)
{
	bool want = c->in_ev && !c->eof && c->front.room && c->front.room(c->front.opaque) > 0;

	if (want == c->in_armed)
		return;
	c->in_armed = want;
	if (want)
		event_add(c->in_ev, NULL);
	else
		event_del(c->in_ev);
}

/* ---- output ---- */

/* Writes what the descriptor takes. False: the peer is gone. */
static bool drain(struct chardev *c)
{
	while (c->out_fd >= 0 && evbuffer_get_length(c->out) > 0) {
		struct evbuffer_iovec v;
		ssize_t n;

		evbuffer_peek(c->out, -1, NULL, &v, 1);
		if (c->out_is_socket)
			n = send(c->out_fd, v.iov_base, v.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			n = write(c->out_fd, v.iov_base, v.iov_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			peer_closed(c, errno);
			return false;
		}
		c->n_out += (uint64_t)n;
		evbuffer_drain(c->out, (size_t)n);
	}
	return true;
}

static void on_writable(evutil_socket_t fd, short what, void *opaque)
{
	struct chardev *c = opaque;

	drain(c);
	if (c->out_ev && evbuffer_get_length(c->out) > 0)
		event_add(c->out_ev, NULL);
	if (c->full && evbuffer_get_length(c->out) <= CHARDEV_OUT_MAX / 2) {
		c->full = false;
		if (c->front.writable)
			c->front.writable(c->front.opaque);
	}
}

void chardev_write(struct chardev *c, const void *data, size_t len)
{
	bool was_empty = evbuffer_get_length(c->out) == 0;

	if (!c->connected) {
		c->n_dropped += len;
		return;
	}
	if (evbuffer_add(c->out, data, len) < 0) {
		log_error("%s: out of memory: %zu bytes are lost", c->spec->id, len);
		c->n_dropped += len;
		return;
	}
	if (was_empty && !drain(c))
		return;
	if (c->out_ev && evbuffer_get_length(c->out) > 0)
		event_add(c->out_ev, NULL);
}

size_t chardev_room(const struct chardev *c)
{
	size_t used = evbuffer_get_length(c->out);

	if (!c->connected)
		return CHARDEV_OUT_MAX;
	if (used >= CHARDEV_OUT_MAX) {
		/* Remembered, so that the front is told when there is room again. */
		((struct chardev *)c)->full = true;
		return 0;
	}
	return CHARDEV_OUT_MAX - used;
}

size_t chardev_pending(const struct chardev *c)
{
	return c->connected ? evbuffer_get_length(c->out) : 0;
}

/* ---- life ---- */

static void drop_event(struct event **ev)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
}

void chardev_set_fds(struct chardev *c, int in_fd, int out_fd)
{
	size_t queued = evbuffer_get_length(c->out);
	struct stat st;

	drop_event(&c->in_ev);
	drop_event(&c->out_ev);
	c->in_armed = false;
	c->eof = false;
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	c->connected = out_fd >= 0;
	c->out_is_socket = out_fd >= 0 && fstat(out_fd, &st) == 0 && S_ISSOCK(st.st_mode);
	if (in_fd >= 0)
		c->in_ev = event_new(c->base, in_fd, EV_READ | EV_PERSIST, on_readable, c);
	if (out_fd >= 0)
		c->out_ev = event_new(c->base, out_fd, EV_WRITE, on_writable, c);
	must((in_fd < 0 || c->in_ev) && (out_fd < 0 || c->out_ev));
	if (out_fd < 0 && queued > 0) {
		c->n_dropped += queued;
		evbuffer_drain(c->out, queued);
		if (c->full) {
			c->full = false;
			if (c->front.writable)
				c->front.writable(c->front.opaque);
		}
	}
	chardev_kick(c);
	if (out_fd >= 0 && c->front.connected)
		c->front.connected(c->front.opaque);
}

struct chardev *chardev_new(
	const struct chardev_spec *spec, struct event_base *base, bool replaying)
{
	struct chardev *c = calloc(1, sizeof(*c));

	must(c);
	c->spec = spec;
	c->ops = ops_of_kind[spec->kind];
	c->base = base;
	c->replaying = replaying;
	c->in_fd = c->out_fd = c->listen_fd = -1;
	c->close_fd[0] = c->close_fd[1] = -1;
	c->out = evbuffer_new();
	must(c->out);
	return c;
}

int chardev_open(struct chardev *c, struct error *err)
{
	int r = c->ops->open(c, err);

	if (r < 0)
		error_prefix(err, "character back end '%s'", c->spec->id);
	return r;
}

void chardev_set_front(struct chardev *c, const struct chardev_front *front)
{
	c->front = *front;
	chardev_kick(c);
}

void chardev_free(struct chardev *c)
{
	if (!c)
		return;
	c->front = (struct chardev_front){ 0 };
	drop_event(&c->in_ev);
	drop_event(&c->out_ev);
	drop_event(&c->own_ev);
	if (c->ops->done)
		c->ops->done(c);
	for (int i = 0; i < 2; i++)
		if (c->close_fd[i] >= 0)
			close(c->close_fd[i]);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	evbuffer_free(c->out);
	free(c);
}
