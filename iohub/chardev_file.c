/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Back end "file": output to a file. Nothing comes in. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "chardev.h"
#include "log.h"

static int file_open(struct chardev *c, struct error *err)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
		    (c->spec->append ? O_APPEND : O_TRUNC);
	int fd = open(c->spec->path, flags, 0644);

	if (fd < 0)
		return error_set(err, errno, "cannot open '%s' for writing: %s", c->spec->path,
			strerror(errno));
	c->close_fd[0] = fd;
	chardev_set_fds(c, -1, fd);
	return 0;
}

static void file_closed(struct chardev *c, int error)
{
	log_error("%s: cannot write to '%s': %s; output of %s is lost from its byte %llu on",
		c->spec->id, c->spec->path, strerror(error), c->spec->user,
		(unsigned long long)c->n_out);
	chardev_set_fds(c, -1, -1);
}

const struct chardev_ops chardev_file_ops = { .open = file_open, .closed = file_closed };
