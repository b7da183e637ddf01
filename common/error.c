/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors that are read by people (see error.h). */
#include "error.h"

#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -code;
	/* Through a buffer: the arguments may well point into the old message. */
	char msg[sizeof(err->msg)];

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	err->code = code;
	memcpy(err->msg, msg, sizeof(msg));
	return -code;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char msg[sizeof(err->msg)];
	va_list ap;
	size_t n, room;

	if (!err)
		return 0;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	n = strlen(msg);
	if (n < sizeof(msg) - 1)
		msg[n++] = ':';
	if (n < sizeof(msg) - 1)
		msg[n++] = ' ';
	room = sizeof(msg) - 1 - n;
	size_t old = strnlen(err->msg, room);

	memcpy(msg + n, err->msg, old);
	msg[n + old] = '\0';
	memcpy(err->msg, msg, n + old + 1);
	return -err->code;
}
