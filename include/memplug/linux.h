/* SPDX-License-Identifier: MIT */
/*
 * linux.h - the Linux port: pools of memory inside a process, and regions whose pointers stay.
 *
 * This takes the port's headers, one topic each, and the engine's (mhp.h). companion.h, control.h,
 * heap.h and watch.h have what only some programs need.
 */
#ifndef MEMPLUG_LINUX_H
#define MEMPLUG_LINUX_H

#include <memplug/nodes.h>
#include <memplug/pool.h>
#include <memplug/region.h>

#endif
