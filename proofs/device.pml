/* SPDX-License-Identifier: MIT */
/*
 * device.pml - a window that goes to a device and comes back, while the program writes and forks and
 * the companion that moves it is killed at any step (ports/linux: settling, recovery, fork).
 *
 * The window has two words. Memory is what the kernel makes of it: a write happens at once where the
 * address is mapped, and waits while the window is protected or its page is missing. Movers let go of
 * the region mutex while a window is on its way; the journal says which way. Either way can fail: the
 * kernel may have no mapping, or no memory, left. When movers are killed, the next companion shares
 * their userfaultfds, asks the kernel what is mapped, and ends what the journal names, while tasks of
 * its own may have begun already. A fork bars new settling, has the window brought back by a task of
 * the companion, and takes the mutex as everybody does.
 * Shown: each write finds what the last one left; a child is given whole ordinary memory; nobody
 * waits for ever; and the table is right about where the window is whenever none is on its way.
 *
 * PLANT=n makes it wrong in one place, which must be found:
 *   1 the window is not protected while it is copied    2 it is mapped before the copy is whole
 *   3 recovery goes by the journal, not by the mapping  4 a hole is written before it is full
 *   5 recovery fills pages that were filled before      6 recovery takes what a living mover began
 *   7 a fork takes the mutex though a window is on its way
 *   8 the window is read before everybody waits for it  9 a window settles while a fork is on
 */
#ifndef PLANT
#define PLANT 0
#endif
#define WRITES 3
#define MOVES 2

mtype = { RAM, HOLE, DEVICE };                               /* mappings */
mtype = { STILL, LOOKING, COPYING, FILLING };       /* steps */

mtype mapping = RAM;
bool protected;
bool present[2];                       /* pages of a hole */
byte ram[2], device[2], stage[2], last[2];

bool settled;                          /* what the table says */
bool locked;
byte holder;                           /* whose companion has the region mutex */
mtype step = STILL;
byte mover;                            /* whose companion wrote the journal */
bool forking, killed, refused;         /* refused: memory for what comes back */

#define ALIVE(me) ((me) == 1 || !killed)
/* A step of a task of companion me (0 may be killed before any step; 1 comes afterwards). */
#define WHEN(me, guard, what) \
	if :: atomic { ALIVE(me) && (guard) -> what } :: !ALIVE(me) -> goto dead fi
#define STEP(me, what) WHEN(me, true, what)

#define WRITABLE(w) (!protected && (mapping != HOLE || present[w]))
#define VISIBLE(w) (mapping == DEVICE -> device[w] : ram[w])

inline store(w)
{
	assert(VISIBLE(w) == last[w]);
	last[w]++;
	if
	:: mapping == DEVICE -> device[w] = last[w]
	:: else -> ram[w] = last[w]
	fi
}

active proctype program()
{
	byte left = WRITES;
	do
	:: left > 0 ->
		if
		:: atomic { WRITABLE(0) -> store(0) }
		:: atomic { WRITABLE(1) -> store(1) }
		fi;
		left--
	:: else -> break
	od
}

inline unlock(me) { STEP(me, locked = false) }
inline lock(me) { WHEN(me, !locked && step == STILL, locked = true; holder = me) }
inline lock_now(me) { WHEN(me, !locked, locked = true; holder = me) }

inline depart(me)
{
	STEP(me, mover = me);
	STEP(me, step = LOOKING);
	unlock(me)
}

inline arrive(me)
{
	STEP(me, step = STILL);
	unlock(me)
}

inline map(me) { STEP(me, mapping = DEVICE; protected = false) }

/* A page of a hole is filled once: the kernel refuses to fill what is there. */
inline fill(me, w, again)
{
	STEP(me,
	     if
	     :: !present[w] || (again) -> ram[w] = device[w]; present[w] = true
	     :: else
	     fi)
}

inline settle(me)
{
	depart(me);
	STEP(me, step = COPYING);
	STEP(me, protected = (PLANT != 1));
	STEP(me, device[0] = ram[0]);
	if
	:: PLANT == 2 -> map(me)
	:: else
	fi;
	STEP(me, device[1] = ram[1]);
	if
	:: mapping == RAM -> map(me)
	:: mapping == RAM -> STEP(me, protected = false)  /* the kernel has no mapping left */
	:: mapping == DEVICE
	fi;
	lock_now(me);
	STEP(me, settled = (mapping == DEVICE));
	arrive(me)
}

inline put_back(me) { STEP(me, refused = true; mapping = DEVICE; protected = false) }

/* Page by page; or the kernel has no memory left, and the device is mapped as before. */
inline fill_each(me, again)
{
	if
	:: fill(me, 0, again);
		if
		:: fill(me, 1, again);
			STEP(me, protected = false)
		:: !present[1] -> put_back(me)
		fi
	:: !present[0] -> put_back(me)
	fi
}

/* Both pages are copied aside and take their places together; writers go on at once. */
inline fill_at_once(me)
{
	STEP(me, stage[0] = device[0]);
	STEP(me, stage[1] = device[1]);
	STEP(me, ram[0] = stage[0]; ram[1] = stage[1]; present[0] = true; present[1] = true;
	     protected = false)
}

inline unsettle(me)
{
	depart(me);
	STEP(me, step = FILLING);
	if
	:: PLANT == 8 ->
		STEP(me, ram[0] = device[0]; ram[1] = device[1]);
		STEP(me, mapping = HOLE; present[0] = true; present[1] = true)
	:: else ->
		STEP(me, mapping = HOLE; present[0] = false; present[1] = false;
		     protected = (PLANT != 4))
	fi;
	if
	:: fill_each(me, false)
	:: PLANT != 8 -> fill_at_once(me)
	fi;
	lock_now(me);
	STEP(me, settled = (mapping == DEVICE); mapping = (mapping == DEVICE -> DEVICE : RAM));
	arrive(me)
}

proctype settler(byte me)
{
	byte left = MOVES;
	do
	:: left > 0 ->
		left--;
		lock(me);
		if
		:: settled -> unsettle(me)
		:: !settled && (!forking || PLANT == 9) -> settle(me)
		:: unlock(me)
		fi
	:: left == 0 -> break
	od;
dead:	skip
}

/* A task of the program's own call. */
proctype bring_back(byte me; chan done)
{
	lock(me);
	if
	:: settled -> unsettle(me)
	:: else -> unlock(me)
	fi;
dead:	done!0
}

inline end_window(me)
{
	if
	:: step == COPYING && (mapping != DEVICE || PLANT == 3) -> STEP(me, protected = false)
	:: step == COPYING && mapping == DEVICE && PLANT != 3 -> STEP(me, settled = true)
	:: step == FILLING && mapping == HOLE ->
		fill_each(me, PLANT == 5);
		STEP(me, settled = (mapping == DEVICE); mapping = (settled -> DEVICE : RAM))
	:: step == FILLING && mapping != HOLE -> STEP(me, settled = (mapping == DEVICE))
	:: step == STILL || step == LOOKING
	fi
}

proctype recovery(byte me)
{
	lock_now(me);
	if
	:: step != STILL && (mover != me || PLANT == 6) ->
		end_window(me);
		STEP(me, step = STILL)
	:: else
	fi;
	unlock(me);
dead:	skip
}

active proctype killer()
{
	atomic {
		killed = true;
		if
		:: locked && holder == 0 -> locked = false   /* robust: the next one is told */
		:: else
		fi
	}
	run recovery(1);
	run settler(1)
}

#define PROGRAM 2                      /* the fork's thread is no companion's */

active proctype forker()
{
	chan done = [1] of { byte };
	byte end;
	forking = true;
	run bring_back((killed -> 1 : 0), done);
	done?end;
	if
	:: atomic { !locked && (step == STILL || PLANT == 7) -> locked = true; holder = PROGRAM }
	fi;
	atomic {
		assert(mapping != HOLE && settled == (mapping == DEVICE));
		/* Otherwise the child is given a copy. */
		assert(mapping == RAM || killed || refused);
		assert(VISIBLE(0) == last[0] && VISIBLE(1) == last[1])
	}
	forking = false;
	locked = false
}

init
{
	run settler(0);
	/* When nobody has anything to do any more, everybody is through, and the table is right. */
	timeout;
	assert(step == STILL && settled == (mapping == DEVICE))
}
