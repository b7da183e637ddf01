/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -trace events (see trace.h). Patterns are kept in order and the last one that
 * matches a point decides, so that "i8259_*,-i8259_eoi" does what it says.
 */
#include "trace.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct pattern {
	struct pattern *next;
	bool on;
	char glob[];
};

static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pattern *patterns, **patterns_end = &patterns;
static struct trace_point *points;

static bool name_is_on(const char *name)
{
	bool on = false;

	for (const struct pattern *p = patterns; p; p = p->next)
		if (fnmatch(p->glob, name, 0) == 0)
			on = p->on;
	return on;
}

static int pattern_new(const char *text, size_t len, struct pattern **ret)
{
	static const char enable[] = "enable=";
	struct pattern *p;
	bool on = true;

	if (len >= sizeof(enable) - 1 && memcmp(text, enable, sizeof(enable) - 1) == 0) {
		text += sizeof(enable) - 1;
		len -= sizeof(enable) - 1;
	}
	if (len > 0 && *text == '-') {
		on = false;
		text++;
		len--;
	}
	/* A '=' is an option that we do not have ("file=x"), not a name. */
	if (len == 0 || memchr(text, '=', len))
		return -EINVAL;
	p = malloc(sizeof(*p) + len + 1);
	if (!p)
		return -ENOMEM;
	p->next = NULL;
	p->on = on;
	memcpy(p->glob, text, len);
	p->glob[len] = '\0';
	*ret = p;
	return 0;
}

int trace_add(const char *spec)
{
	struct pattern *list = NULL, **end = &list;
	int r = 0;

	for (const char *p = spec;; p++) {
		size_t len = strcspn(p, ",");

		r = pattern_new(p, len, end);
		if (r < 0)
			break;
		end = &(*end)->next;
		p += len;
		if (!*p)
			break;
	}
	if (r < 0) {
		while (list) {
			struct pattern *next = list->next;

			free(list);
			list = next;
		}
		return r;
	}
	pthread_mutex_lock(&trace_lock);
	*patterns_end = list;
	patterns_end = end;
	for (struct trace_point *tp = points; tp; tp = tp->next)
		tp->on = name_is_on(tp->name);
	pthread_mutex_unlock(&trace_lock);
	return 0;
}

bool trace_match(struct trace_point *tp)
{
	bool on;

	pthread_mutex_lock(&trace_lock);
	if (!tp->known) {
		tp->on = name_is_on(tp->name);
		tp->next = points;
		points = tp;
		tp->known = true;
	}
	on = tp->on;
	pthread_mutex_unlock(&trace_lock);
	return on;
}

void trace_emit(const struct trace_point *tp, const char *fmt, ...)
{
	char tag[80];
	va_list ap;

	snprintf(tag, sizeof(tag), "%.70s ", tp->name);
	va_start(ap, fmt);
	log_vwrite(tag, fmt, ap);
	va_end(ap);
}
