/* SPDX-License-Identifier: MIT */
/*
 * cache.pml - a per-CPU cache whose owner takes no lock: sections, closing from elsewhere, isolation.
 *
 * The owner pushes and pops in sections that are over with one store (rseq, or interrupts off), or
 * closes its cache for a batch. Two others isolate a pageblock or not, and drain: drain lock, close,
 * fence, confirm, empty, open (core/pages/cache.c, ports/linux, ports/x86_64). Shown: whoever is
 * about to change the count has read the newest one, and once a drain that followed the isolation has
 * emptied the cache, no frame of that pageblock is pushed.
 *
 * PLANT=n makes it wrong in one place, which must be found:
 *   1 open is relaxed      2 the section reads the count before `closed`   3 no fence
 *   4 no confirm           5 no drain lock       6 the isolated bit is read before the section
 *   7 the section reads `closed` relaxed
 * That the drain lock is let go of with release is not needed for this: the fence orders two drains.
 */
#ifndef PLANT
#define PLANT 0
#endif
#define LOCS 4
#define THREADS 3
#define VALUES 14
#include "memory.pml"

#define CLOSED 0
#define COUNT 1
#define ISOLATED 2
#define DRAINING 3

#define OWNER 2
#define OPEN_RELEASE (PLANT != 1)
#define LOOK_ACQUIRE (PLANT != 7)

byte real;                             /* what the count is */
bool quiet;                            /* isolated, and drained since */
bool in_section, restart;

/* A section of the owner: read closed and count; `left` when it must not go on. */
inline enter_section()
{
	in_section = true; restart = false;
	if
	:: PLANT == 2 -> load(OWNER, COUNT, false, count)
	:: else
	fi;
	load(OWNER, CLOSED, LOOK_ACQUIRE, closed);
	if
	:: PLANT != 2 -> load(OWNER, COUNT, false, count)
	:: else
	fi
}

inline push()
{
	if
	:: PLANT == 6 -> load(OWNER, ISOLATED, false, isolated)
	:: else
	fi;
	do
	:: enter_section();
		if
		:: PLANT != 6 -> load(OWNER, ISOLATED, false, isolated)
		:: else
		fi;
		atomic {
			in_section = false;
			if
			:: restart
			:: !restart && (closed != 0 || isolated) -> break
			:: !restart && closed == 0 && !isolated ->
				assert(count == real);
				assert(!quiet);
				real = count + 1;
				store(OWNER, COUNT, count + 1, false);
				break
			fi
		}
	od
}

inline pop()
{
	do
	:: enter_section();
		atomic {
			in_section = false;
			if
			:: restart
			:: !restart && (closed != 0 || count == 0) -> break
			:: !restart && closed == 0 && count != 0 ->
				assert(count == real);
				real = count - 1;
				store(OWNER, COUNT, count - 1, false);
				break
			fi
		}
	od
}

/* Close locally, take a batch of one, open. */
inline batch()
{
	do
	:: in_section = true; restart = false;
		load(OWNER, CLOSED, LOOK_ACQUIRE, closed);
		atomic {
			in_section = false;
			if
			:: restart
			:: !restart && closed != 0 -> break
			:: !restart && closed == 0 ->
				store(OWNER, CLOSED, 1, false);
				break
			fi
		}
	od;
	if
	:: closed == 0 ->
		load(OWNER, COUNT, false, count);
		load(OWNER, ISOLATED, false, isolated);
		if
		:: !isolated ->
			atomic {
				assert(count == real);
				assert(!quiet);
				real = count + 1;
				store(OWNER, COUNT, count + 1, false)
			}
		:: else
		fi;
		store(OWNER, CLOSED, 0, OPEN_RELEASE)
	:: else
	fi
}


proctype drainer(byte me; bool isolates)
{
	byte n, l, count, closed;
	bool ok;

	if
	:: isolates -> store(me, ISOLATED, 1, false)
	:: else
	fi;
	do
	:: PLANT == 5 -> break
	:: PLANT != 5 ->
		exchange_if(me, DRAINING, 0, 1, true, false, ok);
		if
		:: ok -> break
		:: else -> (value[DRAINING * VALUES + newest[DRAINING]] == 0)
		fi
	od;
	do
	:: exchange_if(me, CLOSED, 0, 2, true, false, ok);
		if
		:: !ok -> (value[CLOSED * VALUES + newest[CLOSED]] == 0)
		:: ok ->
			if
			:: PLANT != 3 -> d_step { fence_all(); restart = in_section }
			:: else
			fi;
			if
			:: PLANT == 4 -> break
			:: else
			fi;
			load(me, CLOSED, true, closed);
			if
			:: closed == 2 -> break
			:: else
			fi
		fi
	od;
	load(me, COUNT, false, count);
	atomic {
		assert(count == real);
		real = 0;
		store(me, COUNT, 0, false);
		if
		:: isolates -> quiet = true
		:: else
		fi
	}
	store(me, CLOSED, 0, OPEN_RELEASE);
	store(me, DRAINING, 0, true)
}

init
{
	byte n, l, count, closed, isolated, ops;

	atomic {
		run drainer(0, true);
		run drainer(1, false)
	}
	do
	:: ops < 3 -> ops++;
		if
		:: push()
		:: pop()
		:: batch()
		fi
	:: break
	od
}
