/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processes of the group: introductions, messages, deaths (see process.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "build.h"
#include "clock.h"
#include "ctl.h"
#include "hub.h"
#include "log.h"

#define EOF_GRACE_MS 200

enum segment_access { SEG_RO, SEG_RW };

static const struct role roles[] = {
#define ROLE(index, name, folder, restart) { index, name, folder, restart },
#define SEGMENT(name, index, access)
#include "proc_table.def"
#undef ROLE
#undef SEGMENT
};

static const struct {
	const char *name;
	int index;
	enum segment_access access;
} segment_rows[] = {
#define ROLE(index, name, folder, restart)
#define SEGMENT(name, index, access) { name, index, access },
#include "proc_table.def"
#undef ROLE
#undef SEGMENT
};

struct process_packet {
	struct process_packet *next;
	int fd; /* -1: none */
	size_t len;
	uint8_t data[];
};

const struct role *role_find(int index)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (roles[i].index == index)
			return &roles[i];
	return NULL;
}

static void on_dead(struct process *p);
static void on_socket(evutil_socket_t fd, short what, void *opaque);

/* ---- sending ---- */

static void packet_free(struct process_packet *k)
{
	if (k->fd >= 0)
		close(k->fd);
	free(k);
}

static void queue_flush(struct process *p)
{
	struct process_packet *k;

	while ((k = p->queue)) {
		int r = ctl_send(p->sock, k->data, k->len, &k->fd, k->fd >= 0);

		if (r == -EAGAIN) {
			event_add(p->out_ev, NULL);
			return;
		}
		p->queue = k->next;
		if (!p->queue)
			p->queue_end = &p->queue;
		packet_free(k);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *opaque)
{
	queue_flush(opaque);
}

void process_send_fd(struct process *p, const Dejavm__Control *msg, int fd)
{
	size_t len = dejavm__control__get_packed_size(msg);
	struct process_packet *k;

	if (p->sock < 0 || p->state < PROCESS_SETUP)
		return;
	must(len <= CTL_MAX_PACKET);
	k = malloc(sizeof(*k) + len);
	must(k);
	*k = (struct process_packet){ .len = len, .fd = -1 };
	if (fd >= 0) {
		k->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		must(k->fd >= 0);
	}
	dejavm__control__pack(msg, k->data);
	*p->queue_end = k;
	p->queue_end = &k->next;
	queue_flush(p);
}

void process_send(struct process *p, const Dejavm__Control *msg)
{
	process_send_fd(p, msg, -1);
}

static int send_now(int sock, const Dejavm__Control *msg, const int *fds, int nfds)
{
	size_t len = dejavm__control__get_packed_size(msg);
	uint8_t *buf = malloc(len);
	int r;

	must(buf);
	dejavm__control__pack(msg, buf);
	r = len > CTL_MAX_PACKET ? -EMSGSIZE : ctl_send(sock, buf, len, fds, nfds);
	free(buf);
	return r;
}

/* ---- introduction ---- */

void process_refuse(int sock, const char *text)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Refused r = DEJAVM__REFUSED__INIT;

	r.text = (char *)text;
	c.msg_case = DEJAVM__CONTROL__MSG_REFUSED;
	c.refused = &r;
	send_now(sock, &c, NULL, 0);
}

static int welcome(struct process *p)
{
	struct hub *hub = p->hub;
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Welcome w = DEJAVM__WELCOME__INIT;
	Dejavm__Segment segs[CTL_MAX_FDS], *ptrs[CTL_MAX_FDS];
	int fds[CTL_MAX_FDS], n = 0;

	for (size_t i = 0; i < sizeof(segment_rows) / sizeof(segment_rows[0]); i++) {
		const struct shm_segment *s = shm_find(&hub->shm, segment_rows[i].name);

		if (segment_rows[i].index != p->role->index || !s)
			continue;
		must(n < CTL_MAX_FDS);
		dejavm__segment__init(&segs[n]);
		segs[n].name = (char *)s->name;
		segs[n].len = s->len;
		ptrs[n] = &segs[n];
		fds[n++] = segment_rows[i].access == SEG_RO && s->ro_fd >= 0 ? s->ro_fd : s->rw_fd;
	}
	w.epoch = p->epoch;
	w.segments = ptrs;
	w.n_segments = (size_t)n;
	w.log = &hub->config.log;
	w.machine = &hub->config.machine;
	w.replay = &hub->config.replay;
	w.display = &hub->display.config;
	w.qmp_listen = hub->qmp_name;
	if (p->role->index == PROC_BLKPROXY) {
		disks_before_welcome(hub);
		w.blk = &hub->disks.config;
	}
	c.msg_case = DEJAVM__CONTROL__MSG_WELCOME;
	c.welcome = &w;
	return send_now(p->sock, &c, fds, n);
}

const char *process_hello_wrong(const Dejavm__Hello *h, const char *role, char *buf, size_t cap)
{
	if (h->protocol != CONTROL_PROTOCOL_VERSION)
		snprintf(buf, cap,
			"process '%.32s' (pid %u) speaks control protocol version %u, and this hub "
			"speaks version %u",
			h->role, h->pid, h->protocol, CONTROL_PROTOCOL_VERSION);
	else if (role && strcmp(h->role, role))
		snprintf(buf, cap, "the process started as '%s' says that it is '%.32s'", role,
			h->role);
	else
		return NULL;
	return buf;
}

static void on_hello(struct process *p, const Dejavm__Hello *h)
{
	char text[256];
	int r;

	if (process_hello_wrong(h, p->role->name, text, sizeof(text))) {
		process_refuse(p->sock, text);
		p->refused = true;
		life_broken(p->hub, "%s", text);
		return;
	}
	if (strcmp(h->build_id, DEJAVM_BUILD_ID))
		log_warn("process %s (pid %u) is of build '%.40s', and this hub is of build '%s'",
			h->role, h->pid, h->build_id, DEJAVM_BUILD_ID);
	p->hello_pid = (pid_t)h->pid;
	if (p->is_child && !p->wrap && p->hello_pid != p->pid)
		log_warn("process %s says that its pid is %u, but it was started as %d", h->role,
			h->pid, (int)p->pid);
	r = welcome(p);
	if (r == -EPIPE || r == -ECONNRESET)
		return; /* it has died since; that is noticed in its own way */
	if (r < 0) {
		life_broken(p->hub, "cannot send the welcome message to process %s (pid %d): %s",
			p->role->name, (int)p->pid, strerror(-r));
		return;
	}
	p->state = PROCESS_SETUP;
}

static void on_ready(struct process *p)
{
	p->state = PROCESS_READY;
	p->beat_ns = host_monotonic_ns();
	log_info("process %s (pid %d) is ready", p->role->name, (int)p->pid);
	if (p->role->index == PROC_DISPLAY)
		display_on_ready(p->hub);
	snapshot_on_ready(p);
	life_try_start(p->hub);
}

static void violation(struct process *p, const char *what)
{
	life_broken(p->hub, "process %s (pid %d) broke the rules of the control socket: %s",
		p->role->name, (int)p->pid, what);
}

static void dispatch(struct process *p, const Dejavm__Control *c)
{
	if (p->state == PROCESS_HELLO) {
		if (c->msg_case == DEJAVM__CONTROL__MSG_HELLO)
			on_hello(p, c->hello);
		else
			violation(p, "a message before Hello");
		return;
	}
	switch (c->msg_case) {
	case DEJAVM__CONTROL__MSG_READY: on_ready(p); break;
	case DEJAVM__CONTROL__MSG_FATAL:
		snprintf(p->fatal_text, sizeof(p->fatal_text), "%s", c->fatal->text);
		break;
	case DEJAVM__CONTROL__MSG_FINISHED:
		if (p->role->index == PROC_REPLAYLOG)
			life_on_finished(p->hub, c->finished);
		else
			violation(p, "Finished is replaylog's to say");
		break;
	case DEJAVM__CONTROL__MSG_MONITOR_REQUEST:
		if (p->role->index == PROC_QMPD)
			monitor_request(p->hub, c->monitor_request);
		else
			violation(p, "MonitorRequest is qmpd's to send");
		break;
	case DEJAVM__CONTROL__MSG_USER_INPUTS:
		if (p->role->index == PROC_DISPLAY)
			display_on_inputs(p->hub, c->user_inputs);
		else
			violation(p, "UserInputs are the display's to send");
		break;
	case DEJAVM__CONTROL__MSG_OPEN_IMAGE:
		if (p->role->index == PROC_BLKPROXY)
			disks_on_open(p->hub, c->open_image);
		else
			violation(p, "OpenImage is blkproxy's to send");
		break;
	case DEJAVM__CONTROL__MSG_DRIVES_OPENED:
		if (p->role->index == PROC_BLKPROXY)
			disks_on_opened(p->hub, c->drives_opened);
		else
			violation(p, "DrivesOpened is blkproxy's to say");
		break;
	case DEJAVM__CONTROL__MSG_STATE_REPLY: snapshot_on_state_reply(p, c->state_reply); break;
	case DEJAVM__CONTROL__MSG_SNAPSHOT_REPLY: snapshot_on_reply(p, c->snapshot_reply); break;
	default: violation(p, "an unexpected message"); break;
	}
}

static void close_socket(struct process *p)
{
	struct process_packet *k;

	if (p->sock_ev)
		event_free(p->sock_ev);
	if (p->out_ev)
		event_free(p->out_ev);
	if (p->sock >= 0)
		close(p->sock);
	p->sock_ev = p->out_ev = NULL;
	p->sock = -1;
	while ((k = p->queue)) {
		p->queue = k->next;
		packet_free(k);
	}
	p->queue_end = &p->queue;
}

static void on_eof_grace(evutil_socket_t fd, short what, void *opaque)
{
	struct process *p = opaque;

	if (!p->pid)
		return;
	/* Its end of the socket is closed but it lives: it cannot be worked with any more. */
	if (p->is_child)
		kill(p->pid, SIGKILL);
	else
		on_dead(p);
}

static void on_socket(evutil_socket_t fd, short what, void *opaque)
{
	struct process *p = opaque;
	static uint8_t buf[CTL_MAX_PACKET];
	struct timeval grace = { .tv_usec = EOF_GRACE_MS * 1000 };
	Dejavm__Control *c;
	int fds[CTL_MAX_FDS], nfds = 0;
	long n = ctl_recv(p->sock, buf, sizeof(buf), fds, CTL_MAX_FDS, &nfds);

	if (n == -EAGAIN || n == -EINTR)
		return;
	while (nfds > 0)
		close(fds[--nfds]); /* nobody sends us descriptors */
	if (n <= 0 && n != -EMSGSIZE) {
		/* Its death is noticed by the pidfd at about the same time, and says more. */
		close_socket(p);
		event_add(p->eof_ev, &grace);
		return;
	}
	c = n > 0 ? dejavm__control__unpack(NULL, (size_t)n, buf) : NULL;
	if (!c) {
		violation(p, "a packet that is not a message");
		return;
	}
	dispatch(p, c);
	dejavm__control__free_unpacked(c, NULL);
}

/* ---- death ---- */

static void words_of_exit(const siginfo_t *si, char *buf, size_t cap)
{
	if (si->si_code == CLD_EXITED)
		snprintf(buf, cap, "ended with exit status %d", si->si_status);
	else
		snprintf(buf, cap, "was killed by signal %d (SIG%s)", si->si_status,
			sigabbrev_np(si->si_status) ? sigabbrev_np(si->si_status) : "?");
}

static void on_pid(evutil_socket_t fd, short what, void *opaque)
{
	on_dead(opaque);
}

/* The process is gone: what it was is cleaned up, then life.c decides. */
static void on_dead(struct process *p)
{
	char how[96] = "closed its control connection";
	siginfo_t si = { 0 };
	pid_t pid;

	if (!p->pid)
		return;
	if (p->is_child) {
		if (waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
			return;
		words_of_exit(&si, how, sizeof(how));
	} else if (p->pidfd >= 0) {
		struct pollfd pf = { .fd = p->pidfd, .events = POLLIN };

		if (poll(&pf, 1, 0) > 0)
			snprintf(how, sizeof(how), "ended (it was started by hand)");
	}
	/* Words that it said before it died are still in the socket. */
	while (p->sock >= 0) {
		struct pollfd pf = { .fd = p->sock, .events = POLLIN };

		if (poll(&pf, 1, 0) <= 0 || !(pf.revents & POLLIN))
			break;
		on_socket(p->sock, EV_READ, p);
	}
	close_socket(p);
	event_del(p->eof_ev);
	if (p->pid_ev)
		event_free(p->pid_ev);
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pid_ev = NULL;
	p->pidfd = -1;
	p->state = PROCESS_NONE;
	pid = p->pid;
	p->pid = 0;
	rundir_write_pid(&p->hub->rundir, p->role->name, 0);
	life_on_death(p->hub, p, pid, how);
}

/* ---- starting ---- */

static void watch_socket(struct process *p, int sock)
{
	fcntl(sock, F_SETFL, O_NONBLOCK);
	p->sock = sock;
	p->sock_ev = event_new(p->hub->base, sock, EV_READ | EV_PERSIST, on_socket, p);
	p->out_ev = event_new(p->hub->base, sock, EV_WRITE, on_writable, p);
	must(p->sock_ev && p->out_ev);
	event_add(p->sock_ev, NULL);
}

static void watch_pid(struct process *p, pid_t pid)
{
	p->pid = pid;
	p->pidfd = pidfd_open(pid, 0); /* close-on-exec by itself */
	rundir_write_pid(&p->hub->rundir, p->role->name, pid);
	/* Our own child's number cannot be reused before we have waited for it. */
	must(p->pidfd >= 0 || !p->is_child);
	if (p->pidfd < 0)
		return; /* it is gone already: end of file will tell */
	p->pid_ev = event_new(p->hub->base, p->pidfd, EV_READ | EV_PERSIST, on_pid, p);
	must(p->pid_ev);
	event_add(p->pid_ev, NULL);
}

static int start(struct process *p, struct error *err)
{
	int sv[2];
	pid_t pid;

	p->epoch++;
	p->state = PROCESS_HELLO;
	p->hello_pid = 0;
	p->refused = false;
	p->fatal_text[0] = '\0';
	p->beat_warned = false;
	if (p->by_hand) {
		fprintf(stderr, "dejavm: info: waiting for dejavm-%s --control %s/hub.sock\n",
			p->role->name, p->hub->rundir.path);
		return 0;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return error_set(err, errno, "process %s: cannot make a socket pair: %s",
			p->role->name, strerror(errno));
	pid = process_spawn(p->role, p->wrap, sv[1], p->hub->log_fd, err);
	close(sv[1]);
	if (pid < 0) {
		close(sv[0]);
		return (int)pid;
	}
	p->is_child = true;
	watch_socket(p, sv[0]);
	watch_pid(p, pid);
	return 0;
}

void process_adopt(struct process *p, int sock, pid_t pid, const Dejavm__Hello *h)
{
	p->is_child = false;
	watch_socket(p, sock);
	watch_pid(p, pid);
	on_hello(p, h);
}

bool process_restart(struct process *p)
{
	int64_t now = host_monotonic_ns();
	struct error err = ERROR_INIT;

	if (p->restarts_ns[0] && now - p->restarts_ns[0] < RESTARTS_WINDOW_NS)
		return false;
	memmove(p->restarts_ns, p->restarts_ns + 1,
		sizeof(p->restarts_ns) - sizeof(p->restarts_ns[0]));
	p->restarts_ns[RESTARTS_MAX - 1] = now;
	p->pid = 0;
	if (start(p, &err) < 0) {
		log_error("%s", err.msg);
		return false;
	}
	return true;
}

/* ---- all of them ---- */

static bool role_wanted(const struct hub *hub, int index)
{
	switch (index) {
	case PROC_SNAPSTORE: return false; /* snapshot.c starts it when it is needed */
	case PROC_QMPD: return hub->opt.qmp;
	case PROC_DISPLAY: return hub->opt.display > DISPLAY_NONE;
	case PROC_BLKPROXY: return hub->opt.n_drives > 0;
	}
	return true;
}

void processes_init(struct hub *hub)
{
	for (int i = 0; i < PROC_COUNT; i++) {
		struct process *p = &hub->proc[i];

		*p = (struct process){ .hub = hub, .role = role_find(i), .sock = -1, .pidfd = -1 };
		p->queue_end = &p->queue;
	}
}

static int start_now(struct process *p, struct error *err)
{
	/* While -qmp wait=on has no client, qmpd would take him out of the backlog before we saw
	 * him. */
	return p->role->index == PROC_QMPD && p->hub->qmp_waiting ? 0 : start(p, err);
}

int processes_start(struct hub *hub, struct error *err)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		struct process *p = &hub->proc[roles[i].index];
		const char *wrap = hub->opt.wrap[roles[i].index];
		int r;

		if (!role_wanted(hub, roles[i].index)) {
			if (wrap && roles[i].index != PROC_SNAPSTORE)
				return error_set(err, EINVAL,
					"--wrap %s=%s: this run has no process %s", roles[i].name,
					wrap, roles[i].name);
			continue;
		}
		p->wanted = true;
		p->by_hand = wrap && !strcmp(wrap, "none");
		p->wrap = p->by_hand ? NULL : wrap;
		p->eof_ev = evtimer_new(hub->base, on_eof_grace, p);
		must(p->eof_ev);
		if (hub->opt.n_drives && roles[i].index != PROC_BLKPROXY)
			continue;
		r = start_now(p, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int processes_start_rest(struct hub *hub, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]) && r == 0; i++) {
		struct process *p = &hub->proc[roles[i].index];

		if (p->wanted && !p->pid && p->state == PROCESS_NONE)
			r = start_now(p, err);
	}
	return r;
}

int process_add(struct process *p, struct error *err)
{
	const char *wrap = p->hub->opt.wrap[p->role->index];

	p->wanted = true;
	p->by_hand = wrap && !strcmp(wrap, "none");
	p->wrap = p->by_hand ? NULL : wrap;
	if (!p->eof_ev)
		p->eof_ev = evtimer_new(p->hub->base, on_eof_grace, p);
	must(p->eof_ev);
	return start(p, err);
}

void process_start_late(struct process *p)
{
	struct error err = ERROR_INIT;

	if (p->wanted && !p->pid && start(p, &err) < 0)
		life_broken(p->hub, "%s", err.msg);
}

bool processes_ready(const struct hub *hub)
{
	for (int i = 0; i < PROC_COUNT; i++)
		if (hub->proc[i].wanted && hub->proc[i].state != PROCESS_READY)
			return false;
	return true;
}

bool processes_gone(const struct hub *hub)
{
	for (int i = 0; i < PROC_COUNT; i++)
		if (hub->proc[i].pid)
			return false;
	return true;
}

void processes_quit(struct hub *hub)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Quit q = DEJAVM__QUIT__INIT;

	c.msg_case = DEJAVM__CONTROL__MSG_QUIT;
	c.quit = &q;
	for (int i = 0; i < PROC_COUNT; i++) {
		struct process *p = &hub->proc[i];

		/* One that has not been welcomed does not expect Quit; the end of the socket it
		 * understands. */
		if (p->sock >= 0 && p->state < PROCESS_SETUP)
			shutdown(p->sock, SHUT_WR);
		else
			process_send(p, &c);
	}
}

void processes_kill(struct hub *hub)
{
	for (int i = 0; i < PROC_COUNT; i++) {
		struct process *p = &hub->proc[i];

		if (!p->pid)
			continue;
		if (p->is_child)
			kill(p->pid, SIGKILL);
		else if (p->pidfd >= 0)
			pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
	}
}

void processes_done(struct hub *hub)
{
	processes_kill(hub);
	for (int i = 0; i < PROC_COUNT; i++) {
		struct process *p = &hub->proc[i];

		close_socket(p);
		if (p->pid && p->is_child)
			waitpid(p->pid, NULL, 0);
		if (p->pid_ev)
			event_free(p->pid_ev);
		if (p->eof_ev)
			event_free(p->eof_ev);
		if (p->pidfd >= 0)
			close(p->pidfd);
		p->pid = 0;
	}
}
