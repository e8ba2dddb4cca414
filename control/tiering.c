/* SPDX-License-Identifier: MIT */
/*
 * tiering.c - tiering as people write it.
 *
 * One word says all: off, on, or how much may move in a second. How much of a CPU looking may take
 * is a matter of the library; a word leaves it as it is by default.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include <memplug/control.h>
#include <memplug/words.h>

int
mhp_tiering_parse(const char *words, struct mhp_tiering *ret_how, struct mhp_text *reterr)
{
	char word[32] = "";
	struct mhp_size size = { 0 };
	size_t length = strcspn(words, "\n");
	if (length < sizeof(word))
		memcpy(word, words, length);
	*ret_how = (struct mhp_tiering){ .on = strcmp(word, "off") != 0 };
	if (!ret_how->on || strcmp(word, "on") == 0)
		return 0;
	if (mhp_size_parse(word, &size) != 0 || size.bytes == 0) {
		if (reterr != NULL)
			snprintf(reterr->text, sizeof(reterr->text), "tiering is on, off, or how "
				 "much may move in a second, such as 64M");
		return MHP_EINVAL;
	}
	ret_how->bytes_per_s = size.bytes;
	return 0;
}

void
mhp_tiering_text(const struct mhp_tiering *how, char text[MHP_TIERING_TEXT])
{
	if (how->on)
		mhp_size_text(how->bytes_per_s, text);
	else
		snprintf(text, MHP_TIERING_TEXT, "off");
}
