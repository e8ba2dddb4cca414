/* SPDX-License-Identifier: MIT */
/*
 * text.c - sentences for people, and errno in the engine's words.
 *
 * A sentence names what is missing and how to give it. It is formatted into the caller's buffer:
 * nothing is allocated, nothing is printed.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "text.h"

int
mhp__say(struct mhp_text *text, int code, const char *format, ...)
{
	if (text == NULL)
		return code;
	va_list args;
	va_start(args, format);
	vsnprintf(text->text, sizeof(text->text), format, args);
	va_end(args);
	return code;
}

int
mhp__errno(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return MHP_EPERM;
	case ENOENT:
		return MHP_ENOENT;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return MHP_ENOMEM;
	case EBUSY:
		return MHP_EBUSY;
	case ENODEV:
	case ENXIO:
		return MHP_ENODEV;
	case ENOSPC:
		return MHP_ENOSPC;
	case ENOSYS:
	case EOPNOTSUPP:
		return MHP_EOPNOTSUPP;
	case EAGAIN:
		return MHP_EAGAIN;
	default:
		return MHP_EINVAL;
	}
}
