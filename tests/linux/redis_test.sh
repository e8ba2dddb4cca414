#!/bin/sh
# SPDX-License-Identifier: MIT
# redis_test.sh - Debian's redis-server under `memplug run`: every block that it started on leaves
# under load, its data stays, and BGSAVE while blocks leave writes a snapshot that loads (R38, R40).
#
# usage: redis_test.sh BUILD_DIR [MEGABYTES]. Exit status 77: redis is not installed.
set -u
build=$1
megabytes=${2:-300}
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
need_program redis-server redis-benchmark
dir=$(mktemp -d)
port=$((20000 + $$ % 20000))
cli="redis-cli -p $port"
export XDG_RUNTIME_DIR="$dir"
name="redis-test-$$"
server=
load=

finish() {
	[ -n "$load" ] && kill "$load" 2>/dev/null
	[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
need_moving

fail() {
	echo "redis_test: $*" >&2
	echo "replay: sh $0 $build $megabytes" >&2
	tail -n 20 "$dir/log" >&2
	exit 1
}

wait_for_server() {
	for _ in $(seq 600); do
		[ "$($cli ping 2>/dev/null)" = PONG ] && return 0
		sleep 0.05
	done
	fail "the server does not answer"
}

"$memplug" run --name "$name" --boot 256M --max 4G -- redis-server --port "$port" --dir "$dir" \
	--save '' --enable-debug-command yes >"$dir/log" 2>&1 &
server=$!
wait_for_server
keys=$((megabytes * 1024 * 1024 / 1250))
$cli debug populate "$keys" key 1000 >/dev/null || fail "cannot fill it"
before=$($cli debug digest)
first=$("$memplug" -p "$name" list --json | grep -o '"index":[0-9]*' | cut -d: -f2 | sort -n | tr '\n' ' ')
[ -n "$first" ] || fail "no blocks"

# Load on keys of its own, which the digest of the others does not see: another database.
redis-benchmark -p "$port" --dbnum 3 -t set,get,incr,lpush,lpop -r 10000 -n 100000000 -q \
	>/dev/null 2>&1 &
load=$!
size=$("$memplug" -p "$name" list --json | grep -o '"size":[0-9]*' | wc -l)
"$memplug" -p "$name" add "$((size * 128 + 256))M" >/dev/null || fail "cannot add"
for block in $first; do
	"$memplug" -p "$name" remove "$block" --deadline 60 || fail "block $block does not leave"
done
left=$("$memplug" -p "$name" list --json | grep -o '"index":[0-9]*' | cut -d: -f2)
for block in $first; do
	echo "$left" | grep -qx "$block" && fail "block $block is still there"
done

# A snapshot while blocks leave: whatever moment it shows, our keys are in it unchanged.
"$memplug" -p "$name" add 512M >/dev/null || fail "cannot add"
$cli bgsave >/dev/null || fail "bgsave refused"
for block in $(echo "$left" | head -n 3); do
	"$memplug" -p "$name" remove "$block" --deadline 60 || fail "block $block does not leave"
done
for _ in $(seq 600); do
	$cli info persistence | grep -q 'rdb_bgsave_in_progress:0' && break
	sleep 0.1
done
$cli info persistence | grep -q 'rdb_last_bgsave_status:ok' || fail "bgsave failed"
kill -0 "$load" 2>/dev/null || fail "the load ended early"
kill "$load"
wait "$load" 2>/dev/null
load=
$cli -n 3 flushdb >/dev/null
after=$($cli debug digest)
[ "$before" = "$after" ] || fail "the data changed: $before, then $after"
"$memplug" -p "$name" check >/dev/null || fail "the verifier is not content"
kill "$server"
wait "$server" 2>/dev/null

# The snapshot, in a plain server.
redis-server --port "$port" --dir "$dir" --save '' --enable-debug-command yes >"$dir/log" 2>&1 &
server=$!
for _ in $(seq 600); do
	$cli info persistence 2>/dev/null | grep -q '^loading:0' && break
	sleep 0.1
done
$cli -n 3 flushdb >/dev/null
loaded=$($cli debug digest)
[ "$before" = "$loaded" ] || fail "the snapshot is not the data: $before, then $loaded"
exit 0
