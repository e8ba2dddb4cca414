/* SPDX-License-Identifier: MIT */
/*
 * sim.h - the simulator: a port whose memory, clock and external metadata live in one process.
 *
 * Everything follows from the options, the seed and the calls made, so a run can be replayed. The
 * simulator keeps no globals but two words per thread (which CPU a thread plays, and the ranks of
 * its locks), so many can live side by side. It checks what it is told and aborts with a message
 * on nonsense such as mapping what is mapped: wrap it in the fault port (ports/fault/fault.h),
 * which records such violations and does not pass them on.
 *
 * Must not know: anything inside of the engine. It sees include/ only.
 */
#ifndef MEMPLUG_SIM_H
#define MEMPLUG_SIM_H

#include <memplug/mhp.h>

enum mhp_sim_mode {
	/** All memory can always be touched. Sparse: works for 64 TiB. Any page size. */
	MHP_SIM_PLAIN,
	/** What is not mapped faults (SIGSEGV), in the direct map, vmemmap and external metadata.
	 *  Needs page_shift >= 12. */
	MHP_SIM_UNMAP,
};

/** What memory holds when it is mapped. */
enum mhp_sim_fill {
	MHP_SIM_ZERO,              /* zeros; large sections are never touched */
	MHP_SIM_GARBAGE,           /* words that follow from the seed, never zero */
	MHP_SIM_KEEP,              /* zeros at first, later what was there; costs nothing */
};

#define MHP_SIM_HOLES_MAX 16U

/** Options. Zero is a sensible default for all but the geometry. */
struct mhp_sim_opts {
	struct mhp_geometry geometry;
	uint64_t seed;             /* of the garbage */
	enum mhp_sim_mode mode;
	enum mhp_sim_fill fill;
	uint64_t garbage_bytes;    /* from the start of each section; 0 = all of it */
	bool vmemmap;              /* have a vmemmap; needs page_shift >= 12 */
	uint16_t descriptor_bytes; /* with vmemmap; 0 = 16 */
	struct mhp_port_caps caps; /* granule_shift 0 = the page size */
	uint64_t meta_bytes;       /* external metadata: pool and budget; 0 refuses all */
	uint64_t meta_nodes;       /* bit per node that has external memory; 0 = all nodes */
	uint64_t tick_ns;          /* each now_ns() moves the clock by this; 0 = 1000 */
};

struct mhp_sim;

/** The functions; their port pointer is the struct mhp_sim. fence_cpus is NULL. */
extern const struct mhp_port_ops mhp_sim_ops;

/** Which CPU the calling thread plays; settable at any time. */
extern _Thread_local unsigned mhp_sim_cpu;

/**
 * Make a simulator.
 *
 * Cost: O(1) memory touched, whatever the geometry.
 * Return: 0, MHP_EINVAL (the geometry, or a combination that cannot be: see the options), or
 * MHP_ENOMEM (no address space).
 */
MHP_MUST_CHECK int mhp_sim_create(const struct mhp_sim_opts *opts, struct mhp_sim **ret_sim);

/** End it, in whatever state it is, with the instance memory. NULL does nothing. */
void mhp_sim_destroy(struct mhp_sim *sim);

/** Fill in a config for mhp_init(): geometry, ops, port, caps, direct map, vmemmap. */
void mhp_sim_config(struct mhp_sim *sim, struct mhp_config *ret_config);

/**
 * Zeroed memory for the instance, part of snapshots, with a guard page after it. Once only.
 * Return: NULL when there is none.
 */
void *mhp_sim_instance_memory(struct mhp_sim *sim, size_t size_bytes);

/* ---- things that happen to a machine ---- */

/** The budget of external metadata, in bytes, from now on; at most the pool size. */
void mhp_sim_set_budget(struct mhp_sim *sim, uint64_t meta_bytes);

/** check_ram says MHP_EINVAL for ranges that touch [start, start + size). False: no room for it. */
bool mhp_sim_add_hole(struct mhp_sim *sim, struct mhp_phys start, uint64_t size);

/** Forget all holes. */
void mhp_sim_clear_holes(struct mhp_sim *sim);

/**
 * Broken memory: from the next map() on page @pfn shows the frame of @seen_pfn, as with an address
 * line that is stuck. A test that writes both and then reads both finds it. One page at a time;
 * MHP_PFN_NONE mends it. Return: false where pages cannot be mapped one by one (MHP_SIM_PLAIN
 * without vmemmap).
 */
bool mhp_sim_set_stuck(struct mhp_sim *sim, uint64_t pfn, uint64_t seen_pfn);

/** Move the clock on. */
void mhp_sim_advance(struct mhp_sim *sim, uint64_t ns);

/* ---- looking ---- */

/** Is the section that @start is in mapped? */
bool mhp_sim_is_mapped(const struct mhp_sim *sim, struct mhp_phys start);

/** Bytes of external metadata that are handed out. */
uint64_t mhp_sim_meta_used(const struct mhp_sim *sim);

/** The bytes of a frame, mapped or not: what a debugger on the memory bus would see. */
unsigned char *mhp_sim_backdoor(const struct mhp_sim *sim, struct mhp_phys start);

/**
 * Is everything unmapped, all metadata given back, the lock free?
 *
 * Return: how many things are left over (0 is quiet); @text says what, in up to @size bytes.
 */
unsigned mhp_sim_check_quiet(struct mhp_sim *sim, char *text, size_t size);

/* ---- snapshots ----
 * Memory, mappings, metadata, clock, holes and the instance memory as one flat run of bytes.
 * For small geometries: the size is that of the whole range. Nobody may be in the engine. A
 * snapshot fits only the simulator that it was taken from.
 */

size_t mhp_sim_snapshot_size(const struct mhp_sim *sim);
void mhp_sim_save(struct mhp_sim *sim, void *ret_snapshot);
void mhp_sim_restore(struct mhp_sim *sim, const void *snapshot);

#endif
