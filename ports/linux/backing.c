/* SPDX-License-Identifier: MIT */
/*
 * backing.c - the words for backings: what a user types, and what a listing shows.
 *
 * KIND[:PATH][,node=N][,rank=N]. Only words: whether the machine has such a thing is found out when
 * a file of it is opened. The place is cut off the end first, so a path may have commas in it.
 */
#include <stdio.h>
#include <string.h>

#include "text.h"

/* `hugetlb` alone means the size that works. */
static const struct {
	const char *word;
	enum mhp_backing_kind kind;
	bool path;
} words_known[] = {
	{ "ram", MHP_BACKING_RAM, false },
	{ "memfd", MHP_BACKING_MEMFD, false },
	{ "hugetlb", MHP_BACKING_HUGETLB_2M, false },
	{ "hugetlb:2M", MHP_BACKING_HUGETLB_2M, false },
	{ "hugetlb:1G", MHP_BACKING_HUGETLB_1G, false },
	{ "dax:", MHP_BACKING_DAX, true },
	{ "file:", MHP_BACKING_FILE, true },
};

const char *
mhp_backing_name(enum mhp_backing_kind kind)
{
	static const char *const names[MHP_BACKING_KINDS] = {
		"ram", "memfd", "hugetlb-2M", "hugetlb-1G", "dax", "file",
	};
	return (unsigned)kind < MHP_BACKING_KINDS ? names[kind] : "?";
}

/* Cut ",WORD=N" off the end of words; -1: it is not there, -2: malformed. */
static int
cut_number(char *words, const char *word, unsigned max)
{
	char *comma = strrchr(words, ',');
	size_t length = strlen(word);
	unsigned number;
	if (comma == NULL || strncmp(comma, word, length) != 0)
		return -1;
	const char *at = comma + length;
	if (!mhp__take_number(&at, max, &number) || *at != 0)
		return -2;
	*comma = 0;
	return (int)number;
}

/* Both, in any order. */
static int
cut_place(char *words, struct mhp_backing *backing, struct mhp_text *reterr)
{
	char whole[MHP_BACKING_PATH_MAX + 48];
	snprintf(whole, sizeof(whole), "%s", words);
	for (unsigned i = 0; i < 2; i++) {
		int node = cut_number(words, ",node=", 1023);
		int rank = cut_number(words, ",rank=", MHP_POOL_RANK_MAX);
		if (node < -1)
			return mhp__say(reterr, MHP_EINVAL, "'%s' does not end in a node number",
					whole);
		if (rank < -1)
			return mhp__say(reterr, MHP_EINVAL, "'%s': a rank is 0 to %d", whole,
					MHP_POOL_RANK_MAX);
		if (node >= 0) {
			backing->bind = true;
			backing->node = node;
		}
		if (rank >= 0) {
			backing->ranked = true;
			backing->rank = rank;
		}
	}
	return 0;
}

int
mhp_backing_parse(const char *words, struct mhp_backing *ret_backing, struct mhp_text *reterr)
{
	char copy[MHP_BACKING_PATH_MAX + 48];
	struct mhp_backing backing = { .kind = MHP_BACKING_RAM };

	if (snprintf(copy, sizeof(copy), "%s", words) >= (int)sizeof(copy))
		return mhp__say(reterr, MHP_EINVAL, "the path of the backing is too long");
	int err = cut_place(copy, &backing, reterr);
	if (err != 0)
		return err;
	for (unsigned i = 0; i < sizeof(words_known) / sizeof(words_known[0]); i++) {
		size_t length = strlen(words_known[i].word);
		bool path = words_known[i].path;
		if (path ? strncmp(copy, words_known[i].word, length) != 0 || copy[length] == 0
			 : strcmp(copy, words_known[i].word) != 0)
			continue;
		if (path && strlen(copy + length) >= sizeof(backing.path))
			return mhp__say(reterr, MHP_EINVAL, "the path of the backing is too long");
		if (path)
			memcpy(backing.path, copy + length, strlen(copy + length) + 1);
		backing.kind = words_known[i].kind;
		*ret_backing = backing;
		return 0;
	}
	return mhp__say(
		reterr, MHP_EINVAL,
		"'%s' is no backing: ram, memfd, hugetlb:2M, hugetlb:1G, dax:DEVICE "
		"or file:PATH, with ,node=N and ,rank=N if wanted",
		words);
}
