/* SPDX-License-Identifier: MIT */
/*
 * pager.c - the paging client: how an owner moves its pages through real page tables.
 *
 * The page-table entry of virtual page n is the truth about it; n is the cookie of its frame. A
 * page that is being moved is HELD and read-only from isolate to migrate or putback: its owner
 * neither frees nor evicts it. migrate() makes every CPU see that, copies, and points the entries
 * to the new frames. Meanwhile a write takes a page fault and waits until the entry is writable
 * again; reads go on. Two flushes a batch, whatever its length. Entries of
 * one page are changed under `lock`, except by migrate(), which has them HELD.
 */
#include "pager.h"

#include <stdatomic.h>

#include "bootmem.h"
#include "mmu.h"
#include "smp.h"
#include "string.h"
#include "traps.h"
#include "cpu.h"

#define HELD PTE_SOFT(0)
#define PINNED PTE_SOFT(1)
#define PAGES_MAX (UINT64_C(1) << 20)       /* 4 GiB */
#define PAGE_WORDS (PAGE_BYTES / 8)
enum { TABLE_ENTRIES = PAGE_BYTES / 8, HELD_MAX = 8192 };

static struct {
	struct mhp *m;
	uint16_t owner;
	uint64_t nr_pages;             /* virtual pages [0, nr_pages) are mapped */
	uint64_t *counts;              /* what word 0 of each page must hold */
	_Atomic uint64_t *tables[PAGES_MAX / TABLE_ENTRIES];
	/* Pages isolated since the last migrate(), in order; a hint, so it may wrap. Hotplug
	 * lock. */
	uint32_t held[HELD_MAX];
	uint64_t nr_held;
	atomic_flag lock;
	_Atomic bool stop;             /* the load: not to run, or to end */
	struct pager_load load;        /* written by the CPU under load */
	_Atomic uint64_t nr_writes;
	uint64_t refill_every;
} pager = { .lock = ATOMIC_FLAG_INIT, .stop = true };

static uint64_t
virt_of(uint64_t page)
{
	return PAGER_WINDOW + page * PAGE_BYTES;
}

static volatile uint64_t *
words_of(uint64_t page)
{
	return (volatile uint64_t *)virt_of(page);
}

/* Virtual pages below nr_pages have a table for ever, whose address is kept: a walk for each
 * page that moves would cost as much as the rest. */
static _Atomic uint64_t *
entry_of(uint64_t page)
{
	return pager.tables[page / TABLE_ENTRIES] + page % TABLE_ENTRIES;
}

static uint64_t
pfn_of(uint64_t entry)
{
	return (entry & PTE_ADDRESS) >> PAGE_SHIFT;
}

static uint64_t
pattern(uint64_t page, uint64_t word)
{
	return (page + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ word;
}

static void
lock(void)
{
	while (atomic_flag_test_and_set_explicit(&pager.lock, memory_order_acquire))
		cpu_pause();
}

static void
unlock(void)
{
	atomic_flag_clear_explicit(&pager.lock, memory_order_release);
}

/* ---- moving ---- */

/* Hold the entry of `page`, or let it go, if it maps pfn and has none of `unless`. */
static int
change_entry(uint64_t page, uint64_t pfn, uint64_t unless, bool hold)
{
	_Atomic uint64_t *entry = entry_of(page);
	uint64_t value = atomic_load_explicit(entry, memory_order_relaxed);

	if ((value & PTE_PRESENT) == 0 || pfn_of(value) != pfn)
		return MHP_EAGAIN;
	if ((value & unless) != 0)
		return MHP_EBUSY;
	value = hold ? pte_hold(value) | HELD : pte_let_go(value) & ~HELD;
	atomic_store_explicit(entry, value, memory_order_relaxed);
	return 0;
}

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx;
	(void)order;
	lock();
	int error = change_entry(cookie, pfn, HELD | PINNED, true);
	unlock();
	if (error == 0)
		pager.held[pager.nr_held++ % HELD_MAX] = (uint32_t)cookie;
	return error;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx;
	(void)order;
	lock();
	(void)change_entry(cookie, pfn, 0, false);
	unlock();
}

/* The virtual page of a frame that is HELD: most likely the next one that was isolated, in which
 * case its entry says so; else the engine knows. */
static uint64_t
page_of(uint64_t pfn, uint64_t *next_held)
{
	uint64_t page = pager.held[*next_held % HELD_MAX];

	if (pfn_of(atomic_load_explicit(entry_of(page), memory_order_relaxed)) == pfn) {
		(*next_held)++;
		return page;
	}
	return mhp_frame_peek(pager.m, pfn).cookie;
}

/* All pages of all moves are HELD, so their entries are ours. */
static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	uint64_t next_held = 0;

	(void)ctx;
	smp_flush_all();
	for (const struct mhp_move *move = moves; move < moves + nr_moves; move++) {
		memcpy(mhp_pfn_to_virt(pager.m, move->dst_pfn),
		       mhp_pfn_to_virt(pager.m, move->src_pfn), move->nr_pages * PAGE_BYTES);
		for (uint64_t i = 0; i < move->nr_pages; i++) {
			uint64_t page = page_of(move->src_pfn + i, &next_held);
			atomic_store_explicit(entry_of(page),
					      (move->dst_pfn + i) << PAGE_SHIFT | MMU_DATA,
					      memory_order_release);
		}
	}
	smp_flush_all();
	pager.nr_held = 0;
	*ret_done = nr_moves;
	return 0;
}

static void
describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	static const char moving[] = "a page of the pager", pinned[] = "a pinned page of the pager";
	bool pin = (atomic_load(entry_of(cookie)) & PINNED) != 0;
	const char *words = pin ? pinned : moving;
	size_t length = pin ? sizeof(pinned) : sizeof(moving);

	(void)ctx;
	(void)pfn;
	length = length < size ? length : size;
	memcpy(text, words, length);
	text[length - 1] = '\0';
}

static const struct mhp_movable_ops ops = {
	.isolate = isolate,
	.migrate = migrate,
	.putback = putback,
	.describe = describe,
};

/* A write to a page that is being moved: wait until it has arrived. */
static bool
page_fault(uint64_t address, uint64_t error)
{
	uint64_t page = (address - PAGER_WINDOW) / PAGE_BYTES;

	(void)error;
	if (address < PAGER_WINDOW || page >= pager.nr_pages)
		return false;
	for (;;) {
		uint64_t value = atomic_load_explicit(entry_of(page), memory_order_acquire);
		if ((value & PTE_PRESENT) == 0)
			return false;
		if (!pte_is_held(value))
			break;
		smp_poll();
		cpu_pause();
	}
	cpu_forget(address);
	return true;
}

/* ---- contents ---- */

int
pager_init(struct mhp *m)
{
	pager.m = m;
	pager.counts = bootmem_alloc(PAGES_MAX * sizeof(uint64_t) / PAGE_BYTES, PAGE_BYTES);
	if (pager.counts == NULL)
		return MHP_ENOMEM;
	traps_set_fault_handler(page_fault);
	return mhp_owner_register(m, "pager", &ops, NULL, &pager.owner);
}

/* Give a virtual page a frame and its contents. */
static int
page_in(uint64_t page)
{
	struct mhp_page_req req = { .cookie = page, .owner = pager.owner };
	uint64_t pfn;
	int error = mhp_page_alloc(pager.m, req, &pfn);

	if (error != 0)
		return error;
	uint64_t *words = mhp_pfn_to_virt(pager.m, pfn);
	words[0] = pager.counts[page];
	for (uint64_t i = 1; i < PAGE_WORDS; i++)
		words[i] = pattern(page, i);
	atomic_store_explicit(entry_of(page), pfn << PAGE_SHIFT | MMU_DATA, memory_order_release);
	return 0;
}

/* Take its frame away and give it back. False: it is being moved. */
static bool
page_out(uint64_t page)
{
	lock();
	uint64_t value = atomic_load(entry_of(page));
	bool held = (value & HELD) != 0;
	if (!held)
		atomic_store(entry_of(page), 0);
	unlock();
	if (held || value == 0)
		return !held;
	smp_flush(virt_of(page), 1);
	if (mhp_page_free(pager.m, pfn_of(value)) != 0)
		pager.load.lost++;
	return true;
}

int
pager_fill(uint64_t nr_pages)
{
	if (nr_pages > PAGES_MAX - pager.nr_pages)
		return MHP_ENOSPC;
	int error = mmu_reserve(virt_of(pager.nr_pages), nr_pages * PAGE_BYTES, MMU_BASE);
	for (uint64_t i = 0; error == 0 && i < nr_pages; i++) {
		uint64_t page = pager.nr_pages + i;
		if (i == 0 || page % TABLE_ENTRIES == 0)
			pager.tables[page / TABLE_ENTRIES] =
				mmu_entry(virt_of(page), MMU_BASE) - page % TABLE_ENTRIES;
	}
	for (; error == 0 && nr_pages > 0; nr_pages--) {
		pager.counts[pager.nr_pages] = 0;
		error = page_in(pager.nr_pages);
		pager.nr_pages += error == 0;
	}
	return error;
}

void
pager_empty(void)
{
	while (pager.nr_pages > 0) {
		while (!page_out(pager.nr_pages - 1))
			cpu_pause();
		pager.nr_pages--;
	}
}

uint64_t
pager_nr_pages(void)
{
	return pager.nr_pages;
}

static bool
page_intact(uint64_t page)
{
	volatile uint64_t *words = words_of(page);

	/* Not there: the load could not get it a frame again. */
	if (atomic_load(entry_of(page)) == 0 || words[0] != pager.counts[page])
		return false;
	for (uint64_t i = 1; i < PAGE_WORDS; i++) {
		if (words[i] != pattern(page, i))
			return false;
	}
	return true;
}

uint64_t
pager_verify(void)
{
	uint64_t nr_wrong = 0;

	for (uint64_t page = 0; page < pager.nr_pages; page++)
		nr_wrong += !page_intact(page);
	return nr_wrong;
}

int
pager_pin(uint64_t page, bool pinned)
{
	if (page >= pager.nr_pages)
		return MHP_ENOENT;
	lock();
	_Atomic uint64_t *entry = entry_of(page);
	atomic_store(entry, pinned ? atomic_load(entry) | PINNED : atomic_load(entry) & ~PINNED);
	unlock();
	return 0;
}

/* ---- load from another CPU ---- */

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void
load(void *arg)
{
	uint64_t state = UINT64_C(0x2545f4914f6cdd1d);

	(void)arg;
	while (!atomic_load_explicit(&pager.stop, memory_order_relaxed)) {
		uint64_t page = next_random(&state) % pager.nr_pages;
		volatile uint64_t *words = words_of(page);
		if (words[0] != pager.counts[page]) {
			pager.load.lost++;
			pager.counts[page] = words[0];
		}
		words[0] = ++pager.counts[page];
		pager.load.writes++;
		atomic_store_explicit(&pager.nr_writes, pager.load.writes, memory_order_relaxed);
		if (pager.refill_every == 0 || pager.load.writes % pager.refill_every != 0 ||
		    !page_out(page))
			continue;
		while (page_in(page) != 0 && !atomic_load(&pager.stop))
			cpu_pause();
		pager.load.refills++;
	}
}

int
pager_load_start(unsigned cpu, uint64_t refill_every)
{
	if (pager.nr_pages == 0)
		return MHP_ENOENT;
	pager.load = (struct pager_load){ 0 };
	pager.refill_every = refill_every;
	atomic_store(&pager.nr_writes, 0);
	atomic_store(&pager.stop, false);
	return smp_run(cpu, load, NULL) ? 0 : MHP_EBUSY;
}

void
pager_load_pace(uint64_t nr_writes)
{
	uint64_t end = atomic_load(&pager.nr_writes) + nr_writes;

	while (!atomic_load(&pager.stop) && atomic_load(&pager.nr_writes) < end)
		cpu_pause();
}

struct pager_load
pager_load_stop(unsigned cpu)
{
	atomic_store(&pager.stop, true);
	while (!smp_idle(cpu))
		cpu_pause();
	return pager.load;
}
