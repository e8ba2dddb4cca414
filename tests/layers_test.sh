#!/bin/sh
# SPDX-License-Identifier: MIT
# layers_test.sh - the layers of the core are what they say (R14): scripts/check-style accepts the
# sources as they are, and refuses an upward include, an upward call, a circle of calls, and a word for
# what lies before a range in any file of the range layer.
#
# usage: layers_test.sh SOURCE_DIR
set -u
source=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tar -C "$source" --exclude=./build --exclude=./.git -cf - . | tar -C "$dir" -xf - || exit 1
failed=0

fail() {
	echo "layers_test: $*" >&2
	echo "replay: sh $0 $source" >&2
	failed=1
}

# refuses RULE: does check-style, which must run to its end, name the rule?
refuses() {
	"$dir/scripts/check-style" "$1" >"$dir/said" 2>&1
	tail -n 1 "$dir/said" | grep -q ' passed, ' || fail "check-style did not run to its end"
	grep -qx "FAILED style__$1" "$dir/said"
}

# plant RULE FILE TEXT: with this at its end, the file breaks the rule.
plant() {
	printf '%s\n' "$3" >>"$dir/$2"
	refuses "$1" || fail "check-style does not notice '$3' in $2"
	cp "$source/$2" "$dir/$2"
}

for rule in layers_see_only_below no_two_files_in_a_circle range_layer_knows_ranges_only; do
	refuses $rule && fail "the sources break $rule: see scripts/check-style"
done

plant layers_see_only_below core/pages/zone.c '#include "blocks/block.h"'
plant layers_see_only_below core/tables/bad.c 'int up(struct mhp *m) { return mhp_check(m, true, 0, 0); }'
plant layers_see_only_below core/base/sum.h 'static inline bool up(const struct mhp *m) { return mhp__owner_known(m, 1); }'
plant no_two_files_in_a_circle core/tables/owner.c 'void around(struct mhp *m) { mhp__notify(m, 0); }'
plant no_two_files_in_a_circle control/out.c 'void around(void) { mhp__request(0, 0); }'
plant no_two_files_in_a_circle bench/measure.c 'void around(void) { bench_pages(); }'

words="reserve altmap vmemmap metadata memmap_on_memory reserved mhp__block_set_state"
for file in "$source"/core/ranges/*.[ch]; do
	word=${words%% *}
	words="${words#* } $word"
	plant range_layer_knows_ranges_only "core/ranges/$(basename "$file")" "/* $word */"
done
plant range_layer_knows_ranges_only core/ranges/carve.c 'int node(struct mhp *m) { return m->blocks[0].node; }'
rm "$dir/core/ranges/ranges.c"
refuses range_layer_knows_ranges_only || fail "check-style does not notice that a file is not there"
exit $failed
