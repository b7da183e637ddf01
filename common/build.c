/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The build id, in a file of its own, so that a commit rebuilds nothing else. */
#include "build.h"

#if __has_include("build_id.h")
#include "build_id.h"
#else
#define BUILD_ID_TEXT DEJAVM_VERSION
#endif

const char *build_id(void)
{
	return BUILD_ID_TEXT;
}
