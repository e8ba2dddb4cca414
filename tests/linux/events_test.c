/* SPDX-License-Identifier: MIT */
/*
 * events_test.c - the ring of events under a writer that never waits (R50).
 *
 * Each record repeats its number everywhere. The readers ask for those that are about to be
 * overwritten; what they get is one record, the one they asked for, or nothing.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "events.h"
#include "test.h"

#define RECORDS UINT64_C(400000)
#define READERS 2U

static atomic_bool done;
static _Atomic uint64_t nr_read, nr_torn;

static struct mhp__record
record_of(uint64_t seq)
{
	struct mhp__record record = { .event = { .seq = seq, .time_ns = seq, .pfn = seq,
						 .pages = seq } };
	for (unsigned i = 0; i + 1 < sizeof(record.text); i++)
		record.text[i] = (char)('a' + seq % 26);
	return record;
}

static bool
is_torn(const struct mhp__record *record, uint64_t seq)
{
	if (record->event.seq != seq || record->event.time_ns != seq || record->event.pfn != seq ||
	    record->event.pages != seq)
		return true;
	for (unsigned i = 0; i + 1 < sizeof(record->text); i++)
		if (record->text[i] != (char)('a' + seq % 26))
			return true;
	return false;
}

static void *
read_all(void *arg)
{
	struct mhp__record record;
	(void)arg;
	while (!atomic_load(&done)) {
		uint64_t seq = mhp__events_oldest();
		if (!mhp__events_read(seq, &record))
			continue;
		atomic_fetch_add(&nr_read, 1);
		atomic_fetch_add(&nr_torn, is_torn(&record, seq));
	}
	return NULL;
}

TEST(events__ring_goes_round__no_reader_gets_a_torn_record)
{
	pthread_t reader[READERS];
	for (unsigned i = 0; i < READERS; i++)
		CHECK_OK(pthread_create(&reader[i], NULL, read_all, NULL));
	for (uint64_t seq = 1; seq <= RECORDS || atomic_load(&nr_read) < 1000; seq++) {
		struct mhp__record record = record_of(seq);
		mhp__events_put(&record);
	}
	atomic_store(&done, true);
	for (unsigned i = 0; i < READERS; i++)
		CHECK_OK(pthread_join(reader[i], NULL));
	CHECK_EQ(atomic_load(&nr_torn), 0);
}
