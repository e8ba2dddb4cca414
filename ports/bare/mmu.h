/* SPDX-License-Identifier: MIT */
/*
 * mmu.h - page tables: the direct map, the memmap, device registers, and what clients map.
 *
 * A mapping is made at one of two levels, MMU_BASE (PAGE_BYTES) and MMU_LARGE (an entry of a page
 * directory). The tables above it are there before (mmu_reserve), or come from the altmap of the
 * one block that they serve. The format of an entry is the processor's business (pte.h).
 */
#ifndef BARE_MMU_H
#define BARE_MMU_H

#include <memplug/port.h>
#include <stdbool.h>

#include "layout.h"
#include "pte.h"

enum mmu_level {
	MMU_BASE = 1,                  /* entries of a page table */
	MMU_LARGE = 2,                 /* entries of a page directory */
	/* The direct map's: large where sections of 128 MiB are made of large pages. */
	MMU_DIRECT = LARGE_SHIFT <= 27 ? MMU_LARGE : MMU_BASE,
};

/* Where the tables of a mapping that shares them with nobody come from and go to. */
struct mmu_tables {
	struct mhp_altmap *altmap;     /* NULL: boot memory */
};

/* Build the port's own tables and switch to them; from here only what exists is mapped. */
void mmu_init(void);
/* Load the port's tables on this CPU. */
void mmu_load(void);
/* Their physical address. */
uint64_t mmu_tables(void);
/* Is this in the gap below a CPU's stack? */
bool mmu_below_stack(uint64_t virt);
/* Make sure that mappings of level in [virt, virt + size) need no more tables. */
MHP_MUST_CHECK int mmu_reserve(uint64_t virt, uint64_t size, enum mmu_level level);
/*
 * Map [virt, virt + size) onto phys with pages of level. tables: NULL where mmu_reserve() made
 * them. Return: 0, MHP_ENXIO (a table is missing and was not reserved), MHP_ENOMEM (none could be
 * had), MHP_EEXIST (something is mapped there). On error nothing has changed.
 */
MHP_MUST_CHECK int mmu_map(uint64_t virt, uint64_t phys, uint64_t size, uint64_t flags,
			   enum mmu_level level, const struct mmu_tables *tables);
/* Undo mmu_map() and make every CPU forget it. Tables that become empty go back where they came
 * from. */
void mmu_unmap(uint64_t virt, uint64_t size, enum mmu_level level, const struct mmu_tables *tables);
/* The entry of level (here up to 4) for virt; NULL when a table above it is missing. */
_Atomic uint64_t *mmu_entry(uint64_t virt, enum mmu_level level);
/* Device registers at phys; stays mapped for ever. */
volatile void *mmu_map_device(uint64_t phys, uint64_t size);
/* Pages of page tables that mmu_init() and mmu_reserve() took from boot memory. */
uint64_t mmu_nr_tables(void);

#endif
