/* SPDX-License-Identifier: MIT */
/*
 * linux_fork.c - fork of a process with 1 GiB of heap in regions, beside one with ordinary memory.
 *
 * Both are measured in processes of their own, started by turns, so that neither pays for the
 * other's mappings. The child ends at once; the times are that of fork() in the parent and that
 * until the child was waited for. Writes: the parent stores to every page while a child lives.
 */
#define _GNU_SOURCE
#include "linux.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 7U
#define FORKS 5U
#define HEAP (UINT64_C(1) << 30)

struct times {
	double fork_ms, wait_ms;
};

static struct times
fork_once(void)
{
	uint64_t start = bench_now_ns();
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	uint64_t forked = bench_now_ns();
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		bench_die("fork");
	uint64_t ended = bench_now_ns();
	return (struct times){ (double)(forked - start) / 1e6, (double)(ended - start) / 1e6 };
}

static void *
heap(bool pool_backed)
{
	struct mhp_region *region;

	if (!pool_backed)
		return mmap(NULL, HEAP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	struct mhp_pool *pool = bench_pool(2 * HEAP);
	bench_add(pool, HEAP + BENCH_BLOCK, MHP_BACKING_RAM);
	bench_must(mhp_region_create(pool, "heap", HEAP, &region, NULL), "region", NULL);
	bench_must(mhp_region_commit(region, mhp_region_base(region), HEAP), "commit", NULL);
	return mhp_region_base(region);
}

/* In a process of its own: the medians of some forks, through the pipe. */
static void
measure(bool pool_backed, int fd)
{
	double fork_ms[FORKS], wait_ms[FORKS];
	void *memory = heap(pool_backed);

	if (memory == MAP_FAILED)
		bench_die("mmap");
	memset(memory, 1, HEAP);
	for (unsigned i = 0; i < FORKS; i++) {
		struct times times = fork_once();
		fork_ms[i] = times.fork_ms;
		wait_ms[i] = times.wait_ms;
		usleep(50000); /* the pool notices that the child is gone */
	}
	struct times times = { bench_share(fork_ms, FORKS, .5), bench_share(wait_ms, FORKS, .5) };
	if (write(fd, &times, sizeof(times)) != sizeof(times))
		bench_die("write");
}

static struct times
run(bool pool_backed)
{
	struct times times;
	int fds[2];

	if (pipe(fds) != 0)
		bench_die("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		measure(pool_backed, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	if (pid < 0 || read(fds[0], &times, sizeof(times)) != sizeof(times))
		bench_die("fork");
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return times;
}

void
bench_fork(void)
{
	double fork_ms[2][ROUNDS], wait_ms[2][ROUNDS], a[2], b[2];

	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned who = 0; who < 2; who++) {
			struct times times = run(who == 1);
			fork_ms[who][round] = times.fork_ms;
			wait_ms[who][round] = times.wait_ms;
		}
	for (unsigned who = 0; who < 2; who++) {
		a[who] = bench_share(fork_ms[who], ROUNDS, .5);
		b[who] = bench_share(wait_ms[who], ROUNDS, .5);
	}
	printf("\nfork with 1 GiB of touched heap: ms in a pool, ms plain, ratio; median of %u\n"
	       "%-34s %8.1f %10.1f %10.2f\n%-34s %8.1f %10.1f %10.2f\n", ROUNDS, "fork()", a[1],
	       a[0], a[1] / a[0], "fork(), child ends, wait", b[1], b[0], b[1] / b[0]);
}
