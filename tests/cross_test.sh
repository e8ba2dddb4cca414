#!/bin/sh
# SPDX-License-Identifier: MIT
# cross_test.sh - the engine compiles for other machines, freestanding and without libgcc (R80): each
# compiler that is there makes an archive of it, which scripts/check-archive looks through.
#
# usage: cross_test.sh SOURCE_DIR MACHINE [FLAG...]
set -u
source=$1 machine=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
command -v "$machine-gcc" >/dev/null || {
	echo "needs program $machine-gcc"
	exit 77
}
cd "$dir" || exit 1
find "$source/core" -name '*.c' -exec "$machine-gcc" -std=c11 -O2 -Wall -Wextra -Werror -ffreestanding \
	-fno-pic -fno-stack-protector -DMHP_VMEMMAP=1 "-I$source/include" "-I$source/core" \
	"-I$source/ports/template" "$@" -c {} + || exit 1
"$machine-ar" cr core.a ./*.o || exit 1
NM=$machine-nm SIZE=$machine-size sh "$source/scripts/check-archive" core.a
