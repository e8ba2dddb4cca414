/* SPDX-License-Identifier: MIT */
/*
 * string.c - copying, filling and comparing bytes.
 *
 * Words where both sides are aligned, bytes elsewhere; the compiler must not make calls of these
 * functions out of their own loops (meson.build). Knows nothing of the rest of the port.
 */
#include "string.h"

static bool
both_aligned(const void *a, const void *b)
{
	return (((uintptr_t)a | (uintptr_t)b) & 7) == 0;
}

void *
memcpy(void *dst, const void *src, size_t size)
{
	unsigned char *to = dst;
	const unsigned char *from = src;

	if (both_aligned(dst, src)) {
		for (; size >= 16; size -= 16, to += 16, from += 16) {
			uint64_t first, second;
			__asm__ volatile("ldp %0, %1, [%2]" : "=&r"(first), "=r"(second)
					 : "r"(from) : "memory");
			__asm__ volatile("stp %0, %1, [%2]" : : "r"(first), "r"(second), "r"(to)
					 : "memory");
		}
	}
	while (size-- > 0)
		*to++ = *from++;
	return dst;
}

void *
memmove(void *dst, const void *src, size_t size)
{
	unsigned char *to = dst;
	const unsigned char *from = src;

	if ((uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(dst, src, size);
	while (size-- > 0)
		to[size] = from[size];
	return dst;
}

void *
memset(void *dst, int byte, size_t size)
{
	unsigned char *to = dst;
	uint64_t word = (uint8_t)byte * UINT64_C(0x0101010101010101);

	if (both_aligned(dst, dst)) {
		for (; size >= 16; size -= 16, to += 16)
			__asm__ volatile("stp %0, %0, [%1]" : : "r"(word), "r"(to) : "memory");
	}
	while (size-- > 0)
		*to++ = (unsigned char)byte;
	return dst;
}

int
memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *left = a, *right = b;

	for (size_t i = 0; i < size; i++) {
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	}
	return 0;
}
