/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What devices do for each request of the vCPU: docs/architecture.md, "Rules of the bus". It knows
 * the machine and the sequencer, but not the ring that requests come by: bus_serve() in main.c
 * does.
 */
#ifndef DEJAVM_BUS_SERVER_H
#define DEJAVM_BUS_SERVER_H

#include "machine_state.h"
#include "seq_client.h"

#define BUS_DATA_MAX (BUS_ARENA_LEN / 2)

struct bus_server {
	struct machine *m;
	struct seq_client *seq;
	const struct cpu_state_page *cpu;
	struct machine_page *page;
	unsigned digest_log2; /* a digest each 2^digest_log2 instructions */
	/* private */
	uint64_t last_icount;
	uint64_t next_digest;
	uint64_t last_take_icount;		/* BUS_NEVER: none yet */
	bool digest_asked;			/* the last reply had BUS_F_DIGEST */
	bool final;				/* ... and BUS_F_SHUTDOWN */
	bool over;				/* the end has been told to the sequencer */
	bool told_intr;				/* as the last reply had it */
	uint64_t n_requests[BUS_REQUEST_COUNT]; /* counters */
};

/* Sets up. page->input_pending is read; the rest of *s must be zero. */
void bus_server_init(struct bus_server *s, struct machine *m, struct seq_client *seq,
	const struct cpu_state_page *cpu, struct machine_page *page, unsigned digest_log2);
/*
 * Serves one request. data: its len bytes (OUTS), out: BUS_DATA_MAX bytes for the reply's (INS),
 * whose number *ret_len gets. 0, or -errno with *err: the vCPU broke the protocol, or the sequencer
 * failed.
 */
int bus_server_request(struct bus_server *s, const struct bus_req *rq, const uint8_t *data,
	uint32_t len, struct bus_rep *rep, uint8_t *out, uint32_t *ret_len, struct error *err);

/*
 * A snapshot of the machine and of what the bus remembers, between two requests. As machine_save()
 * and machine_load(); -EBUSY: the run is over. The sequencer stands where it stood: the caller
 * tells the client.
 */
int bus_server_save(const struct bus_server *s, Dejavm__DevicesState *ret);
int bus_server_load(struct bus_server *s, const Dejavm__DevicesState *st, struct error *err);

#endif
