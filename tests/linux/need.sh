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

# need_huge_pages NUMBER: the kernel reserves so many more, until give_huge_pages is called at the end.
# Others may reserve some meanwhile: what is given back is what was taken.
huge_reserved=/proc/sys/vm/nr_hugepages
huge_taken=0
need_huge_pages() {
	huge_before=$(cat $huge_reserved 2>/dev/null) &&
		{ echo $((huge_before + $1)) >$huge_reserved; } 2>/dev/null &&
		huge_taken=$(($(cat $huge_reserved) - huge_before))
	[ $huge_taken = "$1" ] && return
	echo "needs huge-pages $1" >&2
	exit 77
}

give_huge_pages() {
	[ $huge_taken = 0 ] || echo $(($(cat $huge_reserved) - huge_taken)) >$huge_reserved
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
