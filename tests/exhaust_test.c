/* SPDX-License-Identifier: MIT */
/*
 * exhaust_test.c - small machines, explored to the end.
 *
 * From a fresh instance every operation of a machine's alphabet is tried in every state that can be
 * reached, breadth first, each from a snapshot. A state is what mhp_digest() says it is, with the
 * caches drained; the reference model walks along. Every transition is held against the model and
 * the verifier; a digest that is met again must belong to the same state of the model, so that the
 * digest itself is tested too. Small means a few frames: then all of them can be in any use.
 */
#include <stdlib.h>

#include "model.h"

#define OPS_MAX 512U
#define BLOCKS 3U
#define META_BYTES (128U * MHP_PAGE_BYTES) /* enough for all blocks; snapshots include it */
#define WORD sizeof(uint64_t)

enum op_kind {
	OP_ADD,                    /* a: block, b: enum variant */
	OP_ONLINE,                 /* a: first block, b: count, c: zone */
	OP_OFFLINE,                /* a: mask of blocks */
	OP_OFFLINE_DRY,
	OP_OFFLINE_VETO,           /* a listener refuses the last block */
	OP_OFFLINE_BREAK,          /* the owner fails to move the second page */
	OP_REMOVE,                 /* a: mask of blocks */
	OP_SWAP,                   /* a plan: block a comes, mask b goes */
	OP_ALLOC,                  /* a: owner, b: order, c: node */
	OP_CONTIG,                 /* a: owner, b: pages */
	OP_FREE,                   /* a: pfn */
	OP_SPLIT,                  /* a: pfn */
	OP_BAD,                    /* a: pfn */
	OP_GOOD,                   /* a: pfn; forget that it is bad */
	OP_COMPACT,                /* a: node, b: zone */
};

enum variant {
	VARIANT_SELF,
	VARIANT_EXTERNAL,
	VARIANT_BOOT,
	VARIANT_NODE_0,            /* metadata on node 0 */
	VARIANT_NODE_1,
};

#define SELF (1U << VARIANT_SELF)
#define EXTERNAL (1U << VARIANT_EXTERNAL)
#define BOOT (1U << VARIANT_BOOT)
#define NODE_0 (1U << VARIANT_NODE_0)
#define NODE_1 (1U << VARIANT_NODE_1)

enum owner_kind {
	MOVER,
	STAYER,                    /* cannot move */
	CLINGER,                   /* can move, but never wants to */
	OWNERS,
};

struct op {
	uint8_t kind, a, b, c;
};

/* A machine and what is done with it. */
struct machine {
	struct mhp_geometry geo;
	unsigned variants[BLOCKS]; /* bits of enum variant */
	unsigned nr_owners;        /* of enum owner_kind */
	unsigned order_max;
	unsigned nr_pages_max;     /* allocated at a time; 0: no bound */
	unsigned nr_bad_max;
	uint64_t bad_frames;       /* bits: pfns that may turn bad */
	bool plans, contig, compact, splits;
};

/* A state that was seen. */
struct state {
	uint64_t digest, model;
	uint32_t parent;
	struct op op;              /* that led here from the parent */
};

struct world {
	const struct machine *machine;
	struct test_pool pool;
	struct model *model;
	size_t model_bytes, snapshot_bytes;
	uint16_t owners[OWNERS];
	unsigned break_after;      /* moves until migrate fails; 0: it never does */
	uint32_t veto_block;       /* UINT32_MAX: nobody refuses */
	struct op ops[OPS_MAX];
	unsigned nr_ops;

	struct state *states;
	uint32_t nr_states, max_states;
	uint32_t *slots;           /* hash table of states, index + 1 */
	uint32_t nr_slots;
	uint64_t **packed;         /* snapshots of states that were not expanded yet */
	uint64_t *base, *scratch, *before; /* snapshot and model behind it */
	uint64_t nr_transitions;
	char path[160], op_names[OPS_MAX][24];
};

static struct world world;

/* ---- owners and listener ---- */

static int
hold(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)pfn;
	(void)order;
	CHECK_EQ(cookie, *(const uint16_t *)ctx);
	return ctx == &world.owners[CLINGER] ? MHP_EBUSY : 0;
}

static uint64_t *
word_of(uint64_t pfn)
{
	return mhp_pfn_to_virt(world.pool.m, pfn);
}

static void
move_run(const struct mhp_move *move)
{
	uint64_t done = 0;

	while (done < move->nr_pages) {
		struct mhp_frame frame = mhp_frame_peek(world.pool.m, move->src_pfn + done);
		CHECK_EQ(frame.state, MHP_FRAME_USED);
		model_move(world.model, move->src_pfn + done, move->dst_pfn + done, frame.order);
		done += UINT64_C(1) << frame.order;
	}
	CHECK_EQ(done, move->nr_pages);
	memcpy(word_of(move->dst_pfn), word_of(move->src_pfn),
	       move->nr_pages * world.pool.page_bytes);
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx;
	for (*ret_done = 0; *ret_done < nr_moves; ++*ret_done) {
		if (world.break_after == 1)
			return MHP_EIO;
		world.break_after -= world.break_after != 0;
		move_run(&moves[*ret_done]);
	}
	return 0;
}

static void
put_back(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)pfn;
	(void)order;
	CHECK_EQ(cookie, *(const uint16_t *)ctx);
}

static const struct mhp_movable_ops movable_ops = { hold, migrate, put_back, NULL };

static bool
refuses(const void *ctx, uint16_t owner, uint64_t cookie)
{
	(void)ctx;
	(void)cookie;
	return owner == world.owners[CLINGER];
}

static int
listen(void *ctx, const struct mhp_notice *notice)
{
	uint64_t block = notice->start_pfn / world.pool.block_pages;

	(void)ctx;
	if (notice->kind == MHP_GOING_OFFLINE_NOTICE && block == world.veto_block)
		return MHP_EPERM;
	return 0;
}

/* ---- bringing it up ---- */

static const struct mhp_port_caps no_caps;

static uint8_t
node_of(unsigned block)
{
	return block == BLOCKS - 1 ? 1 : 0;
}

static void
open_world(const struct machine *machine)
{
	struct test_pool_opts opts = { .geometry = &machine->geo, .plain = true, .no_fault = true,
				       .meta_bytes = META_BYTES, .caps = no_caps };
	static const char *const names[OWNERS] = { "mover", "stayer", "clinger" };
	uint16_t id;

	world = (struct world){ .machine = machine, .veto_block = UINT32_MAX };
	test_pool_open(&world.pool, &opts);
	world.model_bytes = (model_bytes(&machine->geo) + WORD - 1) / WORD * WORD;
	world.model = calloc(1, world.model_bytes);
	CHECK(world.model != NULL);
	model_init(world.model, &world.pool.config, opts.meta_bytes);
	world.model->refuses = refuses;
	for (unsigned i = 0; i < machine->nr_owners; i++) {
		CHECK_OK(mhp_owner_register(world.pool.m, names[i],
					    i == STAYER ? NULL : &movable_ops, &world.owners[i],
					    &world.owners[i]));
		world.model->owners |= UINT64_C(1) << world.owners[i];
		if (i != STAYER)
			world.model->movable_owners |= UINT64_C(1) << world.owners[i];
	}
	CHECK_OK(mhp_listener_add(world.pool.m, listen, NULL, 0, &id));
}

static void
op(unsigned kind, unsigned a, unsigned b, unsigned c)
{
	CHECK(world.nr_ops < OPS_MAX);
	world.ops[world.nr_ops++] = (struct op){ (uint8_t)kind, (uint8_t)a, (uint8_t)b,
						 (uint8_t)c };
}

static void
list_block_ops(const struct machine *machine)
{
	for (unsigned block = 0; block < BLOCKS; block++)
		for (unsigned variant = 0; variant <= VARIANT_NODE_1; variant++)
			if ((machine->variants[block] >> variant & 1) != 0)
				op(OP_ADD, block, variant, 0);
	for (unsigned first = 0; first < BLOCKS; first++)
		for (unsigned zone = MHP_ZONE_NORMAL; zone <= MHP_ZONE_MOVABLE; zone++)
			op(OP_ONLINE, first, 1, zone);
	op(OP_ONLINE, 0, 2, MHP_ZONE_DEFAULT);
	op(OP_ONLINE, 1, 2, MHP_ZONE_MOVABLE);
	for (unsigned mask = 1; mask < 1U << BLOCKS; mask++) {
		op(OP_OFFLINE, mask, 0, 0);
		op(OP_OFFLINE_DRY, mask, 0, 0);
		op(OP_OFFLINE_BREAK, mask, 0, 0);
		op(OP_REMOVE, mask, 0, 0);
	}
	op(OP_OFFLINE_VETO, 3, 0, 0);
	for (unsigned block = 0; block < BLOCKS && machine->plans; block++)
		for (unsigned mask = 1; mask < 1U << BLOCKS; mask++)
			if ((mask >> block & 1) == 0 && (machine->variants[block] & SELF) != 0)
				op(OP_SWAP, block, mask, 0);
}

static void
list_page_ops(const struct machine *machine)
{
	unsigned nr_frames = BLOCKS << machine->geo.block_order;

	for (unsigned owner = 0; owner < machine->nr_owners; owner++)
		for (unsigned order = 0; order <= machine->order_max; order++)
			for (unsigned node = 0; node < 2; node++)
				op(OP_ALLOC, owner, order, node);
	for (unsigned pfn = 0; pfn < nr_frames; pfn++) {
		op(OP_FREE, pfn, 0, 0);
		if (machine->splits)
			op(OP_SPLIT, pfn, 0, 0);
		if ((machine->bad_frames >> pfn & 1) != 0) {
			op(OP_BAD, pfn, 0, 0);
			op(OP_GOOD, pfn, 0, 0);
		}
	}
	for (unsigned nr = 3; machine->contig && nr <= 5; nr += 2)
		op(OP_CONTIG, MOVER, nr, 0);
	for (unsigned i = 0; i < 4 && machine->compact; i++)
		op(OP_COMPACT, i / 2, MHP_ZONE_NORMAL + i % 2, 0);
}

/* ---- doing one operation, on both sides ---- */

static unsigned
variant_flags(unsigned variant)
{
	static const unsigned flags[] = {
		[VARIANT_SELF] = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE,
		[VARIANT_EXTERNAL] = 0,
		[VARIANT_BOOT] = MHP_ADD_BOOT,
		[VARIANT_NODE_0] = MHP_MEMMAP_ON_NODE,
		[VARIANT_NODE_1] = MHP_MEMMAP_ON_NODE,
	};
	return flags[variant];
}

static struct mhp_add_opts
variant_opts(unsigned block, unsigned variant)
{
	return (struct mhp_add_opts){ .flags = variant_flags(variant), .node = node_of(block),
				      .metadata_node = variant == VARIANT_NODE_1 };
}

static int
do_add(const struct op *it)
{
	struct mhp_add_opts opts = variant_opts(it->a, it->b);
	struct mhp_blocks blocks = { it->a, 1 };
	struct model_verdict verdict = { 0 };
	struct mhp_add_answer answer;
	int error;

	model_add_verdict(world.model, blocks, &opts, &verdict);
	error = mhp_add(world.pool.m, blocks, &opts, &answer);
	model_judge(&verdict, "mhp_add()", error);
	if (error == 0)
		model_add_done(world.model, world.pool.m, blocks, &opts, &answer);
	return error;
}

static int
do_online(const struct op *it)
{
	struct mhp_blocks blocks = { it->a, it->b };
	struct model_online planned = { 0 };
	struct model_verdict verdict = { 0 };
	int error;

	model_online_verdict(world.model, blocks, it->c, &planned, &verdict);
	error = test_online(world.pool.m, blocks, it->c, NULL);
	model_judge(&verdict, "mhp_online()", error);
	if (error == 0)
		model_online_done(world.model, blocks, &planned);
	return error;
}

static int
do_offline(const struct op *it)
{
	struct mhp_offline_opts opts = { .attempts_max = 1, .dry_run = it->kind == OP_OFFLINE_DRY };
	struct model_verdict verdict = { 0 };
	struct mhp_blocks sets[BLOCKS];
	uint64_t nr_moved = world.model->nr_moved;
	struct mhp_why why;
	unsigned nr = 0;
	int error;

	for (uint32_t i = BLOCKS; i-- > 0;)
		if ((it->a >> i & 1) != 0) {
			sets[nr++] = (struct mhp_blocks){ i, 1 };
			model_mark_leaving(world.model, sets[nr - 1], true, &verdict);
		}
	bool marked = verdict.nr_must == 0;
	if (marked)
		model_leave_verdict(world.model, &verdict);
	if (it->kind == OP_OFFLINE_BREAK) {
		world.break_after = 2;
		model_may(&verdict, MHP_EIO);
	}
	if (it->kind == OP_OFFLINE_VETO && marked) {
		world.veto_block = 1;
		model_must(&verdict, MHP_EPERM);
	}
	error = mhp_offline(world.pool.m, sets, nr, &opts, &why);
	world.break_after = 0;
	world.veto_block = UINT32_MAX;
	model_judge(&verdict, "mhp_offline()", error);
	if (error != 0 && error != MHP_EPERM && marked && world.model->nr_moved == nr_moved)
		model_check_why(world.model, error, &why);
	if (error == 0 && !opts.dry_run)
		model_leave_done(world.model);
	model_unmark(world.model);
	return error;
}

static int
do_remove(const struct op *it)
{
	struct mhp_offline_opts opts = { .attempts_max = 1 };
	struct model_verdict verdict = { 0 };
	struct mhp_blocks sets[BLOCKS];
	unsigned nr = 0;
	int error;

	for (uint32_t i = BLOCKS; i-- > 0;)
		if ((it->a >> i & 1) != 0) {
			sets[nr++] = (struct mhp_blocks){ i, 1 };
			model_mark_present(world.model, sets[nr - 1], &verdict);
		}
	if (verdict.nr_must == 0)
		model_leave_verdict(world.model, &verdict);
	error = mhp_remove(world.pool.m, sets, nr, &opts, NULL);
	model_judge(&verdict, "mhp_remove()", error);
	if (error == 0)
		model_leave_done(world.model);
	model_unmark(world.model);
	return error;
}

/* One block comes and goes online, self-hosted; others are removed; all or nothing. */
static int
do_swap(const struct op *it)
{
	struct mhp_step steps[2 + BLOCKS] = { { .kind = MHP_STEP_ADD },
					      { .kind = MHP_STEP_ONLINE } };
	struct mhp_offline_opts opts = { .attempts_max = 1 };
	struct model_verdict verdict = { 0 };
	unsigned nr = 2;
	int error;

	steps[0].add = variant_opts(it->a, VARIANT_SELF);
	steps[0].blocks = steps[1].blocks = (struct mhp_blocks){ it->a, 1 };
	steps[1].zone = MHP_ZONE_MOVABLE;
	model_add_verdict(world.model, steps[0].blocks, &steps[0].add, &verdict);
	for (uint32_t i = 0; i < BLOCKS; i++)
		if ((it->b >> i & 1) != 0) {
			steps[nr] = (struct mhp_step){ .kind = MHP_STEP_REMOVE };
			steps[nr].blocks = (struct mhp_blocks){ i, 1 };
			model_mark_present(world.model, steps[nr++].blocks, &verdict);
		}
	if (verdict.nr_must == 0)
		model_leave_verdict(world.model, &verdict);
	error = mhp_plan_commit(world.pool.m, steps, nr, &opts, NULL);
	model_judge(&verdict, "mhp_plan_commit()", error);
	if (error == 0) {
		struct model_online planned = { .zones[0] = 0 };
		planned.zones[it->a] = MHP_ZONE_MOVABLE;
		model_leave_done(world.model);
		model_add_done(world.model, world.pool.m, steps[0].blocks, &steps[0].add, NULL);
		model_online_done(world.model, (struct mhp_blocks){ it->a, 1 }, &planned);
	}
	model_unmark(world.model);
	return error;
}

static uint64_t
pattern(unsigned owner, uint64_t i)
{
	return ((uint64_t)owner << 8 | (i + 1)) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Pages carry something, which must be there until they are freed. */
static void
fill(uint64_t pfn, uint64_t nr_pages, unsigned owner)
{
	for (uint64_t i = 0; i < nr_pages; i++)
		*word_of(pfn + i) = pattern(owner, 0);
}

static int
do_alloc(const struct op *it)
{
	struct mhp_page_req req = { .owner = world.owners[it->a], .cookie = world.owners[it->a],
				    .order = it->b, TEST_NEAR(it->c) };
	uint64_t pfn = MHP_PFN_NONE;
	int error = mhp_page_alloc(world.pool.m, req, &pfn);

	model_alloc(world.model, req, true, error, pfn);
	if (error == 0)
		fill(pfn, UINT64_C(1) << it->b, req.owner);
	return error;
}

static int
do_contig(const struct op *it)
{
	struct mhp_page_req req = { .owner = world.owners[it->a], .cookie = world.owners[it->a] };
	uint64_t pfn = MHP_PFN_NONE;
	int error = mhp_pages_alloc_contig(world.pool.m, req, it->b, &pfn);

	model_alloc_contig(world.model, req, it->b, error, pfn);
	if (error == 0)
		fill(pfn, it->b, req.owner);
	return error;
}

static int
do_bad(const struct op *it)
{
	struct model_verdict verdict = { 0 };
	int error;

	model_bad_verdict(world.model, it->a, &verdict);
	error = mhp_bad_add(world.pool.m, it->a);
	model_judge(&verdict, "mhp_bad_add()", error);
	model_bad_done(world.model, it->a, error);
	return error;
}

static int
do_small(const struct op *it)
{
	struct mhp_compact_result result;
	int error;

	switch (it->kind) {
	case OP_FREE:
		error = mhp_page_free(world.pool.m, it->a);
		model_free(world.model, it->a, error);
		return error;
	case OP_SPLIT:
		error = mhp_page_split(world.pool.m, it->a, 0, NULL);
		model_split(world.model, it->a, error);
		return error;
	case OP_GOOD:
		error = mhp_bad_remove(world.pool.m, it->a);
		model_bad_remove(world.model, it->a, error);
		return error;
	default:
		CHECK_OK(mhp_compact(world.pool.m, it->a, it->b, 0, &result));
		return 0;
	}
}

static int
do_op(const struct op *it)
{
	switch (it->kind) {
	case OP_ADD:
		return do_add(it);
	case OP_ONLINE:
		return do_online(it);
	case OP_OFFLINE:
	case OP_OFFLINE_DRY:
	case OP_OFFLINE_VETO:
	case OP_OFFLINE_BREAK:
		return do_offline(it);
	case OP_REMOVE:
		return do_remove(it);
	case OP_SWAP:
		return do_swap(it);
	case OP_ALLOC:
		return do_alloc(it);
	case OP_CONTIG:
		return do_contig(it);
	case OP_BAD:
		return do_bad(it);
	default:
		return do_small(it);
	}
}

static unsigned
nr_callers_pages(const struct model *model)
{
	unsigned nr = 0;

	for (uint64_t pfn = 0; pfn < model->max_pfn; pfn++)
		nr += model->frames[pfn].kind == MODEL_HEAD &&
		      model->frames[pfn].owner >= MHP_OWNER_FIRST;
	return nr;
}

/* Keep to the bounds of the machine, and leave out what would only be another way to say EINVAL:
 * frees and splits are tried on every frame, but one page frame of a kind will do. */
static bool
is_in_bounds(const struct op *it)
{
	const struct machine *machine = world.machine;
	bool bounded = machine->nr_pages_max != 0;

	if (it->kind == OP_ALLOC && bounded)
		return nr_callers_pages(world.model) < machine->nr_pages_max;
	if (it->kind == OP_CONTIG && bounded)
		return nr_callers_pages(world.model) + 3 <= machine->nr_pages_max;
	if (it->kind == OP_SPLIT && bounded)
		return nr_callers_pages(world.model) + 1 <= machine->nr_pages_max;
	if (it->kind == OP_BAD)
		return world.model->nr_bad < machine->nr_bad_max;
	return true;
}

/* ---- snapshots, packed as what differs from the first one: (offset, count, words)... ---- */

static size_t
raw_words(void)
{
	return (world.snapshot_bytes + world.model_bytes) / WORD;
}

static void
save(uint64_t *raw)
{
	test_pool_save(&world.pool, raw);
	memcpy(raw + world.snapshot_bytes / WORD, world.model, world.model_bytes);
}

static void
restore(const uint64_t *raw)
{
	test_pool_restore(&world.pool, raw);
	memcpy(world.model, raw + world.snapshot_bytes / WORD, world.model_bytes);
}

static uint64_t *
pack(const uint64_t *raw)
{
	static uint64_t buffer[1 << 16];
	size_t at = 1, nr = raw_words();

	for (size_t i = 0; i < nr; i++) {
		if (raw[i] == world.base[i])
			continue;
		size_t end = i;
		CHECK_CMP(at + 2, <, sizeof(buffer) / WORD);
		while (end < nr && raw[end] != world.base[end] &&
		       at + 1 + end - i < sizeof(buffer) / WORD) {
			buffer[at + 1 + end - i] = raw[end];
			end++;
		}
		buffer[at] = (uint64_t)i << 32 | (end - i);
		at += 1 + end - i;
		i = end;
	}
	buffer[0] = at;
	uint64_t *packed = malloc(at * WORD);
	CHECK(packed != NULL);
	memcpy(packed, buffer, at * WORD);
	return packed;
}

static void
unpack(const uint64_t *packed, uint64_t *raw)
{
	memcpy(raw, world.base, raw_words() * WORD);
	for (size_t at = 1; at < packed[0];) {
		size_t offset = packed[at] >> 32, nr = packed[at] & UINT32_MAX;
		memcpy(raw + offset, packed + at + 1, nr * WORD);
		at += 1 + nr;
	}
}

/* ---- states ---- */

static void
grow(void)
{
	world.max_states = world.max_states != 0 ? world.max_states * 2 : 1 << 12;
	world.states = realloc(world.states, world.max_states * sizeof(world.states[0]));
	world.packed = realloc(world.packed, world.max_states * sizeof(world.packed[0]));
	free(world.slots);
	world.nr_slots = world.max_states * 2;
	world.slots = calloc(world.nr_slots, sizeof(world.slots[0]));
	CHECK(world.states != NULL && world.packed != NULL && world.slots != NULL);
	for (uint32_t i = 0; i < world.nr_states; i++) {
		uint32_t slot = (uint32_t)(world.states[i].digest % world.nr_slots);
		while (world.slots[slot] != 0)
			slot = (slot + 1) % world.nr_slots;
		world.slots[slot] = i + 1;
	}
}

/* Look a state up by its digest, or make it. True: it is new. */
static bool
visit(uint32_t parent, const struct op *it, uint64_t digest, uint64_t model)
{
	if (world.nr_states == world.max_states)
		grow();
	uint32_t slot = (uint32_t)(digest % world.nr_slots);
	for (; world.slots[slot] != 0; slot = (slot + 1) % world.nr_slots) {
		const struct state *state = &world.states[world.slots[slot] - 1];
		if (state->digest != digest)
			continue;
		CHECK_EQ(state->model, model); /* one digest, one state */
		return false;
	}
	world.states[world.nr_states++] = (struct state){ digest, model, parent, *it };
	world.slots[slot] = world.nr_states;
	return true;
}

static int
print_op(char *text, size_t size, const struct op *it)
{
	static const char *const names[] = {
		[OP_ADD] = "add", [OP_ONLINE] = "on", [OP_OFFLINE] = "off",
		[OP_OFFLINE_DRY] = "dry",
		[OP_OFFLINE_VETO] = "veto", [OP_OFFLINE_BREAK] = "brk", [OP_REMOVE] = "rm",
		[OP_SWAP] = "swap", [OP_ALLOC] = "get", [OP_CONTIG] = "run", [OP_FREE] = "put",
		[OP_SPLIT] = "split", [OP_BAD] = "bad", [OP_GOOD] = "good", [OP_COMPACT] = "comp",
	};
	return snprintf(text, size, "%s%u.%u.%u ", names[it->kind], it->a, it->b, it->c);
}

/* How to get to a state, for what a failure says. */
static void
note_path(uint32_t index)
{
	struct op path[64];
	size_t at = 0;
	unsigned nr = 0;

	for (; index != 0 && nr < 64; index = world.states[index].parent)
		path[nr++] = world.states[index].op;
	world.path[0] = 0;
	while (nr-- > 0 && at + 1 < sizeof(world.path))
		at += (size_t)print_op(world.path + at, sizeof(world.path) - at, &path[nr]);
}

/* ---- the search ---- */

static void
check_contents(void)
{
	for (uint64_t pfn = 0; pfn < world.model->max_pfn; pfn++) {
		uint64_t head = model_head(world.model, pfn);
		if (head == MHP_PFN_NONE || world.model->frames[head].owner < MHP_OWNER_FIRST)
			continue;
		if (*word_of(pfn) != pattern(world.model->frames[head].owner, 0))
			FAIL("pfn %" PRIu64 " has lost its contents", pfn);
	}
}

static void
try_op(uint32_t index, const struct op *it)
{
	uint64_t digest, model, nr_moved = world.model->nr_moved;
	int error;

	test_at("%s%s", world.path, world.op_names[it - world.ops]);
	error = do_op(it);
	mhp_drain_caches(world.pool.m);
	digest = mhp_digest(world.pool.m);
	model = model_hash(world.model);
	world.nr_transitions++;
	test_pool_check(&world.pool);
	/* All or nothing, but for pages that had moved and frames that are remembered. */
	if (error != 0 && world.model->nr_moved == nr_moved && it->kind != OP_BAD)
		CHECK_EQ(digest, world.states[index].digest);
	if (visit(index, it, digest, model)) {
		model_compare(world.model, world.pool.m, MODEL_FRAMES, true);
		check_contents();
		save(world.scratch);
		world.packed[world.nr_states - 1] = pack(world.scratch);
	}
}

static void
expand(uint32_t index)
{
	unpack(world.packed[index], world.before);
	free(world.packed[index]);
	world.packed[index] = NULL;
	note_path(index);
	for (unsigned i = 0; i < world.nr_ops; i++) {
		restore(world.before);
		if (is_in_bounds(&world.ops[i]))
			try_op(index, &world.ops[i]);
	}
}

static void
explore(const struct machine *machine, uint32_t nr_states)
{
	static const struct op start = { 0 };

	open_world(machine);
	list_block_ops(machine);
	list_page_ops(machine);
	for (unsigned i = 0; i < world.nr_ops; i++)
		(void)print_op(world.op_names[i], sizeof(world.op_names[i]), &world.ops[i]);
	world.snapshot_bytes = (test_pool_snapshot_size(&world.pool) + WORD - 1) / WORD * WORD;
	world.base = calloc(raw_words(), WORD);
	world.scratch = calloc(raw_words(), WORD);
	world.before = calloc(raw_words(), WORD);
	CHECK(world.base != NULL && world.scratch != NULL && world.before != NULL);
	save(world.base);
	(void)visit(0, &start, mhp_digest(world.pool.m), model_hash(world.model));
	world.packed[0] = pack(world.base);
	for (uint32_t i = 0; i < world.nr_states; i++)
		expand(i);
	test_say("%" PRIu32 " states, %" PRIu64 " transitions, %u operations", world.nr_states,
		 world.nr_transitions, world.nr_ops);
	CHECK_EQ(world.nr_states, nr_states);
	restore(world.base);
	test_pool_close(&world.pool);
	free(world.base);
	free(world.scratch);
	free(world.before);
	free(world.slots);
	free(world.packed);
	free(world.states);
	free(world.model);
}

/* ---- machines ----
 * Orders are page_shift/pageblock/section/block. With 8-byte descriptors a block of four pages of
 * 128 bytes keeps one of them for itself.
 */

#if MHP_PAGE_BYTES == 8

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define NORMAL_OPS 1U /* sanitizers have their price: the quick machines */
#else
#define NORMAL_OPS 20U
#endif

/* The size of a run: fewer pages at a time with --quick, more with --long. */
static unsigned
by_length(unsigned quick, unsigned normal, unsigned slow)
{
	uint64_t ops = test_ops(NORMAL_OPS);

	if (ops == 20)
		return normal;
	return ops < 20 ? quick : slow;
}

/* Every frame in every use: 45 states a block, all combinations of three. R20 R21 R25 R26 R29
 * R30 */
TEST(exhaust__three_blocks_of_four_pages__all_states)
{
	struct machine machine = {
		.geo = { 7, 1, 1, 2, 2, 1, 3, 0 },
		.variants = { SELF, SELF, by_length(0, SELF, SELF) },
		.nr_owners = 2,
		.order_max = 1,
		.plans = by_length(1, 0, 1) != 0,
		.contig = true,
	};
	explore(&machine, by_length(2025, 91125, 91125));
}

/* R7 R11 R12 R28 R31 */
TEST(exhaust__every_placement__all_states)
{
	struct machine machine = {
		.geo = { 7, 1, 2, 2, 2, 1, 3, 0 },
		.variants = { SELF | EXTERNAL | NODE_1, SELF | BOOT | NODE_0,
			      SELF | NODE_0 | NODE_1 },
		.nr_owners = 2,
		.order_max = 0,
		.nr_pages_max = by_length(1, 2, 4),
		.plans = true,
	};
	explore(&machine, by_length(4894, 35944, 833256));
}

/* R33 */
TEST(exhaust__frames_go_bad__all_states)
{
	struct machine machine = {
		.geo = { 7, 1, 1, 2, 2, 1, 3, 2 },
		.variants = { SELF, EXTERNAL, SELF },
		.nr_owners = 2,
		.order_max = 1,
		.nr_pages_max = by_length(1, 2, 3),
		.nr_bad_max = by_length(1, 1, 2),
		.bad_frames = 1 << 0 | 1 << 2 | 1 << 5,
		.compact = true,
		.splits = true,
	};
	explore(&machine, by_length(3199, 32773, 259928));
}

/* Four sections and eight pageblocks a block, pages that refuse to move. R27 R30 */
TEST(exhaust__four_sections__all_states)
{
	struct machine machine = {
		.geo = { 6, 1, 2, 4, 2, 1, 3, 0 },
		.variants = { SELF, EXTERNAL, SELF },
		.nr_owners = 3,
		.order_max = 1,
		.nr_pages_max = by_length(1, 2, 3),
		.contig = true,
		.compact = true,
		.splits = true,
	};
	explore(&machine, by_length(544, 11464, 357559));
}

#else

/* Descriptors so large that the first three of four sections are nothing but reserve: of eight
 * pages of 2 KiB, seven. R18 R20 R27 */
TEST(exhaust__sections_of_reserve__all_states)
{
	struct machine machine = {
		.geo = { 11, 1, 1, 3, 2, 1, 3, 0 },
		.variants = { SELF, EXTERNAL, SELF },
		.nr_owners = 2,
		.order_max = 1,
		.nr_pages_max = 3,
	};
	explore(&machine, 10328);
}

#endif
