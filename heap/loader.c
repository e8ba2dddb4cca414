/* SPDX-License-Identifier: MIT */
/*
 * loader.c - dlopen() without RTLD_DEEPBIND.
 *
 * A library that is loaded with it finds libc's malloc before ours. It would be handed memory of
 * ours, by a function of libc such as strdup(), and free it with libc's free. So the flag is
 * dropped, as it must be for every malloc that is preloaded. The real dlopen() searches along the
 * library of its caller, whom it knows by the return address: the call has to be a jump.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

/* At any optimization level: each compiler has its own word for a call that is a jump. A counter of
 * branches (scripts/coverage) would come after it. */
#ifdef __clang__
#define TAIL_CALLS
#define TAIL __attribute__((musttail))
#else
#define TAIL_CALLS __attribute__((optimize("O2")))
#define TAIL
#endif
#define UNCOUNTED __attribute__((no_profile_instrument_function))

typedef void *dlopen_fn(const char *file, int mode);

__attribute__((visibility("default"))) TAIL_CALLS UNCOUNTED void *
dlopen(const char *file, int mode)
{
	static dlopen_fn *next;
	if (next == NULL)
		next = (dlopen_fn *)dlsym(RTLD_NEXT, "dlopen");
	TAIL return next(file, mode & ~RTLD_DEEPBIND);
}
