/* SPDX-License-Identifier: MIT */
/*
 * kernels_test.c - what older kernels and other machines say, which this one does not (R54, R60).
 *
 * open(), ioctl(), madvise() and mremap() of the port are wrapped: a path that a case names has the
 * text that the case invents, or is not there; a kernel before 6.11 cannot be asked for one
 * mapping, one before 6.8 moves no pages into holes, one before 5.6 has no openat2(); some have no
 * userfaultfd, or no huge pages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <memplug/companion.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "../../ports/linux/room.h"
#include "../../ports/linux/stage.h"
#include "../../ports/linux/text.h"
#include "../../ports/linux/view.h"
#include "fixture.h"

#define PAGE UINT64_C(4096)
#define HUGE (UINT64_C(2) << 20)
#define BLOCK (UINT64_C(8) << 20)
#define SIZE (3 * HUGE)
#define NODE 4U
#define HUGE_PAGES "/sys/kernel/mm/hugepages/hugepages-2048kB"
#define NOW UINT64_C(1000000000)
#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define PROCMAP_QUERY_TYPE 'f'
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* ---- another kernel ---- */

static struct {
	const char *path, *text;       /* NULL text: it is not there */
} files[8];
static atomic_uint nr_asked;           /* for what a case invents */
static atomic_bool is_old, no_features;
static atomic_bool no_remap;           /* outside of the companion */
static struct { int advice, error; } refused;

static void
invent(unsigned at, const char *path, const char *text)
{
	files[at].text = text;
	files[at].path = path;
}

static void
invent_nothing(void)
{
	memset(files, 0, sizeof(files));
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __real_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice);
void *__real_mremap(void *old, size_t old_size, size_t size, int flags, void *start);
void *__wrap_mremap(void *old, size_t old_size, size_t size, int flags, void *start);

static int
open_text(const char *text)
{
	int fd = memfd_create("invented", MFD_CLOEXEC);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

int
__wrap_open64(const char *path, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	mode_t mode = va_arg(more, mode_t);
	va_end(more);
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (files[i].path == NULL || strcmp(files[i].path, path) != 0)
			continue;
		atomic_fetch_add(&nr_asked, 1);
		if (files[i].text != NULL)
			return open_text(files[i].text);
		errno = ENOENT;
		return -1;
	}
	return __real_open64(path, flags, mode);
}

int
__wrap_ioctl(int fd, unsigned long request, void *arg)
{
	bool asks = _IOC_TYPE(request) == PROCMAP_QUERY_TYPE, moves = request == UFFDIO_MOVE;
	bool opens = request == UFFDIO_API && atomic_load(&no_features);
	if (!opens && !(atomic_load(&is_old) && (asks || moves)))
		return __real_ioctl(fd, request, arg);
	errno = asks ? ENOTTY : EINVAL;
	return -1;
}

int
__wrap_madvise(void *start, size_t size, int advice)
{
	if (refused.error == 0 || advice != refused.advice)
		return __real_madvise(start, size, advice);
	errno = refused.error;
	return -1;
}

void *
__wrap_mremap(void *old, size_t old_size, size_t size, int flags, void *start)
{
	if (!atomic_load(&no_remap) || mhp_companion_here())
		return __real_mremap(old, old_size, size, flags, start);
	errno = ENOMEM;
	return MAP_FAILED;
}

static void
refuse_advice(int advice, int error)
{
	refused.advice = advice;
	refused.error = error;
}

/* From now on, of this thread and what it starts. */
static bool
refuse_call(unsigned call, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* ---- one mapping ---- */

/* Three pages: of a file that is shared, nothing, ordinary memory. */
static char *
map_three(int *ret_file)
{
	char *start = mmap(NULL, 4 * PAGE, PROT_NONE, PRIVATE, -1, 0);
	*ret_file = memfd_create("file", MFD_CLOEXEC);
	CHECK(start != MAP_FAILED && *ret_file >= 0 && ftruncate(*ret_file, 4 * PAGE) == 0);
	CHECK(mmap(start, PAGE, RW, MAP_SHARED | MAP_FIXED, *ret_file, 2 * PAGE) == start);
	CHECK(munmap(start + PAGE, PAGE) == 0);
	CHECK(mprotect(start + 2 * PAGE, PAGE, RW) == 0);
	return start;
}

/* R54: a kernel that cannot be asked says the same by its list of all. */
TEST(mapping__kernel_with_and_without_query__is_the_same)
{
	int file;
	char *start = map_three(&file);
	uintptr_t at = (uintptr_t)start;
	for (unsigned i = 0; i < 2; i++) {
		struct mhp__mapping one, next, behind;
		atomic_store(&is_old, i != 0);
		test_at("%s", i == 0 ? "with" : "without");
		CHECK(mhp__view_mapping(at, &one));
		CHECK(one.start == at && one.end == at + PAGE && one.shared);
		CHECK(one.offset == 2 * PAGE && one.inode != 0);
		CHECK(mhp__view_mapping(at + PAGE, &next)); /* the next one */
		CHECK(next.start == at + 2 * PAGE && !next.shared && next.inode == 0);
		CHECK(!mhp__view_mapping(UINTPTR_MAX - PAGE, &behind));
		CHECK(mhp__view_shared(at) && !mhp__view_shared(at + PAGE));
		CHECK(!mhp__view_shared(at + 2 * PAGE));
	}
	atomic_store(&is_old, false);
	close(file);
	munmap(start, 4 * PAGE);
}

/* R38: what cannot be asked leaves a child with the rights that memory has by itself. */
TEST(rights__of_a_page__or_unknown)
{
	int file;
	char *start = map_three(&file);
	uintptr_t end = 0;
	CHECK(mprotect(start, PAGE, PROT_READ) == 0);
	int rights = mhp__view_rights((uintptr_t)start, &end);
	if (rights >= 0) { /* this kernel can be asked */
		CHECK_EQ(rights, PROT_READ);
		CHECK_EQ(end, (uintptr_t)start + PAGE);
	}
	CHECK_EQ(mhp__view_rights((uintptr_t)start + PAGE, &end), -1);
	atomic_store(&is_old, true);
	CHECK_EQ(mhp__view_rights((uintptr_t)start, &end), -1);
	atomic_store(&is_old, false);
	close(file);
	munmap(start, 4 * PAGE);
}

/* R54: without /proc nothing is known, and what is not known to be plain is not. */
TEST(proc__cannot_be_opened__nothing_is_plain)
{
	struct mhp__view view = { 0 };
	struct mhp__mapping mapping;
	struct mhp_text why = { "" };
	char *memory = mmap(NULL, PAGE, RW, PRIVATE | MAP_POPULATE, -1, 0);
	uintptr_t start = (uintptr_t)memory;
	CHECK(memory != MAP_FAILED);
	CHECK_EQ(mhp__view_in_use(start, start + PAGE), PAGE);
	invent(0, "/proc/self/smaps", NULL);
	invent(1, "/proc/self/maps", NULL);
	invent(2, "/proc/self/status", NULL);
	invent(3, "/proc/self/pagemap", NULL);
	CHECK_RET(mhp__view_plain(&view, start, start + PAGE, MHP_HUGE_AUTO, NOW, &why), MHP_EBUSY);
	CHECK_STR(why.text, "of unknown state");
	CHECK_EQ(view.pinned_kib, UINT64_MAX); /* there may be some */
	CHECK(!mhp__view_mapping(start, &mapping) && !mhp__view_shared(start));
	CHECK_EQ(mhp__view_in_use(start, start + PAGE), 0);
	invent_nothing();
	CHECK_OK(mhp__view_plain(&view, start, start + PAGE, MHP_HUGE_AUTO, NOW, NULL));
	munmap(memory, PAGE);
}

/* ---- marks ---- */

static int
look_at(const char *memory, uint64_t size, enum mhp_huge told, struct mhp_text *ret_why)
{
	struct mhp__view view = { 0 };
	uintptr_t start = (uintptr_t)memory;
	memset(ret_why, 0, sizeof(*ret_why));
	return mhp__view_plain(&view, start, start + size, told, NOW, ret_why);
}

/* R54: each has its words, which the reason of a refusal shows. */
TEST(mark__of_any_kind__is_named)
{
	static const struct { int advice, undo; const char *words; } rows[] = {
		{ MADV_WIPEONFORK, MADV_KEEPONFORK, "marked MADV_WIPEONFORK" },
		{ MADV_DONTFORK, MADV_DOFORK, "marked MADV_DONTFORK" },
		{ MADV_NOHUGEPAGE, MADV_HUGEPAGE, "marked MADV_NOHUGEPAGE" },
		{ MADV_DONTDUMP, MADV_DODUMP, "marked MADV_DONTDUMP" },
		{ MADV_MERGEABLE, MADV_UNMERGEABLE, "marked MADV_MERGEABLE" },
	};
	struct mhp_text why;
	char *start = mmap(NULL, 3 * PAGE, PROT_NONE, PRIVATE, -1, 0), *memory = start + PAGE;
	CHECK(start != MAP_FAILED && mprotect(memory, PAGE, RW) == 0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (madvise(memory, PAGE, rows[i].advice) != 0)
			continue; /* a kernel without it */
		CHECK_RET(look_at(memory, PAGE, MHP_HUGE_AUTO, &why), MHP_EBUSY);
		CHECK_STR(why.text, rows[i].words);
		/* We told it ourselves. */
		if (rows[i].advice == MADV_NOHUGEPAGE)
			CHECK_OK(look_at(memory, PAGE, MHP_HUGE_OFF, &why));
		CHECK_EQ(madvise(memory, PAGE, rows[i].undo), 0);
		CHECK_OK(look_at(memory, PAGE, MHP_HUGE_AUTO, &why));
	}
	munmap(start, 3 * PAGE);
}

TEST(rights__of_any_kind__are_named)
{
	static const struct { int rights; const char *words; } rows[] = {
		{ PROT_NONE, "made inaccessible by mprotect" },
		{ PROT_READ, "made read-only by mprotect" },
		{ RW | PROT_EXEC, "executable" },
	};
	struct mhp_text why;
	char *start = mmap(NULL, 3 * PAGE, RW, PRIVATE, -1, 0);
	CHECK(start != MAP_FAILED);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_EQ(mprotect(start + PAGE, PAGE, rows[i].rights), 0);
		CHECK_RET(look_at(start, 3 * PAGE, MHP_HUGE_AUTO, &why), MHP_EBUSY);
		CHECK_STR(why.text, rows[i].words);
	}
	CHECK_EQ(munmap(start + PAGE, PAGE), 0);
	CHECK_RET(look_at(start, 3 * PAGE, MHP_HUGE_AUTO, &why), MHP_EBUSY);
	CHECK_STR(why.text, "unmapped");
	munmap(start, 3 * PAGE);
}

/* What a kernel to come may mark, or a list that ends too soon. */
TEST(mark__that_is_unknown__is_not_plain)
{
	static const struct { const char *flags, *words; } rows[] = {
		{ "VmFlags: rd wr mr mw me ac sd \n", NULL }, { "VmFlags: rd wr\n", NULL },
		{ "VmFlags: rd wr zz mr \n", "marked in a way that we do not know" },
		{ "VmFlags: rd wr um \n", "watched by a userfaultfd" },
		{ "VmFlags: rd wr sh dc \n", NULL },
		{ "VmFlags: rd wr dc \n", "marked MADV_DONTFORK" },
		{ "Rss: 0 kB\n", "of unknown state" }, { "", "of unknown state" },
	};
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mhp_text why;
		char text[160];
		snprintf(text, sizeof(text),
			 "Size: 4 kB\n1000-2000 rw-p 00000000 00:00 0\nVmFlags: rd wr lo \n"
			 "10000-11000 rw-p 00000000 00:00 0\n%s", rows[i].flags);
		invent(0, "/proc/self/smaps", text);
		test_at("%s", rows[i].flags);
		int err = look_at((char *)0x10000, PAGE, MHP_HUGE_AUTO, &why);
		CHECK_EQ(err, rows[i].words != NULL ? MHP_EBUSY : 0);
		CHECK_STR(why.text, rows[i].words != NULL ? rows[i].words : "");
	}
	invent_nothing();
}

/* ---- room ---- */

#define CGROUP1 "/sys/fs/cgroup/memory/memory."
#define CGROUP2 "/sys/fs/cgroup/memory."
#define GIB "1073741824\n"
#define ALMOST "1073000000\n"
#define FREE "MemAvailable: 100000000 kB\n"

/* R54: what ordinary memory there is, by both versions of cgroups and by strict accounting. */
TEST(room__as_other_machines_say__is_counted)
{
	static const struct {
		const char *cgroups, *limit, *used, *stat, *strict, *memory;
		const char *words;     /* NULL: there is room */
	} rows[] = {
		{ "4:cpu,memory:/no\n", GIB, ALMOST, "total_inactive_file 0\n", "0", FREE,
		  CGROUP1 "limit_in_bytes, 1024 MiB, leaves 0 MiB" },
		{ "4:memory:/no\n3:cpu:/\n", GIB, ALMOST, NULL, "0", FREE,
		  CGROUP1 "limit_in_bytes, 1024 MiB," },
		{ "4:memory:/\n", GIB, ALMOST,
		  "cache 1\ntotal_inactive_file 900000000\ntotal_active_file 1", "0", FREE, NULL },
		{ "4:memory:/\n", GIB, ALMOST, "total_active_file 2000000000\n", "0", FREE, NULL },
		{ "4:memory:/\n", GIB, "1000\n", NULL, "0", FREE, NULL },
		{ "0::/no\n", GIB, ALMOST, "active_file 3", "0", FREE, CGROUP2 "max, 1024 MiB," },
		{ "0::/no\n", "max\n", ALMOST, NULL, "0", FREE, NULL },
		{ "rubbish\n1:memory\n2:cpu:/\n", GIB, ALMOST, NULL, "0", FREE, NULL },
		{ NULL, GIB, ALMOST, NULL, "0", FREE, NULL },
		{ "", NULL, NULL, NULL, "2",
		  FREE "CommitLimit: 1024000 kB\nCommitted_AS: 1023000 kB\n",
		  "strict overcommit (vm.overcommit_memory is 2) leaves 0 MiB" },
		{ "", NULL, NULL, NULL, "2", FREE "CommitLimit: 1000 kB\nCommitted_AS: 3000 kB",
		  "strict overcommit (vm.overcommit_memory is 2) leaves 0 MiB" },
		{ "", NULL, NULL, NULL, "2",
		  FREE "CommitLimit: 1024000 kB\nCommitted_AS: 3000 kB\n", NULL },
		{ "", NULL, NULL, NULL, "0", "MemAvailable: 1024 kB\nSwapFree: 1024 kB\n",
		  "the machine leaves 2 MiB" },
		{ "", NULL, NULL, NULL, "0", NULL, NULL },
	};
	char cgroup[40];
	int self = (int)getpid();
	snprintf(cgroup, sizeof(cgroup), "/proc/%d/cgroup", self);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mhp_text why = { "" };
		bool old = rows[i].cgroups != NULL && rows[i].cgroups[0] == '4';
		invent(0, cgroup, rows[i].cgroups);
		invent(1, old ? CGROUP1 "limit_in_bytes" : CGROUP2 "max", rows[i].limit);
		invent(2, old ? CGROUP1 "usage_in_bytes" : CGROUP2 "current", rows[i].used);
		invent(3, old ? CGROUP1 "stat" : CGROUP2 "stat", rows[i].stat);
		invent(4, "/proc/sys/vm/overcommit_memory", rows[i].strict);
		invent(5, "/proc/meminfo", rows[i].memory);
		invent(6, "/proc/self/status", NULL);
		int err = mhp__room_check(self, HUGE, HUGE, &why);
		test_at("row %u: %s", i, why.text);
		CHECK_EQ(err, rows[i].words != NULL ? MHP_ENOMEM : 0);
		CHECK(rows[i].words == NULL || strstr(why.text, rows[i].words) != NULL);
		invent_nothing();
	}
}

/* ---- room in a file ---- */

#define SHORT "MemAvailable: 3072 kB\n" /* a window needs 6 MiB */
#define TMPFS_MAGIC_NUMBER 0x01021994

static struct mhp_pool *make_pool(void);

/* Two windows of ordinary memory, and a device that they may go to. */
struct short_pool {
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base;
};

static struct short_pool
begin_short(const char *words)
{
	struct short_pool s = { .pool = make_pool() };
	fixture_needs_moves(s.pool);
	fixture_add(s.pool, NULL, BLOCK, NULL);
	fixture_add(s.pool, words, BLOCK, NULL);
	s.region = fixture_region(s.pool, 2 * HUGE);
	s.base = mhp_region_base(s.region);
	CHECK_OK(mhp_region_commit(s.region, s.base, 2 * HUGE));
	fixture_write(s.base, 2 * HUGE);
	return s;
}

/* Their block leaves, so that they go. */
static void
leave_block(const struct short_pool *s)
{
	struct mhp_blocks ram = { 0, 1 };
	CHECK_AGAIN(mhp_offline(mhp_pool_engine(s->pool), &ram, 1, NULL, NULL));
}

/* They stay while the machine is short of memory, which a file on a disk need not wait for. */
static void
go_while_short(const char *words, bool waits)
{
	struct short_pool s = begin_short(words);
	struct mhp_pool_stats stats = { 0 };
	test_at("%s", words);
	atomic_store(&nr_asked, 0);
	invent(0, "/proc/meminfo", SHORT);
	leave_block(&s);
	/* A window asks twice at most: one was decided on, the other is looked at. */
	for (unsigned ms = 0; waits && atomic_load(&nr_asked) < 3 && ms < FIXTURE_WAIT_MS; ms++)
		usleep(1000);
	if (waits) {
		mhp_pool_get_stats(s.pool, &stats);
		CHECK_CMP(atomic_load(&nr_asked), >=, 3);
		CHECK_EQ(stats.settled_bytes, 0);
		invent_nothing();
	}
	fixture_await_settled(s.pool, 2 * HUGE);
	invent_nothing();
	fixture_check(s.base, 2 * HUGE);
	fixture_end(s.pool, s.region);
}

/* A file of two blocks that has no memory yet: of this descriptor. */
static const char *
name_file(int fd)
{
	static char words[96];
	CHECK(fd >= 0 && ftruncate(fd, 2 * BLOCK) == 0);
	snprintf(words, sizeof(words), "file:/proc/%d/fd/%d", (int)getpid(), fd);
	return words;
}

/* R58: what goes to a file of memory needs more of it at first. */
TEST(settle__machine_is_short__only_a_file_on_a_disk_takes_it)
{
	char path[] = "./kernels-test.XXXXXX";
	struct statfs fs;
	int tmpfs = memfd_create("tmpfs", MFD_CLOEXEC), disk = mkstemp(path);
	CHECK(disk >= 0 && fstatfs(disk, &fs) == 0 && unlink(path) == 0);
	go_while_short("memfd", true);
	go_while_short(name_file(tmpfs), true);
	go_while_short(name_file(disk), fs.f_type == TMPFS_MAGIC_NUMBER);
	close(tmpfs);
	close(disk);
}

static void
go_to_ramfs(void)
{
	int fd = open("/mnt/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	go_while_short(name_file(fd), true);
}

/* R58: its memory is not even written elsewhere. */
TEST(settle__machine_is_short__a_file_of_ramfs_waits)
{
	if (geteuid() != 0)
		test_skip("needs root");
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) == 0 &&
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		    mount("none", "/mnt", "ramfs", 0, NULL) == 0)
			go_to_ramfs();
		_exit(0);
	}
	fixture_join(child);
}

/* R58: what goes there is no data any more, which a limit of that is for. */
TEST(settle__limit_of_data_is_reached__goes)
{
	struct short_pool s = begin_short("memfd");
	struct rlimit before, low;
	CHECK_EQ(getrlimit(RLIMIT_DATA, &before), 0);
	low = before;
	low.rlim_cur = (fixture_status_kib("VmData") << 10) + HUGE / 2;
	CHECK_EQ(setrlimit(RLIMIT_DATA, &low), 0);
	leave_block(&s);
	fixture_await_settled(s.pool, 2 * HUGE);
	CHECK_EQ(setrlimit(RLIMIT_DATA, &before), 0);
	fixture_check(s.base, 2 * HUGE);
	fixture_end(s.pool, s.region);
}

/* ---- sysfs ---- */

static bool
has_cpus(void)
{
	int fd = mhp__open_sysfs("devices/system/cpu/online", O_RDONLY);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* R60: before Linux 5.6, or in a sandbox that does not know openat2(); other refusals hold. */
TEST(sysfs__kernel_without_openat2__is_read)
{
	static const struct { int error; bool reads; } rows[] = {
		{ ENOSYS, true }, { EPERM, true }, { EACCES, false },
	};
	CHECK(has_cpus());
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0)
			_exit(refuse_call(SYS_openat2, (unsigned)rows[i].error) &&
			      has_cpus() == rows[i].reads ? 0 : 1);
		fixture_join(child);
	}
	invent(0, "/sys", NULL);
	CHECK(!has_cpus());
	invent_nothing();
}

/* ---- userfaultfd ---- */

static struct mhp_pool *
make_pool(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	return fixture_pool(&opts);
}

/* R37: who cannot have one is told what is missing, and what helps. */
TEST(guard__no_userfaultfd_to_be_had__says_why)
{
	static const struct { unsigned error; const char *words; } rows[] = {
		{ ENOSYS, "this kernel has no userfaultfd" },
		{ EPERM, "CAP_SYS_PTRACE (Operation not permitted)" },
		{ 0, "this kernel's userfaultfd cannot write-protect shared memory" },
	};
	struct mhp_pool *pool = make_pool();
	fixture_needs_moves(pool);
	CHECK_OK(mhp_pool_destroy(pool));
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			struct mhp_text why = { "" };
			invent(0, "/dev/userfaultfd", NULL);
			atomic_store(&no_features, rows[i].error == 0);
			CHECK(rows[i].error == 0 || refuse_call(SYS_userfaultfd, rows[i].error));
			pool = make_pool();
			test_at("%s", rows[i].words);
			CHECK(!mhp_pool_can_move(pool, NULL));
			CHECK(!mhp_pool_can_move(pool, &why));
			CHECK(strstr(why.text, rows[i].words) != NULL);
			_exit(0);
		}
		fixture_join(child);
	}
}

/* ---- huge pages ---- */

/* R36 */
TEST(huge__kernel_has_none__refused_with_a_sentence)
{
	struct mhp_pool *pool = make_pool();
	struct mhp_text why = { "" };
	fixture_add(pool, NULL, BLOCK, NULL);
	struct mhp_region *region = fixture_region(pool, 2 * HUGE);
	refuse_advice(MADV_HUGEPAGE, EINVAL);
	CHECK_RET(mhp_region_set_huge(region, MHP_HUGE_ON, NULL, &why), MHP_EOPNOTSUPP);
	CHECK_STR(why.text, "this kernel has no huge pages for ordinary memory");
	CHECK_RET(mhp_pool_set_huge(pool, MHP_HUGE_ON, &why), MHP_EOPNOTSUPP);
	CHECK_EQ(mhp_pool_get_huge(pool), MHP_HUGE_AUTO);
	refuse_advice(MADV_HUGEPAGE, ENOMEM);
	CHECK_RET(mhp_region_set_huge(region, MHP_HUGE_ON, NULL, &why), MHP_ENOSPC);
	CHECK(strstr(why.text, "no mapping left") != NULL);
	refuse_advice(0, 0);
	CHECK_OK(mhp_pool_set_huge(pool, MHP_HUGE_ON, &why));
	CHECK_EQ(mhp_pool_get_huge(pool), MHP_HUGE_ON);
	fixture_end(pool, region);
}

/* R60: what is missing is named. Only a lack of huge pages is called one. */
TEST(huge__device_of_them_gets_none__says_what_is_missing)
{
	const struct { int error, answer; const char *words; } rows[] = {
		{ EFAULT, MHP_ENOMEM, "8 MiB of free huge pages" },
		{ ENOMEM, MHP_ENOMEM, "of huge pages: Cannot allocate memory" },
		{ EINVAL, MHP_EINVAL, "of huge pages: Invalid argument" },
	};
	const struct mhp_backing device = { .kind = MHP_BACKING_HUGETLB_2M };
	struct mhp_text why = { "" };
	struct mhp_pool *pool = make_pool();
	if (access(HUGE_PAGES, F_OK) != 0)
		test_skip("needs file " HUGE_PAGES);
	invent(0, HUGE_PAGES "/nr_hugepages", "4\n");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		test_at("%s", rows[i].words);
		refuse_advice(MADV_POPULATE_WRITE, rows[i].error);
		CHECK_RET(mhp_pool_add(pool, &device, BLOCK, NULL, NULL, &why), rows[i].answer);
		CHECK(strstr(why.text, rows[i].words) != NULL);
	}
	refuse_advice(0, 0);
	invent_nothing();
	CHECK_OK(mhp_pool_destroy(pool));
}

/* ---- a pool on an older kernel ---- */

static struct {
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base, *mapped;
} used;

/* A region over all addresses; SIZE of it at a multiple of 2 MiB, with nothing behind. */
static void
begin(void)
{
	char file[] = "./kernels-test.XXXXXX", words[64];
	used.pool = make_pool();
	fixture_needs_moves(used.pool);
	int fd = mkstemp(file);
	CHECK(fd >= 0 && ftruncate(fd, 2 * BLOCK) == 0);
	close(fd);
	atomic_store(&is_old, true);
	fixture_add(used.pool, NULL, 2 * BLOCK, NULL);
	snprintf(words, sizeof(words), "file:%s,node=%u", file, NODE);
	fixture_add(used.pool, words, 2 * BLOCK, NULL);
	unlink(file);
	CHECK_OK(mhp_region_create_over(used.pool, "over", &used.region, NULL));
	used.mapped = mmap(NULL, SIZE + 2 * HUGE, PROT_NONE, PRIVATE, -1, 0);
	CHECK(used.mapped != MAP_FAILED);
	used.base = used.mapped + (HUGE - (uintptr_t)used.mapped % HUGE) % HUGE;
	CHECK_EQ(mprotect(used.base, SIZE, RW), 0);
	CHECK_OK(mhp_region_commit(used.region, used.base, SIZE));
	fixture_write(used.base, SIZE);
}

static void
end(void)
{
	CHECK_OK(mhp_region_hold(used.region, used.base, SIZE, false, NULL));
	CHECK_AGAIN(mhp_region_decommit(used.region, used.base, SIZE));
	CHECK_EQ(munmap(used.mapped, SIZE + 2 * HUGE), 0);
	mhp_region_release(used.region);
	fixture_end(used.pool, used.region);
	atomic_store(&is_old, false);
}

static void
send(unsigned node)
{
	fixture_send(used.pool, used.region, used.base, SIZE, node);
}

/* R37, R66: the same as on a newer one, by the list of all mappings and by copies; at first
 * without a huge page for them. */
TEST(over__kernel_without_query__there_and_back)
{
	begin();
	for (unsigned i = 0; i < 3; i++) {
		refuse_advice(MADV_COLLAPSE, i == 0 ? EINVAL : 0);
		send(NODE);
		fixture_check(used.base, SIZE);
		send(0);
		fixture_check(used.base, SIZE);
	}
	refuse_advice(0, 0);
	end();
}

TEST(over__kernel_without_query__what_is_not_the_devices_stays)
{
	begin();
	send(NODE);
	char *fresh = used.base + HUGE / 2;
	CHECK(mmap(fresh, HUGE, RW, PRIVATE | MAP_FIXED, -1, 0) == fresh);
	memset(fresh, 5, HUGE);
	CHECK_EQ(munmap(used.base + 2 * HUGE, HUGE), 0);
	send(0);
	fixture_check(used.base, HUGE / 2);
	for (uint64_t at = 0; at < HUGE; at += PAGE)
		CHECK_EQ(fresh[at], 5);
	CHECK_EQ(fixture_await_settled(used.pool, 0).settled_bytes, 0);
	end();
}

/* R38: a copy of what cannot come back; what rights it had is not known. */
TEST(over__kernel_without_query__child_has_a_copy)
{
	begin();
	send(NODE);
	CHECK_EQ(mprotect(used.base + PAGE, PAGE, PROT_READ), 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		fixture_check(used.base, SIZE);
		memset(used.base, 7, SIZE);
		_exit(0);
	}
	fixture_join(child);
	CHECK_EQ(mprotect(used.base + PAGE, PAGE, RW), 0);
	fixture_check(used.base, SIZE);
	end();
}

/* In a child of the case, whose companion is there when a fork is refused. */
static void
fork_in_vain(void)
{
	begin();
	send(NODE);
	CHECK(refuse_call(SYS_clone, EAGAIN));
	CHECK(mhp_fork() == -1 && errno == EAGAIN);
	CHECK(fork() == -1 && errno == EAGAIN);
	fixture_check(used.base, SIZE);
	fixture_await_settled(used.pool, SIZE); /* it goes there again */
	fixture_check(used.base, SIZE);
	CHECK_OK(mhp_check(mhp_pool_engine(used.pool), true, NULL, NULL));
	_exit(0);
}

/* R38: a fork that fails has changed nothing. */
TEST(fork__kernel_has_no_process_for_it__goes_on)
{
	struct mhp_pool *pool = make_pool();
	fixture_needs_moves(pool);
	CHECK_OK(mhp_pool_destroy(pool));
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		fork_in_vain();
	fixture_join(child);
}

/* R38: the copies of a child can be copied once more, where they cannot be moved to their place. */
TEST(fork__kernel_moves_no_mapping__child_has_a_copy)
{
	begin();
	send(NODE);
	CHECK_EQ(mlock(used.base + PAGE, PAGE), 0); /* this window cannot come back */
	atomic_store(&no_remap, true);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		fixture_check(used.base, SIZE);
		memset(used.base, 7, SIZE);
		_exit(0);
	}
	atomic_store(&no_remap, false);
	fixture_join(child);
	CHECK_EQ(munlock(used.base + PAGE, PAGE), 0);
	fixture_check(used.base, SIZE);
	end();
}
