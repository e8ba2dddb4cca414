/* SPDX-License-Identifier: MIT */
/*
 * protocol.h - what goes over the socket of a pool: the one thing that server and command share.
 *
 * A connection carries one request, a line of words separated by spaces, and one answer, a JSON
 * object, after which the server closes. An answer that failed is {"error":CODE,"text":SENTENCE},
 * CODE being an MHP_E*, or of attributes any negative errno of Linux. Blocks in requests are words
 * like 3, 3-7, 3,5-6 or 0x80000000-0x8fffffff. Sockets are named PID-NAME.sock.
 */
#ifndef MHP_CONTROL_PROTOCOL_H
#define MHP_CONTROL_PROTOCOL_H

/*
 * The requests:
 *
 *   info
 *   list              every block
 *   ranges            every range of like blocks, at a cost that follows their number
 *   map CELLS         all blocks in at most so many cells of equally many blocks
 *   add SIZE BACKING|- self|external|auto movable|kernel|default online|offline
 *   online BLOCKS movable|kernel|default
 *   offline BLOCKS SECONDS [dry]
 *   remove BLOCKS SECONDS [dry]
 *   why BLOCKS
 *   resize SIZE SECONDS
 *   progress          how far the offline under way is
 *   cancel [BLOCK]    cancel it, or whatever would take that block offline, if it only waits yet
 *   get NAME | get -  an attribute: NAME or memoryN/NAME, or all: -, memoryN
 *   set NAME VALUE    in VALUE %HH is a byte, and a lone % is nothing
 *   read NAME         the same as the tree's file has it: {"text":...}
 *   attrs             what there is: name, place (pool, parameter, block), mode of the file
 *   check
 *   metrics           counters, gauges and histograms
 *   announce BLOCK WORD   an event for a block to which nothing happens; WORD as for uevent files
 *   monitor SINCE|- [ranges]   not one object but lines, for ever: the pool, then each event, from
 *                     number SINCE or from now; with ranges the first line lists all blocks
 */

#define MHP_PROTOCOL_LINE_MAX 16384 /* a page of %HH fits */
#define MHP_PROTOCOL_WORDS_MAX 8
#define MHP_PROTOCOL_SUFFIX ".sock"
#define MHP_PROTOCOL_NAME_MAX 48

/* Where the sockets of a user are: for root, for others below $XDG_RUNTIME_DIR, else in /tmp. */
#define MHP_PROTOCOL_DIR_ROOT "/run/memplug"
#define MHP_PROTOCOL_DIR_USER "%s/memplug"
#define MHP_PROTOCOL_DIR_ELSE "/tmp/memplug-%u"

#endif
