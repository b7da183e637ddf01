/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmocka, with what it wants included before it. */
#ifndef DEJAVM_TEST_H
#define DEJAVM_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#endif
