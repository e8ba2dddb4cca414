#!/bin/sh
# SPDX-License-Identifier: MIT
# hostile_test.sh - clients of pools that do not answer, answer for ever, or answer what harms a
# terminal (R68); folders and sockets that are somebody else's.
#
# usage: hostile_test.sh BUILD_DIR
#
# shellcheck disable=SC2086
set -u
build=$1
memplug="$build/cli/memplug"
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/linux/need.sh
. "$here/need.sh"
python=$(PATH=/usr/bin:/bin command -v python3) || { echo "needs file /usr/bin/python3" >&2; exit 77; }
dir=$(mktemp -d)
mkdir -m 700 "$dir/run"
export MEMPLUG_RUNTIME_DIR="$dir/run"
pools=
trap 'for pool in $pools; do kill "$pool" 2>/dev/null; done; rm -rf "$dir"' EXIT

fail() {
	echo "hostile_test: $*" >&2
	head -c 2000 "$dir/out" "$dir/err" | cat -v >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

# hostile KIND: start one, named KIND.
hostile() {
	"$python" "$here/hostile.py" "$dir/run" "$1" "$1" >"$dir/listens.$1" &
	pools="$pools $!"
	for _ in $(seq 2400); do
		[ -s "$dir/listens.$1" ] && return
		sleep 0.05
	done
	fail "no pool of kind $1"
}

# survives KIND COMMAND...: it ends by itself, not by a signal, and shows nothing that a terminal obeys.
survives() {
	kind=$1
	shift
	timeout -s KILL 120 "$memplug" -p "$kind" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	[ $status -le 3 ] || fail "memplug $* with a pool that answers $kind: status $status"
	LC_ALL=C tr -d '\n' <"$dir/out" | cat - "$dir/err" | LC_ALL=C tr -d '\n' |
		LC_ALL=C grep -q '[[:cntrl:]]' && fail "memplug $* shows control characters of $kind"
	LC_ALL=C grep -q "$(printf '\302\233')" "$dir/out" "$dir/err" && fail "memplug $* shows a C1 of $kind"
	for turn in '\342\200\256' '\342\201\246' '\342\201\251'; do
		LC_ALL=C grep -qF "$(printf "$turn")" "$dir/out" "$dir/err" && fail "memplug $* turns the text of $kind"
	done
	return 0
}

# ---- odd answers: every command ends, and says nothing that a terminal obeys

for kind in nested types numbers huge keys escapes refusal cut bytes; do
	hostile $kind
	for command in list 'list --all' 'list --json' 'why 0' get 'get --json' metrics 'metrics --json' status \
		'status --json' map check 'add 1G' 'remove 0' 'resize 1G' 'resize 1G --dry-run' monitor \
		'monitor --json' 'set a b'; do
		# shellcheck disable=SC2086
		survives $kind $command
	done
	[ "$kind" != huge ] || kill "${pools##* }"
done
timeout -s KILL 120 "$memplug" ps >"$dir/out" 2>"$dir/err" || fail "ps with odd pools"

# ---- silence, and no end: every wait has a bound, and a signal ends it

hostile silent
hostile trickle
hostile endless
timeout -s KILL 60 "$memplug" ps >"$dir/out" 2>"$dir/err" || fail "ps with silent pools: status $?"
grep -q 'silent .*not answering' "$dir/out" || fail "ps does not say that a silent pool is not answering"
timeout -s KILL 60 "$memplug" ps --json >"$dir/out" || fail "ps --json"
"$python" - "$dir/out" <<'END' || fail "ps --json is not as documented"
import json, sys
pools = {pool["name"]: pool for pool in json.load(open(sys.argv[1]))["pools"]}
assert pools["silent"]["answers"] is False and pools["silent"]["pid"] > 0
END
# All at once: most of their time is waiting. In words: status, pool, command.
waits() {
	want=$1 pool=$2 log="$dir/wait.$(echo "$*" | tr ' ' -)"
	shift 2
	timeout -s KILL 100 "$memplug" -p "$pool" "$@" >"$log.out" 2>"$log"
	got=$?
	[ $got = "$want" ] && cat "$log" "$log.out" | grep -q . || echo "$* with a $pool pool: status $got" >>"$dir/wrong"
}
interrupted() {
	timeout --foreground -s "$1" -k 60 2 "$memplug" -p "$2" remove 3 >/dev/null 2>&1
	[ $? -le 124 ] || echo "SIG$1 does not end a command that waits for a $2 pool" >>"$dir/wrong"
}
for command in list 'remove 3' 'add 1G' monitor status metrics; do
	# shellcheck disable=SC2086
	waits 1 silent $command &
	waiting="${waiting:-} $!"
done
for signal in TERM INT HUP; do
	for kind in silent trickle; do
		interrupted $signal $kind &
		waiting="$waiting $!"
	done
done
# shellcheck disable=SC2086
wait $waiting
[ ! -e "$dir/wrong" ] || fail "$(cat "$dir/wrong")"
grep -q "does not answer" "$dir/wait.1-silent-list" || fail "no word of a pool that does not answer"
survives endless list

# ---- a folder and a socket that are somebody else's

if [ "$(id -u)" != 0 ]; then
	part_needs root
elif ! command -v setpriv >/dev/null; then
	part_needs program setpriv
else
	user=$((40000 + $$ % 20000))
	place=/tmp/memplug-$user
	# No function: in the background that would be a shell more, which is killed in place of the command.
	as_user="env -u MEMPLUG_RUNTIME_DIR -u XDG_RUNTIME_DIR setpriv --reuid $user --regid $user --clear-groups"
	mkdir -m 755 "$place" || fail "cannot make $place"
	trap 'for pool in $pools; do kill "$pool" 2>/dev/null; done; rm -rf "$dir" "$place"' EXIT
	"$python" "$here/hostile.py" "$place" escapes root-s >"$dir/listens.root-s" &
	pools="$pools $!"
	for _ in $(seq 2400); do [ -s "$dir/listens.root-s" ] && break; sleep 0.05; done
	chmod 666 "$place"/*.sock
	chmod 755 "$dir"
	cp "$memplug" "$dir/memplug" && chmod 755 "$dir/memplug"
	$as_user "$dir/memplug" ps >"$dir/out" 2>"$dir/err"
	grep -q root-s "$dir/out" && fail "the folder of another user is trusted"
	grep -q "not trusted" "$dir/err" || fail "no word of a folder that is not trusted"
	cp "$build/heap/libmemplug-heap.so" "$dir/" && chmod 755 "$dir/libmemplug-heap.so"
	MEMPLUG_HEAP_LIBRARY="$dir/libmemplug-heap.so" $as_user "$dir/memplug" run -- /bin/true >"$dir/out" 2>"$dir/err"
	grep -q "cannot serve the pool on $place" "$dir/err" || fail "no word of a folder that cannot be served in"
	# The folder is the user's, the socket in it is not.
	chown $user:$user "$place"
	$as_user "$dir/memplug" ps >"$dir/out" 2>"$dir/err" || fail "ps of a user"
	grep -q root-s "$dir/out" && fail "a socket of another user is trusted"
	chmod 777 "$place"
	$as_user "$dir/memplug" ps >"$dir/out" 2>"$dir/err"
	grep -q "not trusted" "$dir/err" || fail "a folder that all may write to is trusted"
	# Root sees the pools of others, and whose they are.
	chmod 700 "$place"
	rm -f "$place"/*
	$as_user "$python" "$here/hostile.py" "$place" types "user-$user" >"$dir/listens.user" &
	pools="$pools $!"
	for _ in $(seq 2400); do [ -s "$dir/listens.user" ] && break; sleep 0.05; done
	env -u MEMPLUG_RUNTIME_DIR "$memplug" ps >"$dir/out" 2>"$dir/err" || fail "ps of root"
	grep -q " user-$user  *$user " "$dir/out" || fail "root's ps does not show the pools of others"
	# A service has a folder of its own, which its unit names.
	mkdir -m 700 "/run/memplug-$user" && chown $user:$user "/run/memplug-$user" || fail "cannot make a folder in /run"
	trap 'for pool in $pools; do kill "$pool" 2>/dev/null; done; rm -rf "$dir" "$place" "/run/memplug-$user"' EXIT
	MEMPLUG_HEAP_LIBRARY="$dir/libmemplug-heap.so" setpriv --reuid $user --regid $user --clear-groups \
		env MEMPLUG_RUNTIME_DIR="/run/memplug-$user" "$dir/memplug" run --name "service-$user" --boot 16M \
		--block-size 16M -- /bin/sleep 600 2>"$dir/err" &
	pools="$pools $!"
	for _ in $(seq 2400); do
		env -u MEMPLUG_RUNTIME_DIR "$memplug" -p "service-$user" list >"$dir/out" 2>&1 && break
		sleep 0.05
	done
	env -u MEMPLUG_RUNTIME_DIR "$memplug" ps >"$dir/out" 2>"$dir/err" || fail "ps of root"
	grep -q " service-$user  *$user .*M" "$dir/out" || fail "root's ps does not show the pool of a service"
fi
exit 0
