/* SPDX-License-Identifier: MIT */
/*
 * driver.c - main() of a fuzz target that is run as a test: each file of a folder is one input.
 *
 * usage: fuzz-TARGET FOLDER [SEED ROUNDS]: with ROUNDS each file is also given that often with
 * damage that follows from SEED: bytes changed, cut out, and repeated.
 */
#define _GNU_SOURCE
#include <dirent.h>

#include "fuzz.h"

enum { FILE_MAX = 1 << 20 };

static uint64_t state;

static uint64_t
next(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Damage [size] bytes in a buffer of twice as many; returns how many there are then. */
static size_t
damage(uint8_t *data, size_t size)
{
	for (uint64_t times = next() % 4; times > 0 && size > 0; times--) {
		size_t at = next() % size, length = next() % (size - at) + 1;
		switch (next() % 3) {
		case 0:
			data[at] = (uint8_t)next();
			break;
		case 1:
			memmove(data + at, data + at + length, size - at - length);
			size -= length;
			break;
		default:
			if (size + length > FILE_MAX)
				break;
			memmove(data + at + length, data + at, size - at);
			size += length;
		}
	}
	return size;
}

static unsigned
run_file(const char *folder, const char *name, uint64_t rounds)
{
	static uint8_t original[FILE_MAX], data[2 * FILE_MAX];
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	FUZZ_CHECK(file != NULL);
	size_t size = fread(original, 1, sizeof(original), file);
	fclose(file);
	LLVMFuzzerTestOneInput(original, size);
	for (uint64_t i = 0; i < rounds; i++) {
		memcpy(data, original, size);
		LLVMFuzzerTestOneInput(data, damage(data, size));
	}
	return 1;
}

int
main(int argc, char **argv)
{
	unsigned passed = 0;
	DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
	uint64_t rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

	if (dir == NULL) {
		fprintf(stderr, "usage: %s FOLDER [SEED ROUNDS]\n", argv[0]);
		return 2;
	}
	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		if (entry->d_name[0] != '.')
			passed += run_file(argv[1], entry->d_name, rounds);
	}
	closedir(dir);
	printf("%u passed, %d failed\n", passed, passed == 0);
	return passed == 0;
}
