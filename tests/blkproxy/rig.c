/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See rig.h. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "segments.h"

static const struct chan_geometry blk_geo = { BLK_NSLOTS, 0, BLK_NSLOTS, 0 };
static const struct chan_geometry seq_geo = { BLKSEQ_NSLOTS, 0, BLKSEQ_NSLOTS, 0 };

enum {
	S_MACHINE,
	S_OUT,
	S_IN,
	S_FLIGHT,
	S_BLK_DEV,
	S_BLK_PROXY,
	S_SEQ_PROXY,
	S_SEQ_LOG,
	S_BELL_PROXY,
	S_BELL_DEV,
	S_BELL_LOG,
	S_COUNT
};

static const char *const names[S_COUNT] = { "machine", "blkout", "blkin", "blkflight",
	"chan-blk-devices", "chan-blk-blkproxy", "chan-blkseq-blkproxy", "chan-blkseq-replaylog",
	"bell-blkproxy", "bell-devices", "bell-replaylog" };

static int memory(size_t len)
{
	int fd = memfd_create("rig", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)((len + 4095) & ~(size_t)4095)), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	return fd;
}

static void *map(int fd, size_t len)
{
	void *m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(m, MAP_FAILED);
	return m;
}

static pid_t last_pid;

void rig_clean_up(void)
{
	if (last_pid > 0) {
		kill(last_pid, SIGKILL);
		waitpid(last_pid, NULL, 0);
	}
	last_pid = 0;
}

void rig_init(struct rig *r)
{
	const size_t len[S_COUNT] = { sizeof(struct machine_page), BLK_DATA_LEN, BLK_DATA_LEN,
		sizeof(struct blk_flight), chan_segment_size(&blk_geo, true),
		chan_segment_size(&blk_geo, false), chan_segment_size(&seq_geo, true),
		chan_segment_size(&seq_geo, false) };
	struct error err;

	memset(r, 0, sizeof(*r));
	r->sock = -1;
	for (int i = 0; i < S_COUNT; i++)
		r->seg_fd[i] =
			i < S_BELL_PROXY ? memory(len[i]) : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->flight = map(r->seg_fd[S_FLIGHT], sizeof(struct blk_flight));
	r->out = map(r->seg_fd[S_OUT], BLK_DATA_LEN);
	r->in = map(r->seg_fd[S_IN], BLK_DATA_LEN);
	if (chan_init(&r->blk, true, &blk_geo, r->seg_fd[S_BLK_DEV], r->seg_fd[S_BLK_PROXY],
		    r->seg_fd[S_BELL_DEV], r->seg_fd[S_BELL_PROXY], &err) < 0 ||
		chan_init(&r->seq, false, &seq_geo, r->seg_fd[S_SEQ_LOG], r->seg_fd[S_SEQ_PROXY],
			r->seg_fd[S_BELL_LOG], r->seg_fd[S_BELL_PROXY], &err) < 0)
		fail_msg("%s", err.msg);
}

Dejavm__BlkDrive *rig_drive(struct rig *r, const char *file, const char *format)
{
	Dejavm__BlkDrive *d = &r->drive[r->n_drives];

	dejavm__blk_drive__init(d);
	d->index = r->n_drives++;
	d->id = (char *)"disk";
	d->option = (char *)"-drive test";
	d->file = (char *)file;
	d->format = (char *)format;
	return d;
}

void rig_file(struct rig *r, const char *name, bool write, int fd)
{
	assert_true(r->n_files < RIG_FILES && fd >= 0);
	snprintf(r->file[r->n_files].name, sizeof(r->file[0].name), "%s", name);
	r->file[r->n_files].write = write;
	r->file[r->n_files++].fd = fd;
}

/* ---- the hub's part ---- */

static void say(struct rig *r, const Dejavm__Control *c, const int *fds, int n)
{
	size_t len = dejavm__control__get_packed_size(c);
	uint8_t *buf = malloc(len);

	dejavm__control__pack(c, buf);
	ctl_send(r->sock, buf, len, fds, n); /* it may be dead */
	free(buf);
}

static void welcome(struct rig *r)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Welcome w = DEJAVM__WELCOME__INIT;
	Dejavm__LogConfig log = DEJAVM__LOG_CONFIG__INIT;
	Dejavm__BlkConfig blk = DEJAVM__BLK_CONFIG__INIT;
	Dejavm__BlkDrive *drives[BLK_DRIVES_MAX];
	Dejavm__Segment segs[S_COUNT], *ptrs[S_COUNT];

	for (int i = 0; i < S_COUNT; i++) {
		dejavm__segment__init(&segs[i]);
		segs[i].name = (char *)names[i];
		ptrs[i] = &segs[i];
	}
	for (unsigned i = 0; i < r->n_drives; i++)
		drives[i] = &r->drive[i];
	blk.drives = drives;
	blk.n_drives = r->n_drives;
	blk.replaying = r->replaying;
	log.sandbox = true;
	w.epoch = ++r->epoch;
	w.segments = ptrs;
	w.n_segments = S_COUNT;
	w.log = &log;
	w.blk = &blk;
	c.msg_case = DEJAVM__CONTROL__MSG_WELCOME;
	c.welcome = &w;
	say(r, &c, r->seg_fd, S_COUNT);
}

static void answer_open(struct rig *r, const Dejavm__OpenImage *m)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__OpenedImage o = DEJAVM__OPENED_IMAGE__INIT;
	int fd = -1;

	r->n_asked++;
	for (unsigned i = 0; i < r->n_files && fd < 0; i++)
		if (!strcmp(r->file[i].name, m->name) && r->file[i].write == m->write)
			fd = r->file[i].fd;
	if (fd < 0) {
		fd = open(m->name, (m->write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		if (fd < 0)
			o.error = (uint32_t)errno;
		else
			rig_file(r, m->name, m->write, fd);
	}
	c.msg_case = DEJAVM__CONTROL__MSG_OPENED_IMAGE;
	c.opened_image = &o;
	say(r, &c, &fd, fd >= 0);
}

static void take_opened(struct rig *r, const Dejavm__DrivesOpened *m)
{
	snprintf(r->refused, sizeof(r->refused), "%s", m->text);
	for (size_t i = 0; i < m->n_drives && i < BLK_DRIVES_MAX; i++)
		r->opened[i].len = m->drives[i]->len;
}

/* One message. False: end of file. *ret_ready: it is ready. */
static bool hear(struct rig *r, bool *ret_ready)
{
	static uint8_t buf[CTL_MAX_PACKET];
	int fds[CTL_MAX_FDS], n;
	long len = ctl_recv(r->sock, buf, sizeof(buf), fds, CTL_MAX_FDS, &n);
	Dejavm__Control *c = len > 0 ? dejavm__control__unpack(NULL, (size_t)len, buf) : NULL;

	if (!c)
		return false;
	switch (c->msg_case) {
	case DEJAVM__CONTROL__MSG_HELLO:
		assert_string_equal(c->hello->role, "blkproxy");
		welcome(r);
		break;
	case DEJAVM__CONTROL__MSG_OPEN_IMAGE: answer_open(r, c->open_image); break;
	case DEJAVM__CONTROL__MSG_DRIVES_OPENED: take_opened(r, c->drives_opened); break;
	case DEJAVM__CONTROL__MSG_READY: *ret_ready = true; break;
	case DEJAVM__CONTROL__MSG_FATAL:
		snprintf(r->fatal, sizeof(r->fatal), "%s", c->fatal->text);
		break;
	default: fail_msg("message %d", (int)c->msg_case);
	}
	dejavm__control__free_unpacked(c, NULL);
	return true;
}

bool rig_start(struct rig *r)
{
	const char *binary = getenv("BLKPROXY");
	char fd_text[16];
	bool ready = false;
	int sv[2];

	assert_non_null(binary);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	snprintf(fd_text, sizeof(fd_text), "%d", sv[1]);
	r->fatal[0] = r->refused[0] = '\0';
	r->pid = fork();
	if (r->pid == 0) {
		fcntl(sv[1], F_SETFD, 0);
		if (r->fsize) {
			signal(SIGXFSZ, SIG_IGN);
			setrlimit(RLIMIT_FSIZE, &(struct rlimit){ r->fsize, r->fsize });
		}
		if (!getenv("RIG_LOUD") && !freopen("/dev/null", "w", stderr))
			_exit(98);
		execl(binary, binary, "--control-fd", fd_text, (char *)NULL);
		_exit(99);
	}
	last_pid = r->pid;
	close(sv[1]);
	r->sock = sv[0];
	while (!ready && !r->refused[0] && hear(r, &ready))
		;
	return ready;
}

static int reap(struct rig *r)
{
	int status;

	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	r->pid = last_pid = 0;
	close(r->sock);
	r->sock = -1;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void rig_kill(struct rig *r)
{
	kill(r->pid, SIGKILL);
	reap(r);
}

int rig_wait_end(struct rig *r)
{
	struct pollfd pf = { .fd = r->sock, .events = POLLIN };
	bool ready;

	while (poll(&pf, 1, 10000) > 0) {
		if (!hear(r, &ready))
			return reap(r);
	}
	kill(r->pid, SIGKILL);
	reap(r);
	fail_msg("the process did not end");
	return -1;
}

int rig_quit(struct rig *r)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Quit q = DEJAVM__QUIT__INIT;

	c.msg_case = DEJAVM__CONTROL__MSG_QUIT;
	c.quit = &q;
	say(r, &c, NULL, 0);
	return rig_wait_end(r);
}

void rig_done(struct rig *r)
{
	if (r->pid)
		rig_kill(r);
	chan_done(&r->blk);
	chan_done(&r->seq);
	munmap(r->flight, sizeof(struct blk_flight));
	munmap(r->out, BLK_DATA_LEN);
	munmap(r->in, BLK_DATA_LEN);
	for (int i = 0; i < S_COUNT; i++)
		close(r->seg_fd[i]);
	for (unsigned i = 0; i < r->n_files; i++)
		close(r->file[i].fd);
}

/* ---- the peers' parts ---- */

uint64_t rig_send(
	struct rig *r, unsigned op, unsigned drive, uint64_t offset, uint64_t len, unsigned buf)
{
	struct blk_req rq = { .hdr.type = (uint16_t)op,
		.id = ++r->next_id,
		.offset = offset,
		.len = len,
		.drive = drive,
		.buf = buf };
	union slot slot = { 0 };

	memcpy(&slot, &rq, sizeof(rq));
	assert_int_equal(chan_send(&r->blk, &slot, NULL, 0, 10000000000), 0);
	return rq.id;
}

static bool next(struct chan *c, union slot *slot, int ms)
{
	int e = chan_wait(c, 0, (int64_t)ms * 1000000, -1);

	if (e == -ETIMEDOUT)
		return false;
	if (e < 0 || chan_recv(c, slot, NULL, 0) < 0)
		fail_msg("channel: %s", chan_error(c));
	return true;
}

bool rig_rep(struct rig *r, struct blk_rep *ret, int ms)
{
	union slot slot;

	if (!next(&r->blk, &slot, ms))
		return false;
	memcpy(ret, &slot, sizeof(*ret));
	return true;
}

bool rig_seq(struct rig *r, struct blkseq_msg *ret, int ms)
{
	union slot slot;

	if (!next(&r->seq, &slot, ms))
		return false;
	memcpy(ret, &slot, sizeof(*ret));
	assert_int_equal(ret->hdr.type, BLKSEQ_DONE);
	return true;
}

uint32_t rig_do(struct rig *r, unsigned op, unsigned drive, uint64_t offset, uint64_t len,
	unsigned buf, uint64_t *ret_done)
{
	uint64_t id = rig_send(r, op, drive, offset, len, buf);
	struct blkseq_msg m = { 0 };
	struct blk_rep rep = { 0 };

	assert_true(rig_seq(r, &m, 10000));
	/* The answer is there before it is said. */
	assert_true(rig_rep(r, &rep, 0));
	assert_int_equal(rep.id, id);
	assert_int_equal(rep.hdr.type, op);
	assert_int_equal(m.id, id);
	assert_int_equal(m.error, rep.error);
	if (ret_done)
		*ret_done = m.done;
	return rep.error;
}

void rig_fail(struct rig *r, uint64_t id, uint64_t done, uint32_t error)
{
	struct blkseq_msg m = { .hdr.type = BLKSEQ_FAIL, .id = id, .done = done, .error = error };
	union slot slot = { 0 };

	memcpy(&slot, &m, sizeof(m));
	assert_int_equal(chan_send(&r->seq, &slot, NULL, 0, 10000000000), 0);
}

void rig_proc(struct rig *r, struct proc *p)
{
	*p = (struct proc){ .role = "blkproxy", .sock = -1, .n_seg = S_COUNT };
	for (int i = 0; i < S_COUNT; i++) {
		snprintf(p->seg[i].name, sizeof(p->seg[i].name), "%s", names[i]);
		p->seg[i].fd = r->seg_fd[i];
	}
}
