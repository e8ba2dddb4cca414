/* SPDX-License-Identifier: MIT */
/*
 * serve_test.c - a library user's pool is served, and is not any more (R52, R56, R59).
 *
 * The command is a process of its own, as always. malloc is ours here: what runs in the companion
 * must not call it, as the program may hold any lock of it. Beside a sanitizer, which has a malloc
 * of its own, sanitized.c watches over that.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <memplug/companion.h>
#include <memplug/control.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static _Atomic unsigned nr_there;      /* calls of malloc in the companion */
static char name[32];

#ifndef SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void __libc_free(void *memory);

static void
count(void)
{
	if (mhp_companion_here())
		atomic_fetch_add(&nr_there, 1);
}

void *
malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *
calloc(size_t nr, size_t size)
{
	count();
	return __libc_calloc(nr, size);
}

void
free(void *memory)
{
	count();
	__libc_free(memory);
}
#endif

static int
command(const char *words)
{
	char line[512];
	snprintf(line, sizeof(line), MEMPLUG_COMMAND " -p %s %s >/dev/null 2>&1", name, words);
	int status = system(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct mhp_pool *
make_pool(void)
{
	struct mhp_pool_opts shape = {
		.max_bytes = UINT64_C(1) << 30, .block_bytes = UINT64_C(4) << 20,
		.trace = mhp_control_trace,
	};
	struct mhp_pool *pool;
	CHECK_OK(mhp_pool_create(&shape, &pool, NULL));
	return pool;
}

static void
serve(struct mhp_pool *pool)
{
	struct mhp_control_opts opts = { .name = name, .backing = { .node = -1 } };
	struct mhp_text text = { "" };
	snprintf(name, sizeof(name), "serve-test-%d", (int)getpid());
	if (mhp_control_start(pool, &opts, &text) != 0)
		FAIL("%s", text.text);
}

static unsigned
entries(const char *path)
{
	unsigned nr = 0;
	DIR *dir = opendir(path);
	CHECK(dir != NULL);
	while (readdir(dir) != NULL)
		nr++;
	closedir(dir);
	return nr;
}

TEST(serve__started_and_stopped__leaves_nothing)
{
	struct mhp_pool *pool = make_pool();
	char folder[] = "/tmp/serve-test-XXXXXX";
	CHECK(mkdtemp(folder) != NULL && setenv("MEMPLUG_RUNTIME_DIR", folder, 1) == 0);
	unsigned files = entries("/proc/self/fd");
	for (unsigned turn = 0; turn < 2; turn++) {
		CHECK_NE(command("list"), 0);
		serve(pool);
		CHECK_OK(command("list"));
		CHECK_EQ(entries("/proc/self/task"), 3U); /* with . and .. */
		CHECK_EQ(entries("/proc/self/fd"), files);
		CHECK_RET(mhp_pool_destroy(pool), MHP_EBUSY);
		CHECK_OK(mhp_control_stop());
		CHECK_RET(mhp_control_stop(), MHP_ENOENT);
		CHECK_OK(rmdir(folder)); /* no socket is left */
		CHECK_OK(mkdir(folder, 0700));
	}
	CHECK_NE(command("list"), 0);
	CHECK_OK(mhp_pool_destroy(pool));
	CHECK_OK(rmdir(folder));
	CHECK_OK(unsetenv("MEMPLUG_RUNTIME_DIR"));
}

TEST(serve__requests__do_not_call_malloc)
{
	static const char *const lines[] = {
		"list", "list --all", "list --json", "add 8M", "offline 0", "online 0", "why 0-1",
		"get policy", "get no-such", "set policy x", "check", "metrics",
		"add 4M --backing memfd", "remove 2", "remove 0-1", "resize 16M", "add 1M",
		"no-such", "resize 0", "add 4M --backing file:/no-such/file",
	};
	struct mhp_pool *pool = make_pool();
	CHECK(setlocale(LC_ALL, "C.UTF-8") != NULL); /* messages of libc are looked up then */
	serve(pool);
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)command(lines[i]);
		if (atomic_load(&nr_there) != 0)
			FAIL("'%s' calls malloc", lines[i]);
	}
	CHECK_OK(mhp_control_stop()); /* the pool keeps its blocks */
}

static void *
listen_to_events(void *arg)
{
	*(int *)arg = command("monitor");
	return NULL;
}

TEST(serve__stop_with_a_listener__lets_go_of_it)
{
	struct mhp_pool *pool = make_pool();
	pthread_t thread;
	int status = -1;
	serve(pool);
	CHECK_OK(pthread_create(&thread, NULL, listen_to_events, &status));
	CHECK_OK(command("add 4M"));
	CHECK_OK(command("remove 0"));
	CHECK_OK(mhp_control_stop());
	pthread_join(thread, NULL);
	CHECK_CMP(status, >=, 0);
	CHECK_OK(mhp_pool_destroy(pool));
}

static void *
keep_asking(void *arg)
{
	while (!atomic_load((_Atomic bool *)arg))
		(void)command("list");
	return NULL;
}

TEST(serve__stop_while_clients_ask__ends)
{
	struct mhp_pool *pool = make_pool();
	_Atomic bool stop = false;
	pthread_t thread[3];
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(pthread_create(&thread[i], NULL, keep_asking, (void *)&stop));
	for (unsigned turn = 0; turn < 20; turn++) {
		serve(pool);
		usleep(5000);
		CHECK_OK(mhp_control_stop());
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	CHECK_OK(mhp_pool_destroy(pool));
}

/* ---- what is asked for is given up while free frames are brought together (R52, R59) ---- */

#define BLOCK_PAGES 1024U

static _Atomic bool packs, stopped;
static struct mhp *engine;

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return 0;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

/* In the companion. Moves nothing, and takes for ever, unless it is told to stop. */
static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx, (void)moves, (void)nr_moves;
	atomic_store(&packs, mhp_progress(engine).work == MHP_WORK_COMPACT);
	for (unsigned ms = 0; ms < 60000 && !atomic_load(&stopped); ms++) {
		atomic_store(&stopped, mhp_must_stop(engine));
		usleep(1000);
	}
	*ret_done = 0;
	return MHP_EBUSY;
}

/* A huge page, whose frame is returned, not in block 0, which the change that packs names first;
 * and a quarter of each other one. */
static uint64_t
scatter(uint16_t owner)
{
	struct mhp_page_req req = { .owner = owner, .order = 9 };
	uint64_t huge, taken[64];
	unsigned nr = 0;
	do
		CHECK_OK(mhp_page_alloc(engine, req, &huge));
	while (huge < BLOCK_PAGES);
	req.order = 7;
	while (nr < 64 && mhp_page_alloc(engine, req, &taken[nr]) == 0)
		nr++;
	CHECK(nr > 0 && nr < 64);
	for (unsigned i = 0; i < nr; i++)
		if ((taken[i] >> 7 & 3U) != 3)
			CHECK_OK(mhp_page_free(engine, taken[i]));
	return huge;
}

/* A command that takes a block away, of which nothing else is known. */
static pid_t
start_removing(uint64_t block)
{
	char number[24];
	snprintf(number, sizeof(number), "%llu", (unsigned long long)block);
	pid_t pid = fork();
	CHECK_CMP(pid, >=, 0);
	if (pid == 0) {
		execl(MEMPLUG_COMMAND, MEMPLUG_COMMAND, "-p", name, "remove", number, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void
await(const _Atomic bool *flag)
{
	for (unsigned ms = 0; ms < 20000 && !atomic_load(flag); ms++)
		usleep(1000);
	CHECK(atomic_load(flag));
}

static void
give_up_while_packing(int number)
{
	static const struct mhp_movable_ops ops = { .isolate = isolate, .migrate = migrate,
						    .putback = putback };
	struct mhp_pool *pool = make_pool();
	uint16_t owner;
	int status;
	serve(pool);
	engine = mhp_pool_engine(pool);
	CHECK_OK(command("add 16M"));
	CHECK_OK(mhp_owner_register(engine, "stubborn", &ops, NULL, &owner));
	uint64_t pfn = scatter(owner);
	atomic_store(&packs, false);
	atomic_store(&stopped, false);
	pid_t pid = start_removing(pfn / BLOCK_PAGES);
	await(&packs);
	CHECK_OK(kill(pid, number));
	await(&stopped);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
	CHECK_OK(mhp_control_stop());
}

TEST(serve__client_is_killed_during_packing__it_ends)
{
	give_up_while_packing(SIGKILL);
}

TEST(serve__client_is_interrupted_during_packing__it_ends)
{
	give_up_while_packing(SIGINT);
}
