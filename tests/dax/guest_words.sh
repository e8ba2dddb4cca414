#!/bin/sh
# SPDX-License-Identifier: MIT
# guest_words.sh - what cases in a guest are made of: the worker under memplug run, commands that must be
# refused, blocks that must leave. Sourced by the files of cases; the worker is worker.c.
set -u
name=guest

die() {
	echo "$*"
	exit 1
}

# expect STATUS WORDS COMMAND...: exit status, and words on standard error.
expect() {
	want=$1 words=$2
	shift 2
	"$@" >/tmp/out 2>/tmp/err
	got=$?
	[ $got = "$want" ] || die "$*: exit status $got, not $want: $(cat /tmp/err)"
	[ -z "$words" ] || grep -q -- "$words" /tmp/err ||
		die "$*: no word of '$words': $(cat /tmp/err)"
}

pool() {
	memplug -p "$name" "$@"
}

# start MEGABYTES OPTION...: the worker under memplug run, as $program; waits until it is busy.
start() {
	size=$1
	shift
	: >/tmp/worker # what the one before said
	memplug run --name "$name" --block-size 16M --max 512M "$@" -- worker "$size" \
		>/tmp/worker 2>&1 &
	program=$!
	echo $program >>/tmp/started
	for _ in $(seq 600); do
		grep -q ready /tmp/worker && return
		kill -0 $program 2>/dev/null || break
		sleep 0.2
	done
	die "the worker did not start: $(tail -n 5 /tmp/worker)"
}

# The worker ends well: it found nothing wrong, and it did something.
stop() {
	pool check >/dev/null || die "the verifier is not content"
	kill -TERM "$program"
	wait "$program" || die "the worker: $(tail -n 5 /tmp/worker)"
	grep -q '^[1-9][0-9]* operations, [1-9][0-9]* forks, 0 wrong$' /tmp/worker ||
		die "the worker said: $(tail -n 5 /tmp/worker)"
}

first_blocks() {
	pool list --json | grep -o '"index":[0-9]*' | cut -d: -f2
}

# Every block that the worker started on leaves while it works, for memory of BACKING.
all_leave() { # BACKING
	blocks=$(first_blocks)
	[ -n "$blocks" ] || die "no blocks"
	pool add "$(($(echo "$blocks" | wc -l) * 16 + 32))M" --backing "$1" >/dev/null ||
		die "cannot add $1"
	for block in $blocks; do
		pool remove "$block" --deadline 120 || die "block $block does not leave: $(tail -n 5 /tmp/worker)"
	done
}
