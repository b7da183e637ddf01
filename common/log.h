/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Levelled logging to stderr (or to the -D file's descriptor), each line
 * prefixed with "dejavm-ROLE: ". Processes log; libraries return errors.
 */
#ifndef DEJAVM_LOG_H
#define DEJAVM_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* name is kept by reference ("hub", "vcpu", ...). Default level: WARN. */
void log_init(const char *name, enum log_level level);
void log_set_fd(int fd);
void log_set_level(enum log_level level);
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Logs at ERROR and exits with status 1 (EXIT_FAILURE). */
_Noreturn void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Writes a message whatever the level, with tag ("warning: ") behind the process's name. For this
 * library's own use. */
void log_vwrite(const char *tag, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/*
 * `must(cond)`: an assertion that stays on in every build. On failure it prints the
 * condition, file and line, calls the hook (if any; it leaves the flight
 * recorder and the instruction count behind) and aborts.
 */
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))
_Noreturn void must_failed(const char *cond, const char *file, int line);
void must_set_hook(void (*hook)(void));

#endif
