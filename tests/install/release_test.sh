#!/bin/sh
# SPDX-License-Identifier: MIT
# release_test.sh SOURCE_DIR LIBRARY - scripts/check-abi before and after a tag (R79).
#
# A small repository of its own holds what check-abi reads. It is content without git's folder and
# without a tag, as a shallow clone is; a tag of the same minor version holds the list to what was
# released, and one of another minor version does not.
set -u
source=$1 library=$2
command -v git >/dev/null || {
	echo "needs program git"
	exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/scripts" "$dir/lib"
cp -r "$source/include" "$source/meson.build" "$dir" && cp "$source/scripts/check-abi" "$dir/scripts" &&
	cp "$source/lib/abi.txt" "$dir/lib" || exit 1
version=$(sed -n "s/.*version: '\([0-9]*\.[0-9]*\).*/\1/p" "$dir/meson.build" | head -n 1)
export GIT_CONFIG_GLOBAL=/dev/null GIT_CEILING_DIRECTORIES="${dir%/*}"
in_git() {
	git -C "$dir" -c user.name=tester -c user.email=tester@localhost "$@" >/dev/null || exit 1
}
failed=0
check() { # EXPECTED STATUS, CONDITION
	"$dir/scripts/check-abi" "$library" >"$dir/said" 2>&1
	[ $? = "$1" ] || {
		echo "release_test: $2: check-abi should end with $1"
		cat "$dir/said"
		failed=1
	}
}

check 0 "without git's folder"
in_git init --quiet
in_git add .
in_git commit --quiet -m released
check 0 "without a tag"
in_git tag "v$version.0"
check 0 "at the tag"

# A struct that the release had is gone, and its line in the list with it.
echo 'struct mhp_of_the_release 8' >>"$dir/lib/abi.txt"
in_git add .
in_git commit --quiet -m 'what the release had'
in_git tag --force "v$version.0"
cp "$source/lib/abi.txt" "$dir/lib"
in_git commit --quiet -a -m 'the list without it'
check 1 "a struct is gone since the tag, and from the list"
grep -q 'struct mhp_of_the_release is gone' "$dir/said" || {
	echo "release_test: check-abi does not say what is gone"
	failed=1
}
in_git tag "v9.9.0" "v$version.0"
in_git tag -d "v$version.0"
check 0 "the tag is of another minor version"
exit $failed
