# SPDX-License-Identifier: MIT
# need.sh - what tests of `memplug run` ask of the machine; sourced, with $memplug set. Exit status
# 77 is a skip, and the last line on standard error says why.

need_program() {
	for program_needed in "$@"; do
		command -v "$program_needed" >/dev/null && continue
		echo "$program_needed is not installed" >&2
		exit 77
	done
}

# The command asks the pool that it was itself started in.
need_moving() {
	can_move=$("$memplug" run --name "probe-$$" -- "$memplug" -p "probe-$$" get userfaultfd 2>&1)
	[ "$can_move" = full ] && return
	echo "$can_move" >&2
	exit 77
}
