/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Back end "pty": a pseudo-terminal in raw mode, whose name is printed. While nobody has the other
 * side open, output is dropped; the kernel tells that by POLLHUP only, which cannot be waited for,
 * so it is looked at now and then.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "chardev.h"
#include "log.h"

#define PTY_LOOK_MS 100

static bool is_open(struct chardev *c)
{
	struct pollfd p = { .fd = c->close_fd[0], .events = POLLOUT };

	return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

static void on_look(evutil_socket_t fd, short what, void *opaque)
{
	struct chardev *c = opaque;
	bool open = is_open(c);

	if (open && !c->connected)
		chardev_set_fds(c, c->close_fd[0], c->close_fd[0]);
	else if (!open && c->connected)
		chardev_set_fds(c, -1, -1);
}

static void pty_closed(struct chardev *c, int error)
{
	chardev_set_fds(c, -1, -1);
}

/* Raw, and opened and closed once, so that the kernel says "hung up" until the first user comes. */
static int set_raw(const char *path, struct error *err)
{
	struct termios t;
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, errno, "cannot open '%s': %s", path, strerror(errno));
	if (tcgetattr(fd, &t) == 0) {
		cfmakeraw(&t);
		tcsetattr(fd, TCSANOW, &t);
	}
	close(fd);
	return 0;
}

static int pty_open(struct chardev *c, struct error *err)
{
	struct timeval look = { .tv_usec = PTY_LOOK_MS * 1000 };
	int r, fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, errno, "cannot make a pseudo-terminal: %s", strerror(errno));
	c->close_fd[0] = fd;
	if (grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, c->name, sizeof(c->name)) != 0 ||
		fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return error_set(
			err, errno, "cannot set up a pseudo-terminal: %s", strerror(errno));
	r = set_raw(c->name, err);
	if (r < 0)
		return r;
	c->own_ev = event_new(c->base, -1, EV_PERSIST, on_look, c);
	must(c->own_ev);
	event_add(c->own_ev, &look);
	printf("char device redirected to %s (label %s)\n", c->name, c->spec->id);
	fflush(stdout);
	return 0;
}

const struct chardev_ops chardev_pty_ops = { .open = pty_open, .closed = pty_closed };
