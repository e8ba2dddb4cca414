/* SPDX-License-Identifier: MIT */
/*
 * sim_private.h - struct mhp_sim, shared by the files of the simulator.
 *
 * sim.c owns life and sections, sim_memmap.c the vmemmap and external metadata, sim_snapshot.c
 * copies. All that calls of the engine change is in struct sim_state and the arrays after it, one
 * run of bytes; the rest of struct mhp_sim is written by create only.
 */
#ifndef MEMPLUG_SIM_PRIVATE_H
#define MEMPLUG_SIM_PRIVATE_H

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "sim.h"

#define SIM_HOST_SHIFT 12U
#define SIM_HOST_PAGE (UINT64_C(1) << SIM_HOST_SHIFT)

struct sim_state {
	_Atomic uint64_t clock_ns;
	uint64_t generation;       /* fills so far: no two have the same garbage */
	uint64_t nr_mapped;        /* sections */
	uint64_t nr_granules;      /* base granules of the vmemmap that are mapped */
	uint64_t budget;           /* of external metadata, bytes */
	uint64_t meta_used;
	uint64_t meta_first;       /* pages of the pool below this are taken */
	uint64_t meta_high;        /* pages of the pool from this on were never used: zeros */
	uint64_t nr_holes;
	struct mhp_span holes[MHP_SIM_HOLES_MAX];
};

/* Page-table pages that a block's slice of the vmemmap took from its altmap. */
struct sim_tables {
	uint64_t pfn;
	uint32_t nr;
	uint32_t nr_granules;      /* base granules of the slice that are mapped */
};

struct mhp_sim {
	struct mhp_sim_opts opts;  /* with defaults filled in */
	bool unmaps;
	int memfd;                 /* -1: the memory is anonymous and always there */
	unsigned char *direct_map;
	unsigned char *backdoor;   /* the same bytes, never unmapped */
	unsigned char *vmemmap;    /* aligned to large_bytes, inside vmemmap_room */
	unsigned char *vmemmap_room;
	unsigned char *instance_room, *instance;
	uint64_t page_bytes, section_bytes, garbage_bytes, large_bytes;
	uint64_t nr_sections;
	uint64_t range_bytes;      /* physical addresses: the range, ... */
	uint64_t pool_start, pool_bytes; /* ... the pool of external metadata ... */
	uint64_t total_bytes;      /* ... and the end of all */
	uint64_t vmemmap_bytes;
	uint64_t instance_room_bytes, instance_bytes;
	uint64_t state_bytes;

	struct sim_state *state;   /* flat: these five are one run of bytes */
	uint64_t *mapped;          /* bit per section */
	uint32_t *lengths;         /* per page of the pool: pages of what starts here */
	uint64_t *granules;        /* per base granule of the vmemmap: physical address + 1, or 0 */
	struct sim_tables *tables; /* per block */

	uint64_t stuck_pfn, seen_pfn; /* a fault of the machine: not part of snapshots */
	pthread_mutex_t mutex;
	_Atomic bool locked;
};

/* Say what the caller did wrong, and abort. */
__attribute__((format(printf, 1, 2))) _Noreturn void mhp__sim_die(const char *format, ...);
/* Show the frames from frame_addr at direct_map + addr; not open: touching them faults. */
void mhp__sim_view(struct mhp_sim *sim, uint64_t addr, uint64_t frame_addr, uint64_t size,
		   bool open);
/* Show a section as its state, and the stuck page, call for. */
void mhp__sim_view_section(struct mhp_sim *sim, uint64_t section, bool mapped);
void mhp__sim_garbage(struct mhp_sim *sim, uint64_t addr, uint64_t size);
/* Show a base granule of the vmemmap: frames from addr1 - 1, or nothing when addr1 is 0. */
bool mhp__sim_view_memmap(struct mhp_sim *sim, unsigned char *virt, uint64_t addr1, uint64_t size);

int mhp__sim_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr,
			unsigned granule_shift, struct mhp_altmap *altmap);
void mhp__sim_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned granule_shift,
			   struct mhp_altmap *altmap);
int mhp__sim_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta);
void mhp__sim_meta_free(void *port, const struct mhp_meta *meta);

#endif
