/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-qmpd: serves QMP on the socket that the hub listens on. It holds no state of the machine,
 * so that it can be killed and started again at any moment; the listening socket and its backlog
 * live on in the hub.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "proc.h"
#include "qmp.h"

#define IN_MAX	(64 * 1024)   /* input that waits for the hub's answer */
#define OUT_MAX (1024 * 1024) /* output that the client does not read */
#define BEAT_MS 250

struct server {
	struct proc proc;
	struct event_base *base;
	int listen_fd;
	struct event *accept_ev, *hub_ev, *beat_ev;
	uint64_t next_number;
	bool quitting;
	/* the client; fd -1: none */
	int fd;
	struct event *in_ev, *out_ev;
	struct evbuffer *in, *out;
	bool client_eof;
	struct qmp qmp;
};

/* ---- the client ---- */

static void client_close(struct server *s)
{
	event_free(s->in_ev);
	event_free(s->out_ev);
	evbuffer_free(s->in);
	evbuffer_free(s->out);
	qmp_done(&s->qmp);
	close(s->fd);
	s->fd = -1;
	event_add(s->accept_ev, NULL);
}

/* Sends what the socket takes. False: the client is gone. */
static bool client_flush(struct server *s)
{
	while (evbuffer_get_length(s->out) > 0) {
		struct evbuffer_iovec v;
		ssize_t n;

		evbuffer_peek(s->out, -1, NULL, &v, 1);
		n = send(s->fd, v.iov_base, v.iov_len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(s->out_ev, NULL);
			return true;
		}
		if (n < 0)
			return false;
		evbuffer_drain(s->out, (size_t)n);
	}
	return true;
}

/* Gives the session what has come in, as far as it takes it, and sends its answers. */
static void client_work(struct server *s)
{
	for (;;) {
		struct evbuffer_iovec v;
		size_t n;

		if (evbuffer_get_length(s->out) > OUT_MAX || qmp_busy(&s->qmp) ||
			evbuffer_peek(s->in, -1, NULL, &v, 1) < 1)
			break;
		n = qmp_feed(&s->qmp, v.iov_base, v.iov_len);
		evbuffer_drain(s->in, n);
	}
	if (!client_flush(s) ||
		(s->client_eof && !qmp_busy(&s->qmp) && !evbuffer_get_length(s->in) &&
			!evbuffer_get_length(s->out))) {
		client_close(s);
		return;
	}
	/* A client that sends and does not read waits. */
	if (!s->client_eof && evbuffer_get_length(s->in) < IN_MAX &&
		evbuffer_get_length(s->out) <= OUT_MAX)
		event_add(s->in_ev, NULL);
	else
		event_del(s->in_ev);
}

static void on_client_readable(evutil_socket_t fd, short what, void *opaque)
{
	struct server *s = opaque;
	uint8_t buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		client_close(s);
		return;
	}
	if (n == 0)
		s->client_eof = true; /* it may still read the answers to what it sent */
	else
		evbuffer_add(s->in, buf, (size_t)n);
	client_work(s);
}

static void on_client_writable(evutil_socket_t fd, short what, void *opaque)
{
	client_work(opaque);
}

static void on_output(void *opaque, const char *text, size_t len)
{
	struct server *s = opaque;

	evbuffer_add(s->out, text, len);
}

static void on_forward(void *opaque, uint64_t number, const char *command, const char *arguments)
{
	struct server *s = opaque;
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__MonitorRequest r = DEJAVM__MONITOR_REQUEST__INIT;

	r.id = number;
	r.command = (char *)command;
	r.arguments = (char *)arguments;
	c.msg_case = DEJAVM__CONTROL__MSG_MONITOR_REQUEST;
	c.monitor_request = &r;
	if (proc_send(&s->proc, &c) < 0)
		log_fatal("cannot send to the hub");
}

static void on_accept(evutil_socket_t fd, short what, void *opaque)
{
	struct server *s = opaque;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client < 0)
		return;
	/* One at a time: the next one's greeting comes when this one has gone. */
	event_del(s->accept_ev);
	s->fd = client;
	s->client_eof = false;
	s->in = evbuffer_new();
	s->out = evbuffer_new();
	s->in_ev = event_new(s->base, client, EV_READ | EV_PERSIST, on_client_readable, s);
	s->out_ev = event_new(s->base, client, EV_WRITE, on_client_writable, s);
	must(s->in && s->out && s->in_ev && s->out_ev);
	qmp_init(&s->qmp, &s->next_number, on_output, on_forward, s);
	client_work(s);
}

/* ---- the hub ---- */

static void on_hub_message(struct server *s, const Dejavm__Control *c)
{
	const Dejavm__MonitorReply *r = c->monitor_reply;
	const Dejavm__MonitorEvent *e = c->monitor_event;

	switch (c->msg_case) {
	case DEJAVM__CONTROL__MSG_QUIT: s->quitting = true; break;
	case DEJAVM__CONTROL__MSG_MONITOR_REPLY:
		if (s->fd >= 0)
			qmp_reply(&s->qmp, r->id, r->value, r->error_class,
				r->ok ? NULL : r->error_desc);
		break;
	case DEJAVM__CONTROL__MSG_MONITOR_EVENT:
		if (s->fd >= 0)
			qmp_event(&s->qmp, e->name, e->data, e->time_us);
		break;
	default: break;
	}
	if (s->fd >= 0)
		client_work(s);
}

static void on_hub_readable(evutil_socket_t fd, short what, void *opaque)
{
	struct server *s = opaque;
	Dejavm__Control *c = NULL;
	int r = proc_recv(&s->proc, &c);

	if (r <= 0) /* the hub is dead, and with it the machine */
		exit(1);
	on_hub_message(s, c);
	dejavm__control__free_unpacked(c, NULL);
	if (s->quitting)
		event_base_loopbreak(s->base);
}

static void on_beat(evutil_socket_t fd, short what, void *opaque)
{
	proc_beat(&((struct server *)opaque)->proc);
}

/* ---- set-up ---- */

static void setup(struct server *s)
{
	struct timeval beat = { .tv_usec = BEAT_MS * 1000 };
	struct error err = ERROR_INIT;

	s->fd = -1;
	s->listen_fd = proc_segment_fd(&s->proc, "qmp-listen");
	if (s->listen_fd < 0)
		proc_fatal(&s->proc, "the hub gave no listening socket (segment qmp-listen)");
	fcntl(s->listen_fd, F_SETFL, O_NONBLOCK);
	s->base = event_base_new();
	must(s->base);
	s->accept_ev = event_new(s->base, s->listen_fd, EV_READ | EV_PERSIST, on_accept, s);
	s->hub_ev = event_new(s->base, s->proc.sock, EV_READ | EV_PERSIST, on_hub_readable, s);
	s->beat_ev = event_new(s->base, -1, EV_PERSIST, on_beat, s);
	must(s->accept_ev && s->hub_ev && s->beat_ev);
	event_add(s->accept_ev, NULL);
	event_add(s->hub_ev, NULL);
	event_add(s->beat_ev, &beat);
	if (proc_sandbox(&s->proc, &err) < 0)
		proc_fatal(&s->proc, "%s", err.msg);
	proc_ready(&s->proc);
}

int main(int argc, char **argv)
{
	static struct server s;
	struct error err = ERROR_INIT;

	if (proc_start(&s.proc, "qmpd", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	setup(&s);
	event_base_dispatch(s.base);
	/* Quit: what has been answered still goes out, as far as the client takes it. */
	if (s.fd >= 0)
		client_flush(&s);
	return 0;
}
