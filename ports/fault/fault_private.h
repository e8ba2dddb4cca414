/* SPDX-License-Identifier: MIT */
/*
 * fault_private.h - struct mhp_fault, shared by the files of the fault port.
 *
 * The ledger and the arrays after it are one run of bytes, which a snapshot copies. The wrapped
 * port's hotplug lock guards it.
 */
#ifndef MHP_FAULT_PRIVATE_H
#define MHP_FAULT_PRIVATE_H

#include <stdatomic.h>

#include "fault.h"

#define MHP__FAULT_TEXT 256U

/* A base granule of the vmemmap; shift 0 = not mapped. */
struct mhp__granule {
	uint64_t backing;
	const struct mhp_altmap *altmap;
	uint8_t shift; /* of the mapping that it is part of */
};

struct mhp__section {
	bool mapped;
	uint32_t nr_granules; /* of the vmemmap that lie on it */
};

struct mhp__ledger {
	uint64_t nth;	       /* 0: nothing is to fail */
	uint64_t calls, fired; /* since arming */
	uint64_t calls_of[MHP_FAULT_KINDS];
	unsigned kinds;
	int error;
	bool persistent;
	bool in_call, may_go_on;
	bool failed; /* a fallible call did, since the call of the engine began */
	uint32_t nr_metas;
	uint64_t nr_mapped, nr_granules;
};

struct mhp_fault {
	struct mhp_port_ops ops; /* what the engine gets */
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
	struct mhp__ledger *ledger; /* these four are one run of bytes */
	struct mhp__section *sections;
	struct mhp__granule *granules;
	struct mhp_meta *metas;

	_Atomic uint64_t holder; /* self() of the holder of the lock, or 0 */
	unsigned again;		 /* times the holder took it a second time */
	_Atomic uint64_t violations;
	char first[MHP__FAULT_TEXT];
};

/* ---- fault.c ---- */

/* Count a violation of the protocol; the first is kept as a sentence. */
void mhp__violation(struct mhp_fault *fault, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A violation unless the caller has the hotplug lock. */
void mhp__want_lock(struct mhp_fault *fault, const char *call);
/* A fallible call comes. Return: 0, or the error that it is to fail with. */
int mhp__count_call(struct mhp_fault *fault, enum mhp_fault_kind kind, const char *call);
/* The wrapped port has returned this error; so does the call. */
int mhp__passed_on(struct mhp_fault *fault, int error, const char *call);
/* Are all sections of [addr, addr + size) mapped? */
bool mhp__all_mapped(const struct mhp_fault *fault, uint64_t addr, uint64_t size);

/* ---- fault_memmap.c: functions of the port ---- */

int mhp__fault_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr,
			  unsigned shift, struct mhp_altmap *altmap);
void mhp__fault_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned shift,
			     struct mhp_altmap *altmap);
int mhp__fault_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta);
void mhp__fault_meta_free(void *port, const struct mhp_meta *meta);

#endif
