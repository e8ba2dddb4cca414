/* SPDX-License-Identifier: MIT */
/*
 * stage.c - a huge page that is filled aside, and then takes the place of a hole in one step.
 *
 * One huge page costs a third of the 512 small ones that UFFDIO_COPY takes one by one, and whoever
 * waits for the hole waits for the copy alone. The stage is two MiB of addresses, which stay, and
 * memory only from take() until it is dropped. It is nobody's but the mover's: a forked
 * child that got a share of it makes the kernel refuse the move, and a mover that was killed leaves
 * what the next one overwrites.
 */
#define _GNU_SOURCE
#include "stage.h"

#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

void
mhp__stage_drop(const struct mhp__stage *stage)
{
	(void)madvise(stage->start, MHP__STAGE_BYTES, MADV_DONTNEED);
}

void
mhp__stage_free(struct mhp__stage *stage)
{
	if (stage->start != NULL)
		munmap(stage->start, MHP__STAGE_BYTES);
	stage->start = NULL;
}

unsigned char *
mhp__stage_take(struct mhp__stage *stage)
{
	if (stage->cannot)
		return NULL;
	if (stage->start == NULL) {
		stage->start = mhp__take_addresses(MHP__STAGE_BYTES, MHP__STAGE_BYTES,
						   PROT_READ | PROT_WRITE);
		if (stage->start == NULL)
			return NULL;
		/* mlockall(MCL_FUTURE): the hole is not locked either */
		munlock(stage->start, MHP__STAGE_BYTES);
	}
	*(volatile unsigned char *)stage->start = 0; /* there has to be something to collapse */
	if (madvise(stage->start, MHP__STAGE_BYTES, MADV_COLLAPSE) == 0)
		return stage->start;
	mhp__stage_drop(stage);
	return NULL;
}

/* No memcpy: for a device that is cut or broken there is an error then, and no signal. */
bool
mhp__stage_copy(unsigned char *to, void *from, uint64_t size)
{
	struct iovec source = { from, size }, target = { to, size };
	return process_vm_writev(getpid(), &source, 1, &target, 1, 0) == (ssize_t)size;
}

uint64_t
mhp__stage_move(struct mhp__stage *stage, int hole_fd, uintptr_t start)
{
	struct uffdio_move move = { .dst = start, .src = (uintptr_t)stage->start,
				    .len = MHP__STAGE_BYTES };
	int error = 0;
	while (move.len != 0 && (error == 0 || error == EAGAIN)) {
		move.move = 0;
		error = ioctl(hole_fd, UFFDIO_MOVE, &move) != 0 ? errno : 0;
		uint64_t done = move.move > 0 ? (uint64_t)move.move : 0;
		if (done == 0)
			sched_yield(); /* the mappings are changing: bounded by those changes */
		move.dst += done;
		move.src += done;
		move.len -= done;
	}
	stage->can |= move.len != MHP__STAGE_BYTES;
	/* One that can says EINVAL, too, when the program has changed the hole meanwhile. */
	stage->cannot |= !stage->can && (error == EINVAL || error == ENOTTY);
	return MHP__STAGE_BYTES - move.len;
}
