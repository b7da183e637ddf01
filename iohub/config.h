/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processes are told: files opened, MachineConfig, ReplayConfig, and the canonical list of
 * everything that the guest could see, which the log keeps and replay compares.
 */
#ifndef DEJAVM_HUB_CONFIG_H
#define DEJAVM_HUB_CONFIG_H

#include "control.pb-c.h"
#include "error.h"
#include "options.h"
#include "shm.h"

#define CONFIG_KEYS_MAX 64

struct hub;

struct config {
	Dejavm__MachineConfig machine;
	Dejavm__EngineConfig accel;
	Dejavm__ReplayConfig replay;
	Dejavm__LogConfig log;
	/* what they point to */
	Dejavm__DeviceConfig devices[DEVICES_MAX], *device_ptrs[DEVICES_MAX];
	/* one more than options have: drive= */
	Dejavm__Property props[DEVICES_MAX][DEVICE_PROPS_MAX + 1],
		*prop_ptrs[DEVICES_MAX][DEVICE_PROPS_MAX + 1];
	Dejavm__DriveConfig drives[BLK_DRIVES_MAX], *drive_ptrs[BLK_DRIVES_MAX];
	Dejavm__StreamConfig streams[DEVICES_MAX], *stream_ptrs[DEVICES_MAX];
	Dejavm__Property keys[CONFIG_KEYS_MAX], *key_ptrs[CONFIG_KEYS_MAX];
	size_t n_keys;
	char *bios_name; /* -bios or the default; NULL: none */
	struct {
		uint64_t hash, len;
	} kernel, initrd, bios, vgabios;
	uint32_t shift, digest_log2;
};

/*
 * Opens the files that the options name (as segments of shm), reads their digests, asks the log for
 * what the options left open, and fills in *c. o must outlive *c. 0 or -errno with *err.
 */
int config_build(struct config *c, struct options *o, struct shm *shm, struct error *err);
/* Adds what has become known of the disks once their images are open. */
void config_add_drives(struct hub *hub);
/*
 * Recording: empties the log file. The last thing before the processes are told anything, so that a
 * mistake on the command line does not cost an old recording.
 */
int config_clear_log(const struct options *o, const struct shm *shm, struct error *err);
void config_done(struct config *c);

#endif
