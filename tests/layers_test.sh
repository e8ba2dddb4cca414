#!/bin/sh
# SPDX-License-Identifier: MIT
# layers_test.sh - the range layer takes pages and a count, and no word about reserves is in it (R14):
# scripts/check-style accepts it as it is, and notices such a word in each of its files.
#
# usage: layers_test.sh SOURCE_DIR
set -u
source=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tar -C "$source" --exclude=./build --exclude=./.git -cf - . | tar -C "$dir" -xf - || exit 1
rule="FAILED style__range_layer_knows_ranges_only"
failed=0

# Does check-style, which must run to its end, name the rule?
notices() {
	"$dir/scripts/check-style" >"$dir/said" 2>&1
	tail -n 1 "$dir/said" | grep -q ' passed, ' || fail "check-style did not run to its end"
	grep -qx "$rule" "$dir/said"
}

fail() {
	echo "layers_test: $*" >&2
	echo "replay: sh $0 $source" >&2
	failed=1
}

notices && fail "the range layer knows of reserves: see scripts/check-style"
while read -r file word; do
	echo "/* $word */" >>"$dir/core/ranges/$file"
	notices || fail "check-style does not notice '$word' in core/ranges/$file"
	cp "$source/core/ranges/$file" "$dir/core/ranges/$file"
done <<'END'
ranges.c reserve
ranges.h memmap_on_memory
offline.c altmap
migrate.c vmemmap
END
rm "$dir/core/ranges/ranges.c"
notices || fail "check-style does not notice that core/ranges/ranges.c is not there"
exit $failed
