/* SPDX-License-Identifier: MIT */
/*
 * string.h - the four functions that a freestanding C compiler, and the core, expect from outside,
 * and the few on text that the port's own command line and monitor need.
 *
 * Found before the C library's header of this name, which a freestanding build must not use.
 */
#ifndef BARE_STRING_H
#define BARE_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *dst, const void *src, size_t size);
void *memmove(void *dst, const void *src, size_t size);
void *memset(void *dst, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

size_t strlen(const char *text);
bool text_equal(const char *a, const char *b);
/* Read a number, decimal or 0x..., that K, M or G may follow; *text moves past it. */
bool text_number(const char **text, uint64_t *ret_value);
/* The next word of *text, ended in place; NULL when there is none. *text moves past it. */
char *text_word(char **text);

#endif
