#!/bin/sh
# SPDX-License-Identifier: MIT
# memcached_test.sh - memcached with four threads under `memplug run`: every block that it started
# on leaves under load; then its memory goes to a device, which is evacuated under load and free
# afterwards (R63). What was stored is read back each time (R40). A file stands in for the device.
#
# usage: memcached_test.sh BUILD_DIR [ITEMS]. Exit status 77 is a skip (need.sh).
set -u
build=$1
test=memcached_test
size=${2:-60000}
# shellcheck source=tests/linux/service.sh
. "$(dirname "$0")/service.sh"
need_program memcached python3
need_moving

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
memplug() {
	"$memplug" -p "$name" "$@" >/dev/null || fail "memplug $* is refused"
}

user=
[ "$(id -u)" = 0 ] && user="-u root"
# shellcheck disable=SC2086
"$memplug" run --name "$name" --boot 256M --max 4G -- memcached -t 4 -m 2048 -p "$port" $user \
	>"$dir/log" 2>&1 &
server=$!
answers python3 "$dir/client.py" "$port" read 0
python3 "$dir/client.py" "$port" fill "$size" || fail "cannot fill it"
python3 "$dir/client.py" "$port" load 0 2>>"$dir/log" &
load=$!
replace_blocks
python3 "$dir/client.py" "$port" read "$size" || fail "data is wrong after blocks have left"
truncate -s 512M "$dir/card"
memplug add 512M --backing "file:$dir/card,node=1"
memplug move "$(blocks | head -n -4 | paste -sd,)" --to 1
[ "$("$memplug" -p "$name" get settled_bytes)" -gt 0 ] || fail "nothing has settled on the device"
python3 "$dir/client.py" "$port" read "$size" || fail "data on the device is wrong"
memplug evacuate 1 --deadline 60
flock -n "$dir/card" true || fail "the device is still held"
end_load
python3 "$dir/client.py" "$port" read "$size" || fail "data is wrong"
sound
