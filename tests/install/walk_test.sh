#!/bin/sh
# SPDX-License-Identifier: MIT
# walk_test.sh DIR - memplug tried as somebody new would, on a Debian that has nothing but its base (R79, R81).
#
# DIR/base.tar is that (scripts/install-deps --base DIR). Two copies of it: in one the tree is used as the
# README says, by root where it says so and else by an ordinary user; into the other the Debian packages are
# installed. Packages come from the archive, so a network is needed. Invariants: nothing outside of DIR is
# written, and what is mounted is gone with us. Only the documents' own commands are used, and `make` targets.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
dir=$1
[ -s "$dir/base.tar" ] || {
	echo "needs file $dir/base.tar: scripts/install-deps --base $dir puts it there"
	exit 77
}
[ "$(id -u)" = 0 ] || {
	echo "needs root"
	exit 77
}
dir=$(cd "$dir" && pwd)
trap 'rm -rf "$dir/first" "$dir/second"' EXIT

# A step is a script in a copy of the base, with the kernel's file systems; a failure shows its end.
step() { # COPY USER NAME, and the script on standard input
	{
		echo 'set -eu; export DEBIAN_FRONTEND=noninteractive'
		cat
	} >"$dir/$1/tmp/$3.sh"
	unshare -mpf --propagation private sh -c '
		for place in dev sys; do mount --rbind /$place "$1/$place"; done
		mount -t proc proc "$1/proc"
		exec chroot --userspec "$2" "$1" env -i HOME="$3" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			sh -x "/tmp/$4.sh"' sh "$dir/$1" "$2" "$([ "$2" = root ] && echo /root || echo /home/visitor)" "$3" \
		>"$dir/$3.log" 2>&1 </dev/null || {
		tail -n 40 "$dir/$3.log"
		echo "walk_test: step '$3' failed; all of it is in $dir/$3.log"
		exit 1
	}
	[ -z "${LOUD-}" ] || echo "ok $3"
}

copy() { # COPY
	rm -rf "${dir:?}/$1"
	mkdir "$dir/$1"
	tar xf "$dir/base.tar" -C "$dir/$1"
	cp /etc/resolv.conf "$dir/$1/etc/resolv.conf"
	# What a running system has, and a folder has not.
	ln -sf ../proc/self/mounts "$dir/$1/etc/mtab"
	# As in a container: no service starts.
	printf '#!/bin/sh\nexit 101\n' >"$dir/$1/usr/sbin/policy-rc.d"
	chmod 755 "$dir/$1/usr/sbin/policy-rc.d"
	mkdir -p "$dir/$1/home/visitor"
	chown 1000:1000 "$dir/$1/home/visitor"
	echo 'visitor:x:1000:1000::/home/visitor:/bin/sh' >>"$dir/$1/etc/passwd"
	echo 'visitor:x:1000:' >>"$dir/$1/etc/group"
}

# ---- the tree

copy first
mkdir "$dir/first/home/visitor/memplug"
(cd "$source" && tar cf - --exclude=./build --exclude=./.git --exclude=__pycache__ .) |
	tar xf - -C "$dir/first/home/visitor/memplug"
chown -R 1000:1000 "$dir/first/home/visitor/memplug"

step first root prepare <<'END'
cd /home/visitor/memplug
apt-get update
apt-get install -y --no-install-recommends make pkg-config
scripts/install-deps build
END
# A compiler and meson are enough for the libraries; the rest is left out by name.
step first visitor libraries <<'END'
cd /home/visitor/memplug
make install PREFIX=$HOME/only | tee said
grep 'Left out' said
export PKG_CONFIG_PATH=$HOME/only/lib/pkgconfig LD_LIBRARY_PATH=$HOME/only/lib
cc examples/region.c -o region $(pkg-config --cflags --libs memplug)
./region
END
step first root packages_to_run <<'END'
cd /home/visitor/memplug
scripts/install-deps run
END
# Its commands one by one, make install among them, and what it shows of the tour.
step first visitor readme <<'END'
cd /home/visitor/memplug
python3 -B tests/install/docs_test.py --fresh page__its_blocks_of_commands__do_what_it_shows:README.md
END
step first root run <<'END'
cp -r /home/visitor/memplug /root && cd /root/memplug
make run | tee /tmp/run.out
grep -q ' 0 lost$' /tmp/run.out
make run-sim
END
step first root cross <<'END'
cd /root/memplug
make install PREFIX=/tmp/aarch64 CROSS=scripts/aarch64.ini
aarch64-linux-gnu-readelf -h /tmp/aarch64/lib/libmemplug.so | grep AArch64
cd examples
aarch64-linux-gnu-gcc -I/tmp/aarch64/include region.c -o /tmp/region -L/tmp/aarch64/lib -lmemplug
END
step first root bare_aarch64 <<'END'
cd /root/memplug
make run-bare-aarch64 | tee /tmp/run.out
grep -q 'bare: PASS' /tmp/run.out
END

# ---- the packages

"$source/scripts/package-deb" "$dir/packages" || exit 1
copy second
mkdir "$dir/second/packages"
cp "$dir"/packages/*.deb "$dir/second/packages"
step second root packages <<'END'
apt-get update
rm /packages/*-dbgsym_*
apt-get install -y --no-install-recommends /packages/*.deb gcc libc6-dev pkg-config
END
step second visitor use_packages <<'END'
cd "$HOME"
export XDG_RUNTIME_DIR=$HOME
memplug run --name walk -- sh -c 'memplug -p walk list && memplug -p walk add 128M && memplug -p walk check'
cp "$(dpkg -L memplug-doc | grep '/region.c')" . && { gunzip region.c.gz 2>/dev/null || :; }
cc region.c -o region $(pkg-config --cflags --libs memplug)
./region
END
step second root remove_packages <<'END'
dpkg --purge python3-memplug memplug memplug-doc libmemplug-dev libmemplug0
! find /usr /etc /var/lib -xdev -name '*memplug*' -newer /packages | grep -v /var/lib/apt
END
