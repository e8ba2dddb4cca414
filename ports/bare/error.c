/* SPDX-License-Identifier: MIT */
/*
 * error.c - says on the console why something was refused: cause, first page, owners.
 *
 * One line for each refusal, which starts with "refused" and the name of the error: what scripts
 * wait for. Must not know who asked.
 */
#include "error.h"

#include "console.h"
#include "port.h"

const char *
error_text(int error)
{
	static const struct {
		int error;
		const char *text;
	} names[] = {
		{ MHP_EPERM, "EPERM" }, { MHP_ENOENT, "ENOENT" }, { MHP_EIO, "EIO" },
		{ MHP_ENXIO, "ENXIO" }, { MHP_EAGAIN, "EAGAIN" }, { MHP_ENOMEM, "ENOMEM" },
		{ MHP_EBUSY, "EBUSY" }, { MHP_EEXIST, "EEXIST" }, { MHP_ENODEV, "ENODEV" },
		{ MHP_EINVAL, "EINVAL" }, { MHP_ENOSPC, "ENOSPC" }, { MHP_EDEADLK, "EDEADLK" },
		{ MHP_EOVERFLOW, "EOVERFLOW" }, { MHP_EOPNOTSUPP, "EOPNOTSUPP" },
		{ MHP_EINTR, "EINTR" },
		{ MHP_ECANCELED, "ECANCELED" }, { MHP_EHWPOISON, "EHWPOISON" },
		{ MHP_EOWNERDEAD, "EOWNERDEAD" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].error == error)
			return names[i].text;
	}
	return "?";
}

void
error_say(int error, const struct mhp_why *why)
{
	say("refused %s: block %u: %s", error_text(error), why->block, mhp_cause_text(why->cause));
	if (why->pfn != MHP_PFN_NONE && why->cause != MHP_CAUSE_STATE)
		say(", first at pfn 0x%lx: %s", why->pfn, why->text);
	for (unsigned i = 0; i < why->nr_owners; i++)
		say(", %lu of %s", why->owners[i].nr_pages,
		    mhp_owner_name(port_instance(), why->owners[i].owner));
	say("\n");
}
