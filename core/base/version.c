/* SPDX-License-Identifier: MIT */
/*
 * version.c - what a program may ask of any build of the engine, without an instance: its version,
 * and words for its errors.
 *
 * The words say what each code means to a caller in general; what it means of one function stands
 * at that function, and what was in the way of one call is in its struct mhp_why.
 */
#include <memplug/types.h>
#include <memplug/version.h>

uint32_t
mhp_version(void)
{
	return MHP_VERSION;
}

const char *
mhp_version_text(void)
{
	return MHP_VERSION_TEXT;
}

const char *
mhp_error_text(int error)
{
	switch (error) {
	case 0: return "no error";
	case MHP_EPERM: return "not permitted by the policy, a switch or the system";
	case MHP_ENOENT: return "no such block, device or file";
	case MHP_EIO: return "the memory failed its test pattern";
	case MHP_ENXIO: return "outside the maximum address range";
	case MHP_EAGAIN: return "a bound was reached; trying again may work";
	case MHP_ENOMEM: return "no free memory, or no room to move pages to";
	case MHP_EBUSY: return "in use, or in the wrong state for this";
	case MHP_EEXIST: return "it exists already";
	case MHP_ENODEV: return "no such node";
	case MHP_EINVAL: return "an invalid argument";
	case MHP_ETXTBSY: return "another process still uses the page";
	case MHP_ENOSPC: return "a table of fixed size is full";
	case MHP_EDEADLK: return "called from a listener or an owner's function";
	case MHP_EOVERFLOW: return "the range wraps at the top address";
	case MHP_EOPNOTSUPP: return "not supported by this build, port or geometry";
	case MHP_ECANCELED: return "canceled";
	case MHP_EOWNERDEAD: return "a killed thread left a change half done";
	case MHP_EHWPOISON: return "the page has a memory error";
	default: return "an error that is not memplug's";
	}
}
