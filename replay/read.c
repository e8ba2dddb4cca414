/* SPDX-License-Identifier: MIT */
/*
 * read.c - the lines of a recording: parse; refuse what is not one in a sentence, with its line.
 *
 * Lines come from a file that anybody may have edited: every member that is used is looked at for
 * type and range here, so that those who use it need not.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

const char *const mhp__replay_states[5] = {
	"absent", "offline", "going-online", "online", "going-offline",
};
const char *const mhp__replay_places[3] = { "self", "node", "external" };

static const char *const zone_words[] = { "Normal", "Movable", "together", "default" };
static const unsigned zone_values[] = {
	MHP_ZONE_NORMAL, MHP_ZONE_MOVABLE, MHP_ZONE_TOGETHER, MHP_ZONE_DEFAULT,
};

const char *
mhp__replay_zone(unsigned zone)
{
	for (unsigned i = 0; i < 4; i++)
		if (zone_values[i] == zone)
			return zone_words[i];
	return "?";
}

static bool wrong(struct mhp__replay_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool
wrong(struct mhp__replay_reader *reader, const char *format, ...)
{
	char sentence[300];
	va_list args;
	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	snprintf(reader->text, MHP__REPLAY_TEXT, "line %" PRIu64 ": %s",
		 reader->nr_lines != 0 ? reader->nr_lines : 1, sentence);
	return false;
}

/* ---- members ---- */

static bool
get_member(struct mhp__replay_reader *reader, struct json_object *object, const char *name,
	   enum json_type type, struct json_object **ret_member)
{
	if (!json_object_object_get_ex(object, name, ret_member))
		return wrong(reader, "there is no \"%s\"", name);
	if (!json_object_is_type(*ret_member, type))
		return wrong(reader, "\"%s\" is no %s", name,
			     type == json_type_int ? "whole number" : json_type_to_name(type));
	return true;
}

static bool
get_number(struct mhp__replay_reader *reader, struct json_object *object, const char *name,
	   uint64_t max, uint64_t *ret_value)
{
	struct json_object *member;
	if (!get_member(reader, object, name, json_type_int, &member))
		return false;
	int64_t value = json_object_get_int64(member);
	if (value < 0 || (uint64_t)value > max)
		return wrong(reader, "\"%s\" is out of range", name);
	*ret_value = (uint64_t)value;
	return true;
}

static bool
get_error(struct mhp__replay_reader *reader, struct json_object *object, int *ret_error)
{
	struct json_object *member;
	if (!get_member(reader, object, "error", json_type_int, &member))
		return false;
	int64_t value = json_object_get_int64(member);
	if (value > 0 || value < -4095)
		return wrong(reader, "\"error\" is out of range");
	*ret_error = (int)value;
	return true;
}

static bool
get_word(struct mhp__replay_reader *reader, struct json_object *object, const char *name,
	 const char *const *words, unsigned nr_words, unsigned *ret_index)
{
	struct json_object *member;
	if (!get_member(reader, object, name, json_type_string, &member))
		return false;
	for (unsigned i = 0; i < nr_words; i++)
		if (strcmp(words[i], json_object_get_string(member)) == 0) {
			*ret_index = i;
			return true;
		}
	return wrong(reader, "\"%s\" cannot be '%.40s'", name, json_object_get_string(member));
}

static bool
get_bool(struct mhp__replay_reader *reader, struct json_object *object, const char *name,
	 bool *ret_value)
{
	struct json_object *member;
	if (!get_member(reader, object, name, json_type_boolean, &member))
		return false;
	*ret_value = json_object_get_boolean(member);
	return true;
}

static bool
get_zone(struct mhp__replay_reader *reader, struct json_object *object, const char *name,
	 unsigned *ret_zone)
{
	unsigned i = 0;
	if (!get_word(reader, object, name, zone_words, 4, &i))
		return false;
	*ret_zone = zone_values[i];
	return true;
}

static bool
get_node(struct mhp__replay_reader *reader, struct json_object *object, const char *name,
	 unsigned *ret_node)
{
	uint64_t node = 0;
	if (!get_number(reader, object, name, MHP_NODES_MAX - 1, &node))
		return false;
	*ret_node = (unsigned)node;
	return true;
}

static bool
get_policy(struct mhp__replay_reader *reader, struct json_object *object,
	   struct mhp_policy *ret_policy, enum mhp_memmap_switch *ret_switch)
{
	static const char *const onlines[] = { "contig-zones", "auto-movable" };
	static const char *const autos[] = {
		"offline", "online", "online_kernel", "online_movable",
	};
	static const char *const switches[] = { "off", "on", "force" };
	struct json_object *policy;
	unsigned online = 0, auto_online = 0, memmap = 0;
	uint64_t attempts = 0, ratio = 0;

	if (!get_member(reader, object, "policy", json_type_object, &policy) ||
	    !get_word(reader, policy, "online_policy", onlines, 2, &online) ||
	    !get_word(reader, policy, "auto_online_blocks", autos, 4, &auto_online) ||
	    !get_word(reader, policy, "memmap_on_memory", switches, 3, &memmap) ||
	    !get_number(reader, policy, "auto_online_attempts", UINT32_MAX, &attempts) ||
	    !get_number(reader, policy, "auto_movable_ratio", UINT32_MAX, &ratio) ||
	    !get_bool(reader, policy, "auto_movable_numa_aware",
		      &ret_policy->auto_movable_numa_aware) ||
	    !get_bool(reader, policy, "strict", &ret_policy->strict))
		return false;
	ret_policy->online_policy = (enum mhp_online_policy)online;
	ret_policy->auto_online = (enum mhp_auto_online)auto_online;
	ret_policy->auto_online_attempts = (uint32_t)attempts;
	ret_policy->auto_movable_ratio = (uint32_t)ratio;
	*ret_switch = (enum mhp_memmap_switch)memmap;
	return true;
}

/* A run of blocks that lies in the pool; any at all where that was refused. */
static bool
get_blocks(struct mhp__replay_reader *reader, struct json_object *object, const char *first_name,
	   bool may_be_odd, struct mhp_blocks *ret_blocks)
{
	uint32_t nr_blocks = reader->geometry.nr_blocks;
	uint64_t first = 0, count = 0;
	if (!get_number(reader, object, first_name, UINT32_MAX, &first) ||
	    !get_number(reader, object, "count", UINT32_MAX, &count))
		return false;
	if (!may_be_odd && (count == 0 || first + count > nr_blocks))
		return wrong(reader, "it names no blocks of this pool");
	*ret_blocks = (struct mhp_blocks){ (uint32_t)first, (uint32_t)count };
	return true;
}

/* ---- lines ---- */

/* Parse the next line into reader->object; false without a text: there is none. */
static bool
next_line(struct mhp__replay_reader *reader)
{
	json_object_put(reader->object);
	reader->object = NULL;
	ssize_t length = getline(&reader->line, &reader->room, reader->file);
	if (length <= 0)
		return false;
	reader->nr_lines++;
	if (reader->line[length - 1] != '\n')
		return wrong(reader, "it ends in the middle");
	struct json_tokener *tokener = json_tokener_new();
	if (tokener == NULL)
		return wrong(reader, "there is no memory to read it");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	reader->object = json_tokener_parse_ex(tokener, reader->line, (int)length - 1);
	bool whole = json_tokener_get_error(tokener) == json_tokener_success &&
		     json_object_is_type(reader->object, json_type_object);
	json_tokener_free(tokener);
	return whole || wrong(reader, "this is no line of a recording");
}

static bool
get_geometry(struct mhp__replay_reader *reader)
{
	struct mhp_geometry *geo = &reader->geometry;
	struct json_object *object;
	uint64_t page = 0, pageblock = 0, section = 0, block = 0, nodes = 0, cpus = 0, blocks = 0;
	uint64_t bad = 0;

	if (!get_member(reader, reader->object, "geometry", json_type_object, &object) ||
	    !get_number(reader, object, "page_shift", 16, &page) ||
	    !get_number(reader, object, "pageblock_order", MHP_PAGEBLOCK_ORDER_MAX, &pageblock) ||
	    !get_number(reader, object, "section_order", 30, &section) ||
	    !get_number(reader, object, "block_order", 30, &block) ||
	    !get_number(reader, object, "nr_nodes", MHP_NODES_MAX, &nodes) ||
	    !get_number(reader, object, "nr_cpus", MHP_CPUS_MAX, &cpus) ||
	    !get_number(reader, object, "nr_blocks", 1U << 24, &blocks) ||
	    !get_number(reader, object, "nr_bad_pages", 1U << 24, &bad))
		return false;
	*geo = (struct mhp_geometry){
		.page_shift = (uint8_t)page, .pageblock_order = (uint8_t)pageblock,
		.section_order = (uint8_t)section, .block_order = (uint8_t)block,
		.nr_nodes = (uint16_t)nodes, .nr_cpus = (uint16_t)cpus,
		.nr_blocks = (uint32_t)blocks, .nr_bad_pages = (uint32_t)bad,
	};
	return true;
}

bool
mhp__replay_read_first(struct mhp__replay_reader *reader)
{
	struct json_object *member;
	uint64_t version = 0;

	if (!next_line(reader))
		return reader->text[0] != 0 ? false : wrong(reader, "there is nothing");
	if (!json_object_object_get_ex(reader->object, "memplug", &member))
		return wrong(reader, "this is not the first line of a recording of `memplug "
				     "monitor --json`");
	if (!get_number(reader, reader->object, "memplug", 1, &version) ||
	    !get_number(reader, reader->object, "next", INT64_MAX, &reader->next) ||
	    !get_geometry(reader))
		return false;
	if (json_object_object_get_ex(reader->object, "ranges", &member) && member == NULL)
		return wrong(reader, "it does not say which blocks there were: record without "
				     "--since, or from the start with --since 1");
	if (!get_policy(reader, reader->object, &reader->policy, &reader->memmap_switch) ||
	    !get_member(reader, reader->object, "ranges", json_type_array, &member) ||
	    !get_member(reader, reader->object, "bad_pages", json_type_array, &member))
		return false;
	reader->first = json_object_get(reader->object);
	return true;
}

static struct json_object *
entry(const struct mhp__replay_reader *reader, const char *name, size_t i)
{
	struct json_object *array = NULL;
	json_object_object_get_ex(reader->first, name, &array);
	return i < json_object_array_length(array) ? json_object_array_get_idx(array, i) : NULL;
}

bool
mhp__replay_read_range(struct mhp__replay_reader *reader, size_t i, bool *ret_more,
		       struct mhp__replay_range *ret_range)
{
	static const char *const states[] = { "offline", "online", "going-offline" };
	struct json_object *object = entry(reader, "ranges", i);
	unsigned state = 0;
	uint64_t backing = 0;

	*ret_more = object != NULL;
	if (object == NULL)
		return true;
	if (!json_object_is_type(object, json_type_object))
		return wrong(reader, "\"ranges\" has an entry that is no range");
	if (!get_blocks(reader, object, "first", false, &ret_range->blocks) ||
	    !get_word(reader, object, "state", states, 3, &state) ||
	    !get_zone(reader, object, "zone", &ret_range->zone) ||
	    !get_node(reader, object, "node", &ret_range->node) ||
	    !get_word(reader, object, "memmap", mhp__replay_places, 3, &ret_range->placement) ||
	    !get_node(reader, object, "metadata_node", &ret_range->metadata_node) ||
	    !get_number(reader, object, "backing", UINT16_MAX, &backing) ||
	    !get_bool(reader, object, "boot", &ret_range->boot))
		return false;
	ret_range->state = state == 0 ? MHP_OFFLINE : MHP_ONLINE;
	ret_range->backing = (unsigned)backing;
	return true;
}

bool
mhp__replay_read_bad(struct mhp__replay_reader *reader, size_t i, bool *ret_more,
		     uint64_t *ret_pfn)
{
	struct json_object *number = entry(reader, "bad_pages", i);
	*ret_more = number != NULL;
	if (number == NULL)
		return true;
	if (!json_object_is_type(number, json_type_int) || json_object_get_int64(number) < 0)
		return wrong(reader, "\"bad_pages\" has an entry that is no page");
	*ret_pfn = (uint64_t)json_object_get_int64(number);
	return true;
}

/* ---- events ---- */

static bool
get_kind(struct mhp__replay_reader *reader, enum mhp_event_kind *ret_kind)
{
	const char *names[MHP_EV_KINDS];
	unsigned kind = 0;
	for (unsigned i = 0; i < MHP_EV_KINDS; i++)
		names[i] = mhp_event_name((enum mhp_event_kind)i);
	if (!get_word(reader, reader->object, "event", names, MHP_EV_KINDS, &kind))
		return false;
	*ret_kind = (enum mhp_event_kind)kind;
	return true;
}

static bool
get_add(struct mhp__replay_reader *reader, struct mhp_event *event)
{
	struct json_object *object = reader->object;
	uint64_t flags = 0, backing = 0, reserve = 0;
	unsigned place = 0, node = 0;

	if (!get_number(reader, object, "flags", UINT32_MAX, &flags) ||
	    !get_number(reader, object, "backing", UINT16_MAX, &backing))
		return false;
	if (event->kind == MHP_EV_ADD &&
	    (!get_word(reader, object, "memmap", mhp__replay_places, 3, &place) ||
	     !get_node(reader, object, "metadata_node", &node) ||
	     !get_number(reader, object, "nr_vmemmap_pages", UINT32_MAX, &reserve)))
		return false;
	event->flags = (uint32_t)flags;
	event->backing = (uint16_t)backing;
	event->placement = (uint8_t)place;
	event->metadata_node = (uint8_t)node;
	event->nr_vmemmap_pages = (uint32_t)reserve;
	return true;
}

static bool
get_failure(struct mhp__replay_reader *reader, struct mhp_event *event)
{
	const char *names[MHP_CAUSE_POLICY + 1];
	struct json_object *object = reader->object, *member;
	unsigned cause = MHP_CAUSE_NONE;
	uint64_t block = 0;

	for (unsigned i = 0; i <= MHP_CAUSE_POLICY; i++)
		names[i] = mhp_cause_name((enum mhp_cause)i);
	if (!get_error(reader, object, &event->error))
		return false;
	if (event->error == 0)
		return wrong(reader, "it failed without an error");
	if (json_object_object_get_ex(object, "cause", &member) &&
	    (!get_word(reader, object, "cause", names, MHP_CAUSE_POLICY + 1, &cause) ||
	     !get_number(reader, object, "cause_block", reader->geometry.nr_blocks - 1U, &block)))
		return false;
	event->cause = cause;
	event->cause_block = (uint32_t)block;
	return true;
}

static bool
get_pfn(struct mhp__replay_reader *reader, struct mhp_event *event)
{
	uint64_t end = (uint64_t)reader->geometry.nr_blocks << reader->geometry.block_order;
	return get_number(reader, reader->object, "pfn", end - 1, &event->pfn);
}

static bool
get_zones(struct mhp__replay_reader *reader, struct mhp_event *event)
{
	struct json_object *object = reader->object;
	enum mhp_event_kind kind = event->kind;
	unsigned zone = MHP_ZONE_DEFAULT, asked = MHP_ZONE_DEFAULT, node = 0;

	if (kind != MHP_EV_POLICY && !get_node(reader, object, "node", &node))
		return false;
	if ((kind == MHP_EV_ONLINE || kind == MHP_EV_OFFLINE) &&
	    !get_zone(reader, object, "zone", &zone))
		return false;
	if ((kind == MHP_EV_ONLINE || kind == MHP_EV_ONLINE_FAILED) &&
	    !get_zone(reader, object, "asked", &asked))
		return false;
	event->node = (uint8_t)node;
	event->zone = (uint8_t)zone;
	event->asked_zone = (uint8_t)asked;
	return true;
}

static bool
get_details(struct mhp__replay_reader *reader, struct mhp__replay_event *to)
{
	struct mhp_event *event = &to->event;
	struct json_object *member;
	bool failed = event->kind == MHP_EV_ADD_FAILED || event->kind == MHP_EV_ONLINE_FAILED ||
		      event->kind == MHP_EV_OFFLINE_FAILED ||
		      event->kind == MHP_EV_MOVE_FAILED;
	bool page = event->kind == MHP_EV_BAD_PAGE || event->kind == MHP_EV_GOOD_PAGE;

	if (event->kind == MHP_EV_POLICY)
		return get_policy(reader, reader->object, &to->policy, &to->memmap_switch);
	if (event->kind == MHP_EV_ADD || event->kind == MHP_EV_ADD_FAILED) {
		if (!get_add(reader, event))
			return false;
	}
	if (event->kind == MHP_EV_ADD || event->kind == MHP_EV_ONLINE ||
	    event->kind == MHP_EV_REMOVE) {
		if (!get_number(reader, reader->object, "pages", INT64_MAX, &event->pages))
			return false;
	}
	if (failed && !get_failure(reader, event))
		return false;
	if (page && !get_error(reader, reader->object, &event->error))
		return false;
	if (page || (failed && json_object_object_get_ex(reader->object, "pfn", &member)))
		return get_pfn(reader, event);
	return true;
}

static bool
get_event(struct mhp__replay_reader *reader, struct mhp__replay_event *to)
{
	struct mhp_event *event = &to->event;
	struct mhp_blocks blocks = { 0, 0 };
	unsigned state = 0;

	memset(to, 0, sizeof(*to));
	event->pfn = MHP_PFN_NONE;
	event->seq = reader->next;
	if (!get_kind(reader, &event->kind) || !get_zones(reader, event))
		return false;
	if (event->kind != MHP_EV_POLICY && event->kind != MHP_EV_COMPACT &&
	    event->kind != MHP_EV_LIMIT && event->kind != MHP_EV_TIER &&
	    event->kind != MHP_EV_FOLLOW &&
	    (!get_blocks(reader, reader->object, "block",
			 event->kind == MHP_EV_ADD_FAILED || event->kind == MHP_EV_ONLINE_FAILED,
			 &blocks) ||
	     !get_word(reader, reader->object, "state", mhp__replay_states, 5, &state)))
		return false;
	event->block = blocks.first;
	event->nr_blocks = blocks.count;
	event->state = (uint8_t)state;
	return get_details(reader, to);
}

bool
mhp__replay_read_event(struct mhp__replay_reader *reader, struct mhp__replay_event *ret_event)
{
	struct json_object *member;
	uint64_t seq = 0;

	if (!next_line(reader))
		return false;
	if (json_object_object_get_ex(reader->object, "missed", &member))
		return wrong(reader, "%" PRId64 " events from number %" PRIu64 " on are missing: "
			     "they were not recorded in time", json_object_get_int64(member),
			     reader->next);
	if (!get_number(reader, reader->object, "seq", INT64_MAX, &seq))
		return false;
	if (seq != reader->next)
		return wrong(reader, "event %" PRIu64 " is where event %" PRIu64 " should be", seq,
			     reader->next);
	if (!get_event(reader, ret_event))
		return false;
	reader->next++;
	return true;
}

void
mhp__replay_close(struct mhp__replay_reader *reader)
{
	json_object_put(reader->object);
	json_object_put(reader->first);
	free(reader->line);
}
