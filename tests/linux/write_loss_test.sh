#!/bin/sh
# SPDX-License-Identifier: MIT
# write_loss_test.sh PROGRAM hugetlb|file ARGS...: no write is lost on a device that has to be made
# first: huge pages, which are given back in the end, or a file of this folder.
program=$1 backing=$2
shift 2
reserved=/proc/sys/vm/nr_hugepages
pages=96
case $backing in
hugetlb)
	before=$(cat $reserved)
	# Others may reserve some meanwhile: what is given back is what was taken.
	trap 'echo $(($(cat $reserved) - pages)) >$reserved' EXIT
	echo $((before + pages)) >$reserved || exit 1
	if [ "$(cat $reserved)" != $((before + pages)) ]; then
		pages=$(($(cat $reserved) - before))
		echo "needs huge-pages 96" >&2
		exit 77
	fi
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
