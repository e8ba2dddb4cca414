/* SPDX-License-Identifier: MIT */
/*
 * attr.c - the attribute table: the one place where a knob or a counter has its name.
 *
 * show writes a value as text; store is NULL for what can only be read. The names of knobs are
 * those of the kernel where it has them.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

struct attr {
	const char *name;
	void (*show)(char *text, size_t size);
	int (*store)(const char *value);
	int offset;                /* with show_port or show_engine: where the counter is */
};

static const char *const switch_words[] = { "off", "on", "force" };
static const char *const policy_words[] = { "contig-zones", "auto-movable" };
static const char *const auto_words[] = { "offline", "online", "online_kernel", "online_movable" };

static int
word_index(const char *const *words, int nr, const char *value)
{
	for (int i = 0; i < nr; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return -1;
}

static void
show_switch(char *text, size_t size)
{
	snprintf(text, size, "%s", switch_words[mhp_get_memmap_on_memory(mhp__control.m)]);
}

static int
store_switch(const char *value)
{
	int i = word_index(switch_words, 3, value);
	return i < 0 ? MHP_EINVAL
		     : mhp_set_memmap_on_memory(mhp__control.m, (enum mhp_memmap_switch)i);
}

static struct mhp_policy
policy(void)
{
	struct mhp_policy now;
	mhp_get_policy(mhp__control.m, &now);
	return now;
}

static void
show_policy(char *text, size_t size)
{
	snprintf(text, size, "%s", policy_words[policy().online_policy]);
}

static int
store_policy(const char *value)
{
	struct mhp_policy now = policy();
	int i = word_index(policy_words, 2, value);
	now.online_policy = (enum mhp_online_policy)i;
	return i < 0 ? MHP_EINVAL : mhp_set_policy(mhp__control.m, &now);
}

static void
show_auto(char *text, size_t size)
{
	snprintf(text, size, "%s", auto_words[policy().auto_online]);
}

static int
store_auto(const char *value)
{
	struct mhp_policy now = policy();
	int i = word_index(auto_words, 4, value);
	now.auto_online = (enum mhp_auto_online)i;
	return i < 0 ? MHP_EINVAL : mhp_set_policy(mhp__control.m, &now);
}

static void
show_ratio(char *text, size_t size)
{
	snprintf(text, size, "%" PRIu32, policy().auto_movable_ratio);
}

static int
store_ratio(const char *value)
{
	struct mhp_policy now = policy();
	char *end;
	now.auto_movable_ratio = (uint32_t)strtoul(value, &end, 10);
	return *end != 0 || end == value ? MHP_EINVAL : mhp_set_policy(mhp__control.m, &now);
}

static void
show_max(char *text, size_t size)
{
	snprintf(text, size, "%" PRIu64,
		 mhp__control.opts.get_max != NULL ? mhp__control.opts.get_max() : 0);
}

static int
store_max(const char *value)
{
	uint64_t bytes = mhp__size_parse(value);
	if (mhp__control.opts.set_max == NULL || (bytes == 0 && strcmp(value, "0") != 0))
		return MHP_EINVAL;
	mhp__control.opts.set_max(bytes);
	return 0;
}

static void
show_block_size(char *text, size_t size)
{
	snprintf(text, size, "%" PRIu64, mhp__block_bytes());
}

static void
show_userfaultfd(char *text, size_t size)
{
	struct mhp_text why = { "" };
	bool can = mhp_pool_can_move(mhp__control.pool, &why);
	snprintf(text, size, "%s", can ? "full" : why.text);
}

#define PORT(field) { #field, NULL, NULL, (int)offsetof(struct mhp_pool_stats, field) }

static const struct attr attrs[] = {
	{ "block_size_bytes", show_block_size, NULL, 0 },
	{ "max_bytes", show_max, store_max, 0 },
	{ "memmap_on_memory", show_switch, store_switch, 0 },
	{ "online_policy", show_policy, store_policy, 0 },
	{ "auto_online_blocks", show_auto, store_auto, 0 },
	{ "auto_movable_ratio", show_ratio, store_ratio, 0 },
	{ "userfaultfd", show_userfaultfd, NULL, 0 },
	PORT(committed_bytes),
	PORT(moved_pages),
	PORT(untouched_pages),
	PORT(move_batches),
	PORT(stall_max_ns),
	PORT(stall_sum_ns),
	PORT(map_retries),
	PORT(mappings),
	PORT(mappings_max),
	PORT(forks),
	PORT(cow_pages),
	PORT(quarantined_pages),
};

static void
show(const struct attr *attr, char *text, size_t size)
{
	struct mhp_pool_stats stats;
	uint64_t value;
	if (attr->show != NULL) {
		attr->show(text, size);
		return;
	}
	mhp_pool_get_stats(mhp__control.pool, &stats);
	memcpy(&value, (const char *)&stats + attr->offset, sizeof(value));
	snprintf(text, size, "%" PRIu64, value);
}

void
mhp__request_get(struct mhp__out *out, unsigned nr_words, char **words)
{
	char text[256];
	const char *before = "{";
	bool all = nr_words == 1 && strcmp(words[0], "-") == 0;
	for (size_t i = 0; nr_words == 1 && i < sizeof(attrs) / sizeof(attrs[0]); i++) {
		if (!all && strcmp(attrs[i].name, words[0]) != 0)
			continue;
		show(&attrs[i], text, sizeof(text));
		mhp__out_string(out, before, attrs[i].name, text);
		before = ",";
	}
	if (*before == ',')
		mhp__out(out, "}\n");
	else
		mhp__out_error(out, MHP_ENOENT, "there is no attribute '%s'",
			       nr_words == 1 ? words[0] : "");
}

void
mhp__request_set(struct mhp__out *out, unsigned nr_words, char **words)
{
	for (size_t i = 0; nr_words == 2 && i < sizeof(attrs) / sizeof(attrs[0]); i++) {
		if (strcmp(attrs[i].name, words[0]) != 0)
			continue;
		int err = attrs[i].store != NULL ? attrs[i].store(words[1]) : MHP_EPERM;
		if (err == 0)
			mhp__out(out, "{}\n");
		else if (attrs[i].store == NULL)
			mhp__out_error(out, err, "'%s' can only be read", words[0]);
		else
			mhp__out_error(out, err, "'%s' is no value for %s", words[1], words[0]);
		return;
	}
	mhp__out_error(out, MHP_ENOENT, "there is no attribute '%s'", nr_words > 0 ? words[0] : "");
}
