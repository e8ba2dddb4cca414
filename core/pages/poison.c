/* SPDX-License-Identifier: MIT */
/*
 * poison.c - the pattern of free pages.
 *
 * A page that is freed is filled with words that follow from its pfn, and the arena notes in which
 * pageblocks that happened. Taking a page checks the pattern, if there is one: memory that was
 * never freed holds anything. Only the first and the last word are cleared, so that the check costs
 * a freed page and not a fresh one. Must not know: owners, caches.
 */
#include "pages/poison.h"

#include "base/mem.h"
#include "pages/arena.h"

#if MHP_POISON

static inline uint64_t
poison_word(uint64_t pfn)
{
	return (pfn + 1) * UINT64_C(0x9e3779b97f4a7c15); /* odd factor: no two pfns alike */
}

static inline uint64_t *
poison_words(const struct mhp *m, uint64_t pfn)
{
	return mhp_pfn_to_virt(m, pfn);
}

void
mhp__poison(struct mhp *m, uint64_t pfn, uint64_t nr_pages)
{
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
	size_t nr = mhp__page_bytes(m) / sizeof(uint64_t);

	MHP_ASSERT_DEBUG(arena->zone_id1 != 0);
	MHP_ASSERT_DEBUG(nr_pages != 0);
	atomic_fetch_or_explicit(&arena->poisoned, mhp__pageblock_bit(m, pfn),
				 memory_order_relaxed);
	for (; nr_pages > 0; nr_pages--, pfn++)
		for (size_t i = 0; i < nr; i++)
			poison_words(m, pfn)[i] = poison_word(pfn);
}

void
mhp__unpoison(struct mhp *m, uint64_t pfn, uint64_t nr_pages, bool check)
{
	size_t last = mhp__page_bytes(m) / sizeof(uint64_t) - 1;

	for (; nr_pages > 0; nr_pages--, pfn++) {
		uint64_t *words = poison_words(m, pfn), poison = poison_word(pfn);
		/* Memory that was never freed holds anything, but hardly this. */
		if (words[0] != poison && words[last] != poison)
			continue;
		for (size_t i = 0; check && i <= last; i++)
			MHP_ASSERT(words[i] == poison); /* written to after it was freed */
		words[0] = words[last] = 0;
		if (!check) /* it leaves, perhaps as zeros */
			memset(words, 0, mhp__page_bytes(m));
	}
}

#endif
