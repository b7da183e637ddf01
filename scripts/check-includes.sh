#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Arrows point one way: process folders -> proto/ -> common/. Refuses an include of a
# header that lives in another process's folder, or in a folder above.
set -eu
cd "$(dirname "$0")/.."
bad=0
owner() { # header name -> folders that have it
    git ls-files "*/$1" | grep -v '^tests/' | cut -d/ -f1 | sort -u
}
for f in $(git ls-files '*.c' '*.h' | grep -v '^tests/'); do
    dir=${f%%/*}
    for h in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f"); do
        name=${h##*/}
        from=$(owner "$name")
        [ -z "$from" ] && continue # generated
        case " $(echo $from) " in *" $dir "*) continue ;; esac
        case $dir:$from in
        common:*) echo "$f: common/ includes \"$h\" of $from/"; bad=1 ;;
        *:proto|*:common) ;;
        *) echo "$f: includes \"$h\", which lives in $from/"; bad=1 ;;
        esac
    done
done
exit $bad
