# SPDX-License-Identifier: MIT
# need.sh - what tests of `memplug run` ask of the machine; sourced, with $memplug set. Exit status
# 77 is a skip, and the last line on standard error says what it needs, in the words of scripts/machine.py.
# An error of ours is never a skip.

need_program() {
	for program_needed in "$@"; do
		command -v "$program_needed" >/dev/null && continue
		echo "needs program $program_needed" >&2
		exit 77
	done
}

# part_needs WORDS...: a part of the test is left out, and counted as a skip.
part_needs() {
	echo "SKIPPED $(basename "$0" .sh): needs $*"
}

# change_huge_pages NUMBER: the kernel reserves so many more, or less if negative. Others change that
# number, too: the lock is on its file, as in scripts/machine.py, and $huge_taken is what is ours of it.
huge_reserved=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
huge_taken=0
change_huge_pages() {
	# shellcheck disable=SC2016
	huge_change=$(flock $huge_reserved sh -c 'before=$(cat "$1") && after=$((before + $2)) &&
		{ [ $after -ge 0 ] || after=0; } && echo $after >"$1" && echo $(($(cat "$1") - before))' \
		- $huge_reserved "$1" 2>/dev/null)
	huge_taken=$((huge_taken + ${huge_change:-0}))
}

# need_huge_pages NUMBER: they are reserved until give_huge_pages is called at the end.
need_huge_pages() {
	change_huge_pages "$1"
	[ $huge_taken = "$1" ] && return
	echo "needs huge-pages $1" >&2
	exit 77
}

give_huge_pages() {
	[ $huge_taken = 0 ] || change_huge_pages -$huge_taken
}

# The command asks the pool that it was itself started in.
need_moving() {
	can_move=$("$memplug" run --name "probe-$$" -- "$memplug" -p "probe-$$" get userfaultfd 2>&1) || {
		echo "no pool can be asked whether it moves memory: $can_move" >&2
		exit 1
	}
	[ "$can_move" = full ] && return
	echo "needs userfaultfd: $can_move" >&2
	exit 77
}
