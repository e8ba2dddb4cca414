/* SPDX-License-Identifier: MIT */
/*
 * port.c - template of a port's slow half: the table of functions, and the call of mhp_init().
 *
 * It compiles and refuses everything that it cannot do yet, so that the engine can be started with
 * it on the first day: what is marked TEMPLATE is for you to replace, in the order in which
 * docs/PORTING.md goes. Rules for all of it: a function that returns int has changed nothing when
 * it fails; one that returns void cannot fail; none of them calls mhp_*(), but for mhp_altmap_*().
 */
#include "port.h"

/* TEMPLATE: step 3. Put [start, start + size), one section, into the direct map. */
static int
op_map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	(void)port;
	(void)start;
	(void)size;
	(void)node;
	return MHP_EOPNOTSUPP;
}

/* TEMPLATE: step 3. Take it out again, on every CPU. The contents may be gone already. */
static void
op_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	(void)port;
	(void)start;
	(void)size;
}

/* TEMPLATE: step 4. Map descriptors, nr << granule_shift bytes at virt, onto backing. Page-table
 * pages that serve only this block come from altmap, where there is one. */
static int
op_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr, unsigned granule_shift,
	      struct mhp_altmap *altmap)
{
	(void)port;
	(void)virt;
	(void)backing;
	(void)nr;
	(void)granule_shift;
	(void)altmap;
	return MHP_EOPNOTSUPP;
}

/* TEMPLATE: step 4. Undo it; the tables go back to altmap. */
static void
op_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned granule_shift,
		struct mhp_altmap *altmap)
{
	(void)port;
	(void)virt;
	(void)nr;
	(void)granule_shift;
	(void)altmap;
}

/* TEMPLATE: step 5. Zero-filled existing memory, for blocks that do not host their own metadata.
 * Refusing is a complete implementation where all blocks do. */
static int
op_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	(void)port;
	(void)size;
	(void)node;
	(void)ret_meta;
	return MHP_ENOMEM;
}

static void
op_meta_free(void *port, const struct mhp_meta *meta)
{
	(void)port;
	(void)meta;
}

/* TEMPLATE: step 2. A mutex of your kernel's. Nothing here keeps two threads apart. */
static void
op_lock(void *port)
{
	(void)port;
}

static void
op_unlock(void *port)
{
	(void)port;
}

/* TEMPLATE: step 2. An identity of the thread that runs: a thread's number plus one, say. */
static uint64_t
op_self(void *port)
{
	(void)port;
	return 1;
}

/* TEMPLATE: step 2. Nanoseconds; a clock that stands still makes offlining unbounded in time. */
static uint64_t
op_now_ns(void *port)
{
	(void)port;
	return 0;
}

/* TEMPLATE: step 2. Let others run for about that long. */
static void
op_pause(void *port, uint64_t ns)
{
	(void)port;
	(void)ns;
}

static const struct mhp_port_ops ops = {
	.map = op_map,
	.unmap = op_unmap,
	.check_ram = NULL,             /* what op_map() accepts is RAM */
	.memmap_map = op_memmap_map,
	.memmap_unmap = op_memmap_unmap,
	.meta_alloc = op_meta_alloc,
	.meta_free = op_meta_free,
	.lock = op_lock,
	.unlock = op_unlock,
	.self = op_self,
	.now_ns = op_now_ns,
	.pause = op_pause,
	.fence_cpus = NULL,            /* cache_locked.h has no section to fence */
};

int
template_port_init(const struct template_machine *machine, struct mhp **ret_m)
{
	struct mhp_config config = {
		.geometry = machine->geometry,
		.ops = &ops,
		.port = NULL,          /* TEMPLATE: what your functions want to be given */
		.caps = { .granule_shift = machine->geometry.page_shift },
		.direct_map = machine->direct_map,
		.vmemmap = machine->vmemmap,
	};
	size_t size_bytes;
	int error = mhp_footprint(&machine->geometry, &size_bytes);

	if (error != 0)
		return error;
	void *memory = machine->boot_alloc(size_bytes);
	if (memory == NULL)
		return MHP_ENOMEM;
	return mhp_init(memory, size_bytes, &config, ret_m);
}
