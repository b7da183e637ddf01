/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Back end "stdio": the program's standard input and output. If input is a terminal it is put into
 * raw mode, with its signals (Ctrl-C ...) kept if the back end has signal=on; the mode is put back
 * on every way out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "chardev.h"
#include "log.h"

/* There is one terminal; signal handlers look at these. */
static struct termios saved_mode, raw_mode;
static volatile sig_atomic_t mode_is_raw, mode_is_saved;

void terminal_restore(void)
{
	/* tcsetattr() may be called from a signal handler (POSIX, "async-signal-safe"). */
	if (mode_is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_mode);
	mode_is_raw = 0;
}

void terminal_resume(void)
{
	if (mode_is_saved && !mode_is_raw && tcsetattr(STDIN_FILENO, TCSANOW, &raw_mode) == 0)
		mode_is_raw = 1;
}

static void on_fatal_signal(int sig)
{
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void make_raw(bool keep_signals)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGQUIT };
	struct sigaction sa = { .sa_handler = on_fatal_signal };

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_mode) < 0)
		return;
	raw_mode = saved_mode;
	cfmakeraw(&raw_mode);
	/* The guest sends CR LF itself; our own messages need the terminal's help. */
	raw_mode.c_oflag |= saved_mode.c_oflag & (OPOST | ONLCR);
	if (keep_signals)
		raw_mode.c_lflag |= ISIG;
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &sa, NULL);
	atexit(terminal_restore);
	mode_is_saved = 1;
	terminal_resume();
}

/*
 * A descriptor for output that does not block. O_NONBLOCK on the inherited one would also be set
 * for the shell and everybody else who shares it, so a pipe or terminal is opened anew; a file
 * never blocks; a socket is used with MSG_DONTWAIT.
 */
static int output_fd(struct chardev *c)
{
	struct stat st;
	int fd;

	if (fstat(STDOUT_FILENO, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode))
		return STDOUT_FILENO;
	fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return STDOUT_FILENO; /* another user's terminal: it may block, and that is all */
	c->close_fd[0] = fd;
	return fd;
}

static int stdio_open(struct chardev *c, struct error *err)
{
	/* A replay takes no input, but a person who watches one may want the Ctrl-A keys. */
	bool input = !c->replaying || (c->spec->mux && isatty(STDIN_FILENO));

	if (input && fcntl(STDIN_FILENO, F_GETFD) < 0)
		input = false;
	if (input)
		make_raw(c->spec->signal);
	chardev_set_fds(c, input ? STDIN_FILENO : -1, output_fd(c));
	return 0;
}

static void stdio_closed(struct chardev *c, int error)
{
	if (error == 0 || error == EIO) {
		/* End of input: output goes on, and the event must not fire for ever. */
		if (c->in_armed)
			event_del(c->in_ev);
		c->in_armed = false;
		c->eof = true;
		if (error == 0)
			return;
	}
	if (error != EPIPE)
		log_error("%s: standard output: %s", c->spec->id, strerror(error));
	chardev_set_fds(c, -1, -1);
}

static void stdio_done(struct chardev *c)
{
	terminal_restore();
	mode_is_saved = 0;
}

const struct chardev_ops chardev_stdio_ops = {
	.open = stdio_open,
	.closed = stdio_closed,
	.done = stdio_done,
};
