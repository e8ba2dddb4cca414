/* SPDX-License-Identifier: MIT */
/*
 * attr.c - requests about attributes: get and set, read and write, attrs.
 *
 * A name is that of an attribute of the pool, memoryN/NAME, nodeN/NAME or firmware/memoryN/NAME.
 * get and set speak as people and programs do, read and write as the file of that name does, byte
 * for byte. A block is the one that was there when the client says it was (as_of): what came in its
 * place since is another.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"

#define NAME_MAX_BYTES 64U

/* The attributes that a name stands for, and what they are asked about. */
struct named {
	const struct mhp__attr *attrs;
	size_t nr;
	struct mhp__subject subject;
	char prefix[32];               /* before the name of each */
};

static const char *
place_name(enum mhp__place place)
{
	static const char *const names[] = { "pool", "parameter", "block", "node", "nodes",
					     "hwpoison", "vm", "actions", "firmware" };
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

/* ---- what attributes are asked about: each answers the error itself ---- */

static bool
find_pool(struct mhp__out *out, const struct mhp__fields *fields, uint32_t number,
	  struct mhp__subject *subject)
{
	(void)out, (void)fields, (void)number, (void)subject;
	return true;
}

static bool
find_block(struct mhp__out *out, const struct mhp__fields *fields, uint32_t number,
	   struct mhp__subject *subject)
{
	if (mhp_block_get(mhp__control.m, number, &subject->info) == 0 &&
	    subject->info.state != MHP_ABSENT &&
	    subject->info.generation <= mhp__number(fields, MHP__F_AS_OF))
		return true;
	mhp__out_error(out, MHP_ENODEV, "there is no block %" PRIu32, number);
	return false;
}

static bool
find_node(struct mhp__out *out, const struct mhp__fields *fields, uint32_t number,
	  struct mhp__subject *subject)
{
	struct mhp_node_info info;
	(void)fields;
	subject->node = number;
	if (number < MHP_POOL_NODES &&
	    mhp_pool_node_get(mhp__control.pool, number, &info) == 0)
		return true;
	mhp__out_error(out, MHP_ENODEV, "the pool has no node %" PRIu32
		       "; memplug nodes lists them", number);
	return false;
}

/* Whether it is there or not. */
static bool
find_place(struct mhp__out *out, const struct mhp__fields *fields, uint32_t number,
	   struct mhp__subject *subject)
{
	(void)fields;
	if (number < mhp__firmware_blocks() &&
	    mhp_block_get(mhp__control.m, number, &subject->info) == 0)
		return true;
	mhp__out_error(out, MHP_ENODEV, "the pool cannot have a block %" PRIu32, number);
	return false;
}

/* Names begin with a prefix and a number; those of the pool's own attributes with neither. */
static const struct kind {
	const char *prefix;
	const struct mhp__attr *attrs;
	const size_t *nr;
	bool (*find)(struct mhp__out *out, const struct mhp__fields *fields, uint32_t number,
		     struct mhp__subject *subject);
} kinds[] = {
	{ "memory", mhp__block_attrs, &mhp__nr_block_attrs, find_block },
	{ "node", mhp__node_attrs, &mhp__nr_node_attrs, find_node },
	{ "firmware/memory", mhp__firmware_attrs, &mhp__nr_firmware_attrs, find_place },
	{ "", mhp__pool_attrs, &mhp__nr_pool_attrs, find_pool },
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Is it of this kind? Then *ret_rest is what follows the number and a slash. */
static bool
is_of(const struct kind *kind, const char *name, uint32_t *ret_number, const char **ret_rest)
{
	size_t length = strlen(kind->prefix);
	char *end;
	*ret_number = 0;
	*ret_rest = name;
	if (length == 0)
		return true;
	if (strncmp(name, kind->prefix, length) != 0 || !isdigit((unsigned char)name[length]))
		return false;
	unsigned long long number = strtoull(name + length, &end, 10);
	if ((*end != 0 && *end != '/') || (name[length] == '0' && end != name + length + 1))
		return false;
	*ret_number = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
	*ret_rest = *end == '/' ? end + 1 : end;
	return true;
}

static bool
find_named(struct mhp__out *out, const struct mhp__fields *fields, struct named *ret)
{
	const char *name = mhp__text(fields, MHP__F_ATTR), *rest;
	const struct kind *kind = kinds;
	uint32_t number;
	while (!is_of(kind, name, &number, &rest))
		kind++; /* the last one takes all */
	*ret = (struct named){ .subject = { .client_fd = out->fd }, .attrs = kind->attrs,
			       .nr = *kind->nr };
	if (!kind->find(out, fields, number, &ret->subject))
		return false;
	if (kind->prefix[0] != 0)
		snprintf(ret->prefix, sizeof(ret->prefix), "%s%" PRIu32 "/", kind->prefix, number);
	if (*rest == 0)
		return true;
	ret->attrs = find(ret->attrs, ret->nr, rest);
	ret->nr = 1;
	if (ret->attrs == NULL)
		mhp__out_error(out, MHP_ENOENT,
			       "there is no attribute '%s'; memplug get lists them", name);
	return ret->attrs != NULL;
}

/* ---- get and read ---- */

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

/* For people: a table of lines is one line. */
static void
in_a_line(char *text)
{
	while ((text = strchr(text, '\n')) != NULL)
		*text = ';';
}

void
mhp__request_get(struct mhp__out *out, const struct mhp__fields *fields)
{
	char text[MHP__ATTR_TEXT], name[NAME_MAX_BYTES];
	const char *before = "{";
	struct named named;
	if (!find_named(out, fields, &named))
		return;
	for (size_t i = 0; i < named.nr; i++) {
		int err = show(&named.attrs[i], &named.subject, text, sizeof(text));
		if (err != 0 && named.nr == 1) {
			out_unreadable(out, err, mhp__text(fields, MHP__F_ATTR));
			return;
		}
		if (err != 0)
			continue;
		in_a_line(text);
		snprintf(name, sizeof(name), "%s%s", named.prefix, named.attrs[i].name);
		mhp__out_string(out, before, name, text);
		before = ",";
	}
	mhp__out(out, "}\n");
}

void
mhp__request_read(struct mhp__out *out, const struct mhp__fields *fields)
{
	char text[MHP__ATTR_TEXT];
	struct named named;
	if (!find_named(out, fields, &named))
		return;
	if (named.nr != 1) {
		mhp__out_error(out, MHP_EINVAL, "'%s' is more than one attribute",
			       mhp__text(fields, MHP__F_ATTR));
		return;
	}
	named.subject.as_file = true;
	int err = show(named.attrs, &named.subject, text, sizeof(text) - 1);
	if (err != 0) {
		out_unreadable(out, err, mhp__text(fields, MHP__F_ATTR));
		return;
	}
	if (named.attrs->show != mhp__show_empty)
		strcat(text, "\n");
	mhp__out_string(out, "{", "text", text);
	mhp__out(out, "}\n");
}

/* ---- set and write ---- */

static void
store(struct mhp__out *out, const struct mhp__fields *fields, bool as_file)
{
	const char *name = mhp__text(fields, MHP__F_ATTR);
	const char *value = mhp__text(fields, MHP__F_VALUE);
	struct mhp_text text = { "" };
	struct named named;
	if (!find_named(out, fields, &named))
		return;
	if (named.nr != 1) {
		mhp__out_error(out, MHP_EINVAL, "'%s' is more than one attribute", name);
		return;
	}
	if (named.attrs->store == NULL) {
		mhp__out_error(out, MHP_EPERM, "'%s' can only be read", name);
		return;
	}
	named.subject.as_file = as_file;
	/* One zero byte at the end ends a word as a newline does. */
	named.subject.is_cut = fields->value[MHP__F_VALUE].length > strlen(value) + 1;
	int err = named.attrs->store(&named.subject, value, &text);
	if (err == 0)
		mhp__out(out, "{}\n");
	else if (text.text[0] != 0)
		mhp__out_error(out, err, "%s", text.text);
	else if (err == MHP_EINVAL)
		mhp__out_error(out, err, "'%s' is no value for %s", value, name);
	else
		mhp__out_error(out, err, "%s cannot be '%s' now: %s", name, value,
			       strerrordesc_np(-err));
}

void
mhp__request_set(struct mhp__out *out, const struct mhp__fields *fields)
{
	store(out, fields, false);
}

/* Anything after a zero byte is ignored, as the kernel does. */
void
mhp__request_write(struct mhp__out *out, const struct mhp__fields *fields)
{
	store(out, fields, true);
}

void
mhp__request_attrs(struct mhp__out *out, const struct mhp__fields *fields)
{
	const char *comma = "{";
	(void)fields;
	mhp__out(out, "{\"attrs\":[");
	for (unsigned k = 0; k < NR_KINDS; k++) {
		for (size_t i = 0; i < *kinds[k].nr; i++) {
			const struct mhp__attr *attr = &kinds[k].attrs[i];
			mhp__out_string(out, comma, "name", attr->name);
			mhp__out(out, ",\"place\":\"%s\",\"mode\":%u}", place_name(attr->place),
				 attr->mode);
			comma = ",{";
		}
	}
	mhp__out(out, "]}\n");
}
