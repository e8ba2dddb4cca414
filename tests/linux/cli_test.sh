#!/bin/sh
# SPDX-License-Identifier: MIT
# cli_test.sh - what the command prints: listings by ranges and by blocks (R49), pictures, progress on
# a terminal and nowhere else, help and the manual page; resize, all or nothing; knobs that are
# recorded per block (R51).
#
# usage: cli_test.sh BUILD_DIR
set -u
build=$1
memplug="$build/cli/memplug"
source=$(cd "$(dirname "$0")/../.." && pwd)
python=$(PATH=/usr/bin:/bin command -v python3) || { echo "needs file /usr/bin/python3" >&2; exit 77; }
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
name="cli-$$"
program=
trap '[ -n "$program" ] && kill "$program" 2>/dev/null; rm -rf "$dir"' EXIT

fail() {
	echo "cli_test: $*" >&2
	cat "$dir/out" "$dir/err" >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

run() {
	"$memplug" -p "$name" "$@" >"$dir/out" 2>"$dir/err" || fail "memplug $*: status $?"
	[ -s "$dir/err" ] && fail "memplug $*: something on standard error"
	return 0
}

has() {
	grep -q -- "$1" "$dir/out" || fail "no '$1'"
}

# blocks_are WORDS: the ranges of the pool, as state first-last.
blocks_are() {
	run list
	have=$(awk 'NR > 1 { print $3, $6 }' "$dir/out" | paste -sd ' ')
	[ "$have" = "$1" ] || fail "blocks are '$have', not '$1'"
}

"$memplug" run --name "$name" --boot 64M --max 256M --block-size 16M --grow none -- "$python" -c '
import sys, time
x = [b"%d" % i * 100 for i in range(50000)] # more than a block, whatever was given back
open(sys.argv[1], "w")
time.sleep(600)' "$dir/started" &
program=$!
for _ in $(seq 2400); do
	[ -e "$dir/started" ] && break
	sleep 0.05
done

# ---- listings (R49)

run add 32M --zone kernel
[ "$(cat "$dir/out")" = "blocks 4-5" ] || fail "add says nothing of blocks 4-5"
run add 32M --offline
run add 16M --memmap external
run add 32M
blocks_are "online 0-3 online 4-5 offline 6-7 online 8 online 9-10"
run list --all
[ "$(sed '/^$/,$d' "$dir/out" | wc -l)" = 12 ] || fail "list --all: not a line for each of 11 blocks"
run list --json
"$python" - "$dir/out" <<'END' || fail "list --json is not as documented"
import json, sys
d = json.load(open(sys.argv[1]))
assert set(d) == {"block_size_bytes", "blocks"} and d["block_size_bytes"] == 16 << 20
b = d["blocks"]
assert [x["index"] for x in b] == list(range(11))
for x in b:
    assert set(x) >= {"index", "start", "size", "state", "zone", "node", "memmap", "nr_vmemmap_pages",
                      "used_bytes", "free_bytes", "backing"}, x
    assert x["start"] == x["index"] << 24 and x["size"] == 1 << 24 and x["backing"] == "ram"
assert [x["state"] for x in b] == ["online"] * 6 + ["offline"] * 2 + ["online"] * 3
assert [x["zone"] for x in b] == ["Movable"] * 4 + ["Normal"] * 2 + ["none"] * 2 + ["Movable"] * 3
assert [x["memmap"] for x in b] == ["self"] * 8 + ["external"] + ["self"] * 2
assert all((x["nr_vmemmap_pages"] > 0) == (x["memmap"] == "self") for x in b)
assert all(x["used_bytes"] + x["free_bytes"] == (x["size"] - 4096 * x["nr_vmemmap_pages"]
           if x["state"] == "online" else 0) for x in b)
assert b[0]["used_bytes"] > 0 and b[10]["used_bytes"] == 0
END
# The ranges say what the blocks say, added up.
"$python" - "$dir" "$program" <<'END' || fail "ranges and blocks do not agree"
import glob, json, os, socket, sys
base = "/run/memplug" if os.geteuid() == 0 else sys.argv[1] + "/memplug"
def ask(request, **fields):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20)
    s.connect(glob.glob("%s/%s-*.sock" % (base, sys.argv[2]))[0])
    s.sendall(json.dumps({"request": request, **fields}).encode() + b"\n")
    return json.load(s.makefile())
blocks, ranges = ask("list")["blocks"], ask("ranges")["ranges"]
assert len(ranges) == 5
for r in ranges:
    inside = blocks[r["first"]:r["first"] + r["count"]]
    for key in ("state", "zone", "node", "memmap", "backing", "nr_vmemmap_pages"):
        assert all(x[key] == r[key] for x in inside), (key, r)
    for key in ("used_bytes", "free_bytes", "size"):
        assert sum(x[key] for x in inside) == r[key], (key, r)
for n in (1, 2, 5, 11, 100):
    cells = ask("map", cells=n)
    assert 0 < len(cells["cells"]) <= n
    assert sum(c["online"] + c["offline"] + c["changing"] for c in cells["cells"]) == 11
    assert sum(c["used_bytes"] for c in cells["cells"]) == sum(x["used_bytes"] for x in blocks)
assert "error" in ask("map", cells=0) and "error" in ask("map", cells=99999999)
END

# ---- knobs apply from now on, and each block keeps what was true when it came (R51)

run set memmap_on_memory off
run add 16M
run set memmap_on_memory on
run add 16M
run list
has " 11  *external "
has " 12  *self "
run remove 11-12
run set max_bytes 512M
run get max_bytes
[ "$(cat "$dir/out")" = 536870912 ] || fail "set max_bytes did nothing"

# ---- memory errors: listed, remembered, forgotten (R33)

refuses() { # WORDS COMMAND...
	words=$1
	shift
	"$memplug" -p "$name" "$@" >"$dir/out" 2>"$dir/err" && fail "memplug $*: not refused"
	grep -q -- "$words" "$dir/err" || fail "memplug $*: not '$words'"
}

run poison
[ -s "$dir/out" ] && fail "there are memory errors in new memory"
run poison 0xaffe000
refuses "poisoned already" poison 0xaffe000
refuses "holds descriptors" poison 0xa000000
refuses "no memory at that address" poison 0x40000000
refuses "is not online" poison 0x6100000
run poison
has '^0x0000000a000000 *10  online    still in use$'
has '^0x0000000affe000 *10  online    out of use$'
run poison --look
has '^0x0000000affe000 *10  online    out of use$'
refuses "takes nothing else" poison --look --forget
run poison --json
"$python" -c 'import json, sys
pages = json.load(open(sys.argv[1]))["pages"]
assert [page["address"] for page in pages] == [0xa000000, 0xaffe000], pages' "$dir/out" ||
	fail "poison --json"
"$memplug" -p "$name" status >"$dir/out" && fail "status: all is well with memory errors"
has "memplug poison lists them"
run poison --forget 0xa000000
refuses "is not poisoned" poison --forget 0xa000000
run offline 10
run poison --forget 0xaffe000
run online 10
run get memory10/nr_bad_pages
[ "$(cat "$dir/out")" = 0 ] || fail "a page that was forgotten is bad"

# ---- pictures

LC_ALL=C "$memplug" -p "$name" map >"$dir/out" 2>"$dir/err" || fail "map"
has '^0x000000000000  [:+*#]*[.:+*#]*\.--\.\.\.$'
has "a cell is one block of 16M"
has "^11 blocks, 176M, "
grep -q "$(printf '\033')" "$dir/out" && fail "colours in a file"
run map --svg "$dir/map.svg"
"$python" - "$dir/map.svg" <<'END' || fail "map --svg: not a picture of 11 blocks"
import sys, xml.etree.ElementTree as et
root = et.parse(sys.argv[1]).getroot()
ns = "{http://www.w3.org/2000/svg}"
titles = [t.text for t in root.iter(ns + "title")]
assert len(titles) == 11 and titles[4].startswith("block 4: online, kernel"), titles
assert titles[6].startswith("block 6: offline")
box = [float(x) for x in root.get("viewBox").split()]
for r in root.iter(ns + "rect"):
    if r.get("x"): assert float(r.get("x")) + 12 <= box[2] and float(r.get("y")) + 12 <= box[3]
END

# ---- resize: by cost, whole blocks, all or nothing

run resize 155M
blocks_are "online 0-3 online 4-5 offline 6 online 8 online 9-10"
run resize 160M
run resize 96M
blocks_are "online 0-3 online 4-5"
run resize 130M
blocks_are "online 0-3 online 4-5 online 6-8"
"$memplug" -p "$name" list >"$dir/before"
"$memplug" -p "$name" resize 16M >"$dir/out" 2>"$dir/err" && fail "resize to less than is in use"
"$memplug" -p "$name" list >"$dir/after"
awk '{ print $1, $2, $3 }' "$dir/before" >"$dir/before.blocks"
awk '{ print $1, $2, $3 }' "$dir/after" | cmp -s - "$dir/before.blocks" ||
	fail "half of a refused resize was done"
run check

# ---- terminals: progress is shown and wiped, top draws; elsewhere neither

"$python" - "$memplug" "$name" "$build/tests/linux/pool-fixture" <<'END' >"$dir/out" 2>"$dir/err" || fail "on a terminal"
import fcntl, os, pty, struct, subprocess, sys, termios, time
memplug, name, fixture = sys.argv[1:]
def on_terminal(words, keys=None, env={}, size=(30, 110)):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", **env)
        os.execv(memplug, [memplug] + words)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    out, end = b"", time.time() + 60
    while time.time() < end:
        try: part = os.read(fd, 65536)
        except OSError: break
        if not part: break
        out += part
        if keys and b"q quits" in out and b"a cell" in out:
            os.write(fd, keys)
            keys = None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode()
status, out = on_terminal(["-p", name, "map"])
assert status == 0 and "\033[32m" in out and "kernel" in out, out
status, out = on_terminal(["-p", name, "map"], env={"NO_COLOR": "1"})
assert status == 0 and "\033[" not in out, out
for key in b"q\x03":
    status, out = on_terminal(["-p", name, "top", "--interval", "0.1"], bytes([key]))
    if "built without top" in out: break
    assert status == 0 and name in out and "a cell" in out, out
# A page that is never ready, so that the block cannot leave before the deadline.
pool = subprocess.Popen([fixture, name + "-2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert pool.stdout.readline() == "ready\n"
for word in "unpin", "hold":
    print(word, file=pool.stdin, flush=True)
    assert pool.stdout.readline() == "done\n"
subprocess.run([memplug, "-p", name + "-2", "add", "128M"], check=True, stdout=subprocess.DEVNULL)
words = ["-p", name + "-2", "remove", "0-1", "--deadline", "1.5"]
status, out = on_terminal(words)
assert status == 1 and "blocks 0-1: " in out and " moved, " in out and "/s" in out, out
shown, said = out.rsplit("\r\033[K", 1)
assert said.startswith("memplug: cannot remove: block ") and said.count("\n") == 1, out
assert "\n" not in shown, out
plain = subprocess.run([memplug] + words, capture_output=True, text=True)
assert plain.returncode == 1 and plain.stderr.count("\n") == 1 and "\r" not in plain.stderr
pool.stdin.close()
END

# ---- help, and the manual page

"$memplug" --help >"$dir/out" 2>"$dir/err" || fail "memplug --help"
commands=$(sed -n 's/^  \([a-z, ]*[a-z]\)  .*/\1/p' "$dir/out" | tr -d , | tr ' ' '\n')
[ "$(echo "$commands" | wc -l)" -ge 25 ] || fail "memplug --help names few commands"
for command in $commands; do
	"$memplug" help "$command" >"$dir/out" 2>"$dir/err" || fail "memplug help $command"
	has "^usage: memplug $command"
	[ -z "$(awk 'length > 80' "$dir/out")" ] || fail "memplug help $command is wider than a terminal"
	for option in $(grep -o -- '--[a-z-]*' "$dir/out"); do
		sed 's/\\-/-/g' "$source/docs/memplug.1" | grep -q -- "$option" ||
			fail "memplug.1 does not know $option of $command"
	done
	"$memplug" "$command" --help >"$dir/err" || fail "memplug $command --help"
	cmp -s "$dir/out" "$dir/err" || fail "memplug $command --help differs from help $command"
	sed 's/\\f[BIR]//g' "$source/docs/memplug.1" | grep -Eq "^(\.BR?|.*, set) .*\b$command\b" ||
		fail "memplug.1 does not know $command"
done
exit 0
