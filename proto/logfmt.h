/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log's format (docs/log-format.md): events, header and chunks, to and from bytes. Pure: no
 * files, no heap, no clocks.
 *
 * A decoded event is one flat structure; which of its fields count is said by the row of
 * log_events.def. Everything that is decoded is hostile: a decoder reads nothing outside (buf,
 * len), bounds every length before it is used, and says what it expected.
 */
#ifndef DEJAVM_LOGFMT_H
#define DEJAVM_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "segments.h"

#define LOG_VERSION	   UINT32_C(0x00e02007)
#define LOG_HEADER_LEN	   12
#define LOG_CHUNK_MAGIC	   UINT32_C(0x444a434b) /* "DJCK" */
#define LOG_CHUNK_HDR_LEN  32
#define LOG_CHUNK_RAW_MAX  (1024u * 1024)
#define LOG_CHUNK_DISK_MAX (LOG_CHUNK_RAW_MAX + 4096u) /* a chunk never grows by more */
#define LOG_CHUNK_CLOSE	   (64u * 1024)	 /* a writer closes a chunk that has as many raw bytes */
#define LOG_EVENT_MAX	   (256u * 1024) /* bytes of one event, id and lengths included */
#define LOG_EXT_FIRST	   128

enum log_encoding { LOG_PLAIN, LOG_CHUNKED };

enum log_id {
#define LOG_EVENT(id, name, text, args) LOG_##name = id,
#include "log_events.def"
#undef LOG_EVENT
};

/* log_event.kind of ASYNC */
#define LOG_ASYNC_KINDS(X)          \
	X(BH, "bh")                 \
	X(INPUT, "input")           \
	X(INPUT_SYNC, "input-sync") \
	X(CHAR_READ, "char-read")   \
	X(BLOCK, "block")           \
	X(NET, "net")

enum log_async {
#define X(n, s) LOG_ASYNC_##n,
	LOG_ASYNC_KINDS(X)
#undef X
		LOG_ASYNC_COUNT
};

/* log_event.input of ASYNC INPUT */
enum log_input { LOG_INPUT_KEY, LOG_INPUT_BTN, LOG_INPUT_REL, LOG_INPUT_ABS, LOG_INPUT_COUNT };
/* log_event.a of a key: how its code is meant */
enum log_key { LOG_KEY_NUMBER, LOG_KEY_QCODE };

#define LOG_CHECKPOINTS(X)                             \
	X(WARP_START, "warp-start")                    \
	X(WARP_ACCOUNT, "warp-account")                \
	X(RESET_REQUESTED, "reset-requested")          \
	X(SUSPEND_REQUESTED, "suspend-requested")      \
	X(CLOCK_VIRTUAL, "clock-virtual")              \
	X(CLOCK_HOST_TIMERS, "clock-host")             \
	X(CLOCK_VIRTUAL_RT_TIMERS, "clock-virtual-rt") \
	X(INIT, "init")                                \
	X(RESET, "reset")

enum log_checkpoint {
#define X(n, s) LOG_CP_##n,
	LOG_CHECKPOINTS(X)
#undef X
		LOG_CP_COUNT
};

/* log_event.kind of REQUEST */
#define LOG_REQUESTS(X)           \
	X(RESET, "reset")         \
	X(POWERDOWN, "powerdown") \
	X(NMI, "nmi")             \
	X(BREAK, "serial-break")

enum log_request {
#define X(n, s) LOG_REQUEST_##n,
	LOG_REQUESTS(X)
#undef X
		LOG_REQUEST_COUNT
};

struct log_event {
	/* set by readers: where the event lies */
	uint64_t number; /* entry of the log, from 0; INSTRUCTION counts as one */
	uint64_t icount;
	uint64_t offset; /* in the plain stream of events, header not counted */
	uint32_t size;	 /* encoded bytes */

	uint8_t id;   /* enum log_id, or an unknown id from LOG_EXT_FIRST up */
	uint8_t sub;  /* SHUTDOWN: cause. CHECKPOINT and ASYNC: enum log_checkpoint */
	uint8_t kind; /* ASYNC: enum log_async. REQUEST: enum log_request */
	uint8_t dev;  /* CHAR_READ: device. NET: card. OUTPUT, serial-break: stream */
	uint8_t input, down;
	uint32_t a; /* INSTRUCTION: count. CHAR_WRITE: result. errors. AUDIO. NET: flags. INPUT: key
		       type, button, axis */
	uint32_t b; /* CHAR_WRITE: offset. AUDIO_IN: write position */
	uint64_t value; /* BH, BLOCK, BLOCK_ERROR: id. CLOCK, WARP: ns. INPUT: code of a key, two's
			   complement of a delta */
	uint64_t done;	/* BLOCK_ERROR: bytes */
	uint32_t mark[CPU_MARK_COUNT];
	/* The array, or the payload (CONFIG, DIGEST, unknown ids); points into the caller's buffer.
	 */
	const uint8_t *data;
	uint32_t len;
};

/* Encodes ev to at most cap bytes. Returns its length, -EINVAL for an event that cannot be,
 * -EMSGSIZE if cap or LOG_EVENT_MAX is too small. */
int log_event_encode(const struct log_event *ev, uint8_t *buf, size_t cap);
/*
 * Decodes the event at buf. Returns its length, 0 if it does not end within len (and may still be a
 * good one), -EBADMSG with a sentence in *err. *ret is undefined then. number, icount and offset
 * are left to the caller.
 */
int log_event_decode(const uint8_t *buf, size_t len, struct log_event *ret, struct error *err);

/* "async", "config", ... or "unknown" */
const char *log_event_name(uint8_t id);
const char *log_async_name(uint8_t kind);
const char *log_checkpoint_name(uint8_t id);
const char *log_cause_name(uint8_t cause);
const char *log_request_name(uint8_t kind);

void log_header_encode(uint8_t buf[LOG_HEADER_LEN], uint32_t version, uint64_t reserved);
void log_header_decode(
	const uint8_t buf[LOG_HEADER_LEN], uint32_t *ret_version, uint64_t *ret_reserved);

struct log_chunk {
	uint32_t raw_len;    /* 1..LOG_CHUNK_RAW_MAX */
	uint32_t stored_len; /* 1..LOG_CHUNK_DISK_MAX - LOG_CHUNK_HDR_LEN */
	uint64_t start_icount, start_event;
	uint32_t crc;
};

/*
 * Builds a whole chunk of raw_len bytes of events at out (cap at least LOG_CHUNK_DISK_MAX). Returns
 * its length on disk, -EINVAL for a raw length out of range, -ENOMEM.
 */
long log_chunk_build(const uint8_t *raw, size_t raw_len, uint64_t start_icount,
	uint64_t start_event, uint8_t *out, size_t cap);
/* Decodes and checks the bounds of a chunk header. 0 or -EBADMSG. */
int log_chunk_decode(
	const uint8_t buf[LOG_CHUNK_HDR_LEN], struct log_chunk *ret, struct error *err);
/* Checks the CRC and inflates the stored bytes of a chunk to raw (raw_len bytes). 0, -EBADMSG or
 * -ENOMEM. */
int log_chunk_open(const uint8_t hdr[LOG_CHUNK_HDR_LEN], const struct log_chunk *c,
	const uint8_t *stored, uint8_t *raw, struct error *err);

/* CONFIG's payload. put: appends key and value at *len; -EMSGSIZE. next: 1 an item, 0 the end,
 * -EBADMSG. */
struct log_config_item {
	const char *key, *value; /* not NUL-terminated */
	uint32_t key_len, value_len;
};
int log_config_put(uint8_t *buf, size_t cap, size_t *len, const char *key, const char *value);
int log_config_next(const uint8_t *buf, size_t len, size_t *pos, struct log_config_item *ret);

#endif
