#!/bin/sh
# SPDX-License-Identifier: MIT
# programs_test.sh - programs that were never thought of run under `memplug run` as they run
# without it, while blocks go in and out at random the whole time (R38, R40).
#
# usage: programs_test.sh BUILD_DIR. Programs that are not installed are left out.
set -u
build=$(cd "$1" && pwd)
memplug="$build/cli/memplug"
# shellcheck source=tests/linux/need.sh
. "$(dirname "$0")/need.sh"
dir=$(mktemp -d)
export XDG_RUNTIME_DIR="$dir"
failed=0
trap 'rm -rf "$dir"' EXIT
need_moving

# Move blocks of every pool there is until the file is gone.
churn() {
	while [ -e "$dir/go" ]; do
		for pid in $("$memplug" ps 2>/dev/null | awk -v name="p$$" 'index($2, name) == 1 { print $1 }'); do
			"$memplug" -p "$pid" add 16M >/dev/null 2>&1
			for block in $("$memplug" -p "$pid" list --json 2>/dev/null |
				       grep -o '"index":[0-9]*' | cut -d: -f2 | head -n 4); do
				"$memplug" -p "$pid" remove "$block" --deadline 2 >/dev/null 2>&1 &&
					echo >>"$dir/removed"
			done
		done
		sleep 0.02
	done
}

# compare NAME COMMAND...: the same output and status, plain and in a pool.
compare() {
	case_name=$1
	shift
	command -v "$1" >/dev/null || {
		part_needs "program $1"
		return
	}
	rm -rf "$dir/work" && mkdir "$dir/work" && cd "$dir/work" || exit 1
	"$@" >"$dir/plain" 2>&1
	plain=$?
	rm -rf "$dir/work" && mkdir "$dir/work" && cd "$dir/work" || exit 1
	"$memplug" run --name "p$$" --boot 32M --max 2G --block-size 4M -- "$@" >"$dir/pool" 2>&1
	pool=$?
	if [ $plain != $pool ] || ! cmp -s "$dir/plain" "$dir/pool"; then
		echo "programs_test: $case_name differs: status $plain plain, $pool in a pool" >&2
		diff "$dir/plain" "$dir/pool" | head -n 5 >&2
		echo "replay: sh $0 $build" >&2
		failed=1
	fi
}

touch "$dir/go"
churn &
churner=$!

compare python python3 -c '
import hashlib, subprocess, os, threading
d = {}
for i in range(300000): d[i % 50000] = hashlib.md5(b"%d" % i).hexdigest() * (i % 7)
def work(n): d["t%d" % n] = sum(len(str(i)) for i in range(100000))
ts = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
print(hashlib.md5(repr(sorted(map(str, d.items()))).encode()).hexdigest())
for i in range(10): print(subprocess.run(["echo", str(i)], capture_output=True).stdout)
for i in range(10):
    pid = os.fork()
    if pid == 0: os._exit(hash(tuple(sorted(map(str, d.keys())))) == 0)
    print(os.waitpid(pid, 0)[1])
print(os.system("exit 3"))'
compare perl perl -e '
my %h; for my $i (1..300000) { $h{$i % 40000} .= "x$i"; $h{$i % 40000} = "" if length $h{$i % 40000} > 60; }
my $s = 0; $s += length $_ for values %h; print "$s\n"; print `echo sub`;'
compare sqlite3 sqlite3 :memory: 'create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<200000)
insert into t select x, hex(x * 7919) from c; create index i on t(b);
select count(*), sum(length(b)), min(b), max(b) from t; select b from t where a % 50000 = 7;'
cat >"$dir/big.c" <<'END'
#include <stdio.h>
#define A(n) static int f##n(int x) { for (int i = 0; i < x; i++) x ^= i * n; return x; }
#define B(n) A(n##0) A(n##1) A(n##2) A(n##3) A(n##4) A(n##5) A(n##6) A(n##7) A(n##8) A(n##9)
#define C(n) B(n##0) B(n##1) B(n##2) B(n##3) B(n##4) B(n##5) B(n##6) B(n##7) B(n##8) B(n##9)
C(1) C(2) C(3) C(4)
int main(void) { printf("%d\n", f123(5) + f456(7)); return 0; }
END
compare cc sh -c "cc -w -O2 '$dir/big.c' -o big && ./big && md5sum <big"
compare git sh -c 'git init -q . && git config user.email a@b && git config user.name a &&
for i in 1 2 3 4 5 6 7 8; do seq $((i * 1000)) >f$i; git add . && git commit -qm $i --date "2020-01-01 00:00:00 +0000"; done;
git log --format=%s; git gc -q; git fsck 2>/dev/null; git diff HEAD~3 | md5sum'
compare sort sh -c 'seq 500000 | sort -R --random-source=/bin/sh | sort -n --parallel=4 | md5sum'
# PHP opens its libraries with RTLD_DEEPBIND, which look for a malloc of their own then.
compare php php -r 'for ($i = 0; $i < 100000; $i++) $a[$i % 5000] = str_repeat(md5($i), $i % 50); echo md5(serialize($a)), "\n";'
# Buffers that the kernel writes to while their blocks leave: nothing that it read may be lost.
for engine in libaio io_uring 'io_uring --fixedbufs=1'; do
	# shellcheck disable=SC2086
	compare fio fio --output=fio.out --thread --name=j --filename=data --size=16m --bs=64k --iodepth=16 \
		--direct=1 --iomem=malloc --rw=randwrite --loops=4 --verify=crc32c --verify_fatal=1 --ioengine=$engine
done
compare bwrap sh -c 'mkdir ro; bwrap --ro-bind / / --dev /dev --proc /proc --ro-bind ro /run --unshare-pid \
	sh -c "echo one; /bin/echo two; seq 20000 | sort | md5sum" 2>&1'
compare setpriv sh -c 'setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "id -u; seq 20000 | sort \
	| md5sum" 2>&1; unshare -U sh -c "id -u; /bin/echo two" 2>&1; true'
compare xz sh -c 'seq 400000 | xz -T4 -6 | xz -d | md5sum'

rm "$dir/go"
wait "$churner"
removed=$(wc -l <"$dir/removed" 2>/dev/null || echo 0)
if [ "$removed" -lt 10 ]; then
	echo "programs_test: only $removed blocks left: nothing was tested" >&2
	failed=1
fi
[ "${LOUD:-}" ] && echo "$removed blocks left" >&2
exit $failed
