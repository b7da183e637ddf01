/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -trace events. An event is a row of its folder's trace table and is off
 * unless a -trace pattern (shell glob, '-' prefix disables) names it.
 *
 *	static struct trace_point tp_irq = TRACE_POINT("i8259_set_irq");
 *	trace(&tp_irq, "chip %d irq %d level %d", c, n, level);
 *
 * The disabled path is one predictable branch on a plain flag.
 */
#ifndef DEJAVM_TRACE_H
#define DEJAVM_TRACE_H

#include <stdbool.h>

struct trace_point {
	const char *name;
	bool on;
	bool known; /* set once the point has been matched against the patterns */
	struct trace_point
		*next; /* all points that were looked at, so that a later -trace reaches them */
};

#define TRACE_POINT(n)             \
	{                          \
		n, false, false, 0 \
	}

/*
 * Adds patterns as -trace gives it: "GLOB", "enable=GLOB", "-GLOB"; comma-separated.
 * A later pattern overrides an earlier one. 0, -EINVAL: empty or unknown element, -ENOMEM.
 */
int trace_add(const char *spec);
bool trace_match(struct trace_point *tp); /* slow path: first look at a point */
void trace_emit(const struct trace_point *tp, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define trace(tp, ...)                                                            \
	do {                                                                      \
		struct trace_point *tp_ = (tp);                                   \
		if (__builtin_expect(tp_->known ? tp_->on : trace_match(tp_), 0)) \
			trace_emit(tp_, __VA_ARGS__);                             \
	} while (0)

#endif
