/* SPDX-License-Identifier: MIT */
/*
 * fault.h - the fault port: wraps any port, makes its calls fail, and checks the protocol.
 *
 * Fallible calls are map, check_ram, memmap_map and meta_alloc. They are counted, and the k-th can
 * be made to fail, alone or with all after it; a call that is made to fail does not reach the
 * wrapped port. Every call is checked against include/memplug/port.h: whole sections and pages,
 * pairs that match, sections of a block unmapped from the last to the first, nothing unmapped that
 * something still lies on, the hotplug lock held, no fallible call after a failure (a rollback must
 * not need what can fail). A call that breaks the protocol is recorded, never aborts, and is passed
 * on only if the wrapped port can make sense of it.
 *
 * Must not know: what port it wraps, and anything inside of the engine.
 */
#ifndef MEMPLUG_FAULT_H
#define MEMPLUG_FAULT_H

#include <memplug/mhp.h>

/** Fallible calls, for counts and masks. */
enum mhp_fault_kind {
	MHP_FAULT_MAP,
	MHP_FAULT_CHECK_RAM,
	MHP_FAULT_MEMMAP_MAP,
	MHP_FAULT_META_ALLOC,
	MHP_FAULT_KINDS,
};

struct mhp_fault;

/**
 * Wrap a port.
 *
 * @config: as it would be given to mhp_init(), with the ops and the port to wrap; changed in place
 *          so that mhp_init() gets the wrapper. geometry, caps and vmemmap are read.
 * @descriptor_bytes: size of a descriptor where config->vmemmap is set; 0 = 16.
 * Return: 0 or MHP_ENOMEM.
 */
MHP_MUST_CHECK int mhp_fault_create(struct mhp_config *config, unsigned descriptor_bytes,
				    struct mhp_fault **ret_fault);
/** NULL does nothing. */
void mhp_fault_destroy(struct mhp_fault *fault);

/* ---- making calls fail ---- */

/**
 * From now on the @nth fallible call (1 = the next) fails with @error; with @persistent also all
 * calls after it. @nth 0: none. Counts start again from 0.
 */
void mhp_fault_arm(struct mhp_fault *fault, uint64_t nth, bool persistent, int error);

/** Only these kinds count and fail: bits 1U << enum mhp_fault_kind. All at first. */
void mhp_fault_set_kinds(struct mhp_fault *fault, unsigned kinds);

/** How many calls were made to fail since mhp_fault_arm(). */
uint64_t mhp_fault_fired(const struct mhp_fault *fault);

/** Fallible calls since mhp_fault_arm(), of the kinds that count. */
uint64_t mhp_fault_calls(const struct mhp_fault *fault);

/** Calls of one kind since mhp_fault_create(), those that were made to fail included. */
uint64_t mhp_fault_calls_of(const struct mhp_fault *fault, enum mhp_fault_kind kind);

/* ---- the protocol ---- */

/**
 * Bracket one call of the engine. Between the two, after the first fallible call that failed,
 * whoever made it fail, another fallible call is a violation: no rollback may depend on it. With
 * @may_go_on it is not (a fallback to another placement, the retries of auto-online).
 */
void mhp_fault_begin(struct mhp_fault *fault, bool may_go_on);
void mhp_fault_end(struct mhp_fault *fault);

/** How often the protocol was broken. */
uint64_t mhp_fault_violations(const struct mhp_fault *fault);

/** The first violation in words; "" when there was none. */
const char *mhp_fault_first(const struct mhp_fault *fault);

/**
 * Is nothing mapped, no metadata out, the lock free?
 * Return: how many things are left over; they are not recorded as violations.
 */
unsigned mhp_fault_check_quiet(const struct mhp_fault *fault, char *text, size_t size);

/* ---- snapshots, beside those of the simulator ---- */

size_t mhp_fault_snapshot_size(const struct mhp_fault *fault);
void mhp_fault_save(const struct mhp_fault *fault, void *ret_snapshot);
void mhp_fault_restore(struct mhp_fault *fault, const void *snapshot);

#endif
