/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives a CPU of a test the engine that a text says: "tcg,thresh=0,budget=7" and the like. */
#ifndef DEJAVM_TEST_ENGINE_TEXT_H
#define DEJAVM_TEST_ENGINE_TEXT_H

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tcg.h"
#include "window.h"

/* NULL, "" or "interp": the interpreter. ram_fd: what the CPU's memory is a mapping of; -1: no
 * windows. */
static inline void engine_text_set(struct cpu *cpu, int ram_fd, const char *text)
{
	struct tcg_config c = { .thresh = TCG_THRESH_DEFAULT };
	enum window_use window = WINDOW_AUTO;
	char *copy, *save = NULL;

	tcg_free(cpu);
	if (!text || !*text || !strcmp(text, "interp"))
		return;
	copy = strdup(text);
	must(copy != NULL);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (!strncmp(w, "thresh=", 7))
			c.thresh = (unsigned)atoi(w + 7);
		else if (!strncmp(w, "budget=", 7))
			c.budget = (unsigned)atoi(w + 7);
		else if (!strncmp(w, "tb-size=", 8))
			c.tb_size = (unsigned)atoi(w + 8);
		else if (!strcmp(w, "one-insn-per-tb=on"))
			c.one_insn = true;
		else if (!strcmp(w, "share=off"))
			c.no_share = true;
		else if (!strcmp(w, "check"))
			c.check = true;
		else if (!strcmp(w, "return-stack=off"))
			c.no_returns = true;
		else if (!strcmp(w, "window=off"))
			window = WINDOW_OFF;
		else if (!strcmp(w, "window=always"))
			window = WINDOW_ALWAYS;
		else
			must(!strcmp(w, "tcg"));
	}
	free(copy);
	must(tcg_init(cpu, &c) == 0);
	if (ram_fd >= 0 && !c.check && window != WINDOW_OFF)
		must(window_init(cpu, ram_fd, window) == 0);
}

#endif
