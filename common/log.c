/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Levelled logging (see log.h). A message is one write(2), so that lines of
 * several processes on one terminal do not mix. Bytes that a guest or a peer smuggled into a
 * message must not drive the user's terminal: control characters are shown as \xNN.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atomic.h"

#define LOG_MSG_MAX  2048
#define LOG_LINE_MAX 8192

static const char *log_name = "?";
static _Atomic int log_fd = STDERR_FILENO;
static _Atomic int log_level = LOG_LVL_WARN;
static void (*_Atomic must_hook)(void);

void log_init(const char *name, enum log_level level)
{
	log_name = name;
	atomic_set(&log_level, (int)level);
}

void log_set_fd(int fd)
{
	atomic_set(&log_fd, fd);
}

void log_set_level(enum log_level level)
{
	atomic_set(&log_level, (int)level);
}

static void write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody to tell */
		p += n;
		len -= (size_t)n;
	}
}

/* Appends one byte of a message, made harmless. Needs 4 bytes of room. */
static size_t put_byte(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c == '\t' || (c >= 0x20 && c != 0x7f)) {
		out[0] = (char)c;
		return 1;
	}
	memcpy(out, "\\x", 2);
	out[2] = hex[c >> 4];
	out[3] = hex[c & 15];
	return 4;
}

void log_vwrite(const char *tag, const char *fmt, va_list ap)
{
	char msg[LOG_MSG_MAX], out[LOG_LINE_MAX], prefix[64];
	int saved_errno = errno;
	int n_prefix = snprintf(prefix, sizeof(prefix), "dejavm-%.40s: ", log_name);
	size_t n = 0, n_tag = strlen(tag);

	vsnprintf(msg, sizeof(msg), fmt, ap);
	memcpy(out, prefix, (size_t)n_prefix);
	n = (size_t)n_prefix;
	if (n_tag > 128)
		n_tag = 128;
	memcpy(out + n, tag, n_tag);
	n += n_tag;
	for (const char *p = msg; *p; p++) {
		if (n + (size_t)n_prefix + 8 > sizeof(out))
			break;
		if (*p != '\n') {
			n += put_byte(out + n, (unsigned char)*p);
			continue;
		}
		if (!p[1])
			break; /* the line's end comes anyway */
		out[n++] = '\n';
		memcpy(out + n, prefix, (size_t)n_prefix);
		n += (size_t)n_prefix;
	}
	out[n++] = '\n';
	write_all(atomic_read(&log_fd), out, n);
	errno = saved_errno;
}

#define LOG_FUNCTION(name, level, tag)                      \
	void name(const char *fmt, ...)                     \
	{                                                   \
		va_list ap;                                 \
		if (atomic_read(&log_level) < (int)(level)) \
			return;                             \
		va_start(ap, fmt);                          \
		log_vwrite(tag, fmt, ap);                   \
		va_end(ap);                                 \
	}

LOG_FUNCTION(log_error, LOG_LVL_ERROR, "")
LOG_FUNCTION(log_warn, LOG_LVL_WARN, "warning: ")
LOG_FUNCTION(log_info, LOG_LVL_INFO, "info: ")
LOG_FUNCTION(log_debug, LOG_LVL_DEBUG, "debug: ")

void log_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vwrite("", fmt, ap);
	va_end(ap);
	exit(EXIT_FAILURE);
}

void must_set_hook(void (*hook)(void))
{
	atomic_store_release(&must_hook, hook); /* pairs with the exchange in must_failed() */
}

void must_failed(const char *cond, const char *file, int line)
{
	/* Taken out first: a hook that itself fails an assertion must not come back here for ever.
	 */
	void (*hook)(void) = atomic_xchg(&must_hook, (void (*)(void))NULL);

	log_error("assertion failed: %s (%s:%d)", cond, file, line);
	if (hook)
		hook();
	abort();
}
