/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sequencer: orders the inputs of a run. It serves devices over the seq channel and the hub
 *over the host channel, in one thread. Where events come from and whether they are kept is a source
 *(struct source_ops): none, record and replay are three of them, and nothing else here asks which
 *it is.
 *
 * It knows nothing of the control socket, so that tests drive it over real channels: what it has to
 *tell goes into sequencer.result, and sequencer_run() returns.
 *
 *	sequencer_init(&s, &conf, &err);	what may fail for a reason of ours
 *	if (sequencer_open(&s) == 0)		else s.result says why the run cannot begin
 *		sequencer_run(&s);
 *	sequencer_done(&s);
 */
#ifndef DEJAVM_SEQUENCER_H
#define DEJAVM_SEQUENCER_H

#include "hostio.h"
#include "logfmt.h"
#include "ring.h"
#include "segments.h"
#include "seq.h"
#include "snapshot.pb-c.h"

/* Exit statuses of a run (docs/exit-status.md). */
enum run_status {
	RUN_OK = 0,
	RUN_FAILED = 1,
	RUN_CONFIG_DIFFERS = 2,
	RUN_DIVERGED = 3,
	RUN_LOG_CUT = 4,
	RUN_LOG_UNUSABLE = 5,
};

#define SEQUENCER_TEXT_MAX 8192
#define DIGEST_ITEMS_MAX   (LOG_EVENT_MAX - 64)
#define KEY_CODE_MAX	   0x2ff /* Linux's KEY_MAX */
#define INPUTS_MAX	   65536
#define INPUT_BYTES_MAX	   (4u * 1024 * 1024)
#define OUTPUT_BACKLOG_MAX (1024 * 1024)

struct config_item {
	const char *key, *value;
	/* what a value drive.N describes, for messages (proto/diskkey.h) */
	char *const *files;
	size_t n_files;
};

struct sequencer_conf {
	enum { SOURCE_NONE, SOURCE_RECORD, SOURCE_REPLAY } mode;
	bool sleep, realtime, marks_all, raw;
	const struct config_item *config; /* sorted by key */
	size_t n_config;
	const char *file_name; /* for messages */
	int log_fd; /* record: writable and seekable; replay: readable and seekable; the caller's */
	struct logtail *tail; /* record; zeroed */
	struct chan *seq, *host;
	struct chan *blk; /* to blkproxy; NULL: the machine has no disks */
	struct machine_page *machine;
	int wake_fd; /* an eventfd or pipe that ends sequencer_run()'s sleep, or -1; see
			sequencer_stop() */
	/* Called between requests, also after wake_fd became readable; NULL: nothing. */
	void (*between)(void *opaque);
	void *opaque;
};

/* An input as the hub sent it; an event as devices get it. */
struct input {
	struct input *next;
	uint32_t event; /* enum seq_event */
	uint32_t dev, a;
	int64_t b;
	/* SEQ_EV_BLOCK that failed: the log keeps how, devices hear it from blkproxy */
	uint32_t error;
	uint64_t done;
	uint32_t len;
	uint8_t data[];
};

struct sequencer_result {
	bool over;
	uint32_t exit_status; /* enum run_status */
	uint32_t cause;	      /* enum shutdown_cause */
	uint64_t icount, vtime_ns, events, log_bytes, digest;
	char text[SEQUENCER_TEXT_MAX];
};

struct sequencer;

/* What a source does with each request. Replies go out by sequencer_event() and
 * sequencer_done_reply(). */
struct source_ops {
	const char *name;
	size_t state_size;
	/* Before anything runs. Non-zero: it cannot begin, and sequencer_finish() has been called.
	 */
	int (*open)(struct sequencer *s);
	void (*close)(struct sequencer *s);
	void (*init)(struct sequencer *s, const struct seq_req *rq);
	/* after load(): where does the machine stop next? */
	void (*resume)(struct sequencer *s, const struct seq_req *rq);
	void (*take)(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark);
	/* Answers now, or leaves s->halt.open set with a wake time. */
	void (*halt)(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark);
	/* While a HALT is open: an input is queued, or the wake time has come. */
	void (*halt_wake)(struct sequencer *s, uint64_t now_ns);
	void (*clock)(struct sequencer *s, const struct seq_req *rq);
	/* before the answer, which is the sequencer's */
	void (*digest)(
		struct sequencer *s, const struct seq_req *rq, const uint8_t *items, uint32_t len);
	/* before it goes to the hub */
	void (*output)(
		struct sequencer *s, const struct seq_req *rq, const uint8_t *p, uint32_t len);
	void (*shutdown)(struct sequencer *s, const struct seq_req *rq);
	/* A process died: end the log. */
	void (*abandon)(struct sequencer *s, const char *text);
	/* Does this input of the hub count? Inputs that do not are dropped. */
	bool (*wants)(struct sequencer *s, const struct input *in);
	/* Between requests. Returns the host's monotonic ns at which it wants to be called again,
	 * or INT64_MAX. */
	int64_t (*tick)(struct sequencer *s, int64_t mono_ns);
	/* Snapshots (seq_state.c). Where the log stands, after a note in it of a snapshot of this
	 * name at this icount, if it is being written. 0 or -errno with *err. */
	int (*save)(struct sequencer *s, const char *name, uint64_t icount,
		Dejavm__ReplaylogState *ret, struct error *err);
	/* Could load() go there? Changes nothing. */
	int (*check)(struct sequencer *s, const Dejavm__ReplaylogState *st, struct error *err);
	void (*load)(struct sequencer *s, const Dejavm__ReplaylogState *st);
};

extern const struct source_ops source_none, source_record, source_replay;

struct sequencer {
	struct sequencer_conf conf;
	const struct source_ops *ops;
	void *state; /* the source's own */
	struct sequencer_result result;
	/* the machine, as far as it is known here */
	uint64_t icount, now_ns;
	uint64_t digest; /* of the last SEQ_DIGEST */
	bool init_seen;
	/* inputs that wait for a TAKE or a HALT, in order */
	struct input *inputs, **inputs_end;
	uint32_t n_inputs, input_bytes;
	uint64_t inputs_dropped;
	/* the HALT that has not been answered yet */
	struct {
		bool open;
		struct seq_req rq;
		uint32_t mark[CPU_MARK_COUNT];
		int64_t start_ns; /* host's monotonic; moved on by pauses, back by what is overslept
				   */
		uint64_t target_ns; /* virtual time at which to wake without input, or SEQ_NEVER */
	} halt;
	/*
	 * A snapshot is being made: a HALT is answered at once, as if nothing had happened, so that
	 * the vCPU stands between two instructions and no request is open. What the machine had
	 * slept by then counts when the same HALT comes again.
	 */
	bool held;
	struct {
		bool known;
		uint64_t icount, now_ns;
		int64_t slept_ns;
	} again;
	uint64_t next_told; /* next_icount of the last DONE */
	/* A moment at which virtual time and the host's were last seen to agree. */
	struct {
		bool known;
		int64_t host_ns;
		uint64_t virtual_ns;
	} pace;
	bool halts_free; /* SEQ_HALTS_FREE may be said */
	bool paused;
	int64_t paused_since_ns;
	/* records for the hub that its ring has no room for yet */
	struct outgoing *out, **out_end;
	size_t out_bytes;
	uint8_t *scratch; /* private copy of what a request brought */
	/* asked for by another thread */
	_Atomic int stop; /* enum sequencer_stop_why */
	char stop_text[512];
};

enum sequencer_stop_why { STOP_NOT, STOP_QUIT, STOP_ABANDON, STOP_HUB_DIED };

int sequencer_init(struct sequencer *s, const struct sequencer_conf *conf, struct error *err);
/* 0: the run may begin. Otherwise result is filled in. */
int sequencer_open(struct sequencer *s);
/* Serves until the run is over or sequencer_stop() is called. */
void sequencer_run(struct sequencer *s);
/* One round without sleeping. True if anything was done. */
bool sequencer_poll(struct sequencer *s);
/* From any thread: leave the loop (and end the log first, unless why is STOP_QUIT). text is for the
 * result. */
void sequencer_stop(struct sequencer *s, enum sequencer_stop_why why, const char *text);
void sequencer_done(struct sequencer *s);

/* ---- snapshots (seq_state.c), from the thread of sequencer_run() ---- */

#define REPLAYLOG_STATE_VERSION 1

void sequencer_hold(struct sequencer *s);
void sequencer_release(struct sequencer *s);
/* What devices have sent has been served when these return. *ret has been initialised; it is freed
 * with dejavm__replaylog_state__free_unpacked(). 0 or -errno with *err. */
int sequencer_save(struct sequencer *s, const char *name, uint64_t icount,
	Dejavm__ReplaylogState *ret, struct error *err);
int sequencer_check(struct sequencer *s, const Dejavm__ReplaylogState *st, struct error *err);
/* One that was checked. */
void sequencer_load(struct sequencer *s, const Dejavm__ReplaylogState *st);
/* Is this the HALT that was answered because of a snapshot, once more? */
bool sequencer_halts_again(const struct sequencer *s, const struct seq_req *rq);
/* Adds to *ret what was sent on stream. -ENOMEM. */
int stream_position_add(Dejavm__ReplaylogState *ret, unsigned stream, uint64_t sent);
/* For seq_state.c: serves what is in the rings. */
void sequencer_drain(struct sequencer *s);
void sequencer_tell_restored(struct sequencer *s);

/* ---- for sources ---- */

/* The run is over. The first call counts. fmt may be NULL when all went well. */
void sequencer_finish(struct sequencer *s, uint32_t exit_status, uint32_t cause, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
/* Sends an event to devices. */
void sequencer_event(struct sequencer *s, const struct input *in);
void sequencer_done_reply(struct sequencer *s, uint64_t next_icount, uint64_t value);
/* Answers the open HALT: virtual time goes on at value. */
void sequencer_halt_reply(struct sequencer *s, uint64_t next_icount, uint64_t value);
/* Leaves the HALT open until target_ns (virtual) or an input. */
void sequencer_halt_wait(
	struct sequencer *s, const struct seq_req *rq, const uint32_t *mark, uint64_t target_ns);
/* Virtual time that a halted machine has reached by now. */
uint64_t sequencer_halt_now(const struct sequencer *s, int64_t mono_ns);
/* Takes the first input off the queue; the caller frees it. NULL if there is none. */
struct input *sequencer_next_input(struct sequencer *s);
/* HALT's deadline, which is never before its now. */
uint64_t halt_deadline(const struct seq_req *rq);

/* Inputs as events of the log and back. from: -EINVAL if the event is none that devices know. */
void input_to_event(const struct input *in, struct log_event *ev);
int input_from_event(const struct log_event *ev, struct input **ret);

#endif
