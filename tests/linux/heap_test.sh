#!/bin/sh
# SPDX-License-Identifier: MIT
# heap_test.sh - a program's memory in a pool is as it is without one (heap_cases.c), and the
# program is started as it is without us (R38, R54, R57).
#
# usage: heap_test.sh BUILD_DIR HEAP_CASES [CASE... | --on BACKING [CASE...]]
set -u
build=$1 cases=$2
shift 2
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
trap 'rm -rf "$dir"; give_huge_pages' EXIT
failed=0 fixed=''

fail() {
	echo "heap_test: $*" >&2
	cat "$dir/err" >&2
	failed=1
	return 1
}

run() {
	# shellcheck disable=SC2086
	timeout -s KILL 120 $fixed "$memplug" run --boot 64M --max 2G --block-size 16M "$@" >"$dir/out" 2>"$dir/err"
}

# What a case asks of its pool. Each has a name of its own: who serves one may take a moment to end.
pools=0
name_pool() {
	pools=$((pools + 1))
	pool="heap-$$-$pools"
	command="LD_PRELOAD= '$memplug' -p $pool"
	export HEAP_TEST_LEAVE="$command add 64M >/dev/null && $command remove 0-3 >/dev/null"
	export HEAP_TEST_SHRINK="$command resize 64M >/dev/null"
	export HEAP_TEST_COMMITTED="$command get committed_bytes"
	export HEAP_TEST_CHECK="$command check >/dev/null"
	export HEAP_TEST_BLOCKS="$command list --json | grep -o '\"index\"' | wc -l"
	export HEAP_TEST_SETTLED="$command get settled_bytes"
}

# in_pool CASE...: on ordinary memory, or on what $backing says.
backing=
in_pool() {
	for name in "$@"; do
		name_pool
		case $name in
		mmap__device_*) set -- --mmap --backing memfd ;;
		mmap__pool_is_full*) set -- --mmap --max 256M ;;
		pool_is_checked__*) set -- --boot 1G ;;
		pool_is_full__*) set -- --max 64M ;;
		workers_overlap__*) set -- --max 128M ;;
		mmap__*) set -- --mmap ;;
		device_*) set -- --backing memfd ;;
		large_array__*) set -- --huge large ;;
		*) set -- ;;
		esac
		# Without chance of addresses, what is mapped at a place of ours finds it taken.
		case $name in *__raw_calls_are_found) fixed='setarch -R' ;; *) fixed= ;; esac
		case $name in data_is_limited__*) data=327680 ;; *) data=unlimited ;; esac
		case $name in *_are_freed__*) keeps=0 ;; *) keeps=10000 ;; esac
		[ -z "$backing" ] || set -- "$@" --backing "$backing"
		# There must be room for whole windows.
		[ -z "$backing" ] || HEAP_TEST_LEAVE="$command add 128M >/dev/null && $command remove 0-3 >/dev/null"
		case $backing in hugetlb*)
			export HEAP_TEST_PAGE=2097152
			# A window of which anything is in use stays as a whole.
			HEAP_TEST_SHRINK="$command resize 144M >/dev/null" ;;
		esac
		(ulimit -S -d $data && export MALLOC_CONF="dirty_decay_ms:$keeps" && run --name "$pool" "$@" -- "$cases" "$name") &&
			[ ! -s "$dir/err" ] || fail "$name in a pool
replay: sh $0 $build $cases $name"
	done
}

# same WHAT OPTIONS... -- PROGRAM...: it prints "one" and "two", and we print nothing.
same() {
	what=$1
	shift
	run "$@" || fail "$what: status $?"
	[ ! -s "$dir/err" ] || fail "$what: something on standard error"
	[ "$(cat "$dir/out")" = "one
two" ] || fail "$what: not the program's output: $(cat "$dir/out")"
}

# outside WORDS PROGRAM: it runs, and one line says why its heap is not in the pool.
outside() {
	run -- "$2" || fail "$2: status $?"
	grep -qx one "$dir/out" || fail "$2: did not run"
	[ "$(wc -l <"$dir/err")" = 1 ] && grep -q "^memplug: $2 .*$1" "$dir/err" ||
		fail "$2: not one line with '$1'"
}

# build NAME CC OPTIONS...: a program that prints "one".
build() {
	binary=$dir/$1
	shift
	if ! command -v "$1" >/dev/null; then
		part_needs program "$1"
		return 1
	fi
	"$@" -o "$binary" "$dir/one.c" 2>"$dir/err" || fail "$* does not build a program"
}

names=$("$cases") && [ "$names" ] || {
	echo "heap_test: $cases does not list its cases" >&2
	exit 1
}
if [ "${1-}" = --on ]; then
	backing=$2
	shift 2
	# Not those that count memory or turns: a device has other numbers; nor those that bring a device of their own, unless
	# this one has other pages.
	others='^all_memory_is\|^large_heap\|^heap_grows\|resident'
	# The rest of a window that is one page is for malloc only.
	case $backing in hugetlb*) need_huge_pages 400; others="$others\|^mmap__pool_is_full_and" ;;
	*) others="$others\|^mmap__\|^device_" ;; esac
	# shellcheck disable=SC2046
	[ $# -gt 0 ] || set -- $(echo "$names" | grep -v "$others")
fi
if [ $# -gt 0 ]; then
	in_pool "$@"
	exit $failed
fi
# shellcheck disable=SC2086
in_pool $names

# ---- what the program starts: with a pool where that can be, without one where not

truncate -s 64M "$dir/file"
# A program that has just ended, or was executed over, has it for a moment still.
(flock 9 && : >"$dir/locked" && sleep 0.5) 9<"$dir/file" &
until [ -e "$dir/locked" ]; do sleep 0.01; done
same "a file that is free in a moment" --backing "file:$dir/file" -- sh -c 'echo one; echo two'
same "a file of the program that executes this" --backing "file:$dir/file" -- sh -c 'echo one; exec /bin/echo two'
wait
same "a file that one pool has" --backing "file:$dir/file" -- sh -c 'echo one; /bin/echo two'
same "few addresses for a child" -- sh -c 'echo one; ulimit -v 100000; /bin/echo two'
same "little data for a child" -- sh -c 'echo one; ulimit -d 49152; perl -e "print qq(two\\n)"; true'
same "no files for a child" -- sh -c 'echo one; (ulimit -f 0; /bin/echo two) | cat'
same "few addresses for the program" --max 64M -- sh -c 'echo one; exec /bin/echo two'
printf 'one\ntwo\n' >"$dir/words"
if command -v bash >/dev/null; then
	same "a descriptor that a script chooses" -- bash -c 'cat 3<"$0" <&3' "$dir/words"
else
	part_needs program bash
fi
if command -v valgrind >/dev/null; then
	same "a child under valgrind" -- sh -c 'echo one; valgrind -q /bin/echo two'
else
	part_needs program valgrind
fi
if [ "$(id -u)" != 0 ]; then
	part_needs root
elif ! unshare -m true 2>/dev/null; then
	part_needs mount-namespaces
else
	same "a read-only /run" -- \
		unshare -m sh -c 'mount -t tmpfs -o ro none /run && echo one && /bin/echo two'
fi
name_pool
run --name "$pool" -- sh -c "'$memplug' ps; true"
grep -q " $pool " "$dir/out" && grep -q " $pool\.[0-9]* " "$dir/out" ||
	fail "a child's pool has not a name of its own"
name_pool
run --name "$pool" --children none -- sh -c "'$memplug' ps; true"
[ "$(grep -c " $pool" "$dir/out")" = 1 ] || fail "--children none: a child has a pool"

# A program at a fixed address, in which malloc's address is a place of its own.
cat >"$dir/one.c" <<'END'
#include <stdlib.h>
void *(*volatile taken)(size_t) = malloc;
int main(void) { return taken(100 << 20) == NULL ? 1 : system(getenv("HEAP_TEST_COMMITTED")); }
END
if build fixed cc -no-pie; then
	name_pool
	run --name "$pool" -- "$binary"
	[ "$(cat "$dir/out")" -ge $((100 << 20)) ] || fail "a program at a fixed address has no pool"
fi

# ---- programs that are not for us

cat >"$dir/one.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) { char *p = strdup("one"); puts(p); free(p); return 0; }
END
build static cc -static && outside "is linked statically" "$binary"
for sanitized in "cc address" "clang address" "cc leak"; do
	compiler=${sanitized% *}
	build sanitized "$compiler" "-fsanitize=${sanitized#* }" || continue
	outside "is built with a sanitizer" "$binary"
	same "$sanitized: a child with a sanitizer" -- sh -c "'$binary'; /bin/echo two"
done
printf '#!%s\n' "$dir/static" >"$dir/script"
chmod +x "$dir/script"
[ -e "$dir/static" ] && outside "is linked statically" "$dir/script"

printf 'void *malloc(unsigned long size) { static char all[64 << 20]; static unsigned long used;\n' >"$dir/own.c"
printf 'used += size + 15 & -16ul; return all + used - (size + 15 & -16ul); }\nvoid free(void *at) { (void)at; }\n' >>"$dir/own.c"
build own cc "$dir/own.c" -fno-builtin -rdynamic && outside "has a malloc of its own" "$binary"
# No compiler is needed to look like Go: its programs have a section of this name.
if build plain cc; then
	echo buildinfo >"$dir/buildinfo"
	objcopy --add-section ".go.buildinfo=$dir/buildinfo" "$dir/plain" "$dir/go" && outside "is written in Go" "$dir/go"
	if [ "$(id -u)" = 0 ]; then
		chown 65534 "$dir/plain" && chmod 4755 "$dir/plain" "$dir" &&
			outside "runs with other privileges than yours" "$dir/plain"
	else
		part_needs root
	fi
fi

# ---- words of the environment that `memplug run` would have refused

# preloaded WORDS...: environment of a program that the library is preloaded into by hand. With "first"
# among them it is what `memplug run` would have become.
preloaded() {
	# shellcheck disable=SC2016
	timeout -s KILL 60 env MEMPLUG_BOOT=32M MEMPLUG_BLOCK_SIZE=16M "$@" sh -c '
		[ "${first-}" ] && export MEMPLUG_FIRST=$$
		LD_PRELOAD=$0 exec /bin/echo one' "$build/heap/libmemplug-heap.so" >"$dir/out" 2>"$dir/err"
}

while IFS='|' read -r word what; do
	preloaded first=1 MEMPLUG_STRICT=1 "$word" && fail "$word: a strict program runs"
	[ ! -s "$dir/out" ] && grep -q "^memplug: .*$what" "$dir/err" || fail "$word: no word of '$what'"
	preloaded first=1 "$word" && [ "$(cat "$dir/out")" = one ] && grep -q "$what" "$dir/err" ||
		fail "$word: the program does not run without a pool"
	preloaded "$word" && [ "$(cat "$dir/out")" = one ] && [ ! -s "$dir/err" ] ||
		fail "$word: a child does not run in silence"
done <<'END'
MEMPLUG_BOOT=x|MEMPLUG_BOOT=x is no size
MEMPLUG_BLOCK_SIZE=-1|MEMPLUG_BLOCK_SIZE=-1 is no size
MEMPLUG_BLOCK_SIZE=3M|power of two from 4 MiB
MEMPLUG_MAX=0|MEMPLUG_MAX=0 is no size
MEMPLUG_MMAP=,|MEMPLUG_MMAP=, is no size
MEMPLUG_BACKING=gold|'gold' is no backing
MEMPLUG_BACKING=file:/no/such/file|cannot open /no/such/file
MEMPLUG_PLACEMENT=near|'near' is no placement
MEMPLUG_PLACEMENT=bind 5|node 5 of the pool has no memory
MEMPLUG_TIERING=gold|tiering is on, off
END
while read -r word; do
	preloaded first=1 MEMPLUG_STRICT=1 "MEMPLUG_NAME=heap-$$" "$word" || fail "$word: status $?"
	[ "$(cat "$dir/out")" = one ] && [ ! -s "$dir/err" ] || fail "$word: it does not run in silence"
done <<'END'
MEMPLUG_FOLLOW=
MEMPLUG_PLACEMENT=
MEMPLUG_TIERING=
MEMPLUG_TIERING=on
MEMPLUG_BOOT=
MEMPLUG_GROW=none
MEMPLUG_HUGE=auto
MEMPLUG_HUGE=none
MEMPLUG_MMAP=64K
MEMPLUG_CHILDREN=none
END

# ---- limits have names

(ulimit -v 4000000 && run --max 16G -- /bin/echo it ran)
[ $? = 1 ] && grep -q "RLIMIT_AS" "$dir/err" || fail "a limit of addresses is not named"
(ulimit -v 4000000 && same "a maximum that fits" --max 128M -- sh -c 'echo one; /bin/echo two'
	exit $failed) || failed=1
(ulimit -v 16777216 && same "16 GiB of addresses" --max 512M -- sh -c 'echo one; /bin/echo two'
	exit $failed) || failed=1
(ulimit -d 1048576 && same "a GiB of data" -- sh -c 'echo one; /bin/echo two'
	exit $failed) || failed=1
(ulimit -d 49152 && run -- /bin/echo it ran)
[ $? = 1 ] && grep -q "RLIMIT_DATA" "$dir/err" || fail "a limit of data is not named"
(ulimit -s 32 && for _ in 1 2 3 4; do same "small stacks" -- sh -c 'echo one; /bin/echo two'; done
	exit $failed) || failed=1
exit $failed
