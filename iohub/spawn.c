/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding our programs and starting them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "process.h"
#include "segments.h"

#define CONTROL_FD 3

extern char **environ;

static bool try_path(char *path, size_t cap, const char *dir, const char *sub, const char *name)
{
	int n = snprintf(path, cap, "%s/%s%s", dir, sub, name);

	return n > 0 && (size_t)n < cap && access(path, X_OK) == 0;
}

int program_find(const char *name, const char *folder, char *path, size_t cap, struct error *err)
{
	const char *env = getenv("DEJAVM_LIBEXEC");
	char self[512], sub[64], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (env && *env) {
		if (try_path(path, cap, env, "", name))
			return 0;
		return error_set(err, ENOENT,
			"cannot find the program '%s' in $DEJAVM_LIBEXEC (%s)", name, env);
	}
	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	/* Build tree: each process has its folder. Installed: libexec/dejavm/ for processes, bin/
	 * for tools. */
	snprintf(sub, sizeof(sub), "../%s/", folder);
	if (slash && (try_path(path, cap, self, sub, name) || try_path(path, cap, self, "", name) ||
			     try_path(path, cap, self, "../../bin/", name)))
		return 0;
	if (try_path(path, cap, DEJAVM_LIBEXECDIR, "", name) ||
		try_path(path, cap, DEJAVM_BINDIR, "", name))
		return 0;
	return error_set(err, ENOENT,
		"cannot find the program '%s': looked in %s, %s/../%s, %s and %s", name, self, self,
		folder, DEJAVM_LIBEXECDIR, DEJAVM_BINDIR);
}

static void set_attributes(posix_spawnattr_t *attr, bool wrapped)
{
	sigset_t none, all;
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

	posix_spawnattr_init(attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &all);
	/* Ctrl-C is for the hub, which ends the others in order; a debugger needs the terminal for
	 * itself. */
	if (!wrapped) {
		flags |= POSIX_SPAWN_SETPGROUP;
		posix_spawnattr_setpgroup(attr, 0);
	}
	posix_spawnattr_setflags(attr, flags);
}

pid_t process_spawn(
	const struct role *role, const char *wrap, int sock, int err_fd, struct error *err)
{
	char name[48], path[600], script[1200], fd_text[16];
	char *plain[] = { path, "--control-fd", fd_text, NULL };
	char *wrapped[] = { "/bin/sh", "-c", script, path, "--control-fd", fd_text, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	pid_t pid;
	int r;

	snprintf(name, sizeof(name), "dejavm-%s", role->name);
	r = program_find(name, role->folder, path, sizeof(path), err);
	if (r < 0)
		return r;
	snprintf(fd_text, sizeof(fd_text), "%d", CONTROL_FD);
	if (wrap && snprintf(script, sizeof(script), "exec %s \"$0\" \"$@\"", wrap) >=
			    (int)sizeof(script))
		return error_set(err, EINVAL, "--wrap %s=%.40s...: the command is too long",
			role->name, wrap);
	/* The display may read the terminal itself (-display curses), which only the terminal's
	 * own group can. */
	set_attributes(&attr, wrap != NULL || role->index == PROC_DISPLAY);
	posix_spawn_file_actions_init(&fa);
	if (!wrap)
		posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (!wrap)
		posix_spawn_file_actions_adddup2(&fa, 2, 1);
	if (err_fd >= 0 && !wrap) {
		posix_spawn_file_actions_adddup2(&fa, err_fd, 1);
		posix_spawn_file_actions_adddup2(&fa, err_fd, 2);
	}
	/* Last, since it may overwrite the number that another action reads. */
	posix_spawn_file_actions_adddup2(&fa, sock, CONTROL_FD);
	r = posix_spawn(
		&pid, wrap ? wrapped[0] : path, &fa, &attr, wrap ? wrapped : plain, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	if (r)
		return error_set(err, r, "cannot start '%s': %s", wrap ? wrap : path, strerror(r));
	return pid;
}
