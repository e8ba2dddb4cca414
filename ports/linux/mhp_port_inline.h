/* SPDX-License-Identifier: MIT */
/*
 * mhp_port_inline.h - the hot half of the Linux port (docs/PORTING.md; contract in cache.h).
 *
 * Caches are kept apart by restartable sequences (rseq): a few instructions on the cache of the CPU
 * that we run on, ended by one store that commits. When the thread is preempted, migrated or
 * signalled before that store, the kernel sends it to the abort address, and it starts again: so
 * nothing here locks or waits, and a thread that is stopped holds up nobody. glibc (2.35 and later)
 * registers each thread. To close another CPU's cache, a thread sets `closed` and has
 * ops->fence_cpus (membarrier) restart the sequence that is under way there.
 *
 * Where rseq is not to be had the caches take a lock (cache_locked.h): decided once for the whole
 * process by glibc (__rseq_size), as the two must not mix; under ThreadSanitizer and
 * AddressSanitizer, with MHP_PORT_NO_RSEQ, and on other machines than x86-64, always. A CPU that
 * is not below nr_cpus, or a thread without rseq in a process with it, has no cache.
 *
 * The kernel may look at the descriptor of a thread's last sequence at any time: an object that
 * contains this must not be unloaded (link it with -z nodelete).
 */
#ifndef MHP_PORT_INLINE_H
#define MHP_PORT_INLINE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int sched_getcpu(void); /* of sched.h, which hides it from strict C11 */

#define MHP_PORT_PAGEBLOCK_ORDER 9

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MHP_PORT_NO_RSEQ 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define MHP_PORT_NO_RSEQ 1
#endif
#endif
#if !defined(__x86_64__) || defined(__ILP32__)
#define MHP_PORT_NO_RSEQ 1
#endif
#ifndef MHP_PORT_NO_RSEQ
#define MHP_PORT_NO_RSEQ 0
#endif

#if !MHP_PORT_NO_RSEQ
#include <sys/rseq.h>
#endif

static inline void
mhp_port_relax(unsigned spins)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
	/* The holder may have lost its CPU to us. */
	if (spins % 64 == 63)
		sched_yield();
}

/* Is this a task of the companion (task.c)? Somebody may kill that. Of a model that needs no call,
 * and hidden: it is no part of the ABI. */
extern __attribute__((visibility("hidden"), tls_model("initial-exec")))
_Thread_local bool mhp_port_mortal;
#define MHP_PORT_MORTAL() mhp_port_mortal

#if defined(MHP_DEBUG) && MHP_DEBUG
/* Weak, so that every file that includes this has the same one. */
__attribute__((weak)) _Thread_local uint32_t mhp_port_rank_word;
#endif

static inline uint32_t *
mhp_port_lock_ranks(void)
{
#if defined(MHP_DEBUG) && MHP_DEBUG
	return &mhp_port_rank_word;
#else
	return NULL;
#endif
}

#if MHP_PORT_NO_RSEQ

static inline unsigned
mhp_port_cpu(void)
{
	return (unsigned)sched_getcpu();
}

static inline bool
mhp_port_has_rseq(void)
{
	return false;
}

#include <memplug/cache_locked.h>

#else

#define MHP_RSEQ_CPU_ID "4"            /* offsets in struct rseq of linux/rseq.h */
#define MHP_RSEQ_CS "8"

static inline unsigned
mhp_port_cpu(void)
{
	uint32_t cpu;

	__asm__ volatile("movl %%fs:" MHP_RSEQ_CPU_ID "(%[area]), %[cpu]"
			 : [cpu] "=r"(cpu)
			 : [area] "r"(__rseq_offset));
	return (int32_t)cpu < 0 ? (unsigned)sched_getcpu() : cpu;
}

#define MHP_CACHE_LOCKED_ONLY
#include <memplug/cache_locked.h>

/* Does this process have rseq at all? Asked only where something else has failed. */
static inline bool
mhp_port_has_rseq(void)
{
	return __rseq_size != 0;
}

/*
 * A sequence: its descriptor, its start, and where it goes when it is aborted. The signature
 * before the abort address is the one that glibc registers for x86 (as the operand of an ud1, so
 * that nobody runs into it). The body follows, between labels 2 and 3; it may leave at 3 at any
 * time, and its last instruction is the commit. Label 1 starts over, so what the body needs is not
 * changed.
 */
#define MHP_RSEQ_BEGIN                                                                             \
	".pushsection __rseq_cs, \"aw\"\n\t"                                                       \
	".balign 32\n"                                                                             \
	"9:\n\t"                                                                                   \
	".long 0, 0\n\t" /* version, flags */                                                      \
	".quad 2f, 3f - 2f, 4f\n\t"                                                                \
	".popsection\n\t"                                                                          \
	".pushsection __rseq_failure, \"ax\"\n\t"                                                  \
	".byte 0x0f, 0xb9, 0x3d\n\t"                                                               \
	".long 0x53053053\n"                                                                       \
	"4:\n\t"                                                                                   \
	"jmp 1f\n\t"                                                                               \
	".popsection\n"                                                                            \
	"1:\n\t"                                                                                   \
	"leaq 9b(%%rip), %[cache]\n\t"                                                             \
	"movq %[cache], %%fs:" MHP_RSEQ_CS "(%[area])\n\t"

/* Start the body: the cache of this CPU into %[cache], or leave: no such CPU, or it is closed. */
#define MHP_RSEQ_THIS_CACHE                                                                        \
	"2:\n\t"                                                                                   \
	"movl %%fs:" MHP_RSEQ_CPU_ID "(%[area]), %k[cache]\n\t"                                    \
	"cmpl %[nr_cpus], %k[cache]\n\t"                                                           \
	"jae 3f\n\t"                                                                               \
	"imulq %[stride], %[cache], %[cache]\n\t"                                                  \
	"addq %[caches], %[cache]\n\t"                                                             \
	"cmpl $0, (%[cache])\n\t"                                                                  \
	"jne 3f\n\t"

_Static_assert(offsetof(struct mhp_cache, closed) == 0, "see MHP_RSEQ_THIS_CACHE");

_Static_assert(sizeof(((struct mhp_cache *)0)->count[0]) == 4, "see MHP_RSEQ_COUNT_N");

/*
 * Where a stack's count is, and its slot number %[slot]. Order 0 is what the time goes to, so there
 * these are constants.
 */
#define MHP_RSEQ_COUNT_0 "%c[count_0](%[cache])"
#define MHP_RSEQ_COUNT_N "%c[count_0](%[cache], %[order], 4)"
#define MHP_RSEQ_SLOT_0 "%c[slot_0](%[cache], %[slot], 8)"
#define MHP_RSEQ_SLOT_N(INDEX) "%c[slot_n](%[cache], %[" INDEX "], 8)"
/* Stacks of larger pages follow each other, so which one it is is the order's bits. */
#define MHP_RSEQ_INDEX_N(INDEX, COUNT)                                                             \
	"movl %k[order], %k[" INDEX "]\n\t"                                                        \
	"shll $6, %k[" INDEX "]\n\t"                                                               \
	"addl %k[" COUNT "], %k[" INDEX "]\n\t"
_Static_assert(MHP_CACHE_DEPTH_N == 1U << 6, "see MHP_RSEQ_INDEX_N");
#define MHP_RSEQ_PLACES                                                                            \
	[stride] "i"(sizeof(struct mhp_cache)), [count_0] "i"(offsetof(struct mhp_cache, count)),  \
	[slot_0] "i"(offsetof(struct mhp_cache, slot) + 8 * mhp_cache_bottom(0)),                  \
	[slot_n] "i"(offsetof(struct mhp_cache, slot) +                                            \
		     8 * (mhp_cache_bottom(1) - MHP_CACHE_DEPTH_N))

/* Body and end of a pop: slot is then the page, or all ones. */
#define MHP_RSEQ_POP(COUNT, TO_INDEX, SLOT)                                                        \
	MHP_RSEQ_BEGIN                                                                             \
	"movq $-1, %[slot]\n"                                                                      \
	MHP_RSEQ_THIS_CACHE                                                                        \
	"movl " COUNT ", %k[count]\n\t"                                                            \
	"subl $1, %k[count]\n\t"                                                                   \
	"jc 3f\n\t"                                                                                \
	TO_INDEX                                                                                   \
	"movq " SLOT ", %[slot]\n\t"                                                               \
	"movl %k[count], " COUNT "\n"                                                              \
	"3:\n"

/* Of a push: done is then the new count, or 0. */
#define MHP_RSEQ_PUSH(COUNT, TO_INDEX, SLOT)                                                       \
	MHP_RSEQ_BEGIN                                                                             \
	"xorl %k[done], %k[done]\n"                                                                \
	MHP_RSEQ_THIS_CACHE                                                                        \
	"testq %[mask], (%[isolated])\n\t"                                                         \
	"jnz 3f\n\t"                                                                               \
	"movl " COUNT ", %k[slot]\n\t"                                                             \
	"cmpl %[depth], %k[slot]\n\t"                                                              \
	"jae 3f\n\t"                                                                               \
	TO_INDEX                                                                                   \
	"movq %[pfn], " SLOT "\n\t"                                                                \
	"leal 1(%[slot]), %k[done]\n\t"                                                            \
	"movl %k[done], " COUNT "\n"                                                               \
	"3:\n"

static inline __attribute__((always_inline)) bool
mhp_port_cache_pop(struct mhp_cache *caches, unsigned nr_cpus, unsigned order, uint64_t *ret_pfn)
{
	uint64_t cache, count, slot;

	if (__builtin_expect(order == 0, 1)) {
		__asm__ volatile(
			MHP_RSEQ_POP(MHP_RSEQ_COUNT_0, "movl %k[count], %k[slot]\n\t",
				     MHP_RSEQ_SLOT_0)
			: [cache] "=&r"(cache), [count] "=&r"(count), [slot] "=&r"(slot)
			: [area] "r"(__rseq_offset), [caches] "r"(caches), [nr_cpus] "rm"(nr_cpus),
			  MHP_RSEQ_PLACES
			: "memory", "cc");
	} else {
		__asm__ volatile(
			MHP_RSEQ_POP(MHP_RSEQ_COUNT_N, MHP_RSEQ_INDEX_N("slot", "count"),
				     MHP_RSEQ_SLOT_N("slot"))
			: [cache] "=&r"(cache), [count] "=&r"(count), [slot] "=&r"(slot)
			: [area] "r"(__rseq_offset), [caches] "r"(caches), [nr_cpus] "rm"(nr_cpus),
			  [order] "r"((uint64_t)order), MHP_RSEQ_PLACES
			: "memory", "cc");
	}
	*ret_pfn = slot;
	return slot != MHP_PFN_NONE;
}

static inline __attribute__((always_inline)) bool
mhp_port_cache_push(struct mhp_cache *caches, unsigned nr_cpus, unsigned order, uint64_t pfn,
		    const _Atomic uint64_t *isolated, uint64_t mask)
{
	uint64_t cache, slot, done;

	if (__builtin_expect(order == 0, 1)) {
		__asm__ volatile(
			MHP_RSEQ_PUSH(MHP_RSEQ_COUNT_0, "", MHP_RSEQ_SLOT_0)
			: [cache] "=&r"(cache), [slot] "=&r"(slot), [done] "=&r"(done)
			: [area] "r"(__rseq_offset), [caches] "r"(caches), [nr_cpus] "rm"(nr_cpus),
			  [pfn] "r"(pfn), [depth] "i"(MHP_CACHE_DEPTH_0),
			  [isolated] "r"(isolated), [mask] "r"(mask), MHP_RSEQ_PLACES
			: "memory", "cc");
	} else {
		__asm__ volatile(
			MHP_RSEQ_PUSH(MHP_RSEQ_COUNT_N, MHP_RSEQ_INDEX_N("done", "slot"),
				      MHP_RSEQ_SLOT_N("done"))
			: [cache] "=&r"(cache), [slot] "=&r"(slot), [done] "=&r"(done)
			: [area] "r"(__rseq_offset), [caches] "r"(caches), [nr_cpus] "rm"(nr_cpus),
			  [order] "r"((uint64_t)order), [pfn] "r"(pfn),
			  [depth] "i"(MHP_CACHE_DEPTH_N), [isolated] "r"(isolated),
			  [mask] "r"(mask), MHP_RSEQ_PLACES
			: "memory", "cc");
	}
	return done != 0;
}

static inline struct mhp_cache *
mhp_port_cache_close_local(struct mhp_cache *caches, unsigned nr_cpus)
{
	uint64_t cache, done;

	if (!mhp_port_has_rseq())
		return mhp_cache_locked_close_local(caches, nr_cpus);
	if (MHP_PORT_MORTAL())
		return NULL;
	__asm__ volatile(
		MHP_RSEQ_BEGIN
		"xorl %k[done], %k[done]\n"
		MHP_RSEQ_THIS_CACHE
		"movq %[cache], %[done]\n\t"
		"movl $1, (%[cache])\n"
		"3:\n"
		: [cache] "=&r"(cache), [done] "=&r"(done)
		: [area] "r"(__rseq_offset), [caches] "r"(caches), [nr_cpus] "rm"(nr_cpus),
		  [stride] "i"(sizeof(struct mhp_cache))
		: "memory", "cc");
	return (struct mhp_cache *)done;
}

static inline bool
mhp_port_cache_close(struct mhp_cache *cache)
{
	uint32_t open = 0;

	if (!mhp_port_has_rseq())
		return mhp_cache_locked_close(cache);
	return atomic_compare_exchange_strong(&cache->closed, &open, 2);
}

static inline bool
mhp_port_cache_confirm(struct mhp_cache *cache)
{
	/* A local close that had seen 0 before we wrote 2 has written 1 over it. */
	return !mhp_port_has_rseq() ||
	       atomic_load_explicit(&cache->closed, memory_order_acquire) == 2;
}

static inline void
mhp_port_cache_open(struct mhp_cache *cache)
{
	mhp_cache_locked_open(cache);
}

#endif
#endif
