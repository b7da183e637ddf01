/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors that are read by people: a libraries' function that can fail for a
 * reason worth a sentence takes a `struct error *` and returns -errno. The
 * sentence names what was wrong, where, and what was expected.
 *
 *	struct error err = ERROR_INIT;
 *	if (thing_open(path, &err) < 0)
 *		log_fatal("%s", err.msg);
 */
#ifndef DEJAVM_ERROR_H
#define DEJAVM_ERROR_H

#include <stdarg.h>

struct error {
	int code;	/* positive errno, 0: no error */
	char msg[1024]; /* always NUL-terminated */
};

#define ERROR_INIT    \
	{             \
		0, "" \
	}

/* Sets *err (which may be NULL) to code and the formatted sentence; returns -code. */
int error_set(struct error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the sentence that *err holds. Returns -err->code. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
