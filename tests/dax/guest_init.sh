#!/bin/sh
# SPDX-License-Identifier: MIT
# guest_init.sh - the first program of a guest, or the service that systemd starts there: make two DAX devices,
# where there are modules for them, run the cases, power off.
#
# Everything it says goes to the serial port SAY, one line each, and guest.py reads it:
#   ok NAME SECONDS
#   FAILED NAME, then what the case said, each line behind "|"
#   done
# Cases are functions case__* of /cases.sh; ONLY in the environment (from the kernel's command
# line, as SAY is) is a pattern of those that run. The devices are regions of memory that the kernel was told to
# take for persistent memory: /dev/dax0.0 is mapped in pieces of 4 KiB, /dev/dax1.0 in pieces of
# 2 MiB. Must not know what a case does.
export PATH=/bin
LIMIT=1200 # seconds for one case: nothing will come any more
if [ ! -d /run/systemd/system ]; then
	busybox mount -t proc proc /proc
	busybox mount -t sysfs sys /sys
	busybox mount -t devtmpfs dev /dev
	busybox mkdir -p /tmp /run
	busybox mount -t tmpfs tmp /tmp
	busybox mkdir -p /dev/shm
	busybox mount -t tmpfs shm /dev/shm
	busybox chmod 1777 /tmp /dev/shm
fi
busybox --install -s /bin
exec 3>"/dev/$SAY"
stty -opost <&3 2>/dev/null

make_device() { # NUMBER ALIGN
	cd /sys/bus/nd/devices || return
	[ -e "/sys/bus/nd/drivers/nd_pmem/namespace$1.0" ] &&
		echo "namespace$1.0" >/sys/bus/nd/drivers/nd_pmem/unbind
	echo "$2" >"region$1/dax$1.0/align"
	echo "12345678-1234-1234-1234-12345678900$1" >"region$1/dax$1.0/uuid"
	echo ram >"region$1/dax$1.0/mode"
	echo "namespace$1.0" >"region$1/dax$1.0/namespace"
	echo "dax$1.0" >/sys/bus/nd/drivers/dax_pmem/bind
	cd /
	[ -c "/dev/dax$1.0" ]
}

make_devices() {
	for module in libnvdimm nd_btt nd_pmem device_dax dax_pmem nd_e820; do
		insmod "/modules/$module.ko"
	done
	for _ in $(seq 50); do
		[ -e /sys/bus/nd/devices/region1/dax1.0 ] && break
		sleep 0.1
	done
	make_device 0 4096 && make_device 1 2097152 || echo "| there is no DAX device" >&3
}

[ ! -d /modules ] || make_devices

# What the threads of the programs that a case has started are waiting for.
show_stuck() {
	for task in $(cat /tmp/started 2>/dev/null); do
		for thread in "/proc/$task/task/"*; do
			echo "thread ${thread##*/} $(cat "$thread/comm") $(cat "$thread/syscall")"
			head -n 8 "$thread/stack"
		done
	done
}

# Each case runs in a shell of its own; what it started and left is ended after it.
run_case() {
	name=${1#case__}
	start=$(cut -d. -f1 /proc/uptime)
	setsid sh -c ". /cases.sh; $1" >/tmp/said 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		if [ "$(cut -d. -f1 /proc/uptime)" -gt $((start + LIMIT)) ]; then
			echo "no end after $LIMIT s" >>/tmp/said
			show_stuck >>/tmp/said 2>&1
			kill -KILL -$pid
		fi
		sleep 0.2
	done
	if wait $pid; then
		echo "ok $name $(($(cut -d. -f1 /proc/uptime) - start))" >&3
	else
		echo "FAILED $name" >&3
		tail -n 100 /tmp/said | sed 's/^/| /' >&3
	fi
	for left in $(cat /tmp/started 2>/dev/null); do
		kill -KILL "$left" 2>/dev/null
	done
	rm -f /tmp/started
}

for case in $(sed -n 's/^\(case__[a-z0-9_]*\)().*/\1/p' /cases.sh); do
	# shellcheck disable=SC2254
	case ${case#case__} in
	${ONLY:-*}) run_case "$case" ;;
	esac
done
echo "done" >&3
exec 3>&-
poweroff -f
