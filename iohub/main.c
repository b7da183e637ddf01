/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-hub: takes the command line, makes what the processes share, starts them and looks after
 * them until the run ends. docs/hub.md tells how.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"
#include "hostio.h"
#include "bus.h"
#include "hub.h"
#include "log.h"
#include "seq.h"

#define ROM_LEN \
	(16u << 20) /* the largest firmware image; memory that is not touched costs nothing */

static struct hub hub;

/* ---- shared memory ---- */

struct segment_size {
	const char *name;
	uint64_t len;
};

static int make_segments(struct error *err)
{
	const struct chan_geometry bus = { BUS_NSLOTS, BUS_ARENA_LEN, BUS_NSLOTS, BUS_ARENA_LEN };
	const struct chan_geometry seq = { SEQ_NSLOTS, SEQ_ARENA_LEN, SEQ_NSLOTS, SEQ_ARENA_LEN };
	const struct chan_geometry host = { HOSTIO_NSLOTS, HOSTIO_ARENA_LEN, HOSTIO_NSLOTS,
		HOSTIO_ARENA_LEN };
	const struct chan_geometry blk = { BLK_NSLOTS, 0, BLK_NSLOTS, 0 };
	const struct chan_geometry blkseq = { BLKSEQ_NSLOTS, 0, BLKSEQ_NSLOTS, 0 };
	const uint64_t ram = hub.opt.ram_bytes, vram = options_vram_bytes(&hub.opt);
	const struct segment_size sizes[] = {
		{ "machine", sizeof(struct machine_page) },
		{ "ram", ram + vram },
		{ "rom", ROM_LEN },
		{ "cpustate", sizeof(struct cpu_state_page) },
		{ "memmap", sizeof(struct memmap_page) },
		{ "codemap", ((ram + vram) / 4096 + 7) / 8 },
		{ "display", sizeof(struct display_page) },
		{ "chan-bus-vcpu", chan_segment_size(&bus, true) },
		{ "chan-bus-devices", chan_segment_size(&bus, false) },
		{ "chan-seq-devices", chan_segment_size(&seq, true) },
		{ "chan-seq-replaylog", chan_segment_size(&seq, false) },
		{ "chan-host-hub", chan_segment_size(&host, true) },
		{ "chan-host-replaylog", chan_segment_size(&host, false) },
		{ "logtail", sizeof(struct logtail) },
		/* From here on: only with disks. */
		{ "blkout", BLK_DATA_LEN },
		{ "blkin", BLK_DATA_LEN },
		{ "blkflight", sizeof(struct blk_flight) },
		{ "chan-blk-devices", chan_segment_size(&blk, true) },
		{ "chan-blk-blkproxy", chan_segment_size(&blk, false) },
		{ "chan-blkseq-blkproxy", chan_segment_size(&blkseq, true) },
		{ "chan-blkseq-replaylog", chan_segment_size(&blkseq, false) },
	};
	const size_t n = sizeof(sizes) / sizeof(sizes[0]) - (hub.opt.n_drives ? 0 : 7);
	static const char *const bells[] = { "bell-hub", "bell-vcpu", "bell-devices",
		"bell-replaylog" };
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		r = shm_add_memory(&hub.shm, sizes[i].name, sizes[i].len, err);
	for (size_t i = 0; i < sizeof(bells) / sizeof(bells[0]) && !r; i++)
		r = shm_add_bell(&hub.shm, bells[i], err);
	if (!r && hub.opt.n_drives)
		r = shm_add_bell(&hub.shm, "bell-blkproxy", err);
	if (r)
		return r;
	hub.machine = shm_map(&hub.shm, "machine", true, err);
	/* Writable: when replaylog is dead, we end the log in its place. */
	hub.logtail = shm_map(&hub.shm, "logtail", true, err);
	if (!hub.machine || !hub.logtail)
		return -err->code;
	if (hub.opt.n_drives)
		hub.blkflight = shm_map(&hub.shm, "blkflight", false, err);
	return hub.blkflight || !hub.opt.n_drives ? 0 : -err->code;
}

/* ---- set-up and end ---- */

static int open_qmp(struct error *err)
{
	int fd;

	if (!hub.opt.qmp)
		return 0;
	fd = chardev_listen(&hub.opt.qmp_spec, hub.qmp_name, sizeof(hub.qmp_name), err);
	if (fd < 0)
		return error_prefix(err, "-qmp");
	return shm_add_fd(&hub.shm, "qmp-listen", fd, 0, err);
}

static int open_log_file(struct error *err)
{
	if (!hub.opt.log_file)
		return 0;
	hub.log_fd =
		open(hub.opt.log_file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	if (hub.log_fd < 0)
		return error_set(err, errno, "-D %s: cannot open it for writing: %s",
			hub.opt.log_file, strerror(errno));
	return 0;
}

static int make_event_base(struct error *err)
{
	struct event_config *cfg = event_config_new();

	/* Standard input may be a file, which epoll does not take. */
	event_config_require_features(cfg, EV_FEATURE_FDS);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	hub.base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return hub.base ? 0 : error_set(err, ENOSYS, "libevent offers no usable event loop");
}

static int setup(struct error *err)
{
	int r;

	if ((r = make_event_base(err)) || (r = open_log_file(err)))
		return r;
	/* Everything that can be wrong with files is found before anything starts. */
	if ((r = config_build(&hub.config, &hub.opt, &hub.shm, err)) ||
		(r = rundir_open(&hub.rundir, hub.opt.run_dir, err)) || (r = make_segments(err)) ||
		(r = open_qmp(err)) || (r = display_open(&hub, err)) ||
		(r = snapshots_open(&hub, err)) || (r = disks_open(&hub, err)))
		return r;
	life_init(&hub);
	introductions_open(&hub);
	if ((r = hostlink_open(&hub, err)) || (r = watch_open(&hub, err)) ||
		(r = processes_start(&hub, err)))
		return r;
	/* With disks, when their images have been opened. */
	if (!hub.opt.n_drives && (r = config_clear_log(&hub.opt, &hub.shm, err)))
		return r;
	hostlink_say_waiting(&hub);
	return 0;
}

static void cleanup(void)
{
	if (hub.opt.qmp && hub.opt.qmp_spec.path && hub.qmp_name[0])
		unlink(hub.opt.qmp_spec.path);
	display_close(&hub);
	snapshots_close(&hub);
	disks_close(&hub);
	watch_close(&hub);
	rundir_close(&hub.rundir);
	shm_done(&hub.shm);
	config_done(&hub.config);
	if (hub.base)
		event_base_free(hub.base);
	options_done(&hub.opt);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	int r;

	log_init("hub", LOG_LVL_WARN);
	hub.log_fd = hub.signal_fd = -1;
	processes_init(&hub);
	r = options_parse(&hub.opt, argc, argv, &err);
	if (r) {
		if (r < 0)
			fprintf(stderr, "dejavm: %s\n", err.msg);
		options_done(&hub.opt);
		return r < 0;
	}
	if (hub.opt.log_level >= 0)
		log_set_level((enum log_level)hub.opt.log_level);
	r = setup(&err);
	if (r < 0) {
		terminal_restore();
		fprintf(stderr, "dejavm: %s\n", err.msg);
		hub.life.status = 1;
		snprintf(hub.life.text, sizeof(hub.life.text), "%s", err.msg);
	} else {
		event_base_dispatch(hub.base);
	}
	processes_done(&hub);
	introductions_close(&hub);
	life_done(&hub);
	hostlink_close(&hub);
	stats_write(&hub);
	r = hub.life.status;
	cleanup();
	return r;
}
