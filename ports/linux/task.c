/* SPDX-License-Identifier: MIT */
/*
 * task.c - stacks and thread-local storage of tasks that are no threads of the program.
 *
 * Invariants: the image does not change once it is taken; what a task gets is a copy of it, made
 * while no task is on that stack. Stacks are addresses until they are used, so that a program that
 * locks its memory does not pay for all of them. This file does not know what the tasks do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mhp_port_inline.h"
#include "pool.h"
#include "task.h"

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define HAS_RSEQ 1
#else
#define HAS_RSEQ 0
#endif

#define STACK_BYTES (UINT64_C(256) << 10)
#define GUARD_BYTES (UINT64_C(64) << 10) /* a page of any size that Linux has */
#define DONOR_MIN (UINT64_C(128) << 10)
#define DONOR_MAX (UINT64_C(64) << 20)
#define RSEQ_BYTES 32U                 /* what any kernel with rseq takes */

/* Thread-local storage of a thread, from the lowest byte that may be of use to the end of its
 * stack, and where something is in it, in bytes below that end. */
static struct {
	unsigned char *bytes;
	size_t size;
	uintptr_t end;                 /* where it was */
	size_t thread, tid, robust;
	size_t robust_bytes;
} image;

static unsigned char *_Atomic area;    /* the state, then the stacks */
static size_t stack_bytes;
static bool usable[MHP__TASKS];        /* stacks that are more than addresses */

_Thread_local bool mhp_port_mortal;

/* ---- the image ---- */

struct donor {
	unsigned char *stack;
	size_t bytes;
	int error;
};

static uintptr_t
thread_pointer(void)
{
	uintptr_t value;
#if defined(__x86_64__)
	__asm__("movq %%fs:0, %0" : "=r"(value));
#else
	value = (uintptr_t)__builtin_thread_pointer();
#endif
	return value;
}

/* On the thread that is the model. Its frame lies just below its thread-local storage. */
static void *
take_image(void *arg)
{
	struct donor *donor = arg;
	uintptr_t end = (uintptr_t)donor->stack + donor->bytes;
	uintptr_t start = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)63;
	void *robust = NULL;

	if (syscall(SYS_get_robust_list, 0, &robust, &image.robust_bytes) != 0) {
		donor->error = errno;
		return NULL;
	}
	void *tid = mhp__tid_address();
	if ((uintptr_t)tid - start >= end - start || (uintptr_t)robust - start >= end - start) {
		donor->error = ENOSYS;
		return NULL;
	}
	image.size = end - start;
	image.end = end;
	image.thread = end - thread_pointer();
	image.tid = end - (uintptr_t)tid;
	image.robust = end - (uintptr_t)robust;
	void *bytes = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	donor->error = bytes == MAP_FAILED ? errno : 0;
	if (bytes != MAP_FAILED)
		image.bytes = memcpy(bytes, (void *)start, image.size);
	return NULL;
}

/* EINVAL: the stack is too small for what the program has in its threads. */
static int
run_donor(struct donor *donor)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;

	sigfillset(&all);
	pthread_attr_init(&attr);
	int error = pthread_attr_setstack(&attr, donor->stack, donor->bytes);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (error == 0)
		error = pthread_create(&thread, &attr, take_image, donor);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error != 0)
		return error;
	pthread_join(thread, NULL);
	return donor->error;
}

static int
make_image(void)
{
	int error = EINVAL;
	for (size_t bytes = DONOR_MIN; error == EINVAL && bytes <= DONOR_MAX; bytes *= 2) {
		struct donor donor = { .bytes = bytes };
		void *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (stack == MAP_FAILED)
			return errno;
		donor.stack = stack;
		error = run_donor(&donor);
		munmap(stack, bytes);
	}
	return error;
}

static int
make_area(void)
{
	size_t image_bytes = (image.size + GUARD_BYTES - 1) & ~(GUARD_BYTES - 1);
	stack_bytes = GUARD_BYTES + STACK_BYTES + image_bytes;
	void *start = mmap(NULL, MHP__TASK_STATE_BYTES + GUARD_BYTES + MHP__TASKS * stack_bytes,
			   PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return errno;
	/* Neither the stacks, of which little is touched, nor what lies beside them. */
	madvise(start, MHP__TASK_STATE_BYTES + GUARD_BYTES + MHP__TASKS * stack_bytes,
		MADV_NOHUGEPAGE);
	if (mprotect(start, MHP__TASK_STATE_BYTES, PROT_READ | PROT_WRITE) != 0 ||
	    madvise(start, MHP__TASK_STATE_BYTES, MADV_WIPEONFORK) != 0)
		return errno;
	area = start;
	return 0;
}

int
mhp__task_init(struct mhp_text *reterr)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	int error = 0;

	pthread_mutex_lock(&once);
	if (image.bytes == NULL)
		error = make_image();
	if (error == 0 && area == NULL)
		error = make_area();
	pthread_mutex_unlock(&once);
	if (error == 0)
		return 0;
	return mhp__say(reterr, mhp__errno(error), "cannot make a thread to learn from: %s",
			strerrordesc_np(error));
}

void *
mhp__task_state(void)
{
	return area;
}

/* ---- stacks ---- */

static unsigned char *
stack_end(unsigned stack)
{
	return area + MHP__TASK_STATE_BYTES + GUARD_BYTES + (stack + 1) * stack_bytes;
}

bool
mhp__task_here(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	return area != NULL && here - (uintptr_t)area < (uintptr_t)stack_end(MHP__TASKS - 1) -
							(uintptr_t)area;
}

/* AddressSanitizer's, where the program has it: which bytes of a stack nobody may touch. */
void __asan_unpoison_memory_region(const volatile void *start, size_t bytes) __attribute__((weak));

/* A task that was killed on this stack has not unmarked the bytes around its variables. */
static void
forgive(unsigned char *start, size_t bytes)
{
	if (__asan_unpoison_memory_region != NULL)
		__asan_unpoison_memory_region(start, bytes);
}

/* Make a stack usable, with a copy of the image at its end; *ret_top: what is below that. */
static int
prepare_stack(unsigned stack, unsigned char **ret_top)
{
	unsigned char *end = stack_end(stack), *start = end - image.size;
	uintptr_t old_start = image.end - image.size, moved = (uintptr_t)end - image.end;

	if (!usable[stack] && mprotect(end - stack_bytes + GUARD_BYTES, stack_bytes - GUARD_BYTES,
				       PROT_READ | PROT_WRITE) != 0)
		return errno;
	usable[stack] = true;
	forgive(end - stack_bytes + GUARD_BYTES, stack_bytes - GUARD_BYTES);
	for (size_t at = 0; at < image.size; at += sizeof(uintptr_t)) {
		uintptr_t word;
		memcpy(&word, image.bytes + at, sizeof(word));
		if (word - old_start <= image.size)
			word += moved;
		memcpy(start + at, &word, sizeof(word));
	}
	*ret_top = start - 128;
	return 0;
}

/* ---- tasks ---- */

struct task {
	unsigned char *end;            /* of its stack */
	void (*fn)(void *arg);
	void *arg;
};

/* Caches of CPUs need this; a task that has none of it does without (mhp_port_inline.h). */
static void
register_rseq(void)
{
#if HAS_RSEQ
	if (__rseq_size == 0)
		return;
	struct rseq *rseq = (struct rseq *)(thread_pointer() + (uintptr_t)__rseq_offset);
	memset(rseq, 0, RSEQ_BYTES);
	rseq->cpu_id = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED;
	if (syscall(SYS_rseq, rseq, RSEQ_BYTES, 0, RSEQ_SIG) != 0)
		rseq->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
#endif
}

static int
begin(void *arg)
{
	struct task task = *(struct task *)arg;
	int tid = (int)syscall(SYS_gettid);

	memcpy(task.end - image.tid, &tid, sizeof(tid));
	syscall(SYS_set_robust_list, task.end - image.robust, image.robust_bytes);
	register_rseq();
	mhp_port_mortal = true;
	task.fn(task.arg);
	return 0;
}

int
mhp__task_start(unsigned stack, int flags, void (*fn)(void *arg), void *arg, _Atomic int *tid)
{
	unsigned char *top;
	int error = prepare_stack(stack, &top);
	if (error != 0)
		return error;
	unsigned char *end = stack_end(stack);
	struct task *task = (struct task *)(void *)((uintptr_t)(top - sizeof(*task)) &
						    ~(uintptr_t)15);
	*task = (struct task){ end, fn, arg };
	flags |= CLONE_VM | CLONE_UNTRACED | CLONE_SETTLS | CLONE_PARENT_SETTID |
		 CLONE_CHILD_CLEARTID;
	return clone(begin, task, flags, task, tid, end - image.thread, tid) < 0 ? errno : 0;
}

int
mhp__task_visit(unsigned stack, int (*fn)(void *arg), void *arg)
{
	unsigned char *top;
	int status, error = prepare_stack(stack, &top);
	if (error != 0)
		return error;
	int pid = clone(fn, top, CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, arg);
	if (pid < 0)
		return errno;
	/* Not waitpid(), in which a thread can be cancelled. */
	while (syscall(SYS_wait4, pid, &status, __WALL, NULL) < 0 && errno == EINTR)
		;
	return 0;
}
