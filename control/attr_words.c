/* SPDX-License-Identifier: MIT */
/*
 * attr_words.c - what the kernel's attribute files take and answer that are the same everywhere.
 *
 * Which words, letters and numbers pass, and with which error others are refused, was seen on
 * Linux 7.3. The power files of a memory block take what every device's do, and nothing comes of
 * it: they stay as they are.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"

static bool
is_word(const char *value, const char *word)
{
	size_t length = strlen(word);
	return strncmp(value, word, length) == 0 &&
	       (value[length] == 0 || strcmp(value + length, "\n") == 0);
}

int
mhp__word_index(const char *const *words, int nr, const char *value)
{
	for (int i = 0; i < nr; i++)
		if (is_word(value, words[i]))
			return i;
	return -1;
}

int
mhp__word_switch(const char *value)
{
	if (*value == 0)
		return -1;
	if (strchr("1yYtTeE", *value) != NULL)
		return 1;
	if (strchr("0nNfFdD", *value) != NULL)
		return 0;
	if ((*value == 'o' || *value == 'O') && value[1] != 0) {
		if (strchr("nN", value[1]) != NULL)
			return 1;
		if (strchr("fF", value[1]) != NULL)
			return 0;
	}
	return -1;
}

/* Decimal, 0x or octal, after a plus or not. */
static int
c_number(const char *value, uint64_t max, uint64_t *ret_number)
{
	char *end;
	if (!isdigit((unsigned char)value[*value == '+']))
		return MHP_EINVAL;
	errno = 0;
	unsigned long long number = strtoull(value, &end, 0);
	if (*end != 0 && strcmp(end, "\n") != 0)
		return MHP_EINVAL;
	if (errno == ERANGE || number > max)
		return -ERANGE;
	*ret_number = number;
	return 0;
}

int
mhp__word_number(const struct mhp__subject *subject, const char *value, uint64_t max,
		 uint64_t *ret_number)
{
	if (subject->as_file)
		return c_number(value, max, ret_number);
	int err = mhp_number_parse(value, max, ret_number);
	return err == MHP_EOVERFLOW ? -ERANGE : err;
}

/* ---- power, and files that never change ---- */

static int
show_text(char *text, size_t size, const char *value)
{
	snprintf(text, size, "%s", value);
	return 0;
}

int
mhp__show_empty(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_text(text, size, "");
}

int
mhp__show_zero(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_text(text, size, "0");
}

int
mhp__show_disabled(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_text(text, size, "disabled");
}

int
mhp__show_auto(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_text(text, size, "auto");
}

int
mhp__show_unsupported(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_text(text, size, "unsupported");
}

int
mhp__show_eio(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject, (void)text, (void)size;
	return MHP_EIO;
}

int
mhp__store_eio(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	(void)subject, (void)value, (void)reterr;
	return MHP_EIO;
}

int
mhp__store_async(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	static const char *const words[] = { "enabled", "disabled" };
	(void)subject, (void)reterr;
	return mhp__word_index(words, 2, value) < 0 ? MHP_EINVAL : 0;
}

int
mhp__store_control(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	static const char *const words[] = { "on", "auto" };
	(void)subject, (void)reterr;
	return mhp__word_index(words, 2, value) < 0 ? MHP_EINVAL : 0;
}
