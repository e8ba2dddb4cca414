/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - listeners: connections that get every event as it happens.
 *
 * A request thread reads the request, sends the first line and hands the connection over; from then
 * on one thread, which is there while there are any, serves all listeners and never waits for any
 * of them. A listener that does not read falls behind; when the ring has gone past it, it gets a
 * line with the numbers of the events that it missed. Invariant: a slot that is READY belongs to
 * the thread, any other to whoever took it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <memplug/companion.h>

#include "events.h"

#define LISTENERS_MAX 32U
/* Events that one listener gets before it is the next one's turn. */
#define TURN_EVENTS 64U
/* How far in front of the oldest event a listener goes on that has missed some: it would miss the
 * next one at once, else. */
#define HEAD_START (MHP__EVENTS / 8U)
#define RETRY_MS 20U
#define HANGUP_MS 1000U

enum { FREE, TAKEN, READY };

struct listener {
	_Atomic int state;
	int fd;
	uint64_t next;                 /* the event that it gets next */
	size_t sent;                   /* of out.text */
	struct mhp__out out;           /* the line under way; never sends by itself */
};

static struct listener listeners[LISTENERS_MAX];
static _Atomic bool is_served;         /* there is such a thread */
static _Atomic bool ending;            /* and it shall let go of all of them */

/* ---- the thread ---- */

static void
drop(struct listener *listener)
{
	close(listener->fd);
	atomic_store(&listener->state, FREE);
}

static bool
hung_up(const struct listener *listener)
{
	struct pollfd fd = { .fd = listener->fd };
	return poll(&fd, 1, 0) == 1 && (fd.revents & (POLLHUP | POLLERR)) != 0;
}

/* Write the next line into the buffer; false: there is none. */
static bool
fill(struct listener *listener)
{
	struct mhp__record record;
	uint64_t last = mhp__events_last();

	listener->sent = listener->out.used = 0;
	if (listener->next > last)
		return false;
	if (mhp__events_read(listener->next, &record)) {
		mhp__event_line(&listener->out, &record);
		listener->next++;
		return true;
	}
	uint64_t goes_on = mhp__events_oldest() + HEAD_START;
	if (goes_on > last)
		goes_on = last;
	if (goes_on <= listener->next)
		return false; /* it is being written right now */
	mhp__out(&listener->out,
		 "{\"missed\":%" PRIu64 ",\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}\n",
		 goes_on - listener->next, listener->next, goes_on - 1);
	listener->next = goes_on;
	return true;
}

/* Send what it takes. Returns how long it can wait for more: 0 when it is only the next one's
 * turn. */
static unsigned
serve_one(struct listener *listener)
{
	for (unsigned turn = 0; turn < TURN_EVENTS; turn++) {
		if (listener->sent == listener->out.used && !fill(listener)) {
			if (hung_up(listener))
				drop(listener);
			return HANGUP_MS;
		}
		ssize_t got = send(listener->fd, listener->out.text + listener->sent,
				   listener->out.used - listener->sent,
				   MSG_DONTWAIT | MSG_NOSIGNAL);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return RETRY_MS;
		if (got <= 0) {
			drop(listener);
			return HANGUP_MS;
		}
		listener->sent += (size_t)got;
	}
	return 0;
}

/* Each of them once. Returns how many there are, and how long all of them can wait for more. */
static unsigned
serve_all(unsigned *ret_wait_ms)
{
	unsigned nr = 0;
	*ret_wait_ms = HANGUP_MS;
	for (unsigned i = 0; i < LISTENERS_MAX; i++) {
		if (atomic_load(&listeners[i].state) != READY)
			continue;
		unsigned wait_ms = serve_one(&listeners[i]);
		*ret_wait_ms = wait_ms < *ret_wait_ms ? wait_ms : *ret_wait_ms;
		nr++;
	}
	return nr;
}

static void
serve(void *arg)
{
	unsigned wait_ms;
	(void)arg;
	for (;;) {
		uint32_t bell = mhp__events_bell();
		if (atomic_load(&ending))
			for (unsigned i = 0; i < LISTENERS_MAX; i++)
				if (atomic_load(&listeners[i].state) == READY)
					drop(&listeners[i]);
		if (serve_all(&wait_ms) != 0) {
			if (wait_ms != 0)
				mhp__events_wait(bell, wait_ms);
			continue;
		}
		/* A client that has come since then sees that there is no thread, or we see the
		 * client. */
		atomic_store(&is_served, false);
		if (serve_all(&wait_ms) == 0 || atomic_exchange(&is_served, true))
			return;
	}
}

void
mhp__monitor_end(void)
{
	atomic_store(&ending, true);
	while (atomic_load(&is_served)) {
		const struct timespec pause = { 0, 1000000 };
		mhp__events_ring();
		nanosleep(&pause, NULL);
	}
}

void
mhp__monitor_drop(void)
{
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (atomic_load(&listeners[i].state) == READY)
			close(listeners[i].fd);
}

void
mhp__monitor_reset(void)
{
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		atomic_store(&listeners[i].state, FREE);
	atomic_store(&is_served, false);
	atomic_store(&ending, false);
}

/* ---- the first line ---- */

struct run {
	struct mhp_blocks blocks;
	uint8_t state, zone, node, placement, metadata_node, boot;
	uint16_t backing;
};

/* The state of the pool between two events. The arrays are as long as they can get, and cost what
 * is written to them. */
struct picture {
	struct mhp *m;
	uint64_t next;                 /* the first event that is not part of it */
	struct mhp_policy policy;
	enum mhp_memmap_switch memmap_switch;
	size_t size;                   /* of memory: runs, then bad pages */
	uint32_t nr_runs, nr_bad;
	struct run *runs;
	uint64_t *bad;
};

/* Nothing changes meanwhile. */
static void
take_picture(void *ctx, uint64_t last_seq)
{
	struct picture *picture = ctx;
	struct mhp *m = picture->m;
	const struct mhp_geometry *geo = mhp_get_geometry(m);
	uint64_t end = (uint64_t)geo->nr_blocks << geo->block_order, pfn;
	struct mhp_block_info info;
	struct mhp_blocks blocks;

	picture->next = last_seq + 1;
	mhp_get_policy(m, &picture->policy);
	picture->memmap_switch = mhp_get_memmap_on_memory(m);
	for (uint32_t cursor = 0; mhp__next_run(&cursor, &blocks, &info);)
		picture->runs[picture->nr_runs++] = (struct run){
			blocks, (uint8_t)info.state, info.zone, info.node, (uint8_t)info.placement,
			info.metadata_node, info.boot, info.backing };
	for (pfn = mhp__next_bad(0, end); pfn < end && picture->nr_bad < geo->nr_bad_pages;
	     pfn = mhp__next_bad(pfn + 1, end))
		picture->bad[picture->nr_bad++] = pfn;
}

static bool
open_picture(struct picture *picture)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);
	size_t runs_size = geo->nr_blocks * sizeof(struct run);

	*picture = (struct picture){ .m = mhp__control.m, .policy = MHP_POLICY_DEFAULT,
				     .memmap_switch = MHP_MEMMAP_ON };
	picture->size = runs_size + geo->nr_bad_pages * sizeof(uint64_t);
	void *memory = mmap(NULL, picture->size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	picture->runs = memory;
	picture->bad = (uint64_t *)(void *)((unsigned char *)memory + runs_size);
	return true;
}

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void
out_pool(struct mhp__out *out, uint64_t next)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);

	mhp__out(out, "{\"memplug\":1,\"pid\":%d", mhp__control.pid);
	mhp__out_string(out, ",", "name", mhp__control.name);
	mhp__out(out, ",\"next\":%" PRIu64 ",\"time_ns\":%" PRIu64 ",\"real_ns\":%" PRIu64
		 ",\"block_size_bytes\":%" PRIu64 ",\"blocks_present\":%u", next,
		 clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_REALTIME), mhp__block_bytes(),
		 mhp__metrics_blocks());
	mhp__out(out, ",\"geometry\":{\"page_shift\":%u,\"pageblock_order\":%u,"
		 "\"section_order\":%u,\"block_order\":%u,\"nr_nodes\":%u,\"nr_cpus\":%u,"
		 "\"nr_blocks\":%u,\"nr_bad_pages\":%u}", geo->page_shift, geo->pageblock_order,
		 geo->section_order, geo->block_order, geo->nr_nodes, geo->nr_cpus,
		 (unsigned)geo->nr_blocks, (unsigned)geo->nr_bad_pages);
}

static void
out_run(struct mhp__out *out, const struct run *run, const char *comma)
{
	mhp__out(out, "%s{\"first\":%u,\"count\":%u,\"state\":\"%s\",\"zone\":\"%s\",\"node\":%u,"
		 "\"memmap\":\"%s\",\"metadata_node\":%u,\"boot\":%s,\"backing\":%u}", comma,
		 run->blocks.first, run->blocks.count,
		 mhp__state_name((enum mhp_block_state)run->state), mhp__event_zone(run->zone),
		 run->node, mhp__event_places[run->placement % 3], run->metadata_node,
		 run->boot ? "true" : "false", run->backing);
}

static void
out_picture(struct mhp__out *out, const struct picture *picture)
{
	mhp__out(out, ",");
	mhp__event_policy(out, &picture->policy, picture->memmap_switch);
	mhp__out(out, ",\"bad_pages\":[");
	for (uint32_t i = 0; i < picture->nr_bad; i++)
		mhp__out(out, "%s%" PRIu64, i == 0 ? "" : ",", picture->bad[i]);
	mhp__out(out, "],\"ranges\":[");
	for (uint32_t i = 0; i < picture->nr_runs && !out->broken; i++)
		out_run(out, &picture->runs[i], i == 0 ? "" : ",");
	mhp__out(out, "]");
}

/* The first line with everything that was there. Sets the number of the first event unless that is
 * 1: then there was nothing. */
static bool
first_line(struct mhp__out *out, uint64_t *next)
{
	struct picture picture;
	if (!open_picture(&picture)) {
		mhp__out_error(out, MHP_ENOMEM, "there is no memory for a picture of the pool");
		return false;
	}
	if (*next != 1 && mhp_between_events(picture.m, take_picture, &picture) == 0)
		*next = picture.next;
	bool told = *next <= mhp__events_last() + 1;
	if (told) {
		out_pool(out, *next);
		out_picture(out, &picture);
		mhp__out(out, "}\n");
	} else {
		mhp__out_error(out, MHP_EOPNOTSUPP, "the program did not give mhp_control_trace to "
			       "mhp_pool_create()");
	}
	munmap(picture.runs, picture.size);
	return told;
}

/* ---- the request ---- */

static struct listener *
take_slot(void)
{
	for (unsigned i = 0; i < LISTENERS_MAX; i++) {
		int free_slot = FREE;
		if (atomic_compare_exchange_strong(&listeners[i].state, &free_slot, TAKEN))
			return &listeners[i];
	}
	return NULL;
}

/* From here on the connection is the thread's. */
static void
hand_over(struct listener *listener, struct mhp__out *out)
{
	listener->fd = out->fd;
	listener->sent = listener->out.used = 0;
	out->fd = -1;
	out->broken = true;
	atomic_store(&listener->state, READY);
	if (atomic_exchange(&is_served, true))
		mhp__events_ring();
	else if (mhp_companion_thread(serve, NULL) != 0) {
		atomic_store(&is_served, false);
		drop(listener);
	}
}

/* Without a number: from now on. */
void
mhp__request_monitor(struct mhp__out *out, const struct mhp__fields *fields)
{
	bool ranges = mhp__flag(fields, MHP__F_RANGES), now = !mhp__has(fields, MHP__F_SINCE);
	uint64_t last = mhp__events_last();
	uint64_t next = now ? last + 1 : mhp__number(fields, MHP__F_SINCE);

	if (next == 0 || next > last + 1) {
		mhp__out_error(out, MHP_EINVAL, "there is no event %" PRIu64 " yet; the next one "
			       "is %" PRIu64, next, last + 1);
		return;
	}
	struct listener *listener = take_slot();
	if (listener == NULL) {
		mhp__out_error(out, MHP_ENOSPC, "%u are listening already", LISTENERS_MAX);
		return;
	}
	if (ranges && (now || next == 1)) {
		if (!first_line(out, &next)) {
			atomic_store(&listener->state, FREE);
			return;
		}
	} else {
		out_pool(out, next);
		mhp__out(out, ",\"ranges\":null}\n");
	}
	mhp__out_flush(out);
	listener->next = next;
	if (out->broken)
		atomic_store(&listener->state, FREE);
	else
		hand_over(listener, out);
}
