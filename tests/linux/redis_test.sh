#!/bin/sh
# SPDX-License-Identifier: MIT
# redis_test.sh - Debian's redis-server under `memplug run`: every block that it started on leaves
# under load, its data stays, and BGSAVE while blocks leave writes a snapshot that loads (R38, R40);
# also without any permission (R53).
#
# usage: redis_test.sh BUILD_DIR [MEGABYTES [user|seccomp]]. With a third word the server is confined
# so (confined.py). Exit status 77 is a skip (need.sh).
set -u
build=$1
test=redis_test
size=${2:-300}
confined=${3:-}
# shellcheck source=tests/linux/service.sh
. "$(dirname "$0")/service.sh"
need_program redis-server redis-benchmark
[ -n "$confined" ] || need_moving
[ "$confined" != user ] || unshare -Urm true 2>/dev/null || {
	echo "needs user-namespaces" >&2
	exit 77
}
cli="redis-cli -p $port"
mkdir -m 700 "$dir/run"
export MEMPLUG_RUNTIME_DIR="$dir/run" # where any user has it

# start [WORD...]: a server, by the command that the words begin.
start() {
	"$@" redis-server --port "$port" --dir "$dir" --save '' --enable-debug-command yes \
		>"$dir/log" 2>&1 &
	server=$!
	answers sh -c "$cli info persistence | grep -q ^loading:0"
}

start ${confined:+python3 "$(dirname "$0")/confined.py" "$confined"} \
	"$memplug" run --name "$name" --boot 256M --max 4G --
case $confined in
user) [ "$("$memplug" -p "$name" get userfaultfd)" != full ] || fail "it may watch memory" ;;
seccomp) grep -q "^Seccomp:.2" "/proc/$server/status" || fail "it has no filter" ;;
esac
$cli debug populate "$((size * 1024 * 1024 / 1250))" key 1000 >/dev/null || fail "cannot fill it"
before=$($cli debug digest)

# Load on keys of its own, which the digest of the others does not see: another database.
redis-benchmark -p "$port" --dbnum 3 -t set,get,incr,lpush,lpop -r 10000 -n 100000000 -q \
	>/dev/null 2>&1 &
load=$!
replace_blocks

# A snapshot while blocks leave: whatever moment it shows, our keys are in it unchanged.
left=$(blocks | head -n 3)
"$memplug" -p "$name" add 512M >/dev/null || fail "cannot add"
$cli bgsave >/dev/null || fail "bgsave refused"
# shellcheck disable=SC2086
leave $left
answers sh -c "$cli info persistence | grep -q rdb_bgsave_in_progress:0"
$cli info persistence | grep -q 'rdb_last_bgsave_status:ok' || fail "bgsave failed"
end_load
$cli -n 3 flushdb >/dev/null
after=$($cli debug digest)
[ "$before" = "$after" ] || fail "the data changed: $before, then $after"
sound
kill "$server"
wait "$server" 2>/dev/null

# The snapshot, in a plain server.
start
$cli -n 3 flushdb >/dev/null
loaded=$($cli debug digest)
[ "$before" = "$loaded" ] || fail "the snapshot is not the data: $before, then $loaded"
