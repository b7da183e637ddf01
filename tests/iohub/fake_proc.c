/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process of the group that speaks the control protocol and does what a test tells it, in
 *$FAKE_ROLE (FAKE_VCPU, ...), as words with commas between:
 *
 *	protocol=N	says Hello with this version	role=NAME	says that it is another
 *	build=TEXT	of another build		silent		never says Hello
 *	fatal=TEXT	says Fatal and exits with 1	exit=N		exits once it is ready
 *	deaf		does not follow Quit		garbage		sends a packet that is no
 *message finish=N	replaylog: Finished with status N as soon as it is ready, with text=TEXT
 *
 * As replaylog it also echoes: what comes in as characters of stream N goes out on stream N; a
 *shutdown request or Abandon ends the run with Finished. Its role is what argv[0] says behind
 *"dejavm-".
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic.h"
#include "build.h"
#include "control.pb-c.h"
#include "ctl.h"
#include "hostio.h"
#include "ring.h"
#include "segments.h"
#include "seq.h"

static const char *role, *plan;
static int sock;
static Dejavm__Control *welcome;
static int fds[CTL_MAX_FDS], nfds;
static struct machine_page *machine;
static struct chan chan;
static bool have_chan;
static uint64_t n_chars;

/* The value of word KEY=VALUE in the plan (static buffer), "" for a bare KEY, or NULL. */
static const char *planned(const char *key)
{
	static char value[256];
	size_t len = strlen(key);

	for (const char *p = plan; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (strncmp(p, key, len) || (p[len] != '=' && p[len] != ',' && p[len]))
			continue;
		snprintf(value, sizeof(value), "%.*s",
			p[len] == '=' ? (int)strcspn(p + len + 1, ",") : 0, p + len + 1);
		return value;
	}
	return NULL;
}

static void die(const char *what)
{
	fprintf(stderr, "fake %s: %s\n", role, what);
	exit(99);
}

static void send_msg(const Dejavm__Control *c)
{
	size_t len = dejavm__control__get_packed_size(c);
	uint8_t *buf = malloc(len);

	dejavm__control__pack(c, buf);
	if (ctl_send(sock, buf, len, NULL, 0) < 0)
		die("cannot send");
	free(buf);
}

static Dejavm__Control *recv_msg(void)
{
	static uint8_t buf[CTL_MAX_PACKET];
	int got[CTL_MAX_FDS], n = 0;
	long len = ctl_recv(sock, buf, sizeof(buf), got, CTL_MAX_FDS, &n);

	if (len <= 0)
		exit(77); /* the hub is dead */
	if (n) {
		memcpy(fds, got, sizeof(fds));
		nfds = n;
	}
	return dejavm__control__unpack(NULL, (size_t)len, buf);
}

static int segment(const char *name)
{
	for (size_t i = 0; i < welcome->welcome->n_segments; i++)
		if (!strcmp(welcome->welcome->segments[i]->name, name))
			return fds[i];
	return -1;
}

static void say_hello(void)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Hello h = DEJAVM__HELLO__INIT;

	h.role = (char *)(planned("role") ? strdup(planned("role")) : role);
	h.pid = (uint32_t)getpid();
	h.build_id = (char *)(planned("build") ? strdup(planned("build")) : DEJAVM_BUILD_ID);
	h.protocol = planned("protocol") ? (uint32_t)atoi(planned("protocol"))
					 : CONTROL_PROTOCOL_VERSION;
	c.msg_case = DEJAVM__CONTROL__MSG_HELLO;
	c.hello = &h;
	send_msg(&c);
}

static void finish(uint32_t status, uint32_t cause, const char *text)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Finished f = DEJAVM__FINISHED__INIT;

	f.exit_status = status;
	f.cause = cause;
	f.icount = 123456;
	f.events = n_chars;
	f.digest = 0xdecafbad;
	f.text = (char *)text;
	c.msg_case = DEJAVM__CONTROL__MSG_FINISHED;
	c.finished = &f;
	send_msg(&c);
}

static void say_fatal(const char *text)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Fatal f = DEJAVM__FATAL__INIT;

	f.text = (char *)text;
	c.msg_case = DEJAVM__CONTROL__MSG_FATAL;
	c.fatal = &f;
	send_msg(&c);
}

static void say_ready(void)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__Ready r = DEJAVM__READY__INIT;

	c.msg_case = DEJAVM__CONTROL__MSG_READY;
	c.ready = &r;
	send_msg(&c);
}

/* ---- replaylog: the other end of the hostio ring ---- */

static void give_credit(uint32_t stream, uint64_t n)
{
	union slot s;
	struct hostio_msg m = { .hdr.type = HOSTIO_CREDIT, .dev = stream, .value = n };

	memset(&s, 0, sizeof(s));
	memcpy(&s, &m, sizeof(m));
	if (chan_send(&chan, &s, NULL, 0, 5000000000))
		die("cannot give credit");
}

static void echo(uint32_t stream, const void *data, uint32_t len)
{
	union slot s;
	struct hostio_msg m = { .hdr.type = HOSTIO_OUTPUT, .dev = stream };

	memset(&s, 0, sizeof(s));
	memcpy(&s, &m, sizeof(m));
	/* The hub may hold us up for as long as its reader does. */
	if (chan_send(&chan, &s, data, len, 60000000000))
		die("cannot send output");
}

/* A machine takes inputs while it runs only. */
static void wait_running(void)
{
	uint32_t s;

	while ((s = atomic_load_acquire(&machine->run_state)) != RUN_RUNNING && s != RUN_QUIT)
		usleep(1000);
}

static void on_input(const struct hostio_msg *m, const uint8_t *data, uint32_t len)
{
	char text[64];

	if (m->hdr.type == HOSTIO_PAUSE) {
		snprintf(text, sizeof(text), "[pause %d]", (int)m->value);
		echo(0, text, (uint32_t)strlen(text));
		return;
	}
	switch (m->event) {
	case SEQ_EV_CHAR:
		wait_running();
		n_chars += len;
		echo(m->dev, data, len);
		give_credit(m->dev, len);
		break;
	case SEQ_EV_SHUTDOWN:
		atomic_store_release(&machine->input_pending, 1);
		wait_running();
		finish(0, m->a, "");
		break;
	case SEQ_EV_RESET: echo(0, "[reset]", 7); break;
	case SEQ_EV_POWERDOWN: echo(0, "[powerdown]", 11); break;
	case SEQ_EV_BREAK: echo(m->dev, "[break]", 7); break;
	default: die("an unknown input");
	}
}

static void serve_ring(void)
{
	uint8_t buf[SEQ_CHAR_MAX];
	union slot s;
	struct hostio_msg m;

	while (chan_recv(&chan, &s, buf, sizeof(buf)) == 0) {
		memcpy(&m, &s, sizeof(m));
		on_input(&m, buf, s.hdr.data_len);
	}
	if (chan_error(&chan))
		die(chan_error(&chan));
}

static void open_ring(void)
{
	static const struct chan_geometry geo = { HOSTIO_NSLOTS, HOSTIO_ARENA_LEN, HOSTIO_NSLOTS,
		HOSTIO_ARENA_LEN };
	struct error err = ERROR_INIT;
	uint32_t n = (uint32_t)(getenv("FAKE_STREAMS") ? atoi(getenv("FAKE_STREAMS")) : 1);

	if (chan_init(&chan, false, &geo, segment("chan-host-replaylog"), segment("chan-host-hub"),
		    segment("bell-replaylog"), segment("bell-hub"), &err) < 0)
		die(err.msg);
	have_chan = true;
	for (uint32_t i = 0; i < n; i++)
		give_credit(i, getenv("FAKE_CREDIT") ? (uint64_t)atoi(getenv("FAKE_CREDIT")) : 16);
}

/* What the hub promises about a segment: sealed, and read-only means read-only. */
static void check_segments(void)
{
	int ro = segment(strcmp(role, "vcpu") ? "chan-seq-devices" : "memmap"),
	    rw = segment("machine");
	struct stat st;

	if (fstat(rw, &st) < 0 || st.st_size < (off_t)sizeof(struct machine_page))
		die("segment machine is too short");
	if (ftruncate(rw, 0) == 0)
		die("segment machine is not sealed");
	machine = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, rw, 0);
	if (machine == MAP_FAILED)
		die("cannot map segment machine");
	if (!strcmp(role, "devices") || ro < 0)
		return;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) != MAP_FAILED)
		die("a read-only segment can be mapped writable");
	if (mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 0) == MAP_FAILED)
		die("cannot map a read-only segment");
}

static void on_control(void)
{
	Dejavm__Control *c = recv_msg();

	switch (c->msg_case) {
	case DEJAVM__CONTROL__MSG_QUIT:
		if (!planned("deaf"))
			exit(0);
		break;
	case DEJAVM__CONTROL__MSG_ABANDON:
		if (!planned("deaf"))
			finish(1, SHUTDOWN_HOST_ERROR, "abandoned");
		break;
	case DEJAVM__CONTROL__MSG_REFUSED:
		fprintf(stderr, "fake %s: refused: %s\n", role, c->refused->text);
		exit(1);
	default: break;
	}
	dejavm__control__free_unpacked(c, NULL);
}

static void loop(void)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = sock, .events = POLLIN },
			{ .fd = have_chan ? chan.my_bell_fd : -1, .events = POLLIN } };

		/* vcpu's and devices' hearts: the watchdog must have nothing to say. */
		if (!have_chan || chan_prepare_sleep(&chan))
			poll(p, 2, 100);
		if (have_chan) {
			chan_awake(&chan);
			serve_ring();
		}
		if (p[0].revents)
			on_control();
	}
}

int main(int argc, char **argv)
{
	const char *base = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	char env[40] = "FAKE_";

	if (strncmp(base, "dejavm-", 7) || argc != 3)
		return 98;
	role = base + 7;
	for (size_t i = 0; role[i] && i < 30; i++)
		env[5 + i] = (char)(role[i] - 'a' + 'A');
	plan = getenv(env);
	if (!strcmp(argv[1], "--control-fd"))
		sock = atoi(argv[2]);
	else
		sock = ctl_connect(argv[2], &(struct error)ERROR_INIT);
	if (planned("silent"))
		pause();
	if (planned("garbage")) {
		ctl_send(sock, "\xff\xff\xff", 3, NULL, 0);
		pause();
	}
	say_hello();
	welcome = recv_msg();
	if (welcome->msg_case == DEJAVM__CONTROL__MSG_REFUSED) {
		fprintf(stderr, "fake %s: refused: %s\n", role, welcome->refused->text);
		return 1;
	}
	if (welcome->msg_case != DEJAVM__CONTROL__MSG_WELCOME)
		die("expected Welcome");
	check_segments();
	if (planned("fatal")) {
		say_fatal(planned("fatal"));
		return 1;
	}
	if (!strcmp(role, "replaylog"))
		open_ring();
	say_ready();
	if (planned("exit"))
		return atoi(planned("exit"));
	if (planned("finish")) {
		static char text[256];

		snprintf(text, sizeof(text), "%s", planned("text") ? planned("text") : "");
		finish((uint32_t)atoi(planned("finish")), SHUTDOWN_GUEST_SHUTDOWN, text);
	}
	loop();
}
