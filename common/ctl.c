/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket (see ctl.h): unix(7), SOCK_SEQPACKET, descriptors by
 * SCM_RIGHTS. The kernel keeps packets whole, so a message needs no length.
 */
#include "ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

union fd_buf {
	struct cmsghdr align_;
	char bytes[CMSG_SPACE(CTL_MAX_FDS * sizeof(int))];
};

int ctl_send(int sock, const void *buf, size_t len, const int *fds, int nfds)
{
	union fd_buf control = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	/* An empty packet could not be told from an end of file. */
	if (len == 0 || nfds < 0)
		return -EINVAL;
	if (len > CTL_MAX_PACKET || nfds > CTL_MAX_FDS)
		return -EMSGSIZE;
	if (nfds > 0) {
		size_t fds_len = (size_t)nfds * sizeof(int);
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fds_len);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_len);
		memcpy(CMSG_DATA(c), fds, fds_len);
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

/* Moves the descriptors of one control message; those past max are closed. Returns how many there
 * were. */
static int take_fds(const struct cmsghdr *c, int *fds, int n, int max)
{
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++, n++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (n < max)
			fds[n] = fd;
		else
			close(fd);
	}
	return n;
}

long ctl_recv(int sock, void *buf, size_t cap, int *ret_fds, int max_fds, int *ret_nfds)
{
	union fd_buf control;
	struct iovec iov = { .iov_base = buf, .iov_len = cap };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	int fds[CTL_MAX_FDS], nfds = 0;
	ssize_t n;

	*ret_nfds = 0;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			nfds = take_fds(c, fds, nfds, CTL_MAX_FDS);
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || nfds > max_fds || nfds > CTL_MAX_FDS) {
		for (int i = 0; i < nfds && i < CTL_MAX_FDS; i++)
			close(fds[i]);
		return -EMSGSIZE;
	}
	if (nfds > 0)
		memcpy(ret_fds, fds, (size_t)nfds * sizeof(int));
	*ret_nfds = nfds;
	return (long)n;
}

static int make_address(struct sockaddr_un *sa, const char *path, struct error *err)
{
	size_t len = strlen(path);

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (len == 0 || len >= sizeof(sa->sun_path))
		return error_set(err, len ? ENAMETOOLONG : EINVAL,
			"control socket '%s': the path must have 1 to %zu bytes, not %zu", path,
			sizeof(sa->sun_path) - 1, len);
	memcpy(sa->sun_path, path, len + 1);
	return 0;
}

int ctl_connect(const char *path, struct error *err)
{
	struct sockaddr_un sa;
	int r = make_address(&sa, path, err), sock;

	if (r < 0)
		return r;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_set(err, errno, "control socket: %s", strerror(errno));
	if (connect(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		r = error_set(err, errno, "control socket '%s': cannot connect: %s", path,
			strerror(errno));
		close(sock);
		return r;
	}
	return sock;
}

int ctl_listen(const char *path, struct error *err)
{
	struct sockaddr_un sa;
	int r = make_address(&sa, path, err), sock;

	if (r < 0)
		return r;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_set(err, errno, "control socket: %s", strerror(errno));
	/* Before bind(): the file is born with this mode, so that there is no moment at which
	 * others could connect. */
	if (fchmod(sock, 0600) < 0 || bind(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(sock, 16) < 0) {
		r = error_set(err, errno, "control socket '%s': cannot listen: %s", path,
			strerror(errno));
		close(sock);
		return r;
	}
	return sock;
}
