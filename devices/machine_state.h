/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine in a snapshot, between two requests of the vCPU: each device's table of fields, time,
 * streams. What follows from the fields (the map, lines, BARs) is derived anew by class->loaded().
 */
#ifndef DEJAVM_MACHINE_STATE_H
#define DEJAVM_MACHINE_STATE_H

#include "machine.h"
#include "state.h"

#define DEVICES_STATE_VERSION 1

/* *ret has been initialised; what it points to is freed with
 * dejavm__devices_state__free_unpacked(). -ENOMEM. Changes nothing. */
int machine_save(const struct machine *m, Dejavm__DevicesState *ret);
/* Could it be loaded? -EINVAL with *err. */
int machine_load_check(const struct machine *m, const Dejavm__DevicesState *s, struct error *err);
/*
 * The machine, made by the same configuration, becomes what s says. RAM and video memory must hold
 * what belongs to it. -EINVAL with *err, which names device and field: nothing has changed.
 */
int machine_load(struct machine *m, const Dejavm__DevicesState *s, struct error *err);

#endif
