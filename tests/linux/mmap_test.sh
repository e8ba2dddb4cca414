#!/bin/sh
# SPDX-License-Identifier: MIT
# mmap_test.sh - an interpreter whose objects lie in arenas that it maps itself prints the same with
# --mmap, while blocks come and go all the time, and most of what it uses is in the pool (R66).
#
# usage: mmap_test.sh BUILD_DIR PROGRAM, which brings a malloc of its own.
set -u
build=$1 own=$2
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
trap 'rm -rf "$dir"' EXIT
name=mmap-$$

fail() {
	echo "mmap_test: $*" >&2
	cat "$dir/err" >&2
	exit 1
}

# One itself, not a script that finds one.
need_program python3 mkfifo flock
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))') || exit 1
cat >"$dir/program.py" <<'END'
import sys
table, x, total = {}, 12345, 0
for i in range(700000):
    x = (x * 1103515245 + 12345) & 0x7fffffff
    table[x % 200000] = (i, str(i))
for key, value in table.items():
    total = (total * 31 + key + value[0] + len(value[1])) & 0xffffffff
print(len(table), total, flush=True)
sys.stdin.readline()
END
export PYTHONMALLOC=pymalloc
plain=$("$python" "$dir/program.py" </dev/null) || fail "the program alone"
mkfifo "$dir/in"
timeout -s KILL 120 "$memplug" run --mmap --name $name --boot 32M --block-size 16M --max 2G -- \
	"$python" "$dir/program.py" <"$dir/in" >"$dir/out" 2>"$dir/err" &
program=$!
exec 3>"$dir/in"

# Until it has printed, blocks come and the first one goes.
left=0
while [ ! -s "$dir/out" ]; do
	kill -0 $program 2>/dev/null || fail "it ended early"
	"$memplug" -p $name add 32M >/dev/null 2>&1 || continue
	first=$("$memplug" -p $name list --json | sed 's/.*"blocks":\[{"index":\([0-9]*\).*/\1/')
	"$memplug" -p $name remove "$first" >/dev/null 2>"$dir/err" && left=$((left + 1))
done
[ $left -gt 0 ] || fail "no block left"
[ "$(cat "$dir/out")" = "$plain" ] || fail "it printed $(cat "$dir/out"), not $plain"

# What it uses of ordinary memory, in KiB, and what of that the pool knows.
pid=$("$memplug" -p $name get pool_pid)
used=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status")
inside=$(($("$memplug" -p $name get committed_bytes) / 1024))
[ $((inside * 10)) -ge $((used * 9)) ] || fail "only $inside of $used KiB are in the pool"
"$memplug" -p $name check >/dev/null || fail "the pool is not sound"
echo >&3
wait $program || fail "its status is $?"

# on_device WORD BYTES OPTIONS... -- PROGRAM...: when so many bytes of it are on the device, a line
# on its standard input tells it to go on, and it ends. A child that hangs is killed with it.
on_device() {
	pool=$name-$1 bytes=$2 settled=0
	shift 2
	timeout -s KILL 120 "$memplug" run --mmap --name "$pool" --backing "file:$dir/device" \
		--block-size 16M --max 256M "$@" <"$dir/in" >"$dir/out" 2>"$dir/err" &
	program=$!
	exec 3>"$dir/in"
	while [ "${settled:-0}" -lt "$bytes" ]; do
		kill -0 $program 2>/dev/null || fail "$pool: ended with $settled bytes on the device"
		settled=$("$memplug" -p "$pool" get settled_bytes 2>/dev/null)
	done
	echo >&3
	exec 3>&-
	wait $program || fail "$pool: ended with $?: $(cat "$dir/out")"
}

# R66: a fork brings memory of a device back, which maps memory itself: the child does not wait for
# the books. The hole between two mappings is where the kernel puts the copies.
cat >"$dir/forks.py" <<'END'
import mmap, os, sys
maps = [mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(3)]
maps[1].close()
data = [bytes([i]) * (1 << 20) for i in range(24)]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(all(piece[-1] == i for i, piece in enumerate(data)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
print("forked", flush=True)
END
truncate -s 256M "$dir/device"
on_device forks 16777216 --boot 128M -- "$python" "$dir/forks.py"
[ "$(tail -1 "$dir/out")" = forked ] || fail "it printed $(cat "$dir/out")"

# R66: what a malloc that the program brings maps and gives up lies on a device meanwhile.
plain=$("$own" </dev/null) || fail "the program with a malloc of its own, alone"
on_device own 33554432 --boot 224M -- "$own"
[ "$(cat "$dir/out")" = "$plain" ] || fail "it printed $(cat "$dir/out"), not $plain"

# R63, R66: all that the program maps itself goes to a device, which is then evacuated and closed:
# the memory is really there, and it is right afterwards.
cat >"$dir/keeps.py" <<'END'
import sys
data = [b"%06d" % i * 60 for i in range(100000)]
print("ready", flush=True)
for line in sys.stdin:
    print(all(piece == b"%06d" % i * 60 for i, piece in enumerate(data)), flush=True)
END
timeout -s KILL 120 "$memplug" run --mmap --name $name-keeps --boot 128M --block-size 16M --max 1G -- \
	"$python" "$dir/keeps.py" <"$dir/in" >"$dir/out" 2>"$dir/err" &
program=$!
exec 3>"$dir/in"
: >"$dir/out"
pool() {
	kill -0 $program 2>/dev/null || fail "it ended before $*"
	"$memplug" -p $name-keeps "$@" 2>"$dir/err"
}
# What is busy just now is asked again.
change() {
	for try in 1 2 3 4 5 6 7 8 9 10; do
		pool "$@" >/dev/null && return
		sleep 0.2
	done
	fail "$* does not succeed in $try tries"
}
lines() {
	while [ "$(wc -l <"$dir/out")" -lt "$1" ]; do
		kill -0 $program 2>/dev/null || fail "it ended $2"
		sleep 0.05
	done
}
lines 1 "before it was ready"
for turn in 1 2 3; do
	change add 256M --backing "file:$dir/device,node=1"
	change evacuate 0 --to 1
	tries=0
	while :; do
		settled=$(pool get settled_bytes) committed=$(pool get committed_bytes)
		[ $((settled * 10)) -ge $((committed * 9)) ] && break
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail "only $settled of $committed bytes are on the device"
		sleep 0.05
	done
	anon=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(pool get pool_pid)/status")
	[ $((anon * 1024 * 2)) -lt "$committed" ] || fail "$anon KiB of $committed bytes are in RAM"
	echo >&3
	lines $((2 * turn)) "on the device"
	change add 256M --backing ram
	change evacuate 1
	flock -n "$dir/device" true || fail "the device is not free"
	echo >&3
	lines $((2 * turn + 1)) "back in ordinary memory"
done
exec 3>&-
wait $program || fail "it ended with $?"
[ "$(sort "$dir/out" | uniq -c | tr -s ' \n' ' ')" = " 6 True 1 ready " ] ||
	fail "it printed $(cat "$dir/out")"
