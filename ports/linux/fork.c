/* SPDX-License-Identifier: MIT */
/*
 * fork.c - what happens around fork(): handlers that make regions copy-on-write.
 *
 * Frames are shared mappings, so a plain fork would let parent and child see each other's stores.
 * Before the fork everything committed is write-protected and the region mutex taken, which also
 * keeps moves and commits away. The child, which has one thread, maps its regions again, private,
 * over the same frames, forgets the pool and goes on. The parent's first store to a page waits
 * until the service thread has given the parent a copy; the frame itself stays with the child.
 * A child is alive as long as it holds its end of a pipe that exec and exit close. Where the parent
 * cannot be protected (the kernel may be out of memory), the child copies everything at once, and
 * the parent's fork waits for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table.h"

static bool
has_pages(const struct mhp_pool *pool)
{
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live && pool->region[i].nr_committed != 0)
			return true;
	return false;
}

static void
forget_epochs(struct mhp_pool *pool)
{
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		struct mhp_region *region = &pool->region[i];
		for (uint64_t page = 0; region->live && page < region->top; page++)
			region->entry[page] &= (UINT64_C(1) << MHP__ENTRY_EPOCH_SHIFT) - 1;
	}
	pool->epoch = 0;
}

static void
prepare_pool(struct mhp_pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	while (pool->in_run)
		pthread_cond_wait(&pool->settled, &pool->mutex);
	pool->fork_tracked = !pool->private_map && pool->wake_fd >= 0 && has_pages(pool);
	if (!pool->fork_tracked)
		return;
	if (pool->epoch == MHP__EPOCH_MAX && pool->newest_child == 0)
		forget_epochs(pool);
	if (pipe2(pool->fork_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		pool->fork_pipe[0] = pool->fork_pipe[1] = -1;
	pool->fork_pipe[0] = mhp_fd_high(pool->fork_pipe[0]);
	pool->fork_pipe[1] = mhp_fd_high(pool->fork_pipe[1]);
	mhp__cow_protect(pool);
}

/* The child of the fork under way has all it will see: it is no business of ours. */
static void
let_go(struct mhp_pool *pool)
{
	close(pool->fork_pipe[0]);
	pool->stats.forks++;
	if (pool->newest_child == 0)
		mhp__cow_release(pool);
}

/* Does the child of the fork under way copy, so that the parent waits? */
static bool
child_copies(const struct mhp_pool *pool)
{
	return pool->fork_eager || pool->scratch != NULL;
}

/*
 * Until the child says its number, or is gone; the number stays in the pipe for children.c. Without
 * a pipe there is nothing to wait for: such a child gives up.
 */
static void
await_copy(const struct mhp_pool *pool)
{
	struct pollfd wait = { .fd = pool->fork_pipe[0], .events = POLLIN };
	while (wait.fd >= 0 && poll(&wait, 1, -1) < 0 && errno == EINTR)
		;
}

static void
parent_pool(struct mhp_pool *pool)
{
	if (pool->fork_tracked) {
		if (pool->fork_pipe[1] >= 0)
			close(pool->fork_pipe[1]);
		if (child_copies(pool))
			await_copy(pool);
		if (pool->fork_eager)
			let_go(pool);
		else
			mhp__child_add(pool);
		mhp__cow_fill_holes(pool);
		mhp__service_wake(pool);
	}
	pthread_mutex_unlock(&pool->mutex);
}

/* Better no child than one that writes to its parent. */
static void
give_up(void)
{
	_exit(127);
}

/* In the child: the same frames, private. */
static void
map_private(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	for (uint64_t end = page + nr, part; page < end; page += part) {
		uint64_t offset, pfn = mhp__entry_pfn(region->entry[page]);
		const struct mhp__file *file = mhp__frame_file(region->pool, pfn, &offset);
		part = mhp__table_run(region, page, end - page);
		if (mmap((void *)mhp__page_address(region, page), part << MHP__PAGE_SHIFT,
			 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file->fd,
			 (off_t)offset) == MAP_FAILED)
			give_up();
	}
}

/*
 * In the child: a copy, of frames that nobody can be kept from writing to later. The addresses are
 * taken first: where the parent has a hole the child has nothing, and a source might come to lie
 * there.
 */
static void
map_copy(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	if (mmap((void *)mhp__page_address(region, page), nr << MHP__PAGE_SHIFT,
		 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		give_up();
	for (uint64_t end = page + nr, part; page < end; page += part) {
		uint64_t offset, pfn = mhp__entry_pfn(region->entry[page]);
		const struct mhp__file *file = mhp__frame_file(region->pool, pfn, &offset);
		part = mhp__table_run(region, page, end - page);
		size_t size = part << MHP__PAGE_SHIFT;
		void *target = (void *)mhp__page_address(region, page);
		void *source = mmap(NULL, size, PROT_READ, MAP_SHARED, file->fd, (off_t)offset);
		if (source == MAP_FAILED)
			give_up();
		memcpy(target, source, size);
		munmap(source, size);
	}
}

static void
close_files(struct mhp_pool *pool)
{
	for (unsigned i = 0; i < MHP__FILES_MAX; i++) {
		if (pool->file[i].fd >= 0 && mhp__file_valid(&pool->file[i]))
			close(pool->file[i].fd);
		pool->file[i].fd = -1;
	}
	close(pool->uffd);
	close(pool->wake_fd);
	if (pool->hole_uffd >= 0)
		close(pool->hole_uffd);
	pool->uffd = pool->wake_fd = pool->hole_uffd = -1;
}

/* In a child: is its end of the pipe still there, or did the program close it? */
static bool
pipe_valid(const struct mhp_pool *pool)
{
	struct stat st;
	return fstat(pool->fork_pipe[1], &st) == 0 && st.st_ino == pool->fork_pipe_ino &&
	       S_ISFIFO(st.st_mode);
}

/* In a child: have the kernel copy what is still the parent's. */
static void
detach_piece(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	char *start = (char *)mhp__page_address(region, page);
	for (uint64_t done = 0, part; done < nr; done += part) {
		part = nr - done < MHP__BATCH_PAGES ? nr - done : MHP__BATCH_PAGES;
		char *piece = start + (done << MHP__PAGE_SHIFT);
		if (madvise(piece, part << MHP__PAGE_SHIFT, MADV_POPULATE_WRITE) == 0)
			continue;
		/* The child may have taken pages out of the middle. */
		for (uint64_t i = 0; i < part; i++)
			madvise(piece + (i << MHP__PAGE_SHIFT), MHP__PAGE_BYTES,
				MADV_POPULATE_WRITE);
	}
}

/*
 * A child is about to fork. What comes of it makes itself known through the pipe; if the program
 * has closed that, the child must not depend on the parent's frames any more.
 */
static void
prepare_child(struct mhp_pool *pool)
{
	if (!pool->fork_tracked || pool->detached || pipe_valid(pool))
		return;
	mhp__cow_each(pool, true, detach_piece);
	pool->detached = true;
}

/* The parent may be gone: then nobody reads, and that is no reason to die. */
static void
say_pid(const struct mhp_pool *pool)
{
	const struct timespec at_once = { 0, 0 };
	int32_t pid = (int32_t)getpid();
	sigset_t broken, before, pending;
	sigemptyset(&broken);
	sigaddset(&broken, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &broken, &before);
	if (write(pool->fork_pipe[1], &pid, sizeof(pid)) < 0 && errno == EPIPE &&
	    !sigismember(&pending, SIGPIPE))
		sigtimedwait(&broken, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void
grandchild(struct mhp_pool *pool)
{
	if (pool->fork_tracked && !pool->detached && pipe_valid(pool))
		say_pid(pool);
}

static void
child_pool(struct mhp_pool *pool)
{
	struct stat st;
	pool->is_child = true;
	for (unsigned i = 0; i < MHP__CHILDREN_MAX; i++)
		if (pool->child[i].epoch != 0)
			close(pool->child[i].pipe_fd);
	if (!pool->fork_tracked)
		return;
	if (child_copies(pool) && pool->fork_pipe[1] < 0)
		give_up();
	mhp__cow_each(pool, true, pool->fork_eager ? map_copy : map_private);
	mhp__cow_each(pool, false, map_copy);
	pool->detached = pool->fork_eager;
	close(pool->fork_pipe[0]);
	if (fstat(pool->fork_pipe[1], &st) == 0)
		pool->fork_pipe_ino = st.st_ino;
	say_pid(pool);
	close_files(pool);
}

static void
for_each(void (*own)(struct mhp_pool *pool), void (*inherited)(struct mhp_pool *pool))
{
	for (unsigned i = 0; i < MHP__POOLS_MAX; i++) {
		struct mhp_pool *pool = mhp__pools[i];
		if (pool != NULL && (pool->is_child ? inherited : own) != NULL)
			(pool->is_child ? inherited : own)(pool);
	}
}

static void
prepare(void)
{
	for_each(prepare_pool, prepare_child);
}

static void
parent(void)
{
	for_each(parent_pool, NULL);
}

static void
child(void)
{
	for_each(child_pool, grandchild);
}

void
mhp_fork_init(void)
{
	static atomic_bool installed;
	if (!atomic_exchange(&installed, true))
		pthread_atfork(prepare, parent, child);
}

bool
mhp_pool_is_child(const struct mhp_pool *pool)
{
	return pool->is_child;
}
