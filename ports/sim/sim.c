/* SPDX-License-Identifier: MIT */
/*
 * sim.c - the simulator: life, mapping of sections, clock, lock.
 *
 * Layout of what can be touched (struct mhp_sim in sim_private.h): one direct map that covers the
 * address range and, after it, the pool of external metadata. Where pages must be able to go away,
 * or to appear in a vmemmap too, the memory is a memfd and the direct map a view of it; else it
 * is one anonymous mapping that nothing ever changes. All that changes by calls of the engine is
 * in the flat state, so that a snapshot is a copy (sim_snapshot.c).
 *
 * Everything but now_ns, self and pause runs under the hotplug lock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim_private.h"

/* 64 TiB: with the pool after it, half of the address space of a process. */
#define RANGE_BYTES_MAX (UINT64_C(1) << 46)
#define TICK_NS 1000U

_Thread_local unsigned mhp_sim_cpu;
extern _Thread_local uint32_t mhp_sim_ranks; /* declared for the core in mhp_port_inline.h */
_Thread_local uint32_t mhp_sim_ranks;
_Thread_local bool mhp_sim_mortal;

_Noreturn void
mhp__sim_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("simulator: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

/* ---- mapping ---- */

void
mhp__sim_view(struct mhp_sim *sim, uint64_t addr, uint64_t frame_addr, uint64_t size, bool open)
{
	void *at = mmap(sim->direct_map + addr, size, open ? PROT_READ | PROT_WRITE : PROT_NONE,
			MAP_SHARED | MAP_FIXED | MAP_NORESERVE, sim->memfd, (off_t)frame_addr);
	if (at == MAP_FAILED)
		mhp__sim_die("mmap: %s", strerror(errno));
}

void
mhp__sim_view_section(struct mhp_sim *sim, uint64_t section, bool mapped)
{
	uint64_t addr = section * sim->section_bytes;
	if (sim->memfd < 0)
		return;
	mhp__sim_view(sim, addr, addr, sim->section_bytes, mapped || !sim->unmaps);
	uint64_t stuck = sim->stuck_pfn << sim->opts.geometry.page_shift;
	if (mapped && sim->stuck_pfn != MHP_PFN_NONE && stuck / sim->section_bytes == section)
		mhp__sim_view(sim, stuck, sim->seen_pfn << sim->opts.geometry.page_shift,
			      sim->page_bytes, true);
}

void
mhp__sim_garbage(struct mhp_sim *sim, uint64_t addr, uint64_t size)
{
	uint64_t seed = (sim->opts.seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t word = (seed ^ addr ^ ++sim->state->generation << 48) | 1;
	unsigned char *to = sim->backdoor + addr;
	for (uint64_t i = 0; i < size; i += sizeof(word)) {
		/* xorshift64 (Marsaglia 2003): never zero once it is not. */
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		memcpy(to + i, &word, sizeof(word));
	}
}

/* Make the bytes read as zeros without touching them, if the host's pages allow it. */
static void
drop(struct mhp_sim *sim, uint64_t addr, uint64_t size)
{
	if (size % SIM_HOST_PAGE != 0)
		memset(sim->backdoor + addr, 0, size);
	else if (sim->memfd < 0)
		madvise(sim->direct_map + addr, size, MADV_DONTNEED);
	else
		fallocate(sim->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)addr,
			  (off_t)size);
}

static int
sim_map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	struct mhp_sim *sim = port;
	uint64_t section = start.addr / sim->section_bytes;
	(void)node;
	if (size != sim->section_bytes || start.addr % size != 0 || section >= sim->nr_sections)
		mhp__sim_die("map of %#" PRIx64 "+%#" PRIx64 ", not a section", start.addr, size);
	if (mhp_sim_is_mapped(sim, start))
		mhp__sim_die("map of section %" PRIu64 ", which is mapped", section);
	sim->mapped[section / 64] |= UINT64_C(1) << section % 64;
	sim->state->nr_mapped++;
	mhp__sim_view_section(sim, section, true);
	if (sim->opts.fill == MHP_SIM_GARBAGE)
		mhp__sim_garbage(sim, start.addr, sim->garbage_bytes);
	return 0;
}

static void
sim_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	struct mhp_sim *sim = port;
	uint64_t section = start.addr / sim->section_bytes;
	if (size != sim->section_bytes || start.addr % size != 0 || section >= sim->nr_sections)
		mhp__sim_die("unmap of %#" PRIx64 "+%#" PRIx64 ", not a section", start.addr, size);
	if (!mhp_sim_is_mapped(sim, start))
		mhp__sim_die("unmap of section %" PRIu64 ", which is not mapped", section);
	sim->mapped[section / 64] &= ~(UINT64_C(1) << section % 64);
	sim->state->nr_mapped--;
	mhp__sim_view_section(sim, section, false);
	if (sim->opts.fill == MHP_SIM_ZERO)
		drop(sim, start.addr, size);
}

static int
sim_check_ram(void *port, struct mhp_phys start, uint64_t size)
{
	const struct sim_state *state = ((const struct mhp_sim *)port)->state;
	for (unsigned i = 0; i < state->nr_holes; i++) {
		struct mhp_span hole = state->holes[i];
		if (hole.start.addr < start.addr + size && start.addr < hole.start.addr + hole.size)
			return MHP_EINVAL;
	}
	return 0;
}

/* ---- lock, clock ---- */

static void
sim_lock(void *port)
{
	struct mhp_sim *sim = port;
	if (pthread_mutex_lock(&sim->mutex) != 0)
		mhp__sim_die("the hotplug lock is taken by a thread that has it");
	sim->locked = true;
}

static void
sim_unlock(void *port)
{
	struct mhp_sim *sim = port;
	sim->locked = false;
	if (pthread_mutex_unlock(&sim->mutex) != 0)
		mhp__sim_die("the hotplug lock is given back by a thread that does not have it");
}

static uint64_t
sim_self(void *port)
{
	(void)port;
	return (uint64_t)(uintptr_t)&mhp_sim_cpu;
}

static uint64_t
sim_now_ns(void *port)
{
	struct mhp_sim *sim = port;
	return atomic_fetch_add(&sim->state->clock_ns, sim->opts.tick_ns) + sim->opts.tick_ns;
}

static void
sim_pause(void *port, uint64_t ns)
{
	mhp_sim_advance(port, ns);
	sched_yield();
}

const struct mhp_port_ops mhp_sim_ops = {
	.map = sim_map,
	.unmap = sim_unmap,
	.check_ram = sim_check_ram,
	.memmap_map = mhp__sim_memmap_map,
	.memmap_unmap = mhp__sim_memmap_unmap,
	.meta_alloc = mhp__sim_meta_alloc,
	.meta_free = mhp__sim_meta_free,
	.lock = sim_lock,
	.unlock = sim_unlock,
	.self = sim_self,
	.now_ns = sim_now_ns,
	.pause = sim_pause,
};

/* ---- life ---- */

static uint64_t
round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static bool
options_are_good(const struct mhp_sim_opts *opts)
{
	const struct mhp_geometry *geo = &opts->geometry;
	bool pages = opts->mode == MHP_SIM_UNMAP || opts->vmemmap;
	unsigned block_shift = (unsigned)geo->block_order + geo->page_shift;
	return geo->page_shift >= (pages ? SIM_HOST_SHIFT : 6) && geo->page_shift <= 16 &&
	       geo->section_order <= geo->block_order && block_shift <= 46 && geo->nr_blocks > 0 &&
	       geo->nr_blocks <= RANGE_BYTES_MAX >> block_shift && geo->nr_nodes > 0 &&
	       opts->meta_bytes <= RANGE_BYTES_MAX / 4 &&
	       (opts->caps.granule_shift == 0 || opts->caps.granule_shift >= geo->page_shift) &&
	       opts->caps.large_granule_shift < 40 && opts->descriptor_bytes % 8 == 0;
}

static void
set_shape(struct mhp_sim *sim, const struct mhp_sim_opts *opts)
{
	const struct mhp_geometry *geo = &opts->geometry;
	sim->opts = *opts;
	if (sim->opts.descriptor_bytes == 0)
		sim->opts.descriptor_bytes = 16;
	if (sim->opts.caps.granule_shift == 0)
		sim->opts.caps.granule_shift = geo->page_shift;
	if (sim->opts.tick_ns == 0)
		sim->opts.tick_ns = TICK_NS;
	unsigned large = sim->opts.caps.large_granule_shift;
	if (large < sim->opts.caps.granule_shift)
		large = sim->opts.caps.granule_shift;
	sim->large_bytes = UINT64_C(1) << (large < SIM_HOST_SHIFT ? SIM_HOST_SHIFT : large);
	sim->unmaps = opts->mode == MHP_SIM_UNMAP;
	sim->page_bytes = UINT64_C(1) << geo->page_shift;
	sim->section_bytes = sim->page_bytes << geo->section_order;
	sim->garbage_bytes = sim->section_bytes;
	if (opts->garbage_bytes != 0 && opts->garbage_bytes < sim->section_bytes)
		sim->garbage_bytes = round_up(opts->garbage_bytes, sizeof(uint64_t));
	sim->nr_sections = (uint64_t)geo->nr_blocks << (geo->block_order - geo->section_order);
	sim->range_bytes = sim->nr_sections * sim->section_bytes;
	/* Room for what alignment costs: an allocation is at most doubled by it. */
	sim->pool_start = round_up(sim->range_bytes, sim->large_bytes);
	sim->pool_bytes = opts->meta_bytes == 0 ? 0 :
			  round_up(2 * opts->meta_bytes, sim->large_bytes) + sim->large_bytes;
	sim->total_bytes = sim->pool_start + sim->pool_bytes;
	uint64_t descriptors = (sim->range_bytes >> geo->page_shift) * sim->opts.descriptor_bytes;
	sim->vmemmap_bytes = opts->vmemmap ? round_up(descriptors, sim->large_bytes) : 0;
}

static void *
reserve(uint64_t size, int prot)
{
	void *at = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

/* The flat state and the arrays after it; sizes are known. */
static bool
make_state(struct mhp_sim *sim)
{
	uint64_t mapped = round_up(sim->nr_sections, 64) / 8;
	uint64_t lengths = round_up(sim->pool_bytes / sim->page_bytes * sizeof(uint32_t), 8);
	uint64_t granules = (sim->vmemmap_bytes >> sim->opts.caps.granule_shift) * sizeof(uint64_t);
	uint64_t tables = sim->opts.vmemmap ?
			  sim->opts.geometry.nr_blocks * sizeof(struct sim_tables) : 0;
	sim->state_bytes = sizeof(struct sim_state) + mapped + lengths + granules + tables;
	unsigned char *at = reserve(sim->state_bytes, PROT_READ | PROT_WRITE);
	if (at == NULL)
		return false;
	sim->state = (struct sim_state *)(void *)at;
	sim->mapped = (uint64_t *)(void *)(at += sizeof(struct sim_state));
	sim->lengths = (uint32_t *)(void *)(at += mapped);
	sim->granules = (uint64_t *)(void *)(at += lengths);
	sim->tables = (struct sim_tables *)(void *)(at + granules);
	sim->state->budget = sim->opts.meta_bytes;
	return true;
}

static bool
make_memory(struct mhp_sim *sim)
{
	if (!sim->unmaps && !sim->opts.vmemmap) {
		sim->direct_map = reserve(sim->total_bytes, PROT_READ | PROT_WRITE);
		sim->backdoor = sim->direct_map;
		return sim->direct_map != NULL;
	}
	sim->memfd = memfd_create("memplug-sim", MFD_CLOEXEC);
	if (sim->memfd < 0 || ftruncate(sim->memfd, (off_t)sim->total_bytes) != 0)
		return false;
	void *door = mmap(NULL, sim->total_bytes, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_NORESERVE, sim->memfd, 0);
	sim->backdoor = door == MAP_FAILED ? NULL : door;
	sim->direct_map = reserve(sim->total_bytes, PROT_NONE);
	if (sim->backdoor == NULL || sim->direct_map == NULL)
		return false;
	mhp__sim_view(sim, 0, 0, sim->total_bytes, !sim->unmaps);
	if (!sim->opts.vmemmap)
		return true;
	sim->vmemmap_room = reserve(sim->vmemmap_bytes + sim->large_bytes, PROT_NONE);
	if (sim->vmemmap_room == NULL)
		return false;
	uint64_t skip = -(uint64_t)(uintptr_t)sim->vmemmap_room & (sim->large_bytes - 1);
	sim->vmemmap = sim->vmemmap_room + skip;
	return true;
}

int
mhp_sim_create(const struct mhp_sim_opts *opts, struct mhp_sim **ret_sim)
{
	if (!options_are_good(opts))
		return MHP_EINVAL;
	struct mhp_sim *sim = calloc(1, sizeof(*sim));
	if (sim == NULL)
		return MHP_ENOMEM;
	sim->memfd = -1;
	sim->stuck_pfn = MHP_PFN_NONE;
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&sim->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	set_shape(sim, opts);
	if (!make_state(sim) || !make_memory(sim)) {
		mhp_sim_destroy(sim);
		return MHP_ENOMEM;
	}
	*ret_sim = sim;
	return 0;
}

static void
release(void *at, uint64_t size)
{
	if (at != NULL)
		munmap(at, size);
}

void
mhp_sim_destroy(struct mhp_sim *sim)
{
	if (sim == NULL)
		return;
	if (sim->backdoor != sim->direct_map)
		release(sim->backdoor, sim->total_bytes);
	release(sim->direct_map, sim->total_bytes);
	release(sim->vmemmap_room, sim->vmemmap_bytes + sim->large_bytes);
	release(sim->instance_room, sim->instance_room_bytes);
	release(sim->state, sim->state_bytes);
	if (sim->memfd >= 0)
		close(sim->memfd);
	pthread_mutex_destroy(&sim->mutex);
	free(sim);
}

void
mhp_sim_config(struct mhp_sim *sim, struct mhp_config *ret_config)
{
	*ret_config = (struct mhp_config){
		.geometry = sim->opts.geometry,
		.ops = &mhp_sim_ops,
		.port = sim,
		.caps = sim->opts.caps,
		.direct_map = sim->direct_map,
		.vmemmap = sim->vmemmap,
	};
}

void *
mhp_sim_instance_memory(struct mhp_sim *sim, size_t size_bytes)
{
	if (sim->instance_room != NULL)
		return NULL;
	uint64_t used = round_up(size_bytes, 64);
	uint64_t guard = round_up(used, SIM_HOST_PAGE);
	unsigned char *room = reserve(guard + SIM_HOST_PAGE, PROT_READ | PROT_WRITE);
	if (room == NULL)
		return NULL;
	mprotect(room + guard, SIM_HOST_PAGE, PROT_NONE);
	sim->instance_room = room;
	sim->instance_room_bytes = guard + SIM_HOST_PAGE;
	sim->instance = room + guard - used;
	sim->instance_bytes = used;
	return sim->instance;
}

/* ---- what happens to a machine, and looking ---- */

void
mhp_sim_set_budget(struct mhp_sim *sim, uint64_t meta_bytes)
{
	bool fits = meta_bytes <= sim->opts.meta_bytes;
	sim->state->budget = fits ? meta_bytes : sim->opts.meta_bytes;
}

bool
mhp_sim_add_hole(struct mhp_sim *sim, struct mhp_phys start, uint64_t size)
{
	struct sim_state *state = sim->state;
	if (state->nr_holes == MHP_SIM_HOLES_MAX)
		return false;
	state->holes[state->nr_holes++] = (struct mhp_span){ start, size };
	return true;
}

void
mhp_sim_clear_holes(struct mhp_sim *sim)
{
	sim->state->nr_holes = 0;
}

bool
mhp_sim_set_stuck(struct mhp_sim *sim, uint64_t pfn, uint64_t seen_pfn)
{
	if (sim->memfd < 0)
		return false;
	sim->stuck_pfn = pfn;
	sim->seen_pfn = seen_pfn;
	return true;
}

void
mhp_sim_advance(struct mhp_sim *sim, uint64_t ns)
{
	atomic_fetch_add(&sim->state->clock_ns, ns);
}

bool
mhp_sim_is_mapped(const struct mhp_sim *sim, struct mhp_phys start)
{
	uint64_t section = start.addr / sim->section_bytes;
	return section < sim->nr_sections && (sim->mapped[section / 64] >> section % 64 & 1) != 0;
}

uint64_t
mhp_sim_meta_used(const struct mhp_sim *sim)
{
	return sim->state->meta_used;
}

unsigned char *
mhp_sim_backdoor(const struct mhp_sim *sim, struct mhp_phys start)
{
	return sim->backdoor + start.addr;
}

unsigned
mhp_sim_check_quiet(struct mhp_sim *sim, char *text, size_t size)
{
	const struct sim_state *state = sim->state;
	bool locked = sim->locked;
	snprintf(text, size,
		 "%" PRIu64 " sections mapped, %" PRIu64 " memmap granules mapped, %" PRIu64
		 " bytes of external metadata used, hotplug lock %s",
		 state->nr_mapped, state->nr_granules, state->meta_used, locked ? "held" : "free");
	return (state->nr_mapped != 0 ? 1U : 0U) + (state->nr_granules != 0 ? 1U : 0U) +
	       (state->meta_used != 0 ? 1U : 0U) + (locked ? 1U : 0U);
}
