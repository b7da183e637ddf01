/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events, header and chunks of the log, to and from bytes (docs/log-format.md). */
#include "logfmt.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>
#include "digest.h"
#include "seq.h"

/* ---- names ---- */

struct row {
	const char *name, *args;
};

static const struct row rows[256] = {
#define LOG_EVENT(id, name, text, args) [id] = { text, args },
#include "log_events.def"
#undef LOG_EVENT
};

static const char *const async_names[] = {
#define X(n, s) s,
	LOG_ASYNC_KINDS(X)
#undef X
};

static const char *const checkpoint_names[] = {
#define X(n, s) s,
	LOG_CHECKPOINTS(X)
#undef X
};

static const char *const cause_names[] = {
#define X(n, s) s,
	SHUTDOWN_CAUSES(X)
#undef X
};

static const char *const request_names[] = {
#define X(n, s) s,
	LOG_REQUESTS(X)
#undef X
};

const char *log_event_name(uint8_t id)
{
	return rows[id].name ? rows[id].name : "unknown";
}

const char *log_async_name(uint8_t kind)
{
	return kind < LOG_ASYNC_COUNT ? async_names[kind] : "unknown";
}

const char *log_checkpoint_name(uint8_t id)
{
	return id < LOG_CP_COUNT ? checkpoint_names[id] : "unknown";
}

const char *log_cause_name(uint8_t cause)
{
	return cause < SHUTDOWN_COUNT ? cause_names[cause] : "unknown";
}

const char *log_request_name(uint8_t kind)
{
	return kind < LOG_REQUEST_COUNT ? request_names[kind] : "unknown";
}

/* ---- bytes ---- */

struct out {
	uint8_t *buf;
	size_t len, cap;
	bool full;
};

static void put(struct out *o, uint64_t v, int n)
{
	if (o->cap - o->len < (size_t)n) {
		o->full = true;
		return;
	}
	for (int i = n - 1; i >= 0; i--, v >>= 8)
		o->buf[o->len + (size_t)i] = (uint8_t)v;
	o->len += (size_t)n;
}

static void put_bytes(struct out *o, const void *p, size_t n)
{
	if (o->cap - o->len < n) {
		o->full = true;
		return;
	}
	if (n > 0)
		memcpy(o->buf + o->len, p, n);
	o->len += n;
}

static void put_array(struct out *o, const void *p, uint32_t n)
{
	put(o, n, 4);
	put_bytes(o, p, n);
}

static uint64_t be(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* ---- encoding ---- */

static int encode_input(struct out *o, const struct log_event *ev)
{
	put(o, ev->input, 4);
	switch (ev->input) {
	case LOG_INPUT_KEY:
		if (ev->a > LOG_KEY_QCODE || (ev->a == LOG_KEY_QCODE && ev->value > UINT32_MAX))
			return -EINVAL;
		put(o, ev->a, 4);
		put(o, ev->value, ev->a == LOG_KEY_NUMBER ? 8 : 4);
		put(o, ev->down, 1);
		return 0;
	case LOG_INPUT_BTN:
		put(o, ev->a, 4);
		put(o, ev->down, 1);
		return 0;
	case LOG_INPUT_REL:
	case LOG_INPUT_ABS:
		put(o, ev->a, 4);
		put(o, ev->value, 8);
		return 0;
	default: return -EINVAL;
	}
}

static int encode_async(struct out *o, const struct log_event *ev)
{
	if (ev->sub >= LOG_CP_COUNT)
		return -EINVAL;
	put(o, ev->sub, 1);
	put(o, ev->kind, 1);
	switch (ev->kind) {
	case LOG_ASYNC_BH:
	case LOG_ASYNC_BLOCK: put(o, ev->value, 8); return 0;
	case LOG_ASYNC_INPUT: return encode_input(o, ev);
	case LOG_ASYNC_INPUT_SYNC: return 0;
	case LOG_ASYNC_CHAR_READ:
		put(o, ev->dev, 1);
		put_array(o, ev->data, ev->len);
		return 0;
	case LOG_ASYNC_NET:
		put(o, ev->dev, 1);
		put(o, ev->a, 4);
		put_array(o, ev->data, ev->len);
		return 0;
	default: return -EINVAL;
	}
}

/* AUDIO_IN: a samples of two u64 (left, right), which data holds as they are in the log, and the
 * write position b. */
static int encode_audio_in(struct out *o, const struct log_event *ev)
{
	if ((uint64_t)ev->a * 16 != ev->len)
		return -EINVAL;
	put(o, ev->a, 4);
	put(o, ev->b, 4);
	put_bytes(o, ev->data, ev->len);
	return 0;
}

static int encode_ext(struct out *o, const struct log_event *ev)
{
	size_t at = o->len;

	put(o, 0, 4);
	switch (ev->id) {
	case LOG_WARP: put(o, ev->value, 8); break;
	case LOG_REQUEST:
		if (ev->kind >= LOG_REQUEST_COUNT)
			return -EINVAL;
		put(o, ev->kind, 1);
		if (ev->kind == LOG_REQUEST_BREAK)
			put(o, ev->dev, 1);
		break;
	case LOG_CPU_MARK:
		for (int i = 0; i < CPU_MARK_COUNT; i++)
			put(o, ev->mark[i], 4);
		break;
	case LOG_OUTPUT:
		if (ev->len == 0)
			return -EINVAL;
		put(o, ev->dev, 1);
		put_bytes(o, ev->data, ev->len);
		break;
	case LOG_SNAPSHOT:
	case LOG_RESTART: put_array(o, ev->data, ev->len); break;
	case LOG_BLOCK_ERROR:
		put(o, ev->value, 8);
		put(o, ev->a, 4);
		put(o, ev->done, 8);
		break;
	default: put_bytes(o, ev->data, ev->len); break;
	}
	if (!o->full) {
		struct out hole = { o->buf + at, 0, 4, false };

		put(&hole, o->len - at - 4, 4);
	}
	return 0;
}

int log_event_encode(const struct log_event *ev, uint8_t *buf, size_t cap)
{
	const struct row *row = &rows[ev->id];
	struct out o = { buf, 0, cap < LOG_EVENT_MAX ? cap : LOG_EVENT_MAX, false };
	int ret = 0;

	if (ev->id == LOG_SHUTDOWN) {
		if (ev->sub >= SHUTDOWN_COUNT)
			return -EINVAL;
		put(&o, LOG_SHUTDOWN + ev->sub, 1);
	} else if (ev->id == LOG_CHECKPOINT) {
		if (ev->sub >= LOG_CP_COUNT)
			return -EINVAL;
		put(&o, LOG_CHECKPOINT + ev->sub, 1);
	} else if (ev->id >= LOG_EXT_FIRST) {
		put(&o, ev->id, 1);
		ret = encode_ext(&o, ev);
	} else if (!row->name) {
		return -EINVAL;
	} else {
		put(&o, ev->id, 1);
		if (ev->id == LOG_ASYNC)
			ret = encode_async(&o, ev);
		else if (ev->id == LOG_AUDIO_IN)
			ret = encode_audio_in(&o, ev);
		else if (!strcmp(row->args, "44")) {
			put(&o, ev->a, 4);
			put(&o, ev->b, 4);
		} else if (row->args[0] == '4')
			put(&o, ev->a, 4);
		else if (row->args[0] == '8')
			put(&o, ev->value, 8);
		else if (row->args[0] == 'A')
			put_array(&o, ev->data, ev->len);
	}
	if (ret < 0)
		return ret;
	return o.full ? -EMSGSIZE : (int)o.len;
}

/* ---- decoding ---- */

/* A cursor that remembers whether it ran out of bytes; what it returns then is 0 and must not be
 * believed. */
struct in {
	const uint8_t *buf;
	size_t pos, len;
	bool dry;
};

static uint64_t get(struct in *i, int n)
{
	uint64_t v;

	if (i->len - i->pos < (size_t)n) {
		i->dry = true;
		i->pos = i->len;
		return 0;
	}
	v = be(i->buf + i->pos, n);
	i->pos += (size_t)n;
	return v;
}

static const uint8_t *get_bytes(struct in *i, size_t n)
{
	const uint8_t *p = i->buf + i->pos;

	if (i->len - i->pos < n) {
		i->dry = true;
		i->pos = i->len;
		return NULL;
	}
	i->pos += n;
	return p;
}

static int get_array(struct in *i, struct log_event *ev, struct error *err)
{
	uint32_t n = (uint32_t)get(i, 4);

	if (i->dry)
		return 0;
	if (n > LOG_EVENT_MAX - 64)
		return error_set(err, EBADMSG, "an array of %u bytes, at most %u were expected", n,
			LOG_EVENT_MAX - 64);
	ev->data = get_bytes(i, n);
	ev->len = n;
	return 0;
}

static int decode_input(struct in *i, struct log_event *ev, struct error *err)
{
	uint32_t kind = (uint32_t)get(i, 4);

	if (i->dry)
		return 0;
	if (kind >= LOG_INPUT_COUNT)
		return error_set(err, EBADMSG, "input of kind %u, 0 to %u were expected", kind,
			LOG_INPUT_COUNT - 1);
	ev->input = (uint8_t)kind;
	ev->a = (uint32_t)get(i, 4);
	if (kind == LOG_INPUT_KEY) {
		if (!i->dry && ev->a > LOG_KEY_QCODE)
			return error_set(err, EBADMSG,
				"a key given by a code of kind %u, 0 or 1 was expected", ev->a);
		ev->value = get(i, ev->a == LOG_KEY_NUMBER ? 8 : 4);
	}
	if (kind == LOG_INPUT_KEY || kind == LOG_INPUT_BTN)
		ev->down = (uint8_t)get(i, 1);
	else
		ev->value = get(i, 8);
	return 0;
}

static int decode_async(struct in *i, struct log_event *ev, struct error *err)
{
	ev->sub = (uint8_t)get(i, 1);
	if (!i->dry && ev->sub >= LOG_CP_COUNT)
		return error_set(err, EBADMSG,
			"async event at checkpoint %u, 0 to %u were expected", ev->sub,
			LOG_CP_COUNT - 1);
	ev->kind = (uint8_t)get(i, 1);
	if (i->dry)
		return 0;
	switch (ev->kind) {
	case LOG_ASYNC_BH:
	case LOG_ASYNC_BLOCK: ev->value = get(i, 8); return 0;
	case LOG_ASYNC_INPUT: return decode_input(i, ev, err);
	case LOG_ASYNC_INPUT_SYNC: return 0;
	case LOG_ASYNC_CHAR_READ: ev->dev = (uint8_t)get(i, 1); return get_array(i, ev, err);
	case LOG_ASYNC_NET:
		ev->dev = (uint8_t)get(i, 1);
		ev->a = (uint32_t)get(i, 4);
		return get_array(i, ev, err);
	default:
		return error_set(err, EBADMSG, "async event of kind %u, 0 to %u were expected",
			ev->kind, LOG_ASYNC_COUNT - 1);
	}
}

static int decode_audio_in(struct in *i, struct log_event *ev, struct error *err)
{
	ev->a = (uint32_t)get(i, 4);
	ev->b = (uint32_t)get(i, 4);
	if (!i->dry && ev->a > (LOG_EVENT_MAX - 64) / 16)
		return error_set(err, EBADMSG, "%u audio samples, at most %u were expected", ev->a,
			(LOG_EVENT_MAX - 64) / 16);
	if (!i->dry) {
		ev->len = ev->a * 16;
		ev->data = get_bytes(i, ev->len);
	}
	return 0;
}

static int check_config(const uint8_t *p, size_t n, struct error *err)
{
	struct log_config_item it;
	size_t pos = 0;
	int ret;

	while ((ret = log_config_next(p, n, &pos, &it)) == 1)
		;
	return ret < 0 ? error_set(err, EBADMSG,
				 "the items of a config event do not fill its %zu bytes", n)
		       : 0;
}

static int check_digest(const uint8_t *p, size_t n, struct error *err)
{
	struct digest_item it;
	size_t pos = 0;
	int ret;

	while ((ret = digest_next(p, n, &pos, &it)) == 1)
		;
	return ret < 0 ? error_set(err, EBADMSG,
				 "a malformed item %zu bytes into a digest of %zu bytes", pos, n)
		       : 0;
}

/* The payload of our own events. What we do not know is kept as it is; what we know must fill its
 * payload exactly. */
static int decode_payload(struct in *i, struct log_event *ev, struct error *err)
{
	ev->data = i->buf;
	ev->len = (uint32_t)i->len;
	switch (ev->id) {
	case LOG_CONFIG: return check_config(ev->data, ev->len, err);
	case LOG_DIGEST: return check_digest(ev->data, ev->len, err);
	case LOG_WARP: ev->value = get(i, 8); break;
	case LOG_REQUEST:
		ev->kind = (uint8_t)get(i, 1);
		if (!i->dry && ev->kind >= LOG_REQUEST_COUNT)
			return error_set(err, EBADMSG, "request of kind %u, 0 to %u were expected",
				ev->kind, LOG_REQUEST_COUNT - 1);
		if (ev->kind == LOG_REQUEST_BREAK)
			ev->dev = (uint8_t)get(i, 1);
		break;
	case LOG_CPU_MARK:
		for (int k = 0; k < CPU_MARK_COUNT; k++)
			ev->mark[k] = (uint32_t)get(i, 4);
		break;
	case LOG_OUTPUT:
		if (ev->len < 2)
			i->dry = true;
		ev->dev = (uint8_t)get(i, 1);
		ev->data = i->buf + i->pos;
		ev->len = (uint32_t)(i->len - i->pos);
		return i->dry ? error_set(err, EBADMSG, "an output event without bytes") : 0;
	case LOG_SNAPSHOT:
	case LOG_RESTART: {
		int ret = get_array(i, ev, err);

		if (ret < 0)
			return ret;
		break;
	}
	case LOG_BLOCK_ERROR:
		ev->value = get(i, 8);
		ev->a = (uint32_t)get(i, 4);
		ev->done = get(i, 8);
		break;
	default: return 0;
	}
	if (i->dry || i->pos != i->len)
		return error_set(err, EBADMSG,
			"a %s event with %zu bytes of payload, which is not its size",
			log_event_name(ev->id), i->len);
	return 0;
}

static int decode_ext(struct in *i, struct log_event *ev, struct error *err)
{
	uint32_t n = (uint32_t)get(i, 4);
	struct in body = { NULL, 0, n, false };

	if (i->dry)
		return 0;
	if (n > LOG_EVENT_MAX - 5)
		return error_set(err, EBADMSG,
			"%s event (id %u) with a payload of %u bytes, at most %u were expected",
			log_event_name(ev->id), ev->id, n, LOG_EVENT_MAX - 5);
	body.buf = get_bytes(i, n);
	return i->dry ? 0 : decode_payload(&body, ev, err);
}

int log_event_decode(const uint8_t *buf, size_t len, struct log_event *ret, struct error *err)
{
	struct in i = { buf, 0, len, false };
	struct log_event *ev = ret;
	const struct row *row;
	int r = 0;

	memset(ev, 0, sizeof(*ev));
	ev->id = (uint8_t)get(&i, 1);
	if (i.dry)
		return 0;
	if (ev->id >= LOG_SHUTDOWN && ev->id < LOG_SHUTDOWN + SHUTDOWN_COUNT) {
		ev->sub = ev->id - LOG_SHUTDOWN;
		ev->id = LOG_SHUTDOWN;
	} else if (ev->id >= LOG_CHECKPOINT && ev->id < LOG_CHECKPOINT + LOG_CP_COUNT) {
		ev->sub = ev->id - LOG_CHECKPOINT;
		ev->id = LOG_CHECKPOINT;
	}
	row = &rows[ev->id];
	if (ev->id >= LOG_EXT_FIRST)
		r = decode_ext(&i, ev, err);
	else if (!row->name)
		return error_set(err, EBADMSG, "event id %u, which no event has", ev->id);
	else if (ev->id == LOG_ASYNC)
		r = decode_async(&i, ev, err);
	else if (ev->id == LOG_AUDIO_IN)
		r = decode_audio_in(&i, ev, err);
	else if (!strcmp(row->args, "44")) {
		ev->a = (uint32_t)get(&i, 4);
		ev->b = (uint32_t)get(&i, 4);
	} else if (row->args[0] == '4')
		ev->a = (uint32_t)get(&i, 4);
	else if (row->args[0] == '8')
		ev->value = get(&i, 8);
	else if (row->args[0] == 'A')
		r = get_array(&i, ev, err);
	if (r < 0)
		return r;
	if (i.dry)
		return 0;
	ev->size = (uint32_t)i.pos;
	return (int)i.pos;
}

/* ---- header and chunks ---- */

void log_header_encode(uint8_t buf[LOG_HEADER_LEN], uint32_t version, uint64_t reserved)
{
	struct out o = { buf, 0, LOG_HEADER_LEN, false };

	put(&o, version, 4);
	put(&o, reserved, 8);
}

void log_header_decode(
	const uint8_t buf[LOG_HEADER_LEN], uint32_t *ret_version, uint64_t *ret_reserved)
{
	*ret_version = (uint32_t)be(buf, 4);
	*ret_reserved = be(buf + 4, 8);
}

/* CRC-32 (zlib's) of the header but its last field, and of the stored bytes. */
static uint32_t chunk_crc(const uint8_t *hdr, const uint8_t *stored, size_t len)
{
	uLong crc = crc32(0, hdr, LOG_CHUNK_HDR_LEN - 4);

	return (uint32_t)crc32(crc, stored, (uInt)len);
}

long log_chunk_build(const uint8_t *raw, size_t raw_len, uint64_t start_icount,
	uint64_t start_event, uint8_t *out, size_t cap)
{
	struct out o = { out, 0, LOG_CHUNK_HDR_LEN, false };
	uLongf stored_len;

	if (raw_len == 0 || raw_len > LOG_CHUNK_RAW_MAX || cap < LOG_CHUNK_DISK_MAX)
		return -EINVAL;
	stored_len = (uLongf)(cap - LOG_CHUNK_HDR_LEN);
	if (compress2(out + LOG_CHUNK_HDR_LEN, &stored_len, raw, (uLong)raw_len, 6) != Z_OK)
		return -ENOMEM;
	put(&o, LOG_CHUNK_MAGIC, 4);
	put(&o, raw_len, 4);
	put(&o, stored_len, 4);
	put(&o, start_icount, 8);
	put(&o, start_event, 8);
	put(&o, chunk_crc(out, out + LOG_CHUNK_HDR_LEN, stored_len), 4);
	return (long)(LOG_CHUNK_HDR_LEN + stored_len);
}

int log_chunk_decode(const uint8_t buf[LOG_CHUNK_HDR_LEN], struct log_chunk *ret, struct error *err)
{
	uint32_t magic = (uint32_t)be(buf, 4);

	if (magic != LOG_CHUNK_MAGIC)
		return error_set(err, EBADMSG, "no chunk begins here: 0x%08x instead of 0x%08x",
			magic, LOG_CHUNK_MAGIC);
	ret->raw_len = (uint32_t)be(buf + 4, 4);
	ret->stored_len = (uint32_t)be(buf + 8, 4);
	ret->start_icount = be(buf + 12, 8);
	ret->start_event = be(buf + 20, 8);
	ret->crc = (uint32_t)be(buf + 28, 4);
	if (ret->raw_len == 0 || ret->raw_len > LOG_CHUNK_RAW_MAX)
		return error_set(err, EBADMSG, "a chunk with %u raw bytes, 1 to %u were expected",
			ret->raw_len, LOG_CHUNK_RAW_MAX);
	if (ret->stored_len == 0 || ret->stored_len > LOG_CHUNK_DISK_MAX - LOG_CHUNK_HDR_LEN)
		return error_set(err, EBADMSG,
			"a chunk with %u stored bytes, 1 to %u were expected", ret->stored_len,
			LOG_CHUNK_DISK_MAX - LOG_CHUNK_HDR_LEN);
	return 0;
}

int log_chunk_open(const uint8_t hdr[LOG_CHUNK_HDR_LEN], const struct log_chunk *c,
	const uint8_t *stored, uint8_t *raw, struct error *err)
{
	uint32_t crc = chunk_crc(hdr, stored, c->stored_len);
	uLongf n = c->raw_len;
	int ret;

	if (crc != c->crc)
		return error_set(err, EBADMSG,
			"the chunk's CRC-32 is 0x%08x, its header says 0x%08x", crc, c->crc);
	ret = uncompress(raw, &n, stored, c->stored_len);
	if (ret == Z_MEM_ERROR)
		return error_set(err, ENOMEM, "no memory to inflate a chunk");
	if (ret != Z_OK || n != c->raw_len)
		return error_set(err, EBADMSG,
			"the chunk's %u bytes do not inflate to the %u that its header says",
			c->stored_len, c->raw_len);
	return 0;
}

/* ---- CONFIG ---- */

int log_config_put(uint8_t *buf, size_t cap, size_t *len, const char *key, const char *value)
{
	size_t klen = strlen(key), vlen = strlen(value);
	struct out o = { buf, *len, cap, false };
	struct out count = { buf, 0, 4, false };

	if (klen > UINT16_MAX || vlen > UINT16_MAX || cap < 4)
		return -EMSGSIZE;
	if (o.len == 0)
		put(&o, 0, 4);
	put_array(&o, key, (uint32_t)klen);
	put_array(&o, value, (uint32_t)vlen);
	if (o.full)
		return -EMSGSIZE;
	put(&count, be(buf, 4) + 1, 4);
	*len = o.len;
	return 0;
}

int log_config_next(const uint8_t *buf, size_t len, size_t *pos, struct log_config_item *ret)
{
	struct in i = { buf, *pos, len, false };
	uint64_t count;

	if (len < 4)
		return -EBADMSG;
	count = be(buf, 4);
	if (i.pos == 0)
		i.pos = 4;
	if (i.pos == len) {
		/* The end: the items must be as many as the count says. Each has at least 8 bytes,
		 * so this is bounded. */
		struct in all = { buf, 4, len, false };
		uint64_t n = 0;

		for (; all.pos < len; n++) {
			get_bytes(&all, get(&all, 4));
			get_bytes(&all, get(&all, 4));
		}
		return n == count ? 0 : -EBADMSG;
	}
	ret->key_len = (uint32_t)get(&i, 4);
	ret->key = (const char *)get_bytes(&i, ret->key_len);
	ret->value_len = (uint32_t)get(&i, 4);
	ret->value = (const char *)get_bytes(&i, ret->value_len);
	if (i.dry)
		return -EBADMSG;
	*pos = i.pos;
	return 1;
}
