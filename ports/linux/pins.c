/* SPDX-License-Identifier: MIT */
/*
 * pins.c - ranges that must not move: memory under direct I/O, registered with a device.
 *
 * It is a short list in a fixed table: a look costs O(pins). Only moves to or from a device, and
 * decommits and purges, pay for that; the program itself does not.
 *
 * Pins of one range are counted, so that two users may pin and unpin it independently; a count of 0
 * is an empty place. Guarded by the region mutex of the pool, like the windows that it keeps. Must
 * not know: pools, what lies in a range.
 */
#include "pins.h"

bool
mhp__pinned(const struct mhp__pins *pins, uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < pins->nr; i++)
		if (pins->pin[i].count != 0 && pins->pin[i].start < end &&
		    start < pins->pin[i].end)
			return true;
	return false;
}

/* The pin of exactly this range, or NULL. *ret_empty: one that is free, or NULL. */
static struct mhp__pin *
find(struct mhp__pins *pins, uintptr_t start, uintptr_t end, struct mhp__pin **ret_empty)
{
	*ret_empty = NULL;
	for (unsigned i = 0; i < pins->nr; i++) {
		struct mhp__pin *pin = &pins->pin[i];
		if (pin->count != 0 && pin->start == start && pin->end == end)
			return pin;
		if (pin->count == 0)
			*ret_empty = pin;
	}
	return NULL;
}

int
mhp__pins_add(struct mhp__pins *pins, uintptr_t start, uintptr_t end)
{
	struct mhp__pin *empty, *pin = find(pins, start, end, &empty);
	if (pin == NULL && empty == NULL && pins->nr == MHP__PINS_MAX)
		return MHP_ENOSPC;
	if (pin == NULL) {
		pin = empty != NULL ? empty : &pins->pin[pins->nr++];
		*pin = (struct mhp__pin){ start, end, 0 };
	}
	pin->count++;
	return 0;
}

int
mhp__pins_drop(struct mhp__pins *pins, uintptr_t start, uintptr_t end)
{
	struct mhp__pin *empty, *pin = find(pins, start, end, &empty);
	if (pin == NULL)
		return MHP_ENOENT;
	pin->count--;
	return 0;
}

void
mhp__pins_forget(struct mhp__pins *pins, uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < pins->nr; i++)
		if (pins->pin[i].start >= start && pins->pin[i].start < end)
			pins->pin[i].count = 0;
}
