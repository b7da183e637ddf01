/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-snapstore: keeps the snapshots of a machine without disks, in a qcow2 file of their own
 * (segment "snapfile"). The hub starts it when a snapshot is first asked for. It reads what may be
 * hostile, so it is sandboxed; its threads exist before that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.pb-c.h"
#include "log.h"
#include "proc.h"
#include "snapstore_proc.h"

static struct {
	struct proc proc;
	struct snapstore s;
	int file;
	struct snapstore_inbox inbox;
} me = { .inbox = SNAPSTORE_INBOX_INIT };

static void on_control(void *opaque, const Dejavm__Control *msg)
{
	if (msg->msg_case == DEJAVM__CONTROL__MSG_SNAPSHOT_REQUEST)
		snapstore_inbox_post(&me.inbox, msg->snapshot_request);
	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		snapstore_inbox_close(&me.inbox);
}

/* ---- the image ---- */

static int open_file(void *opaque, const char *name, enum image_open_flags flags)
{
	int fd = dup(me.file);

	return fd < 0 ? -errno : fd;
}

/* The file is opened again for each request, so that others can look at it in between. */
static int image_get(bool create, struct error *err)
{
	struct image_how how = { .name = "snapshots",
		.format = "qcow2",
		.no_backing = true,
		.tables = IMAGE_TABLES_BACK,
		.opener = open_file };
	const struct qcow2_how fresh = { .len = 0, .refcount_order = 4 };
	struct stat st;
	int r = 0;

	if (fstat(me.file, &st) < 0)
		return error_set(err, errno, "cannot look at the file: %s", strerror(errno));
	if (st.st_size == 0 && !create)
		return 0;
	if (st.st_size == 0)
		r = image_create_qcow2(me.file, &fresh, err);
	if (r == 0)
		r = image_open(&how, &me.s.image[0], err);
	if (r == 0)
		me.s.n_images = 1;
	return r;
}

static void serve(const Dejavm__SnapshotRequest *rq)
{
	Dejavm__SnapshotReply r = DEJAVM__SNAPSHOT_REPLY__INIT;
	struct error err = ERROR_INIT;

	r.id = rq->id;
	if (rq->op != DEJAVM__SNAPSHOT_OP__SNAPSHOT_RESTORE &&
		image_get(rq->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_SAVE, &err) < 0)
		r.text = strdup(err.msg);
	else
		snapstore_serve(&me.s, rq, &r);
	if (me.s.n_images && image_close(me.s.image[0], &err) < 0 && r.ok) {
		r.ok = false;
		r.text = strdup(err.msg);
	}
	me.s.n_images = 0;
	snapstore_answer(&me.proc, &r);
}

/* ---- set-up ---- */

static void setup(struct proc *p)
{
	struct error err = ERROR_INIT;

	me.file = proc_segment_fd(p, "snapfile");
	if (me.file < 0)
		proc_fatal(p, "the hub gave no file for snapshots (segment snapfile)");
	if (snapstore_map(&me.s, p, &err) < 0)
		proc_fatal(p, "%s", err.msg);
	if (proc_run_control(p, on_control, NULL) < 0)
		proc_fatal(p, "cannot start the control thread");
	if (proc_sandbox(p, &err) < 0)
		proc_fatal(p, "%s", err.msg);
}

int main(int argc, char **argv)
{
	Dejavm__SnapshotRequest *rq;
	struct error err = ERROR_INIT;

	if (proc_start(&me.proc, "snapstore", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	setup(&me.proc);
	proc_ready(&me.proc);
	while ((rq = snapstore_inbox_wait(&me.inbox))) {
		serve(rq);
		dejavm__snapshot_request__free_unpacked(rq, NULL);
	}
	return 0;
}
