/* SPDX-License-Identifier: MIT */
/*
 * port_test.c - the simulator and the fault port themselves.
 *
 * Every other test trusts them: that what is unmapped really faults, that a snapshot brings all of
 * it back, that each way to break the protocol is seen. So they are driven by hand here, through
 * the port functions, without an engine. The cases of the vmemmap are there where the build has
 * one.
 */
#include <pthread.h>
#include <stdlib.h>

#include "test.h"

#define TEXT_BYTES 256

struct rig {
	struct mhp_sim *sim;
	struct mhp_fault *fault;
	struct mhp_config config;
	uint64_t page, section, block; /* bytes */
};

static struct rig
rig_open(const struct mhp_sim_opts *opts, bool with_fault)
{
	struct rig rig = { 0 };
	struct mhp_sim_opts full = *opts;
	if (full.geometry.nr_blocks == 0)
		full.geometry = test_geometry("tiny2");
	full.descriptor_bytes = MHP_PAGE_BYTES;
	CHECK_OK(mhp_sim_create(&full, &rig.sim));
	mhp_sim_config(rig.sim, &rig.config);
	if (with_fault)
		CHECK_OK(mhp_fault_create(&rig.config, MHP_PAGE_BYTES, &rig.fault));
	rig.page = UINT64_C(1) << full.geometry.page_shift;
	rig.section = rig.page << full.geometry.section_order;
	rig.block = rig.page << full.geometry.block_order;
	return rig;
}

static void
rig_close(struct rig *rig)
{
	mhp_fault_destroy(rig->fault);
	mhp_sim_destroy(rig->sim);
}

static int
map(const struct rig *rig, uint64_t section)
{
	struct mhp_phys start = { section * rig->section };
	return rig->config.ops->map(rig->config.port, start, rig->section, 0);
}

static void
unmap(const struct rig *rig, uint64_t section)
{
	struct mhp_phys start = { section * rig->section };
	rig->config.ops->unmap(rig->config.port, start, rig->section);
}

static int
check_ram(const struct rig *rig, uint64_t start, uint64_t size)
{
	return rig->config.ops->check_ram(rig->config.port, (struct mhp_phys){ start }, size);
}

static int
meta_alloc(const struct rig *rig, uint64_t size, struct mhp_meta *ret_meta)
{
	return rig->config.ops->meta_alloc(rig->config.port, size, 0, ret_meta);
}

static void
meta_free(const struct rig *rig, const struct mhp_meta *meta)
{
	rig->config.ops->meta_free(rig->config.port, meta);
}

static void
lock(const struct rig *rig)
{
	rig->config.ops->lock(rig->config.port);
}

static void
unlock(const struct rig *rig)
{
	rig->config.ops->unlock(rig->config.port);
}

static void
touch(void *at)
{
	*(volatile unsigned char *)at = 1;
}

static bool
all_bytes(const unsigned char *at, size_t size, unsigned char byte)
{
	for (size_t i = 0; i < size; i++)
		if (at[i] != byte)
			return false;
	return true;
}

/* ---- simulator: memory ---- */

TEST(sim__unmapped_memory__faults) /* R27 */
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .mode = MHP_SIM_UNMAP }, false);
	unsigned char *second = rig.config.direct_map + rig.section;
	CHECK_EQ(test_signal_of(touch, second), SIGSEGV);
	CHECK_OK(map(&rig, 1));
	CHECK_EQ(test_signal_of(touch, second), 0);
	CHECK_EQ(test_signal_of(touch, second - 1), SIGSEGV);
	CHECK_EQ(test_signal_of(touch, second + rig.section), SIGSEGV);
	unmap(&rig, 1);
	CHECK_EQ(test_signal_of(touch, second), SIGSEGV);
	rig_close(&rig);
}

TEST(sim__plain_memory__always_there)
{
	struct mhp_sim_opts opts = { .geometry = test_geometry("micro1") };
	opts.vmemmap = false;
	struct rig rig = rig_open(&opts, false);
	CHECK_EQ(rig.page, 64);
	touch(rig.config.direct_map + rig.section * 11);
	CHECK_OK(map(&rig, 11));
	CHECK_EQ(rig.config.direct_map[rig.section * 11], 1);
	rig_close(&rig);
}

#if !TEST_TSAN
TEST(sim__64_tib__maps_and_unmaps)
{
	struct mhp_sim_opts opts = { .geometry = test_geometry("tera"), .meta_bytes = 1U << 20 };
	struct rig rig = rig_open(&opts, false);
	uint64_t last = (UINT64_C(1) << 46) / rig.section - 1;
	CHECK_OK(map(&rig, last));
	touch(rig.config.direct_map + (last + 1) * rig.section - 1);
	unmap(&rig, last);
	rig_close(&rig);
}
#endif

TEST(sim__fill__zero_garbage_keep)
{
	struct { bool after_first, after_second; } want[] = {
		[MHP_SIM_ZERO] = { true, true },
		[MHP_SIM_GARBAGE] = { false, false },
		[MHP_SIM_KEEP] = { true, false },
	};
	for (unsigned fill = MHP_SIM_ZERO; fill <= MHP_SIM_KEEP; fill++)
		for (unsigned mode = MHP_SIM_PLAIN; mode <= MHP_SIM_UNMAP; mode++) {
			test_at("fill %u, mode %u", fill, mode);
			struct mhp_sim_opts opts = { .mode = mode, .fill = fill, .seed = 7 };
			struct rig rig = rig_open(&opts, false);
			CHECK_OK(map(&rig, 2));
			unsigned char *at = rig.config.direct_map + 2 * rig.section;
			CHECK_EQ(all_bytes(at, rig.section, 0), want[fill].after_first);
			memset(at, 0xa5, rig.section);
			unmap(&rig, 2);
			CHECK_OK(map(&rig, 2));
			CHECK_EQ(all_bytes(at, rig.section, 0), want[fill].after_second);
			CHECK_EQ(all_bytes(at, rig.section, 0xa5), fill == MHP_SIM_KEEP);
			rig_close(&rig);
		}
}

TEST(sim__garbage__follows_from_seed)
{
	unsigned char *copies[3];
	for (unsigned i = 0; i < 3; i++) {
		struct rig rig = rig_open(
			&(struct mhp_sim_opts){ .fill = MHP_SIM_GARBAGE, .seed = i / 2 }, false);
		CHECK_OK(map(&rig, 0));
		copies[i] = malloc(rig.section);
		memcpy(copies[i], rig.config.direct_map, rig.section);
		rig_close(&rig);
	}
	CHECK_MEM(copies[0], copies[1], 4096);
	CHECK(memcmp(copies[0], copies[2], 4096) != 0);
	for (unsigned i = 0; i < 3; i++)
		free(copies[i]);
}

TEST(sim__stuck_page__shows_the_other)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .mode = MHP_SIM_UNMAP }, false);
	CHECK(mhp_sim_set_stuck(rig.sim, 9, 10));
	CHECK_OK(map(&rig, 9 * rig.page / rig.section));
	rig.config.direct_map[10 * rig.page] = 0x5a;
	CHECK_EQ(rig.config.direct_map[9 * rig.page], 0x5a);
	CHECK_EQ(rig.config.direct_map[11 * rig.page], 0);
	unmap(&rig, 9 * rig.page / rig.section);
	CHECK(mhp_sim_set_stuck(rig.sim, MHP_PFN_NONE, 0));
	CHECK_OK(map(&rig, 9 * rig.page / rig.section));
	rig.config.direct_map[10 * rig.page] = 0x5a;
	CHECK_EQ(rig.config.direct_map[9 * rig.page], 0);
	rig_close(&rig);
}

TEST(sim__holes__refused_by_check_ram)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ 0 }, false);
	CHECK_OK(check_ram(&rig, 0, rig.block));
	CHECK(mhp_sim_add_hole(rig.sim, (struct mhp_phys){ rig.page }, rig.page));
	CHECK_RET(check_ram(&rig, 0, rig.block), MHP_EINVAL);
	CHECK_RET(check_ram(&rig, 0, rig.page + 1), MHP_EINVAL);
	CHECK_OK(check_ram(&rig, 0, rig.page));
	CHECK_OK(check_ram(&rig, 2 * rig.page, rig.page));
	mhp_sim_clear_holes(rig.sim);
	CHECK_OK(check_ram(&rig, 0, rig.block));
	for (unsigned i = 0; i < MHP_SIM_HOLES_MAX; i++)
		CHECK(mhp_sim_add_hole(rig.sim, (struct mhp_phys){ 0 }, 1));
	CHECK(!mhp_sim_add_hole(rig.sim, (struct mhp_phys){ 0 }, 1));
	rig_close(&rig);
}

TEST(sim__instance_memory__zeroed_and_guarded)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ 0 }, false);
	unsigned char *at = mhp_sim_instance_memory(rig.sim, 1000);
	CHECK(at != NULL && (uintptr_t)at % 64 == 0);
	CHECK(all_bytes(at, 1024, 0));
	CHECK_EQ(test_signal_of(touch, at + 1024), SIGSEGV);
	CHECK(mhp_sim_instance_memory(rig.sim, 1000) == NULL);
	rig_close(&rig);
}

TEST(sim__bad_options__refused)
{
	struct mhp_sim *sim = NULL;
	struct mhp_sim_opts good = { .geometry = test_geometry("micro1") }, opts = good;
	opts.mode = MHP_SIM_UNMAP;
	CHECK_RET(mhp_sim_create(&opts, &sim), MHP_EINVAL);
	opts = good;
	opts.vmemmap = true;
	CHECK_RET(mhp_sim_create(&opts, &sim), MHP_EINVAL);
	opts = good;
	opts.geometry.nr_blocks = 0;
	CHECK_RET(mhp_sim_create(&opts, &sim), MHP_EINVAL);
	opts = good;
	opts.geometry.block_order = 30;
	opts.geometry.page_shift = 16;
	opts.geometry.nr_blocks = 2;
	CHECK_RET(mhp_sim_create(&opts, &sim), MHP_EINVAL);
	CHECK(sim == NULL);
}

/* ---- simulator: external metadata, clock, lock ---- */

TEST(sim__external_metadata__within_budget)
{
	struct mhp_meta a, b, c;
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .meta_bytes = 3 * 4096 }, false);
	CHECK_OK(meta_alloc(&rig, 4096, &a));
	memset(a.virt, 0xa5, a.size);
	CHECK_OK(meta_alloc(&rig, 2 * 4096, &b));
	CHECK_RET(meta_alloc(&rig, 4096, &c), MHP_ENOMEM);
	meta_free(&rig, &a);
	CHECK_OK(meta_alloc(&rig, 4096, &c));
	CHECK(c.virt == a.virt);
	CHECK(all_bytes(c.virt, c.size, 0));
	CHECK_EQ(mhp_sim_meta_used(rig.sim), 3 * 4096);
	meta_free(&rig, &c);
	meta_free(&rig, &b);
	mhp_sim_set_budget(rig.sim, 4096);
	CHECK_RET(meta_alloc(&rig, 2 * 4096, &a), MHP_ENOMEM);
	CHECK_OK(meta_alloc(&rig, 4096, &a));
	rig_close(&rig);
}

TEST(sim__external_metadata__refused_by_default) /* R2 */
{
	struct mhp_meta meta;
	struct rig rig = rig_open(&(struct mhp_sim_opts){ 0 }, false);
	CHECK_RET(meta_alloc(&rig, rig.page, &meta), MHP_ENOMEM);
	rig_close(&rig);
}

TEST(sim__external_metadata__faults_when_freed)
{
	struct mhp_meta meta;
	struct rig rig = rig_open(
		&(struct mhp_sim_opts){ .mode = MHP_SIM_UNMAP, .meta_bytes = 1U << 16 }, false);
	CHECK_OK(meta_alloc(&rig, 4096, &meta));
	CHECK_EQ(test_signal_of(touch, meta.virt), 0);
	meta_free(&rig, &meta);
	CHECK_EQ(test_signal_of(touch, meta.virt), SIGSEGV);
	rig_close(&rig);
}

TEST(sim__external_metadata__names_its_node) /* R3 */
{
	struct mhp_meta meta;
	struct mhp_sim_opts opts = { .meta_bytes = 1U << 16, .meta_nodes = 2 };
	struct rig rig = rig_open(&opts, false);
	CHECK_OK(rig.config.ops->meta_alloc(rig.config.port, 4096, 0, &meta));
	CHECK_EQ(meta.node, 1);
	rig_close(&rig);
	opts.meta_nodes = 0;
	rig = rig_open(&opts, false);
	CHECK_OK(rig.config.ops->meta_alloc(rig.config.port, 4096, 0, &meta));
	CHECK_EQ(meta.node, 0);
	rig_close(&rig);
}

TEST(sim__external_metadata__aligned_to_granules) /* R10 */
{
	struct mhp_meta meta[3];
	struct mhp_sim_opts opts = { .meta_bytes = 1U << 20,
				     .caps = { .granule_shift = 13, .large_granule_shift = 16 } };
	struct rig rig = rig_open(&opts, false);
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(meta_alloc(&rig, i < 2 ? 4096 : 1U << 16, &meta[i]));
	CHECK_EQ(meta[1].phys.addr - meta[0].phys.addr, 8192);
	CHECK_EQ(meta[2].phys.addr % (1U << 16), 0);
	rig_close(&rig);
}

TEST(sim__external_metadata__random_use__never_overlaps)
{
	struct mhp_meta out[16] = { 0 };
	uint64_t state = test_seed();
	struct rig rig = rig_open(
		&(struct mhp_sim_opts){ .meta_bytes = 64 * 4096, .fill = MHP_SIM_GARBAGE }, false);
	for (uint64_t i = 0, nr = test_ops(2000); i < nr; i++) {
		struct mhp_meta *meta = &out[test_random(&state) % 16];
		if (meta->size != 0) {
			CHECK(all_bytes(meta->virt, meta->size, (unsigned char)(meta - out)));
			meta_free(&rig, meta);
			meta->size = 0;
		} else if (meta_alloc(&rig, (test_random(&state) % 8 + 1) * 4096, meta) == 0) {
			CHECK(all_bytes(meta->virt, meta->size, 0));
			memset(meta->virt, (int)(meta - out), meta->size);
		}
	}
	rig_close(&rig);
}

TEST(sim__clock__moves_by_ticks_and_pauses)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .tick_ns = 10 }, false);
	uint64_t start = rig.config.ops->now_ns(rig.config.port);
	CHECK_EQ(rig.config.ops->now_ns(rig.config.port), start + 10);
	rig.config.ops->pause(rig.config.port, 500);
	mhp_sim_advance(rig.sim, 1000);
	CHECK_EQ(rig.config.ops->now_ns(rig.config.port), start + 1520);
	rig_close(&rig);
}

static void *
self_of_thread(void *ctx)
{
	struct rig *rig = ctx;
	return (void *)(uintptr_t)rig->config.ops->self(rig->config.port);
}

TEST(sim__self__one_for_each_thread)
{
	pthread_t thread;
	void *other = NULL;
	struct rig rig = rig_open(&(struct mhp_sim_opts){ 0 }, false);
	void *mine = self_of_thread(&rig);
	CHECK_EQ(pthread_create(&thread, NULL, self_of_thread, &rig), 0);
	CHECK_EQ(pthread_join(thread, &other), 0);
	CHECK(mine != NULL && other != NULL && mine != other && mine == self_of_thread(&rig));
	rig_close(&rig);
}

static void
map_twice(void *ctx)
{
	if (map(ctx, 0) == 0 && map(ctx, 0) == 0)
		abort();
}

static void
unmap_first(void *ctx)
{
	unmap(ctx, 0);
}

static void
lock_twice(void *ctx)
{
	lock(ctx);
	lock(ctx);
}

TEST(sim__nonsense__aborts)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ 0 }, false);
	CHECK_EQ(test_signal_of(map_twice, &rig), SIGABRT);
	CHECK_EQ(test_signal_of(unmap_first, &rig), SIGABRT);
	CHECK_EQ(test_signal_of(lock_twice, &rig), SIGABRT);
	rig_close(&rig);
}

TEST(sim__left_over__is_not_quiet)
{
	char text[TEXT_BYTES];
	struct mhp_meta meta;
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .meta_bytes = 1U << 16 }, false);
	CHECK_EQ(mhp_sim_check_quiet(rig.sim, text, sizeof(text)), 0);
	CHECK_OK(map(&rig, 0));
	CHECK_OK(meta_alloc(&rig, 4096, &meta));
	lock(&rig);
	CHECK_EQ(mhp_sim_check_quiet(rig.sim, text, sizeof(text)), 3);
	CHECK(strstr(text, "1 sections mapped") != NULL);
	unlock(&rig);
	meta_free(&rig, &meta);
	unmap(&rig, 0);
	CHECK_EQ(mhp_sim_check_quiet(rig.sim, text, sizeof(text)), 0);
	rig_close(&rig);
}

/* ---- simulator: snapshots ---- */

static void
check_snapshot(enum mhp_sim_mode mode)
{
	struct mhp_meta first, second;
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .mode = mode, .meta_bytes = 1U << 16 },
				  false);
	unsigned char *instance = mhp_sim_instance_memory(rig.sim, 128);
	unsigned char *memory = rig.config.direct_map;
	void *snapshot = malloc(mhp_sim_snapshot_size(rig.sim));
	CHECK_OK(map(&rig, 0));
	memory[5] = 55;
	instance[7] = 77;
	CHECK_OK(meta_alloc(&rig, 4096, &first));
	*(unsigned char *)first.virt = 99;
	mhp_sim_save(rig.sim, snapshot);
	uint64_t then = rig.config.ops->now_ns(rig.config.port);

	meta_free(&rig, &first);
	CHECK_OK(meta_alloc(&rig, 2 * 4096, &second));
	unmap(&rig, 0);
	CHECK_OK(map(&rig, 1));
	memory[rig.section] = 1;
	instance[7] = 0;
	mhp_sim_set_budget(rig.sim, 0);
	CHECK(mhp_sim_add_hole(rig.sim, (struct mhp_phys){ 0 }, 1));

	mhp_sim_restore(rig.sim, snapshot);
	CHECK(mhp_sim_is_mapped(rig.sim, (struct mhp_phys){ 0 }));
	CHECK(!mhp_sim_is_mapped(rig.sim, (struct mhp_phys){ rig.section }));
	CHECK_EQ(memory[5], 55);
	CHECK_EQ(instance[7], 77);
	CHECK_EQ(*(unsigned char *)first.virt, 99);
	CHECK_EQ(rig.config.ops->now_ns(rig.config.port), then);
	CHECK_OK(check_ram(&rig, 0, 1));
	CHECK_EQ(mhp_sim_meta_used(rig.sim), 4096);
	if (mode == MHP_SIM_UNMAP) {
		CHECK_EQ(test_signal_of(touch, memory + rig.section), SIGSEGV);
		CHECK_EQ(test_signal_of(touch, (unsigned char *)first.virt + 4096), SIGSEGV);
	}
	CHECK_OK(map(&rig, 1));
	CHECK_EQ(memory[rig.section], 0);
	free(snapshot);
	rig_close(&rig);
}

TEST(sim__snapshot__brings_all_of_it_back)
{
	check_snapshot(MHP_SIM_PLAIN);
	check_snapshot(MHP_SIM_UNMAP);
}

/* ---- fault port: failing ---- */

TEST(fault__nth_call__fails_once)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .meta_bytes = 1U << 16 }, true);
	struct mhp_meta meta;
	lock(&rig);
	mhp_fault_arm(rig.fault, 2, false, MHP_EIO);
	CHECK_OK(map(&rig, 0));
	CHECK_RET(map(&rig, 1), MHP_EIO);
	CHECK(!mhp_sim_is_mapped(rig.sim, (struct mhp_phys){ rig.section }));
	CHECK_OK(map(&rig, 1));
	CHECK_OK(meta_alloc(&rig, 4096, &meta));
	CHECK_OK(check_ram(&rig, 0, rig.block));
	CHECK_EQ(mhp_fault_fired(rig.fault), 1);
	CHECK_EQ(mhp_fault_calls(rig.fault), 5);
	CHECK_EQ(mhp_fault_calls_of(rig.fault, MHP_FAULT_MAP), 3);
	CHECK_EQ(mhp_fault_calls_of(rig.fault, MHP_FAULT_META_ALLOC), 1);
	unlock(&rig);
	CHECK_STR(mhp_fault_first(rig.fault), "");
	rig_close(&rig);
}

TEST(fault__nth_call__fails_from_there_on)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ 0 }, true);
	lock(&rig);
	mhp_fault_arm(rig.fault, 2, true, MHP_ENOMEM);
	CHECK_OK(map(&rig, 0));
	CHECK_RET(map(&rig, 1), MHP_ENOMEM);
	CHECK_RET(check_ram(&rig, 0, rig.page), MHP_ENOMEM);
	CHECK_EQ(mhp_fault_fired(rig.fault), 2);
	mhp_fault_arm(rig.fault, 0, false, 0);
	CHECK_OK(map(&rig, 1));
	CHECK_EQ(mhp_fault_fired(rig.fault), 0);
	unlock(&rig);
	rig_close(&rig);
}

TEST(fault__kinds__only_those_count)
{
	struct rig rig = rig_open(&(struct mhp_sim_opts){ 0 }, true);
	lock(&rig);
	mhp_fault_set_kinds(rig.fault, 1U << MHP_FAULT_CHECK_RAM);
	mhp_fault_arm(rig.fault, 1, false, MHP_EIO);
	CHECK_OK(map(&rig, 0));
	CHECK_RET(check_ram(&rig, 0, rig.page), MHP_EIO);
	CHECK_EQ(mhp_fault_calls(rig.fault), 1);
	unlock(&rig);
	rig_close(&rig);
}

/* ---- fault port: the protocol ---- */

/* The case has broken the protocol once more, in these words. */
static void
check_violation(struct rig *rig, const char *words)
{
	CHECK_EQ(mhp_fault_violations(rig->fault), 1);
	if (strstr(mhp_fault_first(rig->fault), words) == NULL)
		FAIL("\"%s\" does not say \"%s\"", mhp_fault_first(rig->fault), words);
	unlock(rig);
	rig_close(rig);
}

static struct rig
rig_open_locked(void)
{
	struct rig rig = rig_open(
		&(struct mhp_sim_opts){ .mode = MHP_SIM_UNMAP, .meta_bytes = 1U << 16 }, true);
	lock(&rig);
	return rig;
}

TEST(fault__map_of_part_of_a_section__recorded)
{
	struct rig rig = rig_open_locked();
	struct mhp_phys start = { 0 };
	CHECK_RET(rig.config.ops->map(rig.config.port, start, rig.page, 0), MHP_EINVAL);
	check_violation(&rig, "not a section");
}

TEST(fault__map_twice__recorded)
{
	struct rig rig = rig_open_locked();
	CHECK_OK(map(&rig, 3));
	CHECK_RET(map(&rig, 3), MHP_EINVAL);
	check_violation(&rig, "which is mapped");
}

TEST(fault__map_on_missing_node__recorded)
{
	struct rig rig = rig_open_locked();
	CHECK_OK(rig.config.ops->map(rig.config.port, (struct mhp_phys){ 0 }, rig.section, 9));
	check_violation(&rig, "node 9");
}

TEST(fault__unmap_without_map__recorded)
{
	struct rig rig = rig_open_locked();
	unmap(&rig, 3);
	check_violation(&rig, "not mapped");
}

TEST(fault__unmap_first_to_last__recorded) /* R27 */
{
	struct rig rig = rig_open_locked();
	CHECK_OK(map(&rig, 0));
	CHECK_OK(map(&rig, 1));
	unmap(&rig, 0);
	check_violation(&rig, "before a later section");
}

TEST(fault__unmap_last_to_first__is_right) /* R27 */
{
	char text[TEXT_BYTES];
	struct rig rig = rig_open_locked();
	for (uint64_t i = 0; i < 4; i++)
		CHECK_OK(map(&rig, i));
	unmap(&rig, 1);
	CHECK_EQ(mhp_fault_check_quiet(rig.fault, text, sizeof(text)), 2);
	unmap(&rig, 0);
	unmap(&rig, 3);
	unmap(&rig, 2);
	unlock(&rig);
	CHECK_EQ(mhp_fault_check_quiet(rig.fault, text, sizeof(text)), 0);
	CHECK_STR(mhp_fault_first(rig.fault), "");
	rig_close(&rig);
}

TEST(fault__check_ram_of_what_is_not_mapped__recorded)
{
	struct rig rig = rig_open_locked();
	CHECK_OK(check_ram(&rig, 0, rig.page));
	check_violation(&rig, "check_ram");
}

TEST(fault__meta_freed_with_another_record__recorded)
{
	struct mhp_meta meta;
	struct rig rig = rig_open_locked();
	CHECK_OK(meta_alloc(&rig, 4096, &meta));
	meta.size = 8192;
	meta_free(&rig, &meta);
	check_violation(&rig, "not out so");
}

TEST(fault__meta_of_part_of_a_page__recorded)
{
	struct mhp_meta meta;
	struct rig rig = rig_open_locked();
	CHECK_RET(meta_alloc(&rig, 100, &meta), MHP_EINVAL);
	check_violation(&rig, "meta_alloc of 100 bytes");
}

TEST(fault__call_without_lock__recorded)
{
	struct rig rig = rig_open_locked();
	unlock(&rig);
	CHECK_OK(map(&rig, 0));
	lock(&rig);
	check_violation(&rig, "map without the hotplug lock");
}

TEST(fault__call_that_cannot_fail_without_lock__recorded)
{
	struct mhp_meta meta;
	struct rig rig = rig_open_locked();
	CHECK_OK(map(&rig, 0));
	CHECK_OK(meta_alloc(&rig, 4096, &meta));
	unlock(&rig);
	unmap(&rig, 0);
	CHECK_EQ(mhp_fault_violations(rig.fault), 1);
	meta_free(&rig, &meta);
	CHECK_EQ(mhp_fault_violations(rig.fault), 2);
	rig.config.ops->pause(rig.config.port, 1);
	CHECK_EQ(mhp_fault_violations(rig.fault), 3);
	CHECK_STR(mhp_fault_first(rig.fault), "unmap without the hotplug lock");
	rig_close(&rig);
}

TEST(fault__any_context_calls_without_lock__are_right)
{
	struct rig rig = rig_open_locked();
	unlock(&rig);
	CHECK_NE(rig.config.ops->now_ns(rig.config.port), 0);
	CHECK_NE(rig.config.ops->self(rig.config.port), 0);
	CHECK_EQ(mhp_fault_violations(rig.fault), 0);
	rig_close(&rig);
}

TEST(fault__lock_twice__recorded)
{
	struct rig rig = rig_open_locked();
	lock(&rig);
	unlock(&rig);
	check_violation(&rig, "lock by a thread that has it");
}

TEST(fault__unlock_without_lock__recorded)
{
	struct rig rig = rig_open_locked();
	unlock(&rig);
	unlock(&rig);
	lock(&rig);
	check_violation(&rig, "unlock by a thread that does not have it");
}

TEST(fault__fallible_call_in_rollback__recorded)
{
	struct rig rig = rig_open_locked();
	mhp_fault_begin(rig.fault, false);
	mhp_fault_arm(rig.fault, 1, false, MHP_EIO);
	CHECK_RET(map(&rig, 0), MHP_EIO);
	CHECK_EQ(mhp_fault_violations(rig.fault), 0);
	CHECK_OK(map(&rig, 0));
	check_violation(&rig, "after a call that failed");
}

TEST(fault__failure_of_the_port_itself__starts_rollback)
{
	struct mhp_meta meta;
	struct rig rig = rig_open_locked();
	mhp_fault_begin(rig.fault, false);
	CHECK_RET(meta_alloc(&rig, 1U << 20, &meta), MHP_ENOMEM);
	CHECK_OK(map(&rig, 0));
	check_violation(&rig, "after a call that failed");
}

TEST(fault__fallible_call_after_failure__fine_in_another_call)
{
	struct rig rig = rig_open_locked();
	mhp_fault_arm(rig.fault, 1, false, MHP_EIO);
	mhp_fault_begin(rig.fault, true);
	CHECK_RET(map(&rig, 0), MHP_EIO);
	CHECK_OK(map(&rig, 0));
	unlock(&rig);
	mhp_fault_end(rig.fault);
	lock(&rig);
	mhp_fault_begin(rig.fault, false);
	CHECK_OK(map(&rig, 1));
	CHECK_EQ(mhp_fault_violations(rig.fault), 0);
	mhp_fault_end(rig.fault);
	check_violation(&rig, "returned with the hotplug lock");
}

TEST(fault__snapshot__brings_the_ledger_back)
{
	struct rig rig = rig_open_locked();
	void *ledger = malloc(mhp_fault_snapshot_size(rig.fault));
	void *memory = malloc(mhp_sim_snapshot_size(rig.sim));
	CHECK_OK(map(&rig, 0));
	mhp_fault_save(rig.fault, ledger);
	mhp_sim_save(rig.sim, memory);
	CHECK_OK(map(&rig, 1));
	unmap(&rig, 1);
	unmap(&rig, 0);
	mhp_fault_restore(rig.fault, ledger);
	mhp_sim_restore(rig.sim, memory);
	CHECK_EQ(mhp_fault_calls_of(rig.fault, MHP_FAULT_MAP), 1);
	unmap(&rig, 0);
	unlock(&rig);
	CHECK_EQ(mhp_fault_violations(rig.fault), 0);
	free(ledger);
	free(memory);
	rig_close(&rig);
}

#if MHP_VMEMMAP

/* ---- simulator: vmemmap ---- */

/* Block 1 holds its own descriptors: map and unmap all of them, onto its first pages. */
static int
memmap_map(const struct rig *rig, struct mhp_altmap *altmap)
{
	uint64_t granules = rig->block / rig->page * MHP_PAGE_BYTES / rig->page;
	unsigned char *virt = rig->config.vmemmap;
	return rig->config.ops->memmap_map(rig->config.port, virt + granules * rig->page,
					   (struct mhp_phys){ rig->block }, granules,
					   rig->config.caps.granule_shift, altmap);
}

static void
memmap_unmap(const struct rig *rig, struct mhp_altmap *altmap)
{
	uint64_t granules = rig->block / rig->page * MHP_PAGE_BYTES / rig->page;
	unsigned char *virt = rig->config.vmemmap;
	rig->config.ops->memmap_unmap(rig->config.port, virt + granules * rig->page, granules,
				      rig->config.caps.granule_shift, altmap);
}

/* Block 1 mapped, with an altmap from which the descriptors are taken. */
static struct rig
rig_open_vmemmap(bool with_fault, uint16_t tables, struct mhp_altmap *altmap)
{
	uint64_t pfn;
	struct rig rig = rig_open(&(struct mhp_sim_opts){ .mode = MHP_SIM_UNMAP,
							  .vmemmap = true,
							  .meta_bytes = 1U << 20,
							  .caps = { .tables_per_block = tables } },
				  with_fault);
	uint32_t nr = (uint32_t)(rig.block / rig.page * MHP_PAGE_BYTES / rig.page);
	*altmap = (struct mhp_altmap){ rig.block / rig.page, nr + tables, 0 };
	CHECK_OK(mhp_altmap_alloc(altmap, nr, &pfn));
	if (with_fault)
		lock(&rig);
	for (uint64_t i = 0; i < rig.block / rig.section; i++)
		CHECK_OK(map(&rig, rig.block / rig.section + i));
	return rig;
}

TEST(sim__vmemmap__shows_the_same_frames)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(false, 0, &altmap);
	uint64_t offset = rig.block / rig.page * MHP_PAGE_BYTES;
	unsigned char *virt = rig.config.vmemmap;
	CHECK_EQ(test_signal_of(touch, virt + offset), SIGSEGV);
	CHECK_OK(memmap_map(&rig, &altmap));
	virt[offset + 3] = 33;
	CHECK_EQ(rig.config.direct_map[rig.block + 3], 33);
	CHECK_EQ(*mhp_sim_backdoor(rig.sim, (struct mhp_phys){ rig.block + 3 }), 33);
	CHECK_EQ(test_signal_of(touch, virt + offset - 1), SIGSEGV);
	memmap_unmap(&rig, &altmap);
	CHECK_EQ(test_signal_of(touch, virt + offset), SIGSEGV);
	rig_close(&rig);
}

TEST(sim__vmemmap__is_restored_by_snapshots)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(false, 0, &altmap);
	unsigned char *virt = rig.config.vmemmap;
	unsigned char *at = virt + rig.block / rig.page * MHP_PAGE_BYTES;
	void *before = malloc(mhp_sim_snapshot_size(rig.sim));
	void *after = malloc(mhp_sim_snapshot_size(rig.sim));
	mhp_sim_save(rig.sim, before);
	CHECK_OK(memmap_map(&rig, &altmap));
	*at = 33;
	mhp_sim_save(rig.sim, after);
	mhp_sim_restore(rig.sim, before);
	CHECK_EQ(test_signal_of(touch, at), SIGSEGV);
	mhp_sim_restore(rig.sim, after);
	CHECK_EQ(*at, 33);
	memmap_unmap(&rig, &altmap);
	free(before);
	free(after);
	rig_close(&rig);
}

TEST(sim__page_tables__from_the_altmap_and_back) /* R5 */
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(false, 2, &altmap);
	uint32_t descriptors = altmap.allocated;
	CHECK_OK(memmap_map(&rig, &altmap));
	CHECK_EQ(altmap.allocated, descriptors + 2);
	memmap_unmap(&rig, &altmap);
	CHECK_EQ(altmap.allocated, descriptors);
	altmap.capacity--;
	altmap.allocated = descriptors;
	CHECK_RET(memmap_map(&rig, &altmap), MHP_ENOMEM);
	CHECK_EQ(altmap.allocated, descriptors);
	CHECK_OK(memmap_map(&rig, NULL));
	CHECK_EQ(altmap.allocated, descriptors);
	rig_close(&rig);
}

struct overwrite {
	struct rig *rig;
	struct mhp_altmap *altmap;
};

static void
overwrite_table(void *ctx)
{
	struct overwrite *overwrite = ctx;
	uint64_t pfn = overwrite->altmap->base_pfn + overwrite->altmap->allocated - 1;
	overwrite->rig->config.direct_map[pfn * overwrite->rig->page + 100] ^= 1;
	memmap_unmap(overwrite->rig, overwrite->altmap);
}

TEST(sim__page_tables__overwritten__found_out)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(false, 1, &altmap);
	CHECK_OK(memmap_map(&rig, &altmap));
	CHECK_EQ(test_signal_of(overwrite_table, &(struct overwrite){ &rig, &altmap }), SIGABRT);
	rig_close(&rig);
}

/* ---- fault port: the vmemmap ---- */

TEST(fault__memmap__right_use_is_right)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 1, &altmap);
	CHECK_OK(memmap_map(&rig, &altmap));
	memmap_unmap(&rig, &altmap);
	CHECK_STR(mhp_fault_first(rig.fault), "");
	unlock(&rig);
	rig_close(&rig);
}

TEST(fault__memmap_failing__takes_no_tables)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 1, &altmap);
	uint32_t allocated = altmap.allocated;
	mhp_fault_arm(rig.fault, 1, false, MHP_ENOMEM);
	CHECK_RET(memmap_map(&rig, &altmap), MHP_ENOMEM);
	CHECK_EQ(altmap.allocated, allocated);
	unlock(&rig);
	rig_close(&rig);
}

TEST(fault__memmap_twice__recorded)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	uint64_t pages = rig.block / rig.page;
	unsigned char *virt = (unsigned char *)rig.config.vmemmap + pages * MHP_PAGE_BYTES;
	struct mhp_phys backing = { rig.block };
	for (unsigned i = 0; i < 2; i++)
		CHECK_RET(rig.config.ops->memmap_map(rig.config.port, virt, backing, 1,
						     rig.config.caps.granule_shift, &altmap),
			  i == 0 ? 0 : MHP_EINVAL);
	check_violation(&rig, "which is mapped");
}

TEST(fault__memmap_onto_nothing__recorded)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	for (uint64_t i = rig.block / rig.section; i-- > 0;)
		unmap(&rig, rig.block / rig.section + i);
	CHECK_RET(memmap_map(&rig, &altmap), MHP_EINVAL);
	check_violation(&rig, "which is not there");
}

TEST(fault__memmap_onto_itself_without_altmap__recorded)
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	CHECK_RET(memmap_map(&rig, NULL), MHP_EINVAL);
	check_violation(&rig, "without its altmap");
}

TEST(fault__memmap_with_altmap_of_another_block__recorded) /* R28 */
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	altmap.base_pfn = 0;
	CHECK_RET(memmap_map(&rig, &altmap), MHP_EINVAL);
	check_violation(&rig, "with another's altmap");
}

TEST(fault__memmap_slice_of_two_blocks__recorded) /* R10 */
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	uint64_t granules = rig.block / rig.page * MHP_PAGE_BYTES / rig.page;
	unsigned char *virt = (unsigned char *)rig.config.vmemmap + granules * rig.page;
	struct mhp_phys backing = { rig.block };
	CHECK_RET(rig.config.ops->memmap_map(rig.config.port, virt, backing, granules + 1,
					     rig.config.caps.granule_shift, &altmap),
		  MHP_EINVAL);
	check_violation(&rig, "serves two blocks");
}

TEST(fault__memmap_unmap_first_to_last__recorded) /* R27 */
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	unsigned char *virt = rig.config.vmemmap;
	CHECK_OK(memmap_map(&rig, &altmap));
	virt += rig.block / rig.page * MHP_PAGE_BYTES;
	rig.config.ops->memmap_unmap(rig.config.port, virt, 1, rig.config.caps.granule_shift,
				     &altmap);
	check_violation(&rig, "before a later granule");
}

TEST(fault__memmap_unmap_with_another_altmap__recorded) /* R28 */
{
	struct mhp_altmap altmap, other = { 0 };
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	CHECK_OK(memmap_map(&rig, &altmap));
	memmap_unmap(&rig, &other);
	check_violation(&rig, "not mapped so");
}

TEST(fault__section_gone_under_its_memmap__recorded) /* R27 */
{
	struct mhp_altmap altmap;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	CHECK_OK(memmap_map(&rig, &altmap));
	for (uint64_t i = rig.block / rig.section; i-- > 0;)
		unmap(&rig, rig.block / rig.section + i);
	CHECK_CMP(mhp_fault_violations(rig.fault), >=, 1);
	CHECK(strstr(mhp_fault_first(rig.fault), "on which a memmap still lies") != NULL);
	unlock(&rig);
	rig_close(&rig);
}

TEST(fault__metadata_freed_under_its_memmap__recorded)
{
	struct mhp_altmap altmap;
	struct mhp_meta meta;
	struct rig rig = rig_open_vmemmap(true, 0, &altmap);
	uint64_t size = rig.block / rig.page * MHP_PAGE_BYTES;
	CHECK_OK(meta_alloc(&rig, size, &meta));
	unsigned char *virt = (unsigned char *)rig.config.vmemmap + size;
	CHECK_OK(rig.config.ops->memmap_map(rig.config.port, virt, meta.phys, size / rig.page,
					    rig.config.caps.granule_shift, NULL));
	CHECK_EQ(mhp_fault_violations(rig.fault), 0);
	meta_free(&rig, &meta);
	check_violation(&rig, "on which a memmap still lies");
}

#endif
