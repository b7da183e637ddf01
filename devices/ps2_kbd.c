/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 keyboard (101/102 keys), and the byte queue of both PS/2 devices.
 * IBM Personal System/2 hardware interface technical reference, "Keyboard
 * (101- and 102-Key)"; the keys beyond those as in Microsoft's "Keyboard Scan Code
 * Specification" 1.3a.
 *
 * The buffer holds 16 bytes; a key that finds no room leaves an overrun code in
 * the 17th place, 00h in sets 2 and 3, FFh in set 1.
 *
 * Deviations: there is no automatic repeat; whoever holds the key repeats it (a
 * repeated make is sent again). A key held over an idle guest would else flood it,
 * because virtual time runs ahead then. The default of set 3 is kept as far as break
 * codes go: only the modifiers have them.
 */
#include "ps2.h"

#define KBD_BUFFER 16

#define ACK    0xfa
#define RESEND 0xfe
#define BAT_OK 0xaa
#define BREAK  0xf0
#define E0     0x100 /* the code follows an E0 prefix */

/* ---- the queue ---- */

bool ps2_queue_empty(const struct ps2_queue *q)
{
	return q->answer_len == 0 && q->event_len == 0;
}

bool ps2_queue_pull(struct ps2_queue *q, uint8_t *ret)
{
	if (q->answer_len > 0) {
		*ret = q->answer[q->answer_head];
		q->answer_head = (q->answer_head + 1) % PS2_ANSWERS;
		q->answer_len--;
	} else if (q->event_len > 0) {
		*ret = q->event[q->event_head];
		q->event_head = (q->event_head + 1) % PS2_EVENTS;
		q->event_len--;
	} else {
		return false;
	}
	q->last = *ret;
	return true;
}

void ps2_queue_answer(struct ps2_queue *q, uint8_t val)
{
	if (q->answer_len < PS2_ANSWERS)
		q->answer[(q->answer_head + q->answer_len++) % PS2_ANSWERS] = val;
}

bool ps2_queue_event(struct ps2_queue *q, const uint8_t *buf, unsigned len, unsigned room)
{
	unsigned i;

	if (q->event_len + len > room || room > PS2_EVENTS)
		return false;
	for (i = 0; i < len; i++)
		q->event[(q->event_head + q->event_len++) % PS2_EVENTS] = buf[i];
	return true;
}

void ps2_queue_clear(struct ps2_queue *q)
{
	q->event_len = 0;
	q->answer_len = 0;
}

void ps2_queue_loaded(struct ps2_queue *q)
{
	q->event_head %= PS2_EVENTS;
	q->answer_head %= PS2_ANSWERS;
	if (q->event_len > PS2_EVENTS)
		q->event_len = PS2_EVENTS;
	if (q->answer_len > PS2_ANSWERS)
		q->answer_len = PS2_ANSWERS;
}

/* ---- scan codes ---- */

/* Codes with rules of their own. */
#define KEY_LCTRL  29
#define KEY_LSHIFT 42
#define KEY_LALT   56
#define KEY_RSHIFT 54
#define KEY_RCTRL  97
#define KEY_SYSRQ  99
#define KEY_RALT   100
#define KEY_PAUSE  119

/* clang-format off */
/* evdev code, set 2, set 3 (0: none). Set 1 is the translation of set 2. */
#define KEYS(X) \
	X(1, 0x76, 0x08) X(2, 0x16, 0x16) X(3, 0x1e, 0x1e) X(4, 0x26, 0x26) \
	X(5, 0x25, 0x25) X(6, 0x2e, 0x2e) X(7, 0x36, 0x36) X(8, 0x3d, 0x3d) \
	X(9, 0x3e, 0x3e) X(10, 0x46, 0x46) X(11, 0x45, 0x45) X(12, 0x4e, 0x4e) \
	X(13, 0x55, 0x55) X(14, 0x66, 0x66) X(15, 0x0d, 0x0d) X(16, 0x15, 0x15) \
	X(17, 0x1d, 0x1d) X(18, 0x24, 0x24) X(19, 0x2d, 0x2d) X(20, 0x2c, 0x2c) \
	X(21, 0x35, 0x35) X(22, 0x3c, 0x3c) X(23, 0x43, 0x43) X(24, 0x44, 0x44) \
	X(25, 0x4d, 0x4d) X(26, 0x54, 0x54) X(27, 0x5b, 0x5b) X(28, 0x5a, 0x5a) \
	X(29, 0x14, 0x11) X(30, 0x1c, 0x1c) X(31, 0x1b, 0x1b) X(32, 0x23, 0x23) \
	X(33, 0x2b, 0x2b) X(34, 0x34, 0x34) X(35, 0x33, 0x33) X(36, 0x3b, 0x3b) \
	X(37, 0x42, 0x42) X(38, 0x4b, 0x4b) X(39, 0x4c, 0x4c) X(40, 0x52, 0x52) \
	X(41, 0x0e, 0x0e) X(42, 0x12, 0x12) X(43, 0x5d, 0x5c) X(44, 0x1a, 0x1a) \
	X(45, 0x22, 0x22) X(46, 0x21, 0x21) X(47, 0x2a, 0x2a) X(48, 0x32, 0x32) \
	X(49, 0x31, 0x31) X(50, 0x3a, 0x3a) X(51, 0x41, 0x41) X(52, 0x49, 0x49) \
	X(53, 0x4a, 0x4a) X(54, 0x59, 0x59) X(55, 0x7c, 0x7e) X(56, 0x11, 0x19) \
	X(57, 0x29, 0x29) X(58, 0x58, 0x14) X(59, 0x05, 0x07) X(60, 0x06, 0x0f) \
	X(61, 0x04, 0x17) X(62, 0x0c, 0x1f) X(63, 0x03, 0x27) X(64, 0x0b, 0x2f) \
	X(65, 0x83, 0x37) X(66, 0x0a, 0x3f) X(67, 0x01, 0x47) X(68, 0x09, 0x4f) \
	X(69, 0x77, 0x76) X(70, 0x7e, 0x5f) X(71, 0x6c, 0x6c) X(72, 0x75, 0x75) \
	X(73, 0x7d, 0x7d) X(74, 0x7b, 0x84) X(75, 0x6b, 0x6b) X(76, 0x73, 0x73) \
	X(77, 0x74, 0x74) X(78, 0x79, 0x7c) X(79, 0x69, 0x69) X(80, 0x72, 0x72) \
	X(81, 0x7a, 0x7a) X(82, 0x70, 0x70) X(83, 0x71, 0x71) X(85, 0x5f, 0x00) \
	X(86, 0x61, 0x13) X(87, 0x78, 0x56) X(88, 0x07, 0x5e) X(89, 0x51, 0x00) \
	X(90, 0x63, 0x00) X(91, 0x62, 0x00) X(92, 0x64, 0x86) X(93, 0x13, 0x87) \
	X(94, 0x67, 0x85) X(96, E0 | 0x5a, 0x79) X(97, E0 | 0x14, 0x58) X(98, E0 | 0x4a, 0x77) \
	X(99, E0 | 0x7c, 0x57) X(100, E0 | 0x11, 0x39) X(102, E0 | 0x6c, 0x6e) X(103, E0 | 0x75, 0x63) \
	X(104, E0 | 0x7d, 0x6f) X(105, E0 | 0x6b, 0x61) X(106, E0 | 0x74, 0x6a) X(107, E0 | 0x69, 0x65) \
	X(108, E0 | 0x72, 0x60) X(109, E0 | 0x7a, 0x6d) X(110, E0 | 0x70, 0x67) X(111, E0 | 0x71, 0x64) \
	X(113, E0 | 0x23, 0x00) X(114, E0 | 0x21, 0x00) X(115, E0 | 0x32, 0x00) X(116, E0 | 0x37, 0x00) \
	X(117, 0x0f, 0x00) X(119, 0x00, 0x62) X(121, 0x6d, 0x00) X(124, 0x6a, 0x5d) \
	X(125, E0 | 0x1f, 0x8b) X(126, E0 | 0x27, 0x8c) X(127, E0 | 0x2f, 0x8d) X(128, E0 | 0x28, 0x00) \
	X(140, E0 | 0x2b, 0x00) X(142, E0 | 0x3f, 0x00) X(143, E0 | 0x5e, 0x00) X(155, E0 | 0x48, 0x00) \
	X(156, E0 | 0x18, 0x00) X(157, E0 | 0x40, 0x00) X(158, E0 | 0x38, 0x00) X(159, E0 | 0x30, 0x00) \
	X(163, E0 | 0x4d, 0x00) X(164, E0 | 0x34, 0x00) X(165, E0 | 0x15, 0x00) X(166, E0 | 0x3b, 0x00) \
	X(172, E0 | 0x3a, 0x00) X(173, E0 | 0x20, 0x00) X(217, E0 | 0x10, 0x00) X(226, E0 | 0x50, 0x00)
/* clang-format on */

static const uint16_t key_set2[256] = {
#define X(code, set2, set3) [code] = (set2),
	KEYS(X)
#undef X
};
static const uint8_t key_set3[256] = {
#define X(code, set2, set3) [code] = (set3),
	KEYS(X)
#undef X
};

/* Set 2 to set 1 for codes below 80h; above only 83h and 84h change. */
/* clang-format off */
static const uint8_t set1_of_set2[128] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
	0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
	0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
	0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
	0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
	0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};
/* clang-format on */

uint8_t ps2_kbd_translate(uint8_t set2)
{
	if (set2 < 0x80)
		return set1_of_set2[set2];
	return set2 == 0x83 ? 0x41 : set2 == 0x84 ? 0x54 : set2;
}

static bool bit_get(const uint8_t *map, unsigned n)
{
	return map[n >> 3 & 31] >> (n & 7) & 1;
}

static void bit_set(uint8_t *map, unsigned n, bool v)
{
	uint8_t bit = (uint8_t)(1u << (n & 7));

	map[n >> 3 & 31] = (uint8_t)(v ? map[n >> 3 & 31] | bit : map[n >> 3 & 31] & ~bit);
}

/* ---- reporting keys ---- */

struct codes {
	uint8_t byte[8];
	unsigned len;
};

/* Appends a code of set 2 (with or without E0) in the keyboard's set 1 or 2. */
static void codes_put(struct codes *c, uint8_t set, uint16_t code, bool down)
{
	if (code & E0)
		c->byte[c->len++] = 0xe0;
	if (set == 1) {
		c->byte[c->len++] = ps2_kbd_translate((uint8_t)code) | (down ? 0 : 0x80);
		return;
	}
	if (!down)
		c->byte[c->len++] = BREAK;
	c->byte[c->len++] = (uint8_t)code;
}

static void codes_put_pause(struct codes *c, const struct ps2_kbd *k, bool down)
{
	static const uint8_t set2[8] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };
	static const uint8_t set1[6] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
	unsigned i;

	if (!down)
		return; /* the key has no break code */
	if (bit_get(k->down, KEY_LCTRL) || bit_get(k->down, KEY_RCTRL)) { /* Break */
		codes_put(c, k->set, E0 | 0x7e, true);
		codes_put(c, k->set, E0 | 0x7e, false);
		return;
	}
	c->len = k->set == 1 ? sizeof(set1) : sizeof(set2);
	for (i = 0; i < c->len; i++)
		c->byte[i] = k->set == 1 ? set1[i] : set2[i];
}

/* Print Screen: 84h with Alt; a shift code around it unless Ctrl or Shift is down. */
static void codes_put_sysrq(struct codes *c, const struct ps2_kbd *k, bool down)
{
	bool shifted = bit_get(k->down, KEY_LCTRL) || bit_get(k->down, KEY_RCTRL) ||
		       bit_get(k->down, KEY_LSHIFT) || bit_get(k->down, KEY_RSHIFT);

	if (bit_get(k->down, KEY_LALT) || bit_get(k->down, KEY_RALT)) {
		codes_put(c, k->set, 0x84, down);
		return;
	}
	if (!shifted && down)
		codes_put(c, k->set, E0 | 0x12, true);
	codes_put(c, k->set, E0 | 0x7c, down);
	if (!shifted && !down)
		codes_put(c, k->set, E0 | 0x12, false);
}

static void codes_put_set3(struct codes *c, const struct ps2_kbd *k, unsigned key, bool down)
{
	uint8_t code = key_set3[key];

	if (code == 0 || (!down && bit_get(k->no_break, code)))
		return;
	if (!down)
		c->byte[c->len++] = BREAK;
	c->byte[c->len++] = code;
}

void ps2_kbd_key(struct ps2_kbd *k, uint32_t evdev_code, bool down)
{
	struct codes c = { .len = 0 };
	uint8_t overrun = k->set == 1 ? 0xff : 0x00;

	if (evdev_code > 255)
		return;
	bit_set(k->down, evdev_code, down);
	if (!k->scanning)
		return;
	if (k->set == 3)
		codes_put_set3(&c, k, evdev_code, down);
	else if (evdev_code == KEY_PAUSE)
		codes_put_pause(&c, k, down);
	else if (evdev_code == KEY_SYSRQ)
		codes_put_sysrq(&c, k, down);
	else if (key_set2[evdev_code])
		codes_put(&c, k->set, key_set2[evdev_code], down);
	if (c.len == 0)
		return;
	if (k->q.event_len < KBD_BUFFER)
		k->overrun = 0;
	if (!k->overrun && !ps2_queue_event(&k->q, c.byte, c.len, KBD_BUFFER)) {
		/* The 17th place. */
		k->overrun = 1;
		ps2_queue_event(&k->q, &overrun, 1, KBD_BUFFER + 1);
	}
}

/* ---- commands ---- */

static void kbd_set_defaults(struct ps2_kbd *k)
{
	/* Set 3's modifiers: left and right shift, left control, left alt, caps lock. */
	static const uint8_t with_break[] = { 0x12, 0x59, 0x11, 0x19, 0x14 };
	unsigned i;

	k->rate = 0x2b; /* 10.9 characters a second after 500 ms */
	for (i = 0; i < sizeof(k->no_break); i++)
		k->no_break[i] = 0xff;
	for (i = 0; i < sizeof(with_break); i++)
		bit_set(k->no_break, with_break[i], false);
}

void ps2_kbd_reset(struct ps2_kbd *k)
{
	uint8_t down[sizeof(k->down)];
	unsigned i;

	/* Fingers stay where they are. */
	for (i = 0; i < sizeof(down); i++)
		down[i] = k->down[i];
	*k = (struct ps2_kbd){ .set = 2, .scanning = 1 };
	for (i = 0; i < sizeof(down); i++)
		k->down[i] = down[i];
	kbd_set_defaults(k);
}

/* F7 to FA: which keys of set 3 send breaks. */
static void kbd_set_all_keys(struct ps2_kbd *k, uint8_t cmd)
{
	unsigned i;

	for (i = 0; i < sizeof(k->no_break); i++)
		k->no_break[i] = cmd == 0xf8 || cmd == 0xfa ? 0x00 : 0xff;
}

static void kbd_parameter(struct ps2_kbd *k, uint8_t val)
{
	uint8_t cmd = k->cmd;

	k->cmd = 0;
	switch (cmd) {
	case 0xed: k->leds = val & 7; break;
	case 0xf3: k->rate = val & 0x7f; break;
	case 0xf0:
		if (val > 3) {
			ps2_queue_answer(&k->q, RESEND);
			return;
		}
		ps2_queue_answer(&k->q, ACK);
		if (val == 0)
			ps2_queue_answer(&k->q, k->set);
		else
			k->set = val;
		return;
	case 0xfb: /* typematic: no break */
	case 0xfd: /* make only */
	case 0xfc: /* make and break */
		bit_set(k->no_break, val, cmd != 0xfc);
		k->cmd = cmd; /* codes go on until the next command */
		break;
	}
	ps2_queue_answer(&k->q, ACK);
}

void ps2_kbd_write(struct ps2_kbd *k, uint8_t val)
{
	if (k->cmd && val < 0xed) {
		kbd_parameter(k, val);
		return;
	}
	k->cmd = 0; /* a new command in place of a parameter */
	switch (val) {
	case 0xee: ps2_queue_answer(&k->q, 0xee); return; /* echo */
	case 0xfe: ps2_queue_answer(&k->q, k->q.last); return;
	case 0xed: /* LEDs */
	case 0xf0: /* scan code set */
	case 0xf3: /* typematic rate */
	case 0xfb:
	case 0xfc:
	case 0xfd: k->cmd = val; break;
	case 0xf2: /* identify */
		ps2_queue_answer(&k->q, ACK);
		ps2_queue_answer(&k->q, 0xab);
		ps2_queue_answer(&k->q, 0x83);
		return;
	case 0xf4: /* enable */
		ps2_queue_clear(&k->q);
		k->scanning = 1;
		break;
	case 0xf5: /* default disable */
	case 0xf6: /* set default */
		ps2_queue_clear(&k->q);
		kbd_set_defaults(k);
		k->scanning = val == 0xf6;
		break;
	case 0xf7:
	case 0xf8:
	case 0xf9:
	case 0xfa: kbd_set_all_keys(k, val); break;
	case 0xff:
		ps2_kbd_reset(k);
		ps2_queue_answer(&k->q, ACK);
		ps2_queue_answer(&k->q, BAT_OK);
		return;
	default: ps2_queue_answer(&k->q, RESEND); return;
	}
	ps2_queue_answer(&k->q, ACK);
}
