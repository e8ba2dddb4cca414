/* SPDX-License-Identifier: MIT */
/*
 * every.c - main() of a fuzz target that is given every short text there is, not random ones.
 *
 * usage: every-TARGET ALPHABET LENGTH [PREFIX]: all texts of up to LENGTH characters of ALPHABET,
 * behind PREFIX. A parser that looks at one character at a time, and keeps a number at most, does
 * nothing with a longer text that it does not do with one of these.
 */
#include "fuzz.h"

enum { TEXT_MAX = 256 };

int
main(int argc, char **argv)
{
	const char *alphabet = argc > 2 ? argv[1] : "", *prefix = argc > 3 ? argv[3] : "";
	size_t length = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, start = strlen(prefix);
	uint8_t text[TEXT_MAX];
	uint64_t nr = 0, letters = strlen(alphabet);

	if (letters == 0 || length == 0 || start + length > TEXT_MAX) {
		fprintf(stderr, "usage: %s ALPHABET LENGTH [PREFIX]\n", argv[0]);
		return 2;
	}
	memcpy(text, prefix, start);
	for (size_t size = 0; size <= length; size++) {
		uint64_t texts = 1;
		for (size_t i = 0; i < size; i++)
			texts *= letters;
		for (uint64_t number = 0; number < texts; number++, nr++) {
			uint64_t rest = number;
			for (size_t i = 0; i < size; i++, rest /= letters)
				text[start + i] = (uint8_t)alphabet[rest % letters];
			LLVMFuzzerTestOneInput(text, start + size);
		}
	}
	printf("%llu texts\n", (unsigned long long)nr);
	return 0;
}
