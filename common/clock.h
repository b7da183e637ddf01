/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's monotonic and real-time clocks, in ns. Never used by vcpu and devices code (see lint).
 */
#ifndef DEJAVM_CLOCK_H
#define DEJAVM_CLOCK_H
#include <stdint.h>
int64_t host_monotonic_ns(void);
int64_t host_realtime_ns(void); /* since 1970-01-01 UTC */
#endif
