# SPDX-License-Identifier: MIT
# service.sh - what tests of a server under `memplug run` have in common; sourced with $build, $test
# and $size set (the build directory, the test's name, what it was asked to fill the server with).
#
# Gives $memplug, $dir (ends with the test), $port, $name (of the pool), and the functions below. A
# test sets $server and $load to the processes that it starts; both end with the test.
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
dir=$(mktemp -d)
port=$((20000 + $$ % 12000)) # below those that the kernel gives to clients
export XDG_RUNTIME_DIR="$dir"
name="$test-$$"
server=
load=

finish() {
	[ -n "$load" ] && kill "$load" 2>/dev/null
	[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT

fail() {
	echo "$test: $*" >&2
	echo "replay: sh $0 $build $size" >&2
	tail -n 20 "$dir/log" >&2
	exit 1
}

# answers COMMAND...: wait until it succeeds, 30 seconds and more on a busy machine.
answers() {
	for _ in $(seq 600); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	fail "the server does not answer"
}

blocks() {
	"$memplug" -p "$name" list --json | grep -o '"index":[0-9]*' | cut -d: -f2
}

# leave BLOCK...: each of them leaves.
leave() {
	for block in "$@"; do
		"$memplug" -p "$name" remove "$block" --deadline 60 || fail "block $block does not leave"
	done
}

# All blocks that are there now leave, after as much and 256 MiB more has come.
replace_blocks() {
	first=$(blocks)
	[ -n "$first" ] || fail "no blocks"
	"$memplug" -p "$name" add "$(($(echo "$first" | wc -l) * 128 + 256))M" >/dev/null ||
		fail "cannot add"
	# shellcheck disable=SC2086
	leave $first
	for block in $first; do
		blocks | grep -qx "$block" && fail "block $block is still there"
	done
}

end_load() {
	kill -0 "$load" 2>/dev/null || fail "the load ended early"
	kill "$load"
	wait "$load" 2>/dev/null
	load=
}

sound() {
	"$memplug" -p "$name" check >/dev/null || fail "the verifier is not content"
}
