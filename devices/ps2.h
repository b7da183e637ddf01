/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two devices behind the 8042: keyboard and mouse, as state machines
 * without time or lines of their own. The controller (i8042_kbd.c) holds them in its
 * instance, feeds them commands and pulls their bytes.
 *
 * All members change and are saved; PS2_*_FIELDS list them for a field table
 * of a struct that holds the part as `member`.
 */
#ifndef DEJAVM_PS2_H
#define DEJAVM_PS2_H

#include "device.h"

/*
 * Bytes on their way to the controller. Answers to commands overtake what
 * was reported before them, as a device answers at once.
 */
#define PS2_EVENTS  32
#define PS2_ANSWERS 8

struct ps2_queue {
	uint8_t event[PS2_EVENTS];
	uint8_t event_head, event_len;
	uint8_t answer[PS2_ANSWERS];
	uint8_t answer_head, answer_len;
	uint8_t last; /* the last byte sent, for "resend" */
};

#define PS2_QUEUE_FIELDS(type, member)                                           \
	FIELD_ARRAY(type, member.event), FIELD(type, member.event_head),         \
		FIELD(type, member.event_len), FIELD_ARRAY(type, member.answer), \
		FIELD(type, member.answer_head), FIELD(type, member.answer_len), \
		FIELD(type, member.last)

/* The next byte to *ret; false if there is none. */
bool ps2_queue_pull(struct ps2_queue *q, uint8_t *ret);
bool ps2_queue_empty(const struct ps2_queue *q);
/* Drops the byte when there is no room: a host that sends commands and reads no answers. */
void ps2_queue_answer(struct ps2_queue *q, uint8_t val);
/* All of len bytes or, when fewer than room of the event bytes are free, none: false. */
bool ps2_queue_event(struct ps2_queue *q, const uint8_t *buf, unsigned len, unsigned room);
void ps2_queue_clear(struct ps2_queue *q);
/* Bounds what a snapshot may have put there. */
void ps2_queue_loaded(struct ps2_queue *q);

struct ps2_kbd {
	struct ps2_queue q;
	uint8_t cmd;	      /* a command that waits for its parameter, or 0 */
	uint8_t set;	      /* scan code set 1, 2 or 3 */
	uint8_t scanning;     /* keys are reported */
	uint8_t leds;	      /* bit 0 scroll, 1 num, 2 caps */
	uint8_t rate;	      /* typematic rate and delay; kept only */
	uint8_t overrun;      /* an overrun code is in the buffer */
	uint8_t down[32];     /* bit for each evdev code: the key is down */
	uint8_t no_break[32]; /* set 3: bit for each code that is sent on make only */
};

#define PS2_KBD_FIELDS(type, member)                                                              \
	PS2_QUEUE_FIELDS(type, member.q), FIELD(type, member.cmd), FIELD(type, member.set),       \
		FIELD(type, member.scanning), FIELD(type, member.leds), FIELD(type, member.rate), \
		FIELD(type, member.overrun), FIELD_ARRAY(type, member.down),                      \
		FIELD_ARRAY(type, member.no_break)

/* Power-on; scanning as a PC's firmware leaves it. No BAT code is sent. */
void ps2_kbd_reset(struct ps2_kbd *k);
/* A byte from the controller. */
void ps2_kbd_write(struct ps2_kbd *k, uint8_t val);
/* A key by its Linux (evdev) code. Unknown keys are ignored. */
void ps2_kbd_key(struct ps2_kbd *k, uint32_t evdev_code, bool down);
/* The controller's translation of a set 2 code to set 1; the table of IBM's PC/AT controller. */
uint8_t ps2_kbd_translate(uint8_t set2);

struct ps2_mouse {
	struct ps2_queue q;
	int32_t dx, dy, dz; /* movement that has not been reported, y up, z towards the user */
	uint8_t cmd;	    /* a command that waits for its parameter, or 0 */
	uint8_t id;	    /* 0 mouse, 3 with a wheel, 4 with five buttons */
	uint8_t buttons;    /* bit 0 left, 1 right, 2 middle, 3 and 4 side */
	uint8_t reported;   /* buttons in the last packet */
	uint8_t rate;	    /* samples a second; kept, and the way to the wheel */
	uint8_t rate_history[2];
	uint8_t resolution;
	uint8_t scaling21;
	uint8_t remote;
	uint8_t wrap;
	uint8_t reporting;
};

#define PS2_MOUSE_FIELDS(type, member)                                                    \
	PS2_QUEUE_FIELDS(type, member.q), FIELD(type, member.dx), FIELD(type, member.dy), \
		FIELD(type, member.dz), FIELD(type, member.cmd), FIELD(type, member.id),  \
		FIELD(type, member.buttons), FIELD(type, member.reported),                \
		FIELD(type, member.rate), FIELD_ARRAY(type, member.rate_history),         \
		FIELD(type, member.resolution), FIELD(type, member.scaling21),            \
		FIELD(type, member.remote), FIELD(type, member.wrap),                     \
		FIELD(type, member.reporting)

void ps2_mouse_reset(struct ps2_mouse *m);
void ps2_mouse_write(struct ps2_mouse *m, uint8_t val);
/* axis 0 x (right), 1 y (down), 2 wheel (up is positive), as events have them. */
void ps2_mouse_move(struct ps2_mouse *m, uint32_t axis, int64_t delta);
/* button 0 left, 1 right, 2 middle, 3 and 4 side. */
void ps2_mouse_button(struct ps2_mouse *m, uint32_t button, bool down);
/* Puts packets of what has not been reported into the queue, while there is room. */
void ps2_mouse_report(struct ps2_mouse *m);

#endif
