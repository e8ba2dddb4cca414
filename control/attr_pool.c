/* SPDX-License-Identifier: MIT */
/*
 * attr_pool.c - the attributes of a pool: the kernel's for all memory blocks, its module
 * parameters, what the Linux port counts, and our own knobs.
 *
 * memmap_on_memory is a parameter that the kernel takes at boot only: its file is read-only, but
 * set changes it at any time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attr.h"

static const char *const switch_words[] = { "off", "on", "force" };
static const char *const policy_words[] = { "contig-zones", "auto-movable" };
static const char *const auto_words[] = { "offline", "online", "online_kernel", "online_movable" };

static struct mhp_policy
policy(void)
{
	struct mhp_policy now;
	mhp_get_policy(mhp__control.m, &now);
	return now;
}

static int
show_number(char *text, size_t size, uint64_t value)
{
	snprintf(text, size, "%" PRIu64, value);
	return 0;
}

static int
show_word(char *text, size_t size, const char *word)
{
	snprintf(text, size, "%s", word);
	return 0;
}

/* ---- the kernel's ---- */

static int
show_block_size(const struct mhp__subject *subject, char *text, size_t size)
{
	if (!subject->as_file)
		return show_number(text, size, mhp__block_bytes());
	snprintf(text, size, "%" PRIx64, mhp__block_bytes());
	return 0;
}

static int
show_auto_online(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_word(text, size, auto_words[policy().auto_online]);
}

static int
store_auto_online(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_policy now = policy();
	int i = mhp__word_index(auto_words, 4, value);
	(void)subject, (void)reterr;
	now.auto_online = (enum mhp_auto_online)i;
	return i < 0 ? MHP_EINVAL : mhp_set_policy(mhp__control.m, &now);
}

static int
store_uevent(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	const char *rest;
	(void)reterr;
	return subject->is_cut || mhp__uevent_parse(value, &rest) < 0 ? MHP_EINVAL : 0;
}

/* ---- the kernel's module parameters ---- */

static int
show_memmap_switch(const struct mhp__subject *subject, char *text, size_t size)
{
	static const char *const file_words[] = { "N", "Y", "force" };
	unsigned now = mhp_get_memmap_on_memory(mhp__control.m);
	return show_word(text, size, subject->as_file ? file_words[now] : switch_words[now]);
}

static int
store_memmap_switch(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	int i = mhp__word_index(switch_words, 3, value);
	(void)subject, (void)reterr;
	if (i < 0)
		i = mhp__word_switch(value);
	return i < 0 ? MHP_EINVAL
		     : mhp_set_memmap_on_memory(mhp__control.m, (enum mhp_memmap_switch)i);
}

static int
show_policy(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_word(text, size, policy_words[policy().online_policy]);
}

static int
store_policy(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_policy now = policy();
	int i = mhp__word_index(policy_words, 2, value);
	(void)subject, (void)reterr;
	now.online_policy = (enum mhp_online_policy)i;
	return i < 0 ? MHP_EINVAL : mhp_set_policy(mhp__control.m, &now);
}

static int
show_ratio(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_number(text, size, policy().auto_movable_ratio);
}

static int
store_ratio(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_policy now = policy();
	uint64_t ratio;
	int err = mhp__word_number(subject, value, UINT32_MAX, &ratio);
	(void)reterr;
	if (err != 0)
		return err;
	now.auto_movable_ratio = (uint32_t)ratio;
	return mhp_set_policy(mhp__control.m, &now);
}

static int
show_numa_aware(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_word(text, size, policy().auto_movable_numa_aware ? "Y" : "N");
}

static int
store_numa_aware(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_policy now = policy();
	int on = mhp__word_switch(value);
	(void)subject, (void)reterr;
	now.auto_movable_numa_aware = on == 1;
	return on < 0 ? MHP_EINVAL : mhp_set_policy(mhp__control.m, &now);
}

/* ---- ours ---- */

static int
show_strict(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_word(text, size, policy().strict ? "Y" : "N");
}

static int
store_strict(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_policy now = policy();
	int on = mhp__word_switch(value);
	(void)subject, (void)reterr;
	now.strict = on == 1;
	return on < 0 ? MHP_EINVAL : mhp_set_policy(mhp__control.m, &now);
}

static int
show_attempts(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_number(text, size, policy().auto_online_attempts);
}

static int
store_attempts(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_policy now = policy();
	uint64_t attempts;
	int err = mhp__word_number(subject, value, UINT32_MAX, &attempts);
	(void)reterr;
	if (err != 0)
		return err;
	now.auto_online_attempts = (uint32_t)attempts;
	return mhp_set_policy(mhp__control.m, &now);
}

static int
show_max(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_number(text, size,
			   mhp__control.opts.get_max != NULL ? mhp__control.opts.get_max() : 0);
}

/* With a unit or without, and a newline after it or none. */
static int
store_max(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	char words[32];
	struct mhp_size size;
	size_t length = strcspn(value, "\n");
	(void)subject, (void)reterr;
	if (mhp__control.opts.set_max == NULL || length >= sizeof(words))
		return MHP_EINVAL;
	memcpy(words, value, length);
	words[length] = 0;
	if (mhp_size_parse(words, &size) != 0)
		return MHP_EINVAL;
	mhp__control.opts.set_max(size.bytes);
	return 0;
}

/* ---- following the limits of the cgroup ---- */

static int
show_follow(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_word(text, size, mhp__followed().on ? "on" : "off");
}

static int
store_follow(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	int on = mhp__word_switch(value);
	(void)subject;
	if (on < 0)
		return MHP_EINVAL;
	if (mhp__control.opts.set_follow != NULL)
		return mhp__control.opts.set_follow(on != 0);
	snprintf(reterr->text, sizeof(reterr->text), "the heap of this program does not grow");
	return MHP_EOPNOTSUPP;
}

static int
show_safe(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_number(text, size, mhp__followed().safe_bytes);
}

static int
show_limit(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_number(text, size, mhp__followed().limit_bytes);
}

/* ---- where memory to come is, and how it lies there: words of the library ---- */

static int
show_placement(const struct mhp__subject *subject, char *text, size_t size)
{
	char words[MHP_SPREAD_TEXT];
	struct mhp_spread spread;
	(void)subject;
	mhp_pool_get_spread(mhp__control.pool, &spread);
	mhp_spread_text(&spread, words);
	return show_word(text, size, words);
}

static int
store_placement(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_spread spread;
	int err = mhp_spread_parse(value, &spread, reterr);
	(void)subject;
	return err != 0 ? err : mhp_pool_set_spread(mhp__control.pool, &spread, reterr);
}

static int
show_tiering(const struct mhp__subject *subject, char *text, size_t size)
{
	char words[MHP_TIERING_TEXT];
	struct mhp_tiering how;
	(void)subject;
	mhp_pool_get_tiering(mhp__control.pool, &how);
	mhp_tiering_text(&how, words);
	return show_word(text, size, words);
}

static int
store_tiering(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	struct mhp_tiering how;
	int err = mhp_tiering_parse(value, &how, reterr);
	(void)subject;
	return err != 0 ? err : mhp_pool_set_tiering(mhp__control.pool, &how, reterr);
}

static int
show_huge(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_word(text, size, mhp_huge_word(mhp_pool_get_huge(mhp__control.pool)));
}

static int
store_huge(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	enum mhp_huge how;
	int err = mhp_huge_parse(value, &how, reterr);
	(void)subject;
	return err != 0 ? err : mhp_pool_set_huge(mhp__control.pool, how, reterr);
}

/* ---- the pool itself ---- */

static int
show_userfaultfd(const struct mhp__subject *subject, char *text, size_t size)
{
	struct mhp_text why = { "" };
	bool can = mhp_pool_can_move(mhp__control.pool, &why);
	(void)subject;
	return show_word(text, size, can ? "full" : why.text);
}

static int
show_name(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_word(text, size, mhp__control.name);
}

static int
show_pid(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_number(text, size, (uint64_t)mhp__control.pid);
}

#define POOL MHP__PLACE_POOL
#define PARAMETER MHP__PLACE_PARAMETER
#define NODES MHP__PLACE_NODES
#define HWPOISON MHP__PLACE_HWPOISON
#define VM MHP__PLACE_VM
#define ACTIONS MHP__PLACE_ACTIONS
#define COUNTER(field) { #field, POOL, 0444, NULL, NULL, offsetof(struct mhp_pool_stats, field) }

const struct mhp__attr mhp__pool_attrs[] = {
	{ "block_size_bytes", POOL, 0444, show_block_size, NULL, 0 },
	{ "auto_online_blocks", POOL, 0644, show_auto_online, store_auto_online, 0 },
	{ "soft_offline_page", POOL, 0200, NULL, mhp__store_soft_offline, 0 },
	{ "hard_offline_page", POOL, 0200, NULL, mhp__store_hard_offline, 0 },
	{ "look_for_poison", POOL, 0200, NULL, mhp__store_look_for_poison, 0 },
	{ "unpoison_page", POOL, 0200, NULL, mhp__store_unpoison, 0 },
	{ "hwpoison/corrupt-pfn", HWPOISON, 0200, NULL, mhp__store_corrupt_pfn, 0 },
	{ "hwpoison/unpoison-pfn", HWPOISON, 0200, NULL, mhp__store_unpoison_pfn, 0 },
	{ "vm/enable_soft_offline", VM, 0644, mhp__show_soft_offline,
	  mhp__store_enable_soft_offline, 0 },
	{ "MEM_GOING_ONLINE/error", ACTIONS, 0600, mhp__show_inject_online,
	  mhp__store_inject_online, 0 },
	{ "MEM_GOING_OFFLINE/error", ACTIONS, 0600, mhp__show_inject_offline,
	  mhp__store_inject_offline, 0 },
	{ "crash_hotplug", POOL, 0444, mhp__show_zero, NULL, 0 },
	{ "uevent", POOL, 0644, mhp__show_empty, store_uevent, 0 },
	MHP__POWER_ATTRS(POOL),
	{ "node/online", NODES, 0444, mhp__show_nodes, NULL, 0 },
	{ "node/possible", NODES, 0444, mhp__show_nodes_possible, NULL, 0 },
	{ "node/has_cpu", NODES, 0444, mhp__show_nodes_cpu, NULL, 0 },
	{ "node/has_memory", NODES, 0444, mhp__show_nodes_memory, NULL, 0 },
	{ "node/has_normal_memory", NODES, 0444, mhp__show_nodes_normal, NULL, 0 },
	{ "node/has_generic_initiator", NODES, 0444, mhp__show_nodes_none, NULL, 0 },
	{ "memmap_on_memory", PARAMETER, 0444, show_memmap_switch, store_memmap_switch, 0 },
	{ "online_policy", PARAMETER, 0644, show_policy, store_policy, 0 },
	{ "auto_movable_ratio", PARAMETER, 0644, show_ratio, store_ratio, 0 },
	{ "auto_movable_numa_aware", PARAMETER, 0644, show_numa_aware, store_numa_aware, 0 },
	{ "auto_movable_strict", PARAMETER, 0644, show_strict, store_strict, 0 },
	{ "auto_online_attempts", PARAMETER, 0644, show_attempts, store_attempts, 0 },
	{ "max_bytes", POOL, 0644, show_max, store_max, 0 },
	{ "firmware_blocks", POOL, 0444, mhp__show_firmware_blocks, NULL, 0 },
	{ "placement", POOL, 0644, show_placement, store_placement, 0 },
	{ "huge", POOL, 0644, show_huge, store_huge, 0 },
	{ "tiering", POOL, 0644, show_tiering, store_tiering, 0 },
	{ "follow", POOL, 0644, show_follow, store_follow, 0 },
	{ "limit_bytes", POOL, 0444, show_limit, NULL, 0 },
	{ "safe_bytes", POOL, 0444, show_safe, NULL, 0 },
	{ "userfaultfd", POOL, 0444, show_userfaultfd, NULL, 0 },
	{ "pool_name", POOL, 0444, show_name, NULL, 0 },
	{ "pool_pid", POOL, 0444, show_pid, NULL, 0 },
	COUNTER(committed_bytes),
	COUNTER(settled_bytes),
	COUNTER(relabelled_pages),
	COUNTER(moved_pages),
	COUNTER(untouched_pages),
	COUNTER(move_batches),
	COUNTER(stall_max_ns),
	COUNTER(stall_sum_ns),
	COUNTER(map_retries),
	COUNTER(mappings),
	COUNTER(mappings_max),
	COUNTER(forks),
};
const size_t mhp__nr_pool_attrs = sizeof(mhp__pool_attrs) / sizeof(mhp__pool_attrs[0]);
