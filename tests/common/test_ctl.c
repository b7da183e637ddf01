/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

static int sv[2];
static uint8_t buf[CTL_MAX_PACKET + 1];

static int setup(void **state)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv);
}

static int teardown(void **state)
{
	close(sv[0]);
	close(sv[1]);
	return 0;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void packets_keep_their_borders(void **state)
{
	int fds[4], nfds = 9;

	assert_int_equal(ctl_send(sv[0], "one", 3, NULL, 0), 0);
	assert_int_equal(ctl_send(sv[0], "second", 6, NULL, 0), 0);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), fds, 4, &nfds), 3);
	assert_memory_equal(buf, "one", 3);
	assert_int_equal(nfds, 0);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), NULL, 0, &nfds), 6);
}

static void descriptors_travel(void **state)
{
	int p[2], fds[4], nfds;
	char c = 0;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(ctl_send(sv[0], "x", 1, p, 2), 0);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), fds, 4, &nfds), 1);
	assert_int_equal(nfds, 2);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fds[1], "!", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, '!');
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(fds[i]);
	}
}

static void most_descriptors(void **state)
{
	int out[CTL_MAX_FDS + 1], in[CTL_MAX_FDS], nfds;

	for (int i = 0; i <= CTL_MAX_FDS; i++)
		out[i] = sv[0];
	assert_int_equal(ctl_send(sv[0], "x", 1, out, CTL_MAX_FDS + 1), -EMSGSIZE);
	assert_int_equal(ctl_send(sv[0], "x", 1, out, CTL_MAX_FDS), 0);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), in, CTL_MAX_FDS, &nfds), 1);
	assert_int_equal(nfds, CTL_MAX_FDS);
	for (int i = 0; i < nfds; i++)
		close(in[i]);
}

static void unwanted_descriptors_are_closed(void **state)
{
	int out[3] = { sv[0], sv[0], sv[0] }, in[2], nfds = 9, before = count_fds();

	assert_int_equal(ctl_send(sv[0], "x", 1, out, 3), 0);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), in, 2, &nfds), -EMSGSIZE);
	assert_int_equal(nfds, 0);
	assert_int_equal(count_fds(), before);
	/* The socket is still good. */
	assert_int_equal(ctl_send(sv[0], "y", 1, NULL, 0), 0);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), in, 2, &nfds), 1);
}

static void truncation_is_an_error(void **state)
{
	int out[1] = { sv[0] }, in[2], nfds, before = count_fds();

	assert_int_equal(ctl_send(sv[0], "0123456789", 10, out, 1), 0);
	assert_int_equal(ctl_recv(sv[1], buf, 9, in, 2, &nfds), -EMSGSIZE);
	assert_int_equal(nfds, 0);
	assert_int_equal(count_fds(), before);
}

static void size_limits(void **state)
{
	int nfds;

	memset(buf, 'z', sizeof(buf));
	assert_int_equal(ctl_send(sv[0], buf, 0, NULL, 0), -EINVAL);
	assert_int_equal(ctl_send(sv[0], buf, CTL_MAX_PACKET + 1, NULL, 0), -EMSGSIZE);
	assert_int_equal(ctl_send(sv[0], buf, CTL_MAX_PACKET, NULL, 0), 0);
	assert_int_equal(ctl_recv(sv[1], buf, CTL_MAX_PACKET, NULL, 0, &nfds), CTL_MAX_PACKET);
}

static void end_of_file(void **state)
{
	int nfds;

	assert_int_equal(ctl_send(sv[0], "last", 4, NULL, 0), 0);
	close(sv[0]);
	sv[0] = -1;
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), NULL, 0, &nfds), 4);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), NULL, 0, &nfds), 0);
	/* And no SIGPIPE. */
	assert_int_equal(ctl_send(sv[1], "x", 1, NULL, 0), -EPIPE);
}

static void non_blocking(void **state)
{
	int nfds;

	fcntl(sv[1], F_SETFL, O_NONBLOCK);
	assert_int_equal(ctl_recv(sv[1], buf, sizeof(buf), NULL, 0, &nfds), -EAGAIN);
	assert_int_equal(ctl_recv(-1, buf, sizeof(buf), NULL, 0, &nfds), -EBADF);
}

static void listen_and_connect(void **state)
{
	char dir[] = "/tmp/dejavm-ctl-XXXXXX", path[64], big[300];
	struct error err = ERROR_INIT;
	struct stat st;
	int l, c, a, nfds;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	assert_int_equal(ctl_connect(path, &err), -ENOENT);
	assert_non_null(strstr(err.msg, path));
	umask(0);
	l = ctl_listen(path, &err);
	assert_true(l >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ctl_listen(path, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "cannot listen"));
	c = ctl_connect(path, &err);
	assert_true(c >= 0);
	a = accept(l, NULL, NULL);
	assert_true(a >= 0);
	assert_int_equal(ctl_send(c, "hi", 2, NULL, 0), 0);
	assert_int_equal(ctl_recv(a, buf, sizeof(buf), NULL, 0, &nfds), 2);
	close(a);
	close(c);
	close(l);
	unlink(path);
	rmdir(dir);
	memset(big, 'p', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(ctl_listen(big, &err), -ENAMETOOLONG);
	assert_int_equal(ctl_connect(big, &err), -ENAMETOOLONG);
	assert_int_equal(ctl_connect("", &err), -EINVAL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(packets_keep_their_borders),
		T(descriptors_travel),
		T(most_descriptors),
		T(unwanted_descriptors_are_closed),
		T(truncation_is_an_error),
		T(size_limits),
		T(end_of_file),
		T(non_blocking),
		T(listen_and_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
