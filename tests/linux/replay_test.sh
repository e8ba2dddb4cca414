#!/bin/sh
# SPDX-License-Identifier: MIT
# replay_test.sh - recordings of real sessions, run again on the simulator (R50): as they are they must
# agree, to the last block; changed in any way that matters they must not, with the line named.
#
# usage: replay_test.sh BUILD_DIR [SEED...]
set -u
build=$1
shift
memplug="$build/cli/memplug"
session="$build/tests/linux/session"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
need_program python3
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
program=
trap 'exec 3>&-; [ -n "$program" ] && kill "$program" 2>/dev/null; rm -rf "$dir"' EXIT

fail() {
	echo "replay_test: $*" >&2
	[ -s "$dir/err" ] && cat "$dir/err" >&2
	echo "replay: sh $0 $build ${seed-}" >&2
	exit 1
}

# await FILE PATTERN: the last line of the file.
await() {
	for _ in $(seq 1200); do
		tail -n 1 "$1" | grep -q "$2" && return
		kill -0 "$program" 2>/dev/null || fail "the session ended early"
		sleep 0.05
	done
	fail "$2 does not come"
}

# Record from half-way on, and at the end from the start.
for seed in "${@:-1 2 3}"; do
	for seed in $seed; do
		name="replay-$$-$seed"
		rm -f "$dir/in"
		mkfifo "$dir/in"
		"$session" "$name" "$seed" 700 <"$dir/in" >"$dir/out" 2>"$dir/err" &
		program=$!
		exec 3>"$dir/in"
		await "$dir/out" half
		"$memplug" -p "$name" monitor --json >"$dir/half.json" 2>"$dir/err2" 3>&- &
		await "$dir/half.json" memplug
		echo >&3
		await "$dir/out" ready
		"$memplug" -p "$name" monitor --json --since 1 >"$dir/$seed.json" 2>"$dir/err3" 3>&- &
		"$memplug" -p "$name" list --json >"$dir/$seed.list" 2>"$dir/err" || fail "no listing"
		last=$("$memplug" -p "$name" metrics --json | python3 -c \
			'import json, sys; print(json.load(sys.stdin)["last_event"])')
		await "$dir/$seed.json" "^{.seq.:$last,"
		await "$dir/half.json" "^{.seq.:$last,"
		exec 3>&-
		wait
		program=
		for file in "$dir/$seed.json" "$dir/half.json"; do
			"$memplug" replay --json "$file" >"$dir/result" 2>"$dir/err" ||
				fail "$file is not as recorded"
			python3 - "$dir/result" "$dir/$seed.list" <<'END' || fail "the end is not as it was"
import json, sys
result, live = (json.load(open(name)) for name in sys.argv[1:])
def key(one):
    # Metadata on a node lies outside of the simulator's blocks.
    return (one["state"], one["zone"], one["node"], one["memmap"].replace("node", "external"),
            one["nr_vmemmap_pages"])
have = {r["first"] + i: key(r) for r in result["ranges"] for i in range(r["count"])}
want = {b["index"]: key(b) for b in live["blocks"]}
assert have == want, sorted(set(have.items()) ^ set(want.items()))
END
		done
	done
done

[ -f "$dir/1.json" ] || exit 0 # other seeds may lack some kind of event
python3 - "$memplug" "$dir" <<'END' 2>"$dir/err" || fail "a changed recording was not refused as it should"
import json, random, subprocess, sys
memplug, dir = sys.argv[1:]
random.seed(4)
lines = open(dir + "/1.json").read().splitlines()
events = [json.loads(line) for line in lines]

def where(**wanted):
    """Places of the events that are like this; there must be some."""
    found = [i for i, e in enumerate(events) if all(e.get(k) == v for k, v in wanted.items())]
    assert found, wanted
    return random.sample(found, min(3, len(found)))

def refused(text, words, what):
    open(dir + "/changed.json", "w").write(text)
    done = subprocess.run([memplug, "replay", dir + "/changed.json"], capture_output=True, text=True)
    assert done.returncode == 1, (what, done)
    assert done.stderr.count("\n") == 1 and words in done.stderr, (what, words, done.stderr)

def changed(at, words=None, what=None, **members):
    copy = dict(events[at])
    for name, value in members.items():
        copy[name] = value
        if value is None:
            del copy[name]
    text = lines[:at] + [json.dumps(copy)] + lines[at + 1:]
    refused("\n".join(text) + "\n", words or "line %d: event %d" % (at + 1, events[at]["seq"]),
            (lines[at], members))

def cut(text):
    return "\n".join(text) + "\n"

# What the engine would not have done.
for i in where(event="online", zone="Movable", asked="Movable"):
    changed(i, zone="Normal")
for i in where(event="online", asked="default"):
    changed(i, zone={"Movable": "Normal", "Normal": "Movable"}[events[i]["zone"]])
for i in where(event="online"):
    changed(i, pages=events[i]["pages"] - 1)
    changed(i, node=1 - events[i]["node"])
    changed(i, state="offline")
    # And what it did, but was not recorded as such.
    changed(i, event="online-failed", error=-16)
for i in where(event="add", memmap="self"):
    changed(i, memmap="external")
    changed(i, nr_vmemmap_pages=events[i]["nr_vmemmap_pages"] + 1)
for i in where(event="offline"):
    changed(i, zone={"Movable": "Normal", "Normal": "Movable"}[events[i]["zone"]])
    # That one may be online as well: then it is a later event that cannot be.
    changed(i, "line ", block=(events[i]["block"] + 1) % 47)
for i in where(event="online-failed", cause="state"):
    changed(i, error=events[i]["error"] - 1)
    changed(i, cause="policy")
    changed(i, cause_block=(events[i]["cause_block"] + 1) % 47)
for i in where(event="offline-failed", cause="unmovable"):
    changed(i, error=-5)
for i in where(event="offline-failed", cause="unmovable") + where(event="offline-failed", cause="refused"):
    changed(i, cause_block=(events[i]["cause_block"] + 1) % 47)
    changed(i, state={"offline": "online", "online": "offline"}[events[i]["state"]])
for i in where(event="remove"):
    changed(i, event="offline", zone="Movable")
    changed(i, count=events[i]["count"] + 1)
for i in where(event="add-failed"):
    changed(i, error=-19)

# No recording at all.
at = len(lines) // 2
line = "line %d: " % (at + 1)
refused(cut(lines[:at] + lines[at + 1:]), line, "a line is missing")
refused(cut(lines[:at] + ['{"missed":3,"from":5,"to":7}'] + lines[at:]), line, "missed")
refused(cut(lines[:at] + ["nonsense"] + lines[at:]), line, "nonsense")
refused(cut(lines[:at] + [lines[at] + "}"] + lines[at + 1:]), line, "a brace too many")
refused("\n".join(lines[:at + 1])[:-3], line, "ends in the middle")
refused(cut(lines[1:]), "line 1: ", "no first line")
refused("", "line 1: ", "empty")
refused("\0\0\0\n", "line 1: ", "zeros")
changed(0, "line 1: ", ranges=None)
changed(0, "line 1: ", ranges=[{"first": 0}])
changed(0, "line 1: ", ranges=[7])
changed(0, "line 1: ", memplug=2)
changed(0, "line 1: ", geometry={})
for name, value in (("block_order", 30), ("nr_blocks", 0), ("nr_nodes", 0), ("page_shift", 3)):
    changed(0, "line 1: ", geometry=dict(events[0]["geometry"], **{name: value}))
for i in where(event="online"):
    for name, value in (("block", -1), ("block", 10**12), ("block", "3"), ("count", 0), ("event", "fly"),
                        ("zone", 5), ("asked", None), ("state", "?"), ("seq", 1.5), ("node", 64)):
        changed(i, "line %d: " % (i + 1), **{name: value})

# Whatever comes: an answer, and never a crash.
for _ in range(150):
    text = bytearray(cut(lines[:40]).encode())
    for _ in range(random.randrange(1, 4)):
        text[random.randrange(len(text))] = random.randrange(256)
    open(dir + "/changed.json", "wb").write(text)
    done = subprocess.run([memplug, "replay", dir + "/changed.json"], capture_output=True)
    assert done.returncode in (0, 1), (done, bytes(text))
END
exit 0
