/* SPDX-License-Identifier: MIT */
/*
 * fields.h - a request as named, typed fields, and the line that carries it: one flat JSON object.
 *
 *     {"request":"remove","blocks":"3-7","deadline_ms":30000,"dry_run":true}
 *
 * Client and server share this codec. A field has one name and one type everywhere (the table
 * below); values are quoted, so that nothing in one can be taken for another field, and an empty
 * word stays an empty word. Decoding takes a whole line or refuses it: unknown and repeated fields,
 * other types and anything after the object are errors. Pure functions of their arguments.
 */
#ifndef MHP_CONTROL_FIELDS_H
#define MHP_CONTROL_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

enum mhp__type {
	MHP__TEXT,                     /* "..." */
	MHP__NUMBER,                   /* decimal, 0 to 2^64 - 1 */
	MHP__FLAG,                     /* true or false */
};

/* X(name in lower case, ENUM, type) */
#define MHP__FIELD_TABLE(X)                                                                        \
	X(request, REQUEST, TEXT)                                                                  \
	X(action, ACTION, TEXT)        /* what to announce */                                      \
	X(all, ALL, FLAG)              /* what is not in the pool, too */                          \
	X(as_of, AS_OF, NUMBER)        /* the generation that blocks may have at most */           \
	X(attr, ATTR, TEXT)            /* NAME or memoryN/NAME */                                  \
	X(backing, BACKING, TEXT)                                                                  \
	X(block, BLOCK, NUMBER)                                                                    \
	X(blocks, BLOCKS, TEXT)        /* 3  3-7  3,5-6  0x80000000-0x8fffffff */                  \
	X(cells, CELLS, NUMBER)                                                                    \
	X(deadline_ms, DEADLINE_MS, NUMBER)                                                        \
	X(dry_run, DRY_RUN, FLAG)      /* only answer; change nothing */                           \
	X(memmap, MEMMAP, TEXT)        /* self, external, auto */                                  \
	X(node, NODE, NUMBER)          /* of the pool */                                           \
	X(offline, OFFLINE, FLAG)                                                                  \
	X(ranges, RANGES, FLAG)                                                                    \
	X(since, SINCE, NUMBER)        /* an event */                                              \
	X(size, SIZE, TEXT)            /* 512M, 1.5G */                                            \
	X(to, TO, NUMBER)              /* the node that pages go to */                             \
	X(value, VALUE, TEXT)          /* of an attribute: any bytes */                            \
	X(zone, ZONE, TEXT)            /* movable, kernel, default */

#define MHP__FIELD_ENUM(name, NAME, type) MHP__F_##NAME,
enum mhp__field {
	MHP__FIELD_TABLE(MHP__FIELD_ENUM)
	MHP__FIELDS
};
#undef MHP__FIELD_ENUM

#define MHP__BIT(NAME) (UINT32_C(1) << MHP__F_##NAME)
_Static_assert(MHP__FIELDS <= 32, "sets of fields are one word");

struct mhp__value {
	const char *text;              /* TEXT: in the line, with a zero byte after it */
	size_t length;                 /* of it; only a value may have zero bytes inside */
	uint64_t number;               /* NUMBER; FLAG: 0 or 1 */
};

struct mhp__fields {
	uint32_t there;                /* which of them */
	struct mhp__value value[MHP__FIELDS];
};

/*
 * Decode a line, in place: texts of *ret point into it.
 *
 * @line: [size], all of it the request, a newline at its end included or not.
 * Return: NULL, or what is wrong with it, a sentence about as long as "...".
 */
const char *mhp__fields_decode(char *line, size_t size, struct mhp__fields *ret);

const char *mhp__field_name(enum mhp__field field);

static inline bool
mhp__has(const struct mhp__fields *fields, enum mhp__field field)
{
	return (fields->there >> field & 1) != 0;
}

/* A missing member reads as "", 0 or false. */
static inline const char *
mhp__text(const struct mhp__fields *fields, enum mhp__field field)
{
	return mhp__has(fields, field) ? fields->value[field].text : "";
}

static inline uint64_t
mhp__number(const struct mhp__fields *fields, enum mhp__field field)
{
	return mhp__has(fields, field) ? fields->value[field].number : 0;
}

static inline bool
mhp__flag(const struct mhp__fields *fields, enum mhp__field field)
{
	return mhp__number(fields, field) != 0;
}

/* ---- composing ---- */

/* A request on its way to be a line. If something does not fit there is no line at all. */
struct mhp__line {
	size_t used;
	bool full;
	char text[MHP_PROTOCOL_LINE_MAX];
};

void mhp__line_begin(struct mhp__line *line, const char *request);
void mhp__line_text(struct mhp__line *line, enum mhp__field field, const char *text);
void mhp__line_bytes(struct mhp__line *line, enum mhp__field field, const char *bytes,
		     size_t length);
void mhp__line_number(struct mhp__line *line, enum mhp__field field, uint64_t number);
/* false: the field is left out. */
void mhp__line_flag(struct mhp__line *line, enum mhp__field field, bool flag);
/* The line, its newline included, or NULL: it is longer than the protocol allows. */
const char *mhp__line_end(struct mhp__line *line);

#endif
