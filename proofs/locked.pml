/* SPDX-License-Identifier: MIT */
/*
 * locked.pml - a per-CPU cache behind a lock (include/memplug/cache_locked.h), and the same lock in
 * core/base/lock.h.
 *
 * Two threads play one CPU: each pushes or pops under the lock, or passes the cache by. One isolates
 * a pageblock and drains. Nothing but the lock's acquire and release orders them: there is no fence.
 * Shown: whoever has the lock reads the newest count, and nothing of the pageblock is pushed once
 * the drain has emptied the cache.
 *
 * PLANT=n: 1 open is relaxed   2 close is relaxed   3 the isolated bit is read before the lock
 */
#ifndef PLANT
#define PLANT 0
#endif
#define LOCS 3
#define THREADS 3
#define VALUES 12
#include "memory.pml"

#define CLOSED 0
#define COUNT 1
#define ISOLATED 2

byte real;
bool quiet;

inline close(me, ok)
{
	exchange_if(me, CLOSED, 0, 1, PLANT != 2, false, ok)
}

inline open(me)
{
	store(me, CLOSED, 0, PLANT != 1)
}

proctype user(byte me)
{
	byte n, l, count, isolated, ops;
	bool ok;

	do
	:: ops < 2 -> ops++;
		if
		:: PLANT == 3 -> load(me, ISOLATED, false, isolated)
		:: else
		fi;
		close(me, ok);
		if
		:: !ok
		:: ok ->
			load(me, COUNT, false, count);
			assert(count == real);
			if
			:: PLANT != 3 -> load(me, ISOLATED, false, isolated)
			:: else
			fi;
			if
			:: !isolated ->
				assert(!quiet);
				real = count + 1;
				store(me, COUNT, count + 1, false)
			:: count != 0 ->
				real = count - 1;
				store(me, COUNT, count - 1, false)
			:: isolated && count == 0
			fi;
			open(me)
		fi
	:: break
	od
}

init
{
	byte n, l, count;
	bool ok;

	atomic {
		run user(1);
		run user(2)
	}
	store(0, ISOLATED, 1, false);
	do
	:: close(0, ok);
		if
		:: ok -> break
		:: else -> (value[CLOSED * VALUES + newest[CLOSED]] == 0)
		fi
	od;
	load(0, COUNT, false, count);
	assert(count == real);
	real = 0;
	store(0, COUNT, 0, false);
	quiet = true;
	open(0)
}
