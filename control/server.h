/* SPDX-License-Identifier: MIT */
/*
 * server.h - what the files of the server share: the pool, and a writer of JSON.
 *
 * No malloc anywhere: the writer has a buffer on the stack of its thread and sends when it is
 * full. A client that does not read is given up after some seconds; the request it made is done
 * all the same.
 */
#ifndef MHP_CONTROL_SERVER_H
#define MHP_CONTROL_SERVER_H

#include <memplug/control.h>
#include <memplug/words.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "fields.h"

struct mhp__control {
	struct mhp_pool *pool;
	struct mhp *m;
	struct mhp_control_opts opts;
	char given_name[MHP_PROTOCOL_NAME_MAX]; /* in a forked child, that of its ancestor */
	char name[MHP_PROTOCOL_NAME_MAX + 16];
	char path[160];
	int listen_fd;
	int pid;                       /* of the program */
	bool is_child;                 /* it was forked by the one that started to serve */
	_Atomic int companion;         /* the process that serves; 0: nobody does */
	_Atomic bool stopping;
	_Atomic bool waking;           /* somebody is in mhp_control_wake() */
	_Atomic uint64_t next_wake_ms; /* not before that */
};

extern struct mhp__control mhp__control;

/* Clients at a time, and how many of them those that wait for the engine do not get. */
#define MHP__THREADS 12U
#define MHP__THREADS_SPARE 4U

struct mhp__out {
	int fd;
	bool broken;
	size_t used;
	char text[4096];
};

/* ---- out.c ---- */

void mhp__out(struct mhp__out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "name":"text", with what JSON wants escaped; before: a comma or what opens the object. */
void mhp__out_string(struct mhp__out *out, const char *before, const char *name, const char *text);
void mhp__out_flush(struct mhp__out *out);
/* Has the client of a connection hung up? */
bool mhp__client_gone(int fd);
void mhp__out_error(struct mhp__out *out, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- blocks.c ---- */

/* The blocks of a request, in the order of its list. */
struct mhp__sets {
	unsigned nr;
	struct mhp_blocks *run;        /* [nr] */
	size_t size;                   /* of the memory that they are in */
};

/* Read the field, of blocks that are all there and those that the request means; what is wrong is
 * answered as "cannot VERB". True: to be closed. */
bool mhp__sets_open(const struct mhp__fields *fields, const char *verb, struct mhp__out *out,
		    struct mhp__sets *ret_sets);
void mhp__sets_close(struct mhp__sets *sets);
/* The first block of a run that came after `as_of`; its end: none. */
uint32_t mhp__find_stale(struct mhp_blocks run, uint64_t as_of);
uint64_t mhp__block_bytes(void);
/* A multiple of the block size; or, to round up, the next one. What is wrong is answered. */
bool mhp__size_field(const struct mhp__fields *fields, bool round_up, struct mhp__out *out,
		     uint64_t *ret_bytes);
/* MHP_ZONE_*; without the field the default. What is wrong is answered. */
bool mhp__zone_field(const struct mhp__fields *fields, struct mhp__out *out, uint8_t *ret_zone);
const char *mhp__state_name(enum mhp_block_state state);
/* The next run of like blocks that are there, from block *cursor on, which is its end then. */
bool mhp__next_run(uint32_t *cursor, struct mhp_blocks *ret_run, struct mhp_block_info *ret_info);
/* 134217728 -> "128M", rounded up. */
#define MHP__SIZE_TEXT 24U
void mhp__size_text(uint64_t bytes, char text[MHP__SIZE_TEXT]);

/* ---- the requests ---- */

typedef void mhp__request_fn(struct mhp__out *out, const struct mhp__fields *fields);

mhp__request_fn mhp__request_info, mhp__request_list, mhp__request_ranges, mhp__request_map,
	mhp__request_add, mhp__request_online, mhp__request_offline, mhp__request_remove,
	mhp__request_why, mhp__request_resize, mhp__request_progress, mhp__request_cancel,
	mhp__request_get, mhp__request_set, mhp__request_read, mhp__request_write,
	mhp__request_attrs, mhp__request_check, mhp__request_metrics, mhp__request_announce,
	mhp__request_monitor, mhp__request_nodes, mhp__request_move, mhp__request_evacuate,
	mhp__request_watch, mhp__request_files, mhp__request_poison;

/* The first page with a memory error in [pfn, end), or end. */
uint64_t mhp__next_bad(uint64_t pfn, uint64_t end);

/* The used and free bytes of all online blocks (look.c). */
void mhp__usage(uint64_t *used_bytes, uint64_t *free_bytes);

/* The limits that the pool follows (look.c); a limit of 0: there is none, or it is not followed. */
struct mhp_followed mhp__followed(void);

/* Carry out a line. */
void mhp__request(struct mhp__out *out, char *line);
/* Nobody waits. */
void mhp__request_reset(void);

/*
 * Around what waits for the engine. False: too many do already, as some threads stay for requests
 * that do not wait, cancel above all; the answer is MHP_ENOSPC then.
 */
bool mhp__wait_begin(void);
void mhp__wait_end(void);
#define MHP__TOO_MANY_WAIT "too many requests wait for the pool already"

#endif
