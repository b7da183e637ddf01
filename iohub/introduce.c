/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes that are started by hand (--wrap ROLE=none): they connect to hub.sock and say Hello.
 * Whoever is not waited for, or is not of this user, is refused.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl.h"
#include "hub.h"
#include "log.h"

static void introduction_drop(struct hub *hub, int i, bool keep_socket)
{
	event_free(hub->intro.v[i].ev);
	if (!keep_socket)
		close(hub->intro.v[i].sock);
	hub->intro.v[i].sock = -1;
	hub->intro.v[i].ev = NULL;
}

static struct process *find_by_hand(struct hub *hub, const char *role)
{
	for (int i = 0; i < PROC_COUNT; i++) {
		struct process *p = &hub->proc[i];

		if (p->wanted && p->by_hand && p->sock < 0 && p->state == PROCESS_HELLO &&
			!strcmp(p->role->name, role))
			return p;
	}
	return NULL;
}

static void introduce(struct hub *hub, int i, const Dejavm__Hello *h)
{
	int sock = hub->intro.v[i].sock;
	struct process *p = find_by_hand(hub, h->role);
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	char text[256];
	const char *wrong = process_hello_wrong(h, NULL, text, sizeof(text));

	getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	if (!wrong && cred.uid != geteuid()) {
		wrong = "a process of another user may not join";
	} else if (!wrong && !p) {
		snprintf(text, sizeof(text),
			"this hub does not wait for a process '%.32s' (--wrap %.32s=none)", h->role,
			h->role);
		wrong = text;
	}
	if (wrong) {
		log_warn("refused: %s", wrong);
		process_refuse(sock, wrong);
		introduction_drop(hub, i, false);
		return;
	}
	introduction_drop(hub, i, true);
	process_adopt(p, sock, cred.pid, h);
}

static void on_introduction(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;
	static uint8_t buf[CTL_MAX_PACKET];
	Dejavm__Control *c;
	int fds[CTL_MAX_FDS], nfds = 0, i = 0;
	long n = ctl_recv(fd, buf, sizeof(buf), fds, CTL_MAX_FDS, &nfds);

	while (nfds > 0)
		close(fds[--nfds]);
	while (hub->intro.v[i].sock != fd)
		i++;
	must(i < INTRODUCTIONS_MAX);
	c = n > 0 ? dejavm__control__unpack(NULL, (size_t)n, buf) : NULL;
	if (c && c->msg_case == DEJAVM__CONTROL__MSG_HELLO)
		introduce(hub, i, c->hello);
	else
		introduction_drop(hub, i, false);
	if (c)
		dejavm__control__free_unpacked(c, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;
	int i = 0, sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (sock < 0)
		return;
	while (i < INTRODUCTIONS_MAX && hub->intro.v[i].ev)
		i++;
	if (i == INTRODUCTIONS_MAX) {
		/* The oldest has had its time. */
		introduction_drop(hub, 0, false);
		i = 0;
	}
	hub->intro.v[i].sock = sock;
	hub->intro.v[i].ev = event_new(hub->base, sock, EV_READ | EV_PERSIST, on_introduction, hub);
	must(hub->intro.v[i].ev);
	event_add(hub->intro.v[i].ev, NULL);
}

void introductions_open(struct hub *hub)
{
	for (int i = 0; i < INTRODUCTIONS_MAX; i++)
		hub->intro.v[i].sock = -1;
	hub->intro.accept_ev =
		event_new(hub->base, hub->rundir.listen_fd, EV_READ | EV_PERSIST, on_accept, hub);
	must(hub->intro.accept_ev);
	event_add(hub->intro.accept_ev, NULL);
}

void introductions_close(struct hub *hub)
{
	for (int i = 0; i < INTRODUCTIONS_MAX; i++)
		if (hub->intro.v[i].ev)
			introduction_drop(hub, i, false);
	if (hub->intro.accept_ev)
		event_free(hub->intro.accept_ev);
	hub->intro.accept_ev = NULL;
}
