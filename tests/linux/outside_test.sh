#!/bin/sh
# SPDX-License-Identifier: MIT
# outside_test.sh - list --all says what of the process is outside of the pool, and why (R66).
#
# usage: outside_test.sh BUILD_DIR
set -u
build=$1
# shellcheck source=tests/linux/day.sh
. "$(dirname "$0")/day.sh"
pool=outside-test

# outside WHAT: bytes of it that are resident; 0 when there is none.
outside() {
	expect 0 "" list --all --json
	"$python" -c '
import json, sys
print(sum(one["resident_bytes"] for one in json.load(sys.stdin)["outside"] if one["what"] == sys.argv[1]))' \
		"$1" <"$dir/out"
}

# between WHAT LEAST MOST: in MiB.
between() {
	bytes=$(outside "$1")
	[ "$bytes" -ge $(($2 << 20)) ] && [ "$bytes" -le $(($3 << 20)) ] || fail "$bytes bytes of $1"
}

# 32M shared, 4M executable, 64M private through libc, 8M past it, each of it touched.
cat >"$dir/program.py" <<'END'
import ctypes, mmap, sys, time
maps = [mmap.mmap(-1, 32 << 20), mmap.mmap(-1, 4 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                                           mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)]
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
wholly = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
for view in maps:
    view[:] = b"\1" * len(view)
ctypes.memset(libc.mmap(None, 64 << 20, 3, wholly, -1, 0), 1, 64 << 20)
libc.syscall.restype = ctypes.c_void_p
ctypes.memset(libc.syscall(9, ctypes.c_void_p(), ctypes.c_size_t(8 << 20), ctypes.c_long(3),
                           ctypes.c_long(wholly), ctypes.c_long(-1), ctypes.c_long(0)), 1, 8 << 20)
with open(sys.argv[1], "w") as file:
    file.write("up")
time.sleep(600)
END
sed -i "s/syscall(9,/syscall($([ "$(uname -m)" = aarch64 ] && echo 222 || echo 9),/" "$dir/program.py"

# start OPTION...: the program in a pool.
start() {
	rm -f "$dir/up"
	"$memplug" run --name "$pool" --boot 128M --max 1G --block-size 16M "$@" -- "$python" "$dir/program.py" "$dir/up" &
	program=$!
	exists "$dir/up"
}

start --mmap
between shared 32 33
between code 4 5
between private 8 40
between file 1 100
expect 0 "" list --all
grep -q "^ *[0-9.]*M  *[0-9.]*M  shared: other processes may map it, too$" "$dir/out" || fail "no sentence for what is shared"
grep -q "^ *[0-9.]*M .*  small mappings, stacks of threads, " "$dir/out" || fail "no sentence for what is private"
[ "$(sed '/^$/,$!d' "$dir/out" | awk 'length > 80' | wc -l)" = 0 ] || fail "it wraps at 80 columns"
expect 0 "" list --json
grep -q outside "$dir/out" && fail "it is looked for although nobody asked"
kill "$program" && wait "$program" 2>/dev/null

# Without --mmap what the program maps itself is outside, and the remedy is named.
start
between private 72 104
expect 0 "" list --all
grep -q "  mapped by the program itself: run --mmap takes large ones$" "$dir/out" || fail "the remedy is not named"

# What goes to a device is the pool's, although its mapping is a shared one of a file.
truncate -s 64M "$dir/device"
expect 0 "" add 64M --backing "file:$dir/device,node=3"
expect 0 "" move 0-3 --to 3
between shared 32 33
