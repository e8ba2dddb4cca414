/* SPDX-License-Identifier: MIT */
/*
 * add.c - mhp_add(): the physical layer's work, and then coming online.
 *
 * An add that must come online and cannot is taken back. One that is brought online because the
 * policy says so stays, offline, when that fails: the caller asked for memory, and has it.
 */
#include "base/mem.h"
#include "blocks/block.h"
#include "physical/physical.h"
#include "state/hotplug.h"

static unsigned
auto_zone(enum mhp_auto_online policy)
{
	if (policy == MHP_AUTO_ONLINE_KERNEL)
		return MHP_ZONE_NORMAL;
	return policy == MHP_AUTO_ONLINE_MOVABLE ? MHP_ZONE_MOVABLE : MHP_ZONE_DEFAULT;
}

/* Bring an add online because the policy says so, within a bounded number of attempts. */
static int
auto_online(struct mhp *m, struct mhp_blocks blocks)
{
	uint32_t attempts = m->policy.auto_online_attempts;
	int err = 0;

	MHP_ASSERT_DEBUG(m->policy.auto_online != MHP_AUTO_OFFLINE);
	MHP_ASSERT_DEBUG(attempts != 0);
	for (uint32_t i = 0; i < attempts; i++) {
		struct mhp_why why;
		if (i != 0 && mhp__work_stop(m) != 0)
			break;
		if (i != 0) {
			m->auto_online_retries++;
			m->ops->pause(m->port, UINT64_C(1000000));
		}
		mhp__why_clear(&why);
		err = mhp__online_locked(m, &blocks, 1, auto_zone(m->policy.auto_online), 0,
					 &why);
		if (err == 0)
			break;
	}
	return err;
}

static int
add_locked(struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
	   struct mhp_add_answer *answer)
{
	struct mhp_why why;
	int err = mhp__add_memory(m, blocks, opts, answer);

	MHP_ASSERT_DEBUG(err != 0 || answer->blocks.count == blocks.count);
	if (err != 0)
		return err;
	if ((opts->flags & MHP_ADD_ONLINE) != 0) {
		mhp__why_clear(&why);
		err = mhp__online_locked(m, &blocks, 1, opts->zone, 0, &why);
		if (err != 0)
			mhp__remove_blocks(m, blocks, false);
	} else if ((opts->flags & MHP_ADD_OFFLINE) == 0 &&
		   m->policy.auto_online != MHP_AUTO_OFFLINE) {
		answer->online_error = auto_online(m, blocks);
	}
	return err;
}

int
mhp_add(struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
	struct mhp_add_answer *ret_answer)
{
	static const struct mhp_add_opts none;
	struct mhp_add_answer answer;
	int err = mhp__hotplug_lock(m);

	memset(&answer, 0, sizeof(answer));
	opts = opts != NULL ? opts : &none;
	if (err == 0) {
		mhp__work_begin(m, MHP_WORK_ADD, opts->deadline_ms);
		err = add_locked(m, blocks, opts, &answer);
		mhp__work_end(m);
		mhp__hotplug_unlock(m);
	}
	if (ret_answer != NULL)
		*ret_answer = answer;
	return err;
}
