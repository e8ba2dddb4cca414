/* SPDX-License-Identifier: MIT */
/*
 * poison.c - pages with memory errors: orders to take one out of use or to forget it, and counts.
 *
 * Errors, words and files are those of Linux 7.3: soft_offline_page and hard_offline_page take an
 * address, the files of hwpoison/ a page number. Writes to hard_offline_page are counted by node,
 * as the kernel counts memory failures. A request by name is answered with a sentence beside the
 * error.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "attr.h"

static _Atomic bool soft_offline_is_off;

/* Memory failures by node, as they ended: out of use, or remembered and still in use. */
static struct {
	_Atomic uint64_t recovered, failed;
} failures[MHP_POOL_NODES];

/* ---- the page ---- */

/* Find the page of an address, or of a page number: the block may be absent. */
static int
find_page(const struct mhp__subject *subject, const char *value, unsigned shift, uint64_t *ret_pfn,
	  struct mhp_block_info *ret_info)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);
	uint64_t number;
	*ret_info = (struct mhp_block_info){ .state = MHP_ABSENT };
	if (mhp__word_number(subject, value, UINT64_MAX, &number) != 0)
		return MHP_EINVAL;
	*ret_pfn = number >> shift;
	uint64_t block = *ret_pfn >> geo->block_order;
	return block < geo->nr_blocks
		? mhp_block_get(mhp__control.m, (uint32_t)block, ret_info) : 0;
}

static unsigned
page_shift(void)
{
	return mhp_get_geometry(mhp__control.m)->page_shift;
}

static bool
is_reserve(uint64_t pfn)
{
	return mhp_frame_peek(mhp__control.m, pfn).state == MHP_FRAME_METADATA;
}

static int
refuse(int err, struct mhp_text *reterr, const char *why)
{
	snprintf(reterr->text, sizeof(reterr->text), "%s", why);
	return err;
}

/* ---- orders ---- */

static int
soft_offline(uint64_t pfn, const struct mhp_block_info *info, struct mhp_text *reterr)
{
	if (info->state == MHP_ABSENT)
		return refuse(MHP_ENXIO, reterr, "there is no memory at that address");
	if (info->state != MHP_ONLINE)
		return refuse(MHP_EIO, reterr, "the block of that page is not online");
	if (atomic_load(&soft_offline_is_off))
		return refuse(MHP_EOPNOTSUPP, reterr,
			      "memplug set vm/enable_soft_offline 1 allows it");
	if (is_reserve(pfn))
		return refuse(MHP_EIO, reterr, "the page holds descriptors of its block");
	int err = mhp_bad_add(mhp__control.m, pfn);
	return err == MHP_EHWPOISON ? 0 : err;
}

/* Of a block that is online. */
static int
hard_offline_page(uint64_t pfn, struct mhp_text *reterr)
{
	int err = mhp_bad_add(mhp__control.m, pfn);
	if (err == MHP_EHWPOISON)
		return refuse(err, reterr, "the page is poisoned already");
	if ((err == 0 || err == MHP_EBUSY) && is_reserve(pfn))
		return refuse(MHP_EBUSY, reterr, "the page holds descriptors of its block, which "
			      "keeps it in use; it is remembered");
	if (err == MHP_EBUSY)
		return refuse(err, reterr, "the page cannot be moved away; it is remembered");
	return err;
}

static int
hard_offline(uint64_t pfn, const struct mhp_block_info *info, struct mhp_text *reterr)
{
	if (info->state == MHP_ABSENT)
		return refuse(MHP_EBUSY, reterr, "there is no memory at that address");
	if (info->state != MHP_ONLINE)
		return refuse(MHP_ENXIO, reterr, "the block of that page is not online");
	int err = hard_offline_page(pfn, reterr);
	if (err == 0)
		atomic_fetch_add(&failures[info->node % MHP_POOL_NODES].recovered, 1);
	else if (err != MHP_EHWPOISON)
		atomic_fetch_add(&failures[info->node % MHP_POOL_NODES].failed, 1);
	return err;
}

static int
unpoison(uint64_t pfn, const struct mhp_block_info *info, struct mhp_text *reterr)
{
	int err = mhp_bad_remove(mhp__control.m, pfn);
	(void)info;
	if (err == MHP_ENOENT)
		return refuse(MHP_EBUSY, reterr, "the page is not poisoned");
	if (err == MHP_ENXIO)
		return refuse(err, reterr, "the pool has no such address");
	return err;
}

typedef int order_fn(uint64_t pfn, const struct mhp_block_info *info, struct mhp_text *reterr);

static int
carry_out(const struct mhp__subject *subject, const char *value, unsigned shift, order_fn *order,
	  struct mhp_text *reterr)
{
	struct mhp_block_info info;
	uint64_t pfn;
	int err = find_page(subject, value, shift, &pfn, &info);
	return err != 0 ? err : order(pfn, &info, reterr);
}

int
mhp__store_soft_offline(const struct mhp__subject *subject, const char *value,
			struct mhp_text *reterr)
{
	return carry_out(subject, value, page_shift(), soft_offline, reterr);
}

int
mhp__store_hard_offline(const struct mhp__subject *subject, const char *value,
			struct mhp_text *reterr)
{
	return carry_out(subject, value, page_shift(), hard_offline, reterr);
}

int
mhp__store_unpoison(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	return carry_out(subject, value, page_shift(), unpoison, reterr);
}

int
mhp__store_corrupt_pfn(const struct mhp__subject *subject, const char *value,
		       struct mhp_text *reterr)
{
	return carry_out(subject, value, 0, hard_offline, reterr);
}

int
mhp__store_unpoison_pfn(const struct mhp__subject *subject, const char *value,
			struct mhp_text *reterr)
{
	return carry_out(subject, value, 0, unpoison, reterr);
}

/* ---- what the kernel knows of devices ---- */

int
mhp__store_look_for_poison(const struct mhp__subject *subject, const char *value,
			   struct mhp_text *reterr)
{
	uint64_t number;
	if (mhp__word_number(subject, value, 1, &number) != 0 || number != 1)
		return MHP_EINVAL;
	return mhp_pool_look_bad(mhp__control.pool, NULL, reterr);
}

/* ---- may pages be taken out that have not failed yet? ---- */

int
mhp__show_soft_offline(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	snprintf(text, size, "%d", !atomic_load(&soft_offline_is_off));
	return 0;
}

int
mhp__store_enable_soft_offline(const struct mhp__subject *subject, const char *value,
			       struct mhp_text *reterr)
{
	uint64_t number;
	(void)reterr;
	if (mhp__word_number(subject, value, 1, &number) != 0)
		return MHP_EINVAL;
	atomic_store(&soft_offline_is_off, number == 0);
	return 0;
}

/* ---- counts ---- */

static int
show_count(char *text, size_t size, uint64_t count)
{
	snprintf(text, size, "%" PRIu64, count);
	return 0;
}

int
mhp__show_failures(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_count(text, size, atomic_load(&failures[subject->node].recovered) +
					      atomic_load(&failures[subject->node].failed));
}

int
mhp__show_failures_recovered(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_count(text, size, atomic_load(&failures[subject->node].recovered));
}

int
mhp__show_failures_failed(const struct mhp__subject *subject, char *text, size_t size)
{
	return show_count(text, size, atomic_load(&failures[subject->node].failed));
}

/* ---- all that are known ---- */

uint64_t
mhp__next_bad(uint64_t pfn, uint64_t end)
{
	struct mhp *m = mhp__control.m;
	uint64_t high = end;
	if (pfn >= end || mhp_bad_count(m, pfn, end) == 0)
		return end;
	while (pfn + 1 < high) {
		uint64_t middle = pfn + (high - pfn) / 2;
		if (mhp_bad_count(m, pfn, middle) != 0)
			high = middle;
		else
			pfn = middle;
	}
	return pfn;
}

/* Name the owner whose data is, or was, there. */
static void
out_user(struct mhp__out *out, uint64_t pfn)
{
	struct mhp_page_user user;
	if (mhp_pool_page_user(mhp__control.pool, pfn, &user) != 0)
		return;
	mhp__out_string(out, ",", "owner", mhp_owner_name(mhp__control.m, user.owner));
	if (user.address != 0)
		mhp__out(out, ",\"program_address\":%" PRIu64, user.address);
}

void
mhp__request_poison(struct mhp__out *out, const struct mhp__fields *fields)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);
	uint64_t end = (uint64_t)geo->nr_blocks << geo->block_order, pfn = 0;
	struct mhp_block_info info;
	(void)fields;
	mhp__out(out, "{\"page_bytes\":%u,\"pages\":[", 1U << geo->page_shift);
	for (uint32_t nr = 0; nr < geo->nr_bad_pages && !out->broken; nr++, pfn++) {
		pfn = mhp__next_bad(pfn, end);
		if (pfn == end)
			break;
		uint32_t block = (uint32_t)(pfn >> geo->block_order);
		if (mhp_block_get(mhp__control.m, block, &info) != 0)
			info.state = MHP_ABSENT;
		struct mhp_frame frame = mhp_frame_peek(mhp__control.m, pfn);
		bool in_use = info.state == MHP_ONLINE && (frame.state != MHP_FRAME_USED ||
							   frame.owner != MHP_OWNER_BAD);
		mhp__out(out, "%s{\"address\":%" PRIu64 ",\"pfn\":%" PRIu64 ",\"block\":%" PRIu32
			 ",\"state\":\"%s\",\"in_use\":%s", nr == 0 ? "" : ",",
			 pfn << geo->page_shift, pfn, block, mhp__state_name(info.state),
			 in_use ? "true" : "false");
		if (in_use)
			out_user(out, pfn);
		mhp__out(out, "}");
	}
	mhp__out(out, "]}\n");
}
