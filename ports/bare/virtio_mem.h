/* SPDX-License-Identifier: MIT */
/*
 * virtio_mem.h - a virtio-mem device: memory in a fixed region whose size the host asks for.
 */
#ifndef BARE_VIRTIO_MEM_H
#define BARE_VIRTIO_MEM_H

#include <memplug/types.h>

/* The state of the device as it says now. */
struct virtio_mem_config {
	uint64_t block_bytes;          /* unit of plugging */
	uint64_t start;                /* of the region */
	uint64_t region_bytes;
	uint64_t usable_bytes;         /* the part of it that may be plugged now */
	uint64_t plugged_bytes;
	uint64_t requested_bytes;      /* what the host wants plugged_bytes to be */
	uint16_t node;
};

/* Find and start the device. MHP_ENODEV: there is none. MHP_EIO: it refused its features. */
MHP_MUST_CHECK int virtio_mem_init(void);
struct virtio_mem_config virtio_mem_read(void);
/* Ask for, or give back, [start, start + size). MHP_EAGAIN (not now), MHP_EBUSY, MHP_EIO. */
MHP_MUST_CHECK int virtio_mem_plug(uint64_t start, uint64_t size);
MHP_MUST_CHECK int virtio_mem_unplug(uint64_t start, uint64_t size);

#endif
