/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logging, must() and trace points: what they write is read back from a pipe. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "trace.h"

static int pipe_fds[2];
static char text[16384];

static int setup(void **state)
{
	if (pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	log_init("test", LOG_LVL_WARN);
	log_set_fd(pipe_fds[1]);
	return 0;
}

static int teardown(void **state)
{
	log_set_fd(STDERR_FILENO);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return 0;
}

/* What has been logged since the last look. */
static const char *logged(void)
{
	ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void levels_filter(void **state)
{
	log_error("e %d", 1);
	log_warn("w");
	log_info("i");
	log_debug("d");
	assert_string_equal(logged(), "dejavm-test: e 1\ndejavm-test: warning: w\n");
	log_set_level(LOG_LVL_DEBUG);
	log_info("i");
	log_debug("d");
	assert_string_equal(logged(), "dejavm-test: info: i\ndejavm-test: debug: d\n");
	log_set_level(LOG_LVL_ERROR);
	log_warn("w");
	assert_string_equal(logged(), "");
}

static void each_line_has_the_prefix(void **state)
{
	log_error("one\ntwo\n");
	assert_string_equal(logged(), "dejavm-test: one\ndejavm-test: two\n");
}

static void control_characters_are_shown(void **state)
{
	log_error("a%cb%cc\td%c\xc3\xa4", 27, 0x7f, '\r');
	assert_string_equal(logged(), "dejavm-test: a\\x1bb\\x7fc\td\\x0d\xc3\xa4\n");
}

static void long_lines_are_cut(void **state)
{
	char big[5000];
	size_t n;

	memset(big, 1, sizeof(big) - 1); /* grows fourfold */
	big[sizeof(big) - 1] = '\0';
	log_error("%s", big);
	n = strlen(logged());
	assert_in_range(n, 2000, 8192);
	assert_int_equal(text[n - 1], '\n');
	memset(big, '\n', sizeof(big) - 1); /* grows a prefix each */
	log_error("%s", big);
	n = strlen(logged());
	assert_in_range(n, 2000, 8192);
}

static void errno_survives(void **state)
{
	errno = ENOSPC;
	log_error("x");
	assert_int_equal(errno, ENOSPC);
}

static int run_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		body();
		_exit(42);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void body_fatal(void)
{
	log_fatal("the end: %s", "why");
}

static void fatal_exits_with_1(void **state)
{
	int status = run_child(body_fatal);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_string_equal(logged(), "dejavm-test: the end: why\n");
}

static void hook_that_fails_too(void)
{
	log_error("hook");
	must(1 > 2);
}

static void body_must(void)
{
	must_set_hook(hook_that_fails_too);
	must(1 + 1 == 2);
	must(1 + 1 == 3);
}

static void must_calls_the_hook_once_and_aborts(void **state)
{
	int status = run_child(body_must);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	logged();
	assert_ptr_equal(strstr(text, "dejavm-test: assertion failed: 1 + 1 == 3 ("), text);
	assert_non_null(strstr(text, "test_log.c:"));
	assert_non_null(strstr(text, "dejavm-test: hook\n"));
	assert_non_null(strstr(text, "assertion failed: 1 > 2"));
	assert_null(strstr(strstr(text, "hook\n") + 1, "hook\n"));
}

static void trace_points(void **state)
{
	static struct trace_point irq = TRACE_POINT("t1_irq"), eoi = TRACE_POINT("t1_eoi"),
				  late = TRACE_POINT("t2_late");

	trace(&irq, "off");
	trace(&late, "off");
	assert_string_equal(logged(), "");
	assert_int_equal(trace_add("t1_*,-t1_eoi"), 0);
	trace(&irq, "n %d", 5); /* looked at before the pattern came */
	trace(&eoi, "no");
	trace(&late, "no");
	assert_string_equal(logged(), "dejavm-test: t1_irq n 5\n");
	assert_int_equal(trace_add("enable=t2_late"), 0);
	assert_int_equal(trace_add("-t1_irq"), 0);
	trace(&irq, "no");
	trace(&late, "yes");
	assert_string_equal(logged(), "dejavm-test: t2_late yes\n");
	assert_int_equal(trace_add("enable=-t2_*"), 0);
	trace(&late, "no");
	assert_string_equal(logged(), "");
}

static void trace_bad_specs(void **state)
{
	static const char *const bad[] = { "", "-", ",", "a,", ",a", "a,,b", "file=x",
		"enable=", "enable=-", "t3_all,oops=1" };
	static struct trace_point p = TRACE_POINT("t3_all");

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(trace_add(bad[i]), -EINVAL);
	trace(&p, "a bad spec has no effect at all");
	assert_string_equal(logged(), "");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(levels_filter),
		T(each_line_has_the_prefix),
		T(control_characters_are_shown),
		T(long_lines_are_cut),
		T(errno_survives),
		T(fatal_exits_with_1),
		T(must_calls_the_hook_once_and_aborts),
		T(trace_points),
		T(trace_bad_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
