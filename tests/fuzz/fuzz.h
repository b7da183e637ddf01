/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a fuzz target defines. libFuzzer's driver (-Dfuzz=true, clang) and our own (driver.c, any
 * compiler) call the same function.
 *
 *	FUZZ_CHECK(cond)	an invariant that the input broke: reports and aborts
 *
 * A target may also define fuzz_seeds: well-formed inputs to start from, ended by one with data ==
 *NULL. Without coverage feedback they are what takes the driver past the first check of a parser.
 */
#ifndef DEJAVM_FUZZ_H
#define DEJAVM_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Optional: called once before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct fuzz_seed {
	const void *data;
	size_t len;
};

extern const struct fuzz_seed fuzz_seeds[] __attribute__((weak));

#define FUZZ_CHECK(cond)                                                                   \
	do {                                                                               \
		if (!(cond)) {                                                             \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                           \
		}                                                                          \
	} while (0)

#endif
