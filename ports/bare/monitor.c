/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - the command's verbs on a serial line, and a few that only make sense on bare metal.
 *
 * One table of verbs; each gets the rest of its line and returns an error of the engine's, for
 * which the reason has been printed. If a verb finds something broken (contents, invariants), the
 * machine ends with a failure, so that a script cannot overlook it.
 */
#include "monitor.h"

#include "bootmem.h"
#include "console.h"
#include "error.h"
#include "figures.h"
#include "hotplug.h"
#include "pager.h"
#include "port.h"
#include "settings.h"
#include "show.h"
#include "smp.h"
#include "string.h"
#include "supply.h"
#include "teardown.h"
#include "trajectory.h"
#include "traps.h"

enum { SETS_MAX = 8, HELD_MAX = 64, LOAD_CPU = 1, LOAD_REFILL_EVERY = 64 };

static bool failed;
static uint16_t holder;             /* an owner whose pages cannot move */
static uint64_t held[HELD_MAX];
static unsigned nr_held;

bool
monitor_failed(void)
{
	return failed;
}

void
monitor_fail(void)
{
	failed = true;
}

int
monitor_init(void)
{
	return mhp_owner_register(port_instance(), "holder", NULL, NULL, &holder);
}

/* ---- arguments ---- */

/* "3", "3-7", "0x80000000-0x8fffffff" (bytes, last one included). */
static bool
read_run(const char **text, struct mhp_blocks *ret_blocks)
{
	uint64_t block_bytes = port_block_bytes(), first, last;
	bool bytes = (*text)[0] == '0' && (*text)[1] == 'x';

	if (!text_number(text, &first))
		return false;
	last = bytes ? first + block_bytes - 1 : first;
	if (**text == '-') {
		(*text)++;
		if (!text_number(text, &last) || last < first)
			return false;
	}
	if (bytes && (first % block_bytes != 0 || (last + 1) % block_bytes != 0))
		return false;
	first = bytes ? first / block_bytes : first;
	last = bytes ? last / block_bytes : last;
	*ret_blocks = (struct mhp_blocks){ (uint32_t)first, (uint32_t)(last - first + 1) };
	return first < UINT32_MAX && last < UINT32_MAX;
}

/* BLOCKS: runs with commas between. Returns how many; 0: malformed. */
static unsigned
read_blocks(char **rest, struct mhp_blocks *sets)
{
	const char *text = text_word(rest);
	unsigned nr = 0;

	while (text != NULL && nr < SETS_MAX) {
		if (!read_run(&text, &sets[nr++]))
			return 0;
		if (*text == '\0')
			return nr;
		if (*text++ != ',')
			return 0;
	}
	return 0;
}

static uint64_t
read_number(char **rest, uint64_t fallback)
{
	const char *text = text_word(rest);
	uint64_t value;

	return text != NULL && text_number(&text, &value) ? value : fallback;
}

static int
usage(const char *text)
{
	say("refused EINVAL: usage: %s\n", text);
	return MHP_EINVAL;
}

static int
answer(int error)
{
	if (error != 0)
		say("refused %s\n", error_text(error));
	return error;
}

/* ---- verbs ---- */

static int
verb_list(char *rest)
{
	(void)rest;
	show_list();
	return 0;
}

static int
verb_map(char *rest)
{
	(void)rest;
	show_map();
	return 0;
}

static int
verb_get(char *rest)
{
	const char *name = text_word(&rest);
	bool is_setting = settings_show(name);

	return show_attributes(name) || is_setting ? 0 : answer(MHP_ENOENT);
}

static int
verb_set(char *rest)
{
	const char *name = text_word(&rest), *value = text_word(&rest);

	return name == NULL || value == NULL ? usage("set ATTR VALUE") :
					       answer(settings_set(name, value));
}

static int
verb_add(char *rest)
{
	struct mhp_blocks sets[SETS_MAX];
	unsigned nr = read_blocks(&rest, sets);
	int error = 0;

	if (nr == 0)
		return usage("add BLOCKS: of memory that is there; a DIMM adds itself");
	for (unsigned i = 0; i < nr && error == 0; i++)
		error = supply_add(sets[i]);
	return error;
}

static int
verb_resize(char *rest)
{
	uint64_t bytes = read_number(&rest, UINT64_MAX);

	return bytes == UINT64_MAX ? usage("resize SIZE") : supply_resize(bytes);
}

static void
say_event(const struct mhp_event *event)
{
	say("event %lu %s blocks %u+%u", event->seq, mhp_event_name(event->kind), event->block,
	    event->nr_blocks);
	if (event->error != 0)
		say(" %s %s", error_text(event->error),
		    mhp_cause_name((enum mhp_cause)event->cause));
	say(" pages %lu took %lu us\n", event->pages, event->took_ns / 1000);
}

static int
verb_monitor(char *rest)
{
	const char *word = text_word(&rest);

	port_listen(word != NULL && text_equal(word, "off") ? NULL : say_event);
	return 0;
}

static int
verb_online(char *rest)
{
	struct mhp_blocks sets[SETS_MAX];
	unsigned nr = read_blocks(&rest, sets);
	const char *word = text_word(&rest);
	struct mhp_online_opts opts = { .zone = MHP_ZONE_DEFAULT };
	struct mhp_why why = { .pfn = MHP_PFN_NONE };

	if (word != NULL)
		opts.zone = text_equal(word, "movable") ? MHP_ZONE_MOVABLE : MHP_ZONE_NORMAL;
	if (nr == 0)
		return usage("online BLOCKS [movable|kernel]");
	int error = mhp_online(port_instance(), sets, nr, &opts, &why);
	if (error != 0)
		error_say(error, &why);
	return error;
}

static int
offline(char *rest, bool dry_run, const char *text)
{
	struct mhp_blocks sets[SETS_MAX];
	unsigned nr = read_blocks(&rest, sets);
	struct mhp_offline_opts opts = { .dry_run = dry_run };
	struct mhp_why why = { .pfn = MHP_PFN_NONE };

	opts.deadline_ms = (uint32_t)read_number(&rest, 0);
	if (nr == 0)
		return usage(text);
	int error = mhp_offline(port_instance(), sets, nr, &opts, &why);
	if (error != 0)
		error_say(error, &why);
	return error;
}

static int
verb_offline(char *rest)
{
	return offline(rest, false, "offline BLOCKS [DEADLINE_MS]");
}

static int
verb_why(char *rest)
{
	return offline(rest, true, "why BLOCKS");
}

static int
verb_remove(char *rest)
{
	struct mhp_blocks sets[SETS_MAX];
	unsigned nr = read_blocks(&rest, sets);
	struct mhp_why why = { .pfn = MHP_PFN_NONE };

	if (nr == 0)
		return usage("remove BLOCKS");
	int error = mhp_remove(port_instance(), sets, nr, NULL, &why);
	if (error != 0)
		error_say(error, &why);
	else
		supply_release();
	return error;
}

static int
verb_fill(char *rest)
{
	uint64_t bytes = read_number(&rest, 0);

	if (bytes == 0)
		return usage("fill SIZE");
	int error = pager_fill(bytes >> PAGE_SHIFT);
	say("%lu pages mapped\n", pager_nr_pages());
	return answer(error);
}

static int
verb_empty(char *rest)
{
	(void)rest;
	pager_empty();
	return 0;
}

static int
verb_verify(char *rest)
{
	uint64_t nr_wrong = pager_verify();

	(void)rest;
	say("%lu pages intact, %lu wrong\n", pager_nr_pages() - nr_wrong, nr_wrong);
	failed |= nr_wrong != 0;
	return nr_wrong == 0 ? 0 : answer(MHP_EIO);
}

static int
verb_pin(char *rest)
{
	return answer(pager_pin(read_number(&rest, 0), true));
}

static int
verb_unpin(char *rest)
{
	return answer(pager_pin(read_number(&rest, 0), false));
}

static int
verb_hold(char *rest)
{
	struct mhp_page_req req = { .owner = holder };

	(void)rest;
	if (nr_held == HELD_MAX)
		return answer(MHP_ENOSPC);
	int error = mhp_page_alloc(port_instance(), req, &held[nr_held]);
	nr_held += error == 0;
	return answer(error);
}

static int
verb_release(char *rest)
{
	(void)rest;
	while (nr_held > 0 && mhp_page_free(port_instance(), held[nr_held - 1]) == 0)
		nr_held--;
	return 0;
}

static int
verb_load(char *rest)
{
	return answer(pager_load_start(LOAD_CPU, read_number(&rest, LOAD_REFILL_EVERY)));
}

static int
verb_pace(char *rest)
{
	pager_load_pace(read_number(&rest, 0));
	return 0;
}

static int
verb_stop(char *rest)
{
	struct pager_load load = pager_load_stop(LOAD_CPU);

	(void)rest;
	/* How far it came depends on the host; that it lost nothing does not. */
	say("%lu writes, %lu refills, %lu lost\n", load.writes, load.refills, load.lost);
	failed |= load.lost != 0;
	return load.lost == 0 ? 0 : answer(MHP_EIO);
}

static int
verb_touch(char *rest)
{
	uint64_t at = DIRECT_MAP + read_number(&rest, 0);
	bool reads = trap_probe_read((const volatile void *)at);
	bool writes = trap_probe_write((volatile void *)at);

	say("touch: read %s, write %s\n", reads ? "works" : "faults", writes ? "works" : "faults");
	return 0;
}

static int
verb_describe(char *rest)
{
	uint64_t at = port_memmap_address(read_number(&rest, 0));

	say("descriptor: read %s\n",
	    trap_probe_read((const volatile void *)at) ? "works" : "faults");
	return 0;
}

static void
say_finding(void *ctx, const struct mhp_finding *finding)
{
	(void)ctx;
	say("invariant %u: %s at 0x%lx: have %lu, want %lu\n", finding->invariant, finding->what,
	    finding->where, finding->have, finding->want);
}

static int
verb_check(char *rest)
{
	(void)rest;
	int nr = mhp_check(port_instance(), false, say_finding, NULL);
	say("%d findings, digest %016lx\n", nr, mhp_digest(port_instance()));
	failed |= nr != 0;
	return nr == 0 ? 0 : answer(MHP_EIO);
}

/* R27: from the last section nothing may fault, from the first something must. */
static int
verb_teardown(char *rest)
{
	struct mhp_blocks blocks;
	const char *text = text_word(&rest);
	unsigned backward = 0, forward = 0;

	if (text == NULL || !read_run(&text, &blocks))
		return usage("teardown BLOCK");
	int error = teardown_try(blocks.first, false, &backward);
	if (error == 0)
		error = teardown_try(blocks.first, true, &forward);
	if (error != 0)
		return answer(error);
	say("teardown: %u looks fault from the last section, %u from the first\n", backward,
	    forward);
	failed |= backward != 0 || forward == 0;
	return backward == 0 && forward != 0 ? 0 : answer(MHP_EIO);
}

/* Run off the stack. Not a tail call: the caller's frame is used afterwards. */
static unsigned
overflow(volatile unsigned *depth)
{
	volatile unsigned here[64] = { *depth + 1 };

	if (here[0] == 0)
		return 0;
	return overflow(here) + here[0];
}

static void
overflow_work(void *arg)
{
	volatile unsigned depth = 0;

	(void)arg;
	(void)overflow(&depth);
}

static int
verb_overflow(char *rest)
{
	unsigned cpu = (unsigned)read_number(&rest, 0);

	if (cpu != 0)
		return answer(smp_run(cpu, overflow_work, NULL) ? 0 : MHP_EBUSY);
	overflow_work(NULL);
	return 0;
}

static int
verb_figures(char *rest)
{
	struct mhp_blocks blocks;
	const char *text = text_word(&rest);

	if (text == NULL || !read_run(&text, &blocks))
		return usage("figures BLOCK");
	return answer(figures_print(blocks.first));
}

static void
say_digest(void *ctx, uint64_t op, uint64_t digest)
{
	(void)ctx;
	say("digest: %lu %016lx\n", op, digest);
}

/* All of the blocks' memory stays plugged; the engine gets to see it as it comes and goes. */
static int
verb_trajectory(char *rest)
{
	static struct trajectory t;
	const struct mhp_geometry *geo = mhp_get_geometry(port_instance());
	struct mhp_blocks sets[SETS_MAX];

	t = (struct trajectory){ .m = port_instance(), .report = say_digest };
	if (read_blocks(&rest, sets) != 1)
		return usage("trajectory BLOCKS SEED OPS");
	t.blocks = sets[0];
	t.seed = read_number(&rest, 1);
	t.nr_ops = read_number(&rest, TRAJECTORY_REPORT_EVERY);
	struct mhp_span span = { { t.blocks.first * port_block_bytes() },
				 t.blocks.count * port_block_bytes() };
	int error = hotplug_remove(span);
	if (error != 0)
		return error;
	say("trajectory: %u %u %u %u %u %u %u %u %u %u %lu %lu\n", geo->page_shift,
	    geo->pageblock_order, geo->section_order, geo->block_order, geo->nr_nodes, geo->nr_cpus,
	    geo->nr_blocks, geo->nr_bad_pages, t.blocks.first, t.blocks.count, t.seed, t.nr_ops);
	error = trajectory_run(&t);
	failed |= error != 0;
	return answer(error);
}

static int verb_help(char *rest);

static const struct verb {
	const char *name;
	int (*run)(char *rest);
	const char *help;
} verbs[] = {
	{ "help", verb_help, "" },
	{ "list", verb_list, "ranges of like blocks" },
	{ "map", verb_map, "a picture of all blocks" },
	{ "online", verb_online, "BLOCKS [movable|kernel]" },
	{ "offline", verb_offline, "BLOCKS [DEADLINE_MS]" },
	{ "remove", verb_remove, "BLOCKS: offline first where needed; ejects DIMMs left empty" },
	{ "why", verb_why, "BLOCKS: what keeps them from leaving" },
	{ "add", verb_add, "BLOCKS: whose memory is there, but was removed by hand" },
	{ "resize", verb_resize, "SIZE: add or remove blocks until there is that much" },
	{ "get", verb_get, "[ATTR]" },
	{ "set", verb_set, "ATTR VALUE" },
	{ "monitor", verb_monitor, "[off]: say what happens as it happens" },
	{ "check", verb_check, "run the verifier" },
	{ "fill", verb_fill, "SIZE: map that much and write to it" },
	{ "verify", verb_verify, "read it all back" },
	{ "empty", verb_empty, "free it" },
	{ "pin", verb_pin, "PAGE: of what was filled; it does not move then" },
	{ "unpin", verb_unpin, "PAGE" },
	{ "hold", verb_hold, "take a page that cannot move" },
	{ "release", verb_release, "give those back" },
	{ "load", verb_load, "[N]: let CPU 1 write to it, and refill a page every N writes" },
	{ "pace", verb_pace, "WRITES: wait until it has written that often" },
	{ "stop", verb_stop, "stop it, and say what was lost" },
	{ "touch", verb_touch, "ADDRESS: is this memory mapped?" },
	{ "descriptor", verb_describe, "ADDRESS: is the descriptor of this memory mapped?" },
	{ "teardown", verb_teardown, "BLOCK: unmap and map it again by sections, both ways" },
	{ "overflow", verb_overflow, "[CPU]: run off its stack, which ends the machine" },
	{ "figures", verb_figures, "BLOCK: cycles of add, online, offline, remove" },
	{ "trajectory", verb_trajectory, "BLOCKS SEED OPS: random operations, with digests" },
	{ "quit", NULL, "switch off" },
};

static int
verb_help(char *rest)
{
	(void)rest;
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		say("%10s %s\n", verbs[i].name, verbs[i].help);
	return 0;
}

bool
monitor_command(char *line)
{
	const char *name = text_word(&line);

	for (unsigned i = 0; name != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!text_equal(name, verbs[i].name))
			continue;
		if (verbs[i].run == NULL)
			return false;
		if (verbs[i].run(line) == 0)
			say("ok %s\n", name);
		return true;
	}
	if (name != NULL)
		say("refused EINVAL: no such command, try help\n");
	return true;
}
