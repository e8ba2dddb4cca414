#!/bin/sh
# SPDX-License-Identifier: MIT
# control_test.sh - the command and the socket: exit status, sentences, and clients that are cut,
# talk nonsense, or lose their pool (R52); and a program that asks for more than there is.
#
# usage: control_test.sh BUILD_DIR
set -u
build=$1
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
# Not a wrapper that runs others: they would have pools of the same name.
python=$(PATH=/usr/bin:/bin command -v python3) || { echo "needs file /usr/bin/python3" >&2; exit 77; }
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
name="control-test-$$"
program=
trap '[ -n "$program" ] && kill "$program" 2>/dev/null; rm -rf "$dir"' EXIT

fail() {
	echo "control_test: $*" >&2
	cat "$dir/err" >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

# expect STATUS WORDS COMMAND...: exit status, and words on standard error.
expect() {
	want=$1 words=$2
	shift 2
	"$memplug" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	[ $got = "$want" ] || fail "memplug $*: exit status $got, not $want"
	[ -z "$words" ] || grep -q -- "$words" "$dir/err" || fail "memplug $*: no word of '$words'"
}

expect 2 usage
expect 2 "no command" fly
expect 2 usage run --name x
expect 3 "no pool" -p "$name" list
expect 127 "cannot run" run -- /no/such/program
expect 126 "cannot run" run -- /dev/null

"$memplug" run --name "$name" --boot 64M --max 256M --block-size 16M -- \
	"$python" -c 'import time; x = [b"%d" % i * 100 for i in range(50000)]; time.sleep(600)' &
program=$!
for _ in $(seq 2400); do
	"$memplug" -p "$name" list >/dev/null 2>&1 && break
	sleep 0.05
done
expect 0 "" -p "$name" list
expect 0 "" -p "$program" list --json
"$python" -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["blocks"][0]["state"] == "online"' \
	"$dir/out" || fail "the listing is no JSON"
expect 0 "" -p "$name" add 32M
expect 1 "multiple of the block size" -p "$name" add 1M
expect 1 "is no backing" -p "$name" add 16M --backing floppy
expect 1 "cannot open" -p "$name" add 16M --backing dax:/dev/no-such
expect 2 usage -p "$name" add 16M --memmap elsewhere
expect 1 "names no blocks" -p "$name" remove x
expect 1 "names no blocks" -p "$name" remove 7-3
expect 1 "cannot remove" -p "$name" remove 1000
expect 0 "" -p "$name" offline 4
expect 1 "cannot take offline" -p "$name" offline 4
expect 1 "cannot bring online" -p "$name" online 4,3
"$memplug" -p "$name" list --all | grep -q ' offline .* 4 ' || fail "half of a refused online was done"
expect 0 "" -p "$name" online 4
expect 1 "no NUMA node 1000" -p "$name" add 16M --backing memfd,node=1000
expect 1 "no attribute" -p "$name" get nothing
expect 1 "only be read" -p "$name" set forks 3
expect 1 "no value" -p "$name" set memmap_on_memory maybe
expect 0 "" -p "$name" set memmap_on_memory off
expect 0 "" -p "$name" get memmap_on_memory
grep -qx off "$dir/out" || fail "set did not set"
expect 0 "" -p "$name" why 0
expect 0 "" -p "$name" resize 160M
expect 0 "" -p "$name" check

"$python" - "$dir" "$program" <<'END' || fail "the server did not survive the clients"
import functools, glob, json, os, random, select, socket, sys
base = "/run/memplug" if os.geteuid() == 0 else sys.argv[1] + "/memplug"
path = glob.glob("%s/%s-*.sock" % (base, sys.argv[2]))[0]
assert os.stat(path).st_mode & 0o777 == 0o600
random.seed(1)
words = [b"list", b"add", b"remove", b"0-3", b"why", b"set", b"\x00\xff", b"99999999999999999999", b"-1",
         b"0x", b"get", b"-", b"resize", b"%n%s", b"online", b"3,", b'"', b"\n"]
for i in range(400):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(path)
    line = b" ".join(random.choice(words) for _ in range(random.randrange(12)))
    if i % 2: line = b'{"request":"' + random.choice(words) + b'","blocks":' + line + b"}"
    if i % 50 == 0: line = b"x" * 5000
    try:
        s.sendall(line + (b"" if i % 7 == 0 else b"\n"))
        if i % 7 == 0: pass
        elif i % 3: s.recv(10)
    except OSError: pass
    s.close()

def connect(line):
    s = socket.socket(socket.AF_UNIX); s.connect(path); s.sendall(line)
    return s
def ask(line):
    return b"".join(iter(functools.partial(connect(line).recv, 65536), b""))
for line in (b'{"request":"read","attr":""}', b'{"request":"read","attr":"memory0"}',
             b'{"request":"announce","block":0,"action":"x"}', b'{"request":"cancel","block":4294967296}',
             # R67: what is not understood is not done: old lines, and fields with other names or types
             b'remove 3 5 dry', b'{"request":"remove","blocks":"3","dry-run":true}',
             b'{"request":"remove","blocks":"3","dry_run":1}', b'{"request":"remove","blocks":3}',
             b'{"request":"remove","blocks":"3","blocks":"4"}', b'{"request":"remove"}',
             b'{"request":"info","dry_run":true}', b'{"request":"remove","blocks":"3"} x'):
    assert b'"error":-22' in ask(line + b"\n"), line

# Clients that send a byte now and then, and never a line, do not keep others out.
drips = [connect(b"x") for _ in range(12)]
info = connect(b'{"request":"info"}\n')
for _ in range(60):
    if select.select([info], [], [], 1)[0]: break
    for s in drips:
        try: s.send(b"x")
        except OSError: pass
else: raise SystemExit("twelve slow clients keep all others out")
END
expect 0 "" -p "$name" list
expect 0 "" -p "$name" check

# More than there is: an error for the program, not the end of it.
"$memplug" run --name "$name-2" --boot 64M --max 128M --block-size 16M -- "$python" -c '
try:
    x = [bytes(1 << 20) for i in range(1000)]
    raise SystemExit(5)
except MemoryError:
    x = None
y = [bytes(1 << 20) for i in range(50)]
print("fine")' >"$dir/out" 2>"$dir/err" || fail "a program that asked for too much died"
grep -qx fine "$dir/out" || fail "a program that asked for too much said nothing"

kill "$program"
wait "$program" 2>/dev/null
# Who serves the pool sees the end of the program a moment later than we do.
for _ in $(seq 2400); do
	"$memplug" -p "$name" list >/dev/null 2>&1 || break
	sleep 0.05
done
expect 3 "no pool" -p "$name" list
program=
exit 0
