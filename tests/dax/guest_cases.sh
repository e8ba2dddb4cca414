#!/bin/sh
# SPDX-License-Identifier: MIT
# guest_cases.sh - what is tried in the guest, a function each; sourced by guest_init.sh.
#
# A case is a shell of its own and passes with exit status 0; what it prints is shown when it does
# not. Programs that it leaves running are ended after it. The names say what must hold.
# shellcheck source=tests/dax/guest_words.sh
. /guest_words.sh
small=/dev/dax0.0 # mapped in pieces of 4 KiB
large=/dev/dax1.0 # of 2 MiB

# ---- a DAX device ----

# R35 R36 R37 R38
case__device_cases() { # the program's own words name each
	device-test $small $large
}

# R37: nobody may read or write a page of a device while it moves.
case__device_no_write_is_lost() {
	write-loss --backing dax:$small --unit 4k --units 4000 &&
		write-loss --backing dax:$small --unit 64k --units 1000 &&
		write-loss --backing dax:$small --unit 2m --units 50 &&
		write-loss --backing dax:$large --unit 2m --units 100
}

case__device_writes_are_lost_without_protection() {
	write-loss --backing dax:$small --unit 4k --units 1000 --control &&
		write-loss --backing dax:$large --unit 2m --units 10 --control
}

# R38
case__device_fork_copies_on_write() {
	fork-cow 10 dax:$small && fork-cow 10 dax:$large
}

# R40: memory leaves for other pieces of the same device, then for ordinary memory, and comes back.
case__device_leaves_a_program() {
	start 16 --backing dax:$small --boot 48M
	pool list | grep -q ' dax ' || die "no block of the device is listed"
	all_leave dax:$small
	all_leave memfd
	pool list | grep -q ' dax ' && die "blocks of the device are still listed"
	grep -q $small "/proc/$program/maps" && die "the device is still mapped"
	all_leave dax:$small
	stop
}

case__device_of_large_pages_leaves_a_program() {
	start 20 --backing dax:$large,node=1 --boot 48M
	all_leave dax:$large,node=1
	stop
}

# R36
case__device_errors_are_clear() {
	expect 1 "which is not enough" memplug run --backing dax:$small --boot 4G -- memplug ps
	expect 1 "cannot open /dev/dax7.0" memplug run --backing dax:/dev/dax7.0 -- memplug ps
	expect 1 "not a DAX device" memplug run --backing dax:/dev/null -- memplug ps
	expect 1 "is on NUMA node 1, not on node 0" memplug run --backing dax:$large,node=0 -- memplug ps
	start 10 --backing dax:$small --boot 32M
	expect 1 "in use" memplug run --backing dax:$small --block-size 16M --boot 16M -- memplug ps
	expect 1 "which is not enough" pool add 512M --backing dax:$small
	expect 1 "in use" pool add 16M --backing dax:/dev/../dev/dax0.0
	pool add 16M --backing dax:$large || die "pages of 2 MiB are not taken beside those of 4 KiB"
	expect 1 "multiple of the block size" pool add 1M --backing dax:$small
	stop
	memplug run --backing dax:$small --block-size 16M --boot 16M -- memplug ps ||
		die "the device is not free after its pool has ended"
}

# ---- two devices, and RAM, in one pool ----

# The node that a backing is: what memplug nodes says of it.
node_of() {
	pool nodes | awk -v place="$1" '$NF == place { print $1 }'
}

settled() {
	pool get settled_bytes
}

# What daxctl reconfigure-device does, and back.
becomes_system_memory() {
	[ -d /sys/bus/dax/drivers/kmem ] || insmod /modules/kmem.ko || return
	cd /sys/bus/dax/drivers || return
	echo offline >/sys/devices/system/memory/auto_online_blocks
	before=$(ls -d /sys/devices/system/memory/memory* | wc -l)
	echo "$1" >device_dax/unbind
	echo "$1" >kmem/new_id
	after=$(ls -d /sys/devices/system/memory/memory* | wc -l)
	echo "$1" >kmem/unbind
	echo "$1" >kmem/remove_id
	echo "$1" >device_dax/bind
	cd /
	echo "$before blocks of system memory, then $after"
	[ "$after" -gt "$before" ]
}

# R60 R61 R63: a program that started on RAM goes to a device of 4 KiB pages, from there to one of
# 2 MiB pages, and back; a device that was evacuated is held by nobody.
case__places_of_two_devices() {
	start 20 --boot 64M
	pool add 96M --backing dax:$small >/dev/null || die "cannot add $small"
	pool add 96M --backing dax:$large >/dev/null || die "cannot add $large"
	pool nodes
	near=$(node_of "dax:$small") far=$(node_of "dax:$large")
	[ -n "$near" ] && [ -n "$far" ] && [ "$near" != "$far" ] || die "nodes $near and $far"
	pool move 0-3 --to "$near" --deadline 120 || die "nothing goes to $small"
	[ "$(settled)" -gt 4194304 ] || die "only $(settled) bytes are on $small"
	pool evacuate "$near" --to "$far" --deadline 120 || die "$small cannot be left for $large"
	[ "$(settled)" -gt 4194304 ] || die "only $(settled) bytes are on $large"
	ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q $small && die "$small is still open"
	pool evacuate "$far" --dry-run --deadline 120 || die "no rehearsal"
	pool evacuate "$far" --deadline 120 || die "$large cannot be left"
	[ "$(settled)" = 0 ] || die "$(settled) bytes are still on a device"
	ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/dax && die "a device is still open"
	pool nodes
	becomes_system_memory dax0.0 || die "$small cannot become system memory"
	stop
}

# ---- servers on two devices ----

# serve COMMAND...: a server under memplug run, on RAM of node 0, or on $backing.
backing=
serve() {
	ifconfig lo up
	# shellcheck disable=SC2086
	memplug run --name "$name" --block-size 16M --boot 48M --grow none $backing -- "$@" >/tmp/server 2>&1 &
	program=$!
	echo $program >>/tmp/started
}

# answers COMMAND...: until it does.
answers() {
	for _ in $(seq 600); do
		"$@" >/dev/null 2>&1 && return
		kill -0 $program 2>/dev/null || break
		sleep 0.2
	done
	die "the server does not answer: $(tail -n 5 /tmp/server)"
}

# grows_onto DEVICE FILL...: RAM is full, so what comes now is on the device; *$far is its node.
grows_onto() {
	device=$1
	shift
	pool add 192M --backing "dax:$device" >/dev/null || die "cannot add $device"
	far=$(node_of "dax:$device")
	"$@" || die "it cannot be filled: $(tail -n 5 /tmp/server)"
	for _ in $(seq 600); do
		[ "$(settled)" -gt $((8 << 20)) ] && return
		sleep 0.2
	done
	pool nodes
	die "only $(settled) bytes are on $device"
}

# left_under_load DEVICE DIGEST...: evacuated while the server works, whose data is as before; then
# nobody holds the device.
left_under_load() {
	device=$1
	shift
	digest=$("$@")
	[ -n "$digest" ] || die "no digest"
	pool evacuate "$far" --deadline 300 || die "$device cannot be left"
	[ "$(settled)" = 0 ] || die "$(settled) bytes are still on $device"
	ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q "$device" && die "$device is still open"
	kill -0 $load 2>/dev/null || die "there was no load any more"
	[ "$("$@")" = "$digest" ] || die "the data is not what it was"
	becomes_system_memory "${device#/dev/}" || die "$device cannot become system memory"
	[ "$("$@")" = "$digest" ] || die "the data is not what it was before"
	pool check >/dev/null || die "the verifier is not content"
}

ask() {
	redis-cli -s /tmp/redis.sock "$@"
}

redis_fill() { # PREFIX KEYS
	[ "$(ask debug populate "$2" "$1" 500)" = OK ]
}

redis_digest() {
	for key in $(seq 0 97 29999); do
		echo "debug digest-value early:$key late:$key"
	done | ask | md5sum
}

serve_redis() { # OPTION...
	serve redis-server --port 0 --unixsocket /tmp/redis.sock --save '' --enable-debug-command yes "$@"
	answers ask ping
}

# R60 R61 R63 R40
case__redis_grows_onto_devices_and_leaves_them() {
	serve_redis --disable-thp no
	redis_fill early 30000 || die "it cannot be filled"
	grows_onto $small redis_fill late 80000
	redis-benchmark -s /tmp/redis.sock -t set,get -n 100000000 -r 1000 -d 300 -c 4 -q >/dev/null 2>&1 &
	load=$!
	echo $load >>/tmp/started
	pool add 192M >/dev/null
	left_under_load $small redis_digest
	pool add 192M --backing dax:$large >/dev/null || die "cannot add $large"
	far=$(node_of "dax:$large")
	pool move 0-2 --to "$far" --deadline 300 || die "nothing goes to $large"
	[ "$(settled)" -gt $((8 << 20)) ] || die "only $(settled) bytes are on $large"
	left_under_load $large redis_digest
}

# R66: redis switches huge pages off, and then the kernel maps no large page of a device any more.
case__redis_without_huge_pages_keeps_off_large_ones() {
	serve_redis
	expect 1 "PR_SET_THP_DISABLE" pool add 192M --backing dax:$large
	ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q $large && die "$large is still open"
	redis_fill early 30000 || die "it cannot be filled"
	grows_onto $small redis_fill late 80000
	pool check >/dev/null || die "the verifier is not content"
	kill $program
	wait $program
	backing="--backing dax:$large"
	serve_redis
	redis_fill early 30000 || die "it cannot be filled"
	redis_digest >/tmp/before
	sleep 1 # some settlers would have been at work
	[ "$(settled)" -lt 8388608 ] || die "$(settled) bytes went to $large" # some may have been there before
	pool add 96M --backing ram >/dev/null || die "cannot add"
	pool remove 0-2 --deadline 120 || die "the device cannot be left"
	[ "$(redis_digest)" = "$(cat /tmp/before)" ] || die "the data is not what it was"
	pool check >/dev/null || die "the verifier is not content"
}

# memcached_says REQUESTS...: what it answers.
memcached_says() {
	{
		"$@"
		printf 'quit\r\n'
	} | nc 127.0.0.1 11211
}

sets() { # FIRST LAST
	awk -v first="$1" -v last="$2" 'BEGIN {
		for (i = first; i <= last; i++) {
			data = sprintf("%0" (500 + i % 500) "d", i)
			printf "set k%d 0 0 %d noreply\r\n%s\r\n", i, length(data), data
		}
	}'
}

gets() {
	awk 'BEGIN { for (i = 0; i < 80000; i += 37) printf "get k%d\r\n", i }'
}

memcached_digest() {
	memcached_says gets | md5sum
}

memcached_fill() {
	memcached_says sets 40000 79999
}

memcached_grows_onto() { # DEVICE
	serve memcached -u root -m 512 -l 127.0.0.1 -p 11211
	answers memcached_says true
	memcached_says sets 0 39999
	grows_onto "$1" memcached_fill
	[ "$(memcached_says gets | grep -c VALUE)" = 2163 ] || die "not all is there"
	while :; do memcached_says sets 100000 100999; done &
	load=$!
	echo $load >>/tmp/started
	pool add 192M >/dev/null
	left_under_load "$1" memcached_digest
}

# R60 R61 R63 R40
case__memcached_grows_onto_a_device_and_leaves_it() {
	memcached_grows_onto $small
}

# Its slabs are a little more than half a large page each.
case__memcached_grows_onto_a_device_of_large_pages_and_leaves_it() {
	memcached_grows_onto $large
}

# ---- NUMA: two nodes ----

# What the worker's heap has on a node, in pages.
heap_pages_on() { # NODE
	grep -F 'memfd:memplug\040' "/proc/$program/numa_maps" | grep -o " N$1=[0-9]*" | cut -d= -f2 |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# The kernel counts pages as the program touches them where they are now.
heap_is_on() { # NODE OTHER
	for _ in $(seq 300); do
		[ "$(heap_pages_on "$1")" -gt 4000 ] && break
		sleep 0.2
	done
	[ "$(heap_pages_on "$1")" -gt 4000 ] || die "node $1 has $(heap_pages_on "$1") pages"
	[ "$(heap_pages_on "$2")" = 0 ] || die "node $2 has $(heap_pages_on "$2") pages"
}

# R36
case__node_is_where_memory_comes_from() {
	start 24 --backing memfd,node=1 --boot 64M
	heap_is_on 1 0
	all_leave memfd,node=0
	heap_is_on 0 1
	expect 1 "no NUMA node 7" pool add 16M --backing memfd,node=7
	stop
}

huge_free() { # NODE SIZE
	cat "/sys/devices/system/node/node$1/hugepages/hugepages-$2/free_hugepages"
}

case__node_of_huge_pages() {
	zero=$(huge_free 0 2048kB) one=$(huge_free 1 2048kB)
	start 10 --backing hugetlb:2M,node=1 --boot 96M --grow none
	[ "$(huge_free 0 2048kB)" = "$zero" ] || die "huge pages of node 0 were taken"
	[ "$(huge_free 1 2048kB)" = $((one - 48)) ] || die "node 1 had $one, has $(huge_free 1 2048kB)"
	stop
}

# ---- huge pages ----

# R36 R37
case__huge_pages_no_write_is_lost() {
	write-loss --backing hugetlb:2M --unit 2m --units 50
}

# R38
case__huge_pages_fork_copies_on_write() {
	fork-cow 10 hugetlb:2M
}

# R35 R40
case__huge_pages_leave_a_program_and_come_back() {
	free=$(huge_free 0 2048kB)+$(huge_free 1 2048kB)
	start 20 --backing hugetlb:2M --boot 32M
	all_leave hugetlb:2M
	pool list | grep -q hugetlb-2M || die "no huge pages are listed"
	expect 1 "HugePages_Free" pool add 1G --backing hugetlb:2M
	stop
	for _ in $(seq 300); do # its companion ends after it
		now=$(huge_free 0 2048kB)+$(huge_free 1 2048kB)
		[ $((now)) = $((free)) ] && return
		sleep 0.2
	done
	die "$free huge pages were free, now $now"
}

# R36
case__huge_pages_of_1g_are_refused_and_kept() {
	free=$(huge_free 0 1048576kB)+$(huge_free 1 1048576kB)
	[ $((free)) -gt 0 ] || die "the guest has no page of 1 GiB"
	expect 1 "1 GiB" memplug run --backing hugetlb:1G --block-size 1G --boot 1G -- memplug ps
	now=$(huge_free 0 1048576kB)+$(huge_free 1 1048576kB)
	[ $((now)) = $((free)) ] || die "$free pages of 1 GiB were free, now $now"
}

# ---- an ordinary user ----

start_as_user() {
	mkdir -p /tmp/user
	chown user /tmp/user
	: >/tmp/worker
	su user -c "XDG_RUNTIME_DIR=/tmp/user exec memplug run --name $name --boot 48M --block-size 16M \
		--max 256M -- worker 16" >/tmp/worker 2>&1 &
	program=$!
	echo $program >>/tmp/started
	for _ in $(seq 600); do
		grep -q ready /tmp/worker && return
		kill -0 $program 2>/dev/null || break
		sleep 0.2
	done
	die "the worker did not start: $(tail -n 5 /tmp/worker)"
}

user_pool() {
	su user -c "XDG_RUNTIME_DIR=/tmp/user memplug -p $name $*"
}

case__user_without_permission_is_told_and_keeps_the_rest() {
	[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] || die "unprivileged_userfaultfd is set"
	start_as_user
	user_pool list >/tmp/list || die "list"
	user_pool add 32M || die "add"
	user_pool remove 4 || die "an empty block does not leave"
	user_pool remove 0 || die "ordinary memory needs no permission"
	chmod 666 $small
	expect 1 "vm.unprivileged_userfaultfd=1" user_pool add 16M --backing dax:$small
	[ "$(user_pool list --json | grep -o '"index"' | wc -l)" = 3 ] || die "blocks are missing"
	user_pool check >/dev/null || die "the verifier is not content"
	kill -TERM "$program"
	wait "$program" || die "the worker: $(tail -n 5 /tmp/worker)"
	grep -q ' 0 wrong' /tmp/worker || die "the worker: $(tail -n 5 /tmp/worker)"
}

user_moves() {
	start_as_user
	user_pool add 64M || die "add"
	for block in 0 1 2; do
		user_pool remove $block || die "block $block does not leave: $(tail -n 5 /tmp/worker)"
	done
	kill -TERM "$program"
	wait "$program" || die "the worker: $(tail -n 5 /tmp/worker)"
}

case__user_with_the_device_may_move() {
	[ -c /dev/userfaultfd ] || die "no /dev/userfaultfd"
	chmod 666 /dev/userfaultfd
	user_moves
	chmod 600 /dev/userfaultfd
}

case__user_with_the_sysctl_may_move() {
	echo 1 >/proc/sys/vm/unprivileged_userfaultfd
	user_moves
	echo 0 >/proc/sys/vm/unprivileged_userfaultfd
}

# ---- a cgroup (version 2) whose limit falls (R71) ----

# A program that keeps 200M, wants up to 500M more, once, and 100M again and again, in a cgroup of 1G;
# as $program.
start_in_cgroup() { # CGROUP OPTION...
	cgroup=/sys/fs/cgroup/$1
	shift
	mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control || die "no memory controller"
	mkdir -p "$cgroup"
	echo 1G >"$cgroup/memory.max" || die "no limit"
	: >/tmp/surge
	sh -c "echo \$\$ >$cgroup/cgroup.procs && exec memplug run --name $name --block-size 16M $* -- surge 200 500 100" \
		>/tmp/surge 2>&1 &
	program=$!
	echo $program >>/tmp/started
	for _ in $(seq 600); do
		grep -q ready /tmp/surge && return
		kill -0 $program 2>/dev/null || break
		sleep 0.2
	done
	die "the program did not start: $(cat /tmp/surge)"
}

# Step by step, a second each, for a minute, to just above what it keeps. Fails when it has ended.
lower() {
	for step in $(seq 60); do
		echo $((1024 - (1024 - 260) * step / 60))M >"$cgroup/memory.max" || die "step $step"
		sleep 1
		kill -0 $program 2>/dev/null || return
	done
}

killed() {
	sed -n 's/^oom_kill //p' "$cgroup/memory.events"
}

case__cgroup_falls_and_is_followed() {
	start_in_cgroup followed --follow
	lower || die "it did not live through step $step: $(cat /tmp/surge "$cgroup/memory.events")"
	pool status | grep -q "limit    260M of its cgroup; safe to lower to" || die "$(pool status)"
	pool check >/dev/null || die "the verifier is not content"
	echo max >"$cgroup/memory.max"
	sleep 3
	kill -TERM $program
	wait $program || die "the program: $(cat /tmp/surge)"
	grep -q '^[1-9][0-9]* rounds, [1-9][0-9]* of them with less, 0 wrong$' /tmp/surge ||
		die "the program said: $(cat /tmp/surge)"
	[ "$(killed)" = 0 ] || die "something was killed: $(cat "$cgroup/memory.events")"
}

case__cgroup_falls_and_is_not_followed__the_program_is_killed() {
	start_in_cgroup ignored --max 2G
	lower && die "it lives: this shows nothing"
	[ "$(killed)" != 0 ] || die "it ended otherwise: $(cat /tmp/surge)"
}

# ---- this kernel, which is not the one that the other tests ran on ----

case__kernel_runs_the_region_cases() {
	region-test
}

case__kernel_loses_no_write() {
	write-loss --unit 4k --units 200 && write-loss --unit 64k --units 50 &&
		write-loss --unit 2m --units 4
}

case__kernel_fork_copies_on_write() {
	fork-cow 10
}
