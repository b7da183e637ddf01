/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEJAVM_ATOMIC_H
#define DEJAVM_ATOMIC_H
#include <stdatomic.h>
/* The vocabulary is written by the owner of common/. */
#endif
