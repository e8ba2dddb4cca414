#!/bin/sh
# SPDX-License-Identifier: MIT
# sparse_test.sh - 1 TiB offline in a pool that was started without a word about it, and 64 TiB
# online in one that was told so, both within default limits (R42); listing them answers by ranges
# (R49). Time and memory are printed, and pass or fail nothing.
#
# usage: sparse_test.sh BUILD_DIR
set -u
build=$1
memplug="$build/cli/memplug"
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
name="sparse-$$"
program=
trap '[ -n "$program" ] && kill "$program" 2>/dev/null; rm -rf "$dir"' EXIT

fail() {
	echo "sparse_test: $*" >&2
	cat "$dir/err" >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

start() {
	"$memplug" run --name "$name" "$@" -- sleep 600 &
	program=$!
	for _ in $(seq 2400); do
		"$memplug" -p "$name" list >/dev/null 2>&1 && break
		sleep 0.05
	done
}

stop() {
	kill "$program"
	wait "$program" 2>/dev/null
	program=
}

# timed WORDS...: run a command, and remember how long it took.
timed() {
	before=$(date +%s%N)
	"$memplug" -p "$name" "$@" >"$dir/out" 2>"$dir/err" || fail "memplug $*"
	took=$((($(date +%s%N) - before) / 100000))
	report="$report$1 $((took / 10)).$((took % 10)) ms, "
}

size_of() {
	sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$program/status"
}

lines() {
	[ "$(wc -l <"$dir/out")" = "$1" ] || fail "$2"
}

report="1 TiB offline: "
start
timed add 1T --offline
timed list
lines 3 "1 TiB offline is not one range"
grep -q " 1T  offline .* 1-8192 " "$dir/out" || fail "not 1 TiB in blocks 1 to 8192"
timed check
report="${report}RSS $(size_of VmRSS) kB, "
timed remove 1-8192
timed list
lines 2 "what was removed is there"
stop
[ "${LOUD:-}" ] && echo "$report" >&2

report="64 TiB online: "
start --max 64T
timed resize 64T
timed list
lines 2 "64 TiB are not one range"
grep -q " 64T  online .* 0-524287 " "$dir/out" || fail "not 64 TiB in blocks 0 to 524287"
timed map --svg "$dir/map.svg"
[ "$(grep -c '<title>' "$dir/map.svg")" = 2048 ] || fail "the picture has not 2048 cells"
timed check
report="${report}RSS $(size_of VmRSS) kB, mappings $(wc -l <"/proc/$program/maps"), "
timed offline 1-524287
timed online 200000-300000
timed list
lines 5 "blocks of three kinds are not four ranges"
timed resize 128M
timed list
lines 2 "what was removed is there"
stop
[ "${LOUD:-}" ] && echo "$report" >&2
exit 0
