#!/bin/sh
# SPDX-License-Identifier: MIT
# arm_guest_test.sh - the Linux port, the heap and the command in an AArch64 guest with Debian's kernel (R80):
# cross-compiled here with Debian's libraries, run by guest.py (cases: arm_cases.sh).
#
# usage: arm_guest_test.sh SOURCE_DIR FOLDER KERNEL [CASES]. FOLDER is what scripts/install-deps --guest FOLDER
# aarch64 has filled; the build is kept in it.
set -u
source=$1 folder=$2 kernel=$3 cases=${4-*}
[ -s "$folder/done" ] || {
	echo "needs file $folder/done: scripts/install-deps --guest $folder aarch64 puts it there"
	exit 77
}
[ -s "$folder/$kernel" ] || {
	echo "needs file $folder/$kernel: scripts/install-deps --kernel-64k $folder builds it"
	exit 77
}
command -v aarch64-linux-gnu-gcc >/dev/null || {
	echo "needs program aarch64-linux-gnu-gcc"
	exit 77
}
build=$folder/build
set -- cli/memplug heap/libmemplug-heap.so tests/linux/region-test tests/linux/write-loss \
	tests/linux/fork-cow tests/dax/worker
{
	[ -f "$build/build.ninja" ] || meson setup --cross-file "$source/scripts/aarch64.ini" \
		--cross-file "$folder/cross.ini" -Dbench=false -Dexamples=false "$build" "$source"
} >"$folder/build.log" 2>&1 && ninja -C "$build" "$@" >>"$folder/build.log" 2>&1 || {
	tail -n 20 "$folder/build.log"
	exit 1
}
cd "$build" && exec "$source/tests/dax/guest.py" --machine aarch64 --kernel "$kernel" --only "$cases" \
	"$folder" "$@" "$folder/root/usr/bin/perl"
