/* SPDX-License-Identifier: MIT */
/*
 * ops.h - what the parts of the file system share: names (ops.c), contents (file.c), and the
 * threads that serve it (loop.c).
 *
 * Each operation gets the tree as the session's data, and answers exactly once, whatever happens.
 */
#ifndef MHP_TREE_OPS_H
#define MHP_TREE_OPS_H

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>

#include "tree.h"

#define TREE_FILE_BYTES 4096U

/* Begin a call that an interrupt of the request ends. */
void tree_op_begin(struct tree_call *call, fuse_req_t req, long block);
/* No interrupt reaches the call any more; before the answer, which ends the request. */
void tree_op_done(fuse_req_t req);
/* The attributes of a node, for stat. */
void tree_stat(const struct tree *tree, struct tree_node node, struct stat *ret_stat);

/* Serve the session until it ends, by itself or by a signal that was told to (loop.c). Returns 0 or
 * a negative errno. */
int tree_loop(struct fuse_session *session);
/* The calling thread, if it is one of those, may wait from now on: another one reads on. */
void tree_loop_will_wait(void);

extern const struct fuse_lowlevel_ops tree_ops;

void tree_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file);
void tree_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		  struct fuse_file_info *file);
void tree_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		   struct fuse_file_info *file);
void tree_op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file,
		  struct fuse_pollhandle *handle);
void tree_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file);

#endif
