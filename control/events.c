/* SPDX-License-Identifier: MIT */
/*
 * events.c - the ring of events, and the callback of the engine that fills it.
 *
 * The callback runs under the hotplug lock, on any thread, perhaps inside of malloc: it copies,
 * counts, and at most wakes one sleeper; it never waits. A slot is written between two changes of
 * its number, so that a reader can tell that what it copied is one record and the one that it
 * wanted. Its words are atomics: a reader may look at a slot that is being overwritten.
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

static void
store(const union words *from)
{
	uint64_t seq = from->record.event.seq;
	unsigned slot = seq % MHP__EVENTS;

	atomic_store_explicit(&ring.slot[slot].seq, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (unsigned i = 0; i < RECORD_WORDS; i++)
		atomic_store_explicit(&ring.slot[slot].word[i], from->word[i],
				      memory_order_relaxed);
	atomic_store_explicit(&ring.slot[slot].seq, seq, memory_order_release);
	atomic_store(&ring.last, seq);
}

/* The engine is known from the first event on, before the pool is: it is the only one. */
void
mhp_control_trace(void *trace_ctx, const struct mhp_event *event)
{
	struct mhp *m = mhp__control.m;
	union words words = { .record.event = *event };
	(void)trace_ctx;

	words.record.event.text = NULL;
	if (event->text != NULL)
		memcpy(words.record.text, event->text, strnlen(event->text, MHP_WHY_TEXT - 1));
	if (m != NULL && event->pfn != MHP_PFN_NONE && event->cause != MHP_CAUSE_NONE) {
		const char *owner = mhp_owner_name(m, event->owner);
		memcpy(words.record.owner, owner, strnlen(owner, MHP_OWNER_NAME_MAX));
	}
	if (m != NULL && event->kind == MHP_EV_POLICY) {
		mhp_get_policy(m, &words.record.policy);
		words.record.memmap_switch = (uint8_t)mhp_get_memmap_on_memory(m);
		words.record.has_policy = true;
	}
	store(&words);
	mhp__metrics_count(event);
	mhp__events_ring();
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
