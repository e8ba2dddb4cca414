#!/bin/sh
# SPDX-License-Identifier: MIT
# arm_cases.sh - what is tried in the AArch64 guest, a function each; sourced by guest_init.sh (R80).
#
# On kernels with pages of 4, 16 and 64 KiB. A file in memory stands for a device. Programs come from Debian;
# what they print is known.
# shellcheck source=tests/dax/guest_words.sh
. /guest_words.sh
device=/tmp/device

# R40: a program of Debian's, its memory in the pool.
case__program_runs_in_a_pool() {
	memplug run --name $name --mmap -- perl -e '
		my %h; $h{$_} = "v$_" x 8 for 1 .. 20000;
		my $bad = grep { $h{$_} ne "v$_" x 8 } keys %h;
		if (my $pid = fork) { waitpid $pid, 0; $bad += $?; } else { exit !($h{7} eq "v7" x 8) }
		system("memplug ps >&2") == 0 or $bad++;
		print "bad: $bad\n"' >/tmp/out 2>/tmp/err || die "perl: $(cat /tmp/err)"
	[ "$(cat /tmp/out)" = "bad: 0" ] || die "perl said: $(cat /tmp/out)"
	grep -q "$name" /tmp/err || die "no pool was there: $(cat /tmp/err)"
}

# R37 R38 R40: blocks of ordinary memory come and go while the program works and forks.
case__program_gives_its_blocks_back() {
	start 16 --boot 48M
	all_leave ram
	all_leave ram
	stop
}

# R37 R38 R40
case__program_goes_to_a_device_and_back() {
	truncate -s 256M $device
	start 16 --boot 48M
	all_leave file:$device
	pool list | grep -q ram && die "blocks of ordinary memory are still listed"
	[ "$(pool get settled_bytes)" -gt 4194304 ] || die "only $(pool get settled_bytes) bytes are on the device"
	all_leave ram
	[ "$(pool get settled_bytes)" = 0 ] || die "$(pool get settled_bytes) bytes are still on the device"
	stop
	rm $device
}

# R37
case__no_write_is_lost() {
	page=$(sed -n 's/^KernelPageSize: *\([0-9]*\) kB/\1k/p' /proc/self/smaps | head -n 1)
	write-loss --unit "$page" --units 1000 && write-loss --unit 64k --units 100
}

# R38
case__fork_copies_on_write() {
	fork-cow 5 && fork-cow 5 memfd
}

case__region_cases() {
	region-test
}
