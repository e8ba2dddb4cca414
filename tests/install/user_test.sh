#!/bin/sh
# SPDX-License-Identifier: MIT
# user_test.sh - the tree in the hands of somebody who is not root, with nothing in the environment (R79, R81).
#
# The README's commands one by one as they stand there, `make install` and the tour among them; then the
# examples against what was installed, each by the line in it; memplug as a meson subproject; and the
# library for AArch64. Nothing outside of a folder of theirs is written.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
command -v aarch64-linux-gnu-gcc >/dev/null || {
	echo "needs program aarch64-linux-gnu-gcc"
	exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
mkdir "$dir/memplug"
(cd "$source" && tar cf - --exclude=./build --exclude=./.git --exclude=__pycache__ .) |
	tar xf - -C "$dir/memplug"
as_user="env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=$dir"
if [ "$(id -u)" = 0 ]; then
	chown -R 65534:65534 "$dir"
	as_user="setpriv --reuid=65534 --regid=65534 --clear-groups $as_user"
fi

# A step is a script on standard input, run in their folder; a failure shows its end.
step() { # NAME
	{
		echo 'set -eu; cd "$HOME"'
		echo 'export PKG_CONFIG_PATH=$HOME/.local/lib/pkgconfig LD_LIBRARY_PATH=$HOME/.local/lib'
		cat
	} >"$dir/$1.sh"
	# shellcheck disable=SC2086
	$as_user sh -x "$dir/$1.sh" >"$dir/log" 2>&1 </dev/null || {
		tail -n 40 "$dir/log"
		echo "user_test: step '$1' failed; replay: sh $0"
		exit 1
	}
}

# It installs below .local in a HOME of its own, which stays for the next steps.
step readme <<'END'
cd memplug
python3 -B tests/install/docs_test.py --fresh="$HOME" 'page__its_blocks_of_commands__do_what_it_shows:README.md'
END
step examples <<'END'
cp memplug/examples/* .
truncate -s 8M device.img
for name in buffers region listener device served; do
	line=$(sed -n 's/.*\(cc .*--libs memplug)\).*/\1/p' $name.c)
	eval "$line"
	[ $name = served ] || ./$name $([ $name != device ] || echo file:$HOME/device.img) | cmp - $name.txt
done
END
step subproject <<'END'
mkdir -p project/subprojects && cd project
ln -s "$HOME/memplug" subprojects/memplug
cat >hello.c <<'C'
#include <memplug/mhp.h>
#include <stdio.h>
int main(void) { return puts(mhp_version_text()) < 0; }
C
cat >meson.build <<'MESON'
project('hello', 'c')
executable('hello', 'hello.c',
  dependencies: dependency('memplug', fallback: 'memplug', default_options: ['warning_level=2']))
MESON
unset PKG_CONFIG_PATH
meson setup build
ninja -C build hello
build/hello
END
step cross <<'END'
cd memplug
make install PREFIX=$HOME/aarch64 CROSS=scripts/aarch64.ini
aarch64-linux-gnu-readelf -h $HOME/aarch64/lib/libmemplug.so | grep AArch64
aarch64-linux-gnu-gcc -I$HOME/aarch64/include examples/region.c -o region -L$HOME/aarch64/lib -lmemplug
END
