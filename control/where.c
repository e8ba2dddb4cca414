/* SPDX-License-Identifier: MIT */
/*
 * where.c - where the sockets of a user are; server and clients must agree on it.
 *
 * The first that applies counts: the variable that names a folder, root's folder, the user's
 * runtime folder, else one by the number of the user. The code that opens a folder checks whether
 * it can be trusted. This runs in the process that owns a pool, so it must not call malloc.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"

void
mhp__socket_directory(char *path, size_t size)
{
	const char *given = getenv(MHP_PROTOCOL_DIR_VARIABLE);
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	if (given != NULL && given[0] == '/')
		snprintf(path, size, "%s", given);
	else if (geteuid() == 0)
		snprintf(path, size, "%s", MHP_PROTOCOL_DIR_ROOT);
	else if (runtime != NULL && runtime[0] == '/')
		snprintf(path, size, MHP_PROTOCOL_DIR_USER, runtime);
	else
		snprintf(path, size, MHP_PROTOCOL_DIR_ELSE, (unsigned)geteuid());
}
