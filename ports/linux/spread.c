/* SPDX-License-Identifier: MIT */
/*
 * spread.c - placement policies: which node fresh pages come from, and the words for that.
 *
 * A policy is a mode and a weight for each node. It decides when pages are committed and at no
 * other time: what it was before does not move. Windows take turns by their address, so that who
 * commits a large range piece by piece gets the same as who commits it at once.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool.h"
#include "spread.h"

static const char *const mode_words[MHP_SPREAD_MODES] = {
	"local", "prefer", "interleave", "bind",
};

/* ---- choosing ---- */

static void
append(const struct mhp_region *region, struct mhp__candidates *to, unsigned node)
{
	if (mhp_node_states(region->m, node) == 0)
		return;
	for (unsigned i = 0; i < to->nr; i++)
		if (to->node[i] == node)
			return;
	to->node[to->nr++] = (uint8_t)node;
}

/* Nodes by rank; named: only those. RAM of the CPU's own node goes before all. */
static void
append_near(const struct mhp_region *region, struct mhp__candidates *to, bool named)
{
	uint64_t order = atomic_load(&region->space->order);
	unsigned here = MHP_POOL_NODES;
	if (region->space->has_nodes)
		(void)syscall(SYS_getcpu, NULL, &here, NULL);
	if (here < MHP_POOL_NODES && mhp__place_kind(region->space, here) == 0 &&
	    (!named || region->spread->weight[here] != 0))
		append(region, to, here);
	for (unsigned i = 0; i < MHP_POOL_NODES; i++, order >>= 4)
		if (!named || region->spread->weight[order & 0xf] != 0)
			append(region, to, order & 0xf);
}

/* The node whose turn a window is. */
static unsigned
turn_of(const struct mhp_spread *spread, uint64_t window)
{
	unsigned sum = 0, node = 0;
	for (unsigned i = 0; i < MHP_POOL_NODES; i++)
		sum += spread->weight[i];
	for (uint64_t left = window % sum; left >= spread->weight[node]; node++)
		left -= spread->weight[node];
	return node;
}

uint64_t
mhp__spread_nodes(const struct mhp_region *region, uint64_t page, uint64_t nr,
		  struct mhp__candidates *ret)
{
	enum mhp_spread_mode mode = region->spread->mode;
	uint64_t left = MHP__HUGE_PAGES - page % MHP__HUGE_PAGES;
	ret->nr = 0;
	if (mode == MHP_SPREAD_INTERLEAVE) {
		append(region, ret, turn_of(region->spread, page / MHP__HUGE_PAGES));
		nr = left < nr ? left : nr;
	}
	if (mode == MHP_SPREAD_PREFER || mode == MHP_SPREAD_BIND)
		append_near(region, ret, true);
	if (mode != MHP_SPREAD_BIND)
		append_near(region, ret, false);
	return nr;
}

/* ---- setting ---- */

static int
check(struct mhp_pool *pool, const struct mhp_spread *spread, struct mhp_text *reterr)
{
	bool any = false, there = spread->mode != MHP_SPREAD_BIND;
	unsigned last = 0;
	if ((unsigned)spread->mode >= MHP_SPREAD_MODES)
		return mhp__say(reterr, MHP_EINVAL, "there is no such placement");
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		if (spread->weight[node] == 0)
			continue;
		any = true;
		last = node;
		there |= mhp_node_states(pool->m, node) != 0;
	}
	if (any && !there)
		return mhp__say(reterr, MHP_ENODEV, "node %u of the pool has no memory in use",
				last);
	if (any == (spread->mode == MHP_SPREAD_LOCAL))
		return mhp__say(reterr, MHP_EINVAL, any ? "local names no node"
							: "%s needs a node",
				mode_words[spread->mode]);
	return 0;
}

int
mhp_pool_set_spread(struct mhp_pool *pool, const struct mhp_spread *spread,
		    struct mhp_text *reterr)
{
	int err = check(pool, spread, reterr);
	if (err != 0)
		return err;
	mhp__pool_lock(pool);
	pool->spread = *spread;
	pthread_mutex_unlock(&pool->mutex);
	return 0;
}

void
mhp_pool_get_spread(struct mhp_pool *pool, struct mhp_spread *ret_spread)
{
	mhp__pool_lock(pool);
	*ret_spread = pool->spread;
	pthread_mutex_unlock(&pool->mutex);
}

int
mhp_region_set_spread(struct mhp_region *region, const struct mhp_spread *spread,
		      struct mhp_text *reterr)
{
	struct mhp_pool *pool = region->pool;
	int err = spread != NULL ? check(pool, spread, reterr) : 0;
	if (err != 0)
		return err;
	mhp__pool_lock(pool);
	if (spread != NULL)
		region->own_spread = *spread;
	region->spread = spread != NULL ? &region->own_spread : &pool->spread;
	pthread_mutex_unlock(&pool->mutex);
	return 0;
}

bool
mhp_region_wants(struct mhp_region *region, unsigned at, struct mhp_backing *ret_backing)
{
	struct mhp_pool *pool = region->pool;
	mhp__pool_lock(pool);
	struct mhp_spread spread = *region->spread;
	uint64_t order = atomic_load(&pool->space.order);
	pthread_mutex_unlock(&pool->mutex);
	if (spread.mode != MHP_SPREAD_BIND)
		return false;
	for (unsigned i = 0; i < MHP_POOL_NODES; i++, order >>= 4)
		for (unsigned k = 0; spread.weight[order & 0xf] != 0 && k < MHP__FILES_MAX; k++) {
			const struct mhp__file *file = &pool->space.file[k];
			if (!file->live || file->node != (order & 0xf) || at-- != 0)
				continue;
			*ret_backing = file->backing;
			return true;
		}
	return false;
}

/* ---- words ---- */

/* "0=3,1": nodes, with weights where they may have some. */
static bool
parse_nodes(const char *words, bool weights, struct mhp_spread *spread)
{
	for (const char *at = words;; at++) {
		unsigned node, weight = 1;
		if (!mhp__take_number(&at, MHP_POOL_NODES - 1, &node))
			return false;
		if (*at == '=' && weights) {
			at++;
			if (!mhp__take_number(&at, UINT8_MAX, &weight) || weight == 0)
				return false;
		}
		spread->weight[node] = (uint8_t)weight;
		if (*at == 0 || *at == '\n')
			return true;
		if (*at != ',')
			return false;
	}
}

int
mhp_spread_parse(const char *words, struct mhp_spread *ret_spread, struct mhp_text *reterr)
{
	struct mhp_spread spread = { .mode = MHP_SPREAD_LOCAL };
	size_t length = strcspn(words, " :\n");
	for (; spread.mode < MHP_SPREAD_MODES; spread.mode++)
		if (strlen(mode_words[spread.mode]) == length &&
		    strncmp(words, mode_words[spread.mode], length) == 0)
			break;
	const char *rest = words + length;
	bool local = spread.mode == MHP_SPREAD_LOCAL;
	if (spread.mode == MHP_SPREAD_MODES ||
	    (local ? *rest != 0 && *rest != '\n'
		   : *rest == 0 || !parse_nodes(rest + 1, spread.mode == MHP_SPREAD_INTERLEAVE,
						&spread)))
		return mhp__say(reterr, MHP_EINVAL,
				"'%.60s' is no placement: local, 'prefer 1', 'interleave 0=3,1' or "
				"'bind 1,2', with nodes 0 to %u", words, MHP_POOL_NODES - 1);
	*ret_spread = spread;
	return 0;
}

void
mhp_spread_text(const struct mhp_spread *spread, char text[MHP_SPREAD_TEXT])
{
	size_t used = (size_t)snprintf(text, MHP_SPREAD_TEXT, "%s",
				       mode_words[spread->mode % MHP_SPREAD_MODES]);
	const char *before = " ";
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		if (spread->weight[node] == 0)
			continue;
		used += (size_t)snprintf(text + used, MHP_SPREAD_TEXT - used, "%s%u", before, node);
		if (spread->mode == MHP_SPREAD_INTERLEAVE && spread->weight[node] != 1)
			used += (size_t)snprintf(text + used, MHP_SPREAD_TEXT - used, "=%u",
						 spread->weight[node]);
		before = ",";
	}
}
