/* SPDX-License-Identifier: MIT */
/*
 * answers_test.c - what a served pool answers, asked without a socket between (R52, R68).
 *
 * Requests are carried out here, in the program, over one end of a pair of sockets. So a case can
 * have the system refuse memory in the middle of one, have the client gone, and ask what the
 * command never would. An answer is one JSON object on a line: an error has a code and a sentence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <memplug/control.h>
#include <memplug/watch.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attr.h"
#include "client.h"
#include "events.h"
#include "fixture.h"
#include "leave.h"
#include "socket.h"

#define BLOCK (UINT64_C(4) << 20)
#define BLOCKS 64U

static bool no_memory;                 /* mmap() is refused */
/* Or these calls of it, of this process and its companion. */
static _Atomic unsigned nr_calls, first_refused = UINT_MAX, last_refused;
static char answer[1 << 20];

void *__real_mmap64(void *start, size_t size, int rights, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *start, size_t size, int rights, int flags, int fd, off_t offset);

void *
__wrap_mmap64(void *start, size_t size, int rights, int flags, int fd, off_t offset)
{
	unsigned call = atomic_fetch_add(&nr_calls, 1);
	if (!no_memory && (call < first_refused || call > last_refused))
		return __real_mmap64(start, size, rights, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

/* ---- a pool that answers ---- */

static struct mhp_pool *
begin(const char *backing, unsigned nr_blocks)
{
	struct mhp_pool_opts opts = { .max_bytes = BLOCKS * BLOCK, .block_bytes = BLOCK,
				      .trace = mhp_control_trace };
	struct mhp_pool *pool = fixture_pool(&opts);
	struct mhp_add_opts online = { .flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY,
				       .zone = MHP_ZONE_MOVABLE };
	mhp__control.pool = pool;
	mhp__control.m = mhp_pool_engine(pool);
	mhp__control.opts = (struct mhp_control_opts){ .name = "answers" };
	mhp__control.opts.backing.node = -1;
	if (nr_blocks != 0)
		fixture_add(pool, backing, nr_blocks * BLOCK, &online);
	return pool;
}

static void
end(struct mhp_pool *pool)
{
	mhp__control = (struct mhp__control){ .listen_fd = -1 };
	fixture_end(pool, NULL);
}

/* Ask, and read what comes until the other end is closed. Returns the error, or 0. */
static int
ask(const char *request)
{
	char line[1024];
	int fd[2], error = 0;
	size_t used = 0;
	snprintf(line, sizeof(line), "%s\n", request);
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	struct timeval bound = { 20, 0 };
	int room = 1 << 20;
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(fd[1], SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	struct mhp__out out = { .fd = fd[0] };
	mhp__request(&out, line);
	mhp__out_flush(&out);
	if (out.fd >= 0)
		close(out.fd);
	for (ssize_t got = 1; got > 0; used += got > 0 ? (size_t)got : 0)
		got = recv(fd[1], answer + used, sizeof(answer) - 1 - used, 0);
	answer[used] = 0;
	close(fd[1]);
	test_at("%s: %.300s", request, answer);
	if (strncmp(answer, "{\"error\":", 9) == 0) {
		error = atoi(answer + 9);
		CHECK_CMP(error, <, 0);
		CHECK(strstr(answer, "\"text\":\"") != NULL);
	}
	CHECK(used != 0 && answer[0] == '{' && answer[used - 1] == '\n');
	return error;
}

static bool
says(const char *words)
{
	return strstr(answer, words) != NULL;
}

/* ---- text of others ---- */

/* R68 */
TEST(string__of_any_bytes__is_json_in_utf8)
{
	static const struct {
		const char *bytes, *json;
	} texts[] = {
		{ "a\"b\\c\n\x7f", "a\\\"b\\\\c\\u000a\\u007f" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98" },
		{ "\xc3", "\\u00c3" },                        /* cut */
		{ "\xe2\x82", "\\u00e2\\u0082" },
		{ "\x80", "\\u0080" },                        /* no first byte */
		{ "\xc1\x81", "\\u00c1\\u0081" },             /* longer than needed */
		{ "\xe0\x9f\xbf", "\\u00e0\\u009f\\u00bf" },
		{ "\xe0\xa0\x80", "\xe0\xa0\x80" },
		{ "\xf0\x8f\xbf\xbf", "\\u00f0\\u008f\\u00bf\\u00bf" },
		{ "\xf0\x90\x80\x80", "\xf0\x90\x80\x80" },
		{ "\xed\xa0\x80", "\\u00ed\\u00a0\\u0080" },   /* a surrogate */
		{ "\xed\x9f\xbf", "\xed\x9f\xbf" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080" }, /* beyond the last */
		{ "\xf5\x80\x80\x80", "\\u00f5\\u0080\\u0080\\u0080" },
	};
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char want[128];
		struct mhp__out out = { .fd = -1 };
		mhp__out_string(&out, "{", "x", texts[i].bytes);
		snprintf(want, sizeof(want), "{\"x\":\"%s\"", texts[i].json);
		test_at("text %u", i);
		CHECK_EQ(strcmp(out.text, want), 0);
	}
}

/* R57: each code has a sentence of its own, and each cause names the block or does not. */
TEST(refusal__of_any_kind__says_why)
{
	static const int codes[] = { MHP_EPERM, MHP_ENOENT, MHP_EINTR, MHP_ENXIO, MHP_EAGAIN,
				     MHP_ENOMEM, MHP_EBUSY, MHP_EEXIST, MHP_EINVAL, MHP_ECANCELED,
				     MHP_EIO };
	struct mhp_pool *pool = begin(NULL, 2);
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		for (unsigned k = 0; k < i; k++)
			CHECK_NE(strcmp(mhp__error_text(codes[i]), mhp__error_text(codes[k])), 0);
	struct {
		int code;
		struct mhp_why why;
		const char *words;
	} kinds[] = {
		{ MHP_EINVAL, { .cause = MHP_CAUSE_STATE }, "block 0: it is named twice" },
		{ MHP_ENODEV, { .cause = MHP_CAUSE_STATE }, "has taken its place" },
		{ MHP_EBUSY, { .cause = MHP_CAUSE_STATE }, "it is online" },
		{ MHP_EBUSY, { .cause = MHP_CAUSE_STATE, .block = 9 }, "it is not there" },
		{ MHP_EBUSY, { .cause = MHP_CAUSE_STATE, .block = 1 << 20 }, "it is not there" },
		{ MHP_ENOMEM, { .cause = MHP_CAUSE_ROOM, .room_missing = 3 },
		  "lack at least 12K in pieces of 4K" },
		{ MHP_ECANCELED, { .cause = MHP_CAUSE_CANCELED }, "cannot go: it was cancelled" },
		{ MHP_EINTR, { .cause = MHP_CAUSE_INTERRUPTED }, "cannot go: it gave way" },
		{ MHP_EAGAIN, { .cause = MHP_CAUSE_DEADLINE, .pfn = MHP_PFN_NONE },
		  "cannot go: it took" },
		{ MHP_EAGAIN, { .cause = MHP_CAUSE_DEADLINE, .pfn = 7 }, "block 0: " },
		{ MHP_EBUSY, { .cause = MHP_CAUSE_UNMOVABLE, .text = "mine" }, ": mine" },
		{ MHP_EBUSY, { .cause = MHP_CAUSE_UNMOVABLE, .nr_owners = 2 }, "},{\"owner\"" },
	};
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct mhp__out out = { .fd = -1 };
		mhp__out_refusal(&out, kinds[i].code, "go", &kinds[i].why);
		test_at("kind %u: %s", i, out.text);
		CHECK(strstr(out.text, kinds[i].words) != NULL);
	}
	end(pool);
}

/* ---- requests ---- */

/* R52 */
TEST(request__that_is_none__refused_by_name)
{
	struct mhp_pool *pool = begin(NULL, 2);
	CHECK_EQ(ask("hello"), MHP_EINVAL);
	CHECK(says("this is no request"));
	CHECK_EQ(ask("{\"request\":\"dance\"}"), MHP_EINVAL);
	CHECK(says("'dance' is no request"));
	CHECK_EQ(ask("{\"request\":\"add\"}"), MHP_EINVAL);
	CHECK(says("needs the field 'size'"));
	CHECK_EQ(ask("{\"request\":\"check\",\"size\":\"4M\"}"), MHP_EINVAL);
	CHECK(says("has no field 'size'"));
	CHECK_EQ(ask("{\"request\":\"add\",\"size\":\"4M\",\"zone\":\"moon\"}"), MHP_EINVAL);
	CHECK_EQ(ask("{\"request\":\"online\",\"blocks\":\"0\",\"zone\":\"moon\"}"), MHP_EINVAL);
	CHECK_EQ(ask("{\"request\":\"add\",\"size\":\"4M\",\"memmap\":\"moon\"}"), MHP_EINVAL);
	CHECK_EQ(ask("{\"request\":\"add\",\"size\":\"5M\"}"), MHP_EINVAL);
	CHECK(says("the nearest are 4M and 8M"));
	CHECK_EQ(ask("{\"request\":\"add\",\"size\":\"1M\"}"), MHP_EINVAL);
	CHECK(says("the nearest is 4M"));
	CHECK_EQ(ask("{\"request\":\"add\",\"size\":\"99999999T\"}"), MHP_EOVERFLOW);
	CHECK_EQ(ask("{\"request\":\"add\",\"size\":\"0\"}"), MHP_EINVAL);
	CHECK_EQ(ask("{\"request\":\"why\",\"blocks\":\"63\"}"), MHP_ENOENT);
	CHECK_EQ(ask("{\"request\":\"remove\",\"blocks\":\"0\",\"deadline_ms\":99999999999}"), 0);
	CHECK_EQ(ask("{\"request\":\"announce\",\"block\":1,\"action\":\"change\",\"as_of\":0}"),
		 MHP_ENODEV);
	CHECK_EQ(ask("{\"request\":\"monitor\",\"since\":9999}"), MHP_EINVAL);
	end(pool);
}

/* R51: all or nothing, whatever is in the way. */
TEST(resize__any_way__does_or_says_why)
{
	struct mhp_pool *pool = begin(NULL, 4);
	CHECK_OK(ask("{\"request\":\"resize\",\"size\":\"16M\"}"));
	CHECK(says("\"blocks\":4,\"add\":0,\"remove\":[]"));
	CHECK_OK(ask("{\"request\":\"resize\",\"size\":\"20M\",\"dry_run\":true}"));
	CHECK(says("\"blocks\":5,\"add\":1"));
	CHECK_OK(ask("{\"request\":\"resize\",\"size\":\"8M\",\"dry_run\":true}"));
	CHECK(says("\"remove\":[{\"first\":2,\"count\":2}]"));
	CHECK_EQ(ask("{\"request\":\"resize\",\"size\":\"1T\"}"), MHP_ENXIO);
	CHECK_EQ(ask("{\"request\":\"resize\",\"size\":\"63T\"}"), MHP_ENXIO);
	CHECK(says("ends at 256M"));
	no_memory = true;
	CHECK_EQ(ask("{\"request\":\"resize\",\"size\":\"4M\"}"), MHP_ENOMEM);
	no_memory = false;
	CHECK(says("no memory left"));
	mhp__control.opts.backing = (struct mhp_backing){ .kind = MHP_BACKING_FILE, .node = -1,
							  .path = "/no/such/file" };
	CHECK_NE(ask("{\"request\":\"resize\",\"size\":\"32M\"}"), 0);
	CHECK(says("/no/such/file"));
	CHECK_OK(ask("{\"request\":\"offline\",\"blocks\":\"1\"}"));
	CHECK_OK(ask("{\"request\":\"resize\",\"size\":\"12M\"}"));
	CHECK_OK(ask("{\"request\":\"list\"}"));
	CHECK(!says("\"index\":1,"));
	end(pool);
}

/* ---- the system has no memory; the client is gone ---- */

/* R52 */
TEST(request__no_memory_for_it__refused_and_nothing_changed)
{
	static const char *const requests[] = {
		"{\"request\":\"remove\",\"blocks\":\"0\"}",
		"{\"request\":\"offline\",\"blocks\":\"0-1\"}",
		"{\"request\":\"online\",\"blocks\":\"0-1\"}",
		"{\"request\":\"move\",\"blocks\":\"0\",\"to\":\"0\"}",
		"{\"request\":\"evacuate\",\"node\":0}",
		"{\"request\":\"why\",\"blocks\":\"0\"}",
		"{\"request\":\"resize\",\"size\":\"4M\"}",
		"{\"request\":\"monitor\",\"ranges\":true}",
	};
	struct mhp_pool *pool = begin(NULL, 4);
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		no_memory = true;
		int err = ask(requests[i]);
		no_memory = false;
		CHECK_NE(err, 0);
		CHECK_OK(ask("{\"request\":\"check\"}"));
		CHECK_OK(ask("{\"request\":\"ranges\"}"));
		CHECK(says("\"count\":4"));
	}
	end(pool);
}

static void
try_all(struct mhp_pool *pool, struct mhp_region *region)
{
	struct mhp_add_opts online = { .flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY,
				       .zone = MHP_ZONE_MOVABLE };
	struct mhp_tiering how = { .on = true, .bytes_per_s = 1 << 30, .look_permille = 500 };
	struct mhp_backing memfd;
	struct mhp_blocks ram = { 0, 3 }, device = { 3, 4 };
	struct mhp_text why;
	struct mhp *m = mhp_pool_engine(pool);
	CHECK_OK(mhp_backing_parse("memfd", &memfd, NULL));
	(void)!mhp_pool_add(pool, &memfd, 4 * BLOCK, &online, NULL, &why);
	(void)!mhp_offline(m, &ram, 1, NULL, NULL);
	(void)!mhp_pool_set_tiering(pool, &how, &why);
	usleep(5000); /* it may have begun to look */
	how.on = false;
	(void)!mhp_pool_set_tiering(pool, &how, &why);
	(void)!mhp_pool_look_bad(pool, NULL, &why);
	(void)!mhp_add(m, (struct mhp_blocks){ 20, 1 }, NULL, NULL);
	if (region != NULL)
		(void)!mhp_region_move(region, mhp_region_base(region), BLOCK, 0, NULL, NULL);
	(void)!test_online(m, ram, MHP_ZONE_MOVABLE, NULL);
	(void)!mhp_offline(m, &device, 1, NULL, NULL);
}

/* A pool from its beginning to its end. Nothing has to work, but for what has been given. */
static void
live(void)
{
	struct mhp_pool_opts opts = { .max_bytes = BLOCKS * BLOCK, .block_bytes = BLOCK };
	struct mhp_add_opts online = { .flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY,
				       .zone = MHP_ZONE_MOVABLE };
	struct mhp_pool *pool = NULL;
	struct mhp_region *region = NULL;
	struct mhp_text why;
	if (mhp_pool_create(&opts, &pool, &why) != 0)
		return;
	(void)!mhp_pool_add(pool, NULL, 3 * BLOCK, &online, NULL, &why);
	bool has = mhp_region_create(pool, "test", BLOCK, &region, NULL) == 0 &&
		   mhp_region_commit(region, mhp_region_base(region), BLOCK) == 0;
	if (has)
		fixture_write(mhp_region_base(region), BLOCK);
	try_all(pool, region);
	if (has)
		fixture_check(mhp_region_base(region), BLOCK);
	first_refused = UINT_MAX;
	CHECK_OK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL));
	fixture_add(pool, NULL, BLOCK, &online);
	fixture_end(pool, region);
}

/* R74: memory that is refused once, or from some call on, is an error of that call and no more. */
TEST(pool__memory_is_refused_at_any_call__lives_and_keeps_its_data)
{
	nr_calls = 0;
	live();
	unsigned nr = nr_calls;
	CHECK_CMP(nr, >, 10);
	for (unsigned call = 0; call < nr; call++)
		for (unsigned ever = 0; ever < 2; ever++) {
			test_at("call %u, %s", call, ever != 0 ? "and all after it" : "once");
			nr_calls = 0;
			last_refused = ever != 0 ? UINT_MAX - 1 : call;
			first_refused = call;
			live();
		}
}

/* R52: whoever has gone costs nothing more, however long his answer. */
TEST(request__client_is_gone__ends_early_and_changes_nothing)
{
	static const char *const requests[] = {
		"{\"request\":\"list\",\"all\":true}\n", "{\"request\":\"list\"}\n",
		"{\"request\":\"map\",\"cells\":64}\n", "{\"request\":\"files\"}\n",
		"{\"request\":\"why\",\"blocks\":\"0-31\"}\n", "{\"request\":\"attrs\"}\n",
		"{\"request\":\"metrics\"}\n", "{\"request\":\"poison\"}\n",
		"{\"request\":\"remove\",\"blocks\":\"0-31\"}\n", "{\"request\":\"ranges\"}\n",
		"{\"request\":\"add\",\"size\":\"4M\"}\n",
	};
	struct mhp_pool *pool = begin(NULL, 32);
	for (uint64_t i = 0; i < 60; i++) /* so that each list is long */
		CHECK_OK(mhp_bad_add(mhp__control.m, (i / 2 << 10) + 600 + i));
	for (uint32_t block = 1; block < 32; block += 2)
		CHECK_OK(mhp_offline(mhp__control.m, &(struct mhp_blocks){ block, 1 }, 1, NULL,
				     NULL));
	uint64_t before = mhp_generation(mhp__control.m);
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		char line[256];
		int fd[2];
		snprintf(line, sizeof(line), "%s", requests[i]);
		CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
		close(fd[1]);
		struct mhp__out out = { .fd = fd[0] };
		mhp__request(&out, line);
		mhp__out_flush(&out);
		close(fd[0]);
		test_at("%s", requests[i]);
		CHECK(out.used == 0);
	}
	CHECK_EQ(mhp_generation(mhp__control.m), before);
	end(pool);
}

/* ---- attributes ---- */

static uint64_t max_bytes;

static uint64_t
get_max(void)
{
	return max_bytes;
}

static void
set_max(uint64_t bytes)
{
	max_bytes = bytes;
}

static int
set_follow(bool on)
{
	return on ? MHP_EAGAIN : 0;
}

static int
set(const char *attr, const char *value)
{
	char line[512];
	snprintf(line, sizeof(line),
		 "{\"request\":\"write\",\"attr\":\"%s\",\"value\":\"%s\"}", attr, value);
	return ask(line);
}

static int
get(const char *attr)
{
	char line[256];
	snprintf(line, sizeof(line), "{\"request\":\"read\",\"attr\":\"%s\"}", attr);
	return ask(line);
}

/* R44: what a program cannot do is refused; what it can is handed on. */
TEST(attribute__of_a_heap__without_one_and_with_one)
{
	struct mhp_pool *pool = begin(NULL, 2);
	CHECK_EQ(set("follow", "on"), MHP_EOPNOTSUPP);
	CHECK(says("does not grow"));
	CHECK_EQ(set("follow", "moon"), MHP_EINVAL);
	CHECK_EQ(set("max_bytes", "1G"), MHP_EINVAL);
	mhp__control.opts.set_follow = set_follow;
	mhp__control.opts.set_max = set_max;
	mhp__control.opts.get_max = get_max;
	CHECK_EQ(set("follow", "on"), MHP_EAGAIN);
	CHECK_OK(set("follow", "off"));
	CHECK_OK(set("max_bytes", "64M\\n"));
	CHECK_EQ(max_bytes, UINT64_C(64) << 20);
	CHECK_EQ(set("max_bytes", "6x"), MHP_EINVAL);
	CHECK_EQ(set("max_bytes", "00000000000000000000000000000000000000064M"), MHP_EINVAL);
	CHECK_OK(get("max_bytes"));
	CHECK(says("67108864"));
	end(pool);
}

/* R43: words that an attribute does not know are refused, and change nothing. */
TEST(attribute__of_the_policy__odd_words_are_refused)
{
	static const char *const names[] = {
		"auto_online_blocks", "online_policy", "memmap_on_memory", "auto_movable_ratio",
		"auto_movable_numa_aware", "strict", "auto_online_attempts",
		"vm/enable_soft_offline", "memory0/state", "memory0/online", "node0/compact",
		"tiering",
	};
	static const char *const words[] = { "", "moon", "-1", "99999999999999999999",
					     "please" };
	struct mhp_pool *pool = begin(NULL, 2);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (unsigned k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			CHECK_NE(set(names[i], words[k]), 0);
	CHECK_OK(ask("{\"request\":\"ranges\"}"));
	CHECK(says("\"count\":2"));
	end(pool);
}

/* R70: there are slots as far as the pool may grow or has grown; what one was told, it keeps. */
TEST(firmware__slots__follow_the_pool)
{
	struct mhp_pool *pool = begin(NULL, 4);
	mhp__control.opts.get_max = get_max;
	max_bytes = 0;
	CHECK_EQ(mhp__firmware_blocks(), BLOCKS);
	max_bytes = UINT64_C(1) << 40;
	CHECK_EQ(mhp__firmware_blocks(), BLOCKS);
	max_bytes = 8 * BLOCK;
	CHECK_EQ(mhp__firmware_blocks(), 8);
	max_bytes = 2 * BLOCK;
	CHECK_EQ(mhp__firmware_blocks(), 4);
	max_bytes = 8 * BLOCK;
	CHECK_OK(set("firmware/memory6/memmap_on_memory", "1"));
	no_memory = true;
	CHECK_EQ(set("firmware/memory6/memmap_on_memory", "0"), MHP_ENOMEM);
	no_memory = false;
	CHECK_OK(set("firmware/memory6/memmap_on_memory", "0"));
	CHECK_OK(get("firmware/memory6/memmap_on_memory"));
	CHECK(says("0"));
	CHECK_EQ(set("firmware/memory6/memmap_on_memory", "moon"), MHP_EINVAL);
	CHECK_EQ(set("firmware/memory0/memmap_on_memory", "1"), MHP_EBUSY);
	CHECK_EQ(set("firmware/memory0/config", "0"), MHP_EBUSY);
	CHECK_EQ(set("firmware/memory6/config", "moon"), MHP_EINVAL);
	CHECK_OK(set("firmware/memory6/config", "1"));
	CHECK_OK(set("firmware/memory6/config", "1"));
	CHECK_OK(set("firmware/memory6/config", "0"));
	end(pool);
}

/* ---- pages that failed ---- */

/* R46 */
TEST(poison__any_page__is_told_as_what_it_is)
{
	char text[64];
	struct mhp_pool *pool = begin(NULL, 2);
	CHECK_OK(ask("{\"request\":\"poison\"}"));
	CHECK(says("\"pages\":[]"));
	CHECK_EQ(set("look_for_poison", "moon"), MHP_EINVAL);
	CHECK_EQ(set("look_for_poison", "0"), MHP_EINVAL);
	CHECK_OK(mhp_bad_add(mhp__control.m, 5000)); /* of a block that is not there */
	CHECK_OK(mhp_bad_add(mhp__control.m, 700));
	CHECK_OK(ask("{\"request\":\"poison\"}"));
	CHECK(says("\"pfn\":700") && says("\"pfn\":5000") && says("\"absent\""));
	snprintf(text, sizeof(text), "0x%x", 700 << 12);
	CHECK_EQ(set("hard_offline_page", text), MHP_EHWPOISON);
	CHECK_EQ(set("hard_offline_page", "0x0"), MHP_EBUSY);
	CHECK(says("descriptors"));
	CHECK_EQ(set("soft_offline_page", "0x0"), MHP_EIO);
	CHECK_EQ(set("hard_offline_page", "0x7f00000"), MHP_EBUSY);
	CHECK_EQ(set("soft_offline_page", "0x7f00000"), MHP_ENXIO);
	CHECK_OK(mhp_offline(mhp__control.m, &(struct mhp_blocks){ 1, 1 }, 1, NULL, NULL));
	CHECK_EQ(set("hard_offline_page", "0x600000"), MHP_ENXIO);
	CHECK_EQ(set("soft_offline_page", "0x600000"), MHP_EIO);
	CHECK_OK(set("vm/enable_soft_offline", "0"));
	CHECK_EQ(set("soft_offline_page", "0x300000"), MHP_EOPNOTSUPP);
	CHECK_OK(set("vm/enable_soft_offline", "1"));
	CHECK_OK(set("soft_offline_page", "0x300000"));
	end(pool);
}

/* ---- watch: devices by words ---- */

/* R66 */
TEST(watch__by_words__adds_and_releases_what_they_name)
{
	const struct mhp_watch_ops *ops = mhp_watch_pool_ops();
	char words[64], path[] = "/tmp/answers.XXXXXX";
	struct mhp_text why = { "" };
	int fd = mkstemp(path);
	CHECK(fd >= 0 && ftruncate(fd, 3 * (off_t)BLOCK) == 0);
	struct mhp_pool *pool = begin(NULL, 2);
	struct mhp_watch_pool watched = { .pool = pool };
	snprintf(words, sizeof(words), "file:%s", path);
	CHECK_EQ(ops->has(&watched, "floppy"), 0);
	CHECK_EQ(ops->add(&watched, "floppy", BLOCK, &why), MHP_EINVAL);
	CHECK_EQ(ops->release(&watched, "floppy", &why), MHP_EINVAL);
	CHECK_EQ(ops->has(&watched, words), 0);
	CHECK_OK(ops->release(&watched, words, &why));
	CHECK_OK(ops->add(&watched, words, 2 * BLOCK + 5, &why));
	CHECK_EQ(ops->has(&watched, words), 1);
	CHECK_EQ(ops->has(&watched, "file:/other"), 0);
	no_memory = true;
	int err = ops->release(&watched, words, &why);
	no_memory = false;
	CHECK_EQ(err, MHP_ENOMEM);
	CHECK_OK(ops->release(&watched, words, &why));
	CHECK_EQ(ops->has(&watched, words), 0);
	close(fd);
	unlink(path);
	end(pool);
}

/* R64 */
TEST(tiering__words__on_off_or_a_size)
{
	struct mhp_tiering how;
	struct mhp_text why = { "" };
	char text[MHP_TIERING_TEXT];
	CHECK_OK(mhp_tiering_parse("64M\n", &how, NULL));
	CHECK(how.on && how.bytes_per_s == UINT64_C(64) << 20);
	mhp_tiering_text(&how, text);
	CHECK_EQ(strcmp(text, "64M"), 0);
	CHECK_OK(mhp_tiering_parse("off", &how, NULL));
	CHECK(!how.on);
	CHECK_EQ(mhp_tiering_parse("0", &how, NULL), MHP_EINVAL);
	CHECK_EQ(mhp_tiering_parse("this is longer than any size could be", &how, &why),
		 MHP_EINVAL);
	CHECK(strstr(why.text, "such as 64M") != NULL);
}

/* ---- the socket's name ---- */

static char folder[64];

static void
open_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/answers.XXXXXX");
	CHECK(mkdtemp(folder) != NULL);
	CHECK_OK(setenv("MEMPLUG_RUNTIME_DIR", folder, 1));
	mhp__control.pid = (int)getpid();
	snprintf(mhp__control.name, sizeof(mhp__control.name), "answers");
}

static void
close_folder(void)
{
	char line[128];
	snprintf(line, sizeof(line), "rm -rf %s", folder);
	CHECK_OK(system(line));
}

static int
listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK_OK(listen(fd, 8));
	return fd;
}

/* R56: a folder that others write to, or that is none, is not served in. */
TEST(socket__folder_is_odd__refused_with_a_sentence)
{
	struct mhp_text why = { "" };
	open_folder();
	static const char *const words[] = { "No such file", "not a folder", "others may write" };
	for (unsigned i = 0; i < 3; i++) {
		char place[96];
		snprintf(place, sizeof(place), i == 0 ? "%s/no/where" : "%s/place", folder);
		CHECK_OK(setenv("MEMPLUG_RUNTIME_DIR", place, 1));
		if (i == 1)
			CHECK_OK(mknod(place, S_IFREG | 0600, 0));
		if (i == 2)
			CHECK(unlink(place) == 0 && mkdir(place, 0700) == 0 &&
			      chmod(place, 0722) == 0);
		CHECK_EQ(mhp__socket_open(&why), MHP_EPERM);
		test_at("%s", why.text);
		CHECK(strstr(why.text, words[i]) != NULL);
		CHECK_EQ(mhp__socket_open(NULL), MHP_EPERM);
	}
	if (geteuid() == 0) {
		CHECK_OK(chown(folder, 4711, 0));
		CHECK_OK(setenv("MEMPLUG_RUNTIME_DIR", folder, 1));
		CHECK_EQ(mhp__socket_open(&why), MHP_EPERM);
		CHECK(strstr(why.text, "another user") != NULL);
	}
	close_folder();
}

/* R56: a dead pool's name is taken, a living stranger's is not; nothing but our own is removed. */
TEST(socket__name_is_taken__another_is_found)
{
	struct mhp_text why = { "" };
	char path[128], again[160];
	open_folder();
	snprintf(path, sizeof(path), "%s/%d-answers.sock", folder, (int)getpid());
	int dead = listen_at(path);
	close(dead);
	int fd = mhp__socket_open(&why);
	CHECK(fd >= 0 && strcmp(mhp__control.path, path) == 0);
	/* Ours answers, as after an exec: the next one of this process takes it over, unless it
	 * cannot see that it is ours. */
	int next = mhp__socket_open(&why);
	char self[16] = "";
	(void)!readlink("/proc/self", self, sizeof(self) - 1);
	bool sees = atoi(self) == getpid();
	CHECK(next >= 0 && (strcmp(mhp__control.path, path) == 0) == sees);
	close(fd);
	if (!sees)
		unlink(path);
	mhp__socket_remove();
	CHECK_NE(access(path, F_OK), 0);
	/* What has our name by now is somebody's. */
	CHECK_OK(mknod(path, S_IFREG | 0600, 0));
	mhp__socket_remove();
	CHECK_OK(access(path, F_OK));
	unlink(path);
	close(next);
	/* A folder in its place can be no dead socket. */
	CHECK_OK(mkdir(path, 0700));
	snprintf(mhp__control.name, sizeof(mhp__control.name), "answers");
	fd = mhp__socket_open(&why);
	snprintf(again, sizeof(again), "%s", mhp__control.path);
	test_at("%s: %s", again, why.text);
	CHECK(fd < 0 || strcmp(again, path) != 0);
	if (fd >= 0) {
		mhp__socket_remove();
		close(fd);
	}
	memset(mhp__control.name, 'n', sizeof(mhp__control.name) - 1);
	snprintf(again, sizeof(again), "%s/%040d", folder, 0);
	CHECK_OK(setenv("MEMPLUG_RUNTIME_DIR", again, 1));
	CHECK_EQ(mhp__socket_open(&why), MHP_EPERM);
	close_folder();
}

/* ---- clients ---- */

/* R52: what is no pool's socket is passed over. */
TEST(peers__odd_names__are_no_pools)
{
	static const char *const names[] = { "x.sock", "0-a.sock", "-3-a.sock",
					     "99999999999-a.sock",
					     "5", "5-a.soc", "5a.sock", "7-dead.sock" };
	struct mhp__peer peers[2];
	struct mhp__unseen unseen;
	char path[128];
	open_folder();
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		close(listen_at(path));
	}
	CHECK_EQ(mhp__peers(peers, 2, &unseen), 0);
	CHECK_NE(access(path, F_OK), 0); /* a dead pool's goes */
	int fd[3];
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%d-pool.sock", folder, i + 1);
		fd[i] = listen_at(path);
	}
	CHECK_EQ(mhp__peers(peers, 2, &unseen), 2);
	CHECK_EQ(strcmp(peers[0].name, "pool"), 0);
	memset(peers[0].path, 'x', sizeof(peers[0].path) - 1);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	CHECK_OK(chmod(folder, 0722));
	CHECK_EQ(mhp__peers(peers, 2, &unseen), 0);
	CHECK(unseen.distrusted != NULL);
	close_folder();
}

/* R52: a line that nobody reads has an end, and so has an answer. */
TEST(client__nobody_reads__gives_up)
{
	int fd[2], small = 4096;
	size_t size = 8U << 20, used = 0;
	char *line = malloc(size), *text = NULL;
	CHECK(line != NULL);
	memset(line, ' ', size - 1);
	line[size - 1] = 0;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd));
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	CHECK_EQ(mhp__send_line(fd[0], line), -EAGAIN);
	CHECK_EQ(mhp__read_answer(fd[0], &text, &used), -EAGAIN);
	close(fd[1]);
	CHECK_EQ(mhp__send_line(fd[0], "x"), -ENODEV);
	CHECK_EQ(mhp__read_answer(fd[0], &text, &used), -ENODEV);
	close(fd[0]);
	CHECK_EQ(mhp__read_answer(fd[0], &text, &used), -EBADF);
	free(text);
	free(line);
}
