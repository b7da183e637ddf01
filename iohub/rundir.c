/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run directory (see rundir.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "rundir.h"

static const char *const removable[] = { "hub.sock", "hub.pid", "vcpu.pid", "devices.pid",
	"replaylog.pid", "qmpd.pid", "blkproxy.pid", "netproxy.pid", NULL };

static void sub_path(const struct rundir *d, const char *name, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s/%s", d->path, name);
}

static int make_fresh(struct rundir *d, struct error *err)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	const char *parents[] = { xdg && *xdg ? xdg : "/tmp", "/tmp" };

	for (int i = 0; i < 2; i++) {
		/* hub.sock's whole path must fit into struct sockaddr_un. */
		if (strlen(parents[i]) > 80)
			continue;
		snprintf(d->path, sizeof(d->path), "%s/dejavm-XXXXXX", parents[i]);
		if (mkdtemp(d->path))
			return 0;
	}
	return error_set(
		err, errno, "cannot make a run directory '%s': %s", d->path, strerror(errno));
}

static int use_given(struct rundir *d, const char *given, struct error *err)
{
	struct stat st;

	if (strlen(given) > 90)
		return error_set(err, ENAMETOOLONG,
			"--run-dir %s: the name has %zu bytes; with /hub.sock it must fit into a "
			"socket's name: 90 at most",
			given, strlen(given));
	snprintf(d->path, sizeof(d->path), "%s", given);
	if (mkdir(given, 0700) < 0 && errno != EEXIST)
		return error_set(
			err, errno, "--run-dir %s: cannot make it: %s", given, strerror(errno));
	if (stat(given, &st) < 0)
		return error_set(err, errno, "--run-dir %s: %s", given, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "--run-dir %s: it is not a directory", given);
	return 0;
}

/* A socket that a dead hub left behind goes; one that answers is in use. */
static int clear_socket(const char *path, struct error *err)
{
	struct error ignored = ERROR_INIT;
	int s = ctl_connect(path, &ignored);

	if (s >= 0) {
		close(s);
		return error_set(
			err, EADDRINUSE, "'%s': another hub is running in this directory", path);
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, errno, "'%s': cannot remove it: %s", path, strerror(errno));
	return 0;
}

int rundir_open(struct rundir *d, const char *given, struct error *err)
{
	char path[600];
	int r;

	*d = (struct rundir){ .keep = given != NULL, .listen_fd = -1 };
	r = given ? use_given(d, given, err) : make_fresh(d, err);
	if (r) {
		d->path[0] = '\0';
		return r;
	}
	sub_path(d, "hub.sock", path, sizeof(path));
	r = clear_socket(path, err);
	if (!r)
		r = d->listen_fd = ctl_listen(path, err);
	if (r < 0) {
		if (!d->keep)
			rmdir(d->path);
		d->path[0] = '\0';
		return r;
	}
	rundir_write_pid(d, "hub", getpid());
	return 0;
}

void rundir_write_pid(struct rundir *d, const char *role, pid_t pid)
{
	char path[600], name[40];
	int fd;

	if (!d->path[0])
		return;
	snprintf(name, sizeof(name), "%s.pid", role);
	sub_path(d, name, path, sizeof(path));
	unlink(path);
	if (!pid)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	dprintf(fd, "%d\n", (int)pid);
	close(fd);
}

void rundir_close(struct rundir *d)
{
	char path[600];

	if (!d->path[0])
		return;
	close(d->listen_fd);
	for (const char *const *n = removable; *n; n++) {
		sub_path(d, *n, path, sizeof(path));
		unlink(path);
	}
	if (!d->keep)
		rmdir(d->path);
	d->path[0] = '\0';
}
