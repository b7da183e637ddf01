/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON as QEMU writes it: ASCII only, "key": value, one line. */
#ifndef DEJAVM_QMPD_JSON_OUT_H
#define DEJAVM_QMPD_JSON_OUT_H

#include <json.h>
#include <stddef.h>

/* Text of o with "\r\n" behind it. The caller frees it. *ret_len: without the final NUL. */
char *json_out_line(struct json_object *o, size_t *ret_len);

#endif
