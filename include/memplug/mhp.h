/* SPDX-License-Identifier: MIT */
/*
 * mhp.h - all of the engine's public headers.
 *
 * Threads: an instance may be used by any number of threads at once. Calls that change blocks run
 * one after the other (the hotplug lock); those that allocate, free and look run beside them.
 * Listeners and owners' functions run inside a change, so that from there another change is refused
 * with MHP_EDEADLK, and everything else works. Each function says its context, or its header does.
 */
#ifndef MEMPLUG_MHP_H
#define MEMPLUG_MHP_H

#include <memplug/bad.h>
#include <memplug/block.h>
#include <memplug/check.h>
#include <memplug/instance.h>
#include <memplug/memmap.h>
#include <memplug/notify.h>
#include <memplug/page.h>
#include <memplug/plan.h>
#include <memplug/policy.h>
#include <memplug/port.h>
#include <memplug/trace.h>
#include <memplug/types.h>
#include <memplug/version.h>
#include <memplug/work.h>

#endif
