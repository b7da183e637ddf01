/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8042 keyboard and auxiliary device controller, ports 60h and 64h, with a
 * keyboard (ps2_kbd.c) and a mouse (ps2_mouse.c) plugged in.
 * IBM Personal System/2 hardware interface technical reference, "Keyboard and
 * Auxiliary Device Controller"; Intel UPI-C42 for the ports.
 *
 * Outputs "kbd-irq"(1), "mouse-irq"(1): high while their byte is in the output
 * buffer and the command byte enables the interrupt.
 *
 * There is one output buffer. A byte of a device takes BYTE_NS to get there after
 * the buffer was emptied (faster than the wire's 700 us, slow enough that a guest that
 * reads port 60h twice finds the same byte); the controller's own answers are there
 * at once, or as soon as the guest has read what is in the way. The keyboard comes
 * before the mouse. A port that is disabled sends nothing.
 *
 * What the sheet leaves open is defined so:
 *  - After a machine reset the controller is as a PC's firmware leaves it: keyboard
 *    enabled with its interrupt and translation, mouse port disabled.
 *  - A command is taken at once: IBF always reads 0.
 *  - Commands that do not exist are ignored. Test inputs (E0h) read 0.
 *  - The RAM of commands 20h-3Fh and 60h-7Fh is 32 bytes; byte 0 is the command byte.
 */
#include "ps2.h"

#define BYTE_NS UINT64_C(100000)

#define ST_OBF	  0x01
#define ST_SYS	  0x04
#define ST_CMD	  0x08
#define ST_UNLOCK 0x10
#define ST_AUX	  0x20

#define CB_KBD_INT 0x01
#define CB_AUX_INT 0x02
#define CB_SYS	   0x04
#define CB_KBD_OFF 0x10
#define CB_AUX_OFF 0x20
#define CB_XLATE   0x40
#define CB_RESET   (CB_KBD_INT | CB_SYS | CB_AUX_OFF | CB_XLATE)

#define OUT_RESET 0x01 /* low resets the processor */
#define OUT_A20	  0x02
#define OUT_KBD	  0x10 /* output buffer full, keyboard and mouse */
#define OUT_AUX	  0x20

enum source { FROM_CTL, FROM_KBD, FROM_AUX };

struct i8042 {
	struct device dev;
	struct line kbd_irq;
	struct line mouse_irq;
	struct timer timer; /* a device's byte arrives */
	struct ps2_kbd kbd;
	struct ps2_mouse mouse;
	uint8_t ram[32]; /* byte 0: the command byte */
	uint8_t obuf;	 /* output buffer */
	uint8_t obuf_full;
	uint8_t obuf_src; /* enum source */
	uint8_t held;	  /* an answer that waits for the buffer */
	uint8_t held_full;
	uint8_t held_src;
	uint8_t cmd;	      /* a command that waits for its byte at port 60h, or 0 */
	uint8_t last_was_cmd; /* the last write went to port 64h */
	uint8_t outport;      /* bits 0 and 1 */
	uint8_t breaking;     /* translation: an F0 was swallowed */
};

static void kbc_update_irq(struct i8042 *s)
{
	bool aux = s->obuf_full && s->obuf_src == FROM_AUX;
	bool kbd = s->obuf_full && s->obuf_src != FROM_AUX;

	line_set(&s->kbd_irq, kbd && (s->ram[0] & CB_KBD_INT));
	line_set(&s->mouse_irq, aux && (s->ram[0] & CB_AUX_INT));
}

static bool kbc_kbd_ready(const struct i8042 *s)
{
	return !(s->ram[0] & CB_KBD_OFF) && !ps2_queue_empty(&s->kbd.q);
}

static bool kbc_aux_ready(const struct i8042 *s)
{
	return !(s->ram[0] & CB_AUX_OFF) && !ps2_queue_empty(&s->mouse.q);
}

/* After whatever changed: is a device's byte on its way? */
static void kbc_update(struct i8042 *s)
{
	ps2_mouse_report(&s->mouse);
	if (s->obuf_full || (!kbc_kbd_ready(s) && !kbc_aux_ready(s)))
		timer_cancel(&s->timer);
	else if (s->timer.deadline_ns == TIMER_NEVER)
		timer_arm(&s->timer, vclock_ns(&s->dev) + BYTE_NS);
	kbc_update_irq(s);
}

static void kbc_fill(struct i8042 *s, uint8_t val, enum source src)
{
	s->obuf = val;
	s->obuf_src = (uint8_t)src;
	s->obuf_full = 1;
}

/* An answer of the controller itself. */
static void kbc_answer(struct i8042 *s, uint8_t val, enum source src)
{
	if (!s->obuf_full) {
		kbc_fill(s, val, src);
		return;
	}
	s->held = val;
	s->held_src = (uint8_t)src;
	s->held_full = 1;
}

/* The next byte of the keyboard as the guest sees it; false: none, it was a prefix. */
static bool kbc_pull_kbd(struct i8042 *s, uint8_t *ret)
{
	uint8_t v;

	while (ps2_queue_pull(&s->kbd.q, &v)) {
		if (!(s->ram[0] & CB_XLATE)) {
			*ret = v;
			return true;
		}
		if (v == 0xf0) {
			s->breaking = 1;
			continue;
		}
		*ret = ps2_kbd_translate(v) | (s->breaking ? 0x80 : 0);
		s->breaking = 0;
		return true;
	}
	return false;
}

static void kbc_fire(struct device *dev)
{
	struct i8042 *s = (struct i8042 *)dev;
	uint8_t v;

	if (!s->obuf_full && kbc_kbd_ready(s) && kbc_pull_kbd(s, &v))
		kbc_fill(s, v, FROM_KBD);
	else if (!s->obuf_full && kbc_aux_ready(s) && ps2_queue_pull(&s->mouse.q, &v))
		kbc_fill(s, v, FROM_AUX);
	kbc_update(s);
}

/* ---- commands ---- */

static uint8_t kbc_outport(const struct i8042 *s)
{
	uint8_t v = s->outport | 0xcc;

	if (s->obuf_full)
		v |= s->obuf_src == FROM_AUX ? OUT_AUX : OUT_KBD;
	return v;
}

static void kbc_set_outport(struct i8042 *s, uint8_t val)
{
	uint8_t old = s->outport;

	s->outport = val & (OUT_RESET | OUT_A20);
	machine_a20(&s->dev, 1, !!(val & OUT_A20));
	if (old & ~val & OUT_RESET)
		machine_request(&s->dev, MACHINE_RESET);
}

static void kbc_command(struct i8042 *s, uint8_t val)
{
	s->cmd = 0;
	switch (val) {
	case 0x20 ... 0x3f: kbc_answer(s, s->ram[val & 31], FROM_CTL); break;
	case 0x60 ... 0x7f: s->cmd = val; break;
	case 0xa7: s->ram[0] |= CB_AUX_OFF; break;
	case 0xa8: s->ram[0] &= ~CB_AUX_OFF; break;
	case 0xa9: kbc_answer(s, 0x00, FROM_CTL); break; /* auxiliary interface test */
	case 0xaa: /* self test: the command byte is as after power-on */
		s->ram[0] = CB_SYS | CB_KBD_OFF | CB_AUX_OFF | CB_XLATE;
		s->breaking = 0;
		kbc_answer(s, 0x55, FROM_CTL);
		break;
	case 0xab: kbc_answer(s, 0x00, FROM_CTL); break; /* keyboard interface test */
	case 0xad: s->ram[0] |= CB_KBD_OFF; break;
	case 0xae: s->ram[0] &= ~CB_KBD_OFF; break;
	case 0xc0: kbc_answer(s, 0x80, FROM_CTL); break; /* input port: not inhibited */
	case 0xd0: kbc_answer(s, kbc_outport(s), FROM_CTL); break;
	case 0xd1: /* write output port */
	case 0xd2: /* write keyboard output buffer */
	case 0xd3: /* write auxiliary output buffer */
	case 0xd4: /* write to the auxiliary device */ s->cmd = val; break;
	case 0xdd: kbc_set_outport(s, s->outport & ~OUT_A20); break;
	case 0xdf: kbc_set_outport(s, s->outport | OUT_A20); break;
	case 0xe0: kbc_answer(s, 0x00, FROM_CTL); break;
	case 0xf0 ... 0xff: /* pulse the output port's bits that are 0 */
		if (!(val & OUT_RESET))
			machine_request(&s->dev, MACHINE_RESET);
		break;
	}
}

/* The byte at port 60h that a command waited for. */
static void kbc_parameter(struct i8042 *s, uint8_t val)
{
	uint8_t cmd = s->cmd;

	s->cmd = 0;
	switch (cmd) {
	case 0x60 ... 0x7f: s->ram[cmd & 31] = val; break;
	case 0xd1: kbc_set_outport(s, val); break;
	case 0xd2: kbc_answer(s, val, FROM_KBD); break;
	case 0xd3: kbc_answer(s, val, FROM_AUX); break;
	case 0xd4:
		s->ram[0] &= ~CB_AUX_OFF; /* sending enables the port */
		ps2_mouse_write(&s->mouse, val);
		break;
	}
}

/* ---- ports ---- */

static uint64_t kbc_read_data(struct device *dev, uint64_t addr, unsigned size)
{
	struct i8042 *s = (struct i8042 *)dev;
	uint8_t v = s->obuf;

	if (!s->obuf_full)
		return v;
	s->obuf_full = 0;
	kbc_update_irq(s); /* the next byte's interrupt is an edge */
	if (s->held_full) {
		s->held_full = 0;
		kbc_fill(s, s->held, s->held_src);
	}
	kbc_update(s);
	return v;
}

static void kbc_write_data(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct i8042 *s = (struct i8042 *)dev;

	s->last_was_cmd = 0;
	if (s->cmd) {
		kbc_parameter(s, (uint8_t)val);
	} else {
		s->ram[0] &= ~CB_KBD_OFF; /* sending enables the port */
		ps2_kbd_write(&s->kbd, (uint8_t)val);
	}
	kbc_update(s);
}

static uint64_t kbc_read_status(struct device *dev, uint64_t addr, unsigned size)
{
	const struct i8042 *s = (struct i8042 *)dev;
	uint8_t v = ST_UNLOCK | (s->ram[0] & CB_SYS);

	if (s->obuf_full)
		v |= ST_OBF;
	if (s->obuf_full && s->obuf_src == FROM_AUX)
		v |= ST_AUX;
	if (s->last_was_cmd)
		v |= ST_CMD;
	return v;
}

static void kbc_write_command(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct i8042 *s = (struct i8042 *)dev;

	s->last_was_cmd = 1;
	kbc_command(s, (uint8_t)val);
	kbc_update(s);
}

static const struct io_ops data_ops = { kbc_read_data, kbc_write_data, .max_size = 1 };
static const struct io_ops cmd_ops = { kbc_read_status, kbc_write_command, .max_size = 1 };

/* ---- inputs ---- */

static void kbc_key(struct device *dev, uint32_t evdev_code, bool down)
{
	struct i8042 *s = (struct i8042 *)dev;

	ps2_kbd_key(&s->kbd, evdev_code, down);
	kbc_update(s);
}

static void kbc_pointer_rel(struct device *dev, uint32_t axis, int64_t delta)
{
	ps2_mouse_move(&((struct i8042 *)dev)->mouse, axis, delta);
}

static void kbc_pointer_btn(struct device *dev, uint32_t button, bool down)
{
	ps2_mouse_button(&((struct i8042 *)dev)->mouse, button, down);
}

/* Movements and buttons since the last one make a packet. */
static void kbc_input_sync(struct device *dev)
{
	kbc_update((struct i8042 *)dev);
}

/* ---- life ---- */

static int kbc_realize(struct device *dev, struct error *err)
{
	struct i8042 *s = (struct i8042 *)dev;
	int rc;

	rc = io_map(dev, 0x60, 1, &data_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0x64, 1, &cmd_ops, err);
	if (rc < 0)
		return rc;
	timer_init(dev, &s->timer, kbc_fire);
	line_output(dev, "kbd-irq", &s->kbd_irq, 1);
	line_output(dev, "mouse-irq", &s->mouse_irq, 1);
	return 0;
}

static void kbc_reset(struct device *dev)
{
	struct i8042 *s = (struct i8042 *)dev;
	unsigned i;

	for (i = 0; i < sizeof(s->ram); i++)
		s->ram[i] = 0;
	s->ram[0] = CB_RESET;
	s->obuf = 0;
	s->obuf_full = 0;
	s->obuf_src = FROM_CTL;
	s->held = 0;
	s->held_full = 0;
	s->held_src = FROM_CTL;
	s->cmd = 0;
	s->last_was_cmd = 1;
	s->breaking = 0;
	/* The machine opens the A20 gate of firmware's own choice: ours starts open, as a PS/2's.
	 */
	s->outport = OUT_RESET | OUT_A20;
	machine_a20(dev, 1, 1);
	ps2_kbd_reset(&s->kbd);
	ps2_mouse_reset(&s->mouse);
	timer_cancel(&s->timer);
	kbc_update(s);
}

static void kbc_loaded(struct device *dev)
{
	struct i8042 *s = (struct i8042 *)dev;

	ps2_queue_loaded(&s->kbd.q);
	ps2_queue_loaded(&s->mouse.q);
	machine_a20(dev, 1, !!(s->outport & OUT_A20));
}

static const struct field kbc_fields[] = {
	FIELD_TIMER(struct i8042, timer),
	PS2_KBD_FIELDS(struct i8042, kbd),
	PS2_MOUSE_FIELDS(struct i8042, mouse),
	FIELD_ARRAY(struct i8042, ram),
	FIELD(struct i8042, obuf),
	FIELD(struct i8042, obuf_full),
	FIELD(struct i8042, obuf_src),
	FIELD(struct i8042, held),
	FIELD(struct i8042, held_full),
	FIELD(struct i8042, held_src),
	FIELD(struct i8042, cmd),
	FIELD(struct i8042, last_was_cmd),
	FIELD(struct i8042, outport),
	FIELD(struct i8042, breaking),
	FIELD_END,
};

const struct device_class i8042_class = {
	.name = "i8042",
	.desc = "8042 controller with PS/2 keyboard and mouse",
	.instance_size = sizeof(struct i8042),
	.fields = kbc_fields,
	.realize = kbc_realize,
	.reset = kbc_reset,
	.loaded = kbc_loaded,
	.key = kbc_key,
	.pointer_rel = kbc_pointer_rel,
	.pointer_btn = kbc_pointer_btn,
	.input_sync = kbc_input_sync,
};
