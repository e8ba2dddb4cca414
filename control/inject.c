/* SPDX-License-Identifier: MIT */
/*
 * inject.c - errors on purpose: a listener that refuses what comes online or goes offline.
 *
 * The files are those of the kernel's notifier-error-inject, so that a test of error handling runs
 * on a pool: a negative errno, or 0 for none. The listener exists from the first error on, and then
 * stays: a pool without injected errors pays for none. It has the highest priority, so an injected
 * error comes before any other listener has heard of the change.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>

#include "attr.h"

#define ERROR_MAX 4095

static _Atomic int going_online, going_offline; /* what is answered */
static _Atomic bool listens;

static int
answer(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx;
	if (notice->kind == MHP_GOING_ONLINE_NOTICE)
		return atomic_load(&going_online);
	return notice->kind == MHP_GOING_OFFLINE_NOTICE ? atomic_load(&going_offline) : 0;
}

static int
listen(void)
{
	uint16_t id;
	if (atomic_exchange(&listens, true))
		return 0;
	int err = mhp_listener_add(mhp__control.m, answer, NULL, INT_MAX, &id);
	if (err == 0)
		(void)mhp_listener_set_name(mhp__control.m, id, "error injection");
	else
		atomic_store(&listens, false);
	return err;
}

/* A number beyond the kernel's errors becomes the nearest of them. */
static int
store(const struct mhp__subject *subject, const char *value, _Atomic int *ret_error)
{
	bool negative = *value == '-';
	uint64_t number;
	if (mhp__word_number(subject, value + negative, INT64_MAX, &number) != 0)
		return MHP_EINVAL;
	int error = !negative ? 0 : number > ERROR_MAX ? -ERROR_MAX : -(int)number;
	int err = error != 0 ? listen() : 0;
	if (err == 0)
		atomic_store(ret_error, error);
	return err;
}

int
mhp__show_inject_online(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	snprintf(text, size, "%d", atomic_load(&going_online));
	return 0;
}

int
mhp__store_inject_online(const struct mhp__subject *subject, const char *value,
			 struct mhp_text *reterr)
{
	(void)reterr;
	return store(subject, value, &going_online);
}

int
mhp__show_inject_offline(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	snprintf(text, size, "%d", atomic_load(&going_offline));
	return 0;
}

int
mhp__store_inject_offline(const struct mhp__subject *subject, const char *value,
			  struct mhp_text *reterr)
{
	(void)reterr;
	return store(subject, value, &going_offline);
}
