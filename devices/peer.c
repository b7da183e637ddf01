/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See peer.h. */
#include "peer.h"

#include <errno.h>
#include <string.h>

#include "log.h"

/* An answer takes a few microseconds of the peer's, if it has a processor of its own. */
#define SPIN_MAX_NS   (20 * 1000)
#define SPIN_MIN_NS   (2 * 1000)
#define STEP_NS	      (1000 * 1000 * 1000LL)
#define STEPS_TO_WARN 5

void peer_init(struct peer *p)
{
	p->spin = (struct chan_spin){ .min_ns = SPIN_MIN_NS, .max_ns = SPIN_MAX_NS };
}

int peer_broken(const struct peer *p, const void *rq, int r, struct error *err)
{
	const char *why = chan_error(p->chan);
	char words[PEER_REQUEST_LEN];

	p->describe(rq, words, sizeof(words));
	return error_set(
		err, -r, "%s (%s): %s: %s", p->what, p->process, words, why ? why : strerror(-r));
}

static void report(const struct peer *p, const void *rq, int steps)
{
	char words[PEER_REQUEST_LEN];

	if (steps != STEPS_TO_WARN || !p->describe(rq, words, sizeof(words)))
		return;
	/* While the machine is paused nobody is in a hurry. */
	if (p->page && atomic_load_acquire(&p->page->run_state) != RUN_RUNNING)
		return;
	log_warn("waiting for %s to answer %s, for %d s", p->process, words, steps);
}

/* How a step went. */
static int step(const struct peer *p, const void *rq, int r, int *steps, struct error *err)
{
	if (r == 0)
		return 0;
	if (r != -ETIMEDOUT)
		return peer_broken(p, rq, r, err);
	report(p, rq, ++*steps);
	return -EAGAIN;
}

int peer_send(struct peer *p, const void *rq, union slot *s, const void *data, uint32_t len,
	int *steps, struct error *err)
{
	return step(p, rq, chan_send(p->chan, s, data, len, STEP_NS), steps, err);
}

int peer_wait(struct peer *p, const void *rq, int *steps, struct error *err)
{
	return step(p, rq, chan_wait_learning(p->chan, &p->spin, STEP_NS, -1), steps, err);
}
