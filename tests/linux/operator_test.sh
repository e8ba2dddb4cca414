#!/bin/sh
# SPDX-License-Identifier: MIT
# operator_test.sh - a day with the command: rehearsals that change nothing and numbers that mean
# what they look like (R67), requests that nobody waits for any more, blocks that are gone (R69),
# status, metrics for a scraper, names and listings of all kinds.
#
# usage: operator_test.sh BUILD_DIR
set -u
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/day.sh
. "$(dirname "$0")/day.sh"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
name='a "q" \ day'

blocks_are() {
	expect 0 "" list
	have=$(awk 'NR > 1 { print $3, $6 }' "$dir/out" | paste -sd ' ')
	[ "$have" = "$1" ] || fail "blocks are '$have', not '$1'"
}

"$memplug" run --name "$name" --boot 64M --max 1G --block-size 16M --grow none -- "$python" -c '
import sys, time
x = [b"%d" % i * 100 for i in range(30000)]
open(sys.argv[1], "w").write("up")
time.sleep(600)' "$dir/started" 2>"$dir/err" &
program=$!
exists "$dir/started"
expect 0 "" add 80M
blocks_are "online 0-8"

# ---- R67: a rehearsal changes nothing, and no word takes the place of another

expect 2 "word 1 is empty" remove "" --dry-run
expect 2 "word 1 is empty" offline "" --dry-run --deadline 5
expect 2 "word 2 is empty" remove 8 "" --dry-run
expect 2 "deadline has an empty word" offline 8 --deadline ""
expect 2 "zone has an empty word" add 16M --zone=
expect 2 "word 1 is empty" get ""
run_says() { # WORDS OPTION VALUE
	"$memplug" run "$2" "$3" -- true 2>&1 | grep -q -- "$1" || fail "run $2 '$3'"
}
run_says "--max 99999999T: that is more than any pool can have" --max 99999999T
run_says "--name : that is an empty word" --name ""
expect 2 "word 2 is empty" set max_bytes ""
expect 2 "word 1 is empty" poison ""
expect 1 "'99999999T' is more than any pool can have" add 99999999T
expect 1 "'99999999T' is more than any pool can have" resize 99999999T
expect 2 "no option --dry-runn" remove 8 --dry-runn
expect 2 "is one word too many" remove 7 8
expect 2 "has no value" remove 8 --dry-run=no
expect 0 "" remove 8 --dry-run
expect 0 "" offline 8 --dry-run --deadline=5
expect 0 "" resize 128M --dry-run
grep -qx "would remove 8" "$dir/out" || fail "resize --dry-run does not say what it would remove"
expect 0 "" resize 1G --dry-run
grep -qx "would add 55 blocks" "$dir/out" || fail "resize --dry-run does not say what it would add"
expect 0 "" resize 144M --dry-run
grep -qx "would change nothing" "$dir/out" || fail "resize --dry-run to the size of now"
blocks_are "online 0-8"

# ---- R67: numbers, sizes and lists

expect 1 "names no blocks" remove 08
expect 1 "names no blocks" remove "7 8"
expect 1 "names no blocks" remove 7,
expect 1 "is no size" resize 0100M
expect 1 "is no size" resize 1
expect 1 "nearest are 96M and 112M" add 0.1G
expect 1 "nearest is 16M" add 5000000
expect 2 "is a number of seconds" remove 8 --deadline 1h
expect 2 "is no number" monitor --since -1
expect 2 "is no number" monitor --since 010
expect 1 "no value" set auto_movable_ratio 0100
expect 0 "" set max_bytes 1.5G
expect 0 "" get max_bytes
[ "$(cat "$dir/out")" = 1610612736 ] || fail "max_bytes is not 1.5G"
expect 1 "block 9: it is not there" remove 8-12 --dry-run
expect 1 "block 9: it is not there" remove 8-12
expect 1 "block 11: it is not there" offline 8,11
expect 1 "block 9: it is not there" why 7-9
expect 1 "below block" why "0 1"
blocks_are "online 0-8"
expect 0 "" why 0 7-8
[ "$(grep -c '^block' "$dir/out")" = 3 ] && grep -q '^together: ' "$dir/out" ||
	fail "why does not answer for a set"
expect 0 "" remove 0x8000000-0x8ffffff --dry-run
list=$(seq -s, 4000 2 12000)
expect 1 "block 4000: it is not there" remove "$list" --dry-run
blocks_are "online 0-8"

# ---- what was asked for and nobody waits for any more is not done, and what was done was said

kill -STOP "$program"
done_adds=0
for _ in 1 2 3; do
	timeout -k 10 2 "$memplug" -p "$program" add 16M >/dev/null 2>&1 && done_adds=$((done_adds + 1))
done
kill -CONT "$program"
# Nobody answers while the companion and the one that stands by are stopped, too: nothing is done later.
before=$done_adds
echo "$dir/started" >"$dir/words"
stopped=$(grep -lzFx -f "$dir/words" /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3)
[ "$(echo "$stopped" | wc -l)" -ge 3 ] || fail "there is no companion: $stopped"
# shellcheck disable=SC2086
kill -STOP $stopped
for _ in 1 2; do
	timeout -k 10 2 "$memplug" -p "$program" add 16M >/dev/null 2>&1 && done_adds=$((done_adds + 1))
done
timeout -s KILL 60 "$memplug" ps >"$dir/out" || fail "ps with a pool that is stopped"
grep -q "not answering" "$dir/out" || fail "ps does not say that a stopped pool is not answering"
# shellcheck disable=SC2086
kill -CONT $stopped
[ $done_adds = "$before" ] || fail "a stopped pool has answered"
expect 0 "" status
expect 0 "" list --json
[ "$(grep -o '"index"' "$dir/out" | wc -l)" = $((9 + done_adds)) ] ||
	fail "adds that were given up were done: $done_adds of 3 were said to be"
[ $done_adds = 0 ] || expect 0 "" resize 144M

# ---- R69: what names a block that is gone does not mean the one in its place

"$python" - "$dir/run" "$program" <<'END' 2>"$dir/err" || fail "a block that is gone is named by what it was"
import glob, json, socket, sys
def ask(request, **fields):
    s = socket.socket(socket.AF_UNIX); s.settimeout(60)
    s.connect(glob.glob("%s/%s-*.sock" % tuple(sys.argv[1:]))[0])
    s.sendall(json.dumps({"request": request, **fields}).encode() + b"\n")
    return json.load(s.makefile())
old = {"as_of": int(ask("get", attr="memory8/generation")["memory8/generation"])}
assert ask("read", attr="memory8/state", **old) == {"text": "online\n"}
assert ask("remove", blocks="8") == {} and ask("add", size="16M", zone="movable")["first"] == 8
for request in (("read", {"attr": "memory8/state"}), ("get", {"attr": "memory8"}),
                ("write", {"attr": "memory8/state", "value": "offline"}), ("offline", {"blocks": "7-8"}),
                ("remove", {"blocks": "8"}), ("why", {"blocks": "8"}), ("online", {"blocks": "8"}),
                ("announce", {"block": 8, "action": "change"})):
    answer = ask(request[0], **request[1], **old)
    assert answer.get("error") == -19, (request, answer)
assert ask("read", attr="memory8/state") == {"text": "online\n"}
assert ask("write", attr="auto_movable_ratio", value="0100\n") == {}, "files are written as in the kernel"
assert ask("get", attr="auto_movable_ratio") == {"auto_movable_ratio": "64"}
END
blocks_are "online 0-8"

# ---- "used" is one thing, and names are quoted

timeout -s KILL 60 "$memplug" ps --json >"$dir/ps" && "$memplug" -p "$program" list --json >"$dir/list" &&
	"$memplug" -p "$program" status --json >"$dir/status" && "$memplug" metrics >"$dir/metrics" || fail "ps, list, status, metrics"
"$python" - "$dir" "$name" <<'END' 2>"$dir/err" || fail "ps, list, status and metrics do not agree"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
read = lambda name: open(f"{sys.argv[1]}/{name}").read()
pool, = json.loads(read("ps"))["pools"]
used = sum(block["used_bytes"] for block in json.loads(read("list"))["blocks"])
samples = [s for family in text_string_to_metric_families(read("metrics")) for s in family.samples]
assert all(s.labels["pool"] == sys.argv[2].replace(" ", "_") == pool["name"] for s in samples), pool
values = {s.name: s.value for s in samples}
assert pool["used_bytes"] == used == values["memplug_used_bytes"] == json.loads(read("status"))["used_bytes"] > 0
assert pool["resident_bytes"] > 0 and pool["answers"] is True
END

# ---- status, a full disk, a version, a folder that is none

expect 0 "" status
grep -q "^all is well" "$dir/out" || fail "status is not content"
grep -q "^resident .*; [0-9]*% of its own memory is in the pool$" "$dir/out" ||
	fail "status does not say how much of the program is in its pool"
expect 0 "" set max_bytes 144M
expect 1 "" status
grep -q "^but .*max_bytes" "$dir/out" || fail "status says nothing of a pool that may not grow"
for command in list 'list --json' ps map metrics 'get block_size_bytes' --version help; do
	# shellcheck disable=SC2086
	"$memplug" -p "$program" $command >/dev/full 2>"$dir/err"
	[ $? = 1 ] || fail "memplug $command to a full disk: not status 1"
	grep -q "cannot write" "$dir/err" || fail "memplug $command to a full disk says nothing"
done
[ "$("$memplug" --version)" = "memplug $(sed -n "s/^  version: '\(.*\)',/\1/p" "$source/meson.build")" ] ||
	fail "memplug --version"
echo untouched >"$dir/file"
expect 1 "no folder" mount "$dir/file"
[ "$(cat "$dir/file")" = untouched ] || fail "mount on a file did something to it"

# ---- metrics for a scraper

"$memplug" metrics --listen 0 >"$dir/exporter" 2>"$dir/err" &
exporter=$!
exists "$dir/exporter"
"$python" - "$dir/exporter" <<'END' 2>"$dir/err" || fail "metrics --listen"
import socket, sys, urllib.error, urllib.request
from prometheus_client.openmetrics.parser import text_string_to_metric_families
url = open(sys.argv[1]).read().split()[1]
host, port = url.split("/")[2].split(":")
assert host == "127.0.0.1", url
silent = socket.create_connection((host, int(port)))  # it has a bound, too
with urllib.request.urlopen(url, timeout=60) as answer:
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    text = answer.read().decode()
assert any(f.name == "memplug_blocks" for f in text_string_to_metric_families(text))
try: raise SystemExit(urllib.request.urlopen(url.replace("metrics", "../etc/passwd"), timeout=60).read())
except urllib.error.HTTPError as error: assert error.code == 404
for line in b"POST /metrics HTTP/1.1\r\n\r\n", b"\0" * 20000, b"GET /metrics", b"GET  \r\n\r\n":
    with socket.create_connection((host, int(port))) as link:
        link.settimeout(60)
        try: link.sendall(line); link.shutdown(socket.SHUT_WR); link.recv(100)
        except OSError: pass
with urllib.request.urlopen(url, timeout=60) as answer: assert answer.status == 200
END
expect 1 "cannot listen" metrics --listen 256.0.0.1:1
expect 1 "cannot listen" metrics --listen here
kill "$program" "$exporter"
wait "$program" "$exporter" 2>/dev/null
exporter=

# ---- resize passes over a block that turns out to be in the way, and takes another one

mkfifo "$dir/in"
"$build/tests/linux/pool-fixture" fixture <"$dir/in" >"$dir/said" 2>"$dir/err" &
program=$!
exec 3>"$dir/in"
said() {
	for _ in $(seq 2400); do
		[ "$(tail -n 1 "$dir/said")" = "$1" ] && return
		sleep 0.05
	done
	fail "the fixture does not say $1"
}
said ready
expect 0 "" add 64M
echo "veto 4" >&3
said done
expect 1 "listener refused" remove 4
expect 0 "" resize 64M
blocks_are "online 0-2 online 4"
expect 0 "" resize 32M
blocks_are "online 0 online 4"
expect 1 "block 4: a listener refused" resize 16M
blocks_are "online 0 online 4"
kill "$program"
wait "$program" 2>/dev/null
exec 3>&-

# ---- it works where it was installed, whatever the folder is called

mkdir -p "$dir/my programs: new/bin" "$dir/my programs: new/lib"
cp "$memplug" "$dir/my programs: new/bin" && cp "$build/heap/libmemplug-heap.so" "$dir/my programs: new/lib"
said=$("$dir/my programs: new/bin/memplug" run --name blank --boot 16M --block-size 16M -- "$memplug" -p blank \
	get pool_name 2>"$dir/err") || fail "run from a folder with a blank"
[ "$said" = blank ] || fail "a folder with a blank: no pool"

# ---- the environment is read like options are; a name may have any bytes

for setting in MEMPLUG_BOOT=064M MEMPLUG_MAX=lots MEMPLUG_BLOCK_SIZE=1; do
	env "$setting" "$memplug" run -- /bin/true >"$dir/out" 2>"$dir/err" && fail "$setting is taken"
	grep -q "${setting%%=*}=${setting#*=} is no size" "$dir/err" || fail "no word of $setting"
done
"$memplug" run --name "$(printf 'a\nb\033[31m\177\377\303\244')" --boot 16M --block-size 16M -- /bin/sleep 600 &
program=$!
for _ in $(seq 2400); do
	"$memplug" -p "$program" list >"$dir/out" 2>"$dir/err" && break
	sleep 0.05
done
"$memplug" ps --json >"$dir/ps" 2>"$dir/err" && "$memplug" -p "$program" get pool_name --json >"$dir/name" &&
	"$memplug" ps >"$dir/out" || fail "a name of all bytes"
"$python" - "$dir" <<'END' 2>"$dir/err" || fail "names are not quoted"
import json, sys
pool, = json.load(open(sys.argv[1] + "/ps", encoding="utf-8"))["pools"]
assert pool["name"] == "a_b_[31m_?\u00e4", pool
assert json.load(open(sys.argv[1] + "/name", encoding="utf-8"))["pool_name"].startswith("a_b_[31m_")
assert all(c == 10 or c >= 32 and c != 127 for c in open(sys.argv[1] + "/out", "rb").read())
END
kill "$program"
wait "$program" 2>/dev/null
program=

# ---- a pool grows no further than its cgroup lets it (R71), and that is an event

group=
for place in "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)" \
	"/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)"; do
	for file in memory.max memory.limit_in_bytes; do
		[ -z "$group" ] && mkdir "$place/memplug-$$" 2>/dev/null || continue
		if [ -e "$place/memplug-$$/$file" ] && echo 671088640 >"$place/memplug-$$/$file"; then
			group=$place/memplug-$$
		else
			rmdir "$place/memplug-$$"
		fi
	done
done
if [ -n "$group" ]; then
	trap 'kill -KILL "$program" 2>/dev/null; wait 2>/dev/null; rmdir "$group"; rm -rf "$dir"' EXIT
	sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' - "$group" "$memplug" run \
		--boot 64M -- /bin/sleep 600 2>"$dir/err" &
	program=$!
	for _ in $(seq 2400); do
		"$memplug" -p "$program" get max_bytes >"$dir/out" 2>"$dir/err" && break
		sleep 0.05
	done
	[ "$(cat "$dir/out")" = 671088640 ] || fail "the default of --max is not the limit of the cgroup"
	# An eighth of the limit, rounded down; of blocks of 128M a program in 200M would get one.
	[ "$("$memplug" -p "$program" get block_size_bytes)" = 67108864 ] || fail "a block is not an eighth of the limit"
	kill "$program"
	wait "$program" 2>/dev/null
else
	part_needs memory-cgroup
fi
"$memplug" run --boot=32M --max=48M --block-size 16M -- "$python" -c '
import sys, time
try: x = [bytes(1 << 20) for i in range(200)]
except MemoryError: x = None
open(sys.argv[1], "w").write("up")
time.sleep(600)' "$dir/full" 2>"$dir/err" &
program=$!
exists "$dir/full"
expect 0 "" metrics
grep -q '^memplug_events_total{.*event="limit"} 1$' "$dir/out" || fail "reaching --max is no event"
timeout 5 "$memplug" -p "$program" monitor --since 1 >"$dir/out" 2>"$dir/err"
grep -q 'limit .*more than the 48M that it may have' "$dir/out" || fail "monitor does not say that --max was reached"
exit 0
