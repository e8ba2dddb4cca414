# SPDX-License-Identifier: MIT
# day.sh - what tests of the command share; sourced with $build set: a folder of its own for sockets
# and for what a command says, which goes at the end with the processes in $program and $exporter,
# and expect(). $pool is what the command is told to talk to.

memplug="$build/cli/memplug"
test=$(basename "$0" .sh)
python=$(PATH=/usr/bin:/bin command -v python3) || { echo "needs file /usr/bin/python3" >&2; exit 77; }
dir=$(mktemp -d)
mkdir -m 700 "$dir/run"
export MEMPLUG_RUNTIME_DIR="$dir/run"
program='' exporter=''
trap 'for one in $program $exporter; do kill -KILL "$one" 2>/dev/null; done; rm -rf "$dir"' EXIT

fail() {
	echo "$test: $*" >&2
	head -c 2000 "$dir/out" "$dir/err" | cat -v >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

# expect STATUS WORDS COMMAND...: exit status, and words on standard error.
expect() {
	want=$1 words=$2
	shift 2
	timeout -s KILL 120 "$memplug" -p "${pool:-$program}" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	[ $got = "$want" ] || fail "memplug $*: exit status $got, not $want"
	[ -z "$words" ] || grep -q -- "$words" "$dir/err" || fail "memplug $*: no word of '$words'"
	[ -n "$words" ] || [ ! -s "$dir/err" ] || fail "memplug $*: something on standard error"
}

# exists FILE: wait until it does, and has something in it.
exists() {
	for _ in $(seq 2400); do
		[ -s "$1" ] && return
		sleep 0.05
	done
	fail "there is no $1"
}
