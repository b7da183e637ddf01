/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inputs as events of the log, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sequencer.h"

void input_to_event(const struct input *in, struct log_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	ev->id = LOG_ASYNC;
	ev->sub = LOG_CP_CLOCK_VIRTUAL;
	ev->kind = LOG_ASYNC_INPUT;
	ev->a = in->a;
	ev->down = in->b != 0;
	switch (in->event) {
	case SEQ_EV_CHAR:
		ev->kind = LOG_ASYNC_CHAR_READ;
		ev->a = 0;
		ev->dev = (uint8_t)in->dev;
		ev->data = in->data;
		ev->len = in->len;
		break;
	case SEQ_EV_KEY:
		ev->input = LOG_INPUT_KEY;
		ev->a = LOG_KEY_NUMBER;
		ev->value = in->a;
		break;
	case SEQ_EV_BTN: ev->input = LOG_INPUT_BTN; break;
	case SEQ_EV_REL:
		ev->input = LOG_INPUT_REL;
		ev->value = (uint64_t)in->b;
		break;
	case SEQ_EV_INPUT_SYNC: ev->kind = LOG_ASYNC_INPUT_SYNC; break;
	case SEQ_EV_BLOCK:
		ev->kind = LOG_ASYNC_BLOCK;
		ev->value = (uint64_t)in->b;
		break;
	case SEQ_EV_SHUTDOWN:
		ev->id = LOG_SHUTDOWN;
		ev->sub = (uint8_t)in->a;
		break;
	case SEQ_EV_RESET:
	case SEQ_EV_POWERDOWN:
	case SEQ_EV_NMI:
	case SEQ_EV_BREAK:
		ev->id = LOG_REQUEST;
		ev->kind = (uint8_t)(LOG_REQUEST_RESET + (in->event - SEQ_EV_RESET));
		ev->dev = in->event == SEQ_EV_BREAK ? (uint8_t)in->a : 0;
		break;
	}
}

_Static_assert(SEQ_EV_POWERDOWN - SEQ_EV_RESET == (int)LOG_REQUEST_POWERDOWN &&
		       SEQ_EV_NMI - SEQ_EV_RESET == (int)LOG_REQUEST_NMI &&
		       SEQ_EV_BREAK - SEQ_EV_RESET == (int)LOG_REQUEST_BREAK,
	"requests of the log and events of devices have one order");

static int from_async(const struct log_event *ev, struct input *in)
{
	if (ev->kind == LOG_ASYNC_CHAR_READ) {
		if (ev->len == 0 || ev->len > SEQ_CHAR_MAX)
			return -EINVAL;
		in->event = SEQ_EV_CHAR;
		in->dev = ev->dev;
		in->len = ev->len;
		memcpy(in->data, ev->data, ev->len);
		return 0;
	}
	if (ev->kind == LOG_ASYNC_INPUT_SYNC) {
		in->event = SEQ_EV_INPUT_SYNC;
		return 0;
	}
	if (ev->kind == LOG_ASYNC_BLOCK) {
		in->event = SEQ_EV_BLOCK;
		in->b = (int64_t)ev->value;
		return 0;
	}
	if (ev->kind != LOG_ASYNC_INPUT)
		return -EINVAL;
	switch (ev->input) {
	case LOG_INPUT_KEY:
		if (ev->a != LOG_KEY_NUMBER || ev->value > KEY_CODE_MAX)
			return -EINVAL;
		in->event = SEQ_EV_KEY;
		in->a = (uint32_t)ev->value;
		in->b = ev->down != 0;
		return 0;
	case LOG_INPUT_BTN:
		in->event = SEQ_EV_BTN;
		in->a = ev->a;
		in->b = ev->down != 0;
		return ev->a <= 2 ? 0 : -EINVAL;
	case LOG_INPUT_REL:
		in->event = SEQ_EV_REL;
		in->a = ev->a;
		in->b = (int64_t)ev->value;
		return ev->a <= 2 ? 0 : -EINVAL;
	default: return -EINVAL;
	}
}

int input_from_event(const struct log_event *ev, struct input **ret)
{
	uint32_t len = ev->id == LOG_ASYNC && ev->kind == LOG_ASYNC_CHAR_READ ? ev->len : 0;
	struct input *in = malloc(sizeof(*in) + len);
	int r = 0;

	if (!in)
		return -ENOMEM;
	memset(in, 0, sizeof(*in));
	if (ev->id == LOG_ASYNC) {
		r = from_async(ev, in);
	} else if (ev->id == LOG_SHUTDOWN) {
		in->event = SEQ_EV_SHUTDOWN;
		in->a = ev->sub;
	} else if (ev->id == LOG_REQUEST) {
		in->event = SEQ_EV_RESET + ev->kind;
		in->a = ev->kind == LOG_REQUEST_BREAK ? ev->dev : 0;
	} else {
		r = -EINVAL;
	}
	if (r < 0) {
		free(in);
		return r;
	}
	*ret = in;
	return 0;
}
