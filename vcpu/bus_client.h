/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU's end of the bus (proto/bus.h): turns port and memory accesses, checkpoints and halts
 * into requests to devices, waits for the answer, and applies it to the CPU.
 */
#ifndef DEJAVM_BUS_CLIENT_H
#define DEJAVM_BUS_CLIENT_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus.h"
#include "cpu.h"
#include "error.h"
#include "ring.h"
#include "segments.h"

struct bus_client {
	struct cpu *cpu;
	struct chan chan; /* side A */
	struct machine_page *machine;
	struct cpu_state_page *state;
	const struct memmap_page *memmap;
	uint8_t *ram;
	size_t ram_len;
	const uint8_t *rom;
	size_t rom_len;
	bool open; /* a request is waiting for its reply */
	/* What the last reply asked for; cleared by who does it. */
	bool want_digest, want_checkpoint, shut_down;
	/* Ports whose byte writes are not sent: those of the memory map. */
	uint32_t n_posted;
	uint16_t posted_port[POSTED_MAX];
	uint64_t n_requests[BUS_REQUEST_COUNT];
	uint64_t n_posted_writes, n_deferred_writes, n_shown_reads;
	/* Writes that go along with the next request. */
	struct bus_deferred deferred[BUS_DEFERRED_MAX];
	unsigned n_deferred;
	uint32_t ret_len; /* bytes that the last answer brought */
	/* Where to go when the group ends while a request waits: set by the main loop. */
	sigjmp_buf *quit;
};

extern const struct cpu_bus bus_client_ops; /* for cpu_new(), with a struct bus_client as opaque */

/*
 * All pointers are kept by reference; chan must be initialised as side A. spin_ns: how long to spin
 * for an answer before sleeping.
 */
void bus_client_checkpoint(struct bus_client *b);
void bus_client_halt(struct bus_client *b);
/* Sends BUS_DIGEST; the blob is in state->blob. */
void bus_client_digest(struct bus_client *b);

/* Before the vCPU parks: devices get what was deferred. */
void bus_client_flush(struct bus_client *b);
/* Takes over the map that devices have made: for a snapshot, with no request open. */
void bus_client_map(struct bus_client *b);

#endif
