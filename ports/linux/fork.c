/* SPDX-License-Identifier: MIT */
/*
 * fork.c - what happens around fork(): nothing is half done in the child.
 *
 * Pages of regions, the engine, its tables and the blocks of `ram` are ordinary memory, so the
 * kernel gives the child a copy of its own and the child keeps its pool. The handlers only take the
 * locks, so that no change is under way at that moment. A change that takes long is told to stop
 * first: fork waits for one batch of moves at most, never for a move. Pages on a device come back
 * before, and go there again afterwards; what cannot (it is pinned, or locked), and the metadata of
 * blocks of devices, is copied for the child. Without memory for that the child has a hole; of
 * mhp_fork() there is no such child.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memplug/companion.h>

#include "region.h"
#include "room.h"
#include "settle.h"

/* The fork that this thread is in. The model: its first use must not call malloc. */
static _Thread_local __attribute__((tls_model("initial-exec"))) enum {
	CHILD_MAY_HAVE_HOLES,
	CHILD_MUST_BE_WHOLE,
	CHILD_IS_REFUSED,
} child_state;

static void
for_each(void (*fn)(struct mhp_pool *pool))
{
	for (unsigned i = 0; i < MHP__POOLS_MAX; i++)
		if (mhp__pools[i] != NULL)
			fn(mhp__pools[i]);
}

static bool
has_places(const struct mhp_pool *pool)
{
	for (unsigned i = 0; i < MHP__FILES_MAX; i++)
		if (pool->space.file[i].has_place && pool->space.file[i].nr_blocks != 0)
			return true;
	return false;
}

/* Bring back what is on a device; nothing goes there while pool->forking is set. */
static void
bring_back(struct mhp_pool *pool)
{
	if (pool->guard.hole_fd >= 0)
		(void)!mhp_companion_call(mhp__unsettle_all, pool, NULL);
}

/* A copy for the child. If there is no memory for it, the child does without: it has a hole there,
 * which is better than what is its parent's. */
static void
add_copy(struct mhp_pool *pool, unsigned char *start, const unsigned char *data, uint64_t size,
	 int rights)
{
	struct mhp__copy *copy = mmap(NULL, size + mhp__kernel_page(), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED) {
		if (child_state == CHILD_MUST_BE_WHOLE)
			child_state = CHILD_IS_REFUSED;
		return;
	}
	*copy = (struct mhp__copy){ pool->copies, start, size, rights };
	memcpy((unsigned char *)copy + mhp__kernel_page(), data, size);
	pool->copies = copy;
}

/* By the direct map: the program may have made its own inaccessible, which keeps it there. */
static void
copy_settled(struct mhp_pool *pool, const struct mhp_region *region)
{
	for (uint64_t page = 0, nr; mhp__table_next_settled(region, &page, UINT64_MAX, &nr);
	     page += nr) {
		struct mhp__run run = mhp__run_settled(region, page, page + nr);
		uintptr_t at = mhp__page_address(region, page), end = UINTPTR_MAX;
		int rights = mhp__view_rights(at, &end);
		nr = (end - at) >> MHP__PAGE_SHIFT;
		nr = nr < run.nr ? nr : run.nr;
		add_copy(pool, (unsigned char *)at, mhp__frame_virt(region->space, run.pfn),
			 nr << MHP__PAGE_SHIFT, rights);
	}
}

/* The metadata of blocks with a place, and what did not come back. */
static void
copy_all(struct mhp_pool *pool)
{
	struct mhp__space *space = &pool->space;
	for (uint32_t block = 0; block < space->nr_blocks; block++) {
		unsigned char *data = space->direct_map + block * space->block_bytes;
		if (space->slot[block].file1 != 0 &&
		    space->file[space->slot[block].file1 - 1].has_place)
			add_copy(pool, data, data, pool->reserve_bytes, -1);
	}
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live)
			copy_settled(pool, &pool->region[i]);
}

static void
put_copy(unsigned char *start, unsigned char *data, uint64_t size, int rights)
{
	if (mremap(data, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, start) == MAP_FAILED &&
	    mmap(start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) != MAP_FAILED)
		memcpy(start, data, size);
	if (rights >= 0 && rights != (PROT_READ | PROT_WRITE))
		(void)mprotect(start, size, rights);
}

/* In the child: the copies take their places. In the parent: they go. */
static void
use_copies(struct mhp_pool *pool, bool child)
{
	const uint64_t head = mhp__kernel_page();
	for (struct mhp__copy *copy = pool->copies, *next; copy != NULL; copy = next) {
		unsigned char *data = (unsigned char *)copy + head;
		next = copy->next;
		if (child)
			put_copy(copy->start, data, copy->size, copy->rights);
		munmap(copy, child ? head : copy->size + head);
	}
	pool->copies = NULL;
}

/* Changes give way until the hotplug mutex is ours. A listener has it already, for the change that
 * it is told of. */
static void
take_locks(struct mhp_pool *pool)
{
	bool in_change = atomic_load(&pool->hotplug_holder) == mhp__linux_ops.self(pool);
	atomic_store(&pool->forking, true);
	if (!in_change) {
		mhp_interrupt_begin(pool->m);
		mhp__pool_lock_hotplug(pool);
		mhp_interrupt_end(pool->m);
	}
	atomic_store(&pool->forking, true); /* another fork may have ended just now */
	bring_back(pool);
	mhp__pool_lock(pool);
	pool->fork_in_change = in_change;
	if (has_places(pool))
		copy_all(pool);
}

static void
give_locks(struct mhp_pool *pool)
{
	bool in_change = pool->fork_in_change;
	pthread_mutex_unlock(&pool->mutex);
	if (!in_change)
		pthread_mutex_unlock(&pool->hotplug);
}

static void
drop_locks(struct mhp_pool *pool)
{
	pool->stats.forks++;
	use_copies(pool, false);
	atomic_store(&pool->settle_wanted, true);
	atomic_store(&pool->forking, false);
	give_locks(pool);
}

/* The descriptors are the parent's: the child has no devices, but all that was on them. */
static void
forget_devices(struct mhp_pool *pool)
{
	pool->guard.write_fd = pool->guard.hole_fd = -1;
	(void)mhp__say(&pool->guard.why, 0, "a forked child has none of its parent's devices");
	atomic_store(&pool->settler, 0);
	mhp__tiering_forget(&pool->tiering);
	atomic_store(&pool->forking, false);
	for (unsigned i = 0; i < MHP__FILES_MAX; i++)
		pool->space.file[i].fd = -1;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		struct mhp_region *region = &pool->region[i];
		atomic_store(&region->nr_holds, 0); /* of threads that are not here */
		if (!region->live || region->nr_settled == 0)
			continue;
		for (uint64_t page = 0, nr; mhp__table_next_settled(region, &page, UINT64_MAX, &nr);
		     page += nr)
			mhp__table_mark(region, page, nr, MHP__ENTRY_SETTLED, false);
		(void)!mhp__region_advise(region); /* the copies took their places */
	}
}

/* The locks are ours: this thread took them, in the parent. */
static void
start_child(struct mhp_pool *pool)
{
	use_copies(pool, true);
	mhp_forked(pool->m);
	forget_devices(pool);
	/* A robust mutex belongs to a task, which is another one here. */
	bool in_change = pool->fork_in_change;
	mhp__pool_init_locks(pool);
	atomic_store(&pool->mender, 0);
	atomic_store(&pool->change_lost, false);
	mhp_companion_next(mhp__recover_all); /* its list of them is empty */
	if (in_change)
		mhp__pool_lock_hotplug(pool);
}

static void
prepare(void)
{
	for_each(take_locks);
}

static void
parent(void)
{
	for_each(drop_locks);
}

static void
child(void)
{
	if (child_state == CHILD_IS_REFUSED)
		_exit(1);
	for_each(start_child);
}

/* Add the memory that a fork copies of a pool, and that comes back for it; region mutex held. */
static void
add_needs(struct mhp_pool *pool, uint64_t *bytes, uint64_t *more_bytes)
{
	const struct mhp__space *space = &pool->space;
	for (unsigned i = 0; i < MHP__FILES_MAX; i++)
		if (space->file[i].has_place)
			*more_bytes += space->file[i].nr_blocks * pool->reserve_bytes;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live)
			*bytes += pool->region[i].nr_settled << MHP__PAGE_SHIFT;
}

/* Will the kernel map what is copied? It may refuse for reasons that are no limit that can be read,
 * such as the number of mappings. */
static int
check_map(uint64_t bytes, struct mhp_text *reterr)
{
	uint64_t size = bytes + mhp__kernel_page();
	void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return mhp__say(reterr, MHP_ENOMEM, "the kernel maps no memory for a copy");
	munmap(at, size);
	return 0;
}

/* In the companion. */
static int
check_room(void *arg)
{
	uint64_t bytes = 0, more_bytes = 0;
	for (unsigned i = 0; i < MHP__POOLS_MAX; i++) {
		struct mhp_pool *pool = mhp__pools[i];
		if (pool == NULL)
			continue;
		mhp__pool_lock(pool);
		add_needs(pool, &bytes, &more_bytes);
		pthread_mutex_unlock(&pool->mutex);
	}
	bytes += more_bytes;
	if (bytes == 0)
		return 0;
	int err = mhp__room_check(mhp__companion_program(), bytes, more_bytes, arg);
	return err != 0 ? err : check_map(more_bytes, arg);
}

int
mhp_fork_room(struct mhp_text *reterr)
{
	static struct mhp_text text; /* our stack may be on its way */
	int error = errno, err = 0;
	for (unsigned i = 0; i < MHP__POOLS_MAX && err == 0; i++) {
		if (mhp__pools[i] == NULL || !has_places(mhp__pools[i]))
			continue;
		err = mhp_companion_call(check_room, &text, NULL);
		if (err == MHP_ENOMEM && reterr != NULL)
			*reterr = text;
		break;
	}
	errno = error;
	return err == MHP_ENOMEM ? err : 0;
}

static int
refuse(void)
{
	errno = ENOMEM;
	return -1;
}

/* A handler cannot refuse a fork: a child with holes ends in its own handler. */
int
mhp_fork(void)
{
	if (mhp_fork_room(NULL) != 0)
		return refuse();
	child_state = CHILD_MUST_BE_WHOLE;
	pid_t pid = fork();
	bool refused = child_state == CHILD_IS_REFUSED;
	child_state = CHILD_MAY_HAVE_HOLES;
	if (pid < 0 || !refused)
		return pid;
	while (syscall(SYS_wait4, pid, NULL, 0, NULL) == -1 && errno == EINTR)
		; /* Bound: it ends at once. */
	return refuse();
}

void
mhp_fork_init(void)
{
	static atomic_bool installed;
	if (!atomic_exchange(&installed, true))
		pthread_atfork(prepare, parent, child);
}
