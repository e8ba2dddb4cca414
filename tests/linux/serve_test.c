/* SPDX-License-Identifier: MIT */
/*
 * serve_test.c - a library user's pool is served, and is not any more (R52, R56).
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
#include <stdatomic.h>
#include <stdlib.h>
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
	}
	CHECK_NE(command("list"), 0);
	CHECK_OK(mhp_pool_destroy(pool));
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
