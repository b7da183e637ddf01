/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual-time timers. There are a dozen of them, so they are kept in an array in order of creation
 * and the nearest deadline is found by looking at all; what is hot, asking for it, is cached.
 */
#include <stdlib.h>
#include "log.h"
#include "machine.h"

/* More than this many at one moment is a timer that re-arms itself for the past. */
#define TIMER_STORM (1u << 22)

uint64_t vclock_ns(const struct device *dev)
{
	return machine_now_ns(dev->machine);
}

void timer_init(struct device *dev, struct timer *t, void (*fire)(struct device *dev))
{
	struct machine *m = dev->machine;

	must(m->n_timers < MACHINE_TIMERS_MAX);
	t->dev = dev;
	t->fire = fire;
	t->deadline_ns = TIMER_NEVER;
	t->order = m->n_timers;
	t->next = NULL;
	m->timers[m->n_timers++] = t;
}

void timer_arm(struct timer *t, uint64_t deadline_ns)
{
	struct machine *m = t->dev->machine;

	/* The nearest one moving away is the only case that needs a new search. */
	if (t->deadline_ns <= m->next_deadline_ns)
		m->timers_dirty = true;
	t->deadline_ns = deadline_ns;
	if (deadline_ns < m->next_deadline_ns)
		m->next_deadline_ns = deadline_ns;
}

void timer_cancel(struct timer *t)
{
	timer_arm(t, TIMER_NEVER);
}

static struct timer *timer_nearest(struct machine *m)
{
	struct timer *best = NULL;

	for (unsigned i = 0; i < m->n_timers; i++) {
		struct timer *t = m->timers[i];

		if (t->deadline_ns != TIMER_NEVER && (!best || t->deadline_ns < best->deadline_ns))
			best = t;
	}
	m->next_deadline_ns = best ? best->deadline_ns : TIMER_NEVER;
	m->timers_dirty = false;
	return best;
}

uint64_t machine_deadline_ns(struct machine *m)
{
	if (m->timers_dirty)
		timer_nearest(m);
	return m->next_deadline_ns;
}

void machine_run_timers(struct machine *m)
{
	uint64_t now = machine_now_ns(m);
	unsigned n = 0;

	while (machine_deadline_ns(m) <= now && m->next_deadline_ns != TIMER_NEVER) {
		struct timer *t = timer_nearest(m);

		must(n++ < TIMER_STORM);
		t->deadline_ns = TIMER_NEVER;
		m->timers_dirty = true;
		t->fire(t->dev);
	}
}

uint64_t machine_icount_at(const struct machine *m, uint64_t deadline_ns)
{
	uint64_t ns, round = (UINT64_C(1) << m->cfg.shift) - 1;

	if (deadline_ns == TIMER_NEVER)
		return BUS_NEVER;
	if (deadline_ns <= m->warp_ns)
		return 0;
	ns = deadline_ns - m->warp_ns;
	return (ns >> m->cfg.shift) + ((ns & round) != 0);
}
