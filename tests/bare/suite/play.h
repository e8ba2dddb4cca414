/* SPDX-License-Identifier: MIT */
/*
 * play.h - before every file of a test: which CPU it plays (sim.h) is what the port's hot half
 * reads. Included by the build, not by name. The simulator keeps the variable of that name, unused.
 */
#ifndef SUITE_PLAY_H
#define SUITE_PLAY_H

extern unsigned *const suite_played_cpu;

#ifdef SUITE_TEST
#include "sim.h"
#define mhp_sim_cpu (*suite_played_cpu)
#endif

#endif
