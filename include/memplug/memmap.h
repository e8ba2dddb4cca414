/* SPDX-License-Identifier: MIT */
/*
 * memmap.h - where the descriptors of a block live: the predicate and the global switch.
 *
 * The idea is Linux's "memmap on memory" (MHP_MEMMAP_ON_MEMORY, memory_hotplug.memmap_on_memory):
 * descriptors of hot-added memory come from that memory. Here the reserve ends where it ends: no
 * pageblock alignment, no rule about large mappings; whatever a mapping granule costs is reported.
 *
 * Context, unless a function says otherwise: any, also a signal handler.
 */
#ifndef MEMPLUG_MEMMAP_H
#define MEMPLUG_MEMMAP_H

#include <memplug/port.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

/** Bytes of a descriptor, in every build but some of the engine's own tests. A port that lays out
 * the virtual array of descriptors itself may rely on it; mhp_memmap_shape() says it, too. */
#define MHP_DESCRIPTOR_BYTES 8U

/** The global switch; changes only what later adds do. */
enum mhp_memmap_switch {
	MHP_MEMMAP_OFF,            /* PREFER gets external metadata, REQUIRE is refused */
	MHP_MEMMAP_ON,             /* the default */
	MHP_MEMMAP_FORCE,          /* adds that did not ask for it prefer it too */
};

/** Why a block can, or cannot, host its own metadata. */
enum mhp_memmap_reason {
	MHP_MEMMAP_OK,
	MHP_MEMMAP_NOT_ASKED,      /* the add did not ask for it */
	MHP_MEMMAP_SWITCHED_OFF,
	MHP_MEMMAP_NO_USABLE_PAGE, /* the reserve would fill the block */
	MHP_MEMMAP_BAD_PAGE,       /* a remembered memory error lies where the reserve would be */
	MHP_MEMMAP_BOOT,           /* a boot block: in use before the engine was there */
	MHP_MEMMAP_BAD_GEOMETRY,   /* e.g. one mapping granule would serve two blocks */
};

/** The words for enum mhp_memmap_reason; never NULL. */
const char *mhp_memmap_reason_text(enum mhp_memmap_reason reason);

/** Input of the predicate: a geometry of a block, whatever this build's descriptors are. */
struct mhp_memmap_shape {
	uint8_t page_shift;
	uint8_t block_order;
	uint8_t pageblock_order;
	uint16_t descriptor_bytes;
	bool vmemmap;              /* descriptors are reached through a mapping of their own */
	struct mhp_port_caps caps; /* read when vmemmap */
};

/** Its answer. */
struct mhp_memmap_answer {
	enum mhp_memmap_reason reason; /* MHP_MEMMAP_OK: it can */
	uint32_t nr_vmemmap_pages; /* the reserve: descriptors, bitmaps, page-table pages */
	uint32_t waste_bytes;      /* unused end of the last page of the reserve */
};

/**
 * Can a block of this shape host its own metadata, and what would it take?
 *
 * A pure function: no state, no side effect. Whether the switch allows it, and whether a bad page
 * is in the way, is for the add to say.
 * Return: answer->reason == MHP_MEMMAP_OK. The sizes are set whenever they can be computed.
 */
bool mhp_supports_memmap_on_memory(const struct mhp_memmap_shape *shape,
				   struct mhp_memmap_answer *ret_answer);

/** The shape of this instance's blocks. */
struct mhp_memmap_shape mhp_memmap_shape(const struct mhp *m);

/** Set the global switch memmap_on_memory. Context: takes the hotplug lock.
 * Return: 0, MHP_EINVAL, MHP_EDEADLK. */
MHP_MUST_CHECK int mhp_set_memmap_on_memory(struct mhp *m, enum mhp_memmap_switch value);
/** Read the global switch memmap_on_memory. */
enum mhp_memmap_switch mhp_get_memmap_on_memory(const struct mhp *m);

#ifdef __cplusplus
}
#endif
#endif
