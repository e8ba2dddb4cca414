/* SPDX-License-Identifier: MIT */
/*
 * own_malloc.c - a program with a malloc of its own: a jemalloc that is linked into it (R66).
 *
 * Objects of up to some KiB are replaced, grown and given up at random; each knows what it has to
 * hold, and is looked at before it goes. Half-way it says "ready" and waits for a line. What it
 * says in the end depends on its steps only. Run by mmap_test.sh: all that its malloc maps is the
 * pool's, and on a device from the line on.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { OBJECTS = 40000, STEPS = 2000000, LINE = 64 };

static struct object {
	unsigned char *at, mark;
	uint32_t size;
} object[OBJECTS];

static void
write_all(struct object *o)
{
	for (uint32_t i = 0; i < o->size; i += LINE)
		o->at[i] = (unsigned char)(o->mark + i / LINE);
}

static void
check(const struct object *o)
{
	for (uint32_t i = 0; i < o->size; i += LINE)
		if (o->at[i] != (unsigned char)(o->mark + i / LINE)) {
			printf("byte %u of an object of %u is wrong\n", i, o->size);
			exit(1);
		}
}

static void
make(struct object *o, void *at, uint64_t draw)
{
	*o = (struct object){ .size = (uint32_t)(1 + draw % 4000), .mark = (unsigned char)draw };
	o->at = realloc(at, o->size);
	if (o->at == NULL)
		exit(2);
	write_all(o);
}

int
main(void)
{
	uint64_t draw = 88172645463325252U, sum = 0;
	for (unsigned step = 0; step < STEPS; step++) {
		draw ^= draw << 13;
		draw ^= draw >> 7;
		draw ^= draw << 17;
		struct object *o = &object[draw % OBJECTS];
		sum = sum * 31 + o->size + o->mark;
		check(o);
		if (draw >> 62 == 0) {
			free(o->at);
			*o = (struct object){ 0 };
		} else {
			make(o, o->at, draw >> 20);
		}
		if (step == STEPS / 2) {
			printf("ready\n");
			fflush(stdout);
			(void)getchar();
		}
	}
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
