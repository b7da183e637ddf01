/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: SOCK_SEQPACKET, one protobuf-c message a packet, with up
 * to CTL_MAX_FDS descriptors (SCM_RIGHTS). Used by the hub (server) and every other process
 * (client). Messages: proto/control.proto, `Dejavm__Control` (a oneof).
 */
#ifndef DEJAVM_CTL_H
#define DEJAVM_CTL_H

#include <stddef.h>
#include <stdint.h>
#include "error.h"

#define CTL_MAX_PACKET (128 * 1024)
#define CTL_MAX_FDS    64

/* Sends one packet with nfds descriptors. 0 or -errno. Blocks unless the socket is non-blocking
 * (-EAGAIN). */
int ctl_send(int sock, const void *buf, size_t len, const int *fds, int nfds);
/*
 * Receives one packet into buf (cap CTL_MAX_PACKET). Returns its length, 0 at end of file, -errno,
 * -EMSGSIZE when truncated (descriptors closed). *ret_nfds descriptors, close-on-exec, are the
 * caller's.
 */
long ctl_recv(int sock, void *buf, size_t cap, int *ret_fds, int max_fds, int *ret_nfds);
/* Connects to the hub's listening socket at path. Descriptor or -errno with *err. */
int ctl_connect(const char *path, struct error *err);
/* Listening socket at path, mode 0600. */
int ctl_listen(const char *path, struct error *err);

#endif
