/* SPDX-License-Identifier: MIT */
/*
 * hotplug.c - between the DIMM slots and the engine: which blocks a DIMM brings, and its leaving.
 *
 * A DIMM may start and end anywhere at 2 MiB; the blocks that lie wholly inside are used, and one
 * with none is refused, with the reason on the console and a status for the host. A request to
 * leave is acknowledged, the blocks are removed, and only then is the DIMM ejected; when they
 * cannot be, the host is told that the DIMM is busy and may ask again. All of this runs in the
 * main loop of CPU 0; an interrupt only sets `event`.
 */
#include "hotplug.h"

#include <stdatomic.h>

#include "bootmem.h"
#include "console.h"
#include "dimm.h"
#include "error.h"
#include "port.h"
#include "ram.h"
#include "smp.h"
#include "string.h"
#include "traps.h"

enum { SLOTS_MAX = 256 };

struct slot {
	bool known;                    /* there is a DIMM, and what it brought was dealt with */
	struct mhp_span used;          /* the part of it that was added; size 0: it was refused */
};

static struct slot slots[SLOTS_MAX];
static unsigned nr_slots;
static _Atomic bool event;

static uint32_t
add_flags(uint16_t backing)
{
	const char *memmap = bootmem_option("memmap", "self");

	if (backing == RAM_OF_BOOT)
		return MHP_ADD_BOOT;
	if (text_equal(memmap, "external"))
		return 0;
	return MHP_MEMMAP_ON_MEMORY | (text_equal(memmap, "auto") ? 0U : MHP_MEMMAP_REQUIRE);
}

int
hotplug_add(struct mhp_span span, unsigned node, uint16_t backing)
{
	/* Not MHP_ADD_ZEROED: a DIMM that comes back may hold what it held before. */
	struct mhp_add_opts opts = { .flags = add_flags(backing), .node = (uint8_t)node,
				     .backing = backing };
	struct mhp_add_answer answer;
	uint64_t used = bootmem_nr_used();
	struct mhp_blocks blocks;
	int error = mhp_span_blocks(port_instance(), span, &blocks);

	if (error == 0)
		error = mhp_add(port_instance(), blocks, &opts, &answer);
	if (error != 0) {
		say("refused %s\n", error_text(error));
		return error;
	}
	say("added blocks %u+%u node %u, %u pages of each for its metadata, "
	    "%ld of boot memory%s%s\n",
	    answer.blocks.first, answer.blocks.count, node, answer.nr_vmemmap_pages,
	    (int64_t)(bootmem_nr_used() - used), answer.online_error != 0 ? ", offline: " : "",
	    answer.online_error != 0 ? error_text(answer.online_error) : "");
	return 0;
}

bool
hotplug_present(struct mhp_span span)
{
	uint64_t block_bytes = port_block_bytes();
	struct mhp_block_info info;

	for (uint64_t at = 0; at < span.size; at += block_bytes) {
		uint32_t block = (uint32_t)((span.start.addr + at) / block_bytes);
		if (mhp_block_get(port_instance(), block, &info) == 0 && info.state != MHP_ABSENT)
			return true;
	}
	return false;
}

int
hotplug_remove(struct mhp_span span)
{
	struct mhp_why why = { .pfn = MHP_PFN_NONE };
	struct mhp_blocks blocks;

	if (!hotplug_present(span))
		return 0;
	int error = mhp_span_blocks(port_instance(), span, &blocks);
	if (error == 0)
		error = mhp_remove(port_instance(), &blocks, 1, NULL, &why);
	if (error != 0)
		error_say(error, &why);
	return error;
}

/* The whole blocks inside a DIMM. */
static struct mhp_span
whole_blocks(const struct dimm_slot *dimm)
{
	uint64_t block_bytes = port_block_bytes();
	uint64_t start = (dimm->start + block_bytes - 1) & ~(block_bytes - 1);
	uint64_t end = (dimm->start + dimm->size) & ~(block_bytes - 1);

	return (struct mhp_span){ { start }, end > start ? end - start : 0 };
}

static void
dimm_came(unsigned slot, const struct dimm_slot *dimm)
{
	struct mhp_span span = whole_blocks(dimm);
	int error = MHP_EINVAL;

	slots[slot] = (struct slot){ .known = true };
	say("dimm %u: 0x%lx+%luM node %u: ", slot, dimm->start, dimm->size >> 20, dimm->node);
	if (span.size == 0) {
		say("refused: no whole block of %luM inside\n", port_block_bytes() >> 20);
	} else {
		if (span.size < dimm->size)
			say("trimmed to 0x%lx+%luM, ", span.start.addr, span.size >> 20);
		error = ram_came(span, dimm->node, (uint16_t)slot);
	}
	if (error == 0) {
		error = hotplug_add(span, dimm->node, (uint16_t)slot);
		if (error == 0)
			slots[slot].used = span;
		else
			ram_gone(span);
	}
	/* One that was there at boot has no request to answer. */
	if (dimm->inserted) {
		dimm_ack_insert(slot);
		dimm_report(slot, DIMM_EVENT_INSERT, error == 0 ? DIMM_OK : DIMM_REFUSED);
	}
}

static void
eject(unsigned slot)
{
	slots[slot].known = false;
	ram_gone(slots[slot].used);
	dimm_eject(slot);
	say("dimm %u: ejected\n", slot);
}

static void
dimm_to_leave(unsigned slot)
{
	dimm_ack_remove(slot);
	say("dimm %u: asked to leave\n", slot);
	int error = hotplug_remove(slots[slot].used);
	if (error == 0)
		eject(slot);
	else
		dimm_report(slot, DIMM_EVENT_EJECT,
			    error == MHP_EBUSY || error == MHP_EAGAIN || error == MHP_ENOMEM ?
			    DIMM_BUSY : DIMM_FAILED);
}

static void
scan(void)
{
	for (unsigned slot = 0; slot < nr_slots; slot++) {
		struct dimm_slot dimm = dimm_read(slot);
		slots[slot].known &= dimm.present && !dimm.inserted;
		if (dimm.present && !slots[slot].known)
			dimm_came(slot, &dimm);
		if (dimm.remove_asked)
			dimm_to_leave(slot);
	}
}

void
hotplug_release(void)
{
	for (unsigned slot = 0; slot < nr_slots; slot++) {
		if (slots[slot].known && slots[slot].used.size != 0 &&
		    !hotplug_present(slots[slot].used))
			eject(slot);
	}
}

static void
note_event(void)
{
	if (dimm_event_pending())
		atomic_store(&event, true);
}

void
hotplug_init(void)
{
	nr_slots = dimm_nr_slots();
	nr_slots = nr_slots < SLOTS_MAX ? nr_slots : SLOTS_MAX;
	if (nr_slots == 0)
		return;
	if (text_equal(bootmem_option("hotplug", "poll"), "irq")) {
		traps_set_handler(VECTOR_SCI, note_event);
		dimm_irq_enable(VECTOR_SCI);
	} else {
		traps_set_handler(VECTOR_TICK, note_event);
		smp_tick_start();
	}
	/* Memory that came before we listened has no event any more. */
	scan();
}

bool
hotplug_poll(void)
{
	if (!atomic_exchange(&event, false))
		return false;
	scan();
	return true;
}

bool
hotplug_pending(void)
{
	return atomic_load(&event);
}
