/* SPDX-License-Identifier: MIT */
/*
 * guard_test.c - holes that are filled while somebody waits, and what settles on leaving blocks.
 *
 * The guard itself runs in the companion, as in a pool. Cases that change what all of the process
 * maps from now on (mlockall) run in a child.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <memplug/companion.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../ports/linux/budget.h"
#include "../../ports/linux/guard.h"
#include "../online.h"
#include "../test.h"

#define PAGE UINT64_C(4096)
#define NR 16U
#define BLOCK (UINT64_C(4) << 20)
#define WINDOW (UINT64_C(2) << 20)
#define PATIENCE_MS 30000U
#define LOOK_MS 1000U                 /* for what must not happen */

static struct {
	char *at;                      /* NR pages that get a hole */
	const char *source;            /* NR pages of data */
	unsigned first;                /* this page is filled before the others */
	int (*meanwhile)(char *page);  /* what the program does to the page before it is filled */
	int error;
	bool guarded;                  /* who writes to the first page waits until all are filled */
	struct mhp__guard guard;       /* the companion reads its events as long as it lives */
} hole = { .guard = { .write_fd = -1, .hole_fd = -1 } };

/* The next so many calls of a kind are refused so, the companion's above all. */
static struct {
	unsigned long request;
	int error;
	_Atomic unsigned times;
} refusal;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

int
__wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (request != refusal.request || atomic_load(&refusal.times) == 0)
		return __real_ioctl(fd, request, arg);
	atomic_fetch_sub(&refusal.times, 1);
	errno = refusal.error;
	return -1;
}

static void
refuse(unsigned long request, int error, unsigned times)
{
	refusal.request = request;
	refusal.error = error;
	atomic_store(&refusal.times, times);
}

/* Does who writes to the page wait (uffd-wp, Documentation/admin-guide/mm/pagemap.rst)? */
static bool
is_guarded(uintptr_t page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t got = pread(fd, &entry, sizeof(entry), (off_t)(page / PAGE * sizeof(entry)));
	close(fd);
	return got == sizeof(entry) && (entry >> 57 & 1) != 0;
}

static int
make_and_fill(void *arg)
{
	struct mhp__guard *guard = &hole.guard;
	uintptr_t start = (uintptr_t)hole.at;
	(void)arg;
	if (mhp__guard_start(guard) != 0)
		return MHP_EPERM;
	hole.error = mhp__guard_hole(guard, start, NR * PAGE, MADV_NORMAL);
	if (hole.error == 0) {
		if (hole.meanwhile != NULL)
			hole.error = hole.meanwhile(hole.at + hole.first * PAGE);
		else
			hole.error = mhp__guard_fill(guard, start + hole.first * PAGE,
						     hole.source + hole.first * PAGE, PAGE);
		hole.guarded = is_guarded(start + hole.first * PAGE);
		hole.error |= mhp__guard_fill(guard, start, hole.source, NR * PAGE);
		mhp__guard_filled(guard);
		mhp__guard_close(guard);
	}
	return 0;
}

/* Page i of what is copied is full of i + 1. The page that the program changes may be gone. */
static void
fill_a_hole(unsigned first, int (*meanwhile)(char *page))
{
	char *source = mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	hole.at = mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(source != MAP_FAILED && hole.at != MAP_FAILED);
	for (unsigned i = 0; i < NR; i++)
		memset(source + i * PAGE, (int)i + 1, PAGE);
	hole.source = source;
	hole.first = first;
	hole.meanwhile = meanwhile;
	alarm(PATIENCE_MS / 1000); /* for a touch of the hole that nobody fills */
	if (mhp_companion_call(make_and_fill, NULL, NULL) == MHP_EPERM)
		test_skip("needs userfaultfd");
	CHECK_EQ(hole.error, 0);
	for (unsigned i = 0; i < NR; i++)
		CHECK((i == first && meanwhile != NULL) ||
		      memcmp(hole.at + i * PAGE, source + i * PAGE, PAGE) == 0);
	alarm(0);
	munmap(source, NR * PAGE);
	munmap(hole.at, NR * PAGE);
}

/* R55: a mover that was killed had filled a part; the one that follows fills it all. What somebody
 * wrote to that part meanwhile would be lost. */
TEST(hole__filled_in_part__the_rest_is_filled)
{
	for (unsigned first = 0; first < NR; first++) {
		fill_a_hole(first, NULL);
		CHECK(hole.guarded);
	}
}

/* R55: mappings that change, a signal, memory that is short for a moment: it is tried again. */
TEST(hole__kernel_refuses_for_a_moment__is_filled)
{
	static const struct {
		unsigned long request;
		int error;
	} kinds[] = { { UFFDIO_COPY, EAGAIN }, { UFFDIO_COPY, EINTR }, { UFFDIO_COPY, ENOMEM },
		      { UFFDIO_WRITEPROTECT, EAGAIN }, { UFFDIO_WRITEPROTECT, EINVAL } };
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		test_at("kind %u", i);
		refuse(kinds[i].request, kinds[i].error, kinds[i].error == EINVAL ? 1 : 3);
		fill_a_hole(0, NULL);
		CHECK_EQ(atomic_load(&refusal.times), 0);
	}
}

static int
fill_without_memory(void *arg)
{
	struct mhp__guard *guard = &hole.guard;
	uintptr_t start = (uintptr_t)hole.at;
	int *error = arg;
	if (mhp__guard_start(guard) != 0)
		return MHP_EPERM;
	hole.error = mhp__guard_hole(guard, start, NR * PAGE, MADV_NORMAL);
	if (hole.error != 0)
		return 0;
	refuse(UFFDIO_COPY, ENOMEM, UINT32_MAX);
	*error = mhp__guard_fill(guard, start, hole.source, NR * PAGE);
	refuse(0, 0, 0);
	hole.error = mhp__guard_fill(guard, start, hole.source, NR * PAGE);
	mhp__guard_filled(guard);
	mhp__guard_close(guard);
	return 0;
}

static int
protect_refused(void *arg)
{
	struct mhp__guard *guard = &hole.guard;
	uintptr_t start = (uintptr_t)hole.at;
	int *error = arg;
	if (mhp__guard_start(guard) != 0)
		return MHP_EPERM;
	refuse(UFFDIO_WRITEPROTECT, EAGAIN, 3);
	error[0] = mhp__guard_protect(guard, start, NR * PAGE);
	mhp__guard_wake(guard, start, NR * PAGE, true);
	refuse(UFFDIO_WRITEPROTECT, ENOENT, 1);
	error[1] = mhp__guard_protect(guard, start, NR * PAGE);
	refuse(UFFDIO_REGISTER, ENOMEM, 1);
	error[2] = mhp__guard_protect(guard, start, NR * PAGE);
	refuse(0, 0, 0);
	return 0;
}

/* R55: what cannot be done is an error, and the memory is its program's, as before. */
TEST(guard__kernel_refuses__says_so_and_memory_is_as_before)
{
	int error[3] = { 0 };
	char *source = mmap(NULL, 2 * NR * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(source != MAP_FAILED);
	memset(source, 7, NR * PAGE);
	hole.source = source;
	hole.at = source + NR * PAGE;
	alarm(PATIENCE_MS / 1000);
	if (mhp_companion_call(fill_without_memory, error, NULL) == MHP_EPERM)
		test_skip("needs userfaultfd");
	CHECK_EQ(error[0], MHP_ENOMEM);
	CHECK_EQ(hole.error, 0);
	CHECK_MEM(hole.at, source, NR * PAGE);
	CHECK_OK(mhp_companion_call(protect_refused, error, NULL));
	CHECK_EQ(error[0], 0);
	CHECK_EQ(error[1], MHP_ENOENT);
	CHECK_EQ(error[2], MHP_ENOMEM);
	memset(hole.at, 8, NR * PAGE); /* nobody is held up */
	alarm(0);
	munmap(source, 2 * NR * PAGE);
}

static int
protect(char *page)
{
	return mprotect(page, PAGE, PROT_READ);
}

static int
lock(char *page)
{
	return mlock2(page, PAGE, MLOCK_ONFAULT);
}

static int
advise(char *page)
{
	return madvise(page, PAGE, MADV_DONTFORK);
}

static int
unmap(char *page)
{
	return munmap(page, PAGE);
}

/* R37 R55: the kernel fills nothing in one call of what is several mappings by then. */
TEST(hole__program_changes_a_page_of_it__the_others_are_filled)
{
	int (*const meanwhile[])(char *page) = { protect, lock, advise, unmap };
	for (unsigned i = 0; i < sizeof(meanwhile) / sizeof(meanwhile[0]); i++)
		for (unsigned page = 0; page < NR; page += NR / 2 - 1)
			fill_a_hole(page, meanwhile[i]);
}

/* R54: the kernel fills whatever is mapped then; what waits to be copied there must not be lost. */
TEST(hole__all_memory_is_locked__is_a_hole_even_so)
{
	int status = 0;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (mlockall(MCL_FUTURE) != 0)
			_exit(77);
		hole.guard.write_fd = hole.guard.hole_fd = -1; /* the parent's */
		fill_a_hole(0, NULL);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		test_skip("needs root");
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* R39: an eighth of the limit is the program's. */
TEST(budget__seven_eighths_are_used__has_no_room)
{
	struct mhp__budget budget = { .limit = 800, .foreign = 100 };
	CHECK(mhp__budget_fits(&budget, 599, 1));
	CHECK(!mhp__budget_fits(&budget, 600, 1));
	CHECK(!mhp__budget_fits(&budget, 599, 2));
}

/* ---- a window whose block is leaving ---- */

static struct {
	struct mhp_pool *pool;
	struct mhp *m;
	struct mhp_region *region;
	char *base;                    /* two windows, and room for a page */
	bool asked;
} leaving;

static uint64_t
settled_bytes(void)
{
	struct mhp_pool_stats stats;
	mhp_pool_get_stats(leaving.pool, &stats);
	return stats.settled_bytes;
}

/* What the kernel says of a page once it is used: device memory is shared. */
static bool
is_settled(const char *at)
{
	uint64_t entry = *(const volatile char *)at == 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)at / PAGE * sizeof(entry))),
		 sizeof(entry));
	close(fd);
	return (entry >> 61 & 1) != 0;
}

static uint32_t
block_of(const char *at)
{
	for (uint64_t pfn = 0; pfn < 4 * BLOCK / PAGE; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(leaving.m, pfn);
		if (frame.state == MHP_FRAME_USED && frame.cookie == (uintptr_t)at)
			return (uint32_t)(pfn / (BLOCK / PAGE));
	}
	return UINT32_MAX;
}

/* The block is isolated by now. From here on both windows may go to the device; the one that is
 * looked at first is the one that leaves. */
static int
let_them_go(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx;
	if (notice->kind != MHP_GOING_OFFLINE_NOTICE || leaving.asked)
		return 0;
	leaving.asked = true;
	CHECK_EQ(munlock(leaving.base, 2 * WINDOW), 0);
	CHECK_OK(mhp_region_commit(leaving.region, leaving.base + 2 * WINDOW, PAGE));
	for (unsigned ms = 0; !is_settled(leaving.base + WINDOW) && ms < PATIENCE_MS; ms++)
		usleep(1000);
	return MHP_EBUSY;
}

/* Two windows with numbers of a device, in two blocks, that cannot go there yet. */
static void
make_leaving(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 16 * BLOCK, .block_bytes = BLOCK };
	struct mhp_backing device = { .kind = MHP_BACKING_MEMFD };
	struct mhp_blocks ram = { 0, 2 };
	CHECK_OK(mhp_pool_create(&opts, &leaving.pool, NULL));
	leaving.m = mhp_pool_engine(leaving.pool);
	leaving.asked = false;
	if (!mhp_pool_can_move(leaving.pool, NULL)) {
		CHECK_OK(mhp_pool_destroy(leaving.pool));
		test_skip("needs userfaultfd");
	}
	CHECK_OK(mhp_pool_add(leaving.pool, NULL, 2 * BLOCK, NULL, NULL, NULL));
	CHECK_OK(mhp_region_create(leaving.pool, "test", 2 * BLOCK, &leaving.region, NULL));
	leaving.base = mhp_region_base(leaving.region);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_OK(mhp_region_commit(leaving.region, leaving.base + i * WINDOW, WINDOW));
		memset(leaving.base + i * WINDOW, 1, WINDOW);
		CHECK_EQ(mlock(leaving.base + i * WINDOW, PAGE), 0);
	}
	CHECK_OK(mhp_pool_add(leaving.pool, &device, 2 * BLOCK, NULL, NULL, NULL));
	CHECK_OK(mhp_offline(leaving.m, &ram, 1, NULL, NULL));
	CHECK_OK(test_online(leaving.m, ram, MHP_ZONE_MOVABLE, NULL));
}

/* The companion is made later, and has the filter, too. */
static bool
refuse_protection(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)UFFDIO_WRITEPROTECT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* R37: whoever writes to what is copied and not protected loses what he wrote. */
TEST(settle__kernel_protects_nothing__memory_stays_where_it_is)
{
	int status = 0;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (!refuse_protection())
			_exit(2);
		make_leaving();
		CHECK_EQ(munlock(leaving.base, 2 * WINDOW), 0);
		usleep(LOOK_MS * 1000);
		_exit(settled_bytes() == 0 ? 0 : 1);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

/* R55: else it would come back at once, with everybody who uses it waiting twice. */
TEST(settle__block_is_leaving__its_window_stays)
{
	struct mhp_blocks all = { 0, 16 };
	struct mhp_blocks first = { 0, 1 };
	uint16_t id;
	make_leaving();
	first.first = block_of(leaving.base);
	CHECK(first.first >= 2 && first.first < 4);
	CHECK_NE(first.first, block_of(leaving.base + WINDOW));
	CHECK_EQ(settled_bytes(), 0);
	CHECK_OK(mhp_listener_add(leaving.m, let_them_go, NULL, 0, &id));
	CHECK_RET(mhp_offline(leaving.m, &first, 1, NULL, NULL), MHP_EBUSY);
	CHECK(is_settled(leaving.base + WINDOW));
	CHECK_EQ(settled_bytes(), WINDOW);
	CHECK_OK(mhp_listener_remove(leaving.m, id));
	mhp_region_destroy(leaving.region);
	CHECK_OK(mhp_remove(leaving.m, &all, 1, NULL, NULL));
	CHECK_OK(mhp_pool_destroy(leaving.pool));
}
