/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this binary was built from, for Hello, --version and logs. */
#ifndef DEJAVM_BUILD_H
#define DEJAVM_BUILD_H
/* "git describe" of the tree, or the version where there is no git. Static storage. */
const char *build_id(void);
#define DEJAVM_BUILD_ID build_id()
#endif
