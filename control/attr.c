/* SPDX-License-Identifier: MIT */
/*
 * attr.c - requests about attributes: get, set, read, attrs.
 *
 * A name is that of an attribute of the pool, or memoryN/NAME. get answers values as people and
 * programs want them, read as the file of that name has them, byte for byte. A value that comes
 * over the socket is one word, in which %HH is a byte and a lone % is nothing.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"

#define BLOCK_PREFIX "memory"
#define NAME_MAX_BYTES 64U

/* The attributes that a name stands for, and what they are asked about. */
struct named {
	const struct mhp__attr *attrs;
	size_t nr;
	struct mhp__subject subject;
	char prefix[24];               /* before the name of each */
};

static const char *
place_name(enum mhp__place place)
{
	static const char *const names[] = { "pool", "parameter", "block" };
	return names[place];
}

static const struct mhp__attr *
find(const struct mhp__attr *attrs, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (strcmp(attrs[i].name, name) == 0)
			return &attrs[i];
	return NULL;
}

/* memoryN, to its end or to a slash; returns what is behind that, or NULL: it is no such name. */
static const char *
parse_block(const char *name, uint32_t *ret_block)
{
	char *end;
	if (strncmp(name, BLOCK_PREFIX, strlen(BLOCK_PREFIX)) != 0)
		return NULL;
	name += strlen(BLOCK_PREFIX);
	if (!isdigit((unsigned char)*name))
		return NULL;
	unsigned long long block = strtoull(name, &end, 10);
	if ((*end != 0 && *end != '/') || (*name == '0' && end != name + 1))
		return NULL;
	*ret_block = block < UINT32_MAX ? (uint32_t)block : UINT32_MAX;
	return *end == '/' ? end + 1 : end;
}

/* Answers the error itself. */
static bool
find_named(struct mhp__out *out, const char *name, struct named *ret)
{
	uint32_t block = 0;
	const char *rest = parse_block(name, &block);
	*ret = (struct named){ .subject = { .client_fd = out->fd } };
	ret->attrs = rest != NULL ? mhp__block_attrs : mhp__pool_attrs;
	ret->nr = rest != NULL ? mhp__nr_block_attrs : mhp__nr_pool_attrs;
	if (rest != NULL) {
		if (mhp_block_get(mhp__control.m, block, &ret->subject.info) != 0 ||
		    ret->subject.info.state == MHP_ABSENT) {
			mhp__out_error(out, MHP_ENODEV, "there is no block %" PRIu32, block);
			return false;
		}
		snprintf(ret->prefix, sizeof(ret->prefix), BLOCK_PREFIX "%" PRIu32 "/", block);
	} else {
		rest = name;
	}
	if (strcmp(rest, "-") == 0 || *rest == 0)
		return true;
	ret->attrs = find(ret->attrs, ret->nr, rest);
	ret->nr = 1;
	if (ret->attrs == NULL)
		mhp__out_error(out, MHP_ENOENT, "there is no attribute '%s'", name);
	return ret->attrs != NULL;
}

static int
show(const struct mhp__attr *attr, const struct mhp__subject *subject, char *text, size_t size)
{
	struct mhp_pool_stats stats;
	uint64_t value;
	*text = 0;
	if (attr->show != NULL)
		return attr->show(subject, text, size);
	if ((attr->mode & 0444) == 0)
		return MHP_EPERM;
	mhp_pool_get_stats(mhp__control.pool, &stats);
	memcpy(&value, (const char *)&stats + attr->offset, sizeof(value));
	snprintf(text, size, "%" PRIu64, value);
	return 0;
}

static void
out_unreadable(struct mhp__out *out, int err, const char *name)
{
	if (err == MHP_ENOSPC)
		mhp__out_error(out, err, MHP__TOO_MANY_WAIT);
	else
		mhp__out_error(out, err, "'%s' has nothing to read", name);
}

void
mhp__request_get(struct mhp__out *out, unsigned nr_words, char **words)
{
	char text[MHP__ATTR_TEXT], name[NAME_MAX_BYTES];
	const char *before = "{";
	struct named named;
	if (nr_words != 1 || !find_named(out, words[0], &named))
		return;
	for (size_t i = 0; i < named.nr; i++) {
		int err = show(&named.attrs[i], &named.subject, text, sizeof(text));
		if (err != 0 && named.nr == 1) {
			out_unreadable(out, err, words[0]);
			return;
		}
		if (err != 0)
			continue;
		snprintf(name, sizeof(name), "%s%s", named.prefix, named.attrs[i].name);
		mhp__out_string(out, before, name, text);
		before = ",";
	}
	mhp__out(out, "}\n");
}

void
mhp__request_read(struct mhp__out *out, unsigned nr_words, char **words)
{
	char text[MHP__ATTR_TEXT];
	struct named named;
	if (nr_words != 1 || !find_named(out, words[0], &named))
		return;
	if (named.nr != 1) {
		mhp__out_error(out, MHP_EINVAL, "'%s' is more than one attribute", words[0]);
		return;
	}
	named.subject.as_file = true;
	int err = show(named.attrs, &named.subject, text, sizeof(text) - 1);
	if (err != 0) {
		out_unreadable(out, err, words[0]);
		return;
	}
	if (*text != 0)
		strcat(text, "\n");
	mhp__out_string(out, "{", "text", text);
	mhp__out(out, "}\n");
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. What follows a zero byte is ignored, as the kernel does. */
static bool
decode(char *word)
{
	char *to = word;
	if (strcmp(word, "%") == 0)
		*word = 0;
	for (const char *from = word; *from != 0; from++) {
		int high, low;
		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		high = hex_digit(from[1]);
		low = high < 0 ? -1 : hex_digit(from[2]);
		if (low < 0)
			return false;
		*to++ = (char)(high << 4 | low);
		from += 2;
	}
	*to = 0;
	return true;
}

void
mhp__request_set(struct mhp__out *out, unsigned nr_words, char **words)
{
	struct mhp_text text = { "" };
	struct named named;
	if (nr_words != 2 || !find_named(out, words[0], &named))
		return;
	if (named.nr != 1 || !decode(words[1])) {
		mhp__out_error(out, MHP_EINVAL, "that is no attribute and a value for it");
		return;
	}
	if (named.attrs->store == NULL) {
		mhp__out_error(out, MHP_EPERM, "'%s' can only be read", words[0]);
		return;
	}
	int err = named.attrs->store(&named.subject, words[1], &text);
	if (err == 0)
		mhp__out(out, "{}\n");
	else if (text.text[0] != 0)
		mhp__out_error(out, err, "%s", text.text);
	else if (err == MHP_EINVAL)
		mhp__out_error(out, err, "'%s' is no value for %s", words[1], words[0]);
	else
		mhp__out_error(out, err, "%s cannot be '%s' now: %s", words[0], words[1],
			       strerrordesc_np(-err));
}

static void
list_attrs(struct mhp__out *out, const struct mhp__attr *attrs, size_t nr, const char *comma)
{
	for (size_t i = 0; i < nr; i++) {
		mhp__out_string(out, i == 0 ? comma : ",{", "name", attrs[i].name);
		mhp__out(out, ",\"place\":\"%s\",\"mode\":%u}", place_name(attrs[i].place),
			 attrs[i].mode);
	}
}

void
mhp__request_attrs(struct mhp__out *out, unsigned nr_words, char **words)
{
	(void)nr_words, (void)words;
	mhp__out(out, "{\"attrs\":[");
	list_attrs(out, mhp__pool_attrs, mhp__nr_pool_attrs, "{");
	list_attrs(out, mhp__block_attrs, mhp__nr_block_attrs, ",{");
	mhp__out(out, "]}\n");
}
