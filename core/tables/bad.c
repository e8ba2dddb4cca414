/* SPDX-License-Identifier: MIT */
/*
 * bad.c - the table of frames with memory errors: a sorted array of pfns in the instance.
 *
 * It is sorted, without doubles, and has zeros after the last entry, so that a range is found by
 * bisection and the verifier can check it. It outlives every block; bringing blocks online decides
 * what happens to a frame that is in it. Guarded by the hotplug lock.
 */
#include "tables/bad.h"

#include "base/mem.h"
#include "state/hotplug.h"
#include "state/seal.h"

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
	MHP_ASSERT_DEBUG(low == 0 || m->bad[low - 1] < pfn);
	MHP_ASSERT_DEBUG(low == m->nr_bad || m->bad[low] >= pfn);
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

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT(pfn < mhp__max_pfn(m));
	if (known(m, at, pfn))
		return MHP_EHWPOISON;
	if (m->nr_bad == m->geo.nr_bad_pages)
		return MHP_ENOSPC;
	memmove(&m->bad[at + 1], &m->bad[at], (m->nr_bad - at) * sizeof(m->bad[0]));
	m->bad[at] = pfn;
	m->nr_bad++;
	MHP_ASSERT_DEBUG(m->nr_bad <= m->geo.nr_bad_pages);
	MHP_ASSERT_DEBUG(known(m, at, pfn));
	mhp__tables_seal(m);
	return 0;
}

int
mhp__bad_delete(struct mhp *m, uint64_t pfn)
{
	uint32_t at = mhp__bad_find(m, pfn);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	if (!known(m, at, pfn))
		return MHP_ENOENT;
	m->nr_bad--;
	memmove(&m->bad[at], &m->bad[at + 1], (m->nr_bad - at) * sizeof(m->bad[0]));
	m->bad[m->nr_bad] = 0;
	mhp__tables_seal(m);
	return 0;
}

bool
mhp_bad_test(struct mhp *m, uint64_t pfn)
{
	enum mhp__reader reader = mhp__reader_begin(m);
	bool there = known(m, mhp__bad_find(m, pfn), pfn);

	mhp__reader_end(m, reader);
	return there;
}

uint32_t
mhp_bad_count(struct mhp *m, uint64_t start_pfn, uint64_t end_pfn)
{
	enum mhp__reader reader = mhp__reader_begin(m);
	uint32_t nr = mhp__bad_in(m, start_pfn, end_pfn);

	mhp__reader_end(m, reader);
	return nr;
}
