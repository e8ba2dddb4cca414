/* SPDX-License-Identifier: MIT */
/*
 * mmu.c - the port's page tables.
 *
 * Invariant: a table lives no shorter than what it maps. One page of page tables serves 2 MiB or 1
 * GiB of addresses, which may be the descriptors, or the direct map, of several blocks; so it
 * cannot live in one of them. Those tables are reserved at boot for the whole window in which
 * memory may appear (a fixed part of the footprint: 8 bytes for each 2 MiB of direct map, 8 for
 * each page of descriptors) and never freed. A table that serves one block comes from that block's
 * altmap, is found empty when the block goes, and goes with it. Tables are reached through the
 * direct map. All changes are made under the hotplug lock, or before there is an engine; who
 * changes entries in place (pager.c) has a lock of its own.
 */
#include "mmu.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "bootmem.h"
#include "smp.h"
#include "string.h"
#include "cpu.h"

enum {
	INDEX_BITS = PAGE_SHIFT - 3,   /* of an address, for each level */
	ENTRIES = 1 << INDEX_BITS,
	TOP_LEVEL = (ADDRESS_BITS - PAGE_SHIFT + INDEX_BITS - 1) / INDEX_BITS,
};

typedef _Atomic uint64_t entry_t;

extern char image_start[], image_rodata[], image_data[], image_end[];
extern char boot_stack_guard[];

static uint64_t top_table;          /* physical */
static uint64_t nr_tables;

static uint64_t
level_bytes(unsigned level)
{
	return UINT64_C(1) << (PAGE_SHIFT + INDEX_BITS * (level - 1));
}

static entry_t *
entry_in(uint64_t table, uint64_t virt, unsigned level)
{
	entry_t *entries = phys_to_virt(table & PTE_ADDRESS);

	/* The bits left for the top level may be fewer than a whole index. */
	virt &= (UINT64_C(1) << ADDRESS_BITS) - 1;
	return entries + (virt / level_bytes(level)) % ENTRIES;
}

/* A zeroed table of a block's own, or 0. */
static uint64_t
table_alloc(const struct mmu_tables *tables)
{
	uint64_t pfn;

	if (tables->altmap == NULL) {
		void *table = bootmem_alloc(1, PAGE_BYTES);
		return table != NULL ? virt_to_phys(table) : 0;
	}
	if (mhp_altmap_alloc(tables->altmap, 1, &pfn) != 0)
		return 0;
	memset(phys_to_virt(pfn << PAGE_SHIFT), 0, PAGE_BYTES);
	return pfn << PAGE_SHIFT;
}

static void
table_free(const struct mmu_tables *tables, uint64_t table)
{
	if (tables->altmap == NULL)
		bootmem_free(phys_to_virt(table), 1);
	else
		mhp_altmap_free(tables->altmap, 1);
}

_Atomic uint64_t *
mmu_entry(uint64_t virt, enum mmu_level level)
{
	entry_t *entry = entry_in(top_table, virt, TOP_LEVEL);

	for (unsigned at = TOP_LEVEL; at > (unsigned)level; at--) {
		uint64_t value = atomic_load_explicit(entry, memory_order_relaxed);
		if (!pte_is_table(value))
			return NULL;
		entry = entry_in(value, virt, at - 1);
	}
	return entry;
}

/* The same, making what is missing from boot memory. NULL: there was no page for it. */
static entry_t *
make_entry(uint64_t virt, unsigned level)
{
	entry_t *entry = entry_in(top_table, virt, TOP_LEVEL);

	for (unsigned at = TOP_LEVEL; at > level; at--) {
		uint64_t value = atomic_load_explicit(entry, memory_order_relaxed);
		if (!pte_is_table(value)) {
			void *table = bootmem_alloc(1, PAGE_BYTES);
			if (table == NULL)
				return NULL;
			nr_tables++;
			value = virt_to_phys(table) | PTE_TABLE;
			atomic_store_explicit(entry, value, memory_order_release);
		}
		entry = entry_in(value, virt, at - 1);
	}
	return entry;
}

int
mmu_reserve(uint64_t virt, uint64_t size, enum mmu_level level)
{
	uint64_t table_span = level_bytes((unsigned)level + 1);

	for (uint64_t at = virt & ~(table_span - 1); at < virt + size; at += table_span) {
		if (make_entry(at, level) == NULL)
			return MHP_ENOMEM;
	}
	return 0;
}

/* The page-table entry for virt, its table taken from tables if need be. */
static int
private_entry(uint64_t virt, enum mmu_level level, const struct mmu_tables *tables,
	      entry_t **ret_entry)
{
	*ret_entry = mmu_entry(virt, level);
	if (*ret_entry != NULL)
		return 0;
	entry_t *parent = mmu_entry(virt, level + 1);
	if (parent == NULL || tables == NULL)
		return MHP_ENXIO;
	uint64_t table = table_alloc(tables);
	if (table == 0)
		return MHP_ENOMEM;
	atomic_store_explicit(parent, table | PTE_TABLE, memory_order_release);
	*ret_entry = mmu_entry(virt, level);
	return 0;
}

static bool
table_empty(uint64_t table)
{
	const entry_t *entries = phys_to_virt(table & PTE_ADDRESS);

	for (unsigned i = 0; i < ENTRIES; i++) {
		if (atomic_load_explicit(&entries[i], memory_order_relaxed) != 0)
			return false;
	}
	return true;
}

/* Give tables of level that are empty back to where they came from. */
static void
trim_tables(uint64_t virt, uint64_t size, enum mmu_level level, const struct mmu_tables *tables)
{
	uint64_t table_span = level_bytes((unsigned)level + 1);

	for (uint64_t at = virt & ~(table_span - 1); at < virt + size; at += table_span) {
		entry_t *parent = mmu_entry(at, level + 1);
		uint64_t table = parent != NULL ? atomic_load(parent) & PTE_ADDRESS : 0;
		if (table == 0 || !table_empty(table))
			continue;
		atomic_store_explicit(parent, 0, memory_order_release);
		smp_flush(at, 1);           /* also what CPUs remember of the table itself */
		table_free(tables, table);
	}
}

static void
clear_entries(uint64_t virt, uint64_t size, enum mmu_level level)
{
	uint64_t step = level_bytes(level);

	for (uint64_t at = virt; at < virt + size;) {
		entry_t *entry = mmu_entry(at, level);
		do {
			atomic_store_explicit(entry++, 0, memory_order_relaxed);
			at += step;
		} while (at < virt + size && at % (step * ENTRIES) != 0);
	}
	smp_flush(virt, size / PAGE_BYTES);
}

void
mmu_unmap(uint64_t virt, uint64_t size, enum mmu_level level, const struct mmu_tables *tables)
{
	clear_entries(virt, size, level);
	if (tables != NULL)
		trim_tables(virt, size, level, tables);
}

int
mmu_map(uint64_t virt, uint64_t phys, uint64_t size, uint64_t flags, enum mmu_level level,
	const struct mmu_tables *tables)
{
	uint64_t step = level_bytes(level);
	uint64_t value = pte_leaf(phys, flags, level == MMU_LARGE);
	int error = 0;
	uint64_t at = virt;

	while (at < virt + size && error == 0) {
		entry_t *entry;
		error = private_entry(at, level, tables, &entry);
		while (error == 0) {
			if (atomic_load_explicit(entry, memory_order_relaxed) != 0) {
				error = MHP_EEXIST;
				break;
			}
			atomic_store_explicit(entry++, value, memory_order_relaxed);
			value += step;
			at += step;
			if (at >= virt + size || at % (step * ENTRIES) == 0)
				break;
		}
	}
	cpu_publish_tables();
	if (error != 0 && at > virt)
		clear_entries(virt, at - virt, level);
	if (error != 0 && tables != NULL)
		trim_tables(virt, size, level, tables);
	return error;
}

/* Before there is anybody to report to: memory for the first tables is there, or nothing works. */
static void
map_or_die(uint64_t virt, uint64_t phys, uint64_t size, uint64_t flags, enum mmu_level level)
{
	if (mmu_reserve(virt, size, level) != 0 ||
	    mmu_map(virt, phys, size, flags, level, NULL) != 0)
		__builtin_trap();
}

static void
map_image(const char *start, const char *end, uint64_t flags)
{
	map_or_die((uint64_t)start, (uint64_t)start, (uint64_t)(end - start), flags, MMU_BASE);
}

volatile void *
mmu_map_device(uint64_t phys, uint64_t size)
{
	uint64_t start = phys & ~(uint64_t)(PAGE_BYTES - 1);
	uint64_t end = (phys + size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);

	for (uint64_t at = start; at < end; at += PAGE_BYTES) {
		entry_t *entry = make_entry(MMIO_MAP + at, MMU_BASE);
		if (entry == NULL)
			__builtin_trap();
		atomic_store(entry, pte_leaf(at, MMU_DEVICE, false));
	}
	cpu_publish_tables();
	return (volatile void *)(MMIO_MAP + phys);
}

/* Memory below 4 GiB, firmware tables included, in whole pages of the direct map. */
static void
map_boot_memory(void)
{
	unsigned nr;
	const struct boot_range *ranges = bootmem_ranges(&nr);
	uint64_t start = UINT64_MAX, end = 0, step = level_bytes(MMU_DIRECT);

	for (unsigned i = 0; i < nr; i++) {
		uint64_t stop = ranges[i].start + ranges[i].size;
		if (ranges[i].type != BOOT_RAM || stop >= UINT64_C(1) << 32)
			continue;
		start = ranges[i].start < start ? ranges[i].start : start;
		end = stop > end ? stop : end;
	}
	start &= ~(step - 1);
	end = (end + step - 1) & ~(step - 1);
	map_or_die(DIRECT_MAP + start, start, end - start, MMU_DATA, MMU_DIRECT);
}

void
mmu_init(void)
{
	top_table = virt_to_phys(bootmem_alloc(1, PAGE_BYTES));
	nr_tables = 1;
	map_image(image_start, image_rodata, MMU_CODE);
	map_image(image_rodata, image_data, MMU_CONST);
	map_image(image_data, image_end, MMU_DATA);
	map_boot_memory();
	mmu_load();
	mmu_unmap((uint64_t)boot_stack_guard, PAGE_BYTES, MMU_BASE, NULL);
}

void
mmu_load(void)
{
	cpu_load_tables(top_table);
}

uint64_t
mmu_tables(void)
{
	return top_table;
}

bool
mmu_below_stack(uint64_t virt)
{
	uint64_t guard = (uint64_t)boot_stack_guard;
	bool in_stacks = virt >= STACKS && virt < STACKS + SMP_CPUS_MAX * (uint64_t)AP_STACK_STEP;

	return (virt >= guard && virt < guard + PAGE_BYTES) ||
	       (in_stacks && (virt - STACKS) % AP_STACK_STEP >= AP_STACK_BYTES);
}

uint64_t
mmu_nr_tables(void)
{
	return nr_tables;
}
