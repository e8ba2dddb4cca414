/* SPDX-License-Identifier: MIT */
/*
 * companion_test.c - the companion: what it shares with the program, and what it keeps away from
 * it (R56).
 *
 * Cases that end a program, or bind it, fork first: a forked child has a companion of its own.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <memplug/companion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../ports/linux/leader.h"
#include "mhp_port_inline.h"
#include "test.h"

static _Atomic unsigned nr_no_task;    /* so often there is no task that takes calls */
static _Atomic unsigned nr_to_kill;    /* so many companions are killed before they take calls */

int __real_mhp__task_start(unsigned stack, int flags, void (*fn)(void *arg), void *arg,
			   _Atomic int *tid);
int __wrap_mhp__task_start(unsigned stack, int flags, void (*fn)(void *arg), void *arg,
			   _Atomic int *tid);

int
__wrap_mhp__task_start(unsigned stack, int flags, void (*fn)(void *arg), void *arg,
		       _Atomic int *tid)
{
	if (stack == MHP__CALLS && atomic_load(&nr_no_task) != 0) {
		atomic_fetch_sub(&nr_no_task, 1);
		return EAGAIN;
	}
	if (stack == MHP__CALLS && atomic_load(&nr_to_kill) != 0) {
		atomic_fetch_sub(&nr_to_kill, 1);
		kill((int)getpid(), SIGKILL);
	}
	return __real_mhp__task_start(stack, flags, fn, arg, tid);
}

static int
its_pid(void *arg)
{
	*(int *)arg = (int)getpid();
	return 7;
}

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
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

/* Until a process is gone, or a zombie of its reaper. */
static void
await_end(int pid)
{
	char path[40], line[256] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (;;) {
		FILE *file = fopen(path, "r");
		if (file == NULL || fgets(line, sizeof(line), file) == NULL ||
		    strstr(line, ") Z ") != NULL) {
			if (file != NULL)
				fclose(file);
			return;
		}
		fclose(file);
		usleep(10000);
	}
}

/* Until there is one, other than the last; false: there is no companion that would make one. */
static bool
await_standby(int last)
{
	const struct mhp__companion *state = mhp__task_state();
	for (int now; (now = atomic_load(&state->tid[MHP__STANDBY])) <= 0 || now == last;) {
		if (mhp_companion_pid() == 0)
			return false;
		usleep(1000);
	}
	return true;
}

/* What a child says with its exit status; 0 is well. */
static int
child_says(int (*fn)(int *shared), int *shared)
{
	int status = 0;
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(fn(shared));
	while (waitpid(pid, &status, 0) < 0)
		CHECK_EQ(errno, EINTR);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int *
shared_words(void)
{
	static int *words;
	if (words == NULL)
		words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(words != MAP_FAILED);
	memset(words, 0, 4096);
	return words;
}

TEST(companion__program__keeps_its_threads_children_and_descriptors)
{
	int pid = 0;
	unsigned files = entries("/proc/self/fd");
	CHECK_RET(mhp_companion_call(its_pid, &pid, NULL), 7);
	CHECK_NE(pid, 0);
	CHECK_NE(pid, (int)getpid());
	CHECK_EQ(pid, mhp_companion_pid());
	CHECK_EQ(entries("/proc/self/task"), 3U); /* with . and .. */
	CHECK_EQ(entries("/proc/self/fd"), files);
	CHECK_EQ(waitpid(-1, NULL, __WALL), -1);
	CHECK_EQ(errno, ECHILD);
	CHECK_NE(getsid(pid), getsid(0));
}

static int
open_null(void *arg)
{
	*(int *)arg = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	return 0;
}

static int
read_zeros(void *arg)
{
	char zeros[8];
	return (int)read(*(int *)arg, zeros, sizeof(zeros));
}

TEST(companion__descriptor__is_its_own)
{
	int fd = -1;
	unsigned files = entries("/proc/self/fd");
	CHECK_OK(mhp_companion_call(open_null, &fd, NULL));
	CHECK_CMP(fd, >=, 3);
	CHECK_EQ(entries("/proc/self/fd"), files);
	CHECK_RET(mhp_companion_call(read_zeros, &fd, NULL), 8);
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
}

static int
close_all(int *shared)
{
	(void)shared;
	if (mhp_companion_call(nothing, NULL, NULL) != 0)
		return 1;
	if (close_range(3, ~0U, 0) != 0 || dup2(0, 3) != 3)
		return 2;
	return mhp_companion_call(nothing, NULL, NULL) == 0 ? 0 : 3;
}

TEST(companion__program_that_closes_everything__is_served)
{
	CHECK_OK(child_says(close_all, NULL));
}

static int
call_again(void *arg)
{
	return mhp_companion_call(its_pid, arg, NULL);
}

TEST(companion__call_inside_a_call__is_plain)
{
	int pid = 0;
	CHECK_RET(mhp_companion_call(call_again, &pid, NULL), 7);
	CHECK_EQ(pid, mhp_companion_pid());
	CHECK(!mhp_companion_here());
}

static int
add_one(void *arg)
{
	atomic_fetch_add((_Atomic unsigned *)arg, 1);
	return 0;
}

static void *
call_often(void *arg)
{
	for (unsigned i = 0; i < 200; i++)
		CHECK_OK(mhp_companion_call(add_one, arg, NULL));
	return NULL;
}

TEST(companion__many_callers__are_all_served)
{
	_Atomic unsigned count = 0;
	pthread_t thread[40];
	for (unsigned i = 0; i < 40; i++)
		CHECK_OK(pthread_create(&thread[i], NULL, call_often, (void *)&count));
	for (unsigned i = 0; i < 40; i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(count, 8000U);
}

/* ---- what a thread there has ---- */

static int
has_a_thread_of_its_own(void *arg)
{
	pthread_mutex_t *robust = arg;
	char text[64];
	errno = EDOM;
	snprintf(text, sizeof(text), "%.3f %s", 1.5, strerror(errno));
	if (strncmp(text, "1.500 Num", 9) != 0 || errno != EDOM)
		return 1;
	if (pthread_mutex_lock(robust) != 0)
		return 2;
	if (robust->__data.__owner != (int)gettid())
		return 3;
	if (pthread_mutex_unlock(robust) != 0)
		return 4;
#if !MHP_PORT_NO_RSEQ
	const struct rseq *rseq =
		(const struct rseq *)((uintptr_t)pthread_self() + (uintptr_t)__rseq_offset);
	if (__rseq_size != 0 && (int)rseq->cpu_id < 0)
		return 5;
#endif
	return 0;
}

static void
make_robust(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	CHECK_OK(pthread_mutex_init(mutex, &attr));
}

TEST(companion__its_threads__have_storage_locks_and_sequences)
{
	pthread_mutex_t robust;
	make_robust(&robust);
	errno = ERANGE;
	CHECK_OK(mhp_companion_call(has_a_thread_of_its_own, &robust, NULL));
	CHECK_EQ(errno, ERANGE);
}

struct alternate {
	pthread_mutex_t mutex;
	unsigned long count;           /* not atomic: the mutex guards it */
};

static int
count_there(void *arg)
{
	struct alternate *both = arg;
	for (unsigned i = 0; i < 200000; i++) {
		pthread_mutex_lock(&both->mutex);
		both->count++;
		pthread_mutex_unlock(&both->mutex);
	}
	return 0;
}

static void *
ask_for_count(void *arg)
{
	CHECK_OK(mhp_companion_call(count_there, arg, NULL));
	return NULL;
}

TEST(companion__mutex__excludes_both_sides)
{
	struct alternate both = { .count = 0 };
	pthread_t thread;
	make_robust(&both.mutex);
	CHECK_OK(pthread_create(&thread, NULL, ask_for_count, &both));
	count_there(&both);
	pthread_join(thread, NULL);
	CHECK_EQ(both.count, 400000UL);
}

/* ---- its end ---- */

static _Atomic int here;

static int
hold_and_stay(void *arg)
{
	pthread_mutex_lock(arg);
	atomic_store(&here, 1);
	while (pause() != 0)
		;
	return 0;
}

static void *
kill_it(void *arg)
{
	while (atomic_load(&here) == 0)
		usleep(1000);
	kill(*(int *)arg, SIGKILL);
	return NULL;
}

TEST(companion__killed_in_a_call__says_so_and_the_next_is_another)
{
	struct mhp_text text = { "" };
	pthread_mutex_t robust;
	pthread_t thread;
	int before = 0, after = 0;
	make_robust(&robust);
	CHECK_RET(mhp_companion_call(its_pid, &before, NULL), 7);
	CHECK_OK(pthread_create(&thread, NULL, kill_it, &before));
	CHECK_RET(mhp_companion_call(hold_and_stay, &robust, &text), MHP_EIO);
	CHECK(strstr(text.text, "killed") != NULL);
	pthread_join(thread, NULL);
	CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
	CHECK_RET(mhp_companion_call(its_pid, &after, NULL), 7);
	CHECK_NE(after, before);
	CHECK_EQ(waitpid(-1, NULL, __WALL), -1);
}

static _Atomic bool trapping;
static _Atomic unsigned nr_trapped;

static void
trap_at_once(void *fresh)
{
	(void)fresh;
	if (!atomic_load(&trapping))
		return;
	atomic_fetch_add(&nr_trapped, 1);
	__builtin_trap();
}

static _Atomic unsigned nr_begun;

static void
count_begun(void *fresh)
{
	(void)fresh;
	atomic_fetch_add(&nr_begun, 1);
}

/* It would take locks of pools, which a clone past fork()'s handlers finds locked for ever. */
TEST(companion__is_the_first__has_nothing_to_put_right)
{
	int before = 0;
	CHECK_OK(mhp_companion_init(NULL));
	mhp_companion_next(count_begun);
	CHECK_RET(mhp_companion_call(its_pid, &before, NULL), 7);
	await_standby(0);
	CHECK_EQ(nr_begun, 0);
	CHECK_EQ(kill(before, SIGKILL), 0);
	while (nr_begun == 0)
		usleep(1000);
}

/* R37: each would make the next one at once, for ever. */
TEST(companion__it_traps_while_it_takes_over__the_next_ones_come_slowly)
{
	struct mhp_text text = { "" };
	int before = 0, after = 0;
	alarm(60);
	CHECK_RET(mhp_companion_call(its_pid, &before, NULL), 7);
	const struct mhp__companion *state = mhp__task_state();
	await_standby(0);
	mhp_companion_next(trap_at_once);
	atomic_store(&trapping, true);
	CHECK_EQ(kill(before, SIGKILL), 0);
	while (strstr(text.text, "again and again") == NULL)
		(void)!mhp_companion_call(its_pid, &after, &text);
	CHECK_CMP(nr_trapped, <, 20);
	atomic_store(&trapping, false);
	while (mhp_companion_call(its_pid, &after, NULL) != 7)
		usleep(1000);
	CHECK_NE(after, before);
	while (atomic_load(&state->nr_failed) != 0) /* it has taken over */
		usleep(1000);
	alarm(0);
}

TEST(companion__signals__do_not_reach_it)
{
	int before = 0, after = 0;
	CHECK_RET(mhp_companion_call(its_pid, &before, NULL), 7);
	for (int sig = 1; sig < 65; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			kill(before, sig);
	CHECK_RET(mhp_companion_call(its_pid, &after, NULL), 7);
	CHECK_EQ(after, before);
}

static int
start_and_exit(int *shared)
{
	return mhp_companion_call(its_pid, shared, NULL) == 7 ? 0 : 1;
}

TEST(companion__forked_child__has_its_own_that_ends_with_it)
{
	int *pid = shared_words(), ours = 0;
	CHECK_RET(mhp_companion_call(its_pid, &ours, NULL), 7);
	CHECK_OK(child_says(start_and_exit, pid));
	CHECK_NE(*pid, 0);
	CHECK_NE(*pid, ours);
	await_end(*pid);
	CHECK_EQ(mhp_companion_pid(), ours);
	CHECK_OK(kill(ours, 0));
}

static int
start_and_execute(int *shared)
{
	if (mhp_companion_call(its_pid, shared, NULL) != 7)
		return 1;
	execlp("sleep", "sleep", "600", (char *)NULL);
	return 2;
}

TEST(companion__program_that_executes_another__loses_it)
{
	int *pid = shared_words();
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(start_and_execute(pid));
	while (*(volatile int *)pid == 0)
		usleep(1000);
	await_end(*pid);
	CHECK_OK(kill(child, 0));
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

/* A program whose memory nobody of us may look at. */
static int
start_and_execute_other(int *shared)
{
	if (setresuid(65534, 65534, 65534) != 0 || mhp_companion_call(its_pid, shared, NULL) != 7)
		return 1;
	execl("./companion-setuid", "sleep", "600", (char *)NULL);
	return 2;
}

TEST(companion__program_that_executes_one_with_other_rights__loses_it)
{
	int *pid = shared_words(), status = 0;
	if (geteuid() != 0)
		test_skip("needs root: a setuid program");
	if (system("cp /bin/sleep companion-setuid && chmod 4755 companion-setuid") != 0)
		test_skip("needs setuid-files");
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(start_and_execute_other(pid));
	while (*(volatile int *)pid == 0 && waitpid(child, &status, WNOHANG) == 0)
		usleep(1000);
	CHECK_EQ(status, 0);
	await_end(*pid);
	CHECK_OK(kill(child, 0));
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	unlink("companion-setuid");
}

/* ---- work beside it ---- */

enum { ASIDE_PID, ASIDE_GO, ASIDE_DONE };

static void
work_aside(void *arg)
{
	_Atomic int *word = arg;
	atomic_store(&word[ASIDE_PID], (int)getpid());
	while (atomic_load(&word[ASIDE_GO]) == 0)
		usleep(1000);
	atomic_fetch_add(&word[ASIDE_DONE], 1);
}

static int
ask_for_work(void *arg)
{
	return mhp_companion_aside(work_aside, arg, 60000);
}

static int
ask_for_work_in_vain(void *arg)
{
	return mhp_companion_aside(work_aside, arg, 0);
}

static void *
kill_it_at_work(void *arg)
{
	_Atomic int *word = arg;
	while (atomic_load(&word[ASIDE_PID]) == 0)
		usleep(1000);
	CHECK_NE(atomic_load(&word[ASIDE_PID]), mhp_companion_pid());
	kill(mhp_companion_pid(), SIGKILL);
	return NULL;
}

TEST(companion__killed_while_work_is_done_aside__work_goes_on)
{
	_Atomic int *word = (_Atomic int *)shared_words();
	pthread_t thread;
	CHECK_OK(pthread_create(&thread, NULL, kill_it_at_work, word));
	CHECK_RET(mhp_companion_call(ask_for_work, word, NULL), MHP_EIO);
	pthread_join(thread, NULL);
	CHECK_RET(mhp_companion_call(ask_for_work_in_vain, word, NULL), MHP_EAGAIN);
	atomic_store(&word[ASIDE_GO], 1);
	int err = MHP_EAGAIN;
	for (int i = 0; i < 30000 && err == MHP_EAGAIN; i++, usleep(1000))
		err = mhp_companion_call(ask_for_work, word, NULL);
	CHECK_OK(err);
	CHECK_EQ(atomic_load(&word[ASIDE_DONE]), 2);
	CHECK_EQ(waitpid(-1, NULL, __WALL), -1);
}

static int
exit_at_work(int *shared)
{
	return mhp_companion_call(ask_for_work_in_vain, shared, NULL) == MHP_EAGAIN ? 0 : 1;
}

TEST(companion__program_ends_while_work_is_done_aside__work_ends)
{
	_Atomic int *word = (_Atomic int *)shared_words();
	CHECK_OK(child_says(exit_at_work, (int *)word));
	for (int i = 0; i < 1000 && atomic_load(&word[ASIDE_PID]) == 0; i++)
		usleep(1000);
	if (atomic_load(&word[ASIDE_PID]) != 0)
		await_end(atomic_load(&word[ASIDE_PID]));
	CHECK_EQ(atomic_load(&word[ASIDE_DONE]), 0);
}

/* ---- a program that is bound ---- */

static void
count_for_ever(void *arg)
{
	for (;; usleep(1000))
		atomic_fetch_add((_Atomic int *)arg, 1);
}

static int
begin_count(void *arg)
{
	return mhp_companion_thread(count_for_ever, arg);
}

static int
start_and_stop(int *shared)
{
	if (mhp_companion_call(begin_count, shared, NULL) != 0)
		return 1;
	raise(SIGSTOP);
	return 0;
}

/* R37: as long as there is no room for it, the standby makes one try after the other. Nobody asks
 * for one: a program that sleeps would be without for ever. */
TEST(companion__no_task_for_calls_when_it_takes_over__another_try_is_made)
{
	int before = 0, after = 0;
	alarm(60);
	CHECK_RET(mhp_companion_call(its_pid, &before, NULL), 7);
	const struct mhp__companion *state = mhp__task_state();
	await_standby(0);
	atomic_store(&nr_no_task, 3);
	CHECK_EQ(kill(before, SIGKILL), 0);
	while (mhp_companion_pid() == 0 || mhp_companion_pid() == before ||
	       atomic_load(&state->ready) != 1)
		usleep(1000);
	CHECK_EQ(nr_no_task, 0);
	CHECK_RET(mhp_companion_call(its_pid, &after, NULL), 7);
	CHECK_NE(after, before);
	alarm(0);
}

static int
call_while_killed(int *shared)
{
	atomic_store(&nr_to_kill, 3);
	if (mhp_companion_call(its_pid, shared, NULL) != 7 || !await_standby(0))
		return 1;
	atomic_store(&nr_to_kill, 3);
	kill(*shared, SIGKILL);
	return mhp_companion_call(its_pid, shared, NULL) == 7 ? 0 : 2;
}

/* R37: they have done nothing yet. The callers of a program that changed a mapping just then were
 * told that there can be no process: with a standby as well as without. */
TEST(companion__killed_as_it_begins__call_is_for_the_next)
{
	CHECK_OK(child_says(call_while_killed, shared_words()));
}

static int
call_while_all_are_killed(int *shared)
{
	struct mhp_text text = { "" };
	atomic_store(&nr_to_kill, 1000);
	if (mhp_companion_call(its_pid, shared, &text) != MHP_EAGAIN ||
	    strstr(text.text, "again and again") == NULL)
		return 1;
	atomic_store(&nr_to_kill, 0);
	alarm(60);
	while (mhp_companion_call(its_pid, shared, NULL) != 7)
		usleep(1000);
	return 0;
}

/* R37: that has an end, and one that lives serves. */
TEST(companion__all_are_killed_as_they_begin__says_so)
{
	CHECK_OK(child_says(call_while_all_are_killed, shared_words()));
}

/* The companion looks whether it is still wanted before it makes the next standby. */
static void *
go_on_alone(void *arg)
{
	int before = *(int *)arg, after = 0;
	const struct mhp__companion *state = mhp__task_state();
	int standby = atomic_load(&state->tid[MHP__STANDBY]);
	await_end(getpid());
	if (kill(standby, SIGKILL) != 0 || !await_standby(standby))
		_exit(3);
	_exit(mhp_companion_call(its_pid, &after, NULL) != 7 || after != before);
}

static int
end_main_thread(int *shared)
{
	pthread_t thread;
	if (mhp_companion_call(its_pid, shared, NULL) != 7 || !await_standby(0) ||
	    pthread_create(&thread, NULL, go_on_alone, shared) != 0)
		return 2;
	/* AddressSanitizer unmaps a thread's stack for signals as it ends: the harness's here. */
	if (sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL) != 0)
		return 2;
	pthread_exit(NULL);
}

/* R56: the other threads go on, so it is needed as before. */
TEST(companion__main_thread_ends__serves_the_others)
{
	CHECK_OK(child_says(end_main_thread, shared_words()));
}

TEST(companion__stopped_program__does_not_stop_it)
{
	_Atomic int *count = (_Atomic int *)shared_words();
	int status;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(start_and_stop((int *)count));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status));
	for (int before = atomic_load(count); atomic_load(count) < before + 10;)
		usleep(1000);
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

static int
become_nobody(int *shared)
{
	int before = 0, after = 0;
	(void)shared;
	if (mhp_companion_call(its_pid, &before, NULL) != 7)
		return 1;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return errno == EPERM ? 77 : 2;
	if (mhp_companion_call(its_pid, &after, NULL) != 7)
		return 3;
	return before == after ? 0 : 4;
}

static int
change_user(int *shared)
{
	int before = 0, after = 0;
	(void)shared;
	if (mhp_companion_call(its_pid, &before, NULL) != 7)
		return 1;
	if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
		return 2;
	if (mhp_companion_call(its_pid, &after, NULL) != 7)
		return 3;
	usleep(500000);                /* it must not take this for the program's end */
	return before == mhp_companion_pid() && before == after ? 0 : 4;
}

TEST(companion__program_that_changes_user__is_served)
{
	int got = child_says(become_nobody, NULL);
	if (geteuid() == 0)
		CHECK_OK(child_says(change_user, NULL));
	if (got == 77)
		test_skip("needs user-namespaces");
	CHECK_OK(got);
}

/* A call fails from now on, as on a kernel without it: with one first argument, or 0, with any. */
static int
refuse(unsigned call, unsigned argument, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | (argument == 0 ? BPF_JGE : BPF_JEQ) | BPF_K, argument, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ?
		       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) :
		       -1;
}

static const struct refusal {
	unsigned error;
	int answer;
	bool asks; /* for a seccomp filter */
} refusals[] = {
	{ EPERM, MHP_EPERM, true }, { ENOSYS, MHP_EPERM, true }, { EACCES, MHP_EPERM, false },
	{ EAGAIN, MHP_EAGAIN, false },
};

static int
refuse_clone(int *shared)
{
	const struct refusal *row = &refusals[*shared];
	struct mhp_text text = { "" };
	if (refuse(SYS_clone, 0, row->error) != 0)
		return 1;
	if (mhp_companion_call(nothing, NULL, &text) != row->answer)
		return 2;
	if (strstr(text.text, strerrordesc_np((int)row->error)) == NULL)
		return 3;
	return (strstr(text.text, "seccomp") != NULL) == row->asks ? 0 : 4;
}

TEST(companion__system_that_makes_none__says_why)
{
	int *row = shared_words();
	for (; *row < (int)(sizeof(refusals) / sizeof(refusals[0])); ++*row) {
		test_at("row %d", *row);
		CHECK_OK(child_says(refuse_clone, row));
	}
}

static int
seal_first(int *shared)
{
	struct mhp_text text = { "" };
	(void)shared;
	mhp_companion_seal();
	if (mhp_companion_call(nothing, NULL, &text) != MHP_EPERM)
		return 1;
	return strstr(text.text, "seccomp") != NULL && mhp_companion_pid() == 0 ? 0 : 2;
}

/* R55: in a program that is about to enter a sandbox none is started any more, and that is said. */
TEST(companion__program_is_sealed__says_why)
{
	CHECK_OK(child_says(seal_first, NULL));
}

static void *
call_from_a_thread(void *arg)
{
	int *error = arg;
	*error = mhp_companion_call(nothing, NULL, NULL);
	return NULL;
}

static int
start_from_a_thread(int *shared)
{
	pthread_t thread;
	int error = 1;
	(void)shared;
	if (pthread_create(&thread, NULL, call_from_a_thread, &error) != 0)
		return 1;
	pthread_join(thread, NULL);
	return error == 0 && mhp_companion_pid() != 0 ? 0 : 2;
}

/* R55: whichever thread needs it first. */
TEST(companion__started_by_another_thread__serves)
{
	CHECK_OK(child_says(start_from_a_thread, NULL));
}

/* A program of its own: this one knows already. */
static int
on_such_a_kernel(int *shared)
{
	int *address;
	(void)shared;
	if (refuse(SYS_kcmp, 0, ENOSYS) != 0 ||
	    refuse(SYS_prctl, PR_GET_TID_ADDRESS, EINVAL) != 0 ||
	    prctl(PR_GET_TID_ADDRESS, &address) == 0)
		return 2;
	int quiet = open("/dev/null", O_WRONLY);
	dup2(quiet, STDOUT_FILENO);
	execl("/proc/self/exe", "companion-test",
	      "companion__its_threads__have_storage_locks_and_sequences",
	      "companion__program_that_executes_another__loses_it", NULL);
	return 3;
}

/* A kernel without CONFIG_CHECKPOINT_RESTORE. */
TEST(companion__kernel_without_checkpoints__is_enough)
{
	CHECK_OK(child_says(on_such_a_kernel, NULL));
}

/* Of a process that orphans come to, it is a child that only those see who wait for clones. */
static int
adopt(int *shared)
{
	(void)shared;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		return 1;
	if (mhp_companion_call(nothing, NULL, NULL) != 0)
		return 2;
	return waitpid(-1, NULL, 0) == -1 && errno == ECHILD ? 0 : 3;
}

TEST(companion__program_that_adopts_orphans__does_not_see_it)
{
	CHECK_OK(child_says(adopt, NULL));
}

static int
be_the_first(int *shared)
{
	(void)shared;
	if (getpid() != 1)
		return 1;
	if (mhp_companion_call(nothing, NULL, NULL) != 0)
		return 2;
	return waitpid(-1, NULL, 0) == -1 && errno == ECHILD ? 0 : 3;
}

static int
be_in_a_container(int *shared)
{
	if (unshare(CLONE_NEWPID) != 0)
		return 77;
	return child_says(be_the_first, shared);
}

/* R56: as in a container, where the program is the one that orphans come to. */
TEST(companion__program_is_the_first_process__does_not_see_it)
{
	int got = child_says(be_in_a_container, NULL);
	if (got == 77)
		test_skip("needs root");
	CHECK_OK(got);
}

static int
add_in_vfork(int *shared)
{
	pid_t pid = vfork();
	if (pid == 0)
		_exit(mhp_companion_call(add_one, shared, NULL));
	int status = 1;
	waitpid(pid, &status, 0);
	return status != 0 || *shared != 1;
}

TEST(companion__vforked_child__is_served_by_its_parents)
{
	int *count = shared_words();
	CHECK_OK(mhp_companion_call(nothing, NULL, NULL));
	CHECK_OK(child_says(add_in_vfork, count));
}
