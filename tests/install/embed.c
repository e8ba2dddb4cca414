/* SPDX-License-Identifier: MIT */
/*
 * embed.c - the freestanding archive in a program with a port of its own.
 *
 * A block comes, gives a page, and goes. The program sees the installed headers only. Its port is
 * as small as one can be: memory that is mapped already, one thread, a clock that counts calls.
 */
#include <memplug/mhp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (UINT64_C(4) << 20)

static _Alignas(4096) unsigned char memory[2 * BLOCK];

static int
map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	(void)port, (void)start, (void)size, (void)node;
	return 0;
}

static void
unmap(void *port, struct mhp_phys start, uint64_t size)
{
	(void)port;
	memset(memory + start.addr, 0, size);
}

static int
meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	(void)port, (void)size, (void)node, (void)ret_meta;
	return MHP_ENOMEM; /* each block hosts its own */
}

static void
meta_free(void *port, const struct mhp_meta *meta)
{
	(void)port, (void)meta;
}

static void
nothing(void *port)
{
	(void)port;
}

static uint64_t
one(void *port)
{
	(void)port;
	return 1;
}

static uint64_t
count(void *port)
{
	return ++*(uint64_t *)port;
}

static void
pause_ns(void *port, uint64_t ns)
{
	(void)port, (void)ns;
}

int
main(void)
{
	static const struct mhp_port_ops ops = {
		.map = map, .unmap = unmap, .meta_alloc = meta_alloc, .meta_free = meta_free,
		.lock = nothing, .unlock = nothing, .self = one, .now_ns = count, .pause = pause_ns,
	};
	uint64_t clock = 0, pfn;
	struct mhp_config config = {
		.geometry = { .page_shift = 12, .pageblock_order = 9, .section_order = 10,
			      .block_order = 10, .nr_nodes = 1, .nr_cpus = 1, .nr_blocks = 2 },
		.ops = &ops, .port = &clock, .direct_map = memory,
	};
	struct mhp_add_opts add = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_ADD_ONLINE,
		.zone = MHP_ZONE_NORMAL,
	};
	struct mhp_blocks second = { 1, 1 };
	struct mhp_page_req req = { .cookie = 0 };
	struct mhp *m;
	size_t size;

	if (mhp_version() != MHP_VERSION || mhp_footprint(&config.geometry, &size) != 0)
		return 1;
	size = (size + 63) / 64 * 64;
	void *instance = memset(aligned_alloc(64, size), 0, size);
	if (mhp_init(instance, size, &config, &m) != 0 || mhp_add(m, second, &add, NULL) != 0)
		return 2;
	if (mhp_owner_register(m, "main", NULL, NULL, &req.owner) != 0 ||
	    mhp_page_alloc(m, req, &pfn) != 0 || pfn < BLOCK >> 12)
		return 3;
	if (mhp_remove(m, &second, 1, NULL, NULL) != MHP_EBUSY || mhp_page_free(m, pfn) != 0)
		return 4;
	if (mhp_remove(m, &second, 1, NULL, NULL) != 0 || mhp_fini(m) != 0 || mhp_fini(NULL) != 0)
		return 5;
	free(instance);
	return 0;
}
