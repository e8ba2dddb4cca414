#!/bin/sh
# SPDX-License-Identifier: MIT
# heap_test.sh - a program's memory in a pool is as it is without one (heap_cases.c), and the
# program is started as it is without us (R38, R54, R57).
#
# usage: heap_test.sh BUILD_DIR HEAP_CASES [CASE...]
set -u
build=$1 cases=$2
shift 2
memplug="$build/cli/memplug"
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
	echo "heap_test: $*" >&2
	cat "$dir/err" >&2
	failed=1
}

[ $# -gt 0 ] || set -- $("$cases")
for name in "$@"; do
	timeout -s KILL 120 "$memplug" run --boot 64M --max 2G --block-size 16M -- \
		"$cases" "$name" >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/err" ] ||
		fail "$name in a pool
replay: sh $0 $build $cases $name"
done
exit $failed
