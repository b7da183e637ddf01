/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line, parsed and checked. options_parse() only looks at text: it opens no
 * file and starts nothing, so that it can be tested alone.
 *
 *	struct options o;
 *	int r = options_parse(&o, argc, argv, &err);	0: go on, 1: help was shown, < 0: *err says
 *why
 *	...
 *	options_done(&o);
 */
#ifndef DEJAVM_HUB_OPTIONS_H
#define DEJAVM_HUB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blk.h"
#include "error.h"
#include "segments.h"

#define SERIAL_PORTS_MAX  4
#define MONITORS_MAX	  4
#define CHARDEVS_MAX	  32
#define DEVICES_MAX	  32
#define DEVICE_PROPS_MAX  8
#define TRACE_MAX	  32
#define ICOUNT_SHIFT_MAX  10
#define ICOUNT_SHIFT_AUTO 3 /* what shift=auto picks when it records */
#define DIGEST_LOG2_MIN	  10
#define DIGEST_LOG2_MAX	  40
#define DIGEST_LOG2	  27

enum chardev_kind {
	CHARDEV_NULL,
	CHARDEV_STDIO,
	CHARDEV_PTY,
	CHARDEV_FILE,
	CHARDEV_SOCKET,
	CHARDEV_KINDS
};

struct chardev_spec {
	char *id;
	enum chardev_kind kind;
	char *path;	   /* file, or unix socket */
	char *host, *port; /* tcp socket; host may be "" (any) */
	bool server, wait; /* socket */
	bool mux;	   /* Ctrl-A keys; may have several users */
	bool monitor;	   /* mon:...: one of them is a human monitor */
	bool signal;	   /* stdio: Ctrl-C makes a signal */
	bool append;	   /* file */
	bool nodelay;	   /* tcp */
	int n_users;
	char user[32]; /* who uses it, for messages */
};

/* device_type.flags */
#define DEVICE_CHARDEV 1 /* has (and needs) a character back end */
#define DEVICE_SERIAL  2 /* a serial port: its stream comes first and is called serialN */
#define DEVICE_DISK    4 /* is at a place of an IDE bus, and has (and needs) a drive */
#define DEVICE_CDROM   8 /* with DEVICE_DISK: a drive without a medium will do */

enum device_prop_kind {
	DEVICE_PROP_NUMBER,  /* min to max */
	DEVICE_PROP_TEXT,    /* printable, at most max bytes */
	DEVICE_PROP_IDE_BUS, /* "ide.0" to "ide.max" */
};

struct device_prop_type {
	const char *name, *help;
	uint64_t min, max;
	enum device_prop_kind kind;
};

struct device_type {
	const char *driver, *help;
	unsigned flags;
	struct device_prop_type props[DEVICE_PROPS_MAX + 1];
};

struct device_spec {
	const struct device_type *type;
	char *id; /* may be NULL */
	struct {
		const char *key;
		uint64_t value;
		char *text; /* NULL: it is a number */
	} props[DEVICE_PROPS_MAX];
	size_t n_props;
	char *drive_text;   /* drive=ID; NULL: not given */
	int drive;	    /* number (drive_plan.index), or -1 */
	char *chardev_text; /* as given: DEV of -serial, or "chardev:ID" */
	int chardev;	    /* index in options.chardevs, or -1 */
	int stream;	    /* number, or -1 */
	char stream_name[32];
};

#define ACCEL_TB_SIZE_MAX 1024 /* MiB */

#define VGAMEM_MIB 16 /* video memory, unless vgamem_mb= says otherwise */

#define DRIVE_SPECS_MAX	  32
#define DRIVE_INJECTS_MAX 8
#define IDE_BUSES	  2
#define IDE_UNITS	  2

enum drive_layer { DRIVE_IMAGE, DRIVE_BLKREPLAY, DRIVE_BLKDEBUG };
enum drive_cache { DRIVE_WRITEBACK, DRIVE_WRITETHROUGH, DRIVE_UNSAFE };

struct drive_inject {
	unsigned event; /* enum blk_op */
	uint64_t error; /* errno */
	bool has_sector, once;
	uint64_t sector;
};

/* A -drive (or -hda...): an image, or a layer over another -drive. */
struct drive_spec {
	char *option;	      /* as the user wrote it, for messages */
	char *id, *node_name; /* id: made up if not given */
	bool id_given;
	enum drive_layer layer;
	char *file, *format; /* DRIVE_IMAGE: NULL: no medium; by looking */
	char *image;	     /* else: what is below */
	char *overlay;
	bool none, cdrom;
	int index, bus, unit;	/* -1: not given */
	int snapshot, readonly; /* -1: not given */
	enum drive_cache cache;
	bool has_cache, ignore_discard;
	struct drive_inject inject[DRIVE_INJECTS_MAX];
	size_t n_inject;
	const struct drive_spec *below;
	char user[80]; /* who uses it, for messages; "": nobody */
};

/* A drive of the machine: what is behind a device's drive=. */
struct drive_plan {
	unsigned index;
	char *id;
	const struct drive_spec *image; /* NULL: no medium */
	const char *overlay;		/* writes go to this file */
	bool temporary;			/* or to one without a name */
	const char *kept; /* replaying: the recording's overlay=, which is only read */
	bool readonly, cdrom;
	enum drive_cache cache;
	bool ignore_discard;
	struct drive_inject inject[DRIVE_INJECTS_MAX];
	size_t n_inject;
};

enum vga_kind { VGA_DEFAULT, VGA_NONE, VGA_STD };
enum display_kind { DISPLAY_DEFAULT, DISPLAY_NONE, DISPLAY_CURSES, DISPLAY_VNC };

enum rr_mode { RR_OFF, RR_DO_RECORD, RR_DO_REPLAY };

struct options {
	/* machine */
	const char *machine, *cpu_model, *engine; /* static names */
	struct {
		bool has_thresh, one_insn, perf, window, window_always, share, return_stack;
		uint64_t thresh, budget, tb_size; /* 0: the engine's default */
	} accel;
	uint64_t ram_bytes;
	char *kernel, *initrd, *append, *bios;
	char *boot_order, *boot_once; /* NULL: the firmware's */
	bool boot_menu;
	/* disks */
	struct drive_spec drive_specs[DRIVE_SPECS_MAX];
	size_t n_drive_specs;
	struct drive_plan drives[BLK_DRIVES_MAX]; /* once resolved: by index */
	size_t n_drives;
	bool snapshot; /* no image is written */
	bool nodefaults, no_reboot, no_shutdown, start_paused;
	/* time */
	int shift; /* -1: auto */
	bool sleep;
	enum rr_mode rr;
	char *rr_file;
	bool rr_marks_all, rr_raw, replay_realtime;
	int digest_log2; /* -1: not given */
	enum { RTC_UTC, RTC_LOCALTIME, RTC_DATE } rtc;
	int64_t rtc_s; /* RTC_DATE: seconds since 1970 UTC */
	/* character devices */
	char *serial_text[SERIAL_PORTS_MAX];
	size_t n_serial;
	struct chardev_spec chardevs[CHARDEVS_MAX];
	size_t n_chardevs;
	struct device_spec devices[DEVICES_MAX]; /* in machine order once resolved */
	size_t n_devices;
	size_t n_streams;
	bool nographic;
	/* display */
	enum vga_kind vga;
	enum display_kind display;
	struct chardev_spec vnc_spec; /* DISPLAY_VNC */
	bool vnc_password;
	/* management */
	struct {
		char *text;  /* -monitor's DEV */
		int chardev; /* index in chardevs */
	} monitors[MONITORS_MAX];
	size_t n_monitors;
	char *snapshots; /* file of a machine without disks; NULL: none, or beside the log */
	char *loadvm, *rr_snapshot;
	bool qmp;
	struct chardev_spec qmp_spec;
	char *name, *log_file, *stats_file, *run_dir;
	int log_level; /* enum log_level, or -1: as it is */
	char *trace[TRACE_MAX];
	size_t n_trace;
	char *debug_items;	/* comma-separated, for the processes; may be NULL */
	char *wrap[PROC_COUNT]; /* command, "none", or NULL */
	bool no_restart, no_sandbox;
	bool ignored_flag;
};

int options_parse(struct options *o, int argc, char **argv, struct error *err);
void options_done(struct options *o);
void options_print_help(void);

/* ---- shared by the opt_*.c files ---- */

/* Handlers of OPTION_FN rows: 0, 1 (something was shown: leave), or -errno with *err. name is as
 * the user wrote it. */
#define OPTION_HANDLER(fn) \
	int option_##fn(struct options *o, const char *name, const char *arg, struct error *err)
#define OPTION_HEAD(text)
#define OPTION_FLAG(name, alias, field, help)
#define OPTION_STR(name, alias, arg, field, help)
#define OPTION_FN(name, alias, arg, fn, help) OPTION_HANDLER(fn);
/* Rows may share a handler: the repeated declarations are harmless. */
#include "options.def"
#undef OPTION_HEAD
#undef OPTION_FLAG
#undef OPTION_STR
#undef OPTION_FN

/* Replaces *field by a copy of value. 0 or -ENOMEM with *err. */
int option_set_string(char **field, const char *value, struct error *err);
/* -EINVAL: "NAME: there is no KIND 'word'", with what exists and what was probably meant. */
int option_no_such(struct error *err, const char *name, const char *kind, const char *word,
	const char *const *exist);

/* Parses -chardev's text ("socket,id=x,path=...") into *ret. */
int chardev_spec_parse(struct chardev_spec *ret, const char *text, struct error *err);
/*
 * Parses the short form ("unix:PATH,server=on", "mon:stdio", ...) into *ret, whose id becomes `id`.
 * origin names the option for messages. "none" and "chardev:ID" are the caller's.
 */
int chardev_spec_parse_short(struct chardev_spec *ret, const char *origin, const char *text,
	const char *id, struct error *err);
void chardev_spec_done(struct chardev_spec *s);
const char *chardev_kind_name(enum chardev_kind k);

/* Parses -device's text into *ret; 1: help was shown. */
int device_spec_parse(struct device_spec *ret, const char *text, struct error *err);
void device_spec_done(struct device_spec *d);
const struct device_type *device_type_find(const char *driver);
int device_spec_set(struct device_spec *d, const char *key, uint64_t value);
/* Whether property key was given, and its value. */
bool device_spec_get(const struct device_spec *d, const char *key, uint64_t *ret);

/* Adds a device; *d becomes the options' on success, and is freed if not. */
int option_add_device(
	struct options *o, const char *name, struct device_spec *d, struct error *err);

void drive_spec_done(struct drive_spec *s);
/* A word that is no option: QEMU takes it for the first disk. */
int option_disk(struct options *o, const char *file, struct error *err);
/* Part of options_resolve(): places of disks, and what is behind each of them. */
int options_resolve_drives(struct options *o, struct error *err);

/* After all options: default devices, chardev users, streams, contradictions. */
int options_resolve(struct options *o, struct error *err);

/* Part of it: the default display adapter, and what contradicts it. */
int options_resolve_display(struct options *o, struct error *err);
/* Video memory, and what is behind it (proto/display.h), of the machine that the options make; 0:
 * there is no display adapter. */
uint64_t options_vram_bytes(const struct options *o);

#endif
