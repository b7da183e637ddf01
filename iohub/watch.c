/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals to the hub, and the heart beats of all. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "atomic.h"
#include "clock.h"
#include "hub.h"
#include "log.h"

#define BEAT_MS	    250
#define BEAT_LOST_S 10
#define ECHO_MS	    300

/* ---- signals ---- */

/* Who sent it, as QEMU says it. */
static void say_signal(const struct signalfd_siginfo *si)
{
	char path[40], comm[64] = "";
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/comm", si->ssi_pid);
	fd = si->ssi_pid ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		n = read(fd, comm, sizeof(comm) - 1);
		close(fd);
	}
	if (n > 0)
		comm[comm[n - 1] == '\n' ? n - 1 : n] = '\0';
	if (si->ssi_pid)
		fprintf(stderr, "dejavm: terminating on signal %u from pid %u (%s)\n",
			si->ssi_signo, si->ssi_pid, n > 0 ? comm : "?");
	else
		fprintf(stderr, "dejavm: terminating on signal %u\n", si->ssi_signo);
}

/* Ctrl-Z of a terminal whose signals are kept: the shell gets its terminal back meanwhile. */
static void suspend(void)
{
	terminal_restore();
	raise(SIGSTOP);
	terminal_resume();
}

/*
 * timeout(1) signals its child and then the child's whole process group, and so does many a script:
 * the same wish twice, not a second one that is meant harder.
 */
static bool is_echo(struct hub *hub)
{
	int64_t now = host_monotonic_ns(), last = hub->signal_ns;

	hub->signal_ns = now;
	return last && now - last < ECHO_MS * INT64_C(1000000);
}

static void on_signal(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;
	struct signalfd_siginfo si;

	while (read(fd, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTSTP: suspend(); break;
		case SIGCONT: terminal_resume(); break;
		default:
			if (is_echo(hub))
				break;
			say_signal(&si);
			life_request_end(hub, END_BY_SIGNAL, (int)si.ssi_signo);
			break;
		}
	}
}

/* ---- heart beats ---- */

/* Stopped by a signal or a debugger (proc(5), "state"): no reason for alarm. */
static bool is_stopped(pid_t pid)
{
	char path[40], buf[512], *paren;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, sizeof(buf) - 1);
		close(fd);
	}
	if (n <= 0)
		return false;
	buf[n] = '\0';
	paren = strrchr(buf, ')');
	return paren && (paren[2] == 'T' || paren[2] == 't');
}

static void look_at(struct hub *hub, struct process *p, int64_t now)
{
	uint64_t beat = atomic_read(&hub->machine->heart[p->role->index].beat);

	if (p->state != PROCESS_READY || p->wrap || p->by_hand)
		return;
	if (beat != p->beat || is_stopped(p->pid)) {
		if (p->beat_warned && beat != p->beat)
			log_warn("process %s (pid %d) is back", p->role->name, (int)p->pid);
		p->beat_warned = p->beat_warned && beat == p->beat;
		p->beat = beat;
		p->beat_ns = now;
		return;
	}
	if (!p->beat_warned && now - p->beat_ns > BEAT_LOST_S * INT64_C(1000000000)) {
		p->beat_warned = true;
		log_warn("process %s (pid %d) has shown no sign of life for %d s; the guest was at "
			 "icount %llu",
			p->role->name, (int)p->pid, BEAT_LOST_S,
			(unsigned long long)atomic_read(&hub->machine->icount_now));
	}
}

static void on_beat(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;
	int64_t now = host_monotonic_ns();

	atomic_set(&hub->machine->heart[PROC_HUB].beat,
		atomic_read(&hub->machine->heart[PROC_HUB].beat) + 1);
	for (int i = 0; i < PROC_COUNT; i++)
		if (hub->proc[i].wanted)
			look_at(hub, &hub->proc[i], now);
}

/* -qmp wait=on: a client has come when it waits in the listening socket's backlog. */
static void on_qmp_client(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;

	hub->qmp_waiting = false;
	process_start_late(&hub->proc[PROC_QMPD]);
}

int watch_open(struct hub *hub, struct error *err)
{
	struct timeval beat = { .tv_usec = BEAT_MS * 1000 };
	const struct shm_segment *qmp = shm_find(&hub->shm, "qmp-listen");
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	hub->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (hub->signal_fd < 0)
		return error_set(err, errno, "cannot make a signalfd: %s", strerror(errno));
	hub->signal_ev = event_new(hub->base, hub->signal_fd, EV_READ | EV_PERSIST, on_signal, hub);
	hub->beat_ev = event_new(hub->base, -1, EV_PERSIST, on_beat, hub);
	must(hub->signal_ev && hub->beat_ev);
	event_add(hub->signal_ev, NULL);
	event_add(hub->beat_ev, &beat);
	if (qmp && hub->opt.qmp_spec.wait) {
		fprintf(stderr, "dejavm: info: waiting for a connection on %s (qmp)\n",
			hub->qmp_name);
		hub->qmp_waiting = true;
		hub->qmp_wait_ev = event_new(hub->base, qmp->rw_fd, EV_READ, on_qmp_client, hub);
		must(hub->qmp_wait_ev);
		event_add(hub->qmp_wait_ev, NULL);
	}
	return 0;
}

void watch_close(struct hub *hub)
{
	struct event **evs[] = { &hub->signal_ev, &hub->beat_ev, &hub->qmp_wait_ev };

	for (size_t i = 0; i < sizeof(evs) / sizeof(evs[0]); i++) {
		if (*evs[i])
			event_free(*evs[i]);
		*evs[i] = NULL;
	}
	if (hub->signal_fd >= 0)
		close(hub->signal_fd);
	hub->signal_fd = -1;
}
