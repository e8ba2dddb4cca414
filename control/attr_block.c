/* SPDX-License-Identifier: MIT */
/*
 * attr_block.c - the attributes of a block: the kernel's, and what only our blocks have.
 *
 * "state" refuses what is so already, "online" does not, as in the kernel. Taking a block offline
 * is bounded by the engine's default deadline and can be cancelled by whoever names the block.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>

#include "attr.h"
#include "leave.h"

static int
show_number(char *text, size_t size, uint64_t value)
{
	snprintf(text, size, "%" PRIu64, value);
	return 0;
}

/* ---- the kernel's ---- */

static int
show_state(const struct mhp__subject *subject, char *text, size_t size)
{
	snprintf(text, size, "%s", mhp__state_name(subject->info.state));
	return 0;
}

static int
refuse(struct mhp_text *reterr, int code, uint32_t block, const char *verb,
       const struct mhp_why *why)
{
	char reason[MHP__REASON_BYTES];
	mhp__reason_text(code, why, reason, sizeof(reason));
	snprintf(reterr->text, sizeof(reterr->text), "cannot %s: block %u: %.200s", verb, block,
		 reason);
	/* Not an error if the block is in that state already, or was by the time that its turn
	 * came. */
	return code == MHP_EBUSY && why->cause == MHP_CAUSE_STATE ? MHP_EINVAL : code;
}

static int
go_online(const struct mhp__subject *subject, unsigned zone, struct mhp_text *reterr)
{
	uint32_t block = subject->info.block;
	struct mhp_online_opts opts = { .zone = (uint8_t)zone,
					.as_of = subject->info.generation };
	struct mhp_why why = { .pfn = MHP_PFN_NONE };
	int err = mhp_block_online(mhp__control.m, block, &opts, &why);
	return err == 0 ? 0 : refuse(reterr, err, block, "bring online", &why);
}

static int
go_offline(const struct mhp__subject *subject, struct mhp_text *reterr)
{
	uint32_t block = subject->info.block;
	struct mhp_blocks run = { block, 1 };
	struct mhp_why why;
	struct mhp__leave leave = {
		.kind = MHP__LEAVE_OFFLINE, .runs = &run, .nr = 1,
		.as_of = subject->info.generation,
		.deadline_ms = MHP_DEADLINE_MS_DEFAULT, .client_fd = subject->client_fd,
	};
	int err = mhp__leave(&leave, &why);
	return err == 0 ? 0 : refuse(reterr, err, block, "take offline", &why);
}

static int
store_state(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	static const char *const words[] = { "offline", "online", "online_kernel",
					     "online_movable" };
	static const uint8_t zones[] = { 0, MHP_ZONE_DEFAULT, MHP_ZONE_NORMAL, MHP_ZONE_MOVABLE };
	int i = mhp__word_index(words, 4, value);
	if (i < 0)
		return MHP_EINVAL;
	return i == 0 ? go_offline(subject, reterr)
		      : go_online(subject, zones[i], reterr);
}

static bool
is_online(const struct mhp__subject *subject)
{
	return subject->info.state == MHP_ONLINE || subject->info.state == MHP_GOING_OFFLINE;
}

static int
show_online(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, is_online(subject));
}

static int
store_online(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	int on = mhp__word_switch(value);
	if (on < 0)
		return MHP_EINVAL;
	if (on == 1 && subject->info.state == MHP_OFFLINE)
		return go_online(subject, MHP_ZONE_DEFAULT, reterr);
	return on == 0 && is_online(subject) ? go_offline(subject, reterr) : 0;
}

static int
show_removable(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return show_number(text, size, 1);
}

/* Online: the zone. Else the zones that it may come to, the one of the policy first. */
static int
show_valid_zones(const struct mhp__subject *subject, char *text, size_t size)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);
	const struct mhp_block_info *info = &subject->info;
	struct mhp_foresight foresight = { .zone = MHP_ZONE_NORMAL };
	if (info->state == MHP_ONLINE) {
		snprintf(text, size, "%s", info->zone == MHP_ZONE_MOVABLE ? "Movable" : "Normal");
		return 0;
	}
	uint64_t start_pfn = (info->span.start.addr >> geo->page_shift) + info->nr_vmemmap_pages;
	uint64_t nr_pages = (info->span.size >> geo->page_shift) - info->nr_vmemmap_pages;
	(void)!mhp_policy_foresee(mhp__control.m, info->node, start_pfn, nr_pages, &foresight);
	snprintf(text, size, "%s", foresight.zone == MHP_ZONE_MOVABLE ? "Movable Normal"
								      : "Normal Movable");
	return 0;
}

static int
show_phys_index(const struct mhp__subject *subject, char *text, size_t size)
{
	snprintf(text, size, "%08" PRIx32, subject->info.block);
	return 0;
}

static int
store_uevent(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	(void)reterr;
	return subject->is_cut ? MHP_EINVAL : mhp__announce(subject->info.block, value);
}

/* ---- ours ---- */

static int
show_node(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.node);
}

static int
show_used(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.used_bytes);
}

static int
show_free(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.free_bytes);
}

static int
show_memmap(const struct mhp__subject *subject, char *text, size_t size)
{
	static const char *const places[] = { "self", "node", "external" };
	snprintf(text, size, "%s", places[subject->info.placement % 3]);
	return 0;
}

static int
show_vmemmap_pages(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.nr_vmemmap_pages);
}

static int
show_metadata_bytes(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.metadata_bytes);
}

static int
show_metadata_node(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.metadata_node);
}

static int
show_bad_pages(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.nr_bad_pages);
}

static int
show_generation(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_number(text, size, subject->info.generation);
}

static int
show_backing(const struct mhp__subject *subject, char *text, size_t size)
{
	const struct mhp_backing *backing =
		mhp_pool_backing(mhp__control.pool, subject->info.backing);
	snprintf(text, size, "%s", backing != NULL ? mhp_backing_name(backing->kind) : "none");
	return 0;
}

/* Say what keeps it from leaving: a rehearsal. */
static int
show_why(const struct mhp__subject *subject, char *text, size_t size)
{
	struct mhp_blocks run = { subject->info.block, 1 };
	struct mhp_offline_opts dry = { .dry_run = true };
	struct mhp_why why = { .pfn = MHP_PFN_NONE };
	if (!mhp__wait_begin())
		return MHP_ENOSPC;
	int err = mhp_remove(mhp__control.m, &run, 1, &dry, &why);
	mhp__wait_end();
	if (err == 0)
		snprintf(text, size, "nothing keeps it");
	else
		mhp__reason_text(err, &why, text, size);
	return 0;
}

#define BLOCK MHP__PLACE_BLOCK

const struct mhp__attr mhp__block_attrs[] = {
	{ "state", BLOCK, 0644, show_state, store_state, 0 },
	{ "online", BLOCK, 0644, show_online, store_online, 0 },
	{ "removable", BLOCK, 0444, show_removable, NULL, 0 },
	{ "valid_zones", BLOCK, 0444, show_valid_zones, NULL, 0 },
	{ "phys_index", BLOCK, 0444, show_phys_index, NULL, 0 },
	{ "phys_device", BLOCK, 0444, mhp__show_zero, NULL, 0 },
	{ "uevent", BLOCK, 0644, mhp__show_empty, store_uevent, 0 },
	MHP__POWER_ATTRS(BLOCK),
	{ "node", BLOCK, 0444, show_node, NULL, 0 },
	{ "used_bytes", BLOCK, 0444, show_used, NULL, 0 },
	{ "free_bytes", BLOCK, 0444, show_free, NULL, 0 },
	{ "memmap", BLOCK, 0444, show_memmap, NULL, 0 },
	{ "nr_vmemmap_pages", BLOCK, 0444, show_vmemmap_pages, NULL, 0 },
	{ "metadata_bytes", BLOCK, 0444, show_metadata_bytes, NULL, 0 },
	{ "metadata_node", BLOCK, 0444, show_metadata_node, NULL, 0 },
	{ "nr_bad_pages", BLOCK, 0444, show_bad_pages, NULL, 0 },
	{ "generation", BLOCK, 0444, show_generation, NULL, 0 },
	{ "backing", BLOCK, 0444, show_backing, NULL, 0 },
	{ "why", BLOCK, 0444, show_why, NULL, 0 },
};
const size_t mhp__nr_block_attrs = sizeof(mhp__block_attrs) / sizeof(mhp__block_attrs[0]);
