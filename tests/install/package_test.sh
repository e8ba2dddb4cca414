#!/bin/sh
# SPDX-License-Identifier: MIT
# package_test.sh DIR [full] - the Debian packages: they build, and each has what it is for. Installed into a
# copy of this system they run a program on a pool, and build and run one against the library; removed, they
# leave nothing behind (R79). In full lintian finds no error, too, and the RPM packages build from a tarball.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
dir=$1 full=${2-}
for program in dpkg-buildpackage dh ${full:+lintian rpmbuild}; do
	command -v "$program" >/dev/null || {
		echo "needs program $program"
		exit 77
	}
done
[ "$(id -u)" = 0 ] || {
	echo "needs root"
	exit 77
}
unshare -m true 2>/dev/null || {
	echo "needs mount-namespaces"
	exit 77
}
fail() {
	echo "package_test: $*" >&2
	exit 1
}
rm -rf "$dir"
# shellcheck disable=SC2046
"$source/scripts/package-deb" "$dir" $([ -n "$full" ] || echo --no-lintian) || fail "no packages"
has() { # PACKAGE FILE
	dpkg-deb -c "$dir/$1"_*.deb >"$dir/contents"
	grep -q "$2" "$dir/contents" || fail "$1 has no $2"
}
has libmemplug0 'libmemplug.so.0$\|libmemplug.so.0 ->'
has libmemplug-dev include/memplug/mhp.h
has libmemplug-dev pkgconfig/memplug-core.pc
has libmemplug-dev man3/mhp_pool_add.3
has memplug bin/memplug
has memplug memplug/libmemplug-heap.so
has memplug-doc PORTING.md
has memplug-doc picture.svg
has memplug-doc examples/buffers.c
has memplug zsh/site-functions/_memplug
has memplug fish/vendor_completions.d/memplug.fish

# ---- installed

cat >"$dir/use.sh" <<'END'
set -eu
export DEBIAN_FRONTEND=noninteractive HOME=/tmp XDG_RUNTIME_DIR=/tmp
cd /tmp
dpkg -i /packages/*.deb
# Nothing listens before somebody has asked for it (docs/SECURITY.md).
! find /etc/systemd -name '*memplug*' | grep .
memplug run --name package -- true
cp "$(dpkg -L memplug-doc | grep "/region.c")" . && { gunzip region.c.gz 2>/dev/null || :; }
cc region.c -o region $(pkg-config --cflags --libs memplug)
./region
man -w memplug mhp_pool_add
/usr/bin/python3 -Bc 'import memplug; assert memplug.Pool'
dpkg --purge python3-memplug memplug memplug-dbgsym memplug-doc libmemplug-dev libmemplug0 libmemplug0-dbgsym
! find /usr /etc /var -xdev -name '*memplug*' -newer /packages/start -print | grep .
END
# A copy-on-write copy of this system, in which they are installed as anybody would.
cat >"$dir/copy.sh" <<'END'
set -eu
mount -t tmpfs none "$1/copy"
mkdir "$1/copy/upper" "$1/copy/work" "$1/copy/root"
mount -t overlay none -o "lowerdir=/,upperdir=$1/copy/upper,workdir=$1/copy/work" "$1/copy/root"
mount --rbind /dev "$1/copy/root/dev"
mount --rbind /proc "$1/copy/root/proc"
mount -t tmpfs none "$1/copy/root/tmp"
mkdir "$1/copy/root/packages"
cp "$1"/*.deb "$1/use.sh" "$1/copy/root/packages"
touch "$1/copy/root/packages/start"
chroot "$1/copy/root" sh /packages/use.sh
END
mkdir "$dir/copy"
unshare -m --propagation private sh "$dir/copy.sh" "$dir" >"$dir/use.log" 2>&1 || {
	tail -n 20 "$dir/use.log" >&2
	fail "the installed packages do not do what they are for"
}

[ -n "$full" ] || exit 0

# ---- RPM

"$source/scripts/package-rpm" "$dir/rpm" || fail "no RPM packages"
rpm_has() { # PACKAGE FILE
	rpm -qpl "$dir/rpm/$1"-[0-9]*.rpm >"$dir/contents"
	grep -q "$2" "$dir/contents" || fail "the RPM package $1 has no $2"
}
rpm_has memplug-libs 'libmemplug.so.0$'
rpm_has memplug-devel include/memplug/mhp.h
rpm_has memplug-devel 'man3/mhp_pool_add.3'
rpm_has memplug bin/memplug
