/* SPDX-License-Identifier: MIT */
/*
 * kv.c - a key-value store under load, which checks every value: what `make run` runs in a pool.
 *
 * An ordinary program: malloc, pthreads, no word of memplug. Threads read and replace values of
 * random keys; what a value must be follows from its key and version, and the versions are kept
 * outside of malloc, so a value that went missing, went stale or was damaged is always noticed.
 *
 * usage: kv KEYS THREADS. Each tenth of a second a line on standard output: the time in ms, the
 * operations since the line before, the longest of them in us, values lost so far. SIGTERM ends the
 * load; then every key is read once more. The exit status is 0 if nothing was lost.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define NR_SHARDS 256U
#define NR_BUCKETS 4096U        /* a shard */
#define NR_THREADS_MAX 64U
#define NR_WORDS_MIN 8U
#define NR_WORDS_RANGE 250U

struct item {
	struct item *next;
	uint64_t key, version;
	size_t nr_words;
	uint64_t word[];
};

struct shard {
	pthread_mutex_t mutex;
	struct item **bucket;
};

/* Counters of one thread, on a cache line of its own; the reporter takes longest_ns away. */
struct counts {
	_Alignas(64) _Atomic uint64_t ops, longest_ns, lost;
};

static struct shard shards[NR_SHARDS];
static struct counts counts[NR_THREADS_MAX];
static uint64_t *versions;      /* by key; under the lock of the key's shard */
static uint64_t nr_keys;
static _Atomic bool stop;

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 31) * UINT64_C(0x7fb5d329728ea185);
	x = (x ^ x >> 27) * UINT64_C(0x81dadef4bc2dd44d);
	return x ^ x >> 33;
}

static uint64_t
now_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct shard *
shard_of(uint64_t key)
{
	return &shards[mix(key) % NR_SHARDS];
}

static struct item **
find(struct shard *shard, uint64_t key)
{
	struct item **at = &shard->bucket[mix(key) / NR_SHARDS % NR_BUCKETS];
	while (*at != NULL && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static size_t
size_of(uint64_t key, uint64_t version)
{
	return NR_WORDS_MIN + mix(key ^ version << 40) % NR_WORDS_RANGE;
}

static struct item *
make_item(uint64_t key, uint64_t version)
{
	size_t nr_words = size_of(key, version);
	struct item *item = malloc(sizeof(*item) + nr_words * sizeof(item->word[0]));
	if (item == NULL) {
		fprintf(stderr, "kv: no memory\n");
		exit(1);
	}
	*item = (struct item){ .key = key, .version = version, .nr_words = nr_words };
	for (size_t i = 0; i < nr_words; i++)
		item->word[i] = mix(key + version * nr_keys + i);
	return item;
}

/* 1 if the value of a key is not what was stored last. */
static unsigned
lost(uint64_t key)
{
	struct shard *shard = shard_of(key);
	pthread_mutex_lock(&shard->mutex);
	uint64_t version = versions[key];
	const struct item *item = *find(shard, key);
	bool good = item != NULL && item->version == version &&
		    item->nr_words == size_of(key, version);
	for (size_t i = 0; good && i < item->nr_words; i++)
		good = item->word[i] == mix(key + version * nr_keys + i);
	pthread_mutex_unlock(&shard->mutex);
	return !good;
}

static void
replace(uint64_t key)
{
	struct shard *shard = shard_of(key);
	pthread_mutex_lock(&shard->mutex);
	struct item **at = find(shard, key), *old = *at;
	struct item *item = make_item(key, ++versions[key]);
	if (old != NULL)
		item->next = old->next;
	*at = item;
	pthread_mutex_unlock(&shard->mutex);
	free(old);
}

static void *
work(void *arg)
{
	struct counts *mine = arg;
	uint64_t random = (uint64_t)(mine - counts) + 1, before = now_ns(CLOCK_MONOTONIC);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		random = mix(random + UINT64_C(0x9e3779b97f4a7c15));
		if (random % 4 == 0)
			replace(random / 4 % nr_keys);
		else
			atomic_fetch_add(&mine->lost, lost(random / 4 % nr_keys));
		uint64_t now = now_ns(CLOCK_MONOTONIC);
		if (now - before > atomic_load_explicit(&mine->longest_ns, memory_order_relaxed))
			atomic_store_explicit(&mine->longest_ns, now - before,
					      memory_order_relaxed);
		before = now;
		atomic_fetch_add_explicit(&mine->ops, 1, memory_order_relaxed);
	}
	return NULL;
}

static uint64_t
sum_lost(void)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < NR_THREADS_MAX; i++)
		sum += atomic_load(&counts[i].lost);
	return sum;
}

static void
report(void)
{
	static uint64_t ops_before;
	uint64_t ops = 0, longest = 0;
	for (unsigned i = 0; i < NR_THREADS_MAX; i++) {
		uint64_t ns = atomic_exchange(&counts[i].longest_ns, 0);
		longest = ns > longest ? ns : longest;
		ops += atomic_load(&counts[i].ops);
	}
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	       now_ns(CLOCK_REALTIME) / 1000000, ops - ops_before, longest / 1000, sum_lost());
	ops_before = ops;
}

static void
end(int signal)
{
	(void)signal;
	atomic_store(&stop, true);
}

static void
set_up(void)
{
	versions = mmap(NULL, nr_keys * sizeof(*versions), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (versions == MAP_FAILED)
		exit(1);
	for (unsigned i = 0; i < NR_SHARDS; i++) {
		pthread_mutex_init(&shards[i].mutex, NULL);
		shards[i].bucket = calloc(NR_BUCKETS, sizeof(struct item *));
		if (shards[i].bucket == NULL)
			exit(1);
	}
	for (uint64_t key = 0; key < nr_keys; key++)
		replace(key);
	signal(SIGTERM, end);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

int
main(int argc, char **argv)
{
	const struct timespec tenth = { 0, 100000000 };
	pthread_t thread[NR_THREADS_MAX];
	nr_keys = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
	unsigned long nr_threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	if (nr_keys == 0 || nr_threads == 0 || nr_threads > NR_THREADS_MAX)
		return fprintf(stderr, "usage: kv KEYS THREADS\n"), 2;
	set_up();
	for (unsigned long i = 0; i < nr_threads; i++)
		if (pthread_create(&thread[i], NULL, work, &counts[i]) != 0)
			return 1;
	while (!atomic_load(&stop)) {
		nanosleep(&tenth, NULL);
		report();
	}
	for (unsigned long i = 0; i < nr_threads; i++)
		pthread_join(thread[i], NULL);
	uint64_t nr_lost = sum_lost();
	for (uint64_t key = 0; key < nr_keys; key++)
		nr_lost += lost(key);
	report();
	printf("read all %" PRIu64 " keys: %" PRIu64 " lost\n", nr_keys, nr_lost);
	return nr_lost == 0 ? 0 : 1;
}
