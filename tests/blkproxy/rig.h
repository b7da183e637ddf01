/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-blkproxy between peers that are only pretended: this test is the hub, devices and
 * replaylog, over real rings. $BLKPROXY names the binary.
 */
#ifndef TEST_BLKPROXY_RIG_H
#define TEST_BLKPROXY_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "blk.h"
#include "control.pb-c.h"
#include "ctl.h"
#include "proc.h"
#include "ring.h"

#define RIG_FILES 32

struct rig {
	/* What the hub would say; set before rig_start(). */
	Dejavm__BlkDrive drive[BLK_DRIVES_MAX];
	unsigned n_drives;
	bool replaying;
	uint64_t fsize; /* RLIMIT_FSIZE of the process, 0: none */
	/* The run. */
	pid_t pid;
	int sock;
	uint64_t epoch;
	char fatal[1024], refused[1400]; /* Fatal's and DrivesOpened's texts */
	Dejavm__DriveOpened opened[BLK_DRIVES_MAX];
	struct chan blk, seq; /* devices' and replaylog's ends */
	bool have_chans;
	struct blk_flight *flight;
	uint8_t *out, *in;
	struct {
		char name[256];
		bool write;
		int fd;
	} file[RIG_FILES];
	unsigned n_files, n_asked;
	uint64_t next_id;
	int seg_fd[12];
};

void rig_init(struct rig *r);
/* Adds a drive; the strings must live as long as the rig. */
Dejavm__BlkDrive *rig_drive(struct rig *r, const char *file, const char *format);
/* Starts the process and answers what it asks, until it is ready. False: it refused, or died. */
bool rig_start(struct rig *r);
/* Descriptor that the process gets for this name. */
void rig_file(struct rig *r, const char *name, bool write, int fd);
void rig_kill(struct rig *r);
/* Quit, and the exit status that follows. */
int rig_quit(struct rig *r);
/* Waits for the process's end; its last words are in fatal. Exit status, or -signal. */
int rig_wait_end(struct rig *r);
void rig_done(struct rig *r);
/* A test that failed did not get to rig_done(): the process of the last rig is ended. */
void rig_clean_up(void);

/* Puts a request into the ring, and returns its id. */
uint64_t rig_send(
	struct rig *r, unsigned op, unsigned drive, uint64_t offset, uint64_t len, unsigned buf);
/* The next answer in each ring; false: none within ms. */
bool rig_rep(struct rig *r, struct blk_rep *ret, int ms);
bool rig_seq(struct rig *r, struct blkseq_msg *ret, int ms);
/* Sends, and waits for both answers, which must be about it. Returns the error. */
uint32_t rig_do(struct rig *r, unsigned op, unsigned drive, uint64_t offset, uint64_t len,
	unsigned buf, uint64_t *ret_done);
/* A struct proc as if the hub had welcomed it, for parts of the process in this one. */
void rig_proc(struct rig *r, struct proc *p);
void rig_fail(struct rig *r, uint64_t id, uint64_t done, uint32_t error);

#endif
