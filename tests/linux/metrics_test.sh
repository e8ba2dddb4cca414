#!/bin/sh
# SPDX-License-Identifier: MIT
# metrics_test.sh - memplug metrics, read by a parser of OpenMetrics that is not ours (R50): what it
# counts is what was done, units and types are what the format wants, and it does not wait for an
# offline that takes long.
#
# usage: metrics_test.sh BUILD_DIR
set -u
build=$1
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
python=$(PATH=/usr/bin:/bin command -v python3) || { echo "needs file /usr/bin/python3" >&2; exit 77; }
"$python" -c 'import prometheus_client.openmetrics.parser' 2>/dev/null ||
	{ echo "needs python prometheus_client" >&2; exit 77; }
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
name="metrics-$$"
program=
trap '[ -n "$program" ] && kill "$program" 2>/dev/null; rm -rf "$dir"' EXIT

fail() {
	echo "metrics_test: $*" >&2
	cat "$dir/err" >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

"$memplug" run --name "$name" --boot 64M --max 512M --block-size 16M -- "$python" -c '
import time
x = [b"%d" % i * 100 for i in range(50000)]
time.sleep(600)' >"$dir/out" 2>"$dir/err" &
program=$!
for _ in $(seq 2400); do
	"$memplug" -p "$name" list >/dev/null 2>&1 && break
	sleep 0.05
done

"$python" - "$memplug" "$name" "$build/tests/linux/pool-fixture" <<'END' 2>"$dir/err" || fail "see above"
import json, subprocess, sys, time
from prometheus_client.openmetrics.parser import text_string_to_metric_families
memplug, name, fixture = sys.argv[1:]

def command(*words, status=0):
    done = subprocess.run([memplug, "-p", name, *words], capture_output=True, text=True)
    assert done.returncode == status, done
    return done.stdout

def metrics():
    text = command("metrics")
    assert text.endswith("# EOF\n")
    families = list(text_string_to_metric_families(text))
    assert all(f.name.startswith("memplug_") and f.documentation for f in families)
    assert all(not f.unit or f.name.endswith("_" + f.unit) for f in families)
    types = {f.name: f.type for f in families}
    samples = {(s.name[8:], *sorted(s.labels.items())): s.value for f in families for s in f.samples}
    assert types["memplug_zone_bytes"] == "gauge"
    assert types["memplug_events"] == types["memplug_moved_pages"] == types["memplug_stall_seconds"] == "counter"
    assert types["memplug_phase_seconds"] == "histogram" and types["memplug_blocks"] == "gauge"
    return types, samples

def of(samples, metric, **labels):
    return sum(value for key, value in samples.items()
               if key[0] == metric and set(labels.items()) <= set(key[1:]))

_, before = metrics()
assert of(before, "blocks", state="online", zone="Movable") == 4 == of(before, "blocks")
assert of(before, "block_size_bytes") == 16 << 20
assert 0 < of(before, "committed_bytes") <= of(before, "zone_bytes", kind="managed")
command("add", "64M")
command("offline", "0")
command("online", "0", "--zone", "kernel")
command("online", "0", status=1)
command("remove", "1-2")
command("remove", "1-2", status=1)
command("add", "16M", "--offline", "--memmap", "external")
_, after = metrics()
for event, count in ("add", 2), ("online", 2), ("online-failed", 1), ("offline", 2), ("remove", 1):
    assert of(after, "events_total", event=event) - of(before, "events_total", event=event) == count, event
assert of(after, "last_event") == of(after, "events_total")
assert of(after, "blocks", state="online", zone="Normal") == 1
assert of(after, "blocks", state="offline") == 1 and of(after, "blocks") == 7
assert of(after, "moved_pages_total", operation="offline") > 100
assert of(after, "relabelled_pages_total") > 100 and of(after, "copied_pages_total") == 0
listing = json.loads(command("list", "--json"))["blocks"]
assert of(after, "metadata_bytes") == sum(b["metadata_bytes"] for b in listing)
assert of(after, "zone_bytes", kind="present") == sum(
    b["size"] - 4096 * b["nr_vmemmap_pages"] for b in listing if b["state"] == "online")
# Every event that took time is in a histogram, and the time of a phase is part of the whole.
for operation, result, event in (("add", "done", "add"), ("online", "done", "online"), ("offline", "done", "offline"),
                                 ("remove", "done", "remove"), ("online", "failed", "online-failed")):
    labels = {"operation": operation, "result": result}
    count = of(after, "operation_seconds_count", **labels)
    assert count == of(after, "events_total", event=event), event
    assert of(after, "operation_seconds_bucket", le="+Inf", **labels) == count
    assert 0 < of(after, "phase_seconds_sum", **labels) <= of(after, "operation_seconds_sum", **labels), event
assert of(after, "phase_seconds_count", operation="offline", phase="move", result="done") == 2
# What has been counted stays counted.
for key, value in before.items():
    if key[0].endswith(("_total", "_count", "_bucket")):
        assert after[key] >= value, key
assert json.loads(command("metrics", "--json"))["last_event"] == of(after, "last_event")

# An offline that waits for a page that is never ready: everything is there all the same.
name += "-f"
pool = subprocess.Popen([fixture, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert pool.stdout.readline() == "ready\n"
for word in "unpin", "hold":
    print(word, file=pool.stdin, flush=True)
    assert pool.stdout.readline() == "done\n"
command("add", "32M")
_, before = metrics()
waiting = subprocess.Popen([memplug, "-p", name, "offline", "0", "--deadline", "5"], stderr=subprocess.DEVNULL)
seen = False
while waiting.poll() is None and not seen:
    _, during = metrics()
    seen = of(during, "offlining_blocks") == 1
    assert of(during, "blocks") == 3
    assert of(during, "zone_bytes", kind="present") == of(before, "zone_bytes", kind="present")
assert seen, "no offline was seen under way"
waiting.kill()
pool.stdin.close()
END
cat "$dir/err" >&2
exit 0
