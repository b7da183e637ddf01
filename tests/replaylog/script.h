/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the sequencer run over the rig: a "machine" that is a script of requests, run
 * once recording and then, with a variation, replaying.
 *
 * icount   what
 *      0   INIT; a read of the host's clock
 *    100   typed "ls\n" is taken; output
 *    200   halted until 5000 ns, deadline; then halted until an input (key) comes
 *    300   digest, output
 *    400   shutdown
 */
#ifndef DEJAVM_TEST_SCRIPT_H
#define DEJAVM_TEST_SCRIPT_H

#include "rig.h"

/* What the scripted machine does differently. */
struct vary {
	bool record;
	uint64_t clock_at, halt_now, digest_eip, first_take;
	const char *out1, *out2;
	uint32_t cause;
	bool no_digest, no_clock, extra_clock, no_halt, halt_for_ever, extra_output, no_shutdown;
	uint32_t shutdown_status;
};

/* Nothing. */
extern const struct vary same;

#define STEP(x)                 \
	do {                    \
		if (!(x))       \
			return; \
	} while (0)

#define assert_has(text, part)                                       \
	do {                                                         \
		if (!strstr(text, part))                             \
			fail_msg("'%s' is not in:\n%s", part, text); \
	} while (0)

struct sequencer_conf conf_of(int mode, int fd);
/* Files in memory. */
int new_file(void);
int copy_file(int from, off_t len);
/* The last request brought these characters, and nothing else. */
void expect_chars(struct rig *r, const char *text);
/* What the host's clock said when it was recorded. */
extern uint64_t recorded_clock;
/* Does the script, to the end or until the run is over. */
struct sequencer_result run(struct sequencer_conf conf, struct vary v);
/* Records the script; the log. */
int record(void);

#endif
