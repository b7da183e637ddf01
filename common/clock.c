/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's clocks (see clock.h). */
#include "clock.h"

#include <time.h>

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t host_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t host_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}
