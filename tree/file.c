/* SPDX-License-Identifier: MIT */
/*
 * file.c - the contents of attribute files: open, read, write, release.
 *
 * As the kernel's: the mode holds for root, too; a file is read as one picture, which is taken anew
 * wherever reading does not go on from where it was; a write is one word, wherever it is written
 * to, of which the pool ignores everything after a zero byte, though it counts.
 */
#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct open_file {
	pthread_mutex_t mutex;         /* readers of one descriptor share the picture */
	bool taken;
	uint64_t next;                 /* where a reader goes on that was not interrupted */
	size_t length;
	char text[TREE_FILE_BYTES];
};

static struct open_file *
open_file_of(const struct fuse_file_info *info)
{
	return (struct open_file *)(uintptr_t)info->fh;
}

void
tree_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	const struct tree *tree = fuse_req_userdata(req);
	unsigned mode = tree_mode(tree, tree_node_of(tree, ino));
	int access_mode = info->flags & O_ACCMODE;
	if (tree_is_dead(tree)) {
		fuse_reply_err(req, ENODEV);
		return;
	}
	if ((access_mode != O_WRONLY && (mode & 0444) == 0) ||
	    (access_mode != O_RDONLY && (mode & 0222) == 0)) {
		fuse_reply_err(req, EACCES);
		return;
	}
	if ((info->flags & O_DIRECT) != 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	struct open_file *file = calloc(1, sizeof(*file));
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	if (file == NULL) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_init(&file->mutex, NULL);
	info->fh = (uintptr_t)file;
	info->direct_io = 1;
	/* Untaken: whoever opens has to be killed in the moment before the answer. */
	if (fuse_reply_open(req, info) != 0)
		free(file);
}

void
tree_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)ino;
	pthread_mutex_destroy(&open_file_of(info)->mutex);
	free(open_file_of(info));
	fuse_reply_err(req, 0);
}

/* ---- read ---- */

/* Answer what is known already; false: the pool has to be asked. */
static bool
take_known(struct tree_call *call, struct tree_node node, struct open_file *file)
{
	const struct tree_attr *attr = &call->tree->attrs[node.index % TREE_ATTRS_MAX];
	struct tree_picture *picture =
		attr->place == TREE_BLOCK && node.generation != 0 ? tree_picture_get(call) : NULL;
	const struct tree_run *run = picture == NULL
		? NULL : tree_runs_find(tree_picture_runs(picture), node.block);
	const char *text = run == NULL || run->generation != node.generation
		? NULL : tree_picture_text(picture, node.block, attr->path);
	if (text != NULL)
		file->length = (size_t)snprintf(file->text, sizeof(file->text), "%s\n", text);
	tree_picture_put(picture);
	return text != NULL;
}

static int
take_picture(struct tree_call *call, struct tree_node node, struct open_file *file)
{
	struct mhp__line line;
	struct json_object *text;
	bool answered;
	int err;
	if (node.kind == TREE_NO_ZONES) {
		file->length = (size_t)(stpcpy(file->text, "none\n") - file->text);
		return 0;
	}
	if (take_known(call, node, file))
		return 0;
	tree_request(call->tree, node, "read", &line);
	struct json_object *answer = tree_ask(call, &line, &err, &answered);
	if (answer == NULL)
		return err;
	file->length = 0;
	if (json_object_object_get_ex(answer, "text", &text)) {
		size_t length = (size_t)json_object_get_string_len(text);
		file->length = length < sizeof(file->text) ? length : sizeof(file->text);
		memcpy(file->text, json_object_get_string(text), file->length);
	}
	json_object_put(answer);
	return 0;
}

void
tree_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	     struct fuse_file_info *info)
{
	const struct tree *tree = fuse_req_userdata(req);
	struct open_file *file = open_file_of(info);
	struct tree_call call;
	char text[TREE_FILE_BYTES];
	int err = 0;
	tree_op_begin(&call, req, -1);
	pthread_mutex_lock(&file->mutex);
	if (offset == 0 || !file->taken || (uint64_t)offset != file->next)
		err = take_picture(&call, tree_node_of(tree, ino), file);
	file->taken = err == 0;
	size_t at = (uint64_t)offset < file->length ? (size_t)offset : file->length;
	if (size > file->length - at)
		size = file->length - at;
	memcpy(text, file->text + at, size);
	file->next = at + size;
	pthread_mutex_unlock(&file->mutex);
	tree_op_done(req);
	/* With the answer the file may be closed, and gone. */
	if (err != 0)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, text, size);
	tree_call_end(&call);
}

/* No change is ever announced; but a reader that has not read yet has something to read. */
void
tree_op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info,
	     struct fuse_pollhandle *handle)
{
	struct open_file *file = open_file_of(info);
	unsigned events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	(void)ino;
	pthread_mutex_lock(&file->mutex);
	if (!file->taken)
		events |= POLLERR | POLLPRI;
	pthread_mutex_unlock(&file->mutex);
	if (handle != NULL)
		fuse_pollhandle_destroy(handle);
	fuse_reply_poll(req, events);
}

/* ---- write ---- */

/* Only blocks have something that can take long, and be cancelled. */
static long
block_of(const struct tree *tree, struct tree_node node)
{
	return node.kind == TREE_ATTR &&
	       tree->attrs[node.index % TREE_ATTRS_MAX].place == TREE_BLOCK ? (long)node.block : -1;
}

void
tree_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	      struct fuse_file_info *info)
{
	const struct tree *tree = fuse_req_userdata(req);
	struct tree_node node = tree_node_of(tree, ino);
	struct mhp__line line;
	struct tree_call call;
	bool answered;
	int err;
	(void)offset, (void)info;
	if (size > TREE_FILE_BYTES)
		size = TREE_FILE_BYTES;
	/* Untaken: the kernel asks nobody to write nothing. */
	if (size == 0) {
		fuse_reply_write(req, 0);
		return;
	}
	tree_op_begin(&call, req, block_of(tree, node));
	tree_request(tree, node, "write", &line);
	mhp__line_bytes(&line, MHP__F_VALUE, data, size);
	json_object_put(tree_ask(&call, &line, &err, &answered));
	tree_op_done(req);
	if (err != 0)
		fuse_reply_err(req, -err);
	else
		fuse_reply_write(req, size);
	tree_call_end(&call);
}
