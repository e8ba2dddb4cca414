/* SPDX-License-Identifier: MIT */
/*
 * surge.c - an ordinary program that keeps some data and every now and then wants much more.
 *
 * It asks malloc for pieces of a MiB until it has what it wants or there are no more, fills and
 * reads them, frees them all, and reads what it keeps. A malloc that fails is no error: the program
 * does with less. No word of memplug in here: it runs in the guest, under `memplug run` in a cgroup
 * whose limit falls (guest_cases.sh).
 *
 * usage: surge KEEP FIRST WANT, in MiB: FIRST is what it wants once, at first. It prints "ready"
 * then; at SIGTERM it says what it did, and exits with 0 if nothing was wrong.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE (UINT64_C(1) << 20)
#define WORDS (PIECE / sizeof(uint64_t))

static volatile sig_atomic_t stop;

static void
on_term(int signal_number)
{
	(void)signal_number;
	stop = 1;
}

static uint64_t *
new_piece(uint64_t tag)
{
	uint64_t *words = malloc(PIECE);
	for (uint64_t i = 0; words != NULL && i < WORDS; i++)
		words[i] = tag + i;
	return words;
}

static uint64_t
verify(const uint64_t *words, uint64_t tag)
{
	for (uint64_t i = 0; i < WORDS; i++)
		if (words[i] != tag + i)
			return 1;
	return 0;
}

/* Pieces of which the first has the tag 0; how many there are. */
static uint64_t
take(uint64_t **pieces, uint64_t wanted)
{
	uint64_t nr = 0;
	while (nr < wanted && !stop && (pieces[nr] = new_piece(nr)) != NULL)
		nr++;
	return nr;
}

static uint64_t
check(uint64_t **pieces, uint64_t nr)
{
	uint64_t wrong = 0;
	for (uint64_t i = 0; i < nr; i++)
		wrong += verify(pieces[i], i);
	return wrong;
}

static uint64_t
surge(uint64_t **pieces, uint64_t wanted, uint64_t *refused)
{
	uint64_t nr = take(pieces, wanted), wrong = check(pieces, nr);
	*refused += nr < wanted && !stop;
	while (nr > 0)
		free(pieces[--nr]);
	return wrong;
}

int
main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_term };
	uint64_t keep = argc == 4 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t first = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t want = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
	uint64_t rounds = 0, refused = 0, wrong = 0;
	uint64_t **kept = calloc(keep + 1, sizeof(*kept));
	uint64_t **more = calloc(first + want + 1, sizeof(*more));
	if (kept == NULL || more == NULL || take(kept, keep) != keep)
		return 2;
	sigaction(SIGTERM, &action, NULL);
	wrong += surge(more, first, &refused);
	puts("ready");
	fflush(stdout);
	for (; !stop; rounds++) {
		wrong += surge(more, want, &refused) + check(kept, keep);
		usleep(100000);
	}
	printf("%" PRIu64 " rounds, %" PRIu64 " of them with less, %" PRIu64 " wrong\n", rounds,
	       refused, wrong);
	return wrong != 0;
}
