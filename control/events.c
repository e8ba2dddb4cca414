/* SPDX-License-Identifier: MIT */
/*
 * events.c - the ring of events.
 *
 * It has one writer, which never waits, and any number of readers. A slot is written between two
 * changes of its number, so that a reader can tell that what it copied is one record and the one
 * that it wanted. Its words are atomics: a reader may look at a slot that is being overwritten.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define RECORD_WORDS ((sizeof(struct mhp__record) + 7U) / 8U)

union words {
	struct mhp__record record;
	uint64_t word[RECORD_WORDS];
};

static struct {
	_Atomic uint64_t last;         /* number of the last event that is complete */
	_Atomic uint32_t bell;         /* changes with every event: what the thread sleeps on */
	_Atomic uint32_t sleepers;
	struct {
		_Atomic uint64_t seq;  /* 0 while it is written */
		_Atomic uint64_t word[RECORD_WORDS];
	} slot[MHP__EVENTS];
} ring;

_Static_assert((MHP__EVENTS & (MHP__EVENTS - 1)) == 0, "slots are found by a mask");
_Static_assert(sizeof(ring.bell) == 4, "a futex has 32 bits");

void
mhp__events_put(const struct mhp__record *record)
{
	uint64_t seq = record->event.seq;
	unsigned slot = seq % MHP__EVENTS;
	union words words;

	memset(&words, 0, sizeof(words));
	words.record = *record;
	atomic_store_explicit(&ring.slot[slot].seq, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (unsigned i = 0; i < RECORD_WORDS; i++)
		atomic_store_explicit(&ring.slot[slot].word[i], words.word[i],
				      memory_order_relaxed);
	atomic_store_explicit(&ring.slot[slot].seq, seq, memory_order_release);
	atomic_store(&ring.last, seq);
}

uint64_t
mhp__events_last(void)
{
	return atomic_load(&ring.last);
}

uint64_t
mhp__events_oldest(void)
{
	uint64_t last = mhp__events_last();
	return last < MHP__EVENTS ? 1 : last - MHP__EVENTS + 1;
}

bool
mhp__events_read(uint64_t seq, struct mhp__record *ret_record)
{
	union words words;
	unsigned slot = seq % MHP__EVENTS;

	if (atomic_load_explicit(&ring.slot[slot].seq, memory_order_acquire) != seq)
		return false;
	for (unsigned i = 0; i < RECORD_WORDS; i++)
		words.word[i] =
			atomic_load_explicit(&ring.slot[slot].word[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&ring.slot[slot].seq, memory_order_relaxed) != seq)
		return false;
	*ret_record = words.record;
	return true;
}

uint32_t
mhp__events_bell(void)
{
	return atomic_load(&ring.bell);
}

void
mhp__events_ring(void)
{
	atomic_fetch_add(&ring.bell, 1);
	if (atomic_load(&ring.sleepers) != 0)
		syscall(SYS_futex, &ring.bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void
mhp__events_wait(uint32_t bell, unsigned timeout_ms)
{
	struct timespec bound = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };

	atomic_fetch_add(&ring.sleepers, 1);
	syscall(SYS_futex, &ring.bell, FUTEX_WAIT_PRIVATE, bell, timeout_ms != 0 ? &bound : NULL,
		NULL, 0);
	atomic_fetch_sub(&ring.sleepers, 1);
}
