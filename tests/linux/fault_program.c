/* SPDX-License-Identifier: MIT */
/*
 * fault_program.c - an ordinary program that notices when its memory is not what it wrote (R74).
 *
 * Each line on standard input is a round: it allocates, grows, frees, looks at all that it has, and
 * says "round". "fork" has a child look at everything, too. At the end of the input it looks again
 * and ends with 0. Memory that is refused is no failure, lost memory is. It does not know memplug.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECES 400U

static struct piece {
	uint64_t *words;
	size_t nr;
	uint64_t seed;
} piece[PIECES];
static uint64_t seed = 1;

static unsigned
pick(unsigned below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % below;
}

static void
fill(struct piece *it, size_t from)
{
	for (size_t i = from; i < it->nr; i++)
		it->words[i] = it->seed + i;
}

static void
check(const struct piece *it)
{
	for (size_t i = 0; i < it->nr; i++)
		if (it->words[i] != it->seed + i) {
			fprintf(stderr, "lost: word %zu of %zu at %p is %llx\n", i, it->nr,
				(void *)it->words, (unsigned long long)it->words[i]);
			abort();
		}
}

static void
check_all(void)
{
	for (unsigned i = 0; i < PIECES; i++)
		check(&piece[i]);
}

static size_t
some_words(void)
{
	return pick(20) == 0 ? 1 + pick(1 << 17) : 1 + pick(1 << 12);
}

static void
change(struct piece *it)
{
	size_t nr = some_words(), old = it->nr;
	check(it);
	if (pick(3) != 0 || it->words == NULL) {
		uint64_t *words = realloc(it->words, nr * sizeof(*words));
		if (words == NULL)
			return;
		it->words = words;
		it->seed = old != 0 ? it->seed : seed;
		it->nr = nr;
		fill(it, old < nr ? old : nr);
		return;
	}
	free(it->words);
	*it = (struct piece){ 0 };
}

static int
look_in_a_child(void)
{
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		check_all();
		for (unsigned i = 0; i < 20; i++)
			change(&piece[pick(PIECES)]);
		check_all();
		_exit(0);
	}
	return child > 0 && waitpid(child, &status, 0) == child ? status : 0;
}

int
main(void)
{
	char line[16];
	for (unsigned i = 0; i < PIECES; i++)
		change(&piece[i]);
	printf("started\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		for (unsigned i = 0; i < 100; i++)
			change(&piece[pick(PIECES)]);
		check_all();
		if (strcmp(line, "fork\n") == 0 && look_in_a_child() != 0)
			return 1;
		printf("round\n");
		fflush(stdout);
	}
	check_all();
	return 0;
}
