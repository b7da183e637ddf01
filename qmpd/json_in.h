/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream of JSON values as QMP has them (docs/qmpd.md): bytes go in as they come, whole values
 *come out, without need of a line end. Single quotes are accepted beside double ones. Everything is
 *bounded, and an error costs no more than the value it is in.
 *
 *	json_in_init(&in, on_value, opaque);
 *	n = json_in_feed(&in, data, len);	calls on_value for each value or error; n < len if
 *that said "stop"
 */
#ifndef DEJAVM_QMPD_JSON_IN_H
#define DEJAVM_QMPD_JSON_IN_H

#include <json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_IN_TEXT_MAX   (1u << 20) /* bytes of the tokens of one value */
#define JSON_IN_TOKENS_MAX (1u << 16)
#define JSON_IN_DEPTH_MAX  1024

enum json_token_type {
	TOKEN_LBRACE,
	TOKEN_RBRACE,
	TOKEN_LBRACKET,
	TOKEN_RBRACKET,
	TOKEN_COLON,
	TOKEN_COMMA,
	TOKEN_STRING, /* with its quotes */
	TOKEN_NUMBER,
	TOKEN_KEYWORD,
};

struct json_token {
	enum json_token_type type;
	uint32_t off, len; /* in json_in.text */
};

enum json_lex_state { LEX_START, LEX_STRING, LEX_ESCAPE, LEX_WORD, LEX_RECOVERY };

struct json_in {
	/*
	 * value: the caller's (json_object_put()); it may be NULL for null. error: NULL, or what is
	 * wrong in words. Returns false: do not go on now.
	 */
	bool (*on_value)(void *opaque, struct json_object *value, const char *error);
	void *opaque;
	/* private */
	enum json_lex_state state;
	char quote;
	char *text;
	size_t text_len, text_cap, token_start;
	struct json_token *tokens;
	size_t n_tokens, tokens_cap;
	int depth;
	char error[160];
};

void json_in_init(struct json_in *in,
	bool (*on_value)(void *opaque, struct json_object *value, const char *error), void *opaque);
void json_in_done(struct json_in *in);
/* Returns how many bytes were taken: all, or up to and with the one after which on_value() said
 * stop. */
size_t json_in_feed(struct json_in *in, const void *data, size_t len);

/* json_parse.c: the tokens of one whole value. 0 with *ret, or -EINVAL with the sentence in
 * in->error. */
int json_in_parse(struct json_in *in, struct json_object **ret);

#endif
