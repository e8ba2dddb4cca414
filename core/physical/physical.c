/* SPDX-License-Identifier: MIT */
/*
 * physical.c - add memory and remove memory: address ranges, sections, metadata.
 *
 * The only layer that decides about a reserve: choose_placement() picks where metadata goes, once
 * for an add, and the block's slot records it until the block goes. Everything that undoes, a
 * failed add of block k of n or a removal years later, goes by that record and never asks the
 * global switch again (R6, R8, R28).
 *
 * A block comes section by section from the first, and goes from the last (R27): the first
 * sections hold the descriptors of all.
 */
#include "physical/physical.h"

#include "base/mem.h"
#include "memmap/memmap.h"
#include "physical/metadata.h"
#include "state/runs.h"
#include "state/seal.h"
#include "state/trace.h"
#include "tables/bad.h"

#define ADD_FLAGS                                                                                  \
	(MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_MEMMAP_ON_NODE | MHP_ADD_BOOT |           \
	 MHP_ADD_ZEROED | MHP_ADD_TEST | MHP_ADD_ONLINE | MHP_ADD_OFFLINE)

int
mhp__span_blocks(const struct mhp *m, struct mhp_span span, struct mhp_blocks *ret_blocks)
{
	unsigned shift = m->geo.block_order + m->geo.page_shift;
	uint64_t mask = (UINT64_C(1) << shift) - 1;
	uint64_t first = span.start.addr >> shift, count = span.size >> shift;

	if (span.size == 0 || ((span.start.addr | span.size) & mask) != 0)
		return MHP_EINVAL;
	if (span.start.addr + span.size < span.start.addr &&
	    span.start.addr + span.size != 0)
		return MHP_EOVERFLOW;
	if (first >= m->geo.nr_blocks || count > m->geo.nr_blocks - first)
		return MHP_ENXIO;
	*ret_blocks = (struct mhp_blocks){ (uint32_t)first, (uint32_t)count };
	return 0;
}

static struct mhp_span
blocks_span(const struct mhp *m, uint32_t first, uint32_t end)
{
	struct mhp_span span;

	span.start = mhp__pfn_phys(m, mhp__block_start(m, first));
	span.size = (uint64_t)(end - first) << (m->geo.block_order + m->geo.page_shift);
	return span;
}

/* ---- validation ---- */

static int
check_opts(const struct mhp *m, const struct mhp_add_opts *opts)
{
	uint32_t flags = opts->flags;

	if ((flags & ~(uint32_t)ADD_FLAGS) != 0)
		return MHP_EINVAL;
	if ((flags & MHP_MEMMAP_REQUIRE) != 0 && (flags & MHP_MEMMAP_ON_MEMORY) == 0)
		return MHP_EINVAL;
	if ((flags & MHP_MEMMAP_ON_MEMORY) != 0 &&
	    (flags & (MHP_MEMMAP_ON_NODE | MHP_ADD_BOOT)) != 0)
		return MHP_EINVAL;
	if ((flags & MHP_ADD_ONLINE) != 0 && (flags & MHP_ADD_OFFLINE) != 0)
		return MHP_EINVAL;
	if (opts->node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	if ((flags & MHP_MEMMAP_ON_NODE) != 0 && opts->metadata_node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	return 0;
}

static int
check_conflict(const struct mhp *m, struct mhp_blocks blocks, struct mhp_add_answer *answer)
{
	uint32_t end = blocks.first + blocks.count;
	uint32_t there = mhp__next_present(m, blocks.first, end);
	uint32_t there_end = there;

	if (there == end)
		return 0;
	while (there_end < end && m->blocks[there_end].state != MHP_ABSENT)
		there_end = mhp__run_end(m, there_end);
	answer->conflict = blocks_span(m, there, there_end < end ? there_end : end);
	return MHP_EEXIST;
}

/* ---- placement: the one decision ---- */

static bool
bad_in_reserves(const struct mhp *m, struct mhp_blocks blocks, uint32_t nr_reserve)
{
	uint64_t end = mhp__block_start(m, blocks.first + blocks.count);
	uint64_t start = mhp__block_start(m, blocks.first);

	for (uint32_t i = mhp__bad_find(m, start); i < m->nr_bad && m->bad[i] < end; i++)
		if ((m->bad[i] & (mhp__block_pages(m) - 1)) < nr_reserve)
			return true;
	return false;
}

static enum mhp_memmap_reason
why_not_self(const struct mhp *m, struct mhp_blocks blocks, uint32_t flags)
{
	struct mhp_memmap_shape shape = mhp_memmap_shape(m);
	struct mhp_memmap_answer can;

	if ((flags & MHP_ADD_BOOT) != 0)
		return MHP_MEMMAP_BOOT;
	if ((flags & MHP_MEMMAP_ON_NODE) != 0)
		return MHP_MEMMAP_NOT_ASKED;
	if ((flags & MHP_MEMMAP_ON_MEMORY) == 0 && m->memmap_switch != MHP_MEMMAP_FORCE)
		return MHP_MEMMAP_NOT_ASKED;
	if (m->memmap_switch == MHP_MEMMAP_OFF)
		return MHP_MEMMAP_SWITCHED_OFF;
	if (!mhp_supports_memmap_on_memory(&shape, &can))
		return can.reason;
	if (bad_in_reserves(m, blocks, can.nr_vmemmap_pages))
		return MHP_MEMMAP_BAD_PAGE;
	return MHP_MEMMAP_OK;
}

static int
refusal(enum mhp_memmap_reason reason)
{
	switch (reason) {
	case MHP_MEMMAP_SWITCHED_OFF:
		return MHP_EPERM;
	case MHP_MEMMAP_BAD_PAGE:
		return MHP_EHWPOISON;
	default:
		return MHP_EOPNOTSUPP;
	}
}

static int
choose_placement(const struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
		 struct mhp_add_answer *answer)
{
	answer->reason = why_not_self(m, blocks, opts->flags);
	answer->metadata_node = opts->node;
	if (answer->reason == MHP_MEMMAP_OK) {
		answer->placement = MHP_PLACE_SELF;
		answer->nr_vmemmap_pages =
			m->block_meta_pages + (MHP_VMEMMAP ? m->caps.tables_per_block : 0U);
		return 0;
	}
	if ((opts->flags & MHP_MEMMAP_REQUIRE) != 0)
		return refusal(answer->reason);
	answer->placement = MHP_PLACE_EXTERNAL;
	if ((opts->flags & MHP_MEMMAP_ON_NODE) != 0) {
		answer->placement = MHP_PLACE_NODE;
		answer->metadata_node = opts->metadata_node;
	}
	return 0;
}

int
mhp__add_memory_foresee(struct mhp *m, struct mhp_span span, const struct mhp_add_opts *opts,
			struct mhp_add_answer *answer)
{
	int err;

	memset(answer, 0, sizeof(*answer));
	err = mhp__span_blocks(m, span, &answer->blocks);
	if (err == 0)
		err = check_opts(m, opts);
	if (err == 0)
		err = check_conflict(m, answer->blocks, answer);
	if (err == 0)
		err = choose_placement(m, answer->blocks, opts, answer);
	return err;
}

/* ---- sections ---- */

static uint32_t
nr_sections(const struct mhp *m)
{
	return 1U << (m->geo.block_order - m->geo.section_order);
}

static uint64_t
section_bytes(const struct mhp *m)
{
	return mhp__section_pages(m) << m->geo.page_shift;
}

static struct mhp_phys
section_phys(const struct mhp *m, uint32_t block, uint32_t section)
{
	return mhp__pfn_phys(m, mhp__block_start(m, block) + section * mhp__section_pages(m));
}

/* Unmap sections [0, nr) of a block, last first. */
static void
unmap_sections(struct mhp *m, uint32_t block, uint32_t nr)
{
	while (nr-- > 0)
		m->ops->unmap(m->port, section_phys(m, block, nr), section_bytes(m));
}

static int
map_sections(struct mhp *m, uint32_t block, unsigned node)
{
	for (uint32_t section = 0; section < nr_sections(m); section++) {
		int err = m->ops->map(m->port, section_phys(m, block, section), section_bytes(m),
				      node);
		if (err != 0) {
			unmap_sections(m, block, section);
			return err;
		}
	}
	return 0;
}

/* ---- test patterns (MHP_ADD_TEST) ---- */

/* One pass over a block: every page must hold `old` patterns (if there are any) and then gets `new`
 * ones. A pass writes all before the next one reads any, so that two addresses which reach the same
 * cell are found out, not only cells that do not hold. */
struct test_pass {
	uint64_t old_flip, new_flip;   /* the pattern of a word is its address, flipped with this */
	bool check;
	bool zero;                     /* leave zeros instead of a pattern */
};

static const struct test_pass test_passes[] = {
	{ .new_flip = 0 },
	{ .check = true, .new_flip = UINT64_MAX },
	{ .check = true, .old_flip = UINT64_MAX, .zero = true },
};

/* Volatile: the compiler must not know the answer. */
static bool
test_page(volatile uint64_t *words, uint64_t nr_words, uint64_t address,
	  const struct test_pass *pass)
{
	for (uint64_t i = 0; i < nr_words; i++) {
		if (pass->check && words[i] != ((address + 8 * i) ^ pass->old_flip))
			return false;
		words[i] = pass->zero ? 0 : (address + 8 * i) ^ pass->new_flip;
	}
	return true;
}

/* Test the pages of a block that are not known to be bad; leaves zeros. */
static int
test_block(struct mhp *m, uint32_t block, struct mhp_add_answer *answer)
{
	uint64_t start = mhp__block_start(m, block), bytes = mhp__page_bytes(m);
	unsigned nr_passes = sizeof(test_passes) / sizeof(test_passes[0]);

	for (unsigned i = 0; i < nr_passes; i++) {
		for (uint64_t pfn = start; pfn < start + mhp__block_pages(m); pfn++) {
			struct mhp_phys phys = mhp__pfn_phys(m, pfn);
			if (mhp__bad_in(m, pfn, pfn + 1) != 0 ||
			    test_page(mhp_pfn_to_virt(m, pfn), bytes / 8, phys.addr,
				      &test_passes[i]))
				continue;
			answer->conflict = (struct mhp_span){ phys, bytes };
			return MHP_EIO;
		}
	}
	return 0;
}

/* ---- one block ---- */

static void
account(struct mhp *m, const struct mhp_block *slot, bool add)
{
	struct mhp_memmap_shape shape = mhp_memmap_shape(m);
	uint64_t bytes = (uint64_t)slot->meta_pages << m->geo.page_shift;
	struct mhp_memmap_answer answer;

	(void)mhp_supports_memmap_on_memory(&shape, &answer);
	m->blocks_present += add ? 1U : -1U;
	m->meta_bytes += add ? bytes : -bytes;
	m->waste_bytes += add ? answer.waste_bytes : -(uint64_t)answer.waste_bytes;
}

/* Fill in what an add decides about a block. Boot blocks have no reserve: their memory was in use
 * before there was anybody to reserve in it, so their metadata lies elsewhere, nr_vmemmap_pages is
 * 0, and every later step treats them like any other block with 0 (R11). */
static void
record(struct mhp_block *slot, const struct mhp_add_opts *opts, const struct mhp_add_answer *answer)
{
	memset(slot, 0, sizeof(*slot));
	slot->node = opts->node;
	slot->meta_node = answer->metadata_node;
	slot->placement = (uint8_t)answer->placement;
	slot->backing = opts->backing;
	if ((opts->flags & MHP_ADD_BOOT) != 0)
		slot->flags |= MHP_BLOCK_BOOT;
	if (answer->placement == MHP_PLACE_EXTERNAL ||
	    (answer->placement == MHP_PLACE_SELF &&
	     (opts->flags & (MHP_ADD_ZEROED | MHP_ADD_TEST)) != 0))
		slot->flags |= MHP_BLOCK_ZEROED;
}

/* Overwrite a block with zeros, but for frames that are known to be bad: even a write may hurt
 * there. */
static void
scrub_block(struct mhp *m, uint32_t block)
{
	uint64_t pfn = mhp__block_start(m, block), end = mhp__block_start(m, block + 1);

	while (pfn < end) {
		uint32_t next = mhp__bad_find(m, pfn);
		uint64_t stop = next < m->nr_bad && m->bad[next] < end ? m->bad[next] : end;
		memset(mhp_pfn_to_virt(m, pfn), 0, (size_t)((stop - pfn) << m->geo.page_shift));
		pfn = stop + 1;
	}
}

/* Remove one block by its own record. The metadata may fill several sections: nobody looks at it
 * any more before it goes, and all of it goes before the first of them does (R27). */
static void
remove_one_block(struct mhp *m, uint32_t block, bool scrub)
{
	struct mhp_block *slot = &m->blocks[block];

	MHP_ASSERT(slot->state == MHP_OFFLINE);
	MHP_ASSERT_DEBUG(m->blocks_present != 0);
	account(m, slot, false);
	slot->state = MHP_ABSENT; /* unpublish; from here nobody finds it */
	for (uint32_t section = nr_sections(m); section-- > 0;)
		mhp__memmap_retire_section(m, block, section);
	mhp__memmap_destroy(m, block);
	mhp__phase(m, MHP_PHASE_MEMMAP);
	if (scrub) {
		scrub_block(m, block);
		mhp__phase(m, MHP_PHASE_CONTENT);
	}
	unmap_sections(m, block, nr_sections(m));
	mhp__phase(m, MHP_PHASE_MAP);
	memset(slot, 0, sizeof(*slot));
}

static int
add_one_block(struct mhp *m, uint32_t block, const struct mhp_add_opts *opts,
	      struct mhp_add_answer *answer)
{
	struct mhp_block *slot = &m->blocks[block];
	int err = map_sections(m, block, opts->node);

	mhp__phase(m, MHP_PHASE_MAP);
	if (err != 0)
		return err;
	record(slot, opts, answer);
	if ((opts->flags & MHP_ADD_TEST) != 0) {
		err = test_block(m, block, answer);
		mhp__phase(m, MHP_PHASE_CONTENT);
	}
	if (err == 0)
		err = mhp__memmap_create(m, block);
	mhp__phase(m, MHP_PHASE_MEMMAP);
	if (err != 0) {
		memset(slot, 0, sizeof(*slot));
		unmap_sections(m, block, nr_sections(m));
		return err;
	}
	answer->metadata_node = slot->meta_node;
	slot->state = MHP_OFFLINE;
	slot->generation = atomic_load_explicit(&m->generation, memory_order_relaxed);
	mhp__block_seal(slot);
	account(m, slot, true);
	return 0;
}

static int
add_all(struct mhp *m, const struct mhp_add_opts *opts, struct mhp_add_answer *answer)
{
	struct mhp_blocks blocks = answer->blocks;

	atomic_fetch_add(&m->generation, 1);
	m->generation_check = mhp__generation_checksum(m);
	for (uint32_t i = 0; i < blocks.count; i++) {
		int err = add_one_block(m, blocks.first + i, opts, answer);
		if (err == 0)
			continue;
		while (i-- > 0)
			remove_one_block(m, blocks.first + i, false);
		return err;
	}
	mhp__runs_update(m, blocks);
	return 0;
}

static struct mhp_event
blocks_event(const struct mhp *m, enum mhp_event_kind kind, struct mhp_blocks blocks, unsigned node)
{
	struct mhp_event event = mhp__event(kind, blocks);

	event.pages = (uint64_t)blocks.count << m->geo.block_order;
	event.node = (uint8_t)node;
	return event;
}

static void
trace_add(struct mhp *m, const struct mhp_add_opts *opts, const struct mhp_add_answer *answer,
	  int error, uint64_t started_ns)
{
	struct mhp_event event = blocks_event(m, error == 0 ? MHP_EV_ADD : MHP_EV_ADD_FAILED,
					      answer->blocks, opts->node);

	event.error = error;
	event.flags = opts->flags;
	event.backing = opts->backing;
	event.placement = (uint8_t)answer->placement;
	event.reason = (uint8_t)answer->reason;
	event.metadata_node = answer->metadata_node;
	event.nr_vmemmap_pages = answer->nr_vmemmap_pages;
	mhp__trace(m, event, started_ns);
}

int
mhp__add_memory(struct mhp *m, struct mhp_span span, const struct mhp_add_opts *opts,
		struct mhp_add_answer *answer)
{
	uint64_t started_ns = m->ops->now_ns(m->port);
	int err;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	mhp__phase_begin(m);
	err = mhp__add_memory_foresee(m, span, opts, answer);
	if (err == 0)
		err = add_all(m, opts, answer);
	trace_add(m, opts, answer, err, started_ns);
	return err;
}

void
mhp__remove_blocks(struct mhp *m, struct mhp_blocks blocks, bool scrub)
{
	uint64_t started_ns = m->ops->now_ns(m->port);
	unsigned node = m->blocks[blocks.first].node;

	mhp__phase_begin(m);
	for (uint32_t i = blocks.count; i-- > 0;)
		remove_one_block(m, blocks.first + i, scrub);
	mhp__runs_update(m, blocks);
	mhp__trace(m, blocks_event(m, MHP_EV_REMOVE, blocks, node), started_ns);
}
