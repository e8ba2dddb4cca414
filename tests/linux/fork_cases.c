/* SPDX-License-Identifier: MIT */
/*
 * fork_cases.c - a program that forks: what its children have, what it keeps, what that costs.
 *
 * Run by heap_test.sh under `memplug run`, with those of heap_cases.c. Costs are counted, not timed
 * (R38, R57): how often a thread goes to sleep, and its processor time beside what the same cost
 * before.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "heap_cases.h"

/* glibc locks its data of users between the last handler of fork and the first of the child. */
void
users_are_looked_up__fork__ends(void)
{
	fill();
	CHECK(getpwnam("root") != NULL);
	for (int i = 0; i < 20; i++)
		CHECK(fork_and_wait() == 0);
}

enum { KEYS = 256, THREADS = 4 };
static pthread_key_t key[KEYS];
static sem_t has_set, may_look;

static void *
keep_values(void *arg)
{
	for (uintptr_t i = 0; i < KEYS; i++)
		pthread_setspecific(key[i], (void *)(i + 1));
	sem_post(&has_set);
	sem_wait(&may_look);
	for (uintptr_t i = 0; i < KEYS; i++)
		CHECK(pthread_getspecific(key[i]) == (void *)(i + 1));
	return arg;
}

void
threads_keep_values__fork__are_as_before(void)
{
	pthread_t thread[THREADS];
	fill();
	sem_init(&has_set, 0, 0);
	sem_init(&may_look, 0, 0);
	for (int i = 0; i < KEYS; i++)
		CHECK(pthread_key_create(&key[i], NULL) == 0);
	for (int i = 0; i < THREADS; i++) {
		CHECK(pthread_create(&thread[i], NULL, keep_values, NULL) == 0);
		sem_wait(&has_set);
	}
	CHECK(fork_and_wait() == 0);
	for (int i = 0; i < THREADS; i++)
		sem_post(&may_look);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}

static FILE *shared_file;
static _Atomic int inside, overlaps;
static _Atomic unsigned long turns;
static _Atomic bool enough;

static void *
lock_and_unlock(void *arg)
{
	while (!enough) {
		flockfile(shared_file);
		overlaps += atomic_fetch_add(&inside, 1) != 0;
		for (volatile int i = 0; i < 2000; i++)
			;
		inside--;
		funlockfile(shared_file);
		turns++;
	}
	return arg;
}

void
file_is_locked__fork__has_one_holder(void)
{
	pthread_t thread[2];
	fill();
	shared_file = fopen("/dev/null", "w");
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, lock_and_unlock, NULL) == 0);
	for (int i = 0; i < 50; i++) {
		unsigned long before = turns;
		CHECK(fork_and_wait() == 0);
		while (turns == before)
			usleep(100);
	}
	enough = true;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK(overlaps == 0);
}

/* ---- children that live on ---- */

/* A child that does its work, waits for a byte or the gate's end, and looks at what it has. */
static pid_t
fork_worker(int gate[2], void (*work)(int number), void (*look)(int number), int number)
{
	char none;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child != 0)
		return child;
	close(gate[1]);
	work(number);
	CHECK(read(gate[0], &none, 1) >= 0);
	if (look != NULL)
		look(number);
	_exit(0);
}

static void
await(pid_t child)
{
	int status = -1;
	CHECK(waitpid(child, &status, 0) > 0 && status == 0);
}

static void
take_and_give(int number)
{
	for (int i = 0; i < 1000; i++) {
		size_t size = (size_t)16 << i % 14;
		unsigned char *some = malloc(size);
		CHECK(some != NULL);
		memset(some, number, size);
		CHECK(some[size - 1] == (unsigned char)number);
		free(some);
	}
}

static ucontext_t back, there;

static void
on_own_stack(void)
{
	int gate[2];
	CHECK(pipe(gate) == 0);
	pid_t child = fork_worker(gate, take_and_give, take_and_give, 1);
	take_and_give(2);
	close(gate[1]);
	await(child);
}

void
stack_is_allocated__fork_on_it__both_go_on(void)
{
	enum { STACK_BYTES = 256 << 10 };
	fill();
	CHECK(getcontext(&there) == 0);
	there.uc_stack.ss_sp = malloc(STACK_BYTES);
	there.uc_stack.ss_size = STACK_BYTES;
	there.uc_link = &back;
	makecontext(&there, on_own_stack, 0);
	CHECK(swapcontext(&back, &there) == 0);
	free(there.uc_stack.ss_sp);
}

static unsigned char *of_worker, *of_parent; /* MIB bytes each */

/* Has memory of its own; every third leaves the root and the user, if it may. */
static void
be_worker(int number)
{
	of_worker = malloc(MIB);
	CHECK(of_worker != NULL);
	memset(of_worker, number, MIB);
	if (number % 3 == 0 && geteuid() == 0)
		CHECK(chroot("/proc") == 0 && chdir("/") == 0 && setgid(65534) == 0 &&
		      setuid(65534) == 0);
	take_and_give(number);
}

static void
see_both(int number)
{
	take_and_give(number);
	for (size_t i = 0; i < MIB; i += 512)
		CHECK(of_worker[i] == number && of_parent[i] == number);
}

/* Together they have more than the pool may, and the parent rewrites what they were born with. */
void
workers_overlap__parent_rewrites__used_memory_stays(void)
{
	enum { WORKERS = 60, SLACK = 4 * MIB };
	int gate[2];
	pid_t worker[WORKERS];
	CHECK(pipe(gate) == 0);
	fill();
	of_parent = malloc(MIB);
	unsigned long long before = committed();
	for (int i = 0; i < WORKERS; i++) {
		memset(of_parent, i, MIB);
		worker[i] = fork_worker(gate, be_worker, see_both, i);
	}
	memset(of_parent, WORKERS, MIB);
	CHECK(committed() <= before + SLACK);
	close(gate[1]);
	for (int i = 0; i < WORKERS; i++)
		await(worker[i]);
}

/* ---- what it costs ---- */

/* Of one thread: processor time, and how often it went to sleep. */
struct cost {
	long long ns;
	long sleeps;
};

static struct cost
cost_since(struct cost before)
{
	struct timespec used;
	struct rusage usage;
	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
	CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
	return (struct cost){ used.tv_sec * 1000000000LL + used.tv_nsec - before.ns,
			      usage.ru_nvcsw - before.sleeps };
}

static struct cost
cost_of_fork(void)
{
	struct cost before = cost_since((struct cost){ 0, 0 });
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	struct cost cost = cost_since(before);
	CHECK(child > 0);
	await(child);
	return cost;
}

void
large_heap__is_forked_again__costs_as_at_first(void)
{
	enum { BYTES = 128 * MIB, SLACK_NS = 20000000, SLEEPS_MAX = 5 };
	unsigned char *memory = malloc(BYTES);
	memset(memory, 1, BYTES);
	struct cost first = cost_of_fork();
	memset(memory, 2, BYTES);
	struct cost again = cost_of_fork();
	CHECK(again.ns <= 4 * first.ns + SLACK_NS);
	CHECK(first.sleeps <= SLEEPS_MAX && again.sleeps <= SLEEPS_MAX);
}

/* What many new pieces cost, and writing once more to what children have a copy of. */
static struct cost
cost_of_growth(unsigned char *shared, size_t size, int pieces)
{
	enum { PIECE = 128 << 10 };
	struct cost before = cost_since((struct cost){ 0, 0 });
	memset(shared, pieces, size);
	for (int i = 0; i < pieces; i++) {
		void *volatile piece = malloc(PIECE);
		CHECK(piece != NULL);
		memset(piece, i, PIECE);
	}
	return cost_since(before);
}

static void
be_idle(int number)
{
	(void)number;
}

/* R57: if malloc, or a write, waited for children or for whoever looks after them, it would do so
 * again and again. */
void
heap_grows__children_overlap__malloc_does_not_wait(void)
{
	enum { CHILDREN = 8, PIECES = 200, SHARED = 16 * MIB, SLEEPS_MAX = CHILDREN * PIECES / 8 };
	unsigned char *shared = malloc(SHARED);
	long sleeps = 0;
	int gate[2];
	CHECK(pipe(gate) == 0);
	fill();
	for (int i = 0; i < CHILDREN; i++) {
		fork_worker(gate, be_idle, NULL, i);
		sleeps += cost_of_growth(shared, SHARED, PIECES).sleeps;
	}
	close(gate[1]);
	for (int i = 0; i < CHILDREN; i++)
		await(-1);
	CHECK(sleeps < SLEEPS_MAX);
}
