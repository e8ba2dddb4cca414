/* SPDX-License-Identifier: MIT */
/*
 * socket.h - the socket of a pool, and who may use it.
 *
 * All of it is for the companion.
 */
#ifndef MHP_CONTROL_SOCKET_H
#define MHP_CONTROL_SOCKET_H

#include "server.h"

/* Listen under mhp__control's pid and name, to which -2 and so on is added where they are taken.
 * Sets its path. Returns the descriptor, which does not block, or an MHP_E* and a sentence. */
MHP_MUST_CHECK int mhp__socket_open(struct mhp_text *reterr);

/* Remove our name, if it still is ours. */
void mhp__socket_remove(void);

/* Is it our user, or root, at the other end of a connection? */
bool mhp__socket_allows(int fd);

#endif
