/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-blkproxy: the machine's disks. Opens the images that the hub names, with descriptors that
 * the hub gives it, tells the hub what they are, and serves requests (serve.h). docs/blkproxy.md.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "snapshots.h"

/* The dialogue with the hub about a file: asked by the main thread, answered on the control thread.
 */
struct opening {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned drive; /* for which */
	bool waiting;
	int result; /* descriptor or -errno */
	char text[256];
};

static struct {
	struct proc proc;
	struct server server;
	struct drive drives[BLK_DRIVES_MAX];
	unsigned n_drives;
	struct opening opening;
	_Atomic bool serving;
} me;

/* ---- files ---- */

static int ask_hub(void *opaque, const char *name, enum image_open_flags flags)
{
	struct opening *o = &me.opening;
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__OpenImage m = DEJAVM__OPEN_IMAGE__INIT;
	int r;

	m.drive = o->drive;
	m.name = (char *)name;
	m.write = flags == IMAGE_OPEN_RDWR;
	c.msg_case = DEJAVM__CONTROL__MSG_OPEN_IMAGE;
	c.open_image = &m;
	pthread_mutex_lock(&o->lock);
	o->waiting = true;
	r = proc_send(&me.proc, &c);
	while (r == 0 && o->waiting)
		pthread_cond_wait(&o->changed, &o->lock);
	if (r == 0)
		r = o->result;
	pthread_mutex_unlock(&o->lock);
	return r;
}

/* On the control thread. */
static void on_opened(const Dejavm__OpenedImage *m)
{
	struct opening *o = &me.opening;
	int fd = proc_take_fd(&me.proc);

	pthread_mutex_lock(&o->lock);
	if (!o->waiting || (fd < 0 && !m->error))
		proc_fatal(
			&me.proc, "the hub sent OpenedImage without a descriptor, or a question");
	o->waiting = false;
	o->result = fd >= 0 ? fd : -(int)(m->error & 0xfff);
	snprintf(o->text, sizeof(o->text), "%s", m->text);
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

static void on_control(void *opaque, const Dejavm__Control *msg)
{
	if (msg->msg_case == DEJAVM__CONTROL__MSG_OPENED_IMAGE)
		on_opened(msg->opened_image);
	if (msg->msg_case == DEJAVM__CONTROL__MSG_SNAPSHOT_REQUEST)
		snapshots_post(msg->snapshot_request);
	if (msg->msg_case != DEJAVM__CONTROL__MSG_QUIT)
		return;
	/* Nothing to finish: what the images need was written with each request. */
	if (!atomic_load_acquire(&me.serving))
		_exit(EXIT_SUCCESS);
	server_quit(&me.server);
}

/* ---- set-up ---- */

static void send_opened(const char *text)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__DrivesOpened m = DEJAVM__DRIVES_OPENED__INIT;
	Dejavm__DriveOpened v[BLK_DRIVES_MAX], *ptrs[BLK_DRIVES_MAX];

	for (unsigned i = 0; i < me.n_drives; i++) {
		dejavm__drive_opened__init(&v[i]);
		v[i].index = i;
		v[i].len = me.drives[i].len;
		v[i].format = me.drives[i].format;
		v[i].cluster_len = me.drives[i].cluster_len;
		ptrs[i] = &v[i];
	}
	m.text = (char *)text;
	m.drives = ptrs;
	m.n_drives = *text ? 0 : me.n_drives;
	c.msg_case = DEJAVM__CONTROL__MSG_DRIVES_OPENED;
	c.drives_opened = &m;
	if (proc_send(&me.proc, &c) < 0)
		log_fatal("cannot tell the hub about the drives");
}

static void read_config(void)
{
	const Dejavm__BlkConfig *cfg = me.proc.welcome->blk;

	if (!cfg || !cfg->n_drives || cfg->n_drives > BLK_DRIVES_MAX)
		proc_fatal(&me.proc, "the hub's welcome has %zu drives: expected 1 to %d",
			cfg ? cfg->n_drives : 0, BLK_DRIVES_MAX);
	me.n_drives = (unsigned)cfg->n_drives;
	for (unsigned i = 0; i < me.n_drives; i++)
		drive_init(&me.drives[i], cfg->drives[i], cfg->replaying);
}

/* The hub tells the user, and ends the run; until then we wait. */
_Noreturn static void refuse(const char *hub_text, const char *text)
{
	char both[1400];

	snprintf(both, sizeof(both), "%s%s%s", text, *hub_text ? ": " : "", hub_text);
	send_opened(both);
	for (;;)
		poll(NULL, 0, -1);
}

static void open_drives(void)
{
	struct error err = ERROR_INIT;

	for (unsigned i = 0; i < me.n_drives; i++) {
		me.opening.drive = i;
		if (drive_open(&me.drives[i], ask_hub, NULL, &err) < 0)
			refuse(me.opening.text, err.msg);
	}
	send_opened("");
}

static void close_drives(void)
{
	struct error err = ERROR_INIT;

	for (unsigned i = 0; i < me.n_drives; i++)
		if (drive_close(&me.drives[i], &err) < 0)
			log_error("closing drive '%s': %s", me.drives[i].cfg->id, err.msg);
}

int main(int argc, char **argv)
{
	struct proc *p = &me.proc;
	struct error err = ERROR_INIT;

	if (proc_start(p, "blkproxy", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	pthread_mutex_init(&me.opening.lock, NULL);
	pthread_cond_init(&me.opening.changed, NULL);
	read_config();
	if (server_init(&me.server, p, me.drives, me.n_drives, &err) < 0 ||
		server_start(&me.server, &err) < 0 || snapshots_start(&me.server, &err) < 0)
		proc_fatal(p, "%s", err.msg);
	if (proc_run_control(p, on_control, NULL) < 0)
		proc_fatal(p, "cannot start the control thread");
	/* Before the first image is read: it may be anybody's. */
	if (proc_sandbox(p, &err) < 0)
		proc_fatal(p, "%s", err.msg);
	open_drives();
	atomic_store_release(&me.serving, true);
	proc_ready(p);
	server_run(&me.server);
	close_drives();
	return EXIT_SUCCESS;
}
