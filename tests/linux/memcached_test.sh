#!/bin/sh
# SPDX-License-Identifier: MIT
# memcached_test.sh - memcached with four threads under `memplug run`: every block that it started
# on leaves under load; what was stored is read back (R40).
#
# usage: memcached_test.sh BUILD_DIR [ITEMS]. Exit status 77: memcached or python3 is missing.
set -u
build=$1
items=${2:-60000}
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
need_program memcached python3
dir=$(mktemp -d)
port=$((20000 + $$ % 20000))
export XDG_RUNTIME_DIR="$dir"
name="memcached-test-$$"
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
	echo "memcached_test: $*" >&2
	echo "replay: sh $0 $build $items" >&2
	cat "$dir/log" >&2
	exit 1
}

cat >"$dir/client.py" <<'END'
import random, socket, sys
port, mode, items = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
s = socket.create_connection(("127.0.0.1", port))
f = s.makefile("rwb")
def value(i, size): return (b"%d:" % i) * (size // len(b"%d:" % i))
def size(i): return 100 + i * 7919 % 4000
def store(key, data):
    f.write(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(data), data)); f.flush()
    assert f.readline() == b"STORED\r\n"
def load(key):
    f.write(b"get %s\r\n" % key); f.flush()
    head = f.readline()
    if head == b"END\r\n": return None
    data = f.read(int(head.split()[3])); f.readline(); f.readline()
    return data
if mode == "fill":
    for i in range(items): store(b"k%d" % i, value(i, size(i)))
elif mode == "read":
    for i in range(items):
        if load(b"k%d" % i) != value(i, size(i)): sys.exit("item %d is wrong" % i)
else:
    while True:
        i = random.randrange(5000)
        if random.random() < .5: store(b"x%d" % i, value(i, size(i)))
        else:
            got = load(b"x%d" % i)
            if got is not None and got != value(i, size(i)): sys.exit("item x%d is wrong" % i)
END
user=
[ "$(id -u)" = 0 ] && user="-u root"
# shellcheck disable=SC2086
"$memplug" run --name "$name" --boot 256M --max 4G -- memcached -t 4 -m 2048 -p "$port" $user \
	>"$dir/log" 2>&1 &
server=$!
for _ in $(seq 600); do
	python3 "$dir/client.py" "$port" read 0 2>/dev/null && break
	sleep 0.05
done
python3 "$dir/client.py" "$port" fill "$items" || fail "cannot fill it"
first=$("$memplug" -p "$name" list --json | grep -o '"index":[0-9]*' | cut -d: -f2)
[ -n "$first" ] || fail "no blocks"
python3 "$dir/client.py" "$port" load 0 2>"$dir/load" &
load=$!
"$memplug" -p "$name" add "$(($(echo "$first" | wc -l) * 128 + 256))M" >/dev/null || fail "cannot add"
for block in $first; do
	"$memplug" -p "$name" remove "$block" --deadline 60 || fail "block $block does not leave"
done
kill -0 "$load" 2>/dev/null || fail "the load saw: $(cat "$dir/load")"
kill "$load"
wait "$load" 2>/dev/null
load=
python3 "$dir/client.py" "$port" read "$items" || fail "data is wrong"
"$memplug" -p "$name" check >/dev/null || fail "the verifier is not content"
exit 0
