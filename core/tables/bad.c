/* SPDX-License-Identifier: MIT */
/*
 * bad.c - the table of frames with memory errors: a sorted array of pfns in the instance.
 *
 * Sorted and without doubles, zeros behind the last one, so that a range is found by bisection and
 * the verifier can tell. It outlives every block: what happens to a frame that is in it is decided
 * by those who bring blocks online. Guarded by the hotplug lock.
 */
#include "tables/bad.h"

#include "base/mem.h"
#include "state/locked.h"
#include "state/trace.h"
#include "verify/check.h"

uint32_t
mhp__bad_find(const struct mhp *m, uint64_t pfn)
{
	uint32_t low = 0, high = m->nr_bad;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (m->bad[middle] < pfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t
mhp__bad_in(const struct mhp *m, uint64_t start_pfn, uint64_t end_pfn)
{
	uint32_t first = mhp__bad_find(m, start_pfn), end = mhp__bad_find(m, end_pfn);

	return first < end ? end - first : 0;
}

static bool
known(const struct mhp *m, uint32_t at, uint64_t pfn)
{
	return at < m->nr_bad && m->bad[at] == pfn;
}

int
mhp__bad_insert(struct mhp *m, uint64_t pfn)
{
	uint32_t at = mhp__bad_find(m, pfn);

	MHP_ASSERT(pfn < mhp__max_pfn(m));
	if (known(m, at, pfn))
		return MHP_EHWPOISON;
	if (m->nr_bad == m->geo.nr_bad_pages)
		return MHP_ENOSPC;
	memmove(&m->bad[at + 1], &m->bad[at], (m->nr_bad - at) * sizeof(m->bad[0]));
	m->bad[at] = pfn;
	m->nr_bad++;
	mhp__tables_seal(m);
	return 0;
}

/* A frame that is out of use stays so until its block comes online again; but with nothing wrong
 * about it the zone manages it, and its pages are what the table says less (R20). */
static void
account_forgotten(struct mhp *m, uint64_t pfn)
{
	const struct mhp_block *slot = &m->blocks[mhp__pfn_block(m, pfn)];

	if (mhp_frame_peek(m, pfn).owner == MHP_OWNER_BAD)
		atomic_fetch_add_explicit(&mhp__zone(m, slot->node, slot->zone)->managed, 1,
					  memory_order_relaxed);
}

static void
trace_good(struct mhp *m, uint64_t pfn)
{
	struct mhp_event event;

	memset(&event, 0, sizeof(event));
	event.kind = MHP_EV_GOOD_PAGE;
	event.block = mhp__pfn_block(m, pfn);
	event.nr_blocks = 1;
	event.pfn = pfn;
	event.pages = 1;
	event.node = m->blocks[event.block].node;
	event.zone = event.asked_zone = MHP_ZONE_DEFAULT;
	mhp__trace(m, event, 0);
}

int
mhp_bad_remove(struct mhp *m, uint64_t pfn)
{
	uint32_t at;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	at = mhp__bad_find(m, pfn);
	if (!known(m, at, pfn)) {
		err = MHP_ENOENT;
	} else {
		m->nr_bad--;
		memmove(&m->bad[at], &m->bad[at + 1], (m->nr_bad - at) * sizeof(m->bad[0]));
		m->bad[m->nr_bad] = 0;
		mhp__tables_seal(m);
		account_forgotten(m, pfn);
		trace_good(m, pfn);
	}
	mhp__hotplug_unlock(m);
	return err;
}

bool
mhp_bad_test(struct mhp *m, uint64_t pfn)
{
	enum mhp__look look = mhp__look_begin(m);
	bool there = known(m, mhp__bad_find(m, pfn), pfn);

	mhp__look_end(m, look);
	return there;
}

uint32_t
mhp_bad_count(struct mhp *m, uint64_t start_pfn, uint64_t end_pfn)
{
	enum mhp__look look = mhp__look_begin(m);
	uint32_t nr = mhp__bad_in(m, start_pfn, end_pfn);

	mhp__look_end(m, look);
	return nr;
}
