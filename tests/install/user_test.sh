#!/bin/sh
# SPDX-License-Identifier: MIT
# user_test.sh - the tree in the hands of somebody who is not root (R79): make install below a folder
# of theirs, a program against it by the lines of the README, and memplug as a meson subproject.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
fail() {
	echo "user_test: $*" >&2
	cat "$dir/log" >&2
	exit 1
}
mkdir "$dir/src"
(cd "$source" && tar cf - --exclude=./build --exclude=./.git .) | tar xf - -C "$dir/src"
as_user="env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=$dir"
if [ "$(id -u)" = 0 ]; then
	chown -R 65534:65534 "$dir"
	as_user="setpriv --reuid=65534 --regid=65534 --clear-groups $as_user"
fi

cat >"$dir/hello.c" <<'END'
#include <memplug/mhp.h>
#include <stdio.h>
int main(void) { return puts(mhp_version_text()) < 0; }
END
cat >"$dir/use.sh" <<'END'
set -eu
cd "$HOME/src" && make install PREFIX="$HOME/.local"
cd "$HOME"
export PKG_CONFIG_PATH=$HOME/.local/lib/pkgconfig LD_LIBRARY_PATH=$HOME/.local/lib
cc hello.c $(pkg-config --cflags --libs memplug) -o hello
./hello
END
# shellcheck disable=SC2086
$as_user sh "$dir/use.sh" >"$dir/log" 2>&1 || fail "make install as an ordinary user"

mkdir -p "$dir/project/subprojects"
ln -s "$dir/src" "$dir/project/subprojects/memplug"
cp "$dir/hello.c" "$dir/project"
cat >"$dir/project/meson.build" <<'END'
project('hello', 'c')
executable('hello', 'hello.c',
  dependencies: dependency('memplug', fallback: 'memplug', default_options: ['warning_level=2']))
END
cat >"$dir/subproject.sh" <<'END'
set -eu
cd "$HOME/project"
meson setup build
ninja -C build hello
build/hello
END
chmod -R go+rX "$dir/project"
[ "$(id -u)" != 0 ] || chown -R 65534:65534 "$dir/project"
# shellcheck disable=SC2086
$as_user sh "$dir/subproject.sh" >"$dir/log" 2>&1 || fail "memplug as a subproject"
