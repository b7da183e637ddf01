/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-snapstore: keeps the snapshots of a machine without disks, in a qcow2 file of their own
 * (segment "snapfile"). The hub starts it when a snapshot is first asked for. It reads what may be
 * hostile, so it is sandboxed; its threads exist before that.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.pb-c.h"
#include "log.h"
#include "proc.h"
#include "snapstore.h"
#include "stateport.h"

struct store {
	struct proc proc;
	struct snapstore s;
	int file;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	Dejavm__SnapshotRequest *rq; /* of a Control that is owned */
	bool quit;
};

static struct store me = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* ---- the control thread ---- */

/* A copy that outlives the message. */
static Dejavm__SnapshotRequest *request_copy(const Dejavm__SnapshotRequest *rq)
{
	size_t len = dejavm__snapshot_request__get_packed_size(rq);
	uint8_t *buf = malloc(len + 1);
	Dejavm__SnapshotRequest *copy;

	must(buf);
	dejavm__snapshot_request__pack(rq, buf);
	copy = dejavm__snapshot_request__unpack(NULL, len, buf);
	free(buf);
	return copy;
}

static void on_control(void *opaque, const Dejavm__Control *msg)
{
	pthread_mutex_lock(&me.lock);
	if (msg->msg_case == DEJAVM__CONTROL__MSG_SNAPSHOT_REQUEST && !me.rq)
		me.rq = request_copy(msg->snapshot_request);
	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		me.quit = true;
	pthread_cond_broadcast(&me.changed);
	pthread_mutex_unlock(&me.lock);
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
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
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
	c.msg_case = DEJAVM__CONTROL__MSG_SNAPSHOT_REPLY;
	c.snapshot_reply = &r;
	if (proc_send(&me.proc, &c) < 0)
		log_debug("cannot answer the hub");
	snapstore_reply_done(&r);
}

/* ---- set-up ---- */

static void map_parts(struct proc *p)
{
	static const char *const roles[SNAPSTORE_PARTS] = { "vcpu", "devices", "replaylog" };
	static char names[SNAPSTORE_PARTS][32];
	struct error err = ERROR_INIT;

	for (int i = 0; i < SNAPSTORE_PARTS; i++) {
		snprintf(names[i], sizeof(names[i]), "state-%s", roles[i]);
		me.s.part[i].role = roles[i];
		me.s.part[i].mem = proc_map(p, names[i], true, &me.s.part[i].len, &err);
		if (!me.s.part[i].mem)
			proc_fatal(p, "%s", err.msg);
	}
}

static void setup(struct proc *p)
{
	struct error err = ERROR_INIT;
	size_t len;

	me.file = proc_segment_fd(p, "snapfile");
	if (me.file < 0)
		proc_fatal(p, "the hub gave no file for snapshots (segment snapfile)");
	map_parts(p);
	me.s.ram.mem = proc_map(p, "ram", true, &len, &err);
	if (!me.s.ram.mem)
		proc_fatal(p, "%s", err.msg);
	me.s.ram.npages = (uint32_t)(len / RAM_PAGE_LEN);
	me.s.ram.fd = proc_segment_fd(p, "ram");
	me.s.codec = ram_codec_new(0);
	if (!me.s.codec)
		proc_fatal(p, "cannot start threads");
	if (proc_run_control(p, on_control, NULL) < 0)
		proc_fatal(p, "cannot start the control thread");
	if (proc_sandbox(p, &err) < 0)
		proc_fatal(p, "%s", err.msg);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;

	if (proc_start(&me.proc, "snapstore", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	setup(&me.proc);
	proc_ready(&me.proc);
	pthread_mutex_lock(&me.lock);
	while (!me.quit) {
		Dejavm__SnapshotRequest *rq = me.rq;

		if (!rq) {
			pthread_cond_wait(&me.changed, &me.lock);
			continue;
		}
		pthread_mutex_unlock(&me.lock);
		serve(rq);
		dejavm__snapshot_request__free_unpacked(rq, NULL);
		pthread_mutex_lock(&me.lock);
		me.rq = NULL;
	}
	pthread_mutex_unlock(&me.lock);
	return 0;
}
