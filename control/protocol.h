/* SPDX-License-Identifier: MIT */
/*
 * protocol.h - what goes over the socket of a pool: the one thing that server and command share.
 *
 * A connection carries one request, a line of words separated by spaces, and one answer, a JSON
 * object, after which the server closes. An answer that failed is {"error":CODE,"text":SENTENCE},
 * CODE being an MHP_E*. Blocks in requests are words like 3, 3-7, 3,5-6 or
 * 0x80000000-0x8fffffff. Sockets are named PID-NAME.sock.
 *
 *   info
 *   list
 *   add SIZE BACKING|- self|external|auto movable|kernel|default online|offline
 *   online BLOCKS movable|kernel|default
 *   offline BLOCKS SECONDS [dry]
 *   remove BLOCKS SECONDS [dry]
 *   why BLOCKS
 *   resize SIZE SECONDS
 *   progress          how far the offline under way is
 *   cancel            cancel it
 *   get NAME | get -  one attribute, or all
 *   set NAME VALUE
 *   check
 */
#ifndef MHP_CONTROL_PROTOCOL_H
#define MHP_CONTROL_PROTOCOL_H

#define MHP_PROTOCOL_LINE_MAX 1024
#define MHP_PROTOCOL_WORDS_MAX 8
#define MHP_PROTOCOL_SUFFIX ".sock"
#define MHP_PROTOCOL_NAME_MAX 48

/* Where the sockets of a user are: for root, for others below $XDG_RUNTIME_DIR, else in /tmp. */
#define MHP_PROTOCOL_DIR_ROOT "/run/memplug"
#define MHP_PROTOCOL_DIR_USER "%s/memplug"
#define MHP_PROTOCOL_DIR_ELSE "/tmp/memplug-%u"

#endif
