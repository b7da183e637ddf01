/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives a CPU of a test the engine that a text says: "tcg,thresh=0,budget=7" and the like. */
#ifndef DEJAVM_TEST_ENGINE_TEXT_H
#define DEJAVM_TEST_ENGINE_TEXT_H

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tcg.h"

/* NULL, "" or "interp": the interpreter. */
static inline void engine_text_set(struct cpu *cpu, const char *text)
{
	struct tcg_config c = { .thresh = TCG_THRESH_DEFAULT };
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
		else if (!strcmp(w, "check"))
			c.check = true;
		else
			must(!strcmp(w, "tcg"));
	}
	free(copy);
	must(tcg_init(cpu, &c) == 0);
}

#endif
