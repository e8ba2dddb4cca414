/* SPDX-License-Identifier: MIT */
/*
 * file.c - where blocks come from: `ram`, and the open files that blocks are pieces of.
 *
 * memfd and hugetlb: one sparse file per kind and node for the whole pool, in which the offset is
 * the physical address. So one descriptor serves any number of adds, and mappings of neighbouring
 * frames merge whatever adds they came from. DAX devices and files are as large as they are;
 * their blocks lie wherever there was room. `ram` is no file at all. Once the blocks of a file are
 * mapped, its descriptor is used for huge pages only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "space.h"

#define TMPFS_MAGIC_NUMBER 0x01021994
#define RAMFS_MAGIC_NUMBER 0x858458f6
#define HUGE_PAGES "/sys/kernel/mm/hugepages/hugepages-2048kB"

static size_t
used_bytes(const struct mhp__space *space, const struct mhp__file *file)
{
	return (file->size / space->block_bytes / 64 + 1) * sizeof(uint64_t);
}

/* Is it the same memory? A path says all; for other kinds the node is part of it. */
static bool
same_backing(const struct mhp_backing *a, const struct mhp_backing *b)
{
	bool same_node = a->bind == b->bind && (!a->bind || a->node == b->node);
	return a->kind == b->kind && strcmp(a->path, b->path) == 0 &&
	       (same_node || a->path[0] != 0);
}

static int
check_huge_pages(enum mhp_backing_kind kind, struct mhp_text *reterr)
{
	if (kind == MHP_BACKING_HUGETLB_1G)
		return mhp__say(reterr, MHP_EOPNOTSUPP,
				"huge pages of 1 GiB are not supported: a move of one "
				"would keep writers waiting too long; use hugetlb:2M");
	if (access(HUGE_PAGES, F_OK) != 0)
		return mhp__say(reterr, MHP_ENODEV, "this machine has no huge pages of 2048kB");
	if (mhp__read_number(HUGE_PAGES "/nr_hugepages") +
	    mhp__read_number(HUGE_PAGES "/nr_overcommit_hugepages") == 0)
		return mhp__say(reterr, MHP_ENOMEM,
				"no huge pages of 2048kB are reserved; as root: echo N > "
				HUGE_PAGES "/nr_hugepages");
	return 0;
}

static int
open_anonymous(const struct mhp__space *space, struct mhp__file *file, struct mhp_text *reterr)
{
	enum mhp_backing_kind kind = file->backing.kind;
	unsigned flags = MFD_CLOEXEC;
	int err;

	file->granule = mhp__kernel_page();
	if (kind != MHP_BACKING_MEMFD) {
		err = check_huge_pages(kind, reterr);
		if (err != 0)
			return err;
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
		file->granule = MHP__HUGE_BYTES;
	}
	file->fd = memfd_create("memplug", flags);
	if (file->fd < 0 || ftruncate(file->fd, (off_t)space->max_bytes) != 0)
		return mhp__say(reterr, mhp__errno(errno), "cannot create a %s file: %s",
				mhp_backing_name(kind), strerrordesc_np(errno));
	file->size = UINT64_MAX;
	file->by_address = true;
	file->can_punch = true;
	file->in_memory = file->sparse = kind == MHP_BACKING_MEMFD;
	return 0;
}

/* A number that sysfs has of a device, and stat has not. */
static uint64_t
dax_number(const struct stat *st, const char *attribute)
{
	char path[96];
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/%s", major(st->st_rdev),
		 minor(st->st_rdev), attribute);
	return mhp__read_number(path);
}

static int
size_dax(struct mhp__file *file, const struct stat *st, struct mhp_text *reterr)
{
	if (!S_ISCHR(st->st_mode))
		return mhp__say(reterr, MHP_ENODEV, "%s is not a DAX device", file->backing.path);
	file->size = dax_number(st, "size");
	file->granule = dax_number(st, "align");
	if (file->granule == 0)
		file->granule = MHP__HUGE_BYTES;
	if (file->size == 0)
		return mhp__say(reterr, MHP_ENODEV, "%s is not a DAX device, or it is empty",
				file->backing.path);
	return 0;
}

uint64_t
mhp_backing_page_bytes(const struct mhp_backing *backing)
{
	struct stat st;
	bool huge = backing->kind == MHP_BACKING_HUGETLB_2M ||
		    backing->kind == MHP_BACKING_HUGETLB_1G;
	if (backing->kind == MHP_BACKING_DAX && stat(backing->path, &st) == 0)
		huge = dax_number(&st, "align") > mhp__kernel_page();
	return huge ? MHP__HUGE_BYTES : mhp__kernel_page();
}

static int
open_path(struct mhp__file *file, struct mhp_text *reterr)
{
	struct stat st;
	struct statfs fs;
	const char *path = file->backing.path;

	file->fd = open(path, O_RDWR | O_CLOEXEC);
	if (file->fd < 0 || fstat(file->fd, &st) != 0)
		return mhp__say(reterr, mhp__errno(errno), "cannot open %s: %s", path,
				strerrordesc_np(errno));
	/* Two pools would write over each other. The lock ends with the descriptor. */
	if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		return mhp__say(reterr, MHP_EBUSY, "%s is in use: another pool has it", path);
	if (file->backing.kind == MHP_BACKING_DAX)
		return size_dax(file, &st, reterr);
	if (!S_ISREG(st.st_mode))
		return mhp__say(reterr, MHP_EINVAL, "%s is not a regular file", path);
	file->size = (uint64_t)st.st_size;
	file->granule = mhp__kernel_page();
	uint32_t type = fstatfs(file->fd, &fs) == 0 ? (uint32_t)fs.f_type : 0;
	file->can_punch = type == TMPFS_MAGIC_NUMBER;
	file->in_memory = file->can_punch || type == RAMFS_MAGIC_NUMBER;
	return 0;
}

static int
open_place(const struct mhp__space *space, struct mhp__file *file, struct mhp_text *reterr)
{
	enum mhp_backing_kind kind = file->backing.kind;
	struct stat st;
	bool path = kind == MHP_BACKING_DAX || kind == MHP_BACKING_FILE;
	int err = path ? open_path(file, reterr) : open_anonymous(space, file, reterr);
	if (err == 0 && path) {
		void *used = mmap(NULL, used_bytes(space, file), PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		err = used == MAP_FAILED ? MHP_ENOMEM : 0;
		file->used = used == MAP_FAILED ? NULL : used;
	}
	if (err == 0 && fstat(file->fd, &st) == 0) {
		file->dev = st.st_dev;
		file->ino = st.st_ino;
		return 0;
	}
	return err != 0 ? err : MHP_EINVAL;
}

static void
close_file(const struct mhp__space *space, struct mhp__file *file)
{
	if (file->fd >= 0 && (file->ino == 0 || mhp__file_valid(file)))
		close(file->fd);
	if (file->used != NULL)
		munmap(file->used, used_bytes(space, file));
	*file = (struct mhp__file){ .fd = -1 };
}

int
mhp__file_open(struct mhp__space *space, const struct mhp_backing *backing, uint16_t *ret_file,
	       struct mhp_text *reterr)
{
	struct mhp__file *file = NULL;
	/* Adds that name no backing rely on this: ordinary memory that is not bound is always
	 * number 0. */
	unsigned first = backing->kind == MHP_BACKING_RAM && !backing->bind ? 0 : 1;
	for (unsigned i = first == 0 ? 1 : MHP__FILES_MAX; i-- > first;) {
		if (!space->file[i].live) {
			file = &space->file[i];
		} else if (same_backing(&space->file[i].backing, backing) &&
			   (!space->file[i].has_place || space->file[i].fd >= 0)) {
			*ret_file = (uint16_t)i;
			return mhp__place_again(space, &space->file[i], backing, reterr);
		}
	}
	if (file == NULL)
		return mhp__say(reterr, MHP_ENOSPC, "a pool takes at most %u backings",
				MHP__FILES_MAX);
	*file = (struct mhp__file){
		.live = true, .fd = -1, .backing = *backing, .size = UINT64_MAX,
		.granule = mhp__kernel_page(), .by_address = true, .can_punch = true,
		.sparse = true,
	};
	space->has_nodes |= backing->kind == MHP_BACKING_RAM && backing->bind;
	if (backing->kind != MHP_BACKING_RAM) {
		file->has_place = true;
		file->by_address = file->can_punch = file->sparse = false;
	}
	int err = file->has_place ? open_place(space, file, reterr) : 0;
	if (err == 0)
		err = mhp__place_choose(space, file, reterr);
	if (err != 0) {
		close_file(space, file);
		return err;
	}
	*ret_file = (uint16_t)(file - space->file);
	return 0;
}

void
mhp__file_put_unused(struct mhp__space *space)
{
	for (unsigned i = 0; i < MHP__FILES_MAX; i++)
		if (space->file[i].live && space->file[i].nr_blocks == 0)
			close_file(space, &space->file[i]);
}

bool
mhp__file_take(const struct mhp__space *space, struct mhp__file *file, uint32_t *ret_block)
{
	uint64_t nr = file->size / space->block_bytes;
	for (uint64_t block = 0; block < nr; block++) {
		uint64_t bit = UINT64_C(1) << (block % 64);
		if (file->used[block / 64] & bit)
			continue;
		file->used[block / 64] |= bit;
		*ret_block = (uint32_t)block;
		return true;
	}
	return false;
}

void
mhp__file_give(struct mhp__file *file, uint32_t block)
{
	if (file->used != NULL)
		file->used[block / 64] &= ~(UINT64_C(1) << (block % 64));
}

void
mhp__file_give_all(const struct mhp__space *space, struct mhp__file *file)
{
	if (file->used != NULL)
		memset(file->used, 0, used_bytes(space, file));
}

void
mhp__file_take_again(struct mhp__file *file, uint32_t block)
{
	if (file->used != NULL)
		file->used[block / 64] |= UINT64_C(1) << (block % 64);
}

bool
mhp__file_valid(const struct mhp__file *file)
{
	struct stat st;
	return fstat(file->fd, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino;
}
