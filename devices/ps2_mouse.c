/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 mouse. IBM Personal System/2 hardware interface technical reference,
 * "Mouse"; the wheel (identity 3) and five buttons (identity 4) as Microsoft's
 * IntelliMouse and IntelliMouse Explorer have them.
 *
 * The sample rates 200, 100, 80 in a row make it a wheel mouse, 200, 200, 80 then
 * a five-button mouse.
 *
 * Deviations: packets are made when something moved and the queue has room, not at
 * the sample rate; what does not fit is summed up and comes with the next packet.
 * The resolution is kept, and does not scale.
 */
#include "ps2.h"

#define ACK	  0xfa
#define RESEND	  0xfe
#define BAT_OK	  0xaa
#define EVENT_MAX 16

static int32_t clamp(int32_t v, int32_t min, int32_t max)
{
	return v < min ? min : v > max ? max : v;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
	*m = (struct ps2_mouse){ .rate = 100, .resolution = 2, .buttons = m->buttons };
}

static void mouse_set_defaults(struct ps2_mouse *m)
{
	m->rate = 100;
	m->resolution = 2;
	m->scaling21 = 0;
	m->remote = 0;
	m->reporting = 0;
	m->dx = 0;
	m->dy = 0;
	m->dz = 0;
}

/* 2:1 scaling of small movements, for stream mode only. */
static int32_t scale21(const struct ps2_mouse *m, int32_t v)
{
	static const uint8_t table[6] = { 0, 1, 1, 3, 6, 9 };
	int32_t a = v < 0 ? -v : v;

	if (!m->scaling21 || m->remote)
		return v;
	a = a < 6 ? table[a] : 2 * a;
	return v < 0 ? -a : a;
}

/* Makes a packet of what has not been reported; returns its length. */
static unsigned mouse_packet(struct ps2_mouse *m, uint8_t *buf)
{
	int32_t dx = clamp(m->dx, -127, 127), dy = clamp(m->dy, -127, 127), dz;
	int32_t x = clamp(scale21(m, dx), -255, 255), y = clamp(scale21(m, dy), -255, 255);
	unsigned len = 3;

	buf[0] = (uint8_t)(0x08 | (m->buttons & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0));
	buf[1] = (uint8_t)x;
	buf[2] = (uint8_t)y;
	m->dx -= dx;
	m->dy -= dy;
	if (m->id >= 3) {
		dz = m->id == 3 ? clamp(m->dz, -127, 127) : clamp(m->dz, -7, 7);
		buf[3] = m->id == 3 ? (uint8_t)dz : (uint8_t)((dz & 15) | (m->buttons << 1 & 0x30));
		m->dz -= dz;
		len = 4;
	} else {
		m->dz = 0;
	}
	m->reported = m->buttons;
	return len;
}

static bool mouse_has_news(const struct ps2_mouse *m)
{
	uint8_t seen = m->id == 4 ? 0x1f : 0x07;

	return m->dx || m->dy || (m->dz && m->id >= 3) || ((m->buttons ^ m->reported) & seen);
}

void ps2_mouse_report(struct ps2_mouse *m)
{
	uint8_t buf[4];
	unsigned len;

	if (!m->reporting || m->remote || m->wrap)
		return;
	while (mouse_has_news(m) && m->q.event_len + 4 <= EVENT_MAX) {
		len = mouse_packet(m, buf);
		ps2_queue_event(&m->q, buf, len, EVENT_MAX);
	}
}

void ps2_mouse_move(struct ps2_mouse *m, uint32_t axis, int64_t delta)
{
	int32_t d = (int32_t)(delta < -0x10000 ? -0x10000 : delta > 0x10000 ? 0x10000 : delta);

	switch (axis) {
	case 0: m->dx = clamp(m->dx + d, -0x10000, 0x10000); break;
	case 1: m->dy = clamp(m->dy - d, -0x10000, 0x10000); break;
	case 2: m->dz = clamp(m->dz - d, -0x10000, 0x10000); break;
	}
}

void ps2_mouse_button(struct ps2_mouse *m, uint32_t button, bool down)
{
	if (button > 4)
		return;
	if (down)
		m->buttons |= (uint8_t)(1u << button);
	else
		m->buttons &= (uint8_t) ~(1u << button);
}

/* ---- commands ---- */

static void mouse_set_rate(struct ps2_mouse *m, uint8_t rate)
{
	if (m->rate_history[0] == 200 && m->rate_history[1] == 100 && rate == 80)
		m->id = 3;
	else if (m->id == 3 && m->rate_history[0] == 200 && m->rate_history[1] == 200 && rate == 80)
		m->id = 4;
	m->rate_history[0] = m->rate_history[1];
	m->rate_history[1] = rate;
	m->rate = rate;
}

static void mouse_parameter(struct ps2_mouse *m, uint8_t val)
{
	uint8_t cmd = m->cmd;

	m->cmd = 0;
	if (cmd == 0xf3)
		mouse_set_rate(m, val);
	else
		m->resolution = val & 3;
	ps2_queue_answer(&m->q, ACK);
}

static void mouse_answer_status(struct ps2_mouse *m)
{
	uint8_t v = (uint8_t)((m->buttons & 1) << 2 | (m->buttons >> 2 & 1) << 1 |
			      (m->buttons >> 1 & 1) | m->scaling21 << 4 | m->reporting << 5 |
			      m->remote << 6);

	ps2_queue_answer(&m->q, ACK);
	ps2_queue_answer(&m->q, v);
	ps2_queue_answer(&m->q, m->resolution);
	ps2_queue_answer(&m->q, m->rate);
}

static void mouse_answer_packet(struct ps2_mouse *m)
{
	uint8_t buf[4];
	unsigned i, len = mouse_packet(m, buf);

	ps2_queue_answer(&m->q, ACK);
	for (i = 0; i < len; i++)
		ps2_queue_answer(&m->q, buf[i]);
}

static void mouse_command(struct ps2_mouse *m, uint8_t val)
{
	switch (val) {
	case 0xe6: m->scaling21 = 0; break;
	case 0xe7: m->scaling21 = 1; break;
	case 0xe8: /* resolution */
	case 0xf3: /* sample rate */ m->cmd = val; break;
	case 0xe9: mouse_answer_status(m); return;
	case 0xea: m->remote = 0; break;
	case 0xeb: mouse_answer_packet(m); return;
	case 0xec: m->wrap = 0; break;
	case 0xee: m->wrap = 1; break;
	case 0xf0: m->remote = 1; break;
	case 0xf2:
		ps2_queue_answer(&m->q, ACK);
		ps2_queue_answer(&m->q, m->id);
		return;
	case 0xf4:
		m->reporting = 1;
		m->reported = m->buttons;
		break;
	case 0xf5: m->reporting = 0; break;
	case 0xf6: mouse_set_defaults(m); break;
	case 0xfe: ps2_queue_answer(&m->q, m->q.last); return;
	case 0xff:
		ps2_mouse_reset(m);
		ps2_queue_answer(&m->q, ACK);
		ps2_queue_answer(&m->q, BAT_OK);
		ps2_queue_answer(&m->q, 0x00);
		return;
	default: ps2_queue_answer(&m->q, RESEND); return;
	}
	ps2_queue_answer(&m->q, ACK);
}

void ps2_mouse_write(struct ps2_mouse *m, uint8_t val)
{
	/* A command throws away what was on its way, so that a packet is never cut in two. */
	ps2_queue_clear(&m->q);
	if (m->wrap && val != 0xec && val != 0xff)
		ps2_queue_answer(&m->q, val);
	else if (m->cmd)
		mouse_parameter(m, val);
	else
		mouse_command(m, val);
}
