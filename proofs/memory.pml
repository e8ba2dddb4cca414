/* SPDX-License-Identifier: MIT */
/*
 * memory.pml - a memory that is no stronger than C11 promises, for the models beside it.
 *
 * Each location keeps every value that was ever written to it. A thread has a view: for each location
 * the oldest value that it may still read. A load takes any value from there on, so what others
 * wrote may be seen late and out of order; an acquire load of what a release store (or a
 * read-modify-write of one) wrote takes over the view of its writer. A read-modify-write reads the
 * newest value. fence_all() is a barrier on all CPUs at once (membarrier, or an interrupt that each
 * answers). What it leaves out: loads that are done after later stores of their thread.
 *
 * LOCS, THREADS and VALUES are defined before this is included.
 */
byte value[LOCS * VALUES];             /* [location][number] */
byte seen_by[LOCS * VALUES * LOCS];    /* [location][number]: the view that goes with it */
byte view[THREADS * LOCS];
byte newest[LOCS];
byte all[LOCS];

#define VIEW(t, loc) view[(t) * LOCS + (loc)]
#define SEEN(loc, n, other) seen_by[((loc) * VALUES + (n)) * LOCS + (other)]

inline take_over(t, loc, n)
{
	for (l : 0 .. LOCS - 1) {
		if
		:: SEEN(loc, n, l) > VIEW(t, l) -> VIEW(t, l) = SEEN(loc, n, l)
		:: else
		fi
	}
}

/* out = what t reads at loc */
inline load(t, loc, acquire, out)
{
	atomic {
		n = VIEW(t, loc);
		do
		:: n < newest[loc] -> n++
		:: break
		od;
		VIEW(t, loc) = n;
		out = value[loc * VALUES + n];
		if
		:: acquire -> take_over(t, loc, n)
		:: else
		fi;
		n = 0; l = 0
	}
}

/* Append v; the view that goes with it: of t (release), and of what it follows (in a chain). */
inline append(t, loc, v, release, chained)
{
	assert(newest[loc] + 1 < VALUES);
	newest[loc]++;
	n = newest[loc];
	value[loc * VALUES + n] = v;
	for (l : 0 .. LOCS - 1) {
		SEEN(loc, n, l) = (chained -> SEEN(loc, n - 1, l) : 0);
		if
		:: release && VIEW(t, l) > SEEN(loc, n, l) -> SEEN(loc, n, l) = VIEW(t, l)
		:: else
		fi
	}
	SEEN(loc, n, loc) = n;
	VIEW(t, loc) = n;
	n = 0; l = 0
}

inline store(t, loc, v, release)
{
	d_step { append(t, loc, v, release, false) }
}

/* If the newest value is `want` make it v: ok says so. */
inline exchange_if(t, loc, want, v, acquire, release, ok)
{
	d_step {
		n = newest[loc];
		ok = (value[loc * VALUES + n] == want);
		if
		:: ok ->
			VIEW(t, loc) = n;
			if
			:: acquire -> take_over(t, loc, n)
			:: else
			fi;
			append(t, loc, v, release, true)
		:: else
		fi;
		n = 0; l = 0
	}
}

inline fence_all()
{
	for (n : 0 .. THREADS - 1) {
		for (l : 0 .. LOCS - 1) {
			if
			:: VIEW(n, l) > all[l] -> all[l] = VIEW(n, l)
			:: else
			fi
		}
	}
	for (n : 0 .. THREADS - 1) {
		for (l : 0 .. LOCS - 1) {
			VIEW(n, l) = all[l]
		}
	}
	n = 0; l = 0
}
