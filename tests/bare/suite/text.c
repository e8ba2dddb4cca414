/* SPDX-License-Identifier: MIT */
/*
 * text.c - what tests use of <string.h> beyond the port's own, numbers, and the environment.
 *
 * Written to be short: nothing here is on a path that takes time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *
memchr(const void *at, int byte, size_t size)
{
	const unsigned char *bytes = at;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] == (unsigned char)byte)
			return (void *)(uintptr_t)(bytes + i);
	return NULL;
}

int
strncmp(const char *a, const char *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (a[i] != b[i])
			return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
		if (a[i] == '\0')
			return 0;
	}
	return 0;
}

int
strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *
strstr(const char *text, const char *words)
{
	size_t length = strlen(words);

	for (; *text != '\0' || length == 0; text++) {
		if (strncmp(text, words, length) == 0)
			return (char *)(uintptr_t)text;
	}
	return NULL;
}

char *
strerror(int error)
{
	static char text[] = "an error of the test machine";

	(void)error;
	return text;
}

static unsigned
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

unsigned long long
strtoull(const char *text, char **ret_end, int base)
{
	unsigned radix = base != 0 ? (unsigned)base : 10;
	unsigned long long value = 0;

	if (base == 0 && text[0] == '0' && text[1] == 'x') {
		radix = 16;
		text += 2;
	}
	for (; digit_value(*text) < radix; text++)
		value = value * radix + digit_value(*text);
	*ret_end = (char *)(uintptr_t)text;
	return value;
}

char *
getenv(const char *name)
{
	(void)name;
	return NULL;
}
