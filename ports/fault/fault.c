/* SPDX-License-Identifier: MIT */
/*
 * fault.c - the fault port: count, fail, check, pass on; sections, the lock, and its life.
 *
 * A ledger says what is mapped, which granules of the vmemmap lie on what, and which external
 * metadata is out. It is flat, so that it can be saved and restored beside the simulator's state.
 * A call is first checked against the ledger (a failing call must be right, too), then made to fail
 * or passed on, then written to the ledger. Violations are counted outside of the ledger: going
 * back to a snapshot does not undo them.
 *
 * The ledger is guarded by the wrapped port's hotplug lock; calls without it are a violation.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_private.h"

#define ALL_KINDS ((1U << MHP_FAULT_KINDS) - 1U)

void
mhp__violation(struct mhp_fault *fault, const char *format, ...)
{
	if (atomic_fetch_add(&fault->violations, 1) != 0)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(fault->first, sizeof(fault->first), format, args);
	va_end(args);
}

void
mhp__want_lock(struct mhp_fault *fault, const char *call)
{
	if (atomic_load(&fault->holder) != fault->next->self(fault->next_port))
		mhp__violation(fault, "%s without the hotplug lock", call);
}

int
mhp__count_call(struct mhp_fault *fault, enum mhp_fault_kind kind, const char *call)
{
	struct mhp__ledger *ledger = fault->ledger;
	mhp__want_lock(fault, call);
	if (ledger->in_call && ledger->failed && !ledger->may_go_on)
		mhp__violation(fault, "%s, which can fail, after a call that failed", call);
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

int
mhp__passed_on(struct mhp_fault *fault, int error, const char *call)
{
	if (error > 0)
		mhp__violation(fault, "%s returned %d, neither 0 nor an error", call, error);
	if (error != 0)
		fault->ledger->failed = true;
	return error;
}

/* ---- sections ---- */

/* The section that a call means; NULL: it does not mean one. */
static struct mhp__section *
whole_section(struct mhp_fault *fault, const char *call, uint64_t addr, uint64_t size)
{
	uint64_t index = addr / fault->section_bytes;
	if (size == fault->section_bytes && addr % size == 0 && index < fault->nr_sections)
		return &fault->sections[index];
	mhp__violation(fault, "%s of %#" PRIx64 "+%#" PRIx64 ", which is not a section", call, addr,
		       size);
	return NULL;
}

bool
mhp__all_mapped(const struct mhp_fault *fault, uint64_t addr, uint64_t size)
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
	struct mhp__section *section = whole_section(fault, "map", start.addr, size);
	if (section != NULL && section->mapped)
		mhp__violation(fault, "map of %#" PRIx64 ", which is mapped", start.addr);
	if (node >= fault->geo.nr_nodes)
		mhp__violation(fault, "map on node %u, which is not there", node);
	int error = mhp__count_call(fault, MHP_FAULT_MAP, "map");
	if (error != 0)
		return error;
	if (section == NULL || section->mapped)
		return MHP_EINVAL;
	error = fault->next->map(fault->next_port, start, size, node);
	if (error == 0) {
		section->mapped = true;
		fault->ledger->nr_mapped++;
	}
	return mhp__passed_on(fault, error, "map");
}

/* Is a later section of the same block still mapped? */
static bool
later_is_mapped(const struct mhp_fault *fault, const struct mhp__section *section)
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
	mhp__want_lock(fault, "unmap");
	struct mhp__section *section = whole_section(fault, "unmap", start.addr, size);
	if (section == NULL)
		return;
	if (!section->mapped) {
		mhp__violation(fault, "unmap of %#" PRIx64 ", which is not mapped", start.addr);
		return;
	}
	if (later_is_mapped(fault, section))
		mhp__violation(fault, "unmap of %#" PRIx64 " before a later section of its block",
			       start.addr);
	if (section->nr_granules != 0)
		mhp__violation(fault, "unmap of %#" PRIx64 ", on which a memmap still lies",
			       start.addr);
	section->mapped = false;
	fault->ledger->nr_mapped--;
	fault->next->unmap(fault->next_port, start, size);
}

static int
fault_check_ram(void *port, struct mhp_phys start, uint64_t size)
{
	struct mhp_fault *fault = port;
	if (start.addr % fault->page_bytes != 0 || size % fault->page_bytes != 0 ||
	    !mhp__all_mapped(fault, start.addr, size))
		mhp__violation(fault,
			       "check_ram of %#" PRIx64 "+%#" PRIx64 ", not mapped whole pages",
			       start.addr, size);
	int error = mhp__count_call(fault, MHP_FAULT_CHECK_RAM, "check_ram");
	if (error == 0 && fault->next->check_ram != NULL)
		error = fault->next->check_ram(fault->next_port, start, size);
	return mhp__passed_on(fault, error, "check_ram");
}

/* ---- lock, clock ---- */

static void
fault_lock(void *port)
{
	struct mhp_fault *fault = port;
	uint64_t self = fault->next->self(fault->next_port);
	if (atomic_load(&fault->holder) == self) {
		mhp__violation(fault, "lock by a thread that has it");
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
		mhp__violation(fault, "unlock by a thread that does not have it");
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
	mhp__want_lock(fault, "pause");
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
	.memmap_map = mhp__fault_memmap_map,
	.memmap_unmap = mhp__fault_memmap_unmap,
	.meta_alloc = mhp__fault_meta_alloc,
	.meta_free = mhp__fault_meta_free,
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
	size_t sections = (fault->nr_sections * sizeof(struct mhp__section) + 7) / 8 * 8;
	size_t granules = fault->nr_base * sizeof(struct mhp__granule);
	fault->ledger_bytes = sizeof(struct mhp__ledger) + sections + granules +
			      fault->metas_max * sizeof(struct mhp_meta);
	unsigned char *at = calloc(1, fault->ledger_bytes);
	if (at == NULL) {
		free(fault);
		return MHP_ENOMEM;
	}
	fault->ledger = (struct mhp__ledger *)(void *)at;
	fault->sections = (struct mhp__section *)(void *)(at += sizeof(struct mhp__ledger));
	fault->granules = (struct mhp__granule *)(void *)(at += sections);
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
	struct mhp__ledger *ledger = fault->ledger;
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
	struct mhp__ledger *ledger = fault->ledger;
	ledger->in_call = true;
	ledger->may_go_on = may_go_on;
	ledger->failed = false;
}

void
mhp_fault_end(struct mhp_fault *fault)
{
	if (atomic_load(&fault->holder) == fault->next->self(fault->next_port))
		mhp__violation(fault, "a call returned with the hotplug lock");
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
	const struct mhp__ledger *ledger = fault->ledger;
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
