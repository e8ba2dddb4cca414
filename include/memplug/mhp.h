/* SPDX-License-Identifier: MIT */
/*
 * mhp.h - all of the engine's public headers.
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
