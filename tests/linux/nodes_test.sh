#!/bin/sh
# SPDX-License-Identifier: MIT
# nodes_test.sh - a pool of RAM and a device, by the command: nodes, placement, move, evacuate (R60,
# R62, R63). A file stands in for the device. The program goes on meanwhile, and its data is right.
#
# usage: nodes_test.sh BUILD_DIR
set -u
build=$1
# shellcheck source=tests/linux/day.sh
. "$(dirname "$0")/day.sh"
name=nodes-test
pool=$name

# node NUMBER MEMBER: as memplug nodes --json has it; nothing when there is no such node.
node() {
	timeout -s KILL 60 "$memplug" -p "$name" nodes --json | "$python" -c '
import json, sys
for node in json.load(sys.stdin)["nodes"]:
    if node["node"] == int(sys.argv[1]):
        print(node[sys.argv[2]])' "$@"
}

# Data that changes all the time and is checked all the time; how often, is in a file.
"$memplug" run --name "$name" --boot 64M --max 1G --block-size 16M --grow none -- "$python" -c '
import sys, time
blobs = [bytearray(b"%06d" % i * 500) for i in range(8000)]
turns = 0
while True:
    for i, blob in enumerate(blobs):
        if blob[6:12] != b"%06d" % i or blob[0] != 48 + turns % 10 * (turns > 0):
            sys.exit("blob %d is %r in turn %d" % (i, bytes(blob[:12]), turns))
        blob[0] = 48 + (turns + 1) % 10
    turns += 1
    with open(sys.argv[1], "w") as file:
        file.write("%d\n" % turns)
    time.sleep(0.01)' "$dir/turns" 2>"$dir/program" &
program=$!
exists "$dir/turns"

# The program has looked at all of its data since now.
goes_on() {
	kill -0 "$program" 2>/dev/null || fail "the program ended: $(cat "$dir/program")"
	before=$(cat "$dir/turns")
	for _ in $(seq 1200); do
		now=$(cat "$dir/turns")
		[ -n "$now" ] && [ "$now" -gt $((before + 2)) ] && return
		sleep 0.05
	done
	fail "the program stands still"
}

# told PATTERN [OPTION]: monitor has said it since the pool began.
told() {
	"$memplug" -p "$name" monitor --since 1 ${2:+"$2"} >"$dir/told" 2>/dev/null &
	monitor=$!
	found=no
	for _ in $(seq 600); do
		grep -q "$1" "$dir/told" && found=yes && break
		sleep 0.05
	done
	kill "$monitor" && wait "$monitor" 2>/dev/null
	[ "$found" = yes ] || fail "monitor ${2:-} does not say '$1': $(cat "$dir/told")"
}

# ---- R60: two nodes, shown everywhere

truncate -s 64M "$dir/device"
expect 0 "" add 64M --backing "file:$dir/device,node=3,rank=4"
expect 0 "" nodes
grep -q "^ *0 ram  *0 .* ram$" "$dir/out" || fail "nodes has no line for RAM"
grep -q "^ *3 device  *4  *4 .* file:$dir/device$" "$dir/out" || fail "nodes has no line for it"
grep -qx "placement: local, tiering: off" "$dir/out" || fail "nodes does not say how pages are placed"
expect 0 "" list
awk '$NF && /file/ { print $5 }' "$dir/out" | grep -qx 3 || fail "list shows another node"
expect 0 "" ps
grep -q "^ *[0-9]* $name .* 0,3$" "$dir/out" || fail "ps does not show the nodes"
expect 0 "" ps --json
"$python" -c '
import json, sys
pool, = json.load(sys.stdin)["pools"]
nodes = [(node["node"], node["size_bytes"] >> 20) for node in pool["nodes"]]
assert nodes == [(0, 64), (3, 64)], nodes
assert sum(node["used_bytes"] for node in pool["nodes"]) > 0, pool' <"$dir/out" ||
	fail "ps --json does not have the nodes"
expect 0 "" metrics
grep -q 'memplug_blocks{.*node="3",state="online"' "$dir/out" || fail "metrics do not have node 3"
grep -q 'node="2"' "$dir/out" && fail "metrics have nodes that are not there"
truncate -s 16M "$dir/other"
expect 1 "node 0 is no node for" add 16M --backing "file:$dir/other,node=0"

# ---- R62: placement is a knob

expect 0 "" set placement "prefer 3"
expect 0 "" get placement
grep -qx "prefer 3" "$dir/out" || fail "placement was not set"
expect 1 "is no placement" set placement near
expect 1 "node 7 of the pool has no memory" set placement "bind 7"
expect 0 "" set placement local

# ---- R51: so are huge pages

expect 0 "" get huge
grep -qx "auto" "$dir/out" || fail "huge pages are not as the kernel does"
expect 1 "huge pages are auto, on or off, not 'large'" set huge large
# marked FLAG: kilobytes of the program's memory whose mappings have it.
marked() {
	awk -v flag="$1" '/^Size:/ { size = $2 } /^VmFlags:/ && index($0, " " flag) { sum += size }
		END { print sum + 0 }' "/proc/$program/smaps"
}
expect 0 "" set huge off
expect 0 "" get huge
grep -qx "off" "$dir/out" || fail "huge was not set"
[ "$(marked hg)" = 0 ] || fail "memory of the heap still asks for huge pages"
expect 0 "" set huge on
[ "$(marked hg)" -ge $((1 << 20)) ] || fail "the heap does not ask for huge pages"
expect 1 "does not take back" set huge auto
goes_on

# ---- R64: so is tiering, which is off unless asked for

expect 0 "" get tiering
grep -qx "off" "$dir/out" || fail "tiering is on"
expect 1 "tiering is on, off, or how much" set tiering fast
expect 0 "" set tiering 1M # less than a window: it looks, and nothing moves
expect 0 "" get tiering
grep -qx "1M" "$dir/out" || fail "tiering was not set"
looks() {
	"$memplug" -p "$name" metrics | sed -n 's/^memplug_tiering_looks_total{.*} //p'
}
for _ in $(seq 1200); do
	[ "$(looks)" != 0 ] && break
	sleep 0.05
done
[ "$(looks)" != 0 ] || fail "tiering does not look"
expect 0 "" nodes
grep -qx "placement: local, tiering: 1M" "$dir/out" || fail "nodes does not show tiering"
expect 0 "" set tiering off
stood=$(looks)
goes_on
[ "$(looks)" = "$stood" ] || fail "tiering looks although it is off"

# ---- R63: pages of blocks go to a node and come back, the blocks stay

expect 1 "no node 9" move 0 --to 9
expect 2 "--to NODE is missing" move 0
expect 2 "is no node" move 0 --to far
expect 0 "" move 0-3 --to 3 --dry-run
grep -q "^would move .*[MK]" "$dir/out" || fail "the rehearsal says '$(cat "$dir/out")'"
[ "$(node 3 used_bytes)" = 0 ] || fail "a rehearsal has moved something"
expect 0 "" move 0-1 --to 3
[ "$(node 3 used_bytes)" -gt 0 ] || fail "nothing is on the device"
[ "$(node 0 blocks)" = 4 ] || fail "blocks have gone"
told " move  *blocks 0-1 (32M) to node 3, [0-9]* pages moved"
told '"event":"move","block":0,"count":2,"state":"online","node":0,"to_nodes":\[3\],"pages"' --json
goes_on
expect 0 "" check
expect 0 "" move 4-7 --to 0
[ "$(node 3 used_bytes)" = 0 ] || fail "something is left on the device"
goes_on

# ---- R63: a node is emptied, all or nothing, and its device is free for others then

expect 0 "" move 0-3 --to 3
expect 1 "to itself" evacuate 3 --to 3
flock -n "$dir/device" true && fail "the device is not held"
expect 0 "" evacuate 3 --dry-run
grep -q "^would move .* in about" "$dir/out" || fail "the rehearsal says '$(cat "$dir/out")'"
expect 0 "" evacuate 3
grep -q "^moved " "$dir/out" || fail "it does not say how much has moved"
[ -z "$(node 3 blocks)" ] || fail "node 3 is still there"
flock -n "$dir/device" true || fail "the device is still held"
goes_on

# What has no room goes nowhere.
expect 0 "" add 16M --backing "file:$dir/device,node=3"
expect 1 "not enough room on node 3" evacuate 0 --to 3
told " offline-failed blocks 0-3 (64M) to node 3: block 0: .*room"
[ "$(node 0 blocks)" = 4 ] || fail "node 0 has gone"
goes_on
expect 0 "" check

# ---- R65: a device appears, is asked back, and is asked back when it cannot go

mkdir "$dir/bus" "$dir/bus/dax9.0"
expect 0 "" evacuate 3
"$memplug" -p "$name" watch "$dir/bus" --policy add --deadline 20 >"$dir/watched" 2>"$dir/why" &
watcher=$!
saw() {
	for _ in $(seq 600); do
		grep -qx "$1" "$dir/watched" && return
		sleep 0.05
	done
	fail "watch does not say '$1': $(cat "$dir/watched" "$dir/why")"
}
truncate -s 70M "$dir/bus/new" && saw "added new"
expect 0 "" nodes
grep -q " 64M .* file:$dir/bus/new$" "$dir/out" || fail "the device is no node"
: >"$dir/bus/new.release" && saw "released new"
[ -e "$dir/bus/new.released" ] || fail "the request has no answer"
flock -n "$dir/bus/new" true || fail "the device is still held"
rm "$dir/bus/new.released"
for _ in $(seq 600); do
	[ "$(grep -cx "added new" "$dir/watched")" = 2 ] && break
	sleep 0.05
done
expect 0 "" move 0-3 --to 1
expect 0 "" remove 0-3
: >"$dir/bus/new.release" && saw "refused new"
grep -q "not enough room" "$dir/why" || fail "watch does not say why"
[ -e "$dir/bus/new.refused" ] || fail "the request has no answer"
goes_on
echo 67108864 >"$dir/bus/dax9.0/size" && saw "not-added dax9.0"
grep -q "cannot open /dev/dax9.0" "$dir/why" || fail "watch does not say what it cannot open"
rm "$dir/bus/new" && saw "gone-in-use new"
kill "$program"
wait "$watcher" || fail "watch ended with $?"
program=''

# ---- R51: huge pages for all of a heap, or none, from the beginning

for huge in on:hg off:nh; do
	"$memplug" run --name "$name" --boot 64M --block-size 16M --huge ${huge%:*} -- "$python" -c '
import sys
size = sum_ = 0
for line in open("/proc/self/smaps"):
    words = line.split()
    size = int(words[1]) if words[0] == "Size:" else size
    sum_ += size if words[0] == "VmFlags:" and sys.argv[1] in words else 0
sys.exit(sum_ < 1 << 20)' ${huge#*:} 2>"$dir/program" || fail "--huge ${huge%:*}: $(cat "$dir/program")"
done
"$memplug" run --huge often -- true 2>"$dir/err"
[ $? = 2 ] && grep -q "auto, large, none, on or off" "$dir/err" || fail "--huge often: $(cat "$dir/err")"

# ---- R62: what a program does not get because of its placement, an event says, once

for grow in auto none; do
	rm -f "$dir/up" "$dir/go" "$dir/full" "$dir/small" # the pool before has that for a moment still
	truncate -s 16M "$dir/small"
	"$memplug" run --name "$name" --boot 64M --max 1G --block-size 16M --grow $grow -- "$python" -c '
import os, sys, time
open(sys.argv[1], "w").write("up")
while not os.path.exists(sys.argv[2]):
    time.sleep(0.05)
for _ in range(3):
    try: x = [bytes(1 << 20) for i in range(100)]
    except MemoryError: x = None
open(sys.argv[3], "w").write("full")
time.sleep(600)' "$dir/up" "$dir/go" "$dir/full" 2>"$dir/program" &
	program=$!
	exists "$dir/up"
	expect 0 "" add 16M --backing "file:$dir/small,node=3"
	expect 0 "" set placement "bind 3"
	: >"$dir/go"
	exists "$dir/full"
	timeout 5 "$memplug" -p "$name" monitor --since 1 >"$dir/out" 2>"$dir/err"
	[ "$(grep -c " limit .*got no more memory: 'bind 3' leaves no room: ." "$dir/out")" = 1 ] ||
		fail "monitor does not say once why the program got no memory"
	expect 0 "" check
	kill "$program"
	wait "$program" 2>/dev/null
done
program=''

# ---- R62: what is bound to several nodes grows on each of them, by what each has: here a piece takes
# two blocks, and each node has one

rm -f "$dir/up" "$dir/go" "$dir/full" "$dir/small" "$dir/device"
truncate -s 32M "$dir/small" "$dir/device"
"$memplug" run --name "$name" --boot 64M --max 1G --block-size 16M -- "$python" -c '
import os, sys, time
open(sys.argv[1], "w").write("up")
while not os.path.exists(sys.argv[2]):
    time.sleep(0.05)
kept = []
try:
    while True: kept.append(bytes(24 << 20))
except MemoryError: pass
open(sys.argv[3], "w").write("full")
time.sleep(600)' "$dir/up" "$dir/go" "$dir/full" 2>"$dir/program" &
program=$!
exists "$dir/up"
expect 0 "" add 16M --backing "file:$dir/small,node=3"
expect 0 "" add 16M --backing "file:$dir/device,node=4"
expect 0 "" set placement "bind 3,4"
: >"$dir/go"
exists "$dir/full"
[ "$(node 3 blocks),$(node 4 blocks)" = 2,2 ] || fail "nodes 3 and 4 have $(node 3 blocks) and $(node 4 blocks) blocks of 2"
expect 0 "" check
kill "$program"
wait "$program" 2>/dev/null
program=''
