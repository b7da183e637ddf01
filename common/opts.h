/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU-style option strings: "first,key=value,flag,nokey=...". A comma inside
 * a value is written ",,". If `implied` is given, a first element without '='
 * is its value ("pc,accel=tcg" with implied "type"). A later element without
 * '=' means "on"; "noFOO" means FOO=off only where QEMU still has it (not here).
 */
#ifndef DEJAVM_OPTS_H
#define DEJAVM_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

struct opt {
	char *key, *value;
	bool used; /* set by the getters; opts_check_unused() names the rest */
};

struct opts {
	struct opt *v;
	size_t n;
	char *origin; /* "-icount", for messages */
};

/* Parses text. origin names the option for messages. 0 or -EINVAL/-ENOMEM with *err set. */
int opts_parse(struct opts *o, const char *origin, const char *text, const char *implied,
	struct error *err);
void opts_done(struct opts *o);
/* The last value of key, or NULL. */
const char *opts_get(struct opts *o, const char *key);
/* Typed getters: leave *ret untouched when the key is absent; -EINVAL with *err when malformed. */
int opts_get_bool(struct opts *o, const char *key, bool *ret,
	struct error *err); /* on|off|yes|no|true|false */
int opts_get_u64(struct opts *o, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct error *err); /* decimal, 0x, 0-octal as strtoull base 0 */
/* Size with suffix B,K,M,G,T; default_unit is the multiplier for a bare number. Bytes. */
int opts_get_size(
	struct opts *o, const char *key, uint64_t default_unit, uint64_t *ret, struct error *err);
/* -EINVAL naming the first unknown key and listing `known` (NULL-terminated) if any key was not
 * used. */
int opts_check_unused(const struct opts *o, const char *const *known, struct error *err);

#endif
