# SPDX-License-Identifier: MIT
# bound_test.sh LIBRARY... - libraries are bound when they are loaded.
#
# R37: the companion shares the memory of a program that may be in the middle of dlopen() or dlclose(). A
# function that it calls for the first time would be looked up then, for which it would wait
# for the loader's lock.
failed=0
for library; do
	if readelf -dW "$library" | grep -q 'FLAGS_1.* NOW'; then
		continue
	fi
	echo "FAILED bound__$(basename "$library")__when_it_is_loaded"
	failed=$((failed + 1))
done
echo "$(($# - failed)) passed, $failed failed"
[ "$failed" = 0 ]
