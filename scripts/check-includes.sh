#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Arrows point one way: process folders -> proto/ -> common/. Refuses an include of a
# header that lives in another process's folder, or in a folder above.
set -eu
cd "$(dirname "$0")/.."
git grep -n '^#include "' -- '*.c' '*.h' ':!tests/' | {
    bad=0
    while IFS=: read -r file line text; do
        dir=${file%%/*}
        header=${text#*\"}
        header=${header%%\"*}
        name=${header##*/}
        [ -e "$dir/$header" ] && continue
        if [ -e "common/$name" ]; then
            continue
        elif [ -e "proto/$name" ] && [ "$dir" != common ]; then
            continue
        elif found=$(git ls-files "*/$name" | grep -v '^tests/') && [ -n "$found" ]; then
            echo "$file:$line: $dir/ includes \"$header\", which lives in $found"
            bad=1
        fi
    done
    exit $bad
}
