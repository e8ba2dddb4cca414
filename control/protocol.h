/* SPDX-License-Identifier: MIT */
/*
 * protocol.h - what goes over the socket of a pool: the one thing that server and command share.
 *
 * A connection carries one request, a flat JSON object on a line (fields.h), and one answer, a JSON
 * object, after which the server closes. An answer that failed is {"error":CODE,"text":SENTENCE},
 * CODE being an MHP_E*, or of attributes any negative errno of Linux. A client that hangs up before
 * its request has begun has asked for nothing. Sockets are named PID-NAME.sock.
 */
#ifndef MHP_CONTROL_PROTOCOL_H
#define MHP_CONTROL_PROTOCOL_H

/*
 * The requests and their fields, those that may be left out in brackets; fields.h says what they
 * are, request.c holds the requests against this.
 *
 *   info
 *   list                      every block
 *   ranges                    every range of like blocks, at a cost that follows their number
 *   map cells                 all blocks in at most so many cells of equally many blocks
 *   add size [backing memmap zone offline]
 *   online blocks [zone as_of]
 *   offline blocks [deadline_ms dry_run as_of]
 *   remove blocks [deadline_ms dry_run as_of]
 *   why blocks [as_of]        each of them, and all together
 *   resize size [deadline_ms dry_run]
 *   progress                  how far the offline under way is
 *   cancel [block]            cancel it, or whatever would take that block offline, if it only
 *                             waits yet
 *   get [attr as_of]          an attribute, NAME or memoryN/NAME; or all of the pool; memoryN
 *   set attr value [as_of]
 *   read attr [as_of]         the same as the tree's file has it: {"text":...}
 *   write attr value [as_of]  the same as the tree's file takes it
 *   attrs                     what there is: name, place (pool, parameter, block), mode of the file
 *   files                     what is in the files of like blocks that one add has brought
 *   watch                     {} and two descriptors: memory with a counter of all changes, and a
 *                             pipe that hangs up when nobody counts any more
 *   check
 *   metrics                   counters, gauges and histograms
 *   announce block action [as_of]   an event for a block to which nothing happens; action as for
 *                             uevent files
 *   monitor [since ranges]    not one object but lines, for ever: the pool, then each event, from
 *                             number since or from now; with ranges the first line lists all blocks
 *
 * as_of is a generation (of a block: memoryN/generation): a block that came later than that is
 * another one than the client means, and the answer is MHP_ENODEV. Without it, it is that of the
 * moment when the request came.
 */

#define MHP_PROTOCOL_LINE_MAX 65536 /* some ten thousand blocks that are not neighbours fit */
#define MHP_PROTOCOL_SUFFIX ".sock"
#define MHP_PROTOCOL_NAME_MAX 48

/* The longest answer that a client reads: half a million blocks, listed one by one. */
#define MHP_PROTOCOL_ANSWER_MAX (192U << 20)

/*
 * Where the sockets of a user are: where the environment says, for root in /run, for others below
 * $XDG_RUNTIME_DIR, else in /tmp. And where root looks for those of others: services have a folder
 * of their own (RuntimeDirectory=memplug-NAME).
 */
#define MHP_PROTOCOL_DIR_VARIABLE "MEMPLUG_RUNTIME_DIR"
#define MHP_PROTOCOL_DIR_ROOT "/run/memplug"
#define MHP_PROTOCOL_DIR_USER "%s/memplug"
#define MHP_PROTOCOL_DIR_ELSE "/tmp/memplug-%u"
#define MHP_PROTOCOL_DIRS_ALL { "/run/memplug-*", "/run/user/*/memplug", "/tmp/memplug-*" }

#endif
