/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run directory: hub.sock (for processes that are started by hand) and ROLE.pid files. Without
 * --run-dir it is a fresh one, removed at the end.
 */
#ifndef DEJAVM_HUB_RUNDIR_H
#define DEJAVM_HUB_RUNDIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

struct rundir {
	char path[512];
	bool keep;
	int listen_fd; /* hub.sock */
};

/* given: --run-dir's DIR or NULL. Makes the directory and listens on hub.sock. 0 or -errno with
 * *err. */
int rundir_open(struct rundir *d, const char *given, struct error *err);
/* Writes DIR/ROLE.pid, or removes it (pid 0). Errors are of no consequence: the files are for
 * people. */
void rundir_write_pid(struct rundir *d, const char *role, pid_t pid);
void rundir_close(struct rundir *d);

#endif
