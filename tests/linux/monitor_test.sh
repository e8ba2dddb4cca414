#!/bin/sh
# SPDX-License-Identifier: MIT
# monitor_test.sh - events of a program under `memplug run` (R50, R48): in order, without a gap, the
# same for every listener; a slow one is told what it missed, a cut one leaves no trace (R52); and the
# recording of a random session runs again on the simulator to the same end.
#
# usage: monitor_test.sh BUILD_DIR [SEED]
set -u
build=$1
seed=${2-1}
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
python=$(PATH=/usr/bin:/bin command -v python3) || { echo "needs file /usr/bin/python3" >&2; exit 77; }
need_moving
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
name="monitor-$$"
program=
trap '[ -n "$program" ] && kill "$program" 2>/dev/null; rm -rf "$dir"' EXIT

fail() {
	echo "monitor_test: $*" >&2
	cat "$dir/err" >&2
	echo "replay: sh $0 $build $seed" >&2
	exit 1
}

"$memplug" run --name "$name" --boot 64M --max 512M --block-size 16M -- \
	"$python" -c 'import time; x = [b"%d" % i * 100 for i in range(50000)]; time.sleep(600)' &
program=$!
for _ in $(seq 2400); do
	"$memplug" -p "$name" list >/dev/null 2>&1 && break
	sleep 0.05
done

"$python" - "$memplug" "$name" "$program" "$dir" "$seed" <<'END' >"$dir/out" 2>"$dir/err" || fail "see above"
import glob, json, os, random, signal, socket, subprocess, sys, time
memplug, name, program, dir, seed = sys.argv[1:]
random.seed(int(seed))
base = "/run/memplug" if os.geteuid() == 0 else dir + "/memplug"
path = glob.glob("%s/%s-*.sock" % (base, program))[0]

def request(word, **fields):
    return json.dumps({"request": word, **fields})

def connect(line, room=None):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    if room:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    s.connect(path)
    s.sendall(line.encode() + b"\n")
    return s

def ask(word, **fields):
    with connect(request(word, **fields)) as s:
        return json.load(s.makefile())

def command(*words):
    done = subprocess.run([memplug, "-p", name, *words], capture_output=True, text=True)
    assert done.returncode in (0, 1), (words, done)
    return done

def last_event():
    return ask("metrics")["last_event"]

def until(file, last):
    """All lines up to event `last`."""
    lines = []
    while not lines or lines[-1].get("seq", lines[-1].get("to")) != last:
        lines.append(json.loads(file.readline()))
    return lines

def check_order(lines, first, last):
    """Numbers from first to last, each told or named as missed."""
    at = first
    for line in lines:
        if "missed" in line:
            assert line["from"] == at and line["missed"] == line["to"] - line["from"] + 1, line
            at = line["to"] + 1
        else:
            assert line["seq"] == at, (at, line)
            at += 1
    assert at == last + 1, (at, last)

# ---- a random session, two listeners and a recording of the command
first, second = (connect(request("monitor", **fields)).makefile()
                 for fields in ({}, {"since": 1, "ranges": True}))
record = subprocess.Popen([memplug, "-p", name, "monitor", "--json"], stdout=open(dir + "/record", "w"))
people = subprocess.Popen([memplug, "-p", name, "monitor", "--since", "1"], stdout=open(dir + "/people", "w"))
heads = [json.loads(file.readline()) for file in (first, second)]
assert heads[0]["next"] == 3 and heads[1]["next"] == 1 and heads[0]["blocks_present"] == 4, heads
assert heads[0]["ranges"] is None and heads[1]["ranges"] == [], heads
while not open(dir + "/record").read():
    time.sleep(0.02)
def blocks():
    return str(random.randrange(12)) + random.choice(["", "", "-%d" % random.randrange(14)])
refused = 0
for i in range(300):
    done = random.choice([
        lambda: command("add", random.choice(["16M", "32M"]), *random.choice([[], ["--offline"]]),
                        *random.choice([[], ["--memmap", "external"], ["--memmap", "self"]])),
        lambda: command("online", blocks(), "--zone", random.choice(["movable", "kernel"])),
        lambda: command("offline", blocks(), "--deadline", "1"),
        lambda: command("remove", blocks(), "--deadline", "1"),
        lambda: command("set", "auto_online_blocks", random.choice(["offline", "online", "online_movable"])),
        lambda: command("set", "online_policy", random.choice(["contig-zones", "auto-movable"])),
        lambda: command("set", "memmap_on_memory", random.choice(["off", "on", "force"])),
    ])()
    refused += done.returncode
assert 30 < refused < 270, refused
last = last_event()
listing = json.loads(command("list", "--json").stdout)
told = until(first, last), until(second, last)
check_order(told[0], 3, last)
check_order(told[1], 1, last)
assert told[0] == told[1][2:]
kinds = {line["event"] for line in told[1]}
assert {"add", "online", "offline", "remove", "online-failed", "policy"} <= kinds, kinds
# Only what was done has an action, and what the actions make is what is there.
state = {}
for line in told[1]:
    assert ("action" in line) == (line["event"] in ("add", "online", "offline", "remove")), line
    for block in range(line.get("block", 0), line.get("block", 0) + line.get("count", 0)):
        if "action" in line:
            state[block] = line["state"]
    assert sum(line.get("phases", {}).values()) <= line.get("took_ns", 0) or line.get("event") == "offline", line
assert {b: s for b, s in state.items() if s != "absent"} == {b["index"]: b["state"] for b in listing["blocks"]}
while '"seq":%d,' % last not in open(dir + "/record").read() or "#%d" % last not in open(dir + "/people").read():
    time.sleep(0.02)
record.kill(), people.kill()
people = open(dir + "/people").read()
assert people.count("\n") == last + 1 and "is not in the state that this needs" in people, people

# ---- and again on the simulator
done = subprocess.run([memplug, "replay", "--json", dir + "/record"], capture_output=True, text=True)
assert done.returncode == 0, done
have = {r["first"] + i: (r["state"], r["zone"], r["memmap"]) for r in json.loads(done.stdout)["ranges"]
        for i in range(r["count"])}
assert have == {b["index"]: (b["state"], b["zone"], b["memmap"]) for b in listing["blocks"]}

# ---- announcements, as a tree of files would ask for
block = listing["blocks"][0]["index"]
assert ask("announce", block=block, action="change") == {}
assert ask("announce", block=block, action="fly")["error"] == -22
assert ask("announce", block=1000, action="add")["error"] == -2
line = until(first, last + 1)[0]
assert line["event"] == "announce" and line["action"] == "change" and line["block"] == block, line

# ---- a listener that does not read, one that is killed, ones that talk nonsense
slow = connect(request("monitor"), 4096)
slow.recv(1, socket.MSG_PEEK)  # from here on it counts
killed = subprocess.Popen([memplug, "-p", name, "monitor"], stdout=subprocess.PIPE)
killed.stdout.readline()
chatty = connect(request("monitor", ranges=True))
chatty.sendall(b"x" * 5000)
before = last_event()
told = []
for i in range(6000):
    if i == 3000:
        killed.kill()
        connect("monitor").close(), connect("{}").close(), connect(request("monitor", x=1)).close()
        connect(request("monitor", since=99999999)).close(), connect(request("monitor", since=0)).close()
        connect(request("monitor", since=1, ranges=True)).close()
    assert ask("set", attr="auto_movable_ratio", value=str(i + 1)) == {}
    if i % 1000 == 999:  # a listener that reads is not held up by the one that does not
        told += until(first, last_event())
last = last_event()
assert last == before + 6000
check_order(told, before + 1, last)
lines = until(slow.makefile(), last)
assert lines.pop(0)["next"] == before + 1
missed = sum(line.get("missed", 0) for line in lines)
assert missed > 0
check_order(lines, before + 1, last)
# What the ring has lost is told to those who ask for it, too.
lines = until(connect(request("monitor", since=1)).makefile(), last)
assert lines[1]["missed"] == lines[1]["to"] >= last - 4096, lines[1]
check_order(lines[1:], 1, last)

# ---- as many as there may be, and one more; requests are answered all the same
many = [connect(request("monitor")) for _ in range(40)]
answers = [json.loads(s.makefile().readline()) for s in many]
assert any("listening already" in a.get("text", "") for a in answers), answers
assert sum("memplug" in a for a in answers) >= 25
assert ask("check")["count"] == 0
for s in many:
    s.close()
ask("set", attr="auto_movable_ratio", value="7")
for _ in range(500):  # their places are free again
    if "memplug" in json.loads(connect(request("monitor")).makefile().readline()):
        break
    time.sleep(0.02)
else:
    raise SystemExit("the places of listeners that went are not free again")
for bad in ({"since": 999999999}, {"since": 0}, {"since": "x"}, {"since": -1}, {"ranges": 1}, {"x": True}):
    assert ask("monitor", **bad)["error"] < 0, bad

# ---- the end of the program is the end of the lines
for _ in range(500):  # the places of some that went may not be free yet
    ended = subprocess.Popen([memplug, "-p", name, "monitor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ended.stdout.readline():
        break
    ended.wait()
    time.sleep(0.02)
assert ask("check")["count"] == 0
os.kill(int(program), signal.SIGTERM)
assert b"has ended" in ended.communicate(timeout=60)[1] and ended.returncode == 0
END
wait "$program" 2>/dev/null
program=
exit 0
