#!/bin/sh
# SPDX-License-Identifier: MIT
# write_loss_test.sh PROGRAM hugetlb|file ARGS...: no write is lost on a device that has to be made
# first: huge pages, which are given back in the end, or a file of this folder.
program=$1 backing=$2
shift 2
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
case $backing in
hugetlb)
	trap give_huge_pages EXIT
	need_huge_pages 96
	backing=hugetlb:2M
	;;
file)
	file=$(mktemp ./write-loss.XXXXXX) || exit 1
	trap 'rm -f "$file"' EXIT
	fallocate -l 64M "$file" || exit 1
	backing=file:$file
	;;
esac
"$program" "$@" --backing "$backing"
