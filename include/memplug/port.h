/* SPDX-License-Identifier: MIT */
/*
 * port.h - what a port gives the engine: the slow half of the port boundary.
 *
 * A port is two halves that never mix. This one is a table of functions given at init; the fault
 * port wraps it and the simulator implements it. The other half is the header mhp_port_inline.h
 * of the port's folder, which the core is compiled with: CPU id, per-CPU caches, relaxing in a
 * spin loop (docs/PORTING.md). Functions that return int may fail with any MHP_E* and must then
 * have changed nothing; functions that return void cannot fail, and only those are used to undo.
 *
 * Context, unless a function says otherwise: the functions of the table; the caller
 * has the hotplug lock.
 */
#ifndef MEMPLUG_PORT_H
#define MEMPLUG_PORT_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An allocator over the first pages of one block: the altmap (the name is Linux's vmem_altmap).
 *
 * Its capacity is exactly the block's reserve. The engine takes the descriptors' pages from it,
 * and a port the page-table pages that only this block's memmap needs.
 */
struct mhp_altmap {
	uint64_t base_pfn;         /* first page of the block */
	uint32_t capacity;         /* pages in the reserve; written once, by add */
	uint32_t allocated;        /* pages handed out; 0 after teardown */
};

/**
 * Take @nr pages from @altmap.
 *
 * @ret_pfn: the first of them; contents are undefined.
 * Return: 0, or MHP_ENOMEM (beyond the reserve), nothing taken.
 */
MHP_MUST_CHECK int mhp_altmap_alloc(struct mhp_altmap *altmap, uint32_t nr, uint64_t *ret_pfn);

/**
 * Give @nr pages back. The altmap only counts them: give back the pages taken last, or take none
 * afterwards.
 */
void mhp_altmap_free(struct mhp_altmap *altmap, uint32_t nr);

/** Pages of @altmap that are not handed out. */
static inline uint32_t
mhp_altmap_nr_free(const struct mhp_altmap *altmap)
{
	return altmap->capacity - altmap->allocated;
}

/** Memory for metadata that does not lie in its own block. */
struct mhp_meta {
	void *virt;                /* where the engine reads and writes it; page aligned */
	struct mhp_phys phys;      /* where it lies, for memmap_map; may be outside of the range.
				      vmemmap model: aligned to the base granule of caps */
	uint64_t size;             /* bytes, a multiple of the page size */
	uint8_t node;              /* the node it really came from */
};

/** What a port can map for the memmap; input of mhp_supports_memmap_on_memory(). */
struct mhp_port_caps {
	uint8_t granule_shift;       /* log2 bytes of a base mapping of the memmap, >= page_shift */
	uint8_t large_granule_shift; /* of a large one, up to 40; 0: it has none */
	uint16_t tables_per_block;   /* page-table pages that one block's memmap mapping takes */
};

/**
 * The table. All functions get @port, the pointer given at init.
 *
 * Context: the hotplug lock is held, unless a line says otherwise; no function may call back into
 * mhp_*() except for mhp_altmap_*().
 */
struct mhp_port_ops {
	/**
	 * Make [start, start + size) readable and writable at direct_map + start. One section a
	 * call.
	 */
	int (*map)(void *port, struct mhp_phys start, uint64_t size, unsigned node);
	/** Undo map(); one section a call, last section first. The contents may be gone. */
	void (*unmap)(void *port, struct mhp_phys start, uint64_t size);
	/**
	 * Is all of [start, start + size) memory that may be used? Asked before a range comes
	 * online. NULL: whatever is mapped is.
	 */
	int (*check_ram)(void *port, struct mhp_phys start, uint64_t size);

	/**
	 * vmemmap model only: map [virt, virt + (nr << granule_shift)) onto @backing, readable and
	 * writable. @granule_shift is one of the two in caps; @virt and @backing are aligned to it.
	 * @altmap: where page-table pages that serve this block only come from; NULL when external.
	 */
	int (*memmap_map)(void *port, void *virt, struct mhp_phys backing, uint64_t nr,
			  unsigned granule_shift, struct mhp_altmap *altmap);
	/** Undo memmap_map(); page-table pages go back to @altmap. */
	void (*memmap_unmap)(void *port, void *virt, uint64_t nr, unsigned granule_shift,
			     struct mhp_altmap *altmap);

	/**
	 * Existing memory for metadata, @size bytes, zero-filled, best near @node, aligned as
	 * struct mhp_meta says; large mappings are used where it is aligned to a large granule.
	 */
	int (*meta_alloc)(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta);
	void (*meta_free)(void *port, const struct mhp_meta *meta);

	/** The hotplug lock: a mutex that may sleep. Called without it, and with it. */
	void (*lock)(void *port);
	void (*unlock)(void *port);
	/** Who is calling; never 0. Any context. */
	uint64_t (*self)(void *port);
	/** A clock that never goes back, nanoseconds. Any context. */
	uint64_t (*now_ns)(void *port);
	/** Sleep or spin for about @ns, letting others run. */
	void (*pause)(void *port, uint64_t ns);
	/**
	 * Return after every CPU has left, or restarted, the per-CPU section it was in when this
	 * was called (Linux: membarrier for rseq; a kernel: an IPI). NULL where per-CPU caches take
	 * a real lock. Called with a cache lock held; must not block on another thread of the
	 * engine.
	 */
	void (*fence_cpus)(void *port);
};

#ifdef __cplusplus
}
#endif
#endif
