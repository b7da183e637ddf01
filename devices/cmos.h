/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a PC's set-up program leaves in the CMOS RAM, for the machine to say. */
#ifndef DEJAVM_CMOS_H
#define DEJAVM_CMOS_H

#include "device.h"

/* A byte that the CMOS RAM has at power-on (10h to 7Fh). At set-up only. */
void cmos_preset(struct device *rtc, unsigned reg, uint8_t val);

#endif
