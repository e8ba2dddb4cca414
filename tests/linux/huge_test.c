/* SPDX-License-Identifier: MIT */
/*
 * huge_test.c - whether memory is to be in huge pages: what the kernel is told, and that it lasts.
 *
 * The kernel's own list of mappings is what is looked at: its flags ("hg" wanted, "nh" not), and
 * how much of a mapping is in huge pages. A file stands in for a device.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define BLOCK (8UL << 20)
#define BLOCKS 32
#define DEVICE 4U                      /* its node */

struct world {
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base;
};

/* A pool of RAM, and a region of 8 windows. */
static struct world
make(void)
{
	struct mhp_pool_opts opts = { .max_bytes = BLOCKS * BLOCK, .block_bytes = BLOCK };
	struct world world = { .pool = fixture_pool(&opts) };
	fixture_add(world.pool, NULL, 3 * BLOCK, NULL);
	world.region = fixture_region(world.pool, 2 * BLOCK);
	world.base = mhp_region_base(world.region);
	return world;
}

static void
end(struct world *world)
{
	fixture_end(world->pool, world->region);
}

static void
set(struct world *world, enum mhp_huge how)
{
	CHECK_OK(mhp_region_set_huge(world->region, how, NULL, NULL));
}

/* What the kernel says of the mapping around an address. */
struct mapping {
	uintptr_t start, end;
	bool on, off;                  /* huge pages */
	unsigned eligible;             /* would the kernel give some? */
	unsigned long huge_kib;
};

static struct mapping
look(const void *address)
{
	struct mapping at = { 0 };
	unsigned long from, to;
	char line[512];
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "r");
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			here = from <= (uintptr_t)address && to > (uintptr_t)address;
			if (here)
				at = (struct mapping){ .start = from, .end = to };
		} else if (here && strncmp(line, "VmFlags:", 8) == 0) {
			at.on = strstr(line, " hg") != NULL;
			at.off = strstr(line, " nh") != NULL;
		} else if (here) {
			(void)!sscanf(line, "AnonHugePages: %lu", &at.huge_kib);
			(void)!sscanf(line, "THPeligible: %u", &at.eligible);
		}
	}
	fclose(file);
	return at;
}

static bool
is(const void *address, enum mhp_huge how)
{
	struct mapping at = look(address);
	return at.on == (how == MHP_HUGE_ON) && at.off == (how == MHP_HUGE_OFF);
}

static bool
kernel_gives_huge_pages(void)
{
	char word[64] = "";
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	if (file != NULL && fgets(word, sizeof(word), file) == NULL)
		word[0] = 0;
	if (file != NULL)
		fclose(file);
	return word[0] != 0 && strstr(word, "[never]") == NULL;
}

static int
move(const struct world *world, unsigned node, struct mhp_text *reterr)
{
	int err = MHP_EAGAIN;
	for (unsigned ms = 0; err == MHP_EAGAIN && ms < FIXTURE_WAIT_MS; ms++) {
		err = mhp_region_move(world->region, world->base, 2 * HUGE, node, NULL, reterr);
		if (err == MHP_EAGAIN)
			usleep(1000);
	}
	return err;
}

/* R51: what is said of a region holds for memory that is there and for memory to come, at once. */
TEST(huge__each_word__is_what_the_kernel_was_told)
{
	struct world world = make();
	CHECK_OK(mhp_region_commit(world.region, world.base, HUGE));
	CHECK(is(world.base, MHP_HUGE_AUTO));
	set(&world, MHP_HUGE_AUTO);
	CHECK(is(world.base, MHP_HUGE_AUTO));
	set(&world, MHP_HUGE_ON);
	CHECK_OK(mhp_region_commit(world.region, world.base + HUGE, HUGE));
	CHECK(is(world.base, MHP_HUGE_ON) && is(world.base + HUGE, MHP_HUGE_ON));
	set(&world, MHP_HUGE_OFF);
	CHECK_OK(mhp_region_commit(world.region, world.base + 2 * HUGE, HUGE));
	CHECK(is(world.base, MHP_HUGE_OFF) && is(world.base + 2 * HUGE, MHP_HUGE_OFF));
	/* All of it is one mapping still. */
	struct mapping first = look(world.base);
	CHECK(first.start <= (uintptr_t)world.base &&
	      first.end >= (uintptr_t)world.base + 3 * HUGE);
	end(&world);
}

/* R51: so memory that is touched comes in huge pages, or does not. */
TEST(huge__on_and_off__memory_comes_so)
{
	struct world world = make();
	if (!kernel_gives_huge_pages())
		test_skip("needs transparent huge pages (madvise or always)");
	set(&world, MHP_HUGE_OFF);
	CHECK_OK(mhp_region_commit(world.region, world.base, 4 * HUGE));
	fixture_write(world.base, 2 * HUGE);
	CHECK_EQ(look(world.base).huge_kib, 0);
	CHECK_EQ(look(world.base).eligible, 0);
	set(&world, MHP_HUGE_ON);
	CHECK_EQ(look(world.base).eligible, 1);
	/* The machine's memory may be in pieces just now: then once more. */
	for (unsigned ms = 0; look(world.base).huge_kib == 0 && ms < FIXTURE_WAIT_MS; ms += 10) {
		CHECK_OK(mhp_region_purge(world.region, world.base + 2 * HUGE, 2 * HUGE));
		fixture_write(world.base + 2 * HUGE, 2 * HUGE);
		usleep(10000);
	}
	CHECK_CMP(look(world.base).huge_kib, >=, HUGE / 1024);
	end(&world);
}

/* R51: the rest of a region is as before. */
TEST(huge__from_an_address__only_from_there)
{
	struct world world = make();
	CHECK_OK(mhp_region_commit(world.region, world.base, 4 * HUGE));
	CHECK_OK(mhp_region_set_huge(world.region, MHP_HUGE_ON, world.base + 2 * HUGE, NULL));
	CHECK(is(world.base + HUGE, MHP_HUGE_AUTO) && is(world.base + 2 * HUGE, MHP_HUGE_ON));
	set(&world, MHP_HUGE_OFF);
	CHECK(is(world.base + HUGE, MHP_HUGE_OFF) && is(world.base + 2 * HUGE, MHP_HUGE_OFF));
	end(&world);
}

/* R51: the kernel has no way back to what it does by itself, and we do not pretend one. */
TEST(huge__what_cannot_be__refused_with_a_sentence)
{
	struct world world = make();
	struct mhp_region *over;
	struct mhp_text why = { "" };
	enum mhp_huge how;
	set(&world, MHP_HUGE_ON);
	CHECK_RET(mhp_region_set_huge(world.region, MHP_HUGE_AUTO, NULL, &why), MHP_EOPNOTSUPP);
	CHECK(strstr(why.text, "does not take back") != NULL);
	CHECK_RET(mhp_region_set_huge(world.region, MHP_HUGE_OFF, world.base + HUGE, &why),
		  MHP_EOPNOTSUPP);
	CHECK_RET(mhp_region_set_huge(world.region, MHP_HUGE_OFF, world.base + PAGE, &why),
		  MHP_EINVAL);
	CHECK_RET(mhp_region_set_huge(world.region, MHP_HUGE_OFF, world.base + 2 * BLOCK, &why),
		  MHP_EINVAL);
	CHECK_RET(mhp_region_set_huge(world.region, MHP_HUGE_MODES, NULL, &why), MHP_EINVAL);
	CHECK_RET(mhp_pool_set_huge(world.pool, MHP_HUGE_MODES, &why), MHP_EINVAL);
	CHECK_OK(mhp_region_create_over(world.pool, "over", &over, NULL));
	CHECK_RET(mhp_region_set_huge(over, MHP_HUGE_ON, NULL, &why), MHP_EOPNOTSUPP);
	CHECK(strstr(why.text, "others map") != NULL);
	mhp_region_destroy(over);
	CHECK_RET(mhp_huge_parse("sometimes", &how, &why), MHP_EINVAL);
	CHECK(strstr(why.text, "not 'sometimes'") != NULL);
	CHECK_RET(mhp_huge_parse("", &how, &why), MHP_EINVAL);
	end(&world);
}

/* R51: what is said of a pool holds for its regions, and for those to come. */
TEST(huge__of_a_pool__all_regions)
{
	struct world world = make();
	struct mhp_text why;
	enum mhp_huge how;
	for (unsigned i = 0; i < MHP_HUGE_MODES; i++) {
		CHECK_OK(mhp_huge_parse(mhp_huge_word((enum mhp_huge)i), &how, NULL));
		CHECK_EQ(how, i);
		CHECK_OK(mhp_pool_set_huge(world.pool, how, NULL));
		CHECK_EQ(mhp_pool_get_huge(world.pool), how);
		struct mhp_region *later = fixture_region(world.pool, BLOCK);
		CHECK(is(world.base, how) && is(mhp_region_base(later), how));
		mhp_region_destroy(later);
	}
	CHECK_RET(mhp_pool_set_huge(world.pool, MHP_HUGE_AUTO, &why), MHP_EOPNOTSUPP);
	/* What was said of a region afterwards holds until something else is said. */
	set(&world, MHP_HUGE_ON);
	CHECK_EQ(mhp_pool_get_huge(world.pool), MHP_HUGE_OFF);
	CHECK_OK(mhp_pool_set_huge(world.pool, MHP_HUGE_OFF, NULL));
	CHECK(is(world.base, MHP_HUGE_OFF));
	end(&world);
}

/* Two windows with data, and a device. */
static struct world
make_with_device(void)
{
	struct world world = make();
	char path[] = "./huge-test.XXXXXX", words[64];
	fixture_needs_moves(world.pool);
	int fd = mkstemp(path);
	CHECK(fd >= 0 && ftruncate(fd, 2 * BLOCK) == 0);
	(void)snprintf(words, sizeof(words), "file:%s,node=%u", path, DEVICE);
	fixture_add(world.pool, words, 2 * BLOCK, NULL);
	unlink(path); /* whoever has it keeps it */
	close(fd);
	CHECK_OK(mhp_region_commit(world.region, world.base, 4 * HUGE));
	fixture_write(world.base, 4 * HUGE);
	return world;
}

/* R54: a window that was away has the mark again, and may go once more. */
TEST(huge__window_was_on_a_device__marked_as_before)
{
	struct world world = make_with_device();
	CHECK_AGAIN(mhp_region_decommit(world.region, world.base + 2 * HUGE, 2 * HUGE));
	for (unsigned how = MHP_HUGE_ON; how < MHP_HUGE_MODES; how++) {
		struct mhp_text why = { "" };
		set(&world, (enum mhp_huge)how);
		CHECK_OK(move(&world, DEVICE, &why));
		CHECK_EQ(fixture_await_settled(world.pool, 2 * HUGE).settled_bytes, 2 * HUGE);
		CHECK_OK(move(&world, 0, &why));
		fixture_await_settled(world.pool, 0);
		CHECK(is(world.base, (enum mhp_huge)how));
		fixture_check(world.base, 2 * HUGE);
	}
	/* What comes back as a whole comes in one huge page, unless it is not to. */
	CHECK_EQ(look(world.base).huge_kib, 0);
	end(&world);
}

/* R54: so has what is given up on a device and committed again. */
TEST(huge__given_up_on_a_device__marked_as_before)
{
	struct world world = make_with_device();
	set(&world, MHP_HUGE_OFF);
	CHECK_OK(move(&world, DEVICE, NULL));
	CHECK_AGAIN(mhp_region_decommit(world.region, world.base, 2 * HUGE));
	CHECK_OK(mhp_region_commit(world.region, world.base, 2 * HUGE));
	CHECK(is(world.base, MHP_HUGE_OFF) && is(world.base + 3 * HUGE, MHP_HUGE_OFF));
	end(&world);
}

/* R54: what is said while a window is on a device holds when it is back. */
TEST(huge__said_while_away__holds_when_it_is_back)
{
	struct world world = make_with_device();
	CHECK_OK(move(&world, DEVICE, NULL));
	set(&world, MHP_HUGE_OFF);
	CHECK(is(world.base + 2 * HUGE, MHP_HUGE_OFF) && !look(world.base).off);
	CHECK_OK(move(&world, 0, NULL));
	CHECK(is(world.base, MHP_HUGE_OFF));
	fixture_check(world.base, 4 * HUGE);
	end(&world);
}

/* R54: what the program says itself is the program's, whatever was said of the region before. */
TEST(huge__program_advises_itself__busy_unless_it_was_said)
{
	struct world world = make_with_device();
	struct mhp_text why = { "" };
	for (unsigned how = MHP_HUGE_AUTO; how < MHP_HUGE_OFF; how++) {
		set(&world, (enum mhp_huge)how);
		CHECK_EQ(madvise(world.base + PAGE, PAGE, MADV_NOHUGEPAGE), 0);
		CHECK_RET(move(&world, DEVICE, &why), MHP_EBUSY);
		CHECK_STR(why.text, "marked MADV_NOHUGEPAGE");
	}
	/* A look at memory of which it was said does not do where it was not. */
	set(&world, MHP_HUGE_OFF);
	CHECK_OK(move(&world, DEVICE, NULL));
	CHECK_OK(move(&world, 0, NULL));
	set(&world, MHP_HUGE_ON);
	CHECK_EQ(madvise(world.base, 4 * HUGE, MADV_NOHUGEPAGE), 0);
	CHECK_RET(move(&world, DEVICE, &why), MHP_EBUSY);
	fixture_check(world.base, 4 * HUGE);
	end(&world);
}

/* R54: a forked child has it, too, of what was copied for it. */
TEST(huge__forked_child__marked_as_its_parent)
{
	struct world world = make_with_device();
	set(&world, MHP_HUGE_OFF);
	CHECK_OK(move(&world, DEVICE, NULL));
	CHECK_OK(mhp_region_pin(world.region, world.base, HUGE)); /* it does not come back */
	pid_t child = fork();
	if (child == 0) {
		bool same = is(world.base, MHP_HUGE_OFF) && is(world.base + HUGE, MHP_HUGE_OFF);
		for (uint64_t at = 0; at < 4 * HUGE; at += PAGE)
			same &= memcmp(world.base + at, &at, sizeof(at)) == 0;
		_exit(!same);
	}
	fixture_join(child);
	CHECK_OK(mhp_region_unpin(world.region, world.base, HUGE));
	end(&world);
}
