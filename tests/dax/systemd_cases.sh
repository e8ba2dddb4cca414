#!/bin/sh
# SPDX-License-Identifier: MIT
# systemd_cases.sh - what is tried where systemd runs: limits that `systemctl set-property` lowers, our units, what
# root sees of pools of services; and the cgroup as a container sees it. As guest_cases.sh, in another guest.
# shellcheck source=tests/dax/guest_words.sh
. /guest_words.sh
name=guest

is_active() {
	systemctl is-active --quiet "$1"
}

# Wait until a command succeeds.
retry() {
	for _ in $(seq 600); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	die "it never happened: $*"
}

# Root's ps has a pool of a user.
shows() { # NAME USER
	memplug ps | grep -q " $1  *$2"
}

# A service that keeps 200M, wants up to 500M more, once, and 100M again and again, below 1G. What it says is in
# /tmp/surge.
start_service() { # UNIT OPTION...
	unit=$1
	shift
	systemd-run --quiet --unit "$unit" -p Type=exec -p MemoryMax=1G -p StandardOutput=file:/tmp/surge \
		memplug run --name "$name" --block-size 16M "$@" -- surge 200 500 100 || die "it does not start"
	cgroup=/sys/fs/cgroup/system.slice/$unit.service
	retry grep -q ready /tmp/surge
}

# A property of the service, from 1G to just above what it keeps, a second each.
lower() { # PROPERTY
	for step in $(seq 30); do
		systemctl set-property --runtime "$unit" "$1=$((1024 - (1024 - 260) * step / 30))M" || die "step $step"
		sleep 1
		is_active "$unit" || return
	done
}

# It ends well: it found nothing wrong, did with less, and nothing was killed.
end_service() {
	pool check >/dev/null || die "the verifier is not content"
	grep -q '^oom_kill 0$' "$cgroup/memory.events" || die "killed: $(cat "$cgroup/memory.events")"
	systemctl stop "$unit" || die "it does not stop"
	grep -q '^[1-9][0-9]* rounds, [1-9][0-9]* of them with less, 0 wrong$' /tmp/surge || die "$(cat /tmp/surge)"
}

case__memory_high_is_followed() { # R71
	start_service high --follow
	lower MemoryHigh || die "it did not live through step $step"
	shows "$name" root || die "root does not see it: $(memplug ps)"
	pool status | grep -q "limit    260M of its cgroup; safe to lower to" || die "$(pool status)"
	end_service
}

case__memory_max_is_followed() { # R71
	start_service max --follow
	lower MemoryMax || die "it did not live through step $step"
	end_service
}

case__memory_max_is_not_followed__the_program_is_killed() {
	start_service ignored --max 2G
	lower MemoryMax && die "it lives: this shows nothing"
	[ "$(systemctl show -P Result ignored)" = oom-kill ] || die "$(systemctl status ignored)"
}

# ---- our units

case__unit_of_a_program() { # R71: the template runs a program as a user of its own, and root operates it
	mkdir -p /etc/memplug
	printf 'PROGRAM=/bin/surge 20 10 10\nOPTIONS=--follow --block-size 16M\n' >/etc/memplug/surge.conf
	systemctl start memplug@surge || die "$(systemctl status memplug@surge)"
	retry shows surge ''
	[ "$(stat -c %a /run/memplug-surge/)" = 700 ] || die "others look into its folder"
	name=surge
	pool add 32M >/dev/null || die "root cannot add"
	pool status
	pool check >/dev/null || die "the verifier is not content"
	systemctl stop memplug@surge || die "it does not stop"
	[ "$(systemctl show -P Result memplug@surge)" = success ] || die "$(systemctl status memplug@surge)"
	! shows surge '' || die "ps still shows it"
}

case__drop_in_of_a_service() { # R71: a service that is there already gets a pool
	printf '[Service]\nType=exec\nUser=nobody\nExecStart=/bin/surge 20 10 10\n' >/etc/systemd/system/plain.service
	mkdir /etc/systemd/system/plain.service.d
	sed 's|-- /usr/bin/redis-server .*|-- /bin/surge 20 10 10|' /etc/systemd/system/memplug.conf \
		>/etc/systemd/system/plain.service.d/memplug.conf
	systemctl daemon-reload
	systemctl start plain || die "$(systemctl status plain)"
	retry shows plain nobody
	systemctl stop plain
	[ "$(systemctl show -P Result plain)" = success ] || die "$(systemctl status plain)"
}

case__unit_of_the_metrics() { # R71
	start_service counted --boot 64M
	systemctl start memplug-metrics || die "$(systemctl status memplug-metrics)"
	retry wget -q -O /tmp/metrics http://127.0.0.1:9464/metrics
	grep -q "memplug_used_bytes{pool=\"$name\"" /tmp/metrics || die "$(head /tmp/metrics)"
	systemctl stop memplug-metrics counted
}

# ---- a container: a cgroup namespace of its own, with the cgroup at its root

# What an in-place resize of Docker or Kubernetes does is a write to memory.max of the container's cgroup.
case__container_is_followed() { # R71
	cgroup=/sys/fs/cgroup/container
	mkdir $cgroup
	echo 1G >$cgroup/memory.max
	cat >/tmp/container.sh <<-END
		umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 1
		cat /proc/self/cgroup
		ls -d /sys/fs/cgroup/container && exit 1
		exec memplug run --name $name --block-size 16M --follow -- surge 200 500 100
	END
	sh -c "echo \$\$ >$cgroup/cgroup.procs && exec unshare -mC sh /tmp/container.sh" >/tmp/surge 2>&1 &
	program=$!
	echo $program >>/tmp/started
	retry grep -q ready /tmp/surge
	grep -q '^0::/$' /tmp/surge || die "it is no container: $(cat /tmp/surge)"
	for step in $(seq 30); do
		echo $((1024 - (1024 - 260) * step / 30))M >$cgroup/memory.max || die "step $step"
		sleep 1
		kill -0 $program 2>/dev/null || die "it did not live through step $step: $(cat /tmp/surge)"
	done
	pool status | grep -q "limit    260M of its cgroup; safe to lower to" || die "$(pool status)"
	grep -q '^oom_kill 0$' $cgroup/memory.events || die "killed: $(cat $cgroup/memory.events)"
	kill -TERM $program
	wait $program || die "the program: $(cat /tmp/surge)"
	grep -q ', [1-9][0-9]* of them with less, 0 wrong$' /tmp/surge || die "the program: $(cat /tmp/surge)"
}
