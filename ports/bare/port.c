/* SPDX-License-Identifier: MIT */
/*
 * port.c - the port's table of functions, and the instance that is made with it.
 *
 * This is what a kernel author writes (docs/PORTING.md): map and unmap a section of the direct map,
 * map and unmap the descriptors of a block, a few pages of existing memory, a lock, a clock. The
 * rest of the folder is the machine below it, and the program on top.
 *
 * Where page tables live: the direct map's directories serve 1 GiB each, the memmap's tables the
 * descriptors of 512 MiB. Where that is more than a block they are reserved at boot, for the whole
 * window in which memory may come. Where a block's descriptors fill tables, they fill large
 * mappings and need none; with large mappings switched off those tables are the block's own.
 */
#include "port.h"

#include <stdatomic.h>

#include "acpi.h"
#include "bootmem.h"
#include "machine.h"
#include "mmu.h"
#include "ram.h"
#include "smp.h"
#include "string.h"
#include "cpu.h"

/* The descriptors of a block fill pages: 64 KiB of them are 512 MiB. */
#define SMALLEST_BLOCK ((uint64_t)PAGE_BYTES / DESCRIPTOR_BYTES * PAGE_BYTES)
#define BLOCK_BYTES (SMALLEST_BLOCK > SECTION_BYTES ? SMALLEST_BLOCK : SECTION_BYTES)
/* The unit in which memory is mapped: at least a pageblock, and that is 512 MiB where pages are 64
 * KiB. */
#define SECTION_BYTES \
	(LARGE_SHIFT > 27 ? UINT64_C(1) << LARGE_SHIFT : UINT64_C(128) << 20)

enum {
	BAD_PAGES_MAX = 64,
	PAGEBLOCK_ORDER = LARGE_SHIFT - PAGE_SHIFT,
};
_Static_assert(PAGEBLOCK_ORDER == MHP_PAGEBLOCK_ORDER_MAX, "a pageblock is a large page");

static struct {
	struct mhp *m;
	struct mhp_geometry geometry;
	struct mhp_port_caps caps;
	uint64_t window_start, window_end;
	uint64_t footprint_bytes;
	_Atomic uint32_t lock;         /* 0, or the holder's self() */
	void (*_Atomic listener)(const struct mhp_event *event);
} port;

/* ---- the table ---- */

static int
op_map(void *ctx, struct mhp_phys start, uint64_t size, unsigned node)
{
	(void)ctx;
	(void)node;
	/* Mapping what is not there would work, too: reads give zeros, and writes are lost. */
	if (ram_find(start.addr, size) == NULL)
		return MHP_ENXIO;
	return mmu_map(DIRECT_MAP + start.addr, start.addr, size, MMU_DATA, MMU_DIRECT, NULL);
}

static void
op_unmap(void *ctx, struct mhp_phys start, uint64_t size)
{
	(void)ctx;
	mmu_unmap(DIRECT_MAP + start.addr, size, MMU_DIRECT, NULL);
}

static int
op_check_ram(void *ctx, struct mhp_phys start, uint64_t size)
{
	(void)ctx;
	return ram_find(start.addr, size) != NULL ? 0 : MHP_EINVAL;
}

static uint64_t
slice_bytes(void)
{
	return (uint64_t)DESCRIPTOR_BYTES << port.geometry.block_order;
}

/* Do a block's descriptors fill whole page tables, so that it shares none? */
static bool
tables_are_private(void)
{
	return slice_bytes() >= UINT64_C(1) << LARGE_SHIFT;
}

static enum mmu_level
level_of(unsigned granule_shift)
{
	return granule_shift == LARGE_SHIFT ? MMU_LARGE : MMU_BASE;
}

static int
op_memmap_map(void *ctx, void *virt, struct mhp_phys backing, uint64_t nr, unsigned granule_shift,
	      struct mhp_altmap *altmap)
{
	struct mmu_tables tables = { altmap };

	(void)ctx;
	return mmu_map((uint64_t)virt, backing.addr, nr << granule_shift, MMU_DATA,
		       level_of(granule_shift), tables_are_private() ? &tables : NULL);
}

static void
op_memmap_unmap(void *ctx, void *virt, uint64_t nr, unsigned granule_shift,
		struct mhp_altmap *altmap)
{
	struct mmu_tables tables = { altmap };
	enum mmu_level level = level_of(granule_shift);

	(void)ctx;
	/* Large mappings lie in reserved directories; those are nobody's to give back. */
	mmu_unmap((uint64_t)virt, nr << granule_shift, level,
		  tables_are_private() && level == MMU_BASE ? &tables : NULL);
}

static int
op_meta_alloc(void *ctx, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	uint64_t large = UINT64_C(1) << LARGE_SHIFT;
	void *pages = bootmem_alloc(size >> PAGE_SHIFT, size >= large ? large : PAGE_BYTES);

	(void)ctx;
	(void)node;
	if (pages == NULL)
		return MHP_ENOMEM;
	*ret_meta = (struct mhp_meta){ pages, { virt_to_phys(pages) }, size, 0 };
	return 0;
}

static void
op_meta_free(void *ctx, const struct mhp_meta *meta)
{
	(void)ctx;
	bootmem_free(meta->virt, meta->size >> PAGE_SHIFT);
}

static uint64_t
op_self(void *ctx)
{
	(void)ctx;
	return smp_self()->id + 1U;
}

/* There is no scheduler: a CPU that waits for the mutex spins, with interrupts on, so that it
 * answers requests. */
static void
op_lock(void *ctx)
{
	uint32_t me = (uint32_t)op_self(ctx), nobody = 0;

	while (!atomic_compare_exchange_weak_explicit(&port.lock, &nobody, me, memory_order_acquire,
						      memory_order_relaxed)) {
		nobody = 0;
		cpu_pause();
	}
}

static void
op_unlock(void *ctx)
{
	(void)ctx;
	atomic_store_explicit(&port.lock, 0, memory_order_release);
}

static uint64_t
op_now_ns(void *ctx)
{
	(void)ctx;
	return machine_now_ns();
}

static void
op_pause(void *ctx, uint64_t ns)
{
	(void)ctx;
	machine_pause_ns(ns);
}

static void
op_fence_cpus(void *ctx)
{
	(void)ctx;
	smp_fence();
}

static const struct mhp_port_ops ops = {
	.map = op_map,
	.unmap = op_unmap,
	.check_ram = op_check_ram,
	.memmap_map = op_memmap_map,
	.memmap_unmap = op_memmap_unmap,
	.meta_alloc = op_meta_alloc,
	.meta_free = op_meta_free,
	.lock = op_lock,
	.unlock = op_unlock,
	.self = op_self,
	.now_ns = op_now_ns,
	.pause = op_pause,
	.fence_cpus = op_fence_cpus,
};

/* ---- the instance ---- */

static unsigned
log2_of(uint64_t n)
{
	return 63U - (unsigned)__builtin_clzll(n);
}

/* The window is one SRAT entry; its end, in whole blocks, is where the address range ends. */
static int
find_window(uint64_t block_bytes)
{
	const struct acpi *acpi = acpi_get();

	for (unsigned i = 0; i < acpi->nr_memory; i++) {
		const struct acpi_memory *memory = &acpi->memory[i];
		if (!memory->hotplug)
			continue;
		port.window_start = memory->start;
		port.window_end = (memory->start + memory->size) & ~(block_bytes - 1);
		return port.window_end > port.window_start ? 0 : MHP_ENODEV;
	}
	return MHP_ENODEV;
}

static int
choose_geometry(void)
{
	uint64_t block = bootmem_option_number("block", BLOCK_BYTES);
	uint64_t section = bootmem_option_number("section", SECTION_BYTES);
	int error = find_window(block);

	if (error != 0)
		return error;
	port.geometry = (struct mhp_geometry){
		.page_shift = PAGE_SHIFT,
		.pageblock_order = PAGEBLOCK_ORDER,
		.section_order = (uint8_t)(log2_of(section < block ? section : block) - PAGE_SHIFT),
		.block_order = (uint8_t)(log2_of(block) - PAGE_SHIFT),
		.nr_nodes = (uint16_t)acpi_get()->nr_nodes,
		.nr_cpus = (uint16_t)smp_nr_cpus(),
		.nr_blocks = (uint32_t)(port.window_end / block),
		.nr_bad_pages = BAD_PAGES_MAX,
	};
	bool large = !text_equal(bootmem_option("large", "on"), "off");
	port.caps = (struct mhp_port_caps){
		.granule_shift = PAGE_SHIFT,
		.large_granule_shift = large ? LARGE_SHIFT : 0,
		.tables_per_block = (uint16_t)(large ? 0 : slice_bytes() >> LARGE_SHIFT),
	};
	return 0;
}

/* All tables that two blocks could share, for all blocks that may ever come. */
static int
reserve_tables(void)
{
	uint64_t first_pfn = port.window_start >> PAGE_SHIFT;
	uint64_t nr_pages = (port.window_end >> PAGE_SHIFT) - first_pfn;
	int error = mmu_reserve(DIRECT_MAP + port.window_start, nr_pages << PAGE_SHIFT, MMU_DIRECT);

	if (error != 0)
		return error;
	return mmu_reserve(port_memmap_address(port.window_start), nr_pages * DESCRIPTOR_BYTES,
			   tables_are_private() ? MMU_LARGE : MMU_BASE);
}

static void
trace(void *ctx, const struct mhp_event *event)
{
	void (*listener)(const struct mhp_event *event) = atomic_load(&port.listener);

	(void)ctx;
	if (listener != NULL)
		listener(event);
}

static int
init_instance(void)
{
	struct mhp_config config = {
		.geometry = port.geometry,
		.ops = &ops,
		.port = &port,
		.caps = port.caps,
		.direct_map = (unsigned char *)DIRECT_MAP,
		.vmemmap = (void *)VMEMMAP,
		.trace = trace,
	};
	size_t bytes;
	int error = mhp_footprint(&port.geometry, &bytes);

	if (error != 0)
		return error;
	void *memory = bootmem_alloc((bytes + PAGE_BYTES - 1) >> PAGE_SHIFT, PAGE_BYTES);
	if (memory == NULL)
		return MHP_ENOMEM;
	port.footprint_bytes = bytes;
	return mhp_init(memory, bytes, &config, &port.m);
}

int
port_init(void)
{
	int error = choose_geometry();

	if (error == 0)
		error = reserve_tables();
	if (error == 0)
		error = init_instance();
	for (unsigned cpu = 0; error == 0 && cpu < smp_nr_cpus(); cpu++)
		error = mhp_set_cpu_node(port.m, cpu, smp_node(cpu));
	return error;
}

struct mhp *
port_instance(void)
{
	return port.m;
}

void
port_listen(void (*listener)(const struct mhp_event *event))
{
	atomic_store(&port.listener, listener);
}

uint64_t
port_memmap_address(uint64_t phys)
{
	return VMEMMAP + (phys >> PAGE_SHIFT) * DESCRIPTOR_BYTES;
}

uint64_t
port_block_bytes(void)
{
	return UINT64_C(1) << (port.geometry.block_order + PAGE_SHIFT);
}

uint64_t
port_footprint_bytes(void)
{
	return port.footprint_bytes;
}
