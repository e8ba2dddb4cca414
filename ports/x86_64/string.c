/* SPDX-License-Identifier: MIT */
/*
 * string.c - copying and comparing bytes, and reading words and numbers from a line.
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

size_t
strlen(const char *text)
{
	size_t length = 0;

	while (text[length] != '\0')
		length++;
	return length;
}

bool
text_equal(const char *a, const char *b)
{
	size_t length = strlen(a);

	return length == strlen(b) && memcmp(a, b, length) == 0;
}

static unsigned
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	return 16;
}

bool
text_number(const char **text, uint64_t *ret_value)
{
	const char *p = *text;
	uint64_t value = 0;
	unsigned base = 10;

	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}
	const char *first = p;
	for (; digit_value(*p) < base; p++)
		value = value * base + digit_value(*p);
	if (p == first)
		return false;
	unsigned shift = *p == 'K' ? 10 : *p == 'M' ? 20 : *p == 'G' ? 30 : 0;
	*text = p + (shift != 0);
	*ret_value = value << shift;
	return true;
}

char *
text_word(char **text)
{
	char *word = *text;

	while (*word == ' ')
		word++;
	char *end = word;
	while (*end != '\0' && *end != ' ')
		end++;
	*text = end;
	if (*end != '\0') {
		*end = '\0';
		*text = end + 1;
	}
	return *word != '\0' ? word : NULL;
}
