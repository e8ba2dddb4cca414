/* SPDX-License-Identifier: MIT */
/*
 * region.h - regions: addresses that stay while the pages behind them change (the Linux port).
 *
 * A region is a range of virtual addresses whose pages are frames of a pool; the engine may move
 * the frames, the addresses stay as they are. Regions are committed and given back in multiples of
 * mhp_region_granule(), and moved to devices and back in windows of 2 MiB. Nothing here calls
 * malloc.
 *
 * Context, unless a function says otherwise: any thread, not a signal handler.
 */
#ifndef MEMPLUG_REGION_H
#define MEMPLUG_REGION_H

#include <memplug/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Reserve a range of virtual addresses; nothing is committed.
 *
 * @name: for explanations, up to 31 characters.
 * @size: bytes; rounded up to the pool's granule. The base is aligned to 2 MiB.
 * Return: 0, MHP_EINVAL, MHP_ENOMEM, MHP_ENOSPC (64 regions a pool), or what mhp_region_set_huge()
 * returns for what was said of the pool.
 */
MHP_MUST_CHECK int mhp_region_create(struct mhp_pool *pool, const char *name, uint64_t size,
				     struct mhp_region **ret_region, struct mhp_text *reterr);

/**
 * Make a region over all addresses of the process, for memory that somebody else maps and unmaps.
 *
 * Nothing is reserved or mapped: mhp_region_commit() charges pages of the pool for a range, and
 * mhp_region_decommit() gives them back; neither touches the memory, which must be private and
 * anonymous. The memory goes to devices and comes back like that of any region, so code that
 * changes its mapping must hold it first (mhp_region_hold()). Memory whose mapping was changed
 * without that is left alone: it counts as ordinary. Decommit everything before you destroy the
 * region. An address that also belongs to another region belongs to that one only. The table of
 * this region takes a 512th of all addresses, which is 256 GiB where those have 47 bits.
 * Return: as mhp_region_create().
 */
MHP_MUST_CHECK int mhp_region_create_over(struct mhp_pool *pool, const char *name,
					  struct mhp_region **ret_region,
					  struct mhp_text *reterr);

/**
 * Keep a range of a region in ordinary memory until mhp_region_release().
 *
 * Call it before you change the range's mapping (munmap, mremap, mprotect, madvise, mlock, mmap
 * over it): while memory is on a device its mapping is shared with the device, and such calls have
 * another effect. Whatever of the range is on a device comes back first, and until the release no
 * memory of the region starts on its way to a device. Several threads may hold ranges at a time.
 * Where the pool has a device, signals of the thread wait for the release.
 *
 * @wanted: false: the data is no longer needed; it may read as zeros afterwards.
 * Return: 0; MHP_EINVAL; MHP_ENOMEM (no ordinary memory for what is on the device); MHP_EBUSY
 * (something keeps it there, such as a raw mlock system call); or why mhp_pool_can_move() is
 * false. On error nothing is held, and @reterr has a sentence.
 */
MHP_MUST_CHECK int mhp_region_hold(struct mhp_region *region, void *start, uint64_t size,
				   bool wanted, struct mhp_text *reterr);
/** Undo one mhp_region_hold() of this thread that returned 0. */
void mhp_region_release(struct mhp_region *region);
/** Is any page of [@start, @start + @size) committed? Takes no lock: it may change at once. */
bool mhp_region_used(const struct mhp_region *region, const void *start, uint64_t size);

/** Decommit all and give the addresses back. Nobody may use the region from here on. Does nothing
 * for NULL. */
void mhp_region_destroy(struct mhp_region *region);

/** The first address of a region; it never changes. */
void *mhp_region_base(const struct mhp_region *region);
/** The size of a region in bytes, committed or not. */
uint64_t mhp_region_size(const struct mhp_region *region);
/** Sizes and addresses given to a region are multiples of this, but for mhp_region_purge(): the
 * page_bytes of its pool, or of a region over all addresses the kernel's page. */
uint64_t mhp_region_granule(const struct mhp_region *region);

/**
 * Commit [@start, @start + @size): it gets pages of the pool, is readable and writable, all zeros.
 *
 * Both are multiples of the pool's granule, and nothing of the range is committed. The memory is
 * ordinary: it comes when it is touched, and whatever the program does to it (mprotect, mlock,
 * madvise, fork) works as for any other.
 * Return: 0, MHP_EINVAL, MHP_EEXIST (part of it is committed), MHP_ENOMEM (no free frames, or none
 * on the nodes that the policy binds to), MHP_ENOSPC (the kernel refuses: its limit of mappings is
 * near, or the process has reached its limit of data; adding memory does not help); on error
 * nothing has changed. Never waits.
 */
MHP_MUST_CHECK int mhp_region_commit(struct mhp_region *region, void *start, uint64_t size);

/**
 * Give the memory back to the system and the pages to the pool; what was there is lost, and the
 * range must not be touched until it is committed again. Parts that are not committed are skipped.
 * Return: 0, MHP_EINVAL, MHP_EBUSY (pinned, locked by mlock, or part of a window that lies on one
 * large page of a device), MHP_EAGAIN (the engine is moving part of it just now); on error
 * nothing has changed. Never waits.
 */
MHP_MUST_CHECK int mhp_region_decommit(struct mhp_region *region, void *start, uint64_t size);

/**
 * Give the memory of a committed range back to the system but keep its pages: it reads as zeros.
 *
 * Both are multiples of the kernel's page, however large the pool's granule is. Pages on a device
 * stay there; if the device cannot take memory back, they are overwritten.
 * Return: 0, MHP_EINVAL, MHP_EBUSY (pinned, or ordinary memory that mlock has locked), MHP_EAGAIN
 * (a window of it is on its way to a device or back); on error a part may read as zeros. Never
 * waits.
 */
MHP_MUST_CHECK int mhp_region_purge(struct mhp_region *region, void *start, uint64_t size);

/**
 * Keep [@start, @start + @size) from going to a device or coming back, for memory that was handed
 * to direct I/O. Pins nest. Ordinary memory in `ram` stays where it is anyway, so that a pin does
 * not keep its block.
 * Return: 0, MHP_EINVAL, MHP_ENOSPC (1024 pins a pool).
 */
MHP_MUST_CHECK int mhp_region_pin(struct mhp_region *region, void *start, uint64_t size);

/** Undo one pin of exactly this range. MHP_ENOENT. */
int mhp_region_unpin(struct mhp_region *region, void *start, uint64_t size);

/**
 * Move the memory of a range to a node while it is in use, in windows of 2 MiB.
 *
 * Pages that are on the node already stay. Pages that go to a device or come from one are copied;
 * the kernel moves RAM of another NUMA node; all other pages only get new numbers in the pool.
 *
 * @ret_moved: pages of 4 KiB that moved, also on error; may be NULL.
 * Return: 0, MHP_EINVAL (the range), MHP_ENODEV, MHP_ENOMEM (no room on the node), MHP_EBUSY
 * (pinned, locked, protected; or only part of a window is in use and the node takes whole ones),
 * MHP_EOPNOTSUPP (others map this region), MHP_EAGAIN (the engine is moving it just now), or why
 * there is no companion. Windows before the one that failed have moved.
 */
MHP_MUST_CHECK int mhp_region_move(struct mhp_region *region, void *start, uint64_t size,
				   unsigned node, uint64_t *ret_moved, struct mhp_text *reterr);

/** Shall ordinary memory be in huge pages of the kernel (2 MiB)? */
enum mhp_huge {
	MHP_HUGE_AUTO,             /* as the kernel does by itself */
	MHP_HUGE_ON,               /* wanted: MADV_HUGEPAGE */
	MHP_HUGE_OFF,              /* not wanted: MADV_NOHUGEPAGE */
	MHP_HUGE_MODES,
};

/** Read "auto", "on" or "off". Return: 0, or MHP_EINVAL and a sentence. */
MHP_MUST_CHECK int mhp_huge_parse(const char *words, enum mhp_huge *ret_how,
				  struct mhp_text *reterr);
/** The word for it; never NULL. */
const char *mhp_huge_word(enum mhp_huge how);

/**
 * Choose whether the memory of a region shall be in huge pages, from now on.
 *
 * @from: the choice holds from this address of the region on, a multiple of 2 MiB; NULL: for all.
 *
 * It decides for memory that is touched for the first time, and it lasts: a window that went to a
 * device has it again when it comes back, and is not mistaken for memory that the program has
 * advised. Memory that is there already changes when the kernel gets to it: with ON its khugepaged
 * collapses small pages into huge ones; with OFF a huge page lasts until something splits it.
 * If the administrator has switched huge pages off for everybody
 * (/sys/kernel/mm/transparent_hugepage/enabled is "never"), ON has no effect.
 *
 * The kernel cannot forget such advice: a region that was ON or OFF can never be AUTO again.
 * Cost: a system call, and one for each run on a device. Waits for a window that is on its way.
 * Return: 0, MHP_EINVAL, MHP_EOPNOTSUPP (AUTO for memory that has been advised, a kernel without
 * such pages, or others map this region), MHP_ENOSPC (the kernel's limit of mappings; a part has
 * it).
 */
MHP_MUST_CHECK int mhp_region_set_huge(struct mhp_region *region, enum mhp_huge how, void *from,
				       struct mhp_text *reterr);

/** mhp_region_set_huge() of all regions of a pool, present and future. The last call of either
 * function counts. On error some regions may have changed. */
MHP_MUST_CHECK int mhp_pool_set_huge(struct mhp_pool *pool, enum mhp_huge how,
				     struct mhp_text *reterr);
/** The mode that was set last for the pool. */
enum mhp_huge mhp_pool_get_huge(struct mhp_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
