/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runtime of client processes (proto/proc.c, proto/sandbox.c), with this test in the place of
 * the hub. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomic.h"
#include "build.h"
#include "log.h"
#include "proc.h"

static int hub;	       /* our end of the control socket */
static int client_end; /* what the process gets as --control-fd */
static char fd_text[16];
static char *argv_fd[] = { "dejavm-devices", "--control-fd", fd_text, NULL };
static uint8_t buf[CTL_MAX_PACKET];

static int setup(void **state)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	hub = sv[0];
	client_end = sv[1];
	snprintf(fd_text, sizeof(fd_text), "%d", client_end);
	return 0;
}

static int teardown(void **state)
{
	close(hub);
	close(client_end);
	return 0;
}

static void hub_send(const Dejavm__Control *msg, const int *fds, int nfds)
{
	size_t len = dejavm__control__pack(msg, buf);

	assert_int_equal(ctl_send(hub, buf, len, fds, nfds), 0);
}

/* The next message from the process; fails after 10 s. */
static Dejavm__Control *hub_recv(void)
{
	struct pollfd pfd = { .fd = hub, .events = POLLIN };
	Dejavm__Control *msg;
	int nfds;
	long n;

	assert_int_equal(poll(&pfd, 1, 10000), 1);
	n = ctl_recv(hub, buf, sizeof(buf), NULL, 0, &nfds);
	assert_true(n > 0);
	msg = dejavm__control__unpack(NULL, (size_t)n, buf);
	assert_non_null(msg);
	return msg;
}

static void hub_send_refused(const char *text)
{
	Dejavm__Control msg = DEJAVM__CONTROL__INIT;
	Dejavm__Refused refused = DEJAVM__REFUSED__INIT;

	refused.text = (char *)text;
	msg.msg_case = DEJAVM__CONTROL__MSG_REFUSED;
	msg.refused = &refused;
	hub_send(&msg, NULL, 0);
}

static void hub_send_simple(Dejavm__Control__MsgCase which)
{
	Dejavm__Control msg = DEJAVM__CONTROL__INIT;
	Dejavm__Quit quit = DEJAVM__QUIT__INIT;
	Dejavm__Start start = DEJAVM__START__INIT;

	msg.msg_case = which;
	if (which == DEJAVM__CONTROL__MSG_QUIT)
		msg.quit = &quit;
	else
		msg.start = &start;
	hub_send(&msg, NULL, 0);
}

#define MAX_SEGS 8

struct seg {
	const char *name;
	int fd;
	uint64_t len;
};

static void hub_send_welcome(
	const struct seg *segs, int n, int nfds, bool sandbox, const char *trace)
{
	Dejavm__Control msg = DEJAVM__CONTROL__INIT;
	Dejavm__Welcome welcome = DEJAVM__WELCOME__INIT;
	Dejavm__LogConfig lc = DEJAVM__LOG_CONFIG__INIT;
	Dejavm__Segment s[MAX_SEGS], *ps[MAX_SEGS];
	int fds[MAX_SEGS];

	for (int i = 0; i < n; i++) {
		dejavm__segment__init(&s[i]);
		s[i].name = (char *)segs[i].name;
		s[i].len = segs[i].len;
		ps[i] = &s[i];
		fds[i] = segs[i].fd;
	}
	welcome.epoch = 77;
	welcome.n_segments = (size_t)n;
	welcome.segments = ps;
	lc.level = LOG_LVL_WARN;
	lc.sandbox = sandbox;
	if (trace) {
		lc.n_trace = 1;
		lc.trace = (char **)&trace;
	}
	welcome.log = &lc;
	msg.msg_case = DEJAVM__CONTROL__MSG_WELCOME;
	msg.welcome = &welcome;
	hub_send(&msg, fds, nfds);
}

static int make_memfd(size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

/* ---- command line ---- */

static void bad_command_lines(void **state)
{
	static char not_a_socket[] = "0";
	static char *rows[][5] = {
		{ "dejavm-x", NULL },
		{ "dejavm-x", "--control-fd", NULL },
		{ "dejavm-x", "--control-fd", "abc", NULL },
		{ "dejavm-x", "--control-fd", "-1", NULL },
		{ "dejavm-x", "--control-fd", "999", NULL },
		{ "dejavm-x", "--control-fd", not_a_socket, NULL },
		{ "dejavm-x", "--oops", NULL },
		{ "dejavm-x", "oops", NULL },
		{ "dejavm-x", "--control=/nowhere", "--control-fd", fd_text, NULL },
	};
	static const char *const words[] = { "expected one of", "needs an argument",
		"number of a descriptor", "number of a descriptor", "not a socket", "not a",
		"there are: --control-fd N", "unexpected argument 'oops'", "expected one of" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error err = ERROR_INIT;
		struct proc p;
		int argc = 0;

		while (argc < 5 && rows[i][argc])
			argc++;
		assert_int_equal(proc_start(&p, "x", argc, rows[i], &err), -EINVAL);
		if (!strstr(err.msg, words[i]))
			fail_msg("'%s' does not say '%s'", err.msg, words[i]);
	}
}

static void no_hub_at_path(void **state)
{
	char *argv[] = { "dejavm-x", "--control", "/nonexistent/socket", NULL };
	struct error err = ERROR_INIT;
	struct proc p;

	assert_int_equal(proc_start(&p, "x", 3, argv, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/socket"));
}

/* ---- handshake; the hub's answers wait in the socket before the process asks ---- */

static struct error start_fails(int code)
{
	struct error err = ERROR_INIT;
	struct proc p;

	assert_int_equal(proc_start(&p, "devices", 3, argv_fd, &err), -code);
	assert_int_equal(err.code, code);
	return err;
}

static void hello_says_who_we_are(void **state)
{
	Dejavm__Control *msg;
	struct error err;

	hub_send_refused("protocol 1, expected 2");
	err = start_fails(ECONNREFUSED);
	assert_string_equal(err.msg, "refused by the hub: protocol 1, expected 2");
	msg = hub_recv();
	assert_int_equal(msg->msg_case, DEJAVM__CONTROL__MSG_HELLO);
	assert_string_equal(msg->hello->role, "devices");
	assert_string_equal(msg->hello->build_id, build_id());
	assert_int_equal(msg->hello->pid, getpid());
	assert_int_equal(msg->hello->protocol, CONTROL_PROTOCOL_VERSION);
	dejavm__control__free_unpacked(msg, NULL);
}

static void answers_that_are_not_welcome(void **state)
{
	struct error err;

	assert_int_equal(ctl_send(hub, "\xff\xff\xff\xff", 4, NULL, 0), 0);
	err = start_fails(EPROTO);
	assert_non_null(strstr(err.msg, "not a control message"));
	hub_send_simple(DEJAVM__CONTROL__MSG_START);
	err = start_fails(EPROTO);
	assert_non_null(strstr(err.msg, "expected Welcome"));
	shutdown(hub, SHUT_WR);
	err = start_fails(ECONNRESET);
	assert_non_null(strstr(err.msg, "closed the control socket"));
}

static void bad_welcomes(void **state)
{
	char big[100];
	struct seg segs[] = { { "one", hub, 0 }, { "one", hub, 0 } };
	struct error err;

	hub_send_welcome(segs, 2, 1, false, NULL);
	err = start_fails(EPROTO);
	assert_non_null(strstr(err.msg, "2 segments but brings 1"));
	hub_send_welcome(segs, 2, 2, false, NULL);
	err = start_fails(EPROTO);
	assert_non_null(strstr(err.msg, "'one' twice"));
	segs[1].name = "";
	hub_send_welcome(segs, 2, 2, false, NULL);
	start_fails(EPROTO);
	memset(big, 'n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	segs[1].name = big;
	hub_send_welcome(segs, 2, 2, false, NULL);
	start_fails(EPROTO);
	hub_send_welcome(NULL, 0, 0, false, "file=x");
	err = start_fails(EINVAL);
	assert_non_null(strstr(err.msg, "-trace 'file=x'"));
	segs[0] = (struct seg){ "machine", make_memfd(64), 0 };
	hub_send_welcome(segs, 1, 1, false, NULL);
	err = start_fails(EINVAL);
	assert_non_null(strstr(err.msg, "segment 'machine' has 64 bytes, expected"));
	close(segs[0].fd);
}

/* ---- segments ---- */

static void segments_and_maps(void **state)
{
	struct seg segs[] = { { "ram", make_memfd(8192), 8192 },
		{ "short", make_memfd(4096), 8192 }, { "bell-x", eventfd(0, 0), 0 } };
	struct error err = ERROR_INIT;
	struct proc p;
	size_t len = 0;
	uint8_t *m, *ro;

	hub_send_welcome(segs, 3, 3, false, NULL);
	assert_int_equal(proc_start(&p, "devices", 3, argv_fd, &err), 0);
	assert_int_equal(p.epoch, 77);
	assert_int_equal(p.index, PROC_DEVICES);
	assert_non_null(p.welcome);
	assert_null(p.machine);
	proc_beat(&p); /* without a machine page: nothing */
	assert_true(proc_segment_fd(&p, "ram") >= 0);
	assert_int_equal(fcntl(proc_segment_fd(&p, "ram"), F_GETFD), FD_CLOEXEC);
	assert_int_equal(proc_segment_fd(&p, "rom"), -ENOENT);
	m = proc_map(&p, "ram", true, &len, &err);
	assert_non_null(m);
	assert_int_equal(len, 8192);
	m[8191] = 5;
	ro = proc_map_min(&p, "ram", false, 8192, &err);
	assert_non_null(ro);
	assert_int_equal(ro[8191], 5);
	assert_null(proc_map_min(&p, "ram", false, 8193, &err));
	assert_non_null(strstr(err.msg, "8193 or more"));
	assert_null(proc_map(&p, "rom", false, NULL, &err));
	assert_non_null(strstr(err.msg, "did not hand out segment 'rom'"));
	assert_null(proc_map(&p, "short", false, NULL, &err));
	assert_non_null(strstr(err.msg, "segment 'short' has 4096 bytes, expected 8192"));
	assert_null(proc_map(&p, "bell-x", false, NULL, &err));
}

static void channels_by_name(void **state)
{
	static const struct chan_geometry g = { 4, 0, 4, 0 };
	struct seg segs[] = { { "chan-bus-vcpu", make_memfd(8192), 0 },
		{ "chan-bus-devices", make_memfd(8192), 0 }, { "bell-vcpu", eventfd(0, 0), 0 },
		{ "bell-devices", eventfd(0, 0), 0 } };
	struct error err = ERROR_INIT;
	union slot s = { .hdr = { .type = 3 } };
	struct chan a, b;
	struct proc p;

	hub_send_welcome(segs, 4, 4, false, NULL);
	assert_int_equal(proc_start(&p, "devices", 3, argv_fd, &err), 0);
	assert_int_equal(proc_chan(&p, &b, "bus", false, &g, "devices", "vcpu", &err), 0);
	assert_int_equal(proc_chan(&p, &a, "bus", true, &g, "vcpu", "devices", &err), 0);
	assert_int_equal(chan_send(&a, &s, NULL, 0, 0), 0);
	assert_int_equal(chan_recv(&b, &s, NULL, 0), 0);
	assert_int_equal(s.hdr.type, 3);
	assert_int_equal(proc_chan(&p, &a, "seq", true, &g, "devices", "replaylog", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "'chan-seq-devices'"));
	assert_int_equal(
		proc_chan(&p, &a, "bus", true, &(struct chan_geometry){ 4, 64 << 10, 4, 0 }, "vcpu",
			"devices", &err),
		-EINVAL);
	assert_non_null(strstr(err.msg, "channel bus (vcpu-devices): ring:"));
}

/* ---- a real process ---- */

static int machine_fd;

static struct machine_page *map_machine(void)
{
	void *m = mmap(NULL, sizeof(struct machine_page), PROT_READ | PROT_WRITE, MAP_SHARED,
		machine_fd, 0);

	assert_true(m != MAP_FAILED);
	return m;
}

static pid_t start_process(void (*body)(struct proc *p), bool sandbox)
{
	struct seg seg = { "machine", make_memfd(sizeof(struct machine_page)), 0 };
	pid_t pid;

	machine_fd = seg.fd;
	hub_send_welcome(&seg, 1, 1, sandbox, NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static struct proc p;
		struct error err = ERROR_INIT;

		alarm(20);
		close(hub);
		log_set_fd(open("/dev/null", O_WRONLY));
		if (proc_start(&p, "devices", 3, argv_fd, &err) < 0)
			_exit(90);
		body(&p);
		_exit(91);
	}
	close(client_end);
	client_end = -1;
	dejavm__control__free_unpacked(hub_recv(), NULL); /* Hello */
	return pid;
}

static int wait_process(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_exit(pid_t pid, int code)
{
	int status = wait_process(pid);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void body_idle(struct proc *p)
{
	if (proc_run_control(p, NULL, NULL) < 0 || proc_ready(p) < 0)
		_exit(92);
	for (;;)
		pause();
}

static void quit_ends_a_process_without_handler(void **state)
{
	pid_t pid = start_process(body_idle, false);
	Dejavm__Control *msg = hub_recv();

	assert_int_equal(msg->msg_case, DEJAVM__CONTROL__MSG_READY);
	dejavm__control__free_unpacked(msg, NULL);
	hub_send_simple(DEJAVM__CONTROL__MSG_START); /* nobody minds */
	hub_send_simple(DEJAVM__CONTROL__MSG_QUIT);
	assert_exit(pid, 0);
}

static void hub_death_ends_a_process(void **state)
{
	pid_t pid = start_process(body_idle, false);

	dejavm__control__free_unpacked(hub_recv(), NULL); /* Ready */
	close(hub);
	hub = -1;
	assert_exit(pid, 1);
}

static void garbage_ends_a_process(void **state)
{
	pid_t pid = start_process(body_idle, false);

	assert_int_equal(ctl_send(hub, "\xff\xff\xff\xff", 4, NULL, 0), 0);
	assert_exit(pid, 1);
}

static void exit_7(void *opaque)
{
	_exit(opaque == (void *)7 ? 7 : 93);
}

static void body_on_death(struct proc *p)
{
	p->on_hub_death = exit_7;
	proc_run_control(p, NULL, (void *)7);
	for (;;)
		pause();
}

static void hub_death_hook(void **state)
{
	pid_t pid = start_process(body_on_death, false);

	close(hub);
	hub = -1;
	assert_exit(pid, 7);
}

static void on_msg_counts(void *opaque, const Dejavm__Control *msg)
{
	static int starts;

	if (msg->msg_case == DEJAVM__CONTROL__MSG_START)
		starts++;
	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		_exit(50 + starts);
}

static void body_on_msg(struct proc *p)
{
	proc_run_control(p, on_msg_counts, NULL);
	for (;;)
		pause();
}

static void messages_reach_the_handler(void **state)
{
	pid_t pid = start_process(body_on_msg, false);

	for (int i = 0; i < 3; i++)
		hub_send_simple(DEJAVM__CONTROL__MSG_START);
	hub_send_simple(DEJAVM__CONTROL__MSG_QUIT);
	assert_exit(pid, 53);
}

static void body_fatal(struct proc *p)
{
	proc_fatal(p, "out of %s", "luck");
}

static void fatal_is_told(void **state)
{
	pid_t pid = start_process(body_fatal, false);
	Dejavm__Control *msg = hub_recv();

	assert_int_equal(msg->msg_case, DEJAVM__CONTROL__MSG_FATAL);
	assert_string_equal(msg->fatal->text, "out of luck");
	dejavm__control__free_unpacked(msg, NULL);
	assert_exit(pid, 1);
}

static void body_fatal_alone(struct proc *p)
{
	sleep(1); /* the hub closes meanwhile */
	proc_fatal(p, "nobody listens");
}

static void fatal_without_a_hub(void **state)
{
	pid_t pid = start_process(body_fatal_alone, false);

	close(hub);
	hub = -1;
	assert_exit(pid, 1);
}

static void the_heart_beats(void **state)
{
	pid_t pid = start_process(body_idle, false);
	struct machine_page *m = map_machine();
	uint64_t first = 0;

	for (int i = 0; i < 500 && first == 0; i++) {
		usleep(10000);
		first = atomic_read(&m->heart[PROC_DEVICES].beat);
	}
	assert_true(first > 0);
	for (int i = 0; i < 500 && atomic_read(&m->heart[PROC_DEVICES].beat) == first; i++)
		usleep(10000);
	assert_true(atomic_read(&m->heart[PROC_DEVICES].beat) > first);
	assert_int_equal(atomic_read(&m->heart[PROC_VCPU].beat), 0);
	kill(pid, SIGKILL);
	wait_process(pid);
}

/* ---- sandbox ---- */

#define EXPECT(n, cond)           \
	do {                      \
		if (!(cond))      \
			_exit(n); \
	} while (0)

static void enter_sandbox(struct proc *p)
{
	struct error err = ERROR_INIT;

	EXPECT(10, proc_run_control(p, NULL, NULL) == 0);
	EXPECT(11, proc_sandbox(p, &err) == 0);
}

static void body_sandbox(struct proc *p)
{
	void *big;

	enter_sandbox(p);
	/* What we need still works ... */
	EXPECT(12, proc_ready(p) == 0);
	big = malloc(16 << 20);
	EXPECT(13, big != NULL);
	memset(big, 1, 16 << 20);
	big = realloc(big, 32 << 20);
	EXPECT(14, big != NULL);
	free(big);
	usleep(1000);
	log_error("a line");
	/* ... and nothing else. */
	EXPECT(20, open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM);
	EXPECT(21, socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
	EXPECT(22, mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0) == MAP_FAILED &&
			   errno == EPERM);
	EXPECT(23, kill(getppid(), 0) < 0 && errno == EPERM);
	EXPECT(24, unlink("/tmp/x") < 0 && errno == EPERM);
	EXPECT(25, memfd_create("x", 0) < 0 && errno == EPERM);
	EXPECT(26, fcntl(p->sock, F_DUPFD, 100) < 0 && errno == EPERM);
	EXPECT(27, fsync(1) < 0 && errno == EPERM); /* replaylog's only */
	proc_fatal(p, "done");
}

/* A sanitizer's run-time needs system calls that the filter does not know: proc_sandbox() does
 * nothing then. */
static bool has_sandbox(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#else
	return true;
#endif
}

static void sandbox_allows_what_is_needed_only(void **state)
{
	Dejavm__Control *msg;
	pid_t pid;

	if (!has_sandbox())
		skip();
	pid = start_process(body_sandbox, true);
	msg = hub_recv();

	assert_int_equal(msg->msg_case, DEJAVM__CONTROL__MSG_READY);
	dejavm__control__free_unpacked(msg, NULL);
	assert_exit(pid, 1); /* proc_fatal; other numbers are lines of body_sandbox() */
}

static void body_exec(struct proc *p)
{
	char *argv[] = { "/bin/true", NULL };

	enter_sandbox(p);
	execv(argv[0], argv);
	_exit(30);
}

static void intruders_die(void **state)
{
	int status;

	if (!has_sandbox())
		skip();
	status = wait_process(start_process(body_exec, true));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void body_no_sandbox(struct proc *p)
{
	enter_sandbox(p);
	EXPECT(40, open("/dev/null", O_RDONLY) >= 0);
	_exit(0);
}

static void no_sandbox_on_demand(void **state)
{
	assert_exit(start_process(body_no_sandbox, false), 0);
}

static void body_sandbox_idle(struct proc *p)
{
	enter_sandbox(p);
	EXPECT(45, proc_ready(p) == 0);
	for (;;)
		usleep(10000);
}

static void sandboxed_control_thread_lives(void **state)
{
	pid_t pid = start_process(body_sandbox_idle, true);
	struct machine_page *m = map_machine();
	uint64_t first;

	dejavm__control__free_unpacked(hub_recv(), NULL); /* Ready, said from within the sandbox */
	first = atomic_read(&m->heart[PROC_DEVICES].beat);
	for (int i = 0; i < 500 && atomic_read(&m->heart[PROC_DEVICES].beat) == first; i++)
		usleep(10000);
	assert_true(atomic_read(&m->heart[PROC_DEVICES].beat) > first);
	hub_send_simple(DEJAVM__CONTROL__MSG_QUIT);
	assert_exit(pid, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(bad_command_lines),
		T(no_hub_at_path),
		T(hello_says_who_we_are),
		T(answers_that_are_not_welcome),
		T(bad_welcomes),
		T(segments_and_maps),
		T(channels_by_name),
		T(quit_ends_a_process_without_handler),
		T(hub_death_ends_a_process),
		T(garbage_ends_a_process),
		T(hub_death_hook),
		T(messages_reach_the_handler),
		T(fatal_is_told),
		T(fatal_without_a_hub),
		T(the_heart_beats),
		T(sandbox_allows_what_is_needed_only),
		T(intruders_die),
		T(no_sandbox_on_demand),
		T(sandboxed_control_thread_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
