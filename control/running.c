/* SPDX-License-Identifier: MIT */
/*
 * running.c - the requests that take blocks out right now: a table, and the request cancel.
 *
 * A request is in the table while it runs. So it can be cancelled between two calls of the engine,
 * too, by the process that made it or by anybody who names one of its blocks. If its client is
 * gone, the thread that accepts connections cancels it (R52). A mutex guards the table; nothing
 * that takes a lock of the engine is called with it held. Must not know: how blocks leave.
 */
#define _GNU_SOURCE
#include "running.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define RUNNING_MAX 16U

static struct mhp__running {
	bool used;
	const struct mhp_blocks *runs; /* [nr], which it takes out */
	unsigned nr;
	int client_fd, pid; /* of the client */
	bool canceled;
	bool packing; /* the pool is compacted for it */
} table[RUNNING_MAX];
static pthread_mutex_t table_lock;

static int
client_pid(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

/* ---- the table ---- */

struct mhp__running *
mhp__running_begin(const struct mhp_blocks *runs, unsigned nr, int client_fd)
{
	struct mhp__running *found = NULL;
	pthread_mutex_lock(&table_lock);
	for (unsigned i = 0; i < RUNNING_MAX && found == NULL; i++)
		if (!table[i].used)
			found = &table[i];
	if (found != NULL)
		*found = (struct mhp__running){ .used = true,
						.runs = runs,
						.nr = nr,
						.client_fd = client_fd,
						.pid = client_pid(client_fd) };
	pthread_mutex_unlock(&table_lock);
	return found;
}

void
mhp__running_end(struct mhp__running *running)
{
	pthread_mutex_lock(&table_lock);
	if (running != NULL)
		running->used = false;
	pthread_mutex_unlock(&table_lock);
}

bool
mhp__running_canceled(const struct mhp__running *running)
{
	pthread_mutex_lock(&table_lock);
	bool canceled = running != NULL && running->canceled;
	pthread_mutex_unlock(&table_lock);
	return canceled;
}

void
mhp__running_pack(struct mhp__running *running, bool packing)
{
	pthread_mutex_lock(&table_lock);
	if (running != NULL)
		running->packing = packing;
	pthread_mutex_unlock(&table_lock);
}

/* The C library takes other mutexes without atomics while the program has one thread. */
void
mhp__running_reset(void)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&table_lock, &attr);
	memset(table, 0, sizeof(table));
}

/* ---- cancelling ---- */

static bool
names(const struct mhp__running *one, uint32_t block)
{
	for (unsigned i = 0; i < one->nr; i++)
		if (block - one->runs[i].first < one->runs[i].count)
			return true;
	return false;
}

/* Is the engine working for this request right now? Lock held. */
static bool
is_under_way(const struct mhp__running *one, const struct mhp_progress *now)
{
	if (now->blocks.count == 0)
		return false;
	return one->packing ? now->work == MHP_WORK_COMPACT : names(one, now->blocks.first);
}

/*
 * Mark the requests to cancel: those of process pid, or, with a block, those that include it.
 * Returns how many. *ret_is_under_way: the engine is working for one of them; or none was marked,
 * no block was named, and it is working for no request of the table. (A client asks until it is
 * answered, and what it wants to cancel may have ended meanwhile.)
 */
static unsigned
mark(int pid, const uint32_t *block, const struct mhp_progress *now, bool *ret_is_under_way)
{
	unsigned found = 0;
	bool ours = false, others = false;
	pthread_mutex_lock(&table_lock);
	for (unsigned i = 0; i < RUNNING_MAX; i++) {
		struct mhp__running *one = &table[i];
		if (!one->used)
			continue;
		if (block != NULL ? !names(one, *block) : one->pid != pid) {
			others |= is_under_way(one, now);
			continue;
		}
		one->canceled = true;
		ours |= is_under_way(one, now);
		found++;
	}
	pthread_mutex_unlock(&table_lock);
	*ret_is_under_way = ours || (found == 0 && block == NULL && !others);
	return found;
}

void
mhp__request_cancel(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp_progress now = mhp_progress(mhp__control.m);
	bool any = !mhp__has(fields, MHP__F_BLOCK), stop = false;
	uint64_t number = mhp__number(fields, MHP__F_BLOCK);
	uint32_t block = (uint32_t)number;
	if (number > UINT32_MAX) {
		mhp__out_error(out, MHP_EINVAL, "%llu is no block", (unsigned long long)number);
		return;
	}
	unsigned found = mark(client_pid(out->fd), any ? NULL : &block, &now, &stop);
	if (stop && now.blocks.count != 0 && mhp_cancel(mhp__control.m, now.blocks.first) == 0)
		found++;
	if (found == 0)
		mhp__out_error(out, MHP_ENOENT, "nothing is being taken out of use");
	else
		mhp__out(out, "{}\n");
}

/* Mark the requests whose clients are gone. True: the engine is working for one of them, on
 * *ret_block among others. */
static bool
mark_gone(uint32_t *ret_block)
{
	bool under_way = false;
	pthread_mutex_lock(&table_lock);
	struct mhp_progress now = mhp_progress(mhp__control.m);
	*ret_block = now.blocks.first;
	for (unsigned i = 0; i < RUNNING_MAX; i++) {
		struct mhp__running *one = &table[i];
		if (!one->used || !mhp__client_gone(one->client_fd))
			continue;
		one->canceled = true;
		under_way |= is_under_way(one, &now);
	}
	pthread_mutex_unlock(&table_lock);
	return under_way;
}

void
mhp__running_cancel_gone(void)
{
	uint32_t block;
	if (mark_gone(&block))
		(void)!mhp_cancel(mhp__control.m, block);
}
