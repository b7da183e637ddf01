/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only way to the sequencer (proto/seq.h): requests and their answers, output in batches.
 * Events of one request are kept until its DONE, because only that says at which time they happen.
 */
#ifndef DEJAVM_SEQ_CLIENT_H
#define DEJAVM_SEQ_CLIENT_H

#include "error.h"
#include "peer.h"
#include "seq.h"

#define SEQ_CLIENT_EVENTS_MAX (1u << 16)
#define SEQ_CLIENT_DATA_MAX   (64u << 20)

struct seq_output {
	uint32_t len;
	uint8_t buf[SEQ_CHAR_MAX];
};

struct seq_client {
	struct peer peer;
	uint64_t icount, now_ns;   /* of the request that is being served: set by the caller */
	uint64_t next_icount;	   /* where the log's next event lies, SEQ_NEVER when recording */
	struct seq_output *output; /* one for each stream */
	unsigned n_streams;
	bool halts_free;   /* the last DONE said SEQ_HALTS_FREE */
	unsigned n_halts;  /* that were not asked, in a row */
	bool output_waits; /* some buffer is not empty */
	/* events of the last request, in order; data offsets into data[] are in ev[].hdr.data_off
	 */
	struct seq_rep *ev;
	unsigned n_ev, cap_ev;
	uint8_t *data;
	uint32_t data_len, data_cap;
};

/* chan stays the caller's. 0 or -errno with *err. */
int seq_client_init(struct seq_client *c, struct chan *chan, struct machine_page *page,
	unsigned n_streams, struct error *err);
void seq_client_done(struct seq_client *c);

/* All return 0 or -errno with *err; any failure is the end: the sequencer is gone or mad. Each
 * flushes output first. */
int seq_init(struct seq_client *c, struct error *err);
/*
 * The machine has become another, by a snapshot: asks where the log stands now, and grants
 * credit[n_streams], which the streams' other ends do not know.
 */
int seq_resume(struct seq_client *c, const uint64_t *credit, struct error *err);
int seq_take(struct seq_client *c, const uint32_t *mark, struct error *err);
/* *ret_ns: virtual time to go on at, now_ns <= *ret_ns <= deadline_ns. */
int seq_halt(struct seq_client *c, const uint32_t *mark, uint64_t deadline_ns, uint64_t *ret_ns,
	struct error *err);
int seq_clock(struct seq_client *c, enum seq_clock which, int64_t *ret_ns, struct error *err);
int seq_digest(struct seq_client *c, const uint8_t *items, uint32_t len, struct error *err);
int seq_shutdown(
	struct seq_client *c, enum shutdown_cause cause, uint32_t exit_value, struct error *err);

/* Bytes of a stream: kept until there are SEQ_CHAR_MAX of them, or a flush. */
int seq_output(
	struct seq_client *c, unsigned stream, const uint8_t *buf, size_t len, struct error *err);
int seq_credit(struct seq_client *c, unsigned stream, uint32_t len, struct error *err);
int seq_flush(struct seq_client *c, struct error *err);

#endif
