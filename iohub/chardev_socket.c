/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Back end "socket": unix or TCP, server or client. One peer at a time: while there is one, others
 * wait in the backlog, and when it goes the next one is served. Also makes the listening socket
 * that qmpd gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "chardev.h"
#include "log.h"

/* ---- addresses ---- */

static void unix_address(const struct chardev_spec *s, struct sockaddr_un *sa)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	must(strlen(s->path) < sizeof(sa->sun_path));
	memcpy(sa->sun_path, s->path, strlen(s->path) + 1);
}

static void spec_name(const struct chardev_spec *s, char *buf, size_t cap)
{
	if (s->path)
		snprintf(buf, cap, "unix:%s", s->path);
	else
		snprintf(buf, cap, "tcp:%s:%s", s->host ? s->host : "", s->port);
}

/* Tries each address of host:port until fn succeeds. Descriptor or -errno with *err. */
static int tcp_each(const struct chardev_spec *s, bool passive,
	int (*fn)(int, const struct sockaddr *, socklen_t), const char *verb, struct error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = passive ? AI_PASSIVE : 0 };
	const char *host = s->host && *s->host ? s->host : NULL;
	struct addrinfo *list, *a;
	int fd = -1, saved = 0, one = 1;
	int r = getaddrinfo(host, s->port, &hints, &list);

	if (r)
		return error_set(err, EINVAL, "host '%s', port '%s': %s", host ? host : "", s->port,
			gai_strerror(r));
	for (a = list; a; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd < 0) {
			saved = errno;
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (fn(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		saved = errno;
		close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		return error_set(err, saved, "cannot %s tcp:%s:%s: %s", verb, host ? host : "",
			s->port, strerror(saved));
	return fd;
}

static int bind_and_listen(int fd, const struct sockaddr *sa, socklen_t len)
{
	return bind(fd, sa, len) < 0 ? -1 : listen(fd, 4);
}

static int connect_plain(int fd, const struct sockaddr *sa, socklen_t len)
{
	return connect(fd, sa, len);
}

/* As with QEMU a socket that is left over is replaced; a file of another kind is not. */
static int clear_unix_path(const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_set(
			err, EEXIST, "cannot listen on '%s': it exists and is not a socket", path);
	if (unlink(path) < 0)
		return error_set(
			err, errno, "cannot replace socket '%s': %s", path, strerror(errno));
	return 0;
}

static int unix_socket(const struct chardev_spec *s, bool server, struct error *err)
{
	struct sockaddr_un sa;
	int fd, r;

	unix_address(s, &sa);
	if (server && (r = clear_unix_path(s->path, err)) < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, errno, "cannot make a socket: %s", strerror(errno));
	r = server ? bind_and_listen(fd, (struct sockaddr *)&sa, sizeof(sa))
		   : connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	if (r < 0) {
		r = error_set(err, errno, "cannot %s unix:%s: %s",
			server ? "listen on" : "connect to", s->path, strerror(errno));
		close(fd);
		return r;
	}
	return fd;
}

int chardev_listen(const struct chardev_spec *spec, char *name, size_t name_cap, struct error *err)
{
	spec_name(spec, name, name_cap);
	if (spec->path)
		return unix_socket(spec, true, err);
	return tcp_each(spec, true, bind_and_listen, "listen on", err);
}

/* ---- the back end ---- */

static void take_peer(struct chardev *c, int fd)
{
	int one = 1;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (c->spec->nodelay)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->close_fd[0] = fd;
	c->waiting = false;
	chardev_set_fds(c, fd, fd);
}

static void on_accept(evutil_socket_t fd, short what, void *opaque)
{
	struct chardev *c = opaque;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (peer < 0)
		return;
	event_del(c->own_ev);
	take_peer(c, peer);
}

static int socket_open(struct chardev *c, struct error *err)
{
	int fd;

	if (!c->spec->server) {
		spec_name(c->spec, c->name, sizeof(c->name));
		fd = c->spec->path ? unix_socket(c->spec, false, err)
				   : tcp_each(c->spec, false, connect_plain, "connect to", err);
		if (fd < 0)
			return fd;
		take_peer(c, fd);
		return 0;
	}
	fd = chardev_listen(c->spec, c->name, sizeof(c->name), err);
	if (fd < 0)
		return fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	c->listen_fd = fd;
	c->own_ev = event_new(c->base, fd, EV_READ | EV_PERSIST, on_accept, c);
	must(c->own_ev);
	event_add(c->own_ev, NULL);
	/* A replay is not held up by a back end that is absent. */
	c->waiting = c->spec->wait && !c->replaying;
	return 0;
}

static void socket_closed(struct chardev *c, int error)
{
	chardev_set_fds(c, -1, -1);
	if (c->close_fd[0] >= 0)
		close(c->close_fd[0]);
	c->close_fd[0] = -1;
	if (c->own_ev)
		event_add(c->own_ev, NULL);
}

static void socket_done(struct chardev *c)
{
	if (c->listen_fd >= 0 && c->spec->path)
		unlink(c->spec->path);
}

const struct chardev_ops chardev_socket_ops = {
	.open = socket_open,
	.closed = socket_closed,
	.done = socket_done,
};
