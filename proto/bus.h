/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus: vcpu (side A) asks, devices (side B) answer. One request at a time;
 * devices run on behalf of a request only. Virtual time in ns =
 * (icount << shift) + warp; the warp comes with each reply.
 *
 * Whose turn it is, is asserted: a request while one is open, or a reply without
 * one, poisons the channel.
 */
#ifndef DEJAVM_BUS_H
#define DEJAVM_BUS_H

#include <stdint.h>
#include "ring.h"

#define BUS_NSLOTS    16
#define BUS_ARENA_LEN (64 * 1024)
#define BUS_NEVER     UINT64_MAX

/*         name         what it means; fields used */
#define BUS_REQUESTS(X)                                                                            \
	X(BUS_CHECKPOINT) /* between two instructions: icount reached the stop, or the doorbell    \
			     rang */                                                               \
	X(BUS_HALT)	  /* CPU is halted; deadline_ns: the local APIC timer's, or BUS_NEVER */   \
	X(BUS_IN)	  /* port read: addr, size 1/2/4 */                                        \
	X(BUS_OUT)	  /* port write: addr, size, data */                                       \
	X(BUS_INS)	 /* REP INS: addr, size, count elements; reply brings them in the arena */ \
	X(BUS_OUTS)	 /* REP OUTS: addr, size, count; data in the arena */                      \
	X(BUS_MMIO_READ) /* addr, size 1/2/4/8 */                                                  \
	X(BUS_MMIO_WRITE)   /* addr, size, data */                                                 \
	X(BUS_INTACK)	    /* 8259 interrupt acknowledge cycle; reply data: the vector */         \
	X(BUS_EOI)	    /* local APIC EOI of a level-triggered vector (data) */                \
	X(BUS_TRIPLE_FAULT) /* shutdown cycle on the bus */                                        \
	X(BUS_FLUSH)	    /* nothing but the deferred writes that each request may carry */      \
	X(BUS_DIGEST)	    /* answer to BUS_F_DIGEST: cpu_state_page.blob is filled in */

enum bus_request {
#define X(n) n,
	BUS_REQUESTS(X)
#undef X
		BUS_REQUEST_COUNT
};

struct bus_req {
	struct slot_hdr hdr; /* type: enum bus_request; data: deferred writes, OUTS elements */
	uint64_t icount;     /* instructions retired so far (the current one has not) */
	uint64_t addr;
	uint64_t data;
	uint64_t deadline_ns; /* local APIC timer's next deadline in virtual ns, BUS_NEVER if none;
				 always valid */
	uint32_t count;
	uint8_t size;
	uint8_t flags;	    /* BUS_RF_* */
	uint8_t n_deferred; /* struct bus_deferred before the request's own data */
	uint8_t pad_;
};
_Static_assert(sizeof(struct bus_req) <= RING_SLOT_SIZE, "a slot");

/* A write to a port that memmap_page.defer lists: done before the request that brings it. */
struct bus_deferred {
	uint16_t port;
	uint8_t size, pad_;
	uint32_t val;
};
#define BUS_DEFERRED_MAX 32

/* bus_req.flags: always valid, heeded in what the guest itself asks (not in CHECKPOINT and DIGEST)
 */
#define BUS_RF_FERR 0x01 /* level of FERR#, while IGNNE# does not answer it */

/* bus_rep.flags */
#define BUS_F_INTR 0x0001 /* level of the 8259's INTR output (LINT0 of the local APIC) */
#define BUS_F_NMI  0x0002 /* an NMI edge came */
#define BUS_F_A20  0x0004 /* level of the A20 gate: address bit 20 passes */
#define BUS_F_RESET                                                                       \
	0x0008 /* reset the CPU (RAM is kept, devices have been reset) at the end of this \
		  instruction */
#define BUS_F_MAP 0x0010 /* memmap_page changed: read it again */
#define BUS_F_DMA 0x0020 /* memmap_page.dma_page lists pages that were written */
#define BUS_F_DIGEST                                                                               \
	0x0040 /* compute the digest now, send BUS_DIGEST (in replies to CHECKPOINT and HALT only) \
		*/
#define BUS_F_SHUTDOWN                                                                        \
	0x0080		   /* the run is over: no more requests; park until the hub says quit \
			    */
#define BUS_F_MORE  0x0100 /* more APIC messages wait: send a CHECKPOINT at this same icount */
#define BUS_F_IGNNE 0x0200 /* IGNNE# is asserted; the CPU drops it when FERR# goes */

/* An interrupt message of the I/O APIC to the local APIC (82093AA, "interrupt message format"). */
struct apic_msg {
	uint8_t vector;
	uint8_t delivery_mode; /* 0 fixed, 1 lowest, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT */
	uint8_t dest;
	uint8_t level_logical; /* bit 0: level-triggered, bit 1: logical destination */
};

#define BUS_REP_APIC_MAX 3

struct bus_rep {
	struct slot_hdr hdr; /* type: that of the request; data: INS elements */
	uint64_t data;
	uint64_t stop_icount; /* send a CHECKPOINT when icount gets there (may be now); BUS_NEVER if
				 nothing is due */
	uint64_t warp_ns;
	uint32_t flags;
	uint32_t n_apic;
	struct apic_msg apic[BUS_REP_APIC_MAX];
};
_Static_assert(sizeof(struct bus_rep) <= RING_SLOT_SIZE, "a slot");

#endif
