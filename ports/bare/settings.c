/* SPDX-License-Identifier: MIT */
/*
 * settings.c - one table of knobs; each names its values.
 *
 * Names and values are those of the hosted command, as far as they make sense here. A knob decides
 * for later calls only; what a block was added with stays.
 */
#include "settings.h"

#include "bootmem.h"
#include "console.h"
#include "error.h"
#include "port.h"
#include "string.h"

enum { VALUES_MAX = 5 };

/* The place of a value in its table is the engine's number for it. */
struct setting {
	const char *name;
	const char *values[VALUES_MAX];
	unsigned (*get)(const struct mhp_policy *policy);
	void (*put)(struct mhp_policy *policy, unsigned value);
};

static unsigned
get_auto_online(const struct mhp_policy *policy)
{
	return policy->auto_online;
}

static void
put_auto_online(struct mhp_policy *policy, unsigned value)
{
	policy->auto_online = (enum mhp_auto_online)value;
}

static unsigned
get_online_policy(const struct mhp_policy *policy)
{
	return policy->online_policy;
}

static void
put_online_policy(struct mhp_policy *policy, unsigned value)
{
	policy->online_policy = (enum mhp_online_policy)value;
}

static unsigned
get_switch(const struct mhp_policy *policy)
{
	(void)policy;
	return mhp_get_memmap_on_memory(port_instance());
}

static const struct setting settings[] = {
	{ "auto_online_blocks", { "offline", "online", "online_kernel", "online_movable" },
	  get_auto_online, put_auto_online },
	{ "online_policy", { "contig-zones", "auto-movable" }, get_online_policy,
	  put_online_policy },
	{ "memmap_on_memory", { "off", "on", "force" }, get_switch, NULL },
};

enum { NR_SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static int
put(const struct setting *setting, unsigned value)
{
	struct mhp_policy policy;

	if (setting->put == NULL)
		return mhp_set_memmap_on_memory(port_instance(), (enum mhp_memmap_switch)value);
	mhp_get_policy(port_instance(), &policy);
	setting->put(&policy, value);
	return mhp_set_policy(port_instance(), &policy);
}

int
settings_set(const char *name, const char *value)
{
	for (unsigned i = 0; i < NR_SETTINGS; i++) {
		if (!text_equal(name, settings[i].name))
			continue;
		for (unsigned v = 0; v < VALUES_MAX && settings[i].values[v] != NULL; v++) {
			if (text_equal(value, settings[i].values[v]))
				return put(&settings[i], v);
		}
		return MHP_EINVAL;
	}
	return MHP_ENOENT;
}

bool
settings_show(const char *name)
{
	struct mhp_policy policy;
	bool found = false;

	mhp_get_policy(port_instance(), &policy);
	for (unsigned i = 0; i < NR_SETTINGS; i++) {
		if (name != NULL && !text_equal(name, settings[i].name))
			continue;
		say("%s %s\n", settings[i].name, settings[i].values[settings[i].get(&policy)]);
		found = true;
	}
	return found;
}

void
settings_init(void)
{
	int error = settings_set("auto_online_blocks", "online_movable");

	for (unsigned i = 0; i < NR_SETTINGS; i++) {
		const char *value = bootmem_option(settings[i].name, NULL);
		if (error == 0 && value != NULL)
			error = settings_set(settings[i].name, value);
		if (error != 0)
			say("refused %s: %s\n", error_text(error), settings[i].name);
	}
}
