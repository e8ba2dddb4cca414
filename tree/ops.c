/* SPDX-License-Identifier: MIT */
/*
 * ops.c - names and folders: lookup, stat, links, listings; and what may not be done at all.
 *
 * The kernel is told to remember neither names nor contents: all of it may change without us. The
 * attributes of a file never change, so that it need not ask again. Once the pool's process has
 * ended, every access answers ENODEV; the tree stays mounted all the same, since what it covers
 * could be the machine's own memory blocks.
 */
#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOR_EVER 1e9

struct open_folder {
	struct tree_node node;
	bool taken;
	struct tree_listing listing;
};

static void
on_interrupt(fuse_req_t req, void *data)
{
	(void)req;
	tree_interrupt(data);
}

void
tree_op_begin(struct tree_call *call, fuse_req_t req, long block)
{
	tree_call_begin(call, fuse_req_userdata(req), block);
	fuse_req_interrupt_func(req, on_interrupt, call);
}

void
tree_op_done(fuse_req_t req)
{
	fuse_req_interrupt_func(req, NULL, NULL);
}

void
tree_stat(const struct tree *tree, struct tree_node node, struct stat *ret_stat)
{
	unsigned mode = tree_mode(tree, node);
	node.generation = 0; /* a listing does not know it, and shall say the same */
	*ret_stat = (struct stat){
		.st_ino = tree_ino(tree, node), .st_mode = mode,
		.st_nlink = 1, .st_uid = tree->uid, .st_gid = tree->gid,
		.st_blksize = TREE_FILE_BYTES,
		.st_atim = tree->mounted, .st_mtim = tree->mounted, .st_ctim = tree->mounted,
	};
	if (S_ISREG(ret_stat->st_mode))
		ret_stat->st_size = TREE_FILE_BYTES;
	if (S_ISDIR(ret_stat->st_mode))
		ret_stat->st_nlink = 2 + tree_nr_folders(tree, node);
}

static void
op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct tree *tree = fuse_req_userdata(req);
	struct fuse_entry_param entry = { 0 };
	struct tree_node node = { 0 };
	struct tree_call call;
	tree_op_begin(&call, req, -1);
	int err = tree_is_dead(tree)
		? -ENODEV : tree_lookup(&call, tree_node_of(tree, parent), name, &node);
	tree_op_done(req);
	if (err == 0) {
		entry.ino = tree_ino(tree, node);
		tree_stat(tree, node, &entry.attr);
		entry.attr_timeout = S_ISREG(entry.attr.st_mode) ? FOR_EVER : 0;
		fuse_reply_entry(req, &entry);
	} else {
		fuse_reply_err(req, -err);
	}
	tree_call_end(&call);
}

static void
reply_stat(fuse_req_t req, fuse_ino_t ino)
{
	const struct tree *tree = fuse_req_userdata(req);
	struct stat st;
	tree_stat(tree, tree_node_of(tree, ino), &st);
	if (tree_is_dead(tree))
		fuse_reply_err(req, ENODEV);
	else
		fuse_reply_attr(req, &st, 0);
}

static void
op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)info;
	reply_stat(req, ino);
}

/* Truncating and touching do nothing, as in sysfs; modes and owners are not to be had. */
static void
op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *info)
{
	(void)st, (void)info;
	if ((to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0)
		fuse_reply_err(req, EPERM);
	else
		reply_stat(req, ino);
}

static void
op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	const struct tree *tree = fuse_req_userdata(req);
	char text[128];
	tree_link(tree, tree_node_of(tree, ino), text, sizeof(text));
	fuse_reply_readlink(req, text);
}

/* ---- folders ---- */

static void
op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	const struct tree *tree = fuse_req_userdata(req);
	struct open_folder *folder = calloc(1, sizeof(*folder));
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	if (tree_is_dead(tree) || folder == NULL) {
		free(folder);
		fuse_reply_err(req, tree_is_dead(tree) ? ENODEV : ENOMEM);
		return;
	}
	folder->node = tree_node_of(tree, ino);
	info->fh = (uintptr_t)folder;
	/* Untaken: whoever opens has to be killed in the moment before the answer. */
	if (fuse_reply_open(req, info) != 0)
		free(folder);
}

static void
op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct open_folder *folder = (struct open_folder *)(uintptr_t)info->fh;
	(void)ino;
	tree_runs_free(&folder->listing.runs);
	free(folder);
	fuse_reply_err(req, 0);
}

/* Entries from `at` on, as many as fit: 0 and 1 are . and .., which the kernel leaves to us. */
static size_t
fill(fuse_req_t req, const struct open_folder *folder, uint64_t at, char *buffer, size_t size)
{
	const struct tree *tree = fuse_req_userdata(req);
	size_t used = 0;
	for (;; at++) {
		struct tree_node node = folder->node;
		char name[64] = ".";
		struct stat st = { 0 };
		if (at == 1)
			strcpy(name, "..");
		if (at >= 2 &&
		    !tree_listing_at(&folder->listing, at - 2, name, sizeof(name), &node))
			return used;
		st.st_mode = tree_mode(tree, node);
		node.generation = 0;
		st.st_ino = tree_ino(tree, node);
		size_t need = fuse_add_direntry(req, buffer + used, size - used, name, &st,
						(off_t)(at + 1));
		if (need > size - used)
			return used;
		used += need;
	}
}

/* The picture is taken when reading begins, and again after a rewind. */
static void
op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct open_folder *folder = (struct open_folder *)(uintptr_t)info->fh;
	struct tree_call call;
	char *buffer = malloc(size);
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	int err = buffer == NULL ? -ENOMEM : 0;
	(void)ino;
	tree_op_begin(&call, req, -1);
	if (err == 0 && (offset == 0 || !folder->taken))
		err = tree_list(&call, folder->node, &folder->listing);
	folder->taken = err == 0;
	tree_op_done(req);
	if (err != 0)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, buffer, fill(req, folder, (uint64_t)offset, buffer, size));
	free(buffer);
	tree_call_end(&call);
}

/* Answer access(), which a file system must do itself: root may all but run a file. */
static void
op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	const struct tree *tree = fuse_req_userdata(req);
	unsigned mode = tree_mode(tree, tree_node_of(tree, ino));
	unsigned may = mode >> 6 & 7;
	if (fuse_req_ctx(req)->uid == 0)
		may |= R_OK | W_OK;
	if (tree_is_dead(tree))
		fuse_reply_err(req, ENODEV);
	else
		fuse_reply_err(req, ((unsigned)mask & ~may) != 0 ? EACCES : 0);
}

static void
op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = { .f_bsize = TREE_FILE_BYTES, .f_frsize = TREE_FILE_BYTES,
			      .f_namemax = NAME_MAX };
	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* Files have none of the kinds that the kernel would keep, and there are no others. */
static void
op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	bool kept = strncmp(name, "trusted.", 8) == 0 || strncmp(name, "security.", 9) == 0;
	(void)ino, (void)size;
	fuse_reply_err(req, kept ? ENODATA : EOPNOTSUPP);
}

static void
op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	(void)ino;
	if (size == 0)
		fuse_reply_xattr(req, 0);
	else
		fuse_reply_buf(req, NULL, 0);
}

/* A folder has nothing that could be written to a disk. */
static void
op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *info)
{
	(void)ino, (void)datasync, (void)info;
	fuse_reply_err(req, EINVAL);
}

/* ---- what nobody may ---- */

static void
op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	  struct fuse_file_info *info)
{
	(void)parent, (void)name, (void)mode, (void)info;
	fuse_reply_err(req, EACCES);
}

static void
op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	(void)parent, (void)name, (void)device;
	fuse_reply_err(req, S_ISREG(mode) ? EACCES : EPERM);
}

static void
op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent, (void)name, (void)mode;
	fuse_reply_err(req, EPERM);
}

static void
op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent, (void)name;
	fuse_reply_err(req, EPERM);
}

static void
op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link, (void)parent, (void)name;
	fuse_reply_err(req, EPERM);
}

static void
op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	  const char *new_name, unsigned flags)
{
	(void)parent, (void)name, (void)new_parent, (void)new_name, (void)flags;
	fuse_reply_err(req, EPERM);
}

static void
op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino, (void)parent, (void)name;
	fuse_reply_err(req, EPERM);
}

const struct fuse_lowlevel_ops tree_ops = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.access = op_access,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.open = tree_op_open,
	.read = tree_op_read,
	.write = tree_op_write,
	.poll = tree_op_poll,
	.release = tree_op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.create = op_create,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.rmdir = op_remove,
	.unlink = op_remove,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
};
