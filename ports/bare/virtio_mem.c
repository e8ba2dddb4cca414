/* SPDX-License-Identifier: MIT */
/*
 * virtio_mem.c - the device behind virtio_mem.h: modern PCI transport, one queue, one request at a
 * time, polled.
 *
 * The queue has two descriptors in use for ever: 0 is the request, 1 the response. A request is
 * answered in the time that the host takes to map memory, so waiting for it is not bounded by us; a
 * device that never answers stops this CPU, as a disk that never answers would.
 */
#include "virtio_mem.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "bootmem.h"
#include "mmu.h"
#include "pci.h"
#include "string.h"
#include "cpu.h"

enum {
	VENDOR = 0x1af4,
	DEVICE = 0x1058,
	PCI_CAPABILITIES = 0x34,
	CAPABILITY_VENDOR = 0x09,
	CAP_COMMON = 1,
	CAP_NOTIFY = 2,
	CAP_DEVICE = 4,
	CAPS_MAX = 48,
	STATUS_FEATURES = 0x0b,
	STATUS_RUNNING = 0x0f,
	FEATURE_PXM = 1 << 0,
	FEATURE_UNPLUGGED_INACCESSIBLE = 1 << 1,
	FEATURE_VERSION_1 = 1 << 0,    /* of the high word */
	QUEUE_SIZE = 2,
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	REQUEST_PLUG = 0,
	REQUEST_UNPLUG = 1,
};

struct common_config {
	uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
	uint16_t msix, nr_queues;
	uint8_t status, generation;
	uint16_t queue_select, queue_size, queue_msix, queue_enable, queue_notify_off;
	uint32_t queue_desc[2], queue_avail[2], queue_used[2];
};

struct device_config {
	uint64_t block_bytes;
	uint16_t node;
	uint16_t pad[3];
	uint64_t start, region_bytes, usable_bytes, plugged_bytes, requested_bytes;
};

struct queue_page {
	struct {
		uint64_t address;
		uint32_t length;
		uint16_t flags, next;
	} desc[QUEUE_SIZE];
	struct {
		uint16_t flags, index, ring[QUEUE_SIZE], used_event;
	} avail;
	_Alignas(4) struct {
		uint16_t flags;
		_Atomic uint16_t index;
		struct {
			uint32_t id, length;
		} ring[QUEUE_SIZE];
		uint16_t avail_event;
	} used;
	_Alignas(8) struct {
		uint16_t type, pad[3];
		uint64_t address;
		uint16_t nr_blocks, pad2[3];
	} request;
	struct {
		uint16_t type, pad[3];
		uint16_t state, pad2[3];
	} response;
};

static volatile struct common_config *common;
static volatile struct device_config *device;
static volatile uint16_t *notify;
static struct queue_page *queue;

/* Map the register blocks that the device's capabilities name. */
static bool
map_registers(uint32_t where, uint32_t *ret_multiplier)
{
	uint8_t cap = pci_read_u8(where, PCI_CAPABILITIES);

	for (unsigned i = 0; i < CAPS_MAX && cap != 0; i++, cap = pci_read_u8(where, cap + 1)) {
		if (pci_read_u8(where, cap) != CAPABILITY_VENDOR)
			continue;
		uint8_t type = pci_read_u8(where, cap + 3);
		if (type != CAP_COMMON && type != CAP_NOTIFY && type != CAP_DEVICE)
			continue;
		uint64_t phys = pci_bar(where, pci_read_u8(where, cap + 4));
		phys += pci_read(where, cap + 8);
		volatile void *at = mmu_map_device(phys, pci_read(where, cap + 12));
		if (type == CAP_COMMON)
			common = at;
		if (type == CAP_DEVICE)
			device = at;
		if (type == CAP_NOTIFY) {
			notify = at;
			*ret_multiplier = pci_read(where, cap + 16);
		}
	}
	return common != NULL && notify != NULL && device != NULL;
}

static bool
agree_on_features(void)
{
	common->status = 0;
	common->status = 1;
	common->status = 3;
	common->device_feature_select = 0;
	uint32_t wanted = FEATURE_PXM | FEATURE_UNPLUGGED_INACCESSIBLE;
	uint32_t features = common->device_feature & wanted;
	common->driver_feature_select = 0;
	common->driver_feature = features;
	common->driver_feature_select = 1;
	common->driver_feature = FEATURE_VERSION_1;
	common->status = STATUS_FEATURES;
	return common->status == STATUS_FEATURES;
}

static void
set_address(volatile uint32_t *halves, const volatile void *at)
{
	uint64_t phys = virt_to_phys((const void *)(uintptr_t)at);

	halves[0] = (uint32_t)phys;
	halves[1] = (uint32_t)(phys >> 32);
}

static void
start_queue(uint32_t multiplier)
{
	queue->desc[0].address = virt_to_phys(&queue->request);
	queue->desc[0].length = sizeof(queue->request);
	queue->desc[0].flags = DESC_NEXT;
	queue->desc[0].next = 1;
	queue->desc[1].address = virt_to_phys(&queue->response);
	queue->desc[1].length = sizeof(queue->response);
	queue->desc[1].flags = DESC_WRITE;
	common->queue_select = 0;
	common->queue_size = QUEUE_SIZE;
	set_address(common->queue_desc, queue->desc);
	set_address(common->queue_avail, &queue->avail);
	set_address(common->queue_used, &queue->used);
	notify += common->queue_notify_off * multiplier / 2;
	common->queue_enable = 1;
	common->status = STATUS_RUNNING;
}

int
virtio_mem_init(void)
{
	uint32_t where, multiplier = 0;

	if (!pci_find(VENDOR, DEVICE, &where))
		return MHP_ENODEV;
	pci_enable(where);
	queue = bootmem_alloc(1, PAGE_BYTES);
	if (queue == NULL || !map_registers(where, &multiplier) || !agree_on_features())
		return MHP_EIO;
	start_queue(multiplier);
	return 0;
}

struct virtio_mem_config
virtio_mem_read(void)
{
	struct virtio_mem_config config;
	uint8_t generation;

	/* The host may change it while we read: the generation says so. */
	do {
		generation = common->generation;
		config = (struct virtio_mem_config){
			.block_bytes = device->block_bytes,
			.start = device->start,
			.region_bytes = device->region_bytes,
			.usable_bytes = device->usable_bytes,
			.plugged_bytes = device->plugged_bytes,
			.requested_bytes = device->requested_bytes,
			.node = device->node,
		};
	} while (generation != common->generation);
	return config;
}

static int
ask(uint16_t type, uint64_t start, uint64_t size)
{
	static const int errors[] = { 0, MHP_EAGAIN, MHP_EBUSY, MHP_EIO };

	memset(&queue->request, 0, sizeof(queue->request));
	queue->request.type = type;
	queue->request.address = start;
	queue->request.nr_blocks = (uint16_t)(size / device->block_bytes);
	queue->avail.ring[queue->avail.index % QUEUE_SIZE] = 0;
	atomic_thread_fence(memory_order_seq_cst);
	queue->avail.index++;
	atomic_thread_fence(memory_order_seq_cst);
	*notify = 0;
	while (atomic_load_explicit(&queue->used.index, memory_order_acquire) != queue->avail.index)
		cpu_pause();
	uint16_t answer = queue->response.type;
	return answer < sizeof(errors) / sizeof(errors[0]) ? errors[answer] : MHP_EIO;
}

int
virtio_mem_plug(uint64_t start, uint64_t size)
{
	return ask(REQUEST_PLUG, start, size);
}

int
virtio_mem_unplug(uint64_t start, uint64_t size)
{
	return ask(REQUEST_UNPLUG, start, size);
}
