/* SPDX-License-Identifier: MIT */
/*
 * instance.h - an instance of the engine: how much memory it needs, its start and its end.
 *
 * The instance is all that exists outside of the plugged blocks. Its size follows the geometry,
 * that is the maximum address range, and never what is plugged. Several instances may live in
 * one program; they share nothing.
 *
 * Context, unless a function says otherwise: any, also a signal handler.
 */
#ifndef MEMPLUG_INSTANCE_H
#define MEMPLUG_INSTANCE_H

#include <memplug/port.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;
struct mhp_event;

/** What mhp_init() needs to know. Zero is a sensible default for all but the first five. */
struct mhp_config {
	struct mhp_geometry geometry;
	const struct mhp_port_ops *ops;  /* must outlive the instance */
	void *port;                      /* handed to every function of @ops */
	struct mhp_port_caps caps;
	/** Physical address 0 is here; page aligned. NULL: memory is mapped to its own address. */
	unsigned char *direct_map;
	void *vmemmap;                   /* vmemmap model: the descriptor of pfn 0 is here */
	/** The distances between nodes: of node i to node j at [i * nr_nodes + j], as in an ACPI
	 * SLIT; only init reads them. A page that its own node does not have comes from the
	 * nearest one that has it. NULL: all distances are equal. */
	const uint8_t *node_distances;
	/** Trace: called for every event, under the hotplug lock; must not call mhp_*(). */
	void (*trace)(void *trace_ctx, const struct mhp_event *event);
	void *trace_ctx;
};

/**
 * How many bytes an instance of this shape takes.
 *
 * @geometry:  see struct mhp_geometry.
 * @ret_bytes: the size; the memory must be aligned to 64 bytes.
 *
 * Cost: O(1). Most of it is touched only as blocks come: 128 bytes for each plugged 128 MiB.
 * Context: any. Return: 0, or MHP_EINVAL (the geometry is out of range; nothing written).
 */
MHP_MUST_CHECK int mhp_footprint(const struct mhp_geometry *geometry, size_t *ret_bytes);

/**
 * Start an instance in memory of the caller's.
 *
 * @memory:  at least mhp_footprint() bytes, 64-byte aligned, zero-filled (what mmap gives).
 *           It belongs to the engine until mhp_fini().
 * @config:  copied; @config->ops is not.
 * @ret_m:   the instance, inside @memory.
 *
 * Context: one thread; nobody else has the instance yet.
 * Return: 0, or MHP_EINVAL (geometry, alignment, a missing function of ops, the vmemmap model
 * without a vmemmap), MHP_ENOSPC (size_bytes too small). On error @memory is unchanged.
 */
MHP_MUST_CHECK int mhp_init(void *memory, size_t size_bytes, const struct mhp_config *config,
			    struct mhp **ret_m);

/**
 * End an instance: every block must have been removed. Does nothing for NULL.
 *
 * Context: nobody else is in the engine, nor will be.
 * Return: 0 and @memory is the caller's again, or MHP_EBUSY (a block is still plugged).
 */
MHP_MUST_CHECK int mhp_fini(struct mhp *m);

/**
 * Tell the engine that the thread which held the port's lock was killed, and that this thread has
 * the lock now.
 *
 * If that thread was making a change, every call that takes the hotplug lock returns MHP_EOWNERDEAD
 * until mhp_change_lost() has ended the change. Allocating, freeing and reading go on as before.
 *
 * Context: this thread holds the port's lock, which it took over from the dead one.
 */
void mhp_lock_lost(struct mhp *m);

/**
 * End the change that mhp_lock_lost() found half done: roll it forward if its commit had begun,
 * else roll it back. Afterwards blocks are as after the change, or as before it. Does nothing if no
 * change was under way.
 *
 * Blocks that the change had added are removed again unless they had begun to come online.
 * Listeners hear the end of everything that they were told of, and may hear of one range twice. The
 * port may have to unmap a section a second time, or one that it had not mapped yet.
 *
 * @owner: an owner that has put its own pages in order before this call: each page that was moving
 *         has one frame (the owner has freed the other one, which has the same cookie), and no page
 *         is isolated. MHP_OWNER_NONE: no owner has done so. If the pages of some other owner were
 *         moving, that owner is asked about each of them (mhp_owner_set_lost()).
 *
 * Context: after mhp_threads_lost(); no lock held. If the caller is killed as well, call it again.
 * Return: 0, or MHP_EOWNERDEAD: pages of another owner were moving and it cannot be asked, or the
 * port has no MHP_PORT_MORTAL() (cache.h). The pool then refuses every change.
 * Cost: a look at each page in use, and at each arena of the blocks that are present.
 */
MHP_MUST_CHECK int mhp_change_lost(struct mhp *m, uint16_t owner);

/**
 * Repair the allocator after all threads that the port calls mortal (cache.h) were killed: release
 * the locks that they held, and recompute what those locks guard.
 *
 * Pages that one of them had just taken, or was about to give back, stay taken, and counts may be
 * wrong by that many. For a change that was under way see mhp_lock_lost().
 *
 * Context: all mortal threads are dead, and the caller is the only one that has started since; it
 * holds no lock of the port. Other threads may be anywhere, and may be waiting for what the dead
 * ones held.
 * Cost: a look at each arena of the maximum range.
 */
void mhp_threads_lost(struct mhp *m);

/**
 * Tell a copy of an instance that it is in a forked child: it forgets the parent's readers and
 * interrupts.
 *
 * Context: the first call on the copy. At the fork no change was under way (the port's lock was
 * held), and no thread was inside of mhp_page_*().
 */
void mhp_forked(struct mhp *m);

/** The geometry given at init. */
const struct mhp_geometry *mhp_get_geometry(const struct mhp *m);

/** Say which node a CPU is on: allocations of @cpu that name no node prefer @node.
 * Return: 0, MHP_EINVAL, MHP_ENODEV. */
MHP_MUST_CHECK int mhp_set_cpu_node(struct mhp *m, unsigned cpu, unsigned node);

/** The address of a plugged page: direct_map + (pfn << page_shift). */
void *mhp_pfn_to_virt(const struct mhp *m, uint64_t pfn);

#ifdef __cplusplus
}
#endif
#endif
