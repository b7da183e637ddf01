/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What back ends share: the picture, and inputs on their way to the hub (see show.h). */
#include "show.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "keys.h"
#include "log.h"
#include "seq.h"

#define CURSOR_HALF_NS INT64_C(266000000) /* 16 frames of 60 Hz */

/* ---- the picture ---- */

void show_look(struct show *s)
{
	/* A copy that may be torn gives a picture that may be torn, and the next one is better. */
	(void)display_read(s->page, &s->regs);
	screen_mode_find(&s->regs, s->vram_len, &s->mode);
}

unsigned show_phase(void)
{
	int64_t n = host_monotonic_ns() / CURSOR_HALF_NS;

	return (n & 1 ? 0 : SCREEN_CURSOR) | (n & 2 ? 0 : SCREEN_BLINK);
}

bool show_render(struct show *s)
{
	size_t n;

	show_look(s);
	n = (size_t)s->mode.width * s->mode.height;
	if (n > s->n_pixels) {
		uint32_t *p = realloc(s->pixels, n * sizeof(*p));

		if (!p)
			return false;
		s->pixels = p;
		s->n_pixels = n;
	}
	screen_render(&s->regs, &s->mode, s->vram, s->vram_len, s->pixels, show_phase());
	return true;
}

/* ---- inputs ---- */

void show_flush(struct show *s)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__UserInputs in = DEJAVM__USER_INPUTS__INIT;
	Dejavm__UserInput v[SHOW_INPUTS_MAX + 1], *ptrs[SHOW_INPUTS_MAX + 1];

	if (!s->n_input)
		return;
	for (unsigned i = 0; i <= s->n_input; i++) {
		dejavm__user_input__init(&v[i]);
		v[i].kind = i < s->n_input ? s->input[i].kind : SEQ_EV_INPUT_SYNC;
		v[i].a = i < s->n_input ? s->input[i].a : 0;
		v[i].b = i < s->n_input ? s->input[i].b : 0;
		ptrs[i] = &v[i];
	}
	in.v = ptrs;
	in.n_v = s->n_input + 1;
	c.msg_case = DEJAVM__CONTROL__MSG_USER_INPUTS;
	c.user_inputs = &in;
	s->n_input = 0;
	if (proc_send(&s->proc, &c) < 0)
		log_warn("cannot send a user's input to the hub");
}

static void input_add(struct show *s, uint32_t kind, uint32_t a, int64_t b)
{
	if (!s->cfg->input)
		return;
	if (s->n_input == SHOW_INPUTS_MAX)
		show_flush(s);
	s->input[s->n_input].kind = kind;
	s->input[s->n_input].a = a;
	s->input[s->n_input++].b = b;
}

static bool key_is_down(const struct show *s, uint32_t code)
{
	return s->down[code >> 3 & 31] >> (code & 7) & 1;
}

void show_key(struct show *s, uint32_t code, bool down)
{
	uint8_t bit = (uint8_t)(1u << (code & 7)), *at = &s->down[code >> 3 & 31];

	if (!code || code > 255 || (!down && !(*at & bit)))
		return;
	*at = (uint8_t)(down ? *at | bit : *at & ~bit);
	input_add(s, SEQ_EV_KEY, code, down);
}

static bool is_letter(uint32_t keysym)
{
	return (keysym >= 'a' && keysym <= 'z') || (keysym >= 'A' && keysym <= 'Z');
}

void show_keysym(struct show *s, uint32_t keysym, bool down)
{
	bool need = false, have, left = key_is_down(s, KEY_LEFT_SHIFT),
	     right = key_is_down(s, KEY_RIGHT_SHIFT);
	uint32_t code = key_by_keysym(keysym, &need);

	if (!code)
		return;
	have = left || right;
	if (is_letter(keysym))
		need ^= s->caps;
	/* Shift belongs to characters; other keys are what they are with it, too. */
	if (!down || keysym > 0xff || keysym == ' ' || need == have) {
		if (down && code == KEY_CAPS_LOCK && !key_is_down(s, code))
			s->caps = !s->caps;
		show_key(s, code, down);
		return;
	}
	if (need) {
		show_key(s, KEY_LEFT_SHIFT, true);
		show_key(s, code, true);
		show_key(s, KEY_LEFT_SHIFT, false);
		return;
	}
	show_key(s, KEY_LEFT_SHIFT, false);
	show_key(s, KEY_RIGHT_SHIFT, false);
	show_key(s, code, true);
	if (left)
		show_key(s, KEY_LEFT_SHIFT, true);
	if (right)
		show_key(s, KEY_RIGHT_SHIFT, true);
}

void show_release_all(struct show *s)
{
	for (uint32_t code = 1; code < 256; code++)
		show_key(s, code, false);
	show_flush(s);
}

void show_move(struct show *s, uint32_t axis, int64_t delta)
{
	if (delta)
		input_add(s, SEQ_EV_REL, axis, delta);
}

void show_button(struct show *s, uint32_t button, bool down)
{
	input_add(s, SEQ_EV_BTN, button, down);
}
