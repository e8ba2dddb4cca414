/* SPDX-License-Identifier: MIT */
/*
 * client.h - the client's half of the protocol: find pools, connect, ask, cancel.
 *
 * It hands out the text of answers and does not read JSON. Functions that fail return a negative
 * errno: -ENODEV where there is nobody (any more), -EINTR where a signal came in between.
 */
#ifndef MHP_CONTROL_CLIENT_H
#define MHP_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol.h"

/* A pool that runs. */
struct mhp__peer {
	int pid;
	char name[64];
	char path[160];                /* of its socket */
};

/* Where this user's sockets are (where.c); the server asks, too. */
void mhp__socket_directory(char *path, size_t size);

/* All pools of this user; removes sockets that nobody listens to. Returns how many. */
unsigned mhp__peers(struct mhp__peer *peers, unsigned max);

/* Returns a descriptor, close-on-exec, which the caller closes. */
int mhp__connect(const char *path);
/* The same without waiting, then or later: -EAGAIN while too many others wait to be let in. */
int mhp__connect_now(const char *path);

/* Send a request, its newline included. What the pool answers is then read from fd, to its end. */
int mhp__send_line(int fd, const char *line);

/*
 * Read on until the pool has said all; *text grows and is always a string. The caller frees it,
 * also after an error. After -EINTR it may be called again with the same text and used.
 */
int mhp__read_answer(int fd, char **text, size_t *used);

/* Cancel what this process asked for (block < 0), or what concerns that block. Never waits. */
int mhp__send_cancel(const char *path, long block);

/* A word for `set`: what is no plain character of `value` becomes %HH. False: it does not fit. */
bool mhp__word_encode(const char *value, size_t length, char *word, size_t size);

#endif
