#!/bin/sh
# SPDX-License-Identifier: MIT
# evacuate_test.sh - redis starts in RAM, grows onto a device, and the device is evacuated under load
# (R61, R63): the data is right, and nothing holds the device afterwards. A file stands in for one of
# 4 KiB pages, and huge pages for one of 2 MiB, where the machine gives some.
#
# usage: evacuate_test.sh BUILD_DIR
set -u
build=$1
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
need_program redis-server redis-cli redis-benchmark
dir=$(mktemp -d)
mkdir -m 700 "$dir/run"
export MEMPLUG_RUNTIME_DIR="$dir/run"
socket="$dir/redis.sock"
server='' load=''
end() {
	for one in $load $server; do
		kill "$one" 2>/dev/null
	done
	give_huge_pages
	rm -rf "$dir"
}
trap end EXIT

fail() {
	echo "evacuate_test: $*" >&2
	tail -n 5 "$dir/redis" "$dir/out" >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

pool() {
	timeout -s KILL 120 "$memplug" -p evacuate-test "$@" >"$dir/out" 2>&1 ||
		fail "memplug $*: $(cat "$dir/out")"
}

used_on() {
	"$memplug" -p evacuate-test nodes | awk -v node="$1" '$1 == node { print $6 }'
}

ask() {
	timeout 60 redis-cli -s "$socket" "$@"
}

# Bytes of the program that really are on devices.
settled() {
	"$memplug" -p evacuate-test get settled_bytes
}

# What the keys that nobody writes hold.
digest() {
	seq 0 199 19999 | sed 's/^/stay:/' | xargs timeout 60 redis-cli -s "$socket" debug digest-value
}

truncate -s 256M "$dir/card"
"$memplug" run --name evacuate-test --boot 32M --block-size 16M --grow none -- redis-server --port 0 \
	--unixsocket "$socket" --save '' --enable-debug-command yes >"$dir/redis" 2>&1 &
server=$!
for _ in $(seq 1200); do
	[ "$(ask ping 2>/dev/null)" = PONG ] && break
	sleep 0.05
done
pool add 256M --backing "file:$dir/card,node=1"
ask debug populate 150000 stay 500 >/dev/null
case $(used_on 1) in
*M) ;;
*) fail "redis has not grown onto the device: $(used_on 1)" ;;
esac
for _ in $(seq 600); do
	[ "$(settled)" -gt $((16 << 20)) ] && break
	sleep 0.05
done
[ "$(settled)" -gt $((16 << 20)) ] || fail "only $(settled) bytes have settled on the device"
before=$(digest)
[ "$(echo "$before" | wc -l)" = 101 ] || fail "no digest: $before"

redis-benchmark -s "$socket" -t set,get -n 2000000 -r 10000 -d 300 -c 10 -q >/dev/null 2>&1 &
load=$!
pool add 256M
for _ in 1 2; do
	pool evacuate 1 --dry-run
	pool evacuate 1
	kill -0 "$load" 2>/dev/null || fail "there was no load any more"
	[ -z "$(used_on 1)" ] || fail "node 1 is still there"
	flock -n "$dir/card" true || fail "the device is still held"
	[ "$(digest)" = "$before" ] || fail "the data is not what it was"
	pool add 256M --backing "file:$dir/card,node=1"
	pool move 0-1 --to 1
	[ "$(digest)" = "$before" ] || fail "the data on the device is not what it was"
done

# Pages of 2 MiB: what was in pages of 4 KiB goes there and comes back.
change_huge_pages 32
if [ "$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)" -ge 32 ]; then
	pool add 64M --backing hugetlb:2M
	huge=$("$memplug" -p evacuate-test nodes | awk '/hugetlb/ { print $1 }')
	pool evacuate 1
	pool move 18-20 --to "$huge"
	[ "$(settled)" -gt $((4 << 20)) ] || fail "only $(settled) bytes are on huge pages"
	[ "$(digest)" = "$before" ] || fail "the data on huge pages is not what it was"
	pool evacuate "$huge"
	[ "$(settled)" = 0 ] || fail "$(settled) bytes are still on huge pages"
	[ "$(digest)" = "$before" ] || fail "the data is not what it was on huge pages"
else
	part_needs huge-pages 32
fi
pool check
kill -0 "$server" || fail "redis has ended"
