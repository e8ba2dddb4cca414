/* SPDX-License-Identifier: MIT */
/*
 * hole.c - hold up every access to pages of files that userfaultfd cannot write-protect.
 *
 * DAX devices and files of other file systems have no write protection, but a mapping whose pages
 * are missing makes loads and stores wait alike. So an empty scratch mapping, registered for
 * missing pages, is moved over the pages in one step (mremap with DONTUNMAP, which leaves the
 * scratch where it is); from then on nobody reads or writes the old frames. Mapping the new frames
 * over it and a wake let everybody go on. The kernel tells a reader of the descriptor of each such
 * move and waits until it has read it: that is the thread's only work. Nothing ever touches the
 * scratch. It is shared memory: moving a private one can fail half-way at the data limit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool.h"

#define SCRATCH_BYTES ((uint64_t)MHP__BATCH_PAGES << MHP__PAGE_SHIFT)

/* A hole comes from the beginning of the scratch; what comes from elsewhere says: stop. */
static void *
read_events(void *arg)
{
	struct mhp_pool *pool = arg;
	struct uffd_msg message;
	for (;;) {
		ssize_t got = read(pool->hole_uffd, &message, sizeof(message));
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return NULL;
		if (got > 0 && message.event == UFFD_EVENT_REMAP &&
		    message.arg.remap.from != (uintptr_t)pool->scratch)
			return NULL;
	}
}

/* Addresses for the scratch, aligned, in their own mapping. */
static unsigned char *
take_scratch(void)
{
	unsigned char *start = mmap(NULL, 2 * SCRATCH_BYTES, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	uint64_t skip = (SCRATCH_BYTES - (uintptr_t)start % SCRATCH_BYTES) % SCRATCH_BYTES;
	unsigned char *scratch =
		mmap(start + skip, SCRATCH_BYTES, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (scratch == MAP_FAILED) {
		munmap(start, 2 * SCRATCH_BYTES);
		return NULL;
	}
	if (skip != 0)
		munmap(start, skip);
	munmap(scratch + SCRATCH_BYTES, SCRATCH_BYTES - skip);
	madvise(scratch, SCRATCH_BYTES, MADV_NOHUGEPAGE);
	madvise(scratch, SCRATCH_BYTES, MADV_DONTFORK);
	munlock(scratch, SCRATCH_BYTES);
	return scratch;
}

static int
start_reader(struct mhp_pool *pool)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&pool->hole_reader, NULL, read_events, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

int
mhp__hole_start(struct mhp_pool *pool, struct mhp_text *reterr)
{
	if (pool->scratch != NULL)
		return 0;
	pool->hole_uffd =
		mhp__uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_MISSING_SHMEM, true, reterr);
	if (pool->hole_uffd < 0)
		return MHP_EPERM;
	unsigned char *scratch = take_scratch();
	struct uffdio_register reg = {
		.range = { (uintptr_t)scratch, SCRATCH_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	if (scratch == NULL || ioctl(pool->hole_uffd, UFFDIO_REGISTER, &reg) != 0 ||
	    start_reader(pool) != 0) {
		if (scratch != NULL)
			munmap(scratch, SCRATCH_BYTES);
		close(pool->hole_uffd);
		pool->hole_uffd = -1;
		return mhp__say(reterr, MHP_ENOMEM,
				"cannot prepare to move pages of a device or file");
	}
	madvise(scratch, SCRATCH_BYTES, MADV_REMOVE); /* whatever mlockall(MCL_FUTURE) put there */
	pool->scratch = scratch;
	return 0;
}

/* Move the last page of the scratch away, which its reader hears of. */
static bool
tell_reader(const struct mhp_pool *pool)
{
	unsigned char *page = pool->scratch + SCRATCH_BYTES - MHP__PAGE_BYTES;
	void *target = mmap(NULL, MHP__PAGE_BYTES, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (target == MAP_FAILED)
		return false;
	bool told = mremap(page, MHP__PAGE_BYTES, MHP__PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
			   target) != MAP_FAILED;
	munmap(target, MHP__PAGE_BYTES);
	return told;
}

void
mhp__hole_stop(struct mhp_pool *pool)
{
	if (pool->scratch == NULL)
		return;
	while (!tell_reader(pool)) /* the kernel has no mapping for us: it will */
		mhp__linux_ops.pause(pool, 1000000);
	pthread_join(pool->hole_reader, NULL);
	munmap(pool->scratch, SCRATCH_BYTES);
	close(pool->hole_uffd);
	pool->hole_uffd = -1;
	pool->scratch = NULL;
}

int
mhp__hole_make(const struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	for (uint64_t done = 0, part; done < size; done += part) {
		part = size - done < SCRATCH_BYTES ? size - done : SCRATCH_BYTES;
		if (mremap(pool->scratch, part, part,
			   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			   (void *)(start + done)) == MAP_FAILED)
			return mhp__errno(errno);
	}
	return 0;
}

void
mhp__hole_wake(const struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	struct uffdio_range range = { start, size };
	ioctl(pool->hole_uffd, UFFDIO_WAKE, &range);
}
