/* SPDX-License-Identifier: MIT */
/*
 * events_test.c - the ring of events under a writer that never waits, and what is told of them
 * (R50).
 *
 * Each record repeats its number everywhere. The readers ask for those that are about to be
 * overwritten; what they get is one record, the one they asked for, or nothing.
 */
#include <memplug/control.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* ---- what is told ---- */

/* What the pool that is served answers to `metrics`. */
static void
ask_metrics(char *text, size_t size)
{
	static struct mhp__out out;
	int fds[2];
	size_t used = 0;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	out = (struct mhp__out){ .fd = fds[0] };
	mhp__request_metrics(&out, NULL);
	mhp__out_flush(&out);
	close(fds[0]);
	for (ssize_t got = 1; got > 0 && used + 1 < size; used += got > 0 ? (size_t)got : 0)
		got = read(fds[1], text + used, size - 1 - used);
	text[used] = 0;
	close(fds[1]);
}

TEST(metrics__took_as_long_as_a_bound__is_in_the_bucket_below_it)
{
	static const uint64_t took_ns[] = { 1,    1000, 1001, 2000,
					    2001, 4000, 4001, UINT64_MAX / 16 };
	struct mhp_pool_opts shape = { .max_bytes = UINT64_C(1) << 30,
				       .block_bytes = UINT64_C(4) << 20,
				       .trace = mhp_control_trace };
	struct mhp_control_opts opts = { .name = "events-test", .backing = { .node = -1 } };
	static char text[1 << 16];
	struct mhp_pool *pool;
	CHECK_OK(mhp_pool_create(&shape, &pool, NULL));
	CHECK_OK(mhp_control_start(pool, &opts, NULL));
	for (unsigned i = 0; i < sizeof(took_ns) / sizeof(took_ns[0]); i++) {
		struct mhp_event event = { .kind = MHP_EV_COMPACT, .took_ns = took_ns[i] };
		mhp__metrics_count(&event);
	}
	ask_metrics(text, sizeof(text));
	const char *found = strstr(text, "\"operation\":\"compact\",\"result\":\"done\"");
	CHECK(found != NULL);
	found = strstr(found, "\"buckets\":[");
	CHECK(found != NULL);
	CHECK_OK(strncmp(found, "\"buckets\":[2,2,2,1,0,", 21));
	CHECK_OK(strncmp(strchr(found, ']') - 2, ",1]", 3));
	CHECK_OK(mhp_control_stop());
	CHECK_OK(mhp_pool_destroy(pool));
}

TEST(out_string__of_any_bytes__is_json)
{
	struct mhp__out out = { .fd = -1 };
	mhp__out_string(&out, "{", "na", "a\"b\\c\n\x7f\xc3\xa9\xff\xc0\x80");
	out.text[out.used] = 0;
	CHECK_OK(strcmp(out.text, "{\"na\":\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa9\\u00ff"
				  "\\u00c0\\u0080\""));
}
