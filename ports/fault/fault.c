/* SPDX-License-Identifier: MIT */
/*
 * fault.c - the fault port: count, fail, check, pass on.
 *
 * A ledger says what is mapped, which granules of the vmemmap lie on what, and which external
 * metadata is out. It is flat, so that it can be saved and restored beside the simulator's state.
 * A call is first checked against the ledger (a failing call must be right, too), then made to fail
 * or passed on, then written to the ledger. Violations are counted outside of the ledger: going
 * back to a snapshot does not undo them.
 *
 * The ledger is guarded by the wrapped port's hotplug lock; calls without it are a violation.
 */
#include "fault.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 256U
#define ALL_KINDS ((1U << MHP_FAULT_KINDS) - 1U)

/* A base granule of the vmemmap; shift 0 = not mapped. */
struct granule {
	uint64_t backing;
	const struct mhp_altmap *altmap;
	uint8_t shift;             /* of the mapping that it is part of */
};

struct section {
	bool mapped;
	uint32_t nr_granules;      /* of the vmemmap that lie on it */
};

struct ledger {
	uint64_t nth;              /* 0: nothing is to fail */
	uint64_t calls, fired;     /* since arming */
	uint64_t calls_of[MHP_FAULT_KINDS];
	unsigned kinds;
	int error;
	bool persistent;
	bool in_call, may_go_on;
	bool failed;               /* a fallible call did, since the call of the engine began */
	uint32_t nr_metas;
	uint64_t nr_mapped, nr_granules;
};

struct mhp_fault {
	struct mhp_port_ops ops;       /* what the engine gets */
	const struct mhp_port_ops *next;
	void *next_port;
	struct mhp_geometry geo;
	struct mhp_port_caps caps;
	unsigned char *vmemmap;
	uint64_t page_bytes, section_bytes;
	uint64_t nr_sections, nr_base; /* sections; base granules of the vmemmap */
	uint64_t base_per_block;
	uint32_t metas_max;

	size_t ledger_bytes;
	struct ledger *ledger;         /* these four are one run of bytes */
	struct section *sections;
	struct granule *granules;
	struct mhp_meta *metas;

	_Atomic uint64_t holder;       /* self() of the holder of the lock, or 0 */
	unsigned again;                /* times the holder took it a second time */
	_Atomic uint64_t violations;
	char first[TEXT_BYTES];
};

__attribute__((format(printf, 2, 3))) static void
violation(struct mhp_fault *fault, const char *format, ...)
{
	if (atomic_fetch_add(&fault->violations, 1) != 0)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(fault->first, sizeof(fault->first), format, args);
	va_end(args);
}

static void
want_lock(struct mhp_fault *fault, const char *call)
{
	if (atomic_load(&fault->holder) != fault->next->self(fault->next_port))
		violation(fault, "%s without the hotplug lock", call);
}

/* A fallible call comes. Return: 0, or the error that it is to fail with. */
static int
count(struct mhp_fault *fault, enum mhp_fault_kind kind, const char *call)
{
	struct ledger *ledger = fault->ledger;
	want_lock(fault, call);
	if (ledger->in_call && ledger->failed && !ledger->may_go_on)
		violation(fault, "%s, which can fail, after a call that failed", call);
	ledger->calls_of[kind]++;
	if ((ledger->kinds >> kind & 1U) == 0)
		return 0;
	ledger->calls++;
	bool fails = ledger->nth != 0 && (ledger->calls == ledger->nth ||
					  (ledger->persistent && ledger->calls > ledger->nth));
	if (!fails)
		return 0;
	ledger->fired++;
	ledger->failed = true;
	return ledger->error;
}

static int
passed_on(struct mhp_fault *fault, int error, const char *call)
{
	if (error > 0)
		violation(fault, "%s returned %d, neither 0 nor an error", call, error);
	if (error != 0)
		fault->ledger->failed = true;
	return error;
}

/* ---- sections ---- */

/* The section that a call means; NULL: it does not mean one. */
static struct section *
whole_section(struct mhp_fault *fault, const char *call, uint64_t addr, uint64_t size)
{
	uint64_t index = addr / fault->section_bytes;
	if (size == fault->section_bytes && addr % size == 0 && index < fault->nr_sections)
		return &fault->sections[index];
	violation(fault, "%s of %#" PRIx64 "+%#" PRIx64 ", which is not a section", call, addr,
		  size);
	return NULL;
}

static bool
all_mapped(const struct mhp_fault *fault, uint64_t addr, uint64_t size)
{
	uint64_t first = addr / fault->section_bytes;
	uint64_t last = (addr + size - 1) / fault->section_bytes;
	if (size == 0 || addr + size < addr || last >= fault->nr_sections)
		return false;
	for (uint64_t i = first; i <= last; i++)
		if (!fault->sections[i].mapped)
			return false;
	return true;
}

static int
fault_map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	struct mhp_fault *fault = port;
	struct section *section = whole_section(fault, "map", start.addr, size);
	if (section != NULL && section->mapped)
		violation(fault, "map of %#" PRIx64 ", which is mapped", start.addr);
	if (node >= fault->geo.nr_nodes)
		violation(fault, "map on node %u, which is not there", node);
	int error = count(fault, MHP_FAULT_MAP, "map");
	if (error != 0)
		return error;
	if (section == NULL || section->mapped)
		return MHP_EINVAL;
	error = fault->next->map(fault->next_port, start, size, node);
	if (error == 0) {
		section->mapped = true;
		fault->ledger->nr_mapped++;
	}
	return passed_on(fault, error, "map");
}

/* Is a later section of the same block still mapped? */
static bool
later_is_mapped(const struct mhp_fault *fault, const struct section *section)
{
	uint64_t per_block = UINT64_C(1) << (fault->geo.block_order - fault->geo.section_order);
	uint64_t index = (uint64_t)(section - fault->sections);
	for (uint64_t i = index + 1; i % per_block != 0; i++)
		if (fault->sections[i].mapped)
			return true;
	return false;
}

static void
fault_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	struct mhp_fault *fault = port;
	want_lock(fault, "unmap");
	struct section *section = whole_section(fault, "unmap", start.addr, size);
	if (section == NULL)
		return;
	if (!section->mapped) {
		violation(fault, "unmap of %#" PRIx64 ", which is not mapped", start.addr);
		return;
	}
	if (later_is_mapped(fault, section))
		violation(fault, "unmap of %#" PRIx64 " before a later section of its block",
			  start.addr);
	if (section->nr_granules != 0)
		violation(fault, "unmap of %#" PRIx64 ", on which a memmap still lies", start.addr);
	section->mapped = false;
	fault->ledger->nr_mapped--;
	fault->next->unmap(fault->next_port, start, size);
}

static int
fault_check_ram(void *port, struct mhp_phys start, uint64_t size)
{
	struct mhp_fault *fault = port;
	if (start.addr % fault->page_bytes != 0 || size % fault->page_bytes != 0 ||
	    !all_mapped(fault, start.addr, size))
		violation(fault, "check_ram of %#" PRIx64 "+%#" PRIx64 ", not mapped whole pages",
			  start.addr, size);
	int error = count(fault, MHP_FAULT_CHECK_RAM, "check_ram");
	if (error == 0 && fault->next->check_ram != NULL)
		error = fault->next->check_ram(fault->next_port, start, size);
	return passed_on(fault, error, "check_ram");
}

/* ---- memmap ---- */

struct slice {
	uint64_t first, end;       /* base granules; first == end: the call made no sense */
	uint64_t block;
	uint64_t size;
};

static struct slice
whole_slice(struct mhp_fault *fault, const char *call, const void *virt, uint64_t nr,
	    unsigned shift)
{
	unsigned base = fault->caps.granule_shift;
	uint64_t offset = (uint64_t)((uintptr_t)virt - (uintptr_t)fault->vmemmap);
	bool known = shift == base || (shift != 0 && shift == fault->caps.large_granule_shift);
	if (fault->vmemmap == NULL || !known || nr == 0 || nr > fault->nr_base ||
	    offset % (UINT64_C(1) << shift) != 0 ||
	    (offset + (nr << shift)) >> base > fault->nr_base) {
		violation(fault, "%s of %" PRIu64 " granules of 2^%u at %p, not in the vmemmap",
			  call, nr, shift, virt);
		return (struct slice){ 0 };
	}
	struct slice slice = { offset >> base, (offset + (nr << shift)) >> base, 0, nr << shift };
	slice.block = slice.first / fault->base_per_block;
	if ((slice.end - 1) / fault->base_per_block != slice.block)
		violation(fault, "%s of a slice that serves two blocks, %" PRIu64 " the first",
			  call, slice.block);
	return slice;
}

static bool
in_a_meta(const struct mhp_fault *fault, uint64_t addr, uint64_t size)
{
	for (uint32_t i = 0; i < fault->ledger->nr_metas; i++) {
		const struct mhp_meta *meta = &fault->metas[i];
		if (addr >= meta->phys.addr && addr + size <= meta->phys.addr + meta->size)
			return true;
	}
	return false;
}

static void
check_backing(struct mhp_fault *fault, const struct slice *slice, uint64_t addr, unsigned shift,
	      const struct mhp_altmap *altmap)
{
	uint64_t block_bytes = fault->page_bytes << fault->geo.block_order;
	bool own = addr / block_bytes == slice->block;
	if (addr % (UINT64_C(1) << shift) != 0)
		violation(fault, "memmap_map onto %#" PRIx64 ", misaligned", addr);
	if (!all_mapped(fault, addr, slice->size) && !in_a_meta(fault, addr, slice->size))
		violation(fault, "memmap_map onto %#" PRIx64 ", which is not there", addr);
	if (own != (altmap != NULL))
		violation(fault, "memmap_map of block %" PRIu64 " %s", slice->block,
			  own ? "onto itself without its altmap" : "with an altmap, but external");
	if (altmap != NULL && altmap->base_pfn != slice->block << fault->geo.block_order)
		violation(fault, "memmap_map of block %" PRIu64 " with another's altmap",
			  slice->block);
	for (uint64_t i = slice->first; i < slice->end; i++)
		if (fault->granules[i].shift != 0)
			violation(fault, "memmap_map of granule %" PRIu64 ", which is mapped", i);
}

/* Enter or strike out that a granule lies on its backing. */
static void
lie_on(struct mhp_fault *fault, uint64_t index, struct granule granule, bool on)
{
	uint64_t section = granule.backing / fault->section_bytes;
	if (section < fault->nr_sections)
		fault->sections[section].nr_granules += on ? 1U : -1U;
	fault->ledger->nr_granules += on ? UINT64_C(1) : -UINT64_C(1);
	fault->granules[index] = on ? granule : (struct granule){ 0 };
}

static int
fault_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr, unsigned shift,
		 struct mhp_altmap *altmap)
{
	struct mhp_fault *fault = port;
	uint64_t violations = atomic_load(&fault->violations);
	struct slice slice = whole_slice(fault, "memmap_map", virt, nr, shift);
	if (slice.end != 0)
		check_backing(fault, &slice, backing.addr, shift, altmap);
	bool good = atomic_load(&fault->violations) == violations;
	int error = count(fault, MHP_FAULT_MEMMAP_MAP, "memmap_map");
	if (error != 0)
		return error;
	if (!good)
		return MHP_EINVAL;
	error = fault->next->memmap_map(fault->next_port, virt, backing, nr, shift, altmap);
	for (uint64_t i = slice.first; error == 0 && i < slice.end; i++) {
		uint64_t addr = backing.addr + ((i - slice.first) << fault->caps.granule_shift);
		lie_on(fault, i, (struct granule){ addr, altmap, (uint8_t)shift }, true);
	}
	return passed_on(fault, error, "memmap_map");
}

static void
fault_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned shift, struct mhp_altmap *altmap)
{
	struct mhp_fault *fault = port;
	want_lock(fault, "memmap_unmap");
	struct slice slice = whole_slice(fault, "memmap_unmap", virt, nr, shift);
	for (uint64_t i = slice.first; i < slice.end; i++) {
		const struct granule *granule = &fault->granules[i];
		if (granule->shift != shift || granule->altmap != altmap) {
			violation(fault, "memmap_unmap of granule %" PRIu64 ", not mapped so", i);
			return;
		}
	}
	if (slice.end == 0)
		return;
	for (uint64_t i = slice.end; i < (slice.block + 1) * fault->base_per_block; i++)
		if (fault->granules[i].shift != 0) {
			violation(fault, "memmap_unmap of block %" PRIu64 " before a later granule",
				  slice.block);
			break;
		}
	for (uint64_t i = slice.first; i < slice.end; i++)
		lie_on(fault, i, fault->granules[i], false);
	fault->next->memmap_unmap(fault->next_port, virt, nr, shift, altmap);
}

/* ---- external metadata ---- */

static int
fault_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	struct mhp_fault *fault = port;
	struct ledger *ledger = fault->ledger;
	bool good = size != 0 && size % fault->page_bytes == 0 && node < fault->geo.nr_nodes;
	if (!good)
		violation(fault, "meta_alloc of %" PRIu64 " bytes on node %u", size, node);
	int error = count(fault, MHP_FAULT_META_ALLOC, "meta_alloc");
	if (error != 0)
		return error;
	if (!good)
		return MHP_EINVAL;
	if (ledger->nr_metas == fault->metas_max) {
		violation(fault, "meta_alloc: more are out than there are blocks");
		return MHP_ENOMEM;
	}
	error = fault->next->meta_alloc(fault->next_port, size, node, ret_meta);
	if (error == 0)
		fault->metas[ledger->nr_metas++] = *ret_meta;
	return passed_on(fault, error, "meta_alloc");
}

static bool
equal_meta(const struct mhp_meta *a, const struct mhp_meta *b)
{
	return a->virt == b->virt && a->phys.addr == b->phys.addr && a->size == b->size &&
	       a->node == b->node;
}

static bool
carries_memmap(const struct mhp_fault *fault, const struct mhp_meta *meta)
{
	for (uint64_t i = 0; fault->ledger->nr_granules != 0 && i < fault->nr_base; i++)
		if (fault->granules[i].shift != 0 &&
		    fault->granules[i].backing - meta->phys.addr < meta->size)
			return true;
	return false;
}

static void
fault_meta_free(void *port, const struct mhp_meta *meta)
{
	struct mhp_fault *fault = port;
	struct ledger *ledger = fault->ledger;
	want_lock(fault, "meta_free");
	uint32_t i = 0;
	while (i < ledger->nr_metas && !equal_meta(&fault->metas[i], meta))
		i++;
	if (i == ledger->nr_metas) {
		violation(fault, "meta_free of %#" PRIx64 "+%" PRIu64 ", which is not out so",
			  meta->phys.addr, meta->size);
		return;
	}
	if (carries_memmap(fault, meta))
		violation(fault, "meta_free of %#" PRIx64 ", on which a memmap still lies",
			  meta->phys.addr);
	fault->metas[i] = fault->metas[--ledger->nr_metas];
	fault->next->meta_free(fault->next_port, meta);
}

/* ---- lock, clock ---- */

static void
fault_lock(void *port)
{
	struct mhp_fault *fault = port;
	uint64_t self = fault->next->self(fault->next_port);
	if (atomic_load(&fault->holder) == self) {
		violation(fault, "lock by a thread that has it");
		fault->again++;
		return;
	}
	fault->next->lock(fault->next_port);
	atomic_store(&fault->holder, self);
}

static void
fault_unlock(void *port)
{
	struct mhp_fault *fault = port;
	if (atomic_load(&fault->holder) != fault->next->self(fault->next_port)) {
		violation(fault, "unlock by a thread that does not have it");
		return;
	}
	if (fault->again != 0) {
		fault->again--;
		return;
	}
	atomic_store(&fault->holder, 0);
	fault->next->unlock(fault->next_port);
}

static uint64_t
fault_self(void *port)
{
	struct mhp_fault *fault = port;
	return fault->next->self(fault->next_port);
}

static uint64_t
fault_now_ns(void *port)
{
	struct mhp_fault *fault = port;
	return fault->next->now_ns(fault->next_port);
}

static void
fault_pause(void *port, uint64_t ns)
{
	struct mhp_fault *fault = port;
	want_lock(fault, "pause");
	fault->next->pause(fault->next_port, ns);
}

static void
fault_fence_cpus(void *port)
{
	struct mhp_fault *fault = port;
	fault->next->fence_cpus(fault->next_port);
}

static const struct mhp_port_ops fault_ops = {
	.map = fault_map,
	.unmap = fault_unmap,
	.check_ram = fault_check_ram,
	.memmap_map = fault_memmap_map,
	.memmap_unmap = fault_memmap_unmap,
	.meta_alloc = fault_meta_alloc,
	.meta_free = fault_meta_free,
	.lock = fault_lock,
	.unlock = fault_unlock,
	.self = fault_self,
	.now_ns = fault_now_ns,
	.pause = fault_pause,
	.fence_cpus = fault_fence_cpus,
};

/* ---- life ---- */

static void
set_shape(struct mhp_fault *fault, const struct mhp_config *config, unsigned descriptor_bytes)
{
	const struct mhp_geometry *geo = &config->geometry;
	uint64_t block_pages = UINT64_C(1) << geo->block_order;
	unsigned bytes = descriptor_bytes != 0 ? descriptor_bytes : 16U;
	fault->next = config->ops;
	fault->next_port = config->port;
	fault->geo = *geo;
	fault->caps = config->caps;
	fault->vmemmap = config->vmemmap;
	fault->page_bytes = UINT64_C(1) << geo->page_shift;
	fault->section_bytes = fault->page_bytes << geo->section_order;
	fault->nr_sections = (uint64_t)geo->nr_blocks << (geo->block_order - geo->section_order);
	fault->metas_max = geo->nr_blocks;
	/* A block's slice shorter than a granule is never mapped: whole_slice() sees it. */
	fault->base_per_block = block_pages * bytes >> fault->caps.granule_shift;
	if (fault->base_per_block == 0)
		fault->base_per_block = 1;
	fault->nr_base = fault->vmemmap == NULL ? 0 : fault->base_per_block * geo->nr_blocks;
	fault->ops = fault_ops;
	if (fault->next->fence_cpus == NULL)
		fault->ops.fence_cpus = NULL;
}

int
mhp_fault_create(struct mhp_config *config, unsigned descriptor_bytes, struct mhp_fault **ret_fault)
{
	struct mhp_fault *fault = calloc(1, sizeof(*fault));
	if (fault == NULL)
		return MHP_ENOMEM;
	set_shape(fault, config, descriptor_bytes);
	size_t sections = (fault->nr_sections * sizeof(struct section) + 7) / 8 * 8;
	size_t granules = fault->nr_base * sizeof(struct granule);
	fault->ledger_bytes = sizeof(struct ledger) + sections + granules +
			      fault->metas_max * sizeof(struct mhp_meta);
	unsigned char *at = calloc(1, fault->ledger_bytes);
	if (at == NULL) {
		free(fault);
		return MHP_ENOMEM;
	}
	fault->ledger = (struct ledger *)(void *)at;
	fault->sections = (struct section *)(void *)(at += sizeof(struct ledger));
	fault->granules = (struct granule *)(void *)(at += sections);
	fault->metas = (struct mhp_meta *)(void *)(at + granules);
	fault->ledger->kinds = ALL_KINDS;
	config->ops = &fault->ops;
	config->port = fault;
	*ret_fault = fault;
	return 0;
}

void
mhp_fault_destroy(struct mhp_fault *fault)
{
	if (fault == NULL)
		return;
	free(fault->ledger);
	free(fault);
}

/* ---- control ---- */

void
mhp_fault_arm(struct mhp_fault *fault, uint64_t nth, bool persistent, int error)
{
	struct ledger *ledger = fault->ledger;
	ledger->nth = nth;
	ledger->persistent = persistent;
	ledger->error = error;
	ledger->calls = 0;
	ledger->fired = 0;
}

void
mhp_fault_set_kinds(struct mhp_fault *fault, unsigned kinds)
{
	fault->ledger->kinds = kinds & ALL_KINDS;
}

uint64_t
mhp_fault_fired(const struct mhp_fault *fault)
{
	return fault->ledger->fired;
}

uint64_t
mhp_fault_calls(const struct mhp_fault *fault)
{
	return fault->ledger->calls;
}

uint64_t
mhp_fault_calls_of(const struct mhp_fault *fault, enum mhp_fault_kind kind)
{
	return fault->ledger->calls_of[kind];
}

void
mhp_fault_begin(struct mhp_fault *fault, bool may_go_on)
{
	struct ledger *ledger = fault->ledger;
	ledger->in_call = true;
	ledger->may_go_on = may_go_on;
	ledger->failed = false;
}

void
mhp_fault_end(struct mhp_fault *fault)
{
	if (atomic_load(&fault->holder) == fault->next->self(fault->next_port))
		violation(fault, "a call returned with the hotplug lock");
	fault->ledger->in_call = false;
}

uint64_t
mhp_fault_violations(const struct mhp_fault *fault)
{
	return atomic_load(&fault->violations);
}

const char *
mhp_fault_first(const struct mhp_fault *fault)
{
	return fault->first;
}

unsigned
mhp_fault_check_quiet(const struct mhp_fault *fault, char *text, size_t size)
{
	const struct ledger *ledger = fault->ledger;
	bool locked = atomic_load(&fault->holder) != 0;
	snprintf(text, size,
		 "%" PRIu64 " sections mapped, %" PRIu64 " memmap granules mapped, %" PRIu32
		 " runs of external metadata out, hotplug lock %s",
		 ledger->nr_mapped, ledger->nr_granules, ledger->nr_metas,
		 locked ? "held" : "free");
	return (ledger->nr_mapped != 0 ? 1U : 0U) + (ledger->nr_granules != 0 ? 1U : 0U) +
	       (ledger->nr_metas != 0 ? 1U : 0U) + (locked ? 1U : 0U);
}

size_t
mhp_fault_snapshot_size(const struct mhp_fault *fault)
{
	return fault->ledger_bytes;
}

void
mhp_fault_save(const struct mhp_fault *fault, void *ret_snapshot)
{
	memcpy(ret_snapshot, fault->ledger, fault->ledger_bytes);
}

void
mhp_fault_restore(struct mhp_fault *fault, const void *snapshot)
{
	memcpy(fault->ledger, snapshot, fault->ledger_bytes);
}
