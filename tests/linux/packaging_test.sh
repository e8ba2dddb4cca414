#!/bin/sh
# SPDX-License-Identifier: MIT
# packaging_test.sh - what comes with the command: units that systemd takes, completion that knows
# every command and option, and a page on security whose tests are there.
#
# usage: packaging_test.sh BUILD_DIR
set -u
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
need_program bash zsh fish systemd-analyze
dir=$(mktemp -d)
export MEMPLUG_RUNTIME_DIR="$dir"
trap 'rm -rf "$dir"' EXIT

fail() {
	echo "packaging_test: $*" >&2
	cat "$dir/out" >&2
	echo "replay: sh $0 $build" >&2
	exit 1
}

# ---- units: as they are installed, but that the command is the one that was built

for unit in "$source"/packaging/systemd/*.service; do
	sed "s|=memplug |=$(cd "$build" && pwd)/cli/memplug |; /^Documentation/d" "$unit" >"$dir/${unit##*/}"
done
printf '[Service]\nExecStart=/bin/true\n' >"$dir/redis-server.service"
mkdir "$dir/redis-server.service.d"
sed "s|/usr/bin/redis-server.*|/bin/true|; s|=memplug |=$(cd "$build" && pwd)/cli/memplug |" \
	"$source/packaging/systemd/memplug.conf" >"$dir/redis-server.service.d/memplug.conf"
systemd-analyze verify --man=no "$dir/memplug@test.service" "$dir/memplug-metrics.service" \
	"$dir/redis-server.service" >"$dir/out" 2>&1 || fail "systemd does not take the units"
[ ! -s "$dir/out" ] || fail "systemd has something to say about the units"

# ---- completion

complete_words() {
	# shellcheck disable=SC2016
	PATH=$(cd "$build" && pwd)/cli:$PATH bash -c 'source "$0" || exit
		COMP_WORDS=(memplug "$@") COMP_CWORD=$#
		_memplug
		printf "%s\n" "${COMPREPLY[@]}"' "$source/packaging/completion/memplug.bash" "$@" >"$dir/out" 2>&1
}

complete_words ''
for command in $("$build/cli/memplug" --help | sed -n 's/^  \([a-z, ]*[a-z]\)  .*/\1/p' | tr -d ,); do
	grep -qx "$command" "$dir/out" || fail "completion does not know $command"
done
complete_words res
[ "$(cat "$dir/out")" = resize ] || fail "completion of 'res' is not resize"
complete_words resize --d
[ "$(sort "$dir/out" | paste -sd ' ')" = "--deadline --dry-run" ] || fail "completion of 'resize --d'"
complete_words add 16M --zone m
[ "$(cat "$dir/out")" = movable ] || fail "completion of a zone"
complete_words -p x offline --dr
[ "$(cat "$dir/out")" = --dry-run ] || fail "completion behind -p"

# zsh's function offers candidates and leaves it to zsh to take those that fit; fish does both.
other_shells() {
	# shellcheck disable=SC2016
	PATH=$(cd "$build" && pwd)/cli:$PATH zsh -fc 'compadd() { print -l -- $candidates }
		words=("${@:2}") CURRENT=$((# - 1))
		source "$1"' zsh "$source/packaging/completion/memplug.zsh" "$@" >"$dir/zsh" 2>&1
	PATH=$(cd "$build" && pwd)/cli:$PATH fish -Nc "source '$source/packaging/completion/memplug.fish'
		complete -C '$*'" >"$dir/fish" 2>&1
}
other_shells memplug res
[ "$(cat "$dir/fish")" = resize ] || fail "fish: completion of 'res' is not resize"
grep -qx resize "$dir/zsh" || fail "zsh does not know resize"
other_shells memplug -p x offline --dr
[ "$(cat "$dir/fish")" = --dry-run ] || fail "fish: completion behind -p"
grep -qx -e --dry-run "$dir/zsh" || fail "zsh: completion behind -p"
other_shells memplug add 16M --zone m
[ "$(cat "$dir/fish")" = movable ] || fail "fish: completion of a zone"
grep -qx movable "$dir/zsh" || fail "zsh: completion of a zone"

# ---- every claim of SECURITY.md has a test that is there

grep -o '`tests/[^`]*`' "$source/docs/SECURITY.md" | tr -d '`' | sort -u >"$dir/tests"
[ "$(wc -l <"$dir/tests")" -ge 6 ] || fail "SECURITY.md names few tests"
while read -r test; do
	[ -e "$source/$test" ] || fail "SECURITY.md names $test, which is not there"
done <"$dir/tests"
exit 0
