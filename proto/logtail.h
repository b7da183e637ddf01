/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tail of the log: what is in memory that the hub owns (segment "logtail") and not yet in the
 * file. replaylog appends through replaylog/log_writer.c; when replaylog has been killed, the hub
 * ends the log from here.
 */
#ifndef DEJAVM_LOGTAIL_H
#define DEJAVM_LOGTAIL_H

#include "error.h"
#include "segments.h"

/*
 * Ends the log of a replaylog that is dead: cuts the file at the end of its last whole chunk,
 * appends the tail's events, SHUTDOWN with `cause` (enum shutdown_cause) and END, and syncs. It
 * must not run while replaylog lives. Works whatever the instant of death, also twice. log_fd:
 * writable, seekable. 0 (also if nothing was being recorded, or the log had ended) or -errno with
 * *err.
 */
int logtail_salvage(struct logtail *t, int log_fd, uint32_t cause, struct error *err);

#endif
