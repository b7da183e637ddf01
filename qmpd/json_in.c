/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lexer of QMP's input (RFC 8259, with single quotes): splits bytes into tokens and finds where
 * a value ends. After a byte that belongs to no token the rest is skipped up to the next structural
 * or control character, so that one stray byte gives one error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_in.h"
#include "log.h"

void json_in_init(struct json_in *in,
	bool (*on_value)(void *opaque, struct json_object *value, const char *error), void *opaque)
{
	*in = (struct json_in){ .on_value = on_value, .opaque = opaque };
}

void json_in_done(struct json_in *in)
{
	free(in->text);
	free(in->tokens);
	in->text = NULL;
	in->tokens = NULL;
}

/* Forgets the value being read. A large one gives its memory back. */
static void reset(struct json_in *in)
{
	if (in->text_cap > 65536 || in->tokens_cap > 4096) {
		json_in_done(in);
		in->text_cap = in->tokens_cap = 0;
	}
	in->state = LEX_START;
	in->text_len = in->token_start = in->n_tokens = 0;
	in->depth = 0;
}

static bool give_error(struct json_in *in, const char *text, bool recover)
{
	reset(in);
	if (recover)
		in->state = LEX_RECOVERY;
	return in->on_value(in->opaque, NULL, text);
}

static bool stray(struct json_in *in, unsigned char c, bool recover)
{
	char text[192];
	size_t len = in->text_len - in->token_start;
	const char *token = in->text ? in->text + in->token_start : "";

	/* The end of what was being read is what helps to find the place. */
	if (len > 100) {
		token += len - 100;
		len = 100;
	}
	snprintf(text, sizeof(text), "JSON parse error, stray '%.*s%c'", (int)len, token, c);
	return give_error(in, text, recover);
}

static void append(struct json_in *in, char c)
{
	if (in->text_len == in->text_cap) {
		in->text_cap = in->text_cap ? in->text_cap * 2 : 256;
		in->text = realloc(in->text, in->text_cap);
		must(in->text);
	}
	in->text[in->text_len++] = c;
}

/* The value is whole: parse it. */
static bool finish(struct json_in *in)
{
	struct json_object *value = NULL;
	char error[sizeof(in->error)];
	int r = json_in_parse(in, &value);

	if (r < 0) {
		snprintf(error, sizeof(error), "%s", in->error);
		return give_error(in, error, false);
	}
	reset(in);
	return in->on_value(in->opaque, value, NULL);
}

/* The text since token_start is a token. */
static bool end_token(struct json_in *in, enum json_token_type type)
{
	if (in->n_tokens == JSON_IN_TOKENS_MAX)
		return give_error(in, "JSON token count limit exceeded", true);
	if (in->n_tokens == in->tokens_cap) {
		in->tokens_cap = in->tokens_cap ? in->tokens_cap * 2 : 32;
		in->tokens = realloc(in->tokens, in->tokens_cap * sizeof(in->tokens[0]));
		must(in->tokens);
	}
	in->tokens[in->n_tokens++] = (struct json_token){ type, (uint32_t)in->token_start,
		(uint32_t)(in->text_len - in->token_start) };
	in->token_start = in->text_len;
	in->state = LEX_START;
	if (type == TOKEN_LBRACE || type == TOKEN_LBRACKET)
		in->depth++;
	if (type == TOKEN_RBRACE || type == TOKEN_RBRACKET)
		in->depth--;
	if (in->depth > JSON_IN_DEPTH_MAX)
		return give_error(in, "JSON nesting depth limit exceeded", true);
	return in->depth > 0 ? true : finish(in);
}

static bool is_digits(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return len > 0;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)? */
static bool is_number(const char *p, size_t len)
{
	size_t n;

	if (len && *p == '-')
		p++, len--;
	for (n = 0; n < len && p[n] >= '0' && p[n] <= '9'; n++)
		;
	if (!n || (*p == '0' && n > 1))
		return false;
	p += n;
	len -= n;
	if (len && *p == '.') {
		for (n = 1; n < len && p[n] >= '0' && p[n] <= '9'; n++)
			;
		if (n == 1)
			return false;
		p += n;
		len -= n;
	}
	if (!len)
		return true;
	if (*p != 'e' && *p != 'E')
		return false;
	p++, len--;
	if (len && (*p == '-' || *p == '+'))
		p++, len--;
	return is_digits(p, len);
}

static bool is_keyword(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < 'a' || p[i] > 'z')
			return false;
	return len > 0;
}

static bool is_word_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-' || c == '+' || c == '.' || c == '_';
}

/* Returns the token of a structural character, or -1. */
static int structural(unsigned char c)
{
	static const char chars[] = "{}[]:,";
	const char *p = c ? strchr(chars, c) : NULL;

	return p ? (int)(p - chars) : -1;
}

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool lex_start(struct json_in *in, unsigned char c)
{
	int type = structural(c);

	if (is_space(c))
		return true;
	if (type < 0 && c != '"' && c != '\'' && !is_word_char(c))
		return stray(in, c, c >= 0x20 && c < 0x80);
	append(in, (char)c);
	if (type >= 0)
		return end_token(in, (enum json_token_type)type);
	in->state = LEX_STRING;
	in->quote = (char)c;
	if (is_word_char(c))
		in->state = LEX_WORD;
	return true;
}

static bool lex_string(struct json_in *in, unsigned char c)
{
	if (c < 0x20 || c >= 0xfe)
		return stray(in, c, false);
	append(in, (char)c);
	if (in->state == LEX_ESCAPE)
		in->state = LEX_STRING;
	else if (c == '\\')
		in->state = LEX_ESCAPE;
	else if (c == (unsigned char)in->quote)
		return end_token(in, TOKEN_STRING);
	return true;
}

/* A word ends at the first byte that does not belong to it; that byte is then looked at again. */
static bool lex_word_end(struct json_in *in, unsigned char c, bool *ret_again)
{
	const char *p = in->text + in->token_start;
	size_t len = in->text_len - in->token_start;

	*ret_again = true;
	if (is_number(p, len))
		return end_token(in, TOKEN_NUMBER);
	if (is_keyword(p, len))
		return end_token(in, TOKEN_KEYWORD);
	*ret_again = structural(c) >= 0 || c < 0x20;
	in->text_len--;
	return stray(in, (unsigned char)in->text[in->text_len], true);
}

/* One byte. False: on_value() said stop. *ret_again: the byte has not been used up. */
static bool feed_byte(struct json_in *in, unsigned char c, bool *ret_again)
{
	*ret_again = false;
	if (in->text_len >= JSON_IN_TEXT_MAX)
		return give_error(in, "JSON token size limit exceeded", true);
	switch (in->state) {
	case LEX_START: return lex_start(in, c);
	case LEX_STRING:
	case LEX_ESCAPE: return lex_string(in, c);
	case LEX_WORD:
		if (!is_word_char(c))
			return lex_word_end(in, c, ret_again);
		append(in, (char)c);
		return true;
	case LEX_RECOVERY:
		if (structural(c) >= 0 || c < 0x20 || c >= 0xfe) {
			in->state = LEX_START;
			*ret_again = structural(c) >= 0;
		}
		return true;
	}
	return true;
}

size_t json_in_feed(struct json_in *in, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t i = 0;

	while (i < len) {
		bool again, go_on = feed_byte(in, p[i], &again);

		if (!again)
			i++;
		if (!go_on)
			break;
	}
	return i;
}
