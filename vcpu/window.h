/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Windows: guest memory by the host's own memory management. A window is a range of host addresses
 * that shows the guest's linear address space to translated code: an access of the guest at lin is
 * one host instruction at base + lin, and nothing is looked up. docs/translator.md, "Windows".
 *
 * What it shows mirrors the inline entries of the software TLB (mem.h) for user or for supervisor
 * accesses: a page is there, for reading or for writing too, only while its entry is valid. tlb.c
 * says when entries go. What is not there faults; the handler maps it if the access would go fast,
 * and else has the interpreter do the instruction. So a guest cannot tell whether there is a
 * window.
 */
#ifndef DEJAVM_WINDOW_H
#define DEJAVM_WINDOW_H

#include <signal.h>
#include <ucontext.h>

#include "tb.h"

enum window_use {
	WINDOW_AUTO, /* where it has paid, by the counts below */
	WINDOW_OFF,
	WINDOW_ALWAYS, /* for tests */
};

struct window_stats {
	uint64_t insns;	  /* retired with a window */
	uint64_t faults;  /* of the host */
	uint64_t stepped; /* of these, left to the interpreter */
	uint64_t maps;	  /* calls of mmap() */
	uint64_t pages;	  /* mapped by them */
	uint64_t clears;  /* all pages of a window taken away at once */
	uint64_t entered; /* times that it was found to pay */
	uint64_t left;	  /* and not any more */
};

struct window;
struct windows;

/*
 * Reserves the address ranges. ram_fd: the file that mmu_set_map()'s ram is a mapping of, from its
 * start on; it must stay open as long as the cpu lives. -errno.
 */
int window_init(struct cpu *cpu, int ram_fd, enum window_use use);
void window_free(struct cpu *cpu);
/* As new; the address ranges stay. For cpu_renew(). */
void window_renew(struct cpu *cpu);

/* ---- for the engine ---- */
/* Translated code of this privilege should use its window now. */
bool window_wanted(struct cpu *cpu, bool user);
/* Host address of the guest's linear address 0. */
void *window_base(const struct cpu *cpu, bool user);
/* The user's window is also what GS's base points to. */
bool window_has_gs(const struct cpu *cpu);
/* n instructions of this privilege were run, with the window or without. */
void window_ran(struct cpu *cpu, bool user, bool with, uint64_t n);
/* The instruction at eip has been left to the interpreter too often: it is to use the tables. */
bool window_site_is_slow(const struct cpu *cpu, uint32_t eip);
/* From now on this cpu's code runs on this thread; NULL: none. */
void window_activate(struct cpu *cpu);
/* SIGSEGV in translated code, if it is an access by a window: where uc goes on is right. False: it
 * is none. */
bool window_fault(struct cpu *cpu, const siginfo_t *si, ucontext_t *uc);
const struct window_stats *window_stats(const struct cpu *cpu);

/* ---- for tlb.c ---- */
/* The entries of a page (index of the linear page) go, or change. */
void window_drop_page(struct window *w, uint32_t page);
bool window_is_writable(const struct window *w, uint32_t page);
/* All entries go. The guest has not flushed. */
void windows_drop(struct windows *ws);
/* The guest flushes its TLB; global: all of it. To be called while the journals are complete. */
void windows_flush(struct windows *ws, bool global);

#endif
