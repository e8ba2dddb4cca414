/* SPDX-License-Identifier: MIT */
/*
 * inttypes.h - how to print the integers of <stdint.h>, which the compiler brings.
 * On this machine 64 bits are a long.
 */
#ifndef SUITE_INTTYPES_H
#define SUITE_INTTYPES_H

#include <stdint.h>

#define PRId32 "d"
#define PRIu32 "u"
#define PRIx32 "x"
#define PRId64 "ld"
#define PRIu64 "lu"
#define PRIx64 "lx"

#endif
