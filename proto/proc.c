/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shared runtime of the hub's client processes (see proc.h). */
#include "proc.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "atomic.h"
#include "build.h"
#include "clock.h"
#include "log.h"
#include "trace.h"

#define WELCOME_TIMEOUT_S 30
#define SEND_TIMEOUT_S \
	2 /* a hub that takes nothing for so long is not one that we can tell anything */
#define BEAT_MS	      250
#define QUIT_GRACE_NS INT64_C(5000000000)

static const char *const role_names[PROC_COUNT] = {
	[PROC_HUB] = "hub",
	[PROC_VCPU] = "vcpu",
	[PROC_DEVICES] = "devices",
	[PROC_REPLAYLOG] = "replaylog",
	[PROC_QMPD] = "qmpd",
	[PROC_BLKPROXY] = "blkproxy",
	[PROC_NETPROXY] = "netproxy",
	[PROC_DISPLAY] = "display",
	[PROC_SNAPSTORE] = "snapstore",
};

static int role_index(const char *role)
{
	for (int i = 0; i < PROC_COUNT; i++)
		if (strcmp(role_names[i], role) == 0)
			return i;
	return -1;
}

/* ---- command line ---- */

static void print_help(const char *role)
{
	printf("Usage: dejavm-%s --control-fd N | --control PATH\n"
	       "The %s process of a dejavm group; the hub starts it. See dejavm(1).\n\n"
	       "  --control-fd N   the control socket is descriptor N (the hub passes it)\n"
	       "  --control PATH   connect to the hub's socket at PATH (to start this process by "
	       "hand;\n"
	       "                   the hub waits for it when given --wrap %s=none)\n"
	       "  --version        print the version\n"
	       "  --help           print this text\n",
		role, role, role);
}

struct proc_args {
	int control_fd;	     /* -1: none */
	const char *control; /* NULL: none */
};

static int parse_fd(const char *text, int *ret, struct error *err)
{
	char *end;
	long n;
	int type;
	socklen_t len = sizeof(type);

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < 0 || n > 0x7fffffff)
		return error_set(err, EINVAL,
			"--control-fd '%.100s': expected the number of a descriptor", text);
	if (getsockopt((int)n, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return error_set(
			err, EINVAL, "--control-fd %ld: not a socket: %s", n, strerror(errno));
	if (type != SOCK_SEQPACKET)
		return error_set(err, EINVAL, "--control-fd %ld: not a SOCK_SEQPACKET socket", n);
	*ret = (int)n;
	return 0;
}

static int parse_args(
	const char *role, int argc, char **argv, struct proc_args *ret, struct error *err)
{
	static const struct option options[] = { { "control-fd", required_argument, NULL, 'f' },
		{ "control", required_argument, NULL, 'c' }, { "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	int c, r;

	*ret = (struct proc_args){ .control_fd = -1 };
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			r = parse_fd(optarg, &ret->control_fd, err);
			if (r < 0)
				return r;
			break;
		case 'c': ret->control = optarg; break;
		case 'v': printf("dejavm-%s %s (%s)\n", role, DEJAVM_VERSION, build_id()); exit(0);
		case 'h': print_help(role); exit(0);
		case ':':
			return error_set(
				err, EINVAL, "option '%.100s' needs an argument", argv[optind - 1]);
		default:
			return error_set(err, EINVAL,
				"unknown option '%.100s' (there are: --control-fd N, --control "
				"PATH, --version, --help)",
				argv[optind - 1]);
		}
	}
	if (optind < argc)
		return error_set(
			err, EINVAL, "unexpected argument '%.100s' (try --help)", argv[optind]);
	if ((ret->control_fd >= 0) == (ret->control != NULL))
		return error_set(err, EINVAL,
			"expected one of --control-fd N and --control PATH (try --help)");
	return 0;
}

/* ---- messages ---- */

int proc_send(struct proc *p, const Dejavm__Control *msg)
{
	size_t len = dejavm__control__get_packed_size(msg);
	uint8_t *buf;
	int r;

	if (len > CTL_MAX_PACKET)
		return -EMSGSIZE;
	buf = malloc(len ? len : 1);
	if (!buf)
		return -ENOMEM;
	dejavm__control__pack(msg, buf);
	pthread_mutex_lock(&p->send_lock);
	r = ctl_send(p->sock, buf, len, NULL, 0);
	pthread_mutex_unlock(&p->send_lock);
	free(buf);
	return r;
}

int proc_ready(struct proc *p)
{
	Dejavm__Control msg = DEJAVM__CONTROL__INIT;
	Dejavm__Ready ready = DEJAVM__READY__INIT;

	msg.msg_case = DEJAVM__CONTROL__MSG_READY;
	msg.ready = &ready;
	return proc_send(p, &msg);
}

void proc_fatal(struct proc *p, const char *fmt, ...)
{
	Dejavm__Control msg = DEJAVM__CONTROL__INIT;
	Dejavm__Fatal fatal = DEJAVM__FATAL__INIT;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s", text);
	fatal.text = text;
	msg.msg_case = DEJAVM__CONTROL__MSG_FATAL;
	msg.fatal = &fatal;
	proc_send(p, &msg); /* if nobody listens, the exit status still says it */
	exit(EXIT_FAILURE);
}

static void close_all(const int *fds, int nfds)
{
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
}

/* One packet with its descriptors. 1, 0 at end of file, -errno. */
static int recv_with_fds(struct proc *p, Dejavm__Control **ret, int *ret_fds, int *ret_nfds)
{
	long n;

	if (!p->rx_buf)
		p->rx_buf = malloc(CTL_MAX_PACKET);
	if (!p->rx_buf)
		return -ENOMEM;
	n = ctl_recv(p->sock, p->rx_buf, CTL_MAX_PACKET, ret_fds, CTL_MAX_FDS, ret_nfds);
	if (n <= 0)
		return (int)n;
	*ret = dejavm__control__unpack(NULL, (size_t)n, p->rx_buf);
	if (*ret && (*ret)->msg_case != DEJAVM__CONTROL__MSG__NOT_SET)
		return 1;
	if (*ret)
		dejavm__control__free_unpacked(*ret, NULL);
	close_all(ret_fds, *ret_nfds);
	return -EPROTO;
}

int proc_recv(struct proc *p, Dejavm__Control **ret)
{
	int fds[CTL_MAX_FDS], nfds;
	int r = recv_with_fds(p, ret, fds, &nfds);

	if (r == 1)
		close_all(fds, nfds);
	return r;
}

int proc_take_fd(struct proc *p)
{
	int fd = -1;

	if (p->n_rx_fds > 0) {
		fd = p->rx_fds[0];
		p->n_rx_fds--;
		memmove(p->rx_fds, p->rx_fds + 1, (size_t)p->n_rx_fds * sizeof(p->rx_fds[0]));
	}
	return fd;
}

/* ---- handshake ---- */

static int send_hello(struct proc *p)
{
	Dejavm__Control msg = DEJAVM__CONTROL__INIT;
	Dejavm__Hello hello = DEJAVM__HELLO__INIT;

	hello.role = (char *)p->role;
	hello.pid = (uint32_t)getpid();
	hello.build_id = (char *)build_id();
	hello.protocol = CONTROL_PROTOCOL_VERSION;
	msg.msg_case = DEJAVM__CONTROL__MSG_HELLO;
	msg.hello = &hello;
	return proc_send(p, &msg);
}

static int take_segments(
	struct proc *p, const Dejavm__Welcome *w, const int *fds, int nfds, struct error *err)
{
	if (w->n_segments != (size_t)nfds)
		return error_set(err, EPROTO,
			"Welcome names %zu segments but brings %d descriptors", w->n_segments,
			nfds);
	for (int i = 0; i < nfds; i++) {
		const Dejavm__Segment *s = w->segments[i];
		size_t len = strlen(s->name);

		if (len == 0 || len > PROC_SEGMENT_NAME_MAX)
			return error_set(err, EPROTO,
				"Welcome: segment name '%.80s' must have 1 to %d bytes", s->name,
				PROC_SEGMENT_NAME_MAX);
		if (proc_segment(p, s->name))
			return error_set(err, EPROTO, "Welcome names segment '%s' twice", s->name);
		memcpy(p->seg[i].name, s->name, len + 1);
		p->seg[i].fd = fds[i];
		p->seg[i].len = s->len;
		p->n_seg = i + 1;
	}
	return 0;
}

/* Configures logging first, so that whatever fails later is told at the user's level. */
static int apply_log_config(const Dejavm__LogConfig *lc, const char *role, struct error *err)
{
	if (!lc)
		return 0;
	log_init(role, lc->level <= LOG_LVL_DEBUG ? (enum log_level)lc->level : LOG_LVL_DEBUG);
	for (size_t i = 0; i < lc->n_trace; i++)
		if (trace_add(lc->trace[i]) < 0)
			return error_set(err, EINVAL,
				"-trace '%.200s': expected [enable=]GLOB or -GLOB, separated by "
				"commas",
				lc->trace[i]);
	return 0;
}

static int take_welcome(
	struct proc *p, Dejavm__Control *msg, const int *fds, int nfds, struct error *err)
{
	int r;

	p->welcome_msg = msg;
	p->welcome = msg->welcome;
	p->epoch = msg->welcome->epoch;
	r = take_segments(p, msg->welcome, fds, nfds, err);
	if (r < 0)
		return r;
	r = apply_log_config(msg->welcome->log, p->role, err);
	if (r < 0)
		return r;
	if (proc_segment(p, "machine")) {
		p->machine = proc_map_min(p, "machine", true, sizeof(struct machine_page), err);
		if (!p->machine)
			return -EINVAL;
	}
	return 0;
}

static int set_timeout(int sock, int option, int seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	return setsockopt(sock, SOL_SOCKET, option, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int handshake(struct proc *p, struct error *err)
{
	Dejavm__Control *msg;
	int fds[CTL_MAX_FDS], nfds, r;

	r = send_hello(p);
	if (r < 0)
		return error_set(err, -r, "cannot send Hello to the hub: %s", strerror(-r));
	r = recv_with_fds(p, &msg, fds, &nfds);
	if (r == -EAGAIN)
		return error_set(err, ETIMEDOUT, "the hub did not answer Hello within %d s",
			WELCOME_TIMEOUT_S);
	if (r == 0)
		return error_set(err, ECONNRESET,
			"the hub closed the control socket instead of saying Welcome");
	if (r < 0)
		return error_set(err, -r, "control socket: %s",
			r == -EPROTO ? "not a control message" : strerror(-r));
	if (msg->msg_case == DEJAVM__CONTROL__MSG_WELCOME) {
		r = take_welcome(p, msg, fds, nfds, err);
		if (r < 0 && p->n_seg < nfds)
			close_all(fds + p->n_seg, nfds - p->n_seg);
		return r;
	}
	close_all(fds, nfds);
	if (msg->msg_case == DEJAVM__CONTROL__MSG_REFUSED)
		r = error_set(err, ECONNREFUSED, "refused by the hub: %.800s", msg->refused->text);
	else
		r = error_set(err, EPROTO, "expected Welcome from the hub, not message %d",
			(int)msg->msg_case);
	dejavm__control__free_unpacked(msg, NULL);
	return r;
}

int proc_start(struct proc *p, const char *role, int argc, char **argv, struct error *err)
{
	struct proc_args args;
	int r;

	*p = (struct proc){ .role = role, .index = role_index(role), .sock = -1 };
	pthread_mutex_init(&p->send_lock, NULL);
	log_init(role, LOG_LVL_WARN);
	signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error code, not our death */
	r = parse_args(role, argc, argv, &args, err);
	if (r < 0)
		return r;
	p->sock = args.control ? ctl_connect(args.control, err) : args.control_fd;
	if (p->sock < 0)
		return p->sock;
	r = set_timeout(p->sock, SO_SNDTIMEO, SEND_TIMEOUT_S);
	if (r == 0)
		r = set_timeout(p->sock, SO_RCVTIMEO, WELCOME_TIMEOUT_S);
	if (r < 0)
		return error_set(err, -r, "control socket: %s", strerror(-r));
	r = handshake(p, err);
	if (r < 0)
		return r;
	r = set_timeout(p->sock, SO_RCVTIMEO, 0);
	return r < 0 ? error_set(err, -r, "control socket: %s", strerror(-r)) : 0;
}

/* ---- segments ---- */

const struct proc_segment *proc_segment(const struct proc *p, const char *name)
{
	for (int i = 0; i < p->n_seg; i++)
		if (strcmp(p->seg[i].name, name) == 0)
			return &p->seg[i];
	return NULL;
}

int proc_segment_fd(const struct proc *p, const char *name)
{
	const struct proc_segment *s = proc_segment(p, name);

	return s ? s->fd : -ENOENT;
}

void *proc_map(struct proc *p, const char *name, bool writable, size_t *ret_len, struct error *err)
{
	const struct proc_segment *s = proc_segment(p, name);
	struct stat st;
	uint64_t len;
	void *m;

	if (!s) {
		error_set(err, ENOENT, "the hub did not hand out segment '%s'", name);
		return NULL;
	}
	if (fstat(s->fd, &st) < 0) {
		error_set(err, errno, "segment '%s': %s", name, strerror(errno));
		return NULL;
	}
	len = s->len ? s->len : (uint64_t)st.st_size;
	if (len == 0 || (uint64_t)st.st_size < len || len > SIZE_MAX / 2) {
		error_set(err, EINVAL, "segment '%s' has %lld bytes, expected %llu", name,
			(long long)st.st_size, (unsigned long long)(len ? len : 1));
		return NULL;
	}
	m = mmap(NULL, len, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, s->fd, 0);
	if (m == MAP_FAILED) {
		error_set(err, errno, "cannot map segment '%s' (%llu bytes%s): %s", name,
			(unsigned long long)len, writable ? ", writable" : "", strerror(errno));
		return NULL;
	}
	if (ret_len)
		*ret_len = len;
	return m;
}

void *proc_map_min(struct proc *p, const char *name, bool writable, size_t need, struct error *err)
{
	size_t len;
	void *m = proc_map(p, name, writable, &len, err);

	if (m && len < need) {
		munmap(m, len);
		error_set(err, EINVAL, "segment '%s' has %zu bytes, expected %zu or more", name,
			len, need);
		return NULL;
	}
	return m;
}

static int need_fd(const struct proc *p, const char *prefix, const char *role, struct error *err)
{
	char full[128];
	int fd;

	snprintf(full, sizeof(full), "%.63s%.63s", prefix, role);
	fd = proc_segment_fd(p, full);
	if (fd < 0)
		error_set(err, ENOENT, "the hub did not hand out '%s'", full);
	return fd;
}

int proc_chan(struct proc *p, struct chan *c, const char *name, bool is_a,
	const struct chan_geometry *g, const char *my_role, const char *peer_role,
	struct error *err)
{
	char prefix[64];
	int my_fd, peer_fd, my_bell, peer_bell, r;

	snprintf(prefix, sizeof(prefix), "chan-%.40s-", name);
	my_fd = need_fd(p, prefix, my_role, err);
	if (my_fd < 0)
		return my_fd;
	peer_fd = need_fd(p, prefix, peer_role, err);
	if (peer_fd < 0)
		return peer_fd;
	my_bell = need_fd(p, "bell-", my_role, err);
	if (my_bell < 0)
		return my_bell;
	peer_bell = need_fd(p, "bell-", peer_role, err);
	if (peer_bell < 0)
		return peer_bell;
	r = chan_init(c, is_a, g, my_fd, peer_fd, my_bell, peer_bell, err);
	if (r < 0)
		error_prefix(err, "channel %s (%s-%s)", name, my_role, peer_role);
	return r;
}

/* ---- the control thread ---- */

void proc_beat(struct proc *p)
{
	if (p->machine && p->index >= 0)
		atomic_inc(&p->machine->heart[p->index].beat);
}

_Noreturn static void hub_is_gone(struct proc *p, int r)
{
	if (atomic_read(&p->quit_seen)) {
		/* The hub said Quit before; the main thread is on its way out. */
		struct timespec ts = { .tv_sec = QUIT_GRACE_NS / 1000000000 };

		nanosleep(&ts, NULL);
		_exit(EXIT_SUCCESS);
	}
	if (r == 0)
		log_error("the hub died; ending");
	else
		log_error("control socket: %s; ending",
			r == -EPROTO ? "not a control message" : strerror(-r));
	if (p->on_hub_death)
		p->on_hub_death(p->opaque);
	_exit(EXIT_FAILURE);
}

static void handle_control(struct proc *p)
{
	Dejavm__Control *msg;
	int r = recv_with_fds(p, &msg, p->rx_fds, &p->n_rx_fds);

	if (r <= 0)
		hub_is_gone(p, r);
	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		atomic_set(&p->quit_seen, true);
	if (p->on_msg)
		p->on_msg(p->opaque, msg);
	else if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		_exit(EXIT_SUCCESS);
	close_all(p->rx_fds, p->n_rx_fds);
	p->n_rx_fds = 0;
	dejavm__control__free_unpacked(msg, NULL);
}

static void *control_main(void *arg)
{
	struct proc *p = arg;
	int64_t next_beat = host_monotonic_ns();

	for (;;) {
		struct pollfd pfd = { .fd = p->sock, .events = POLLIN };
		int64_t now = host_monotonic_ns();

		if (now >= next_beat) {
			proc_beat(p);
			next_beat = now + BEAT_MS * INT64_C(1000000);
		}
		if (poll(&pfd, 1, (int)((next_beat - now) / 1000000) + 1) > 0)
			handle_control(p);
	}
	return NULL;
}

int proc_run_control(
	struct proc *p, void (*on_msg)(void *opaque, const Dejavm__Control *msg), void *opaque)
{
	sigset_t all, old;
	int r;

	p->on_msg = on_msg;
	p->opaque = opaque;
	/* The main thread decides about signals. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&p->control_thread, NULL, control_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}
