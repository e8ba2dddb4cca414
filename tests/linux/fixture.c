/* SPDX-License-Identifier: MIT */
/*
 * fixture.c - pools for cases, and what they are asked: see fixture.h.
 *
 * Owns nothing: a pool is the case's until fixture_end(). A check that fails leaves the case with
 * its pool as it is, companion and all; both end with the program.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

struct mhp_pool *
fixture_pool(const struct mhp_pool_opts *opts)
{
	struct mhp_text text = { "" };
	struct mhp_pool *pool = NULL;
	test_at("%s", "a pool is made");
	CHECK_OK(mhp_pool_create(opts, &pool, &text));
	test_at("%s", "");
	return pool;
}

struct mhp_region *
fixture_region(struct mhp_pool *pool, uint64_t size)
{
	struct mhp_region *region = NULL;
	CHECK_OK(mhp_region_create(pool, "test", size, &region, NULL));
	return region;
}

void
fixture_add(struct mhp_pool *pool, const char *words, uint64_t size,
	    const struct mhp_add_opts *opts)
{
	struct mhp_backing backing = { 0 };
	struct mhp_text why = { "" };
	if (words != NULL)
		CHECK_OK(mhp_backing_parse(words, &backing, &why));
	int err = mhp_pool_add(pool, words != NULL ? &backing : NULL, size, opts, NULL, &why);
	test_at("%s", why.text);
	CHECK_OK(err);
}

void
fixture_end(struct mhp_pool *pool, struct mhp_region *region)
{
	struct mhp_blocks all = { 0, mhp_get_geometry(mhp_pool_engine(pool))->nr_blocks };
	CHECK_OK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL));
	mhp_region_destroy(region);
	CHECK_OK(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL));
	CHECK_OK(mhp_pool_destroy(pool));
}

void
fixture_needs_moves(struct mhp_pool *pool)
{
	if (!mhp_pool_can_move(pool, NULL))
		test_skip("needs userfaultfd");
}

struct mhp_pool_stats
fixture_await_settled(struct mhp_pool *pool, uint64_t bytes)
{
	struct mhp_pool_stats stats = { 0 };
	mhp_pool_get_stats(pool, &stats);
	for (unsigned ms = 0; stats.settled_bytes != bytes && ms < FIXTURE_WAIT_MS; ms++) {
		usleep(1000);
		mhp_pool_get_stats(pool, &stats);
	}
	CHECK_EQ(stats.settled_bytes, bytes);
	return stats;
}

void
fixture_send(struct mhp_pool *pool, struct mhp_region *region, void *start, uint64_t size,
	     unsigned node)
{
	CHECK_AGAIN(mhp_region_move(region, start, size, node, NULL, NULL));
	if (node != 0)
		fixture_await_settled(pool, size);
}

int
fixture_ring(void *start, size_t size)
{
	enum { REGISTER_BUFFERS, PARAMETERS_BYTES = 120 };
	unsigned char parameters[PARAMETERS_BYTES] = { 0 };
	struct iovec buffer = { start, size };
	int ring = (int)syscall(SYS_io_uring_setup, 8, parameters);
	if (ring < 0)
		test_skip("needs io-uring");
	CHECK_EQ(syscall(SYS_io_uring_register, ring, REGISTER_BUFFERS, &buffer, 1), 0);
	return ring;
}

unsigned long
fixture_status_kib(const char *field)
{
	char line[256];
	unsigned long kib = 0;
	size_t length = strlen(field);
	FILE *file = fopen("/proc/self/status", "r");
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			sscanf(line + length + 1, "%lu", &kib);
	fclose(file);
	return kib;
}

void
fixture_join(pid_t child)
{
	int status = -1;
	CHECK_CMP(child, >, 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

void
fixture_write(char *base, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += 4096)
		memcpy(base + at, &at, sizeof(at));
}

void
fixture_check(const char *base, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += 4096)
		CHECK_MEM(base + at, &at, sizeof(at));
}
