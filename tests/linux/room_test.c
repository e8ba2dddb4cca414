/* SPDX-License-Identifier: MIT */
/*
 * room_test.c - forks from anywhere, and moves where ordinary memory is short.
 *
 * Each case runs in a process of its own, since it changes limits, users and namespaces. Cases that
 * fork do so twice: with all memory ordinary, and with all of it on a device (a memfd stands in for
 * one). The last line on standard error of a run that skips says what is missing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <memplug/linux.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "../online.h"

#define PAGE 4096UL
#define BLOCK (4UL << 20)
#define CHECKED (BLOCK / PAGE - 64) /* pages; the rest may be a stack */
#define SKIPPED 77

static const char *case_name;
static struct mhp_pool *pool;
static struct mhp_region *region;
static unsigned char *data;            /* BLOCK bytes of the region */

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s: line %d: %s\nreplay: room_test %s\n", case_name,      \
				__LINE__, #cond, case_name);                                       \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static unsigned char
byte_of(uint64_t page)
{
	return (unsigned char)(page % 250 + 1);
}

static void
check_data(void)
{
	for (uint64_t page = 0; page < CHECKED; page++)
		CHECK(data[page * PAGE + page] == byte_of(page));
}

static uint64_t
settled(void)
{
	struct mhp_pool_stats stats;
	mhp_pool_get_stats(pool, &stats);
	return stats.settled_bytes;
}

static void
await_settled(void)
{
	for (unsigned ms = 0; settled() != BLOCK && ms < 20000; ms++)
		usleep(1000);
	CHECK(settled() == BLOCK);
}

static void
add(enum mhp_backing_kind kind, uint64_t blocks)
{
	struct mhp_backing backing = { .kind = kind };
	CHECK(mhp_pool_add(pool, &backing, blocks * BLOCK, NULL, NULL, NULL) == 0);
}

/* Three blocks of `ram`, and four of a device where all data is then. */
static void
build(bool device)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	struct mhp_blocks ram = { 0, 3 };
	struct mhp_text text = { "" };
	CHECK(mhp_pool_create(&opts, &pool, NULL) == 0);
	add(MHP_BACKING_RAM, 3);
	CHECK(mhp_region_create(pool, "room", BLOCK, &region, NULL) == 0);
	data = mhp_region_base(region);
	CHECK(mhp_region_commit(region, data, BLOCK) == 0);
	for (uint64_t page = 0; page < BLOCK / PAGE; page++)
		data[page * PAGE + page] = byte_of(page);
	if (!device)
		return;
	if (!mhp_pool_can_move(pool, &text)) {
		fprintf(stderr, "room_test: skipped: %s\n", text.text);
		_exit(SKIPPED);
	}
	add(MHP_BACKING_MEMFD, 4);
	CHECK(mhp_offline(mhp_pool_engine(pool), &ram, 1, NULL, NULL) == 0);
	CHECK(test_online(mhp_pool_engine(pool), ram, MHP_ZONE_MOVABLE, NULL) == 0);
	await_settled();
}

/* ---- forks from anywhere (R38) ---- */

static bool device;                    /* what the cases below run on */

static void
be_child(void)
{
	struct mhp_blocks blocks = { 0, 1 };
	struct mhp *m = mhp_pool_engine(pool);
	check_data();
	memset(data, 9, CHECKED * PAGE);
	CHECK(mhp_offline(m, &blocks, 1, NULL, NULL) == 0);
	CHECK(mhp_check(m, true, NULL, NULL) == 0);
	_exit(0);
}

/* Nothing here but what a signal handler may call. */
static void
fork_once(void)
{
	int status = -1;
	pid_t pid = mhp_fork();
	if (pid == 0)
		be_child();
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	check_data();
}

static void
fork__twice__each_child_has_its_own(void)
{
	build(device);
	fork_once();
	if (device)
		await_settled();
	fork_once();
}

static ucontext_t back, there;

static void
fork__on_a_stack_of_the_region__both_go_on(void)
{
	build(device);
	CHECK(getcontext(&there) == 0);
	there.uc_stack.ss_sp = data + CHECKED * PAGE;
	there.uc_stack.ss_size = BLOCK - CHECKED * PAGE;
	there.uc_link = &back;
	makecontext(&there, fork_once, 0);
	CHECK(swapcontext(&back, &there) == 0);
}

static void
on_signal(int number)
{
	(void)number;
	fork_once();
}

static void
fork__in_a_signal_handler__on_its_own_stack(void)
{
	static unsigned char stack[256 << 10];
	stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	build(device);
	CHECK(sigaltstack(&other, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(raise(SIGUSR1) == 0);
}

static void *
fork_thread(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 4; i++)
		fork_once();
	return NULL;
}

static void
fork__from_many_threads__each_child_has_its_own(void)
{
	pthread_t thread[6];
	build(device);
	for (unsigned i = 0; i < 6; i++)
		CHECK(pthread_create(&thread[i], NULL, fork_thread, NULL) == 0);
	for (unsigned i = 0; i < 6; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}

static void
fork__after_chroot_and_setuid__as_before(void)
{
	build(device);
	if (chroot("/proc") != 0 || chdir("/") != 0 || setgid(65534) != 0 || setuid(65534) != 0)
		_exit(SKIPPED);
	fork_once();
	if (device)
		await_settled();
	fork_once();
}

static void
fork__into_a_new_pid_namespace__as_before(void)
{
	build(device);
	if (unshare(CLONE_NEWPID) != 0)
		_exit(SKIPPED);
	fork_once();
}

static void
fork__no_descriptor_left__as_before(void)
{
	struct rlimit few = { 8, 8 };
	build(device);
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	while (open("/dev/null", O_RDONLY) >= 0)
		;
	CHECK(errno == EMFILE);
	fork_once();
	if (device)
		await_settled();
	fork_once();
}

/* The child goes on with the change of which its listener was told, in its own pool. */
static int
fork_in_listener(void *ctx, const struct mhp_notice *notice)
{
	bool *child = ctx;
	int status = -1;
	if (notice->kind != MHP_GOING_OFFLINE_NOTICE || *child)
		return 0;
	pid_t pid = mhp_fork();
	*child = pid == 0;
	if (pid != 0)
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static void
fork__in_a_listener__both_go_on_with_the_change(void)
{
	struct mhp_blocks blocks = { 0, 1 };
	bool child = false;
	uint16_t id;
	build(device);
	struct mhp *m = mhp_pool_engine(pool);
	CHECK(mhp_listener_add(m, fork_in_listener, &child, 0, &id) == 0);
	CHECK(mhp_offline(m, &blocks, 1, NULL, NULL) == 0);
	check_data();
	CHECK(mhp_check(m, true, NULL, NULL) == 0);
	if (child)
		_exit(0);
	CHECK(test_online(m, blocks, MHP_ZONE_MOVABLE, NULL) == 0);
}

/* ---- short of memory (R58) ---- */

static uint64_t
status_bytes(const char *word)
{
	char line[256];
	uint64_t kb = 0;
	FILE *file = fopen("/proc/self/status", "r");
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, word, strlen(word)) == 0)
			kb = strtoull(line + strlen(word), NULL, 10);
	fclose(file);
	CHECK(kb != 0);
	return kb << 10;
}

static int
leave_device(struct mhp_why *why)
{
	struct mhp_blocks blocks = { 3, 4 };
	return mhp_offline(mhp_pool_engine(pool), &blocks, 1, NULL, why);
}

/* Refused by this limit, in words, and nothing has changed. */
static void
check_refused(const char *limit)
{
	struct mhp_text text = { "" };
	struct mhp_why why = { 0 };
	CHECK(mhp_fork_room(&text) == MHP_ENOMEM && strstr(text.text, limit) != NULL);
	CHECK(mhp_fork() == -1 && errno == ENOMEM);
	CHECK(settled() == BLOCK);
	CHECK(leave_device(&why) == MHP_ENOMEM && strstr(why.text, limit) != NULL);
	CHECK(strstr(why.text, " MiB are needed") != NULL); /* as long as the limit's name may be */
	CHECK(settled() == BLOCK);
	check_data();
}

static void
limit_of_data__fork_and_leaving__say_so(void)
{
	struct rlimit before, low;
	build(true);
	CHECK(getrlimit(RLIMIT_DATA, &before) == 0);
	low = before;
	low.rlim_cur = status_bytes("VmData:") + (1 << 20);
	CHECK(setrlimit(RLIMIT_DATA, &low) == 0);
	check_refused("RLIMIT_DATA");
	CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
	fork_once();
	CHECK(leave_device(NULL) == 0);
	check_data();
}

/* R37: the first window has come back when the second one is refused. */
static void
limit_of_data__room_for_half__nothing_is_lost(void)
{
	struct rlimit before, low;
	build(true);
	CHECK(getrlimit(RLIMIT_DATA, &before) == 0);
	low = before;
	low.rlim_cur = status_bytes("VmData:") + BLOCK * 3 / 4;
	CHECK(setrlimit(RLIMIT_DATA, &low) == 0);
	CHECK(leave_device(NULL) == MHP_ENOMEM);
	CHECK(settled() == BLOCK / 2);
	CHECK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL) == 0);
	check_data();
	CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
	CHECK(leave_device(NULL) == 0);
	CHECK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL) == 0);
	check_data();
}

static void
limit_of_addresses__copies_for_a_fork__say_so(void)
{
	struct rlimit before, low;
	struct mhp_text text = { "" };
	build(true);
	CHECK(getrlimit(RLIMIT_AS, &before) == 0);
	low = before;
	low.rlim_cur = status_bytes("VmSize:");
	CHECK(setrlimit(RLIMIT_AS, &low) == 0);
	CHECK(mhp_fork() == -1 && errno == ENOMEM);
	CHECK(mhp_fork_room(&text) == MHP_ENOMEM && strstr(text.text, "RLIMIT_AS") != NULL);
	CHECK(setrlimit(RLIMIT_AS, &before) == 0);
	fork_once();
}

static struct rlimit low_limit;

/* Another library's handler, which runs before the pool's. */
static void
lower_limit(void)
{
	low_limit.rlim_cur = status_bytes("VmSize:");
	CHECK(setrlimit(RLIMIT_AS, &low_limit) == 0);
}

/* R74: memory is refused after there was room; a child would have holes, and is not there. */
static void
limit_of_addresses__is_lowered_in_a_handler__fork_fails(void)
{
	struct rlimit before;
	build(true);
	CHECK(getrlimit(RLIMIT_AS, &before) == 0);
	low_limit = before;
	CHECK(pthread_atfork(lower_limit, NULL, NULL) == 0);
	pid_t pid = mhp_fork();
	if (pid == 0)
		be_child();
	CHECK(pid == -1 && errno == ENOMEM);
	CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	CHECK(setrlimit(RLIMIT_AS, &before) == 0);
	check_data();
}

static bool
write_file(const char *folder, const char *name, uint64_t value)
{
	char path[512], text[32];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int length = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	bool written = fd >= 0 && write(fd, text, (size_t)length) == length;
	if (fd >= 0)
		close(fd);
	return written;
}

static uint64_t
read_file(const char *folder, const char *name)
{
	char path[512];
	unsigned long long value = 0;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	CHECK(file != NULL && fscanf(file, "%llu", &value) == 1);
	fclose(file);
	return value;
}

/* A memory cgroup of our own; false: we cannot have one. */
static bool
enter_cgroup(char folder[400], const char **ret_limit, const char **ret_used)
{
	static const struct {
		const char *root, *limit, *used;
	} kinds[] = {
		{ "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes" },
		{ "/sys/fs/cgroup", "memory.max", "memory.current" },
	};
	for (unsigned i = 0; i < 2; i++) {
		*ret_limit = kinds[i].limit;
		*ret_used = kinds[i].used;
		snprintf(folder, 400, "%s/memplug-test-%d", kinds[i].root, (int)getpid());
		if (mkdir(folder, 0755) != 0)
			continue;
		if (write_file(folder, kinds[i].limit, UINT64_C(1) << 40) &&
		    write_file(folder, "cgroup.procs", (uint64_t)getpid()))
			return true;
		rmdir(folder);
	}
	return false;
}

static void
memory_cgroup__fork_and_leaving__say_so_and_nobody_is_killed(void)
{
	char folder[400];
	const char *limit, *used;
	if (!enter_cgroup(folder, &limit, &used)) {
		fprintf(stderr, "room_test: skipped: no memory cgroup can be made here\n");
		_exit(SKIPPED);
	}
	build(true);
	CHECK(write_file(folder, limit, read_file(folder, used) + (2 << 20)));
	check_refused(limit);
	CHECK(write_file(folder, limit, UINT64_C(1) << 40));
	fork_once();
	CHECK(leave_device(NULL) == 0);
	check_data();
}

static const struct {
	const char *name;
	void (*fn)(void);
	bool both;                     /* run it on ordinary memory, too */
} cases[] = {
#define CASE(fn, both) { #fn, fn, both }
	CASE(fork__twice__each_child_has_its_own, true),
	CASE(fork__on_a_stack_of_the_region__both_go_on, true),
	CASE(fork__in_a_signal_handler__on_its_own_stack, true),
	CASE(fork__from_many_threads__each_child_has_its_own, true),
	CASE(fork__after_chroot_and_setuid__as_before, true),
	CASE(fork__into_a_new_pid_namespace__as_before, true),
	CASE(fork__no_descriptor_left__as_before, true),
	CASE(fork__in_a_listener__both_go_on_with_the_change, true),
	CASE(limit_of_data__fork_and_leaving__say_so, false),
	CASE(limit_of_data__room_for_half__nothing_is_lost, false),
	CASE(limit_of_addresses__copies_for_a_fork__say_so, false),
	CASE(limit_of_addresses__is_lowered_in_a_handler__fork_fails, false),
	CASE(memory_cgroup__fork_and_leaving__say_so_and_nobody_is_killed, false),
};

/* 0, 1, or SKIPPED. What a case leaves in its cgroup goes with it. */
static int
run(unsigned index, bool on_device)
{
	char folder[2][400];
	int status = -1;
	case_name = cases[index].name;
	device = on_device;
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		cases[index].fn();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	snprintf(folder[0], 400, "/sys/fs/cgroup/memory/memplug-test-%d", (int)pid);
	snprintf(folder[1], 400, "/sys/fs/cgroup/memplug-test-%d", (int)pid);
	for (unsigned i = 0; i < 200 && access(folder[i % 2], F_OK) == 0; i += 2, usleep(10000))
		rmdir(folder[i % 2]); /* its companion ends a little later */
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s: ended by signal %d\nreplay: room_test %s\n", case_name,
			WTERMSIG(status), case_name);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int
main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0, skipped = 0;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc >= 2 && strcmp(argv[1], cases[i].name) != 0)
			continue;
		for (unsigned on = cases[i].both ? 0 : 1; on < 2; on++) {
			int result = run(i, on == 1);
			passed += result == 0;
			skipped += result == SKIPPED;
			failed += result != 0 && result != SKIPPED;
		}
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0 ? 1 : skipped != 0 ? SKIPPED : passed == 0;
}
