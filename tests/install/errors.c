/* SPDX-License-Identifier: MIT */
/*
 * errors.c - each code of enum mhp_error is -errno of the same name, and has words of its own.
 *
 * A program as an author writes one: it sees the installed headers only. It prints the codes that
 * are wrong and exits with 0 when there are none.
 */
#include <errno.h>
#include <memplug/mhp.h>
#include <stdio.h>
#include <string.h>

static const int codes[][2] = {
	{ MHP_EPERM, EPERM }, { MHP_ENOENT, ENOENT }, { MHP_EIO, EIO }, { MHP_ENXIO, ENXIO },
	{ MHP_EAGAIN, EAGAIN }, { MHP_ENOMEM, ENOMEM }, { MHP_EBUSY, EBUSY },
	{ MHP_EEXIST, EEXIST }, { MHP_ENODEV, ENODEV }, { MHP_EINVAL, EINVAL },
	{ MHP_ETXTBSY, ETXTBSY }, { MHP_ENOSPC, ENOSPC }, { MHP_EDEADLK, EDEADLK },
	{ MHP_EOVERFLOW, EOVERFLOW }, { MHP_EOPNOTSUPP, EOPNOTSUPP },
	{ MHP_ECANCELED, ECANCELED }, { MHP_EOWNERDEAD, EOWNERDEAD },
	{ MHP_EHWPOISON, EHWPOISON },
};

int
main(void)
{
	int wrong = 0;

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		const char *words = mhp_error_text(codes[i][0]);
		if (codes[i][0] != -codes[i][1] || strcmp(words, mhp_error_text(1)) == 0)
			wrong += printf("%s: %d: %s\n", strerror(codes[i][1]), codes[i][0], words);
	}
	return wrong != 0;
}
