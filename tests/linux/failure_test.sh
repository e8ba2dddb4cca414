#!/bin/sh
# SPDX-License-Identifier: MIT
# failure_test.sh - each failure that a user can hit gives one sentence on standard error and the
# documented exit status, and the pool is as before: the same blocks, and the verifier is content.
#
# usage: failure_test.sh BUILD_DIR
set -u
build=$1
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
# Not a wrapper that runs others: they would have pools of the same name.
python=$(PATH=/usr/bin:/bin command -v python3) || { echo "needs file /usr/bin/python3" >&2; exit 77; }
dir=$(mktemp -d)
chmod 755 "$dir"
export XDG_RUNTIME_DIR="$dir"
memplug="$dir/memplug"
# Copies that another user can reach, wherever the build is.
cp "$build/cli/memplug" "$build/heap/libmemplug-heap.so" "$dir/"
name="failure-$$"
program='' fixture='' other=''

finish() {
	for pid in $program $fixture $other; do
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT

fail() {
	echo "failure_test: $*" >&2
	cat "$dir/err" >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

# The blocks of a pool, without what its program does meanwhile.
blocks() {
	"$memplug" -p "$1" list --json | sed 's/"\(used\|free\)_bytes":[0-9]*//g'
}

# says STATUS WORDS: what the last command, with its output in $dir, must have said.
says() {
	[ "$got" = "$1" ] || fail "$what: exit status $got, not $1"
	[ "$(wc -l <"$dir/err")" = 1 ] || fail "$what: not one line on standard error"
	grep -q "^memplug: .*$2" "$dir/err" || fail "$what: no word of '$2'"
	[ -s "$dir/out" ] && fail "$what: something on standard output"
	return 0
}

# refused STATUS WORDS POOL COMMAND...
refused() {
	want=$1 words=$2 pool=$3
	shift 3
	what="memplug $*"
	blocks "$pool" >"$dir/before"
	"$memplug" -p "$pool" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	says "$want" "$words"
	blocks "$pool" >"$dir/after"
	cmp -s "$dir/before" "$dir/after" || fail "$what: the pool is not as before"
	"$memplug" -p "$pool" check >/dev/null 2>"$dir/err" || fail "$what: the verifier is not content"
}

# started STATUS WORDS ARGUMENTS...: memplug run refuses to start a program.
started() {
	want=$1 words=$2
	shift 2
	what="memplug run $*"
	"$memplug" run "$@" -- echo it ran >"$dir/out" 2>"$dir/err"
	got=$?
	says "$want" "$words"
}

# ready FILE: the program has made it, and allocates nothing any more.
ready() {
	for _ in $(seq 2400); do
		[ -e "$1" ] && return
		sleep 0.05
	done
	fail "a program did not start"
}

appear() {
	for _ in $(seq 2400); do
		"$memplug" -p "$1" list >/dev/null 2>&1 && return
		sleep 0.05
	done
	fail "pool $1 did not appear"
}

# ---- before there is a pool

truncate -s 8M "$dir/small"
started 1 "8 MiB, which is not enough" --backing "file:$dir/small"
started 1 "is not a DAX device" --backing "dax:$dir/small"
started 1 "cannot open" --backing dax:/dev/dax77.77
started 1 "is no backing" --backing floppy
started 1 "no NUMA node 1000" --backing memfd,node=1000
started 1 "power of two" --block-size 3M
started 1 "no room for" --boot 100T
# Other tests have some for a while.
for _ in $(seq 100); do
	reserved=$(cat "$huge_reserved" 2>/dev/null)
	[ "${reserved:-0}" = 0 ] && break
	sleep 1
done
if [ "$reserved" = 0 ]; then
	started 1 "no huge pages .* are reserved" --backing hugetlb:2M
else
	part_needs no-huge-pages: "$reserved are reserved"
fi
what="memplug run of nothing"
"$memplug" run -- /no/such/program >"$dir/out" 2>"$dir/err"
got=$?
says 127 "cannot run /no/such/program"
what="memplug list without a pool"
"$memplug" -p "$name" list >"$dir/out" 2>"$dir/err"
got=$?
says 3 "no pool '$name' is running"

# ---- words

"$memplug" run --name "$name" --boot 64M --max 256M --block-size 16M -- "$python" -c '
import os, sys, time
x = [b"%d" % i * 100 for i in range(50000)]
open(sys.argv[1], "w")
time.sleep(600)' "$dir/started" &
program=$!
ready "$dir/started"
refused 1 "a size is a number" "$name" add 3x
refused 1 "a size is a number" "$name" resize 0
refused 1 "multiple of the block size, 16M" "$name" add 1M
refused 1 "is no backing" "$name" add 16M --backing floppy
refused 1 "names no blocks" "$name" offline x
refused 1 "names no blocks" "$name" remove 7-3
refused 1 "names no blocks" "$name" why 3,
refused 1 "names no blocks" "$name" online 0x1000
refused 1 "no attribute 'nothing'" "$name" get nothing
refused 1 "can only be read" "$name" set forks 3
refused 1 "is no value" "$name" set memmap_on_memory maybe
for words in "add" "add 16M --memmap elsewhere" "add 16M --zone x" "offline" "offline 3 4" \
	"remove 3 --deadline soon" "resize" "resize 1G 2G" "why" "set memmap_on_memory" "list all" \
	"map 3" "top 3" "online 3 --zone x"; do
	# shellcheck disable=SC2086
	"$memplug" -p "$name" $words >"$dir/out" 2>"$dir/err"
	got=$?
	[ $got = 2 ] || fail "memplug $words: exit status $got, not 2"
	grep -q '^usage: memplug ' "$dir/err" || fail "memplug $words: no usage"
done
what="memplug fly"
"$memplug" fly >"$dir/out" 2>"$dir/err"
got=$?
says 2 "'fly' is no command"

# ---- blocks and room

refused 1 "block 1000: it is not there" "$name" remove 1000
refused 1 "block 1000: it is not there" "$name" offline 1000
refused 1 "block 0: it is online" "$name" online 0
refused 1 "block 0: it is named twice" "$name" remove 0,0
refused 1 "no room for [0-9]* more blocks" "$name" add 16T
refused 1 "address range ends at" "$name" resize 1000T
refused 1 "NUMA node 1000" "$name" add 16M --backing memfd,node=1000
refused 1 "8 MiB, which is not enough" "$name" add 16M --backing "file:$dir/small"
refused 1 "cannot open" "$name" add 16M --backing dax:/dev/dax77.77
[ "$(cat "$huge_reserved" 2>/dev/null)" != 0 ] ||
	[ "$reserved" != 0 ] || refused 1 "no huge pages" "$name" add 16M --backing hugetlb:2M
refused 1 "needs a terminal" "$name" top
refused 1 "cannot write $dir/none/x.svg" "$name" map --svg "$dir/none/x.svg"

# ---- an offline that waits: for a page that is never ready

mkfifo "$dir/in"
"$build/tests/linux/pool-fixture" "$name-f" <"$dir/in" >"$dir/said" 2>"$dir/err" &
fixture=$!
exec 9>"$dir/in"
ready_fixture() {
	for _ in $(seq 2400); do # it serves before it has pinned anything
		grep -q ready "$dir/said" && break
		sleep 0.05
	done
}
tell() {
	count=$(wc -l <"$dir/said")
	echo "$1" >&9
	for _ in $(seq 200); do
		[ "$(wc -l <"$dir/said")" -gt "$count" ] && return
		sleep 0.05
	done
	fail "the fixture does not answer"
}
ready_fixture
tell unpin
tell hold
"$memplug" -p "$name-f" add 128M >/dev/null || fail "cannot add"
tell hold
refused 1 "holder" "$name-f" remove 0 --dry-run
refused 1 "holder" "$name-f" offline 0 --deadline 0.2
refused 1 "holder" "$name-f" remove 0,1 --deadline 0.2
"$memplug" -p "$name-f" why 0 | grep -q "^block 0: .*holder" || fail "why 0"

# An interrupt cancels its own request, not another one.
"$memplug" -p "$name-f" remove 0 >"$dir/out0" 2>"$dir/err0" &
first=$!
sleep 0.3
"$memplug" -p "$name-f" remove 1 >"$dir/out" 2>"$dir/err" &
second=$!
sleep 0.5
what="memplug remove 1, interrupted"
kill -INT "$second"
wait "$second"
got=$?
says 1 "cancelled; the pool is as before"
kill -0 "$first" 2>/dev/null ||
	fail "cancelling a request ended another one: $(cat "$dir/out0" "$dir/err0")"
kill -INT "$first"
wait "$first"
[ $? = 1 ] || fail "memplug remove 0, interrupted: not status 1"
grep -q "cancelled" "$dir/err0" || fail "memplug remove 0, interrupted: no word of it"
refused 1 "holder" "$name-f" remove 0 --dry-run

# R52: what a client asked for that is gone by now is given up, and the pool is as before.
blocks "$name-f" >"$dir/before"
"$memplug" -p "$name-f" remove 0 >"$dir/out" 2>"$dir/err" &
first=$!
"$python" - "$dir" "$fixture" "$first" 2>"$dir/err" <<'END' || fail "a request outlives its client"
import glob, json, os, signal, socket, sys, time
base = "/run/memplug" if os.geteuid() == 0 else sys.argv[1] + "/memplug"
def runs():
    for i in range(40):
        s = socket.socket(socket.AF_UNIX); s.settimeout(20)
        s.connect(glob.glob("%s/%s-*.sock" % (base, sys.argv[2]))[0]); s.sendall(b'{"request":"progress"}\n')
        if json.load(s.makefile())["count"] != 0: return True
        time.sleep(0.01)
    return False
assert runs(), "nothing is under way"
os.kill(int(sys.argv[3]), signal.SIGKILL)
end = time.time() + 20
while runs(): assert time.time() < end, "still under way"
END
wait "$first" 2>/dev/null
blocks "$name-f" >"$dir/after"
cmp -s "$dir/before" "$dir/after" || fail "a cut client left the pool changed"

# ---- two pools, and one that ends

"$memplug" run --name "$name-2" --boot 16M --block-size 16M -- sleep 600 &
other=$!
appear "$name-2"
what="memplug list with two pools"
"$memplug" list >"$dir/out" 2>"$dir/err"
got=$?
says 3 "[0-9]* pools are running; choose one with -p"
kill "$other"
wait "$other" 2>/dev/null
other=
if [ -n "$fixture" ]; then
	what="memplug remove, and the program ends"
	"$memplug" -p "$name-f" remove 0 >"$dir/out" 2>"$dir/err" &
	first=$!
	sleep 0.3
	kill -9 "$fixture"
	wait "$first"
	got=$?
	says 1 "the program ended before it answered"
	exec 9>&-
	wait "$fixture" 2>/dev/null
	fixture=
fi
kill -9 "$program"
wait "$program" 2>/dev/null
program=
what="memplug list of a pool that was killed"
for _ in $(seq 600); do
	"$memplug" -p "$name" list >"$dir/out" 2>"$dir/err"
	got=$?
	[ "$got" -eq 3 ] && break # its companion may end a moment later, and answer until then
	sleep 0.05
done
says 3 "no pool '$name' is running"

# ---- pinned pages, and no room elsewhere (R41)

"$build/tests/linux/pool-fixture" "$name" <"$dir/in" >"$dir/said" 2>"$dir/err" &
fixture=$!
exec 9>"$dir/in"
ready_fixture
"$memplug" -p "$name" add 16M >/dev/null || fail "cannot add"
refused 1 "block 0: .*region test at 0x[0-9a-f]*, pinned" "$name" remove 0
refused 1 "block 0: .*pinned" "$name" offline 0 --dry-run
refused 1 "block 0: .*pinned" "$name" remove 0,1
"$memplug" -p "$name" why 0 | grep -q "pinned" || fail "why 0: no word of pinned"
"$memplug" -p "$name" why 1 | grep -qx "block 1: nothing keeps it" || fail "why 1"
tell unpin
tell fill
refused 1 "block 0: .*not enough room .* they lack at least [0-9]*[KM]" "$name" remove 0
# Nothing was given back, so it was tried once (R59).
tried=$(timeout 2 "$memplug" -p "$name" monitor --since 1 | grep -c "offline-failed.*no free page")
[ "$tried" = 1 ] || fail "remove 0 was tried $tried times"
refused 1 "block 1: .*not enough room" "$name" offline 1 --dry-run
refused 1 "not enough room" "$name" resize 16M
# Enough is free, but nowhere in a row: that is brought together, but not by a rehearsal (R59).
tell scatter
refused 1 "not enough room" "$name" remove 0 --dry-run
"$memplug" -p "$name" remove 0 >"$dir/out" 2>&1 || fail "remove 0: $(cat "$dir/out")"
"$memplug" -p "$name" check >/dev/null || fail "the verifier is not content"
timeout 2 "$memplug" -p "$name" monitor --since 1 | grep -q " compact " || fail "no event of compaction"
exec 9>&-
wait "$fixture"
fixture=

# ---- another user, without any permission

if [ "$(id -u)" != 0 ]; then
	part_needs root
elif ! command -v setpriv >/dev/null; then
	part_needs program setpriv
else
	as_user() {
		user=$1
		shift
		setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
	}
	mkdir -m 777 "$dir/run"
	export XDG_RUNTIME_DIR="$dir/run"
	setpriv --reuid 64001 --regid 64001 --clear-groups "$memplug" run --name "$name" --boot 64M --block-size 16M -- \
		"$python" -c 'import sys, time
x = [bytes([i]) * 1000000 for i in range(30)]
open(sys.argv[1], "w")
time.sleep(600)' "$dir/run/started" &
	other=$!
	ready "$dir/run/started"
	what="memplug list of another user's pool"
	as_user 64002 "$memplug" -p "$name" list >"$dir/out" 2>"$dir/err"
	got=$?
	says 3 "is not trusted"
	# Even where the files let it, and with a client that asks all the same: the kernel says who the
	# peer is.
	chmod 755 "$dir/run/memplug"
	chmod 666 "$dir/run/memplug/"*.sock
	what="memplug remove in another user's pool"
	as_user 64001 "$memplug" -p "$name" list --json >"$dir/before"
	as_user 64002 "$python" - "$dir/run/memplug" <<'END' >"$dir/out" 2>"$dir/err"
import glob, json, socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(glob.glob(sys.argv[1] + "/*.sock")[0])
s.sendall(b'{"request":"remove","blocks":"0"}\n')
answer = json.load(s.makefile())
sys.exit(f"memplug: {answer['text']}" if answer["error"] == -1 else "carried out")
END
	got=$?
	says 1 "belongs to another user"
	# No permission is needed for memory that stays where it is (R53).
	as_user 64001 "$memplug" -p "$name" add 64M >/dev/null || fail "a user cannot add"
	as_user 64001 "$memplug" -p "$name" remove 0-3 || fail "blocks of a user do not leave"
	as_user 64001 "$memplug" -p "$name" check >/dev/null 2>"$dir/err" || fail "the verifier"
	# For what goes to a device it is, and the refusal says how it is given (R63).
	if [ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ]; then
		as_user 64001 truncate -s 64M "$dir/run/card"
		as_user 64001 "$memplug" -p "$name" add 64M --backing "file:$dir/run/card,node=5" >/dev/null || fail "no device"
		what="memplug move to a device without permission"
		as_user 64001 "$memplug" -p "$name" move 4 --to 5 >"$dir/out" 2>"$dir/err"
		got=$?
		says 1 "cannot move: .* without permission for a full userfaultfd; give it with "
	fi
fi
exit 0
