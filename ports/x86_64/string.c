/* SPDX-License-Identifier: MIT */
/*
 * string.c - copying, filling and comparing bytes.
 *
 * Copying and filling are one instruction each: processors that matter make them as fast as
 * anything longer, and without SSE there is nothing better. Knows nothing of the rest of the port.
 */
#include "string.h"

void *
memcpy(void *dst, const void *src, size_t size)
{
	void *to = dst;
	size_t words = size / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(src), "+c"(words) : : "memory");
	size %= 8;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(size) : : "memory");
	return dst;
}

void *
memmove(void *dst, const void *src, size_t size)
{
	unsigned char *to = dst;
	const unsigned char *from = src;

	if ((uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(dst, src, size);
	to += size - 1;
	from += size - 1;
	__asm__ volatile("std\n\trep movsb\n\tcld" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return dst;
}

void *
memset(void *dst, int byte, size_t size)
{
	void *to = dst;
	uint64_t word = (uint8_t)byte * UINT64_C(0x0101010101010101);
	size_t words = size / 8;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(word) : "memory");
	size %= 8;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(word) : "memory");
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
