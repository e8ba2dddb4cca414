/* SPDX-License-Identifier: MIT */
/*
 * client.h - the client's half of the protocol: find pools, connect, ask, cancel.
 *
 * It hands out the text of answers and does not read JSON. Nothing here waits longer than it is
 * told to, and nothing trusts a pool: the folder and the process behind a socket must belong to the
 * same user, and an answer has a bound. Functions that fail return a negative errno: -ENODEV where
 * there is nobody (any more), -EAGAIN where the pool cannot take it now or the time is over, -EINTR
 * where a signal came in between, -EACCES where somebody else sits behind the socket, -EMSGSIZE
 * where the answer is longer than any.
 */
#ifndef MHP_CONTROL_CLIENT_H
#define MHP_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "protocol.h"

/* A pool that runs. */
struct mhp__peer {
	int pid;                       /* as the name of its socket says */
	unsigned uid;                  /* whose folder it is in */
	char name[64];                 /* as its user wrote it: any bytes */
	char path[160];                /* of its socket */
};

/* Where this user's sockets are (where.c); the server asks, too. */
void mhp__socket_directory(char *path, size_t size);

/* Why a search for pools may not have found all. */
struct mhp__unseen {
	const char *distrusted;        /* a folder that may be somebody else's, or NULL; static */
	int error;                     /* errno of the first look that failed, or 0 */
};

/*
 * All pools of this user, for root of all users; removes sockets of this user that nobody listens
 * to. Returns how many.
 */
unsigned mhp__peers(struct mhp__peer *peers, unsigned max, struct mhp__unseen *ret_unseen);

/* Returns a descriptor, close-on-exec, that never blocks, which the caller closes. Never waits. */
int mhp__connect(const struct mhp__peer *peer);

/* Send a request, its newline included. The answer is then read from fd, to its end. */
int mhp__send_line(int fd, const char *line);

/* Until there is something to read; -EAGAIN: not before end_ms. */
int mhp__await(int fd, uint64_t end_ms);

/*
 * Read on until the pool has said all; *text grows and is always a string. The caller frees it,
 * also after an error. After -EINTR and -EAGAIN it may be called again with the same text and used.
 */
int mhp__read_answer(int fd, char **text, size_t *used);

/* Connect, ask, and read all of the answer before end_ms or a signal that the process handles; the
 * caller frees *ret_text, also after an error. */
int mhp__ask(const struct mhp__peer *peer, const char *line, uint64_t end_ms, char **ret_text);

/* Cancel what this process asked for (block < 0), or what concerns that block. Never waits. */
int mhp__send_cancel(const struct mhp__peer *peer, long block);

#endif
