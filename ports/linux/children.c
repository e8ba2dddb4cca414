/* SPDX-License-Identifier: MIT */
/*
 * children.c - forked children that still see frames, and the frames that are kept for them.
 *
 * Forks are numbered. A page remembers the number of the last fork before it was put in place, so
 * the children that see it are the living ones with a larger number. A page that the parent lets
 * go of while somebody sees it is kept on the list of the newest such child; its cookie holds that
 * number and the link to the next, so that keeping takes no memory. When the child is gone, the
 * page goes to the next child that sees it, or becomes free.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "table.h"

/* Cookies of kept pages: bit 63 (no address has it), epoch 36-55, pfn of the next + 1 in 0-35. */
#define KEPT (UINT64_C(1) << 63)
#define KEPT_EPOCH_SHIFT 36U

static struct mhp__child *
newest(struct mhp_pool *pool)
{
	struct mhp__child *best = NULL;
	for (unsigned i = 0; i < MHP__CHILDREN_MAX; i++)
		if (pool->child[i].epoch != 0 &&
		    (best == NULL || pool->child[i].epoch > best->epoch))
			best = &pool->child[i];
	return best;
}

void
mhp__child_add(struct mhp_pool *pool)
{
	if (pool->epoch < MHP__EPOCH_MAX)
		pool->epoch++;
	for (unsigned i = 0; i < MHP__CHILDREN_MAX; i++) {
		struct mhp__child *child = &pool->child[i];
		if (child->epoch != 0)
			continue;
		*child = (struct mhp__child){ .epoch = pool->epoch, .pipe_fd = pool->fork_pipe[0] };
		pool->newest_child = pool->epoch;
		pool->nr_children++;
		pool->stats.forks++;
		return;
	}
	/* No slot: what exists now is kept for ever. */
	pool->newest_child = pool->untracked = pool->epoch;
}

void
mhp__quarantine(struct mhp_pool *pool, uint64_t pfn, uint32_t epoch)
{
	struct mhp__child *child = newest(pool);
	if (child == NULL)
		return;
	uint64_t cookie = KEPT | (uint64_t)epoch << KEPT_EPOCH_SHIFT | child->quarantine;
	(void)!mhp_page_set_cookie(pool->m, pfn, cookie);
	child->quarantine = pfn + 1;
	child->nr_quarantined++;
}

bool
mhp__quarantine_cookie(uint64_t cookie, uint32_t *ret_epoch)
{
	*ret_epoch = (uint32_t)(cookie >> KEPT_EPOCH_SHIFT) & MHP__EPOCH_MAX;
	return (cookie & KEPT) != 0;
}

int32_t
mhp__child_pid(const struct mhp_pool *pool, uint32_t epoch)
{
	int32_t pid = 0;
	for (unsigned i = 0; i < MHP__CHILDREN_MAX; i++)
		if (pool->child[i].epoch > epoch && pool->child[i].pid != 0)
			pid = pool->child[i].pid;
	return pid;
}

static void
free_kept(struct mhp_pool *pool, uint64_t pfn, unsigned order)
{
	mhp__frames_release(pool, pfn, UINT64_C(1) << order);
	(void)!mhp_page_free(pool->m, pfn);
}

/* ---- descendants ---- */

static void
forget(struct mhp_pool *pool, uint32_t epoch)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < pool->nr_descendants; i++)
		if (pool->descendant[i].epoch != epoch)
			pool->descendant[kept++] = pool->descendant[i];
	pool->nr_descendants = kept;
}

static void
forget_ended(struct mhp_pool *pool)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < pool->nr_descendants; i++)
		if (kill(pool->descendant[i].pid, 0) == 0 || errno != ESRCH)
			pool->descendant[kept++] = pool->descendant[i];
	pool->nr_descendants = kept;
}

static void
note_descendant(struct mhp_pool *pool, struct mhp__child *child, int32_t pid)
{
	if (child->pid == 0)
		child->pid = pid;
	if (pool->nr_descendants == MHP__DESCENDANTS_MAX)
		forget_ended(pool);
	if (pool->nr_descendants == MHP__DESCENDANTS_MAX)
		child->lost = true;
	else
		pool->descendant[pool->nr_descendants++] =
			(struct mhp__descendant){ child->epoch, pid };
}

/* The child is gone: its pages go to the next child that sees them, or become free. */
static void
child_gone(struct mhp_pool *pool, struct mhp__child *child)
{
	uint64_t next = child->quarantine;
	if (child->pipe_fd >= 0)
		close(child->pipe_fd);
	forget(pool, child->epoch);
	*child = (struct mhp__child){ .pipe_fd = -1 };
	pool->nr_children--;
	struct mhp__child *heir = newest(pool);
	pool->newest_child = heir != NULL && heir->epoch > pool->untracked ? heir->epoch
									   : pool->untracked;
	while (next != 0) {
		uint64_t pfn = next - 1;
		uint32_t epoch;
		struct mhp_frame frame = mhp_frame_peek(pool->m, pfn);
		if (frame.state != MHP_FRAME_USED || !mhp__quarantine_cookie(frame.cookie, &epoch))
			break; /* rather leak than free what is not ours */
		next = frame.cookie & MHP__ENTRY_PFN;
		if (epoch < pool->newest_child)
			mhp__quarantine(pool, pfn, epoch);
		else
			free_kept(pool, pfn, frame.order);
	}
	if (pool->newest_child == 0)
		mhp__cow_release(pool);
}

/* Does a text of /proc/PID/maps name one of our files that children share? */
static bool
names_ours(const struct mhp_pool *pool, const char *text)
{
	char inode[32];
	for (unsigned i = 0; i < MHP__FILES_MAX; i++) {
		if (pool->file[i].fd < 0 || !pool->file[i].can_protect)
			continue;
		snprintf(inode, sizeof(inode), " %llu ", (unsigned long long)pool->file[i].ino);
		if (strstr(text, inode) != NULL)
			return true;
	}
	return false;
}

/* Only asked when the pipe was closed, which a program may do without an exec or exit. */
static bool
still_maps(const struct mhp_pool *pool, int32_t pid)
{
	char text[4096 + 1], path[32];
	size_t kept = 0;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	/* Gone, or we cannot know: no descriptor is left, say. */
	if (fd < 0)
		return errno != ENOENT && errno != ESRCH && kill(pid, 0) == 0;
	for (ssize_t got; !found && (got = read(fd, text + kept, 4096 - kept)) > 0;) {
		size_t size = kept + (size_t)got;
		text[size] = 0;
		found = names_ours(pool, text);
		kept = size < 32 ? size : 32;
		memmove(text, text + size - kept, kept);
	}
	close(fd);
	return found;
}

/* Does any process that inherited the view of this child still have it? */
static bool
still_seen(const struct mhp_pool *pool, uint32_t epoch)
{
	for (uint32_t i = 0; i < pool->nr_descendants; i++)
		if (pool->descendant[i].epoch == epoch &&
		    still_maps(pool, pool->descendant[i].pid))
			return true;
	return false;
}

/* True: look again soon. */
static bool
look_at(struct mhp_pool *pool, struct mhp__child *child)
{
	int32_t pid;
	ssize_t got = 0;
	while (!child->silent && (got = read(child->pipe_fd, &pid, sizeof(pid))) == sizeof(pid))
		note_descendant(pool, child, pid);
	if (!child->silent && got < 0)
		return false; /* it lives, and has nothing to say */
	child->silent = true;
	if (still_seen(pool, child->epoch))
		return true;
	/* More descendants than we can watch: keep what they may see. */
	if (!child->lost)
		child_gone(pool, child);
	return false;
}

bool
mhp__children_look(struct mhp_pool *pool)
{
	bool again = false;
	for (unsigned i = 0; i < MHP__CHILDREN_MAX; i++)
		if (pool->child[i].epoch != 0)
			again |= look_at(pool, &pool->child[i]);
	return again;
}
