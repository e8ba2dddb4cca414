/* SPDX-License-Identifier: MIT */
/*
 * worker.c - an ordinary program that keeps its heap busy and checks all that is in it.
 *
 * Threads allocate, fill, verify and free pieces of all sizes, each in slots of its own; the first
 * thread forks now and then, and the child looks at its slots, spoils them, and ends. So a value
 * that is lost, stale, or shared with a child is noticed. No word of memplug in here: it runs under
 * `memplug run` in the guest (guest_init.sh).
 *
 * usage: worker MEGABYTES. It prints "ready" once it holds about that much, and goes on until
 * SIGTERM; then it reads everything once more, says what it did, and exits with 0 if nothing was
 * wrong.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_THREADS 3U
#define WORDS_MIN 8U
#define WORDS_MAX 16384U
#define FORK_EVERY 1000U

/* What a piece holds is kept outside of malloc: it is not lost together with the piece. */
struct slot {
	uint64_t *words;
	uint64_t nr_words, tag;
};

static struct slot *slots;
static unsigned nr_slots;              /* of each thread */
static _Atomic bool stop;
static _Atomic uint64_t ops, forks, wrong;
static _Atomic unsigned nr_ready;

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void
fill(struct slot *slot, uint64_t tag)
{
	slot->tag = tag;
	for (uint64_t i = 0; i < slot->nr_words; i++)
		slot->words[i] = tag + i;
}

static uint64_t
verify(const struct slot *slot)
{
	for (uint64_t i = 0; i < slot->nr_words; i++)
		if (slot->words[i] != slot->tag + i)
			return 1;
	return 0;
}

static void
replace(struct slot *slot, uint64_t *seed)
{
	uint64_t nr_words = WORDS_MIN + next_random(seed) % (WORDS_MAX - WORDS_MIN);
	uint64_t *words = malloc(nr_words * sizeof(*words));
	if (words == NULL)
		return; /* the heap is full: keep what there is */
	free(slot->words);
	slot->words = words;
	slot->nr_words = nr_words;
	fill(slot, next_random(seed));
}

/* In the child: a copy of the thread's slots, which the parent must not see change. */
static int
be_child(struct slot *own)
{
	uint64_t bad = 0;
	for (unsigned i = 0; i < nr_slots; i++)
		bad += verify(&own[i]);
	for (unsigned i = 0; i < nr_slots; i++)
		fill(&own[i], 1);
	return bad != 0;
}

static void
fork_once(struct slot *own)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(be_child(own));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_add(&forks, 1);
}

static void *
work(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct slot *own = slots + me * nr_slots;
	uint64_t seed = 4711 + me;
	for (unsigned i = 0; i < nr_slots; i++)
		replace(&own[i], &seed);
	if (me == 0)
		fork_once(own); /* however soon it is told to stop */
	atomic_fetch_add(&nr_ready, 1);
	for (uint64_t turn = 1; !atomic_load(&stop); turn++) {
		struct slot *slot = &own[next_random(&seed) % nr_slots];
		atomic_fetch_add(&wrong, verify(slot));
		if (next_random(&seed) % 4 == 0)
			replace(slot, &seed);
		else
			fill(slot, next_random(&seed));
		atomic_fetch_add(&ops, 1);
		if (me == 0 && turn % FORK_EVERY == 0)
			fork_once(own);
	}
	for (unsigned i = 0; i < nr_slots; i++)
		atomic_fetch_add(&wrong, verify(&own[i]));
	return NULL;
}

static void
on_term(int signal_number)
{
	(void)signal_number;
	atomic_store(&stop, true);
}

int
main(int argc, char **argv)
{
	uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 16) << 20;
	struct sigaction action = { .sa_handler = on_term };
	pthread_t thread[NR_THREADS];

	nr_slots = (unsigned)(bytes / (WORDS_MAX * sizeof(uint64_t) / 2) / NR_THREADS) + 1;
	slots = mmap(NULL, NR_THREADS * nr_slots * sizeof(*slots), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (slots == MAP_FAILED)
		return 1;
	sigaction(SIGTERM, &action, NULL);
	for (unsigned i = 0; i < NR_THREADS; i++)
		if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 1;
	while (atomic_load(&nr_ready) < NR_THREADS && !atomic_load(&stop))
		usleep(10000);
	puts("ready");
	fflush(stdout);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(thread[i], NULL);
	printf("%" PRIu64 " operations, %" PRIu64 " forks, %" PRIu64 " wrong\n", atomic_load(&ops),
	       atomic_load(&forks), atomic_load(&wrong));
	return atomic_load(&wrong) != 0;
}
