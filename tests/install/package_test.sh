#!/bin/sh
# SPDX-License-Identifier: MIT
# package_test.sh DIR - the Debian packages: they build, lintian finds no error, each has what it is for,
# and what they unpack to runs a program on a pool (R79).
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
dir=$1
for program in dpkg-buildpackage dh lintian; do
	command -v $program >/dev/null || {
		echo "needs program $program: scripts/install-deps full" >&2
		exit 77
	}
done
fail() {
	echo "package_test: $*" >&2
	exit 1
}
rm -rf "$dir"
"$source/scripts/package-deb" "$dir" || fail "no packages"
mkdir "$dir/root"
for package in "$dir"/*.deb; do
	dpkg-deb -x "$package" "$dir/root"
done
has() { # PACKAGE FILE
	dpkg-deb -c "$dir/$1"_*.deb >"$dir/contents"
	grep -q "$2" "$dir/contents" || fail "$1 has no $2"
}
has libmemplug0 'libmemplug.so.0$\|libmemplug.so.0 ->'
has libmemplug-dev include/memplug/mhp.h
has libmemplug-dev pkgconfig/memplug-core.pc
has libmemplug-dev man3/mhp_pool_add.3
has memplug bin/memplug
has memplug memplug/libmemplug-heap.so
has memplug-doc PORTING.md
has memplug-doc examples/buffers.c
XDG_RUNTIME_DIR=$dir "$dir/root/usr/bin/memplug" run --name "package-$$" -- true ||
	fail "the installed command runs nothing"
