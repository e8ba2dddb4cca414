/* SPDX-License-Identifier: MIT */
/*
 * pool.c - shapes by name, and an instance on a fault port on a simulator.
 *
 * The names mean the same in every build as far as a build can: with a vmemmap, sections grow until
 * the descriptors of one fill a mapping granule, since no two blocks may share one.
 */
#include <stdlib.h>

#include "test.h"

#define TEXT_BYTES 256
/* Half of the address space is what the direct map may take when a backdoor lies beside it. */
#define UNMAP_BYTES_MAX (UINT64_C(1) << 44)

static const struct {
	const char *name;
	struct mhp_geometry geometry;
} shapes[] = {
	{ "tiny1", { 12, 2, 3, 3, 2, 2, 8, 8 } },
	{ "tiny2", { 12, 2, 3, 4, 2, 2, 8, 8 } },
	{ "tiny8", { 12, 2, 3, 6, 2, 2, 8, 8 } },
	{ "micro1", { 6, 1, 2, 4, 2, 1, 3, 4 } },
	{ "micro2", { 6, 2, 3, 4, 2, 1, 3, 4 } },
	{ "small", { 12, 6, 9, 9, 2, 2, 16, 16 } },
	{ "dimm", { 12, 9, 15, 15, 2, 2, 64, 64 } },
	{ "giga", { 12, 9, 15, 18, 2, 2, 16, 64 } },
	{ "k16", { 14, 9, 13, 13, 2, 2, 8, 16 } },
	{ "k64", { 16, 9, 13, 13, 2, 2, 8, 16 } },
	{ "tera", { 12, 9, 15, 15, 2, 2, 1U << 19, 64 } },
};

struct mhp_geometry
test_geometry(const char *shape)
{
	if (TEST_EMULATED && strcmp(shape, "tera") == 0)
		test_skip("needs no-emulation: QEMU has an entry for each page of 64 TiB");
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct mhp_geometry geo = shapes[i].geometry;
		if (strcmp(shapes[i].name, shape) != 0)
			continue;
		uint64_t page_bytes = UINT64_C(1) << geo.page_shift;
		while (MHP_VMEMMAP && (uint64_t)MHP_PAGE_BYTES << geo.section_order < page_bytes) {
			geo.section_order++;
			geo.block_order++;
		}
		return geo;
	}
	FAIL("there is no shape \"%s\"", shape);
}

bool
test_shape_works(const char *shape)
{
	return !MHP_VMEMMAP || test_geometry(shape).page_shift >= 12;
}

static struct mhp_sim_opts
sim_options(const struct test_pool_opts *opts)
{
	struct mhp_geometry geo = opts->geometry != NULL ? *opts->geometry :
				  test_geometry(opts->shape != NULL ? opts->shape : "tiny2");
	uint64_t bytes = (uint64_t)geo.nr_blocks << geo.block_order << geo.page_shift;
	bool plain = opts->plain || geo.page_shift < 12 || bytes > UNMAP_BYTES_MAX;
	return (struct mhp_sim_opts){
		.geometry = geo,
		.seed = opts->seed != 0 ? opts->seed : test_seed(),
		.mode = plain ? MHP_SIM_PLAIN : MHP_SIM_UNMAP,
		.fill = opts->fill,
		.garbage_bytes = opts->garbage_bytes,
		.vmemmap = MHP_VMEMMAP != 0,
		.descriptor_bytes = MHP_PAGE_BYTES,
		.caps = opts->caps,
		.meta_bytes = opts->meta_bytes,
		.meta_nodes = opts->meta_nodes,
	};
}

static void
create_sim(struct test_pool *pool, const struct mhp_sim_opts *opts)
{
	*pool = (struct test_pool){ 0 };
	CHECK_OK(mhp_sim_create(opts, &pool->sim));
	mhp_sim_config(pool->sim, &pool->config);
}

void
test_pool_open(struct test_pool *pool, const struct test_pool_opts *opts)
{
	static const struct test_pool_opts defaults;
	opts = opts != NULL ? opts : &defaults;
	struct mhp_sim_opts sim_opts = sim_options(opts);
	create_sim(pool, &sim_opts);
	if (!opts->no_fault)
		CHECK_OK(mhp_fault_create(&pool->config, MHP_PAGE_BYTES, &pool->fault));
	pool->config.node_distances = opts->node_distances;
	pool->config.trace = opts->trace;
	pool->config.trace_ctx = opts->trace_ctx;
	test_pool_start(pool);
}

const struct mhp_port_ops *
test_pool_prepare(struct test_pool *pool, const struct mhp_sim_opts *opts, struct mhp_port_ops *ops)
{
	create_sim(pool, opts);
	const struct mhp_port_ops *next = pool->config.ops;
	*ops = *next;
	pool->config.ops = ops;
	return next;
}

void
test_pool_start(struct test_pool *pool)
{
	size_t bytes = 0;
	CHECK_OK(mhp_footprint(&pool->config.geometry, &bytes));
	void *memory = mhp_sim_instance_memory(pool->sim, bytes);
	CHECK(memory != NULL);
	CHECK_OK(mhp_init(memory, bytes, &pool->config, &pool->m));
	pool->page_bytes = UINT64_C(1) << pool->config.geometry.page_shift;
	pool->block_pages = UINT64_C(1) << pool->config.geometry.block_order;
	pool->block_bytes = pool->block_pages * pool->page_bytes;
}

static void
check_protocol(const struct test_pool *pool)
{
	if (pool->fault != NULL && mhp_fault_violations(pool->fault) != 0)
		FAIL("%" PRIu64 " violations of the port's protocol, the first: %s",
		     mhp_fault_violations(pool->fault), mhp_fault_first(pool->fault));
}

void
test_pool_close(struct test_pool *pool)
{
	char text[TEXT_BYTES] = "";
	CHECK_OK(mhp_fini(pool->m));
	check_protocol(pool);
	if (pool->fault != NULL && mhp_fault_check_quiet(pool->fault, text, sizeof(text)) != 0)
		FAIL("left over, says the fault port: %s", text);
	if (mhp_sim_check_quiet(pool->sim, text, sizeof(text)) != 0)
		FAIL("left over, says the simulator: %s", text);
	test_pool_discard(pool);
}

void
test_pool_empty_and_close(struct test_pool *pool)
{
	struct mhp_blocks all = { 0, pool->config.geometry.nr_blocks };
	int error = mhp_remove(pool->m, &all, 1, NULL, NULL);
	if (error != MHP_ENOENT)
		CHECK_OK(error);
	test_pool_close(pool);
}

void
test_pool_discard(struct test_pool *pool)
{
	mhp_fault_destroy(pool->fault);
	mhp_sim_destroy(pool->sim);
	*pool = (struct test_pool){ 0 };
}

static void
keep_first(void *ctx, const struct mhp_finding *finding)
{
	struct mhp_finding *first = ctx;
	if (first->what == NULL)
		*first = *finding;
}

void
test_pool_check(struct test_pool *pool)
{
	struct mhp_finding first = { 0 };
	int nr = mhp_check(pool->m, true, keep_first, &first);
	if (nr != 0)
		FAIL("%d findings, the first: INV %u at %#" PRIx64 ", %s: %#" PRIx64
		     ", not %#" PRIx64,
		     nr, first.invariant, first.where, first.what != NULL ? first.what : "",
		     first.have, first.want);
	check_protocol(pool);
}

/* ---- snapshots: the fault port's ledger, then the simulator ---- */

static size_t
ledger_bytes(const struct test_pool *pool)
{
	/* Rounded so that what follows is aligned. */
	return pool->fault == NULL ? 0 : (mhp_fault_snapshot_size(pool->fault) + 15) / 16 * 16;
}

size_t
test_pool_snapshot_size(const struct test_pool *pool)
{
	return ledger_bytes(pool) + mhp_sim_snapshot_size(pool->sim);
}

void
test_pool_save(struct test_pool *pool, void *ret_snapshot)
{
	if (pool->fault != NULL)
		mhp_fault_save(pool->fault, ret_snapshot);
	mhp_sim_save(pool->sim, (unsigned char *)ret_snapshot + ledger_bytes(pool));
}

void
test_pool_restore(struct test_pool *pool, const void *snapshot)
{
	if (pool->fault != NULL)
		mhp_fault_restore(pool->fault, snapshot);
	mhp_sim_restore(pool->sim, (const unsigned char *)snapshot + ledger_bytes(pool));
}
