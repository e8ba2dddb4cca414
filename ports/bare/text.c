/* SPDX-License-Identifier: MIT */
/*
 * text.c - reading words and numbers from a line: the kernel's command line and the monitor's.
 *
 * Works on the line in place and needs no memory. Knows nothing of the rest of the port; the
 * functions on bytes that string.h declares beside these are the processor's (its string.c).
 */
#include "string.h"

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
