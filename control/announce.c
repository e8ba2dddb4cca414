/* SPDX-License-Identifier: MIT */
/*
 * announce.c - an event for a block to which nothing happens, as the kernel's uevent files make.
 *
 * What is written there is WORD [UUID [KEY=VALUE]...]. The engine passes one number on to its trace
 * callback: it tells the word, and the slot of this file in which the rest is. A slot belongs to
 * the thread that announces, from before its call of the engine until after it.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "attr.h"
#include "events.h"

#define UUID_CHARS 36U
#define WORD_BITS 3U

_Static_assert(MHP__ANNOUNCE_WORDS == 1U << WORD_BITS, "a word has its bits");

static struct {
	_Atomic bool taken;
	char text[MHP__EVENT_TEXT];
} slots[MHP__THREADS];

/* ---- the grammar ---- */

static bool
is_uuid(const char *text)
{
	for (unsigned i = 0; i < UUID_CHARS; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return true;
}

/* The end of what starts with a letter or digit and goes on with them; NULL: there is none. */
static const char *
skip_name(const char *text)
{
	const char *end = text;
	while (isalnum((unsigned char)*end))
		end++;
	return end != text ? end : NULL;
}

static bool
are_arguments(const char *text)
{
	while (*text == ' ') {
		text = skip_name(text + 1);
		if (text == NULL || *text != '=')
			return false;
		text = skip_name(text + 1);
		if (text == NULL)
			return false;
	}
	return *text == 0 || strcmp(text, "\n") == 0;
}

int
mhp__uevent_parse(const char *value, const char **ret_rest)
{
	int word = mhp__word_index(mhp__announce_words, (int)MHP__ANNOUNCE_WORDS, value);
	*ret_rest = "";
	for (int i = 0; word < 0 && i < (int)MHP__ANNOUNCE_WORDS; i++) {
		size_t length = strlen(mhp__announce_words[i]);
		if (strncmp(value, mhp__announce_words[i], length) != 0 || value[length] != ' ')
			continue;
		*ret_rest = value + length + 1;
		return is_uuid(*ret_rest) && are_arguments(*ret_rest + UUID_CHARS) ? i : -1;
	}
	return word;
}

/* ---- the event ---- */

static int
take_slot(const char *rest)
{
	size_t length = strcspn(rest, "\n");
	if (length >= MHP__EVENT_TEXT)
		return MHP_ENOMEM;
	for (unsigned i = 0; i < MHP__THREADS; i++) {
		if (atomic_exchange(&slots[i].taken, true))
			continue;
		memcpy(slots[i].text, rest, length);
		slots[i].text[length] = 0;
		return (int)i;
	}
	return MHP_ENOSPC; /* never: each thread takes one */
}

int
mhp__announce(uint32_t block, const char *value)
{
	const char *rest;
	int word = mhp__uevent_parse(value, &rest);
	if (word < 0)
		return MHP_EINVAL;
	int slot = take_slot(rest);
	if (slot < 0)
		return slot;
	int err = mhp_block_announce(mhp__control.m, block,
				     (uint32_t)slot << WORD_BITS | (uint32_t)word);
	atomic_store(&slots[slot].taken, false);
	return err;
}

void
mhp__announce_reset(void)
{
	for (unsigned i = 0; i < MHP__THREADS; i++)
		atomic_store(&slots[i].taken, false);
}

const char *
mhp__announced_text(uint32_t flags)
{
	return slots[(flags >> WORD_BITS) % MHP__THREADS].text;
}

/* "synth_uuid":"...","synth_args":{...}: the environment of the kernel's event, which says 0 for
 * none. The text has passed the grammar, so nothing in it needs a quote. */
void
mhp__announced_members(struct mhp__out *out, const char *text)
{
	const char *comma = "";
	mhp__out(out, ",\"synth_uuid\":\"%.*s\",\"synth_args\":{",
		 *text != 0 ? (int)UUID_CHARS : 1, *text != 0 ? text : "0");
	for (text = strchr(text, ' '); text != NULL; text = strchr(text, ' ')) {
		size_t name = strcspn(++text, "="), value = strcspn(text + name + 1, " ");
		mhp__out(out, "%s\"%.*s\":\"%.*s\"", comma, (int)name, text, (int)value,
			 text + name + 1);
		comma = ",";
	}
	mhp__out(out, "}");
}

void
mhp__request_announce(struct mhp__out *out, const struct mhp__fields *fields)
{
	const char *action = mhp__text(fields, MHP__F_ACTION), *rest;
	uint64_t block = mhp__number(fields, MHP__F_BLOCK);
	struct mhp_block_info info;

	if (mhp__uevent_parse(action, &rest) < 0) {
		mhp__out_error(out, MHP_EINVAL, "'%s' is nothing that can be announced", action);
		return;
	}
	int err = block > UINT32_MAX ? MHP_ENXIO
				     : mhp_block_get(mhp__control.m, (uint32_t)block, &info);
	if (err == 0 && info.generation > mhp__number(fields, MHP__F_AS_OF))
		err = MHP_ENODEV;
	if (err == 0)
		err = mhp__announce((uint32_t)block, action);
	if (err != 0)
		mhp__out_error(out, err, "there is no block %" PRIu64, block);
	else
		mhp__out(out, "{}\n");
}
