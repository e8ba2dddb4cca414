/* SPDX-License-Identifier: MIT */
/*
 * soak_test.c - machines of many shapes, driven at random for a long time, beside the model.
 *
 * replay.c chooses and carries out; here the port is made to fail, external memory runs short,
 * addresses turn out to be no RAM, and everything is held against the reference model: what each
 * call may return, what it did, what listeners were told, where pages went. A run is cut into
 * epochs, each with a fresh machine whose memory comes as zeros, garbage or what was there before.
 * All follows from --seed; --ops says how long.
 */
#include <stdlib.h>

#include "verify/check.h"
#include "model.h"
#include "replay.h"

#define EPOCH_OPS 5000U
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define NORMAL_OPS 200000U /* sanitizers have their price */
#else
#define NORMAL_OPS 1000000U
#endif
#define FAULT_ERROR (-73)
#define CPUS_MAX 2U

/* What one listener was told of one block, and not yet told the end of. */
struct watch {
	bool going_online, going_offline;
};

struct soak {
	const char *shape;
	struct test_pool pool;
	struct model *model;
	struct replay *replay;
	struct replay_op op;
	struct model_verdict verdict;
	struct model_online planned;
	struct watch watch[REPLAY_LISTENERS][MODEL_BLOCKS_MAX];
	uint64_t random, nr_ops, digest;
	uint64_t nr_events[MHP_EV_KINDS], event_seq;
	uint8_t cpu_node[CPUS_MAX];
	bool in_call;              /* a call that changes blocks is under way */
	bool small;                /* so that everything can be looked at often */
	uint64_t nr_succeeded[REPLAY_KINDS], nr_failed[REPLAY_KINDS];
};

static struct soak soak;

static uint64_t
below(uint64_t n)
{
	return test_random(&soak.random) % n;
}

/* ---- looking on while a call is under way ---- */

static void
report(void *ctx, const struct mhp_finding *finding)
{
	(void)ctx;
	FAIL("inside a call: INV %u at %#" PRIx64 ", %s: have %#" PRIx64 ", want %#" PRIx64,
	     finding->invariant, finding->where, finding->what, finding->have, finding->want);
}

static void
inside(void *ctx)
{
	(void)ctx;
	if (below(soak.small ? 8 : 500) == 0)
		(void)mhp__check_inside(soak.pool.m, true, report, NULL);
}

static void
allocated(void *ctx, struct mhp_page_req req, int error, uint64_t pfn)
{
	bool leaving[MODEL_BLOCKS_MAX];

	(void)ctx;
	if (!soak.in_call) {
		model_alloc(soak.model, req, false, error, pfn);
		return;
	}
	/* The model does not know what a call that is under way has taken for itself. */
	if (error == MHP_ENOMEM)
		return;
	for (uint32_t i = 0; i < soak.model->geo.nr_blocks; i++) {
		leaving[i] = soak.model->blocks[i].leaving;
		/* Before the blocks that leave, a plan brings in those that come. */
		if (soak.op.kind == REPLAY_COMMIT || soak.op.kind == REPLAY_PREVIEW ||
		    soak.op.offline.dry_run)
			soak.model->blocks[i].leaving = false;
	}
	model_alloc(soak.model, req, false, error, pfn);
	for (uint32_t i = 0; i < soak.model->geo.nr_blocks; i++)
		soak.model->blocks[i].leaving = leaving[i];
}

static void
allocated_contig(void *ctx, struct mhp_page_req req, uint64_t nr_pages, int error, uint64_t pfn)
{
	(void)ctx;
	model_alloc_contig(soak.model, req, nr_pages, error, pfn);
}

static void
freed(void *ctx, uint64_t pfn, int error)
{
	(void)ctx;
	model_free(soak.model, pfn, error);
}

static void
freed_contig(void *ctx, uint64_t pfn, uint64_t nr_pages, int error)
{
	(void)ctx;
	model_free_contig(soak.model, pfn, nr_pages, error);
}

static void
split(void *ctx, uint64_t pfn, int error)
{
	(void)ctx;
	model_split(soak.model, pfn, error);
}

static void
cookie_set(void *ctx, uint64_t pfn, uint64_t cookie, int error)
{
	(void)ctx;
	model_set_cookie(soak.model, pfn, cookie, error);
}

static void
moved(void *ctx, uint64_t src_pfn, uint64_t dst_pfn, unsigned order)
{
	uint64_t src_block = src_pfn / soak.model->block_pages;

	(void)ctx;
	CHECK(soak.in_call);
	if (soak.op.kind == REPLAY_COMPACT)
		CHECK_CMP(dst_pfn, <, src_pfn);
	else if (soak.op.kind == REPLAY_BAD_ADD)
		CHECK_CMP(soak.op.pfn - src_pfn, <, UINT64_C(1) << order);
	else
		CHECK(soak.model->blocks[src_block].leaving);
	model_move(soak.model, src_pfn, dst_pfn, order);
}

/* ---- listeners: each GOING has one end, and means the usable pages of one block ---- */

static void
check_range(const struct mhp_notice *notice)
{
	uint64_t end = notice->start_pfn + notice->nr_pages;
	uint64_t block = notice->start_pfn / soak.model->block_pages;
	struct mhp_block_info info;

	CHECK_OK(mhp_block_get(soak.pool.m, (uint32_t)block, &info));
	CHECK_EQ(end, (block + 1) * soak.model->block_pages);
	CHECK_EQ(notice->nr_pages, soak.model->block_pages - info.nr_vmemmap_pages);
	CHECK_EQ(notice->node, info.node);
	CHECK_CMP(info.state, >=, MHP_OFFLINE);
	if (info.zone != MHP_ZONE_DEFAULT)
		CHECK_EQ(notice->zone, info.zone);
}

static void
noticed(void *ctx, unsigned listener, const struct mhp_notice *notice, int error)
{
	struct watch *watch = &soak.watch[listener][notice->start_pfn / soak.model->block_pages];
	bool going = notice->kind == MHP_GOING_ONLINE_NOTICE ||
		     notice->kind == MHP_GOING_OFFLINE_NOTICE;

	(void)ctx;
	check_range(notice);
	CHECK(going || error == 0);
	switch (notice->kind) {
	case MHP_GOING_ONLINE_NOTICE:
		CHECK(!watch->going_online && !watch->going_offline);
		watch->going_online = true;
		break;
	case MHP_CANCEL_ONLINE_NOTICE:
	case MHP_ONLINE_NOTICE:
		CHECK(watch->going_online);
		watch->going_online = false;
		break;
	case MHP_GOING_OFFLINE_NOTICE:
		CHECK(!watch->going_online && !watch->going_offline);
		watch->going_offline = true;
		break;
	case MHP_CANCEL_OFFLINE_NOTICE:
	case MHP_OFFLINE_NOTICE:
		CHECK(watch->going_offline);
		watch->going_offline = false;
		break;
	case MHP_NODE_FIRST_NOTICE:
		CHECK_NE(mhp_node_states(soak.pool.m, notice->node), 0);
		break;
	case MHP_NODE_LAST_NOTICE:
		CHECK_EQ(mhp_node_states(soak.pool.m, notice->node), 0);
		break;
	}
}

static void
check_watches(void)
{
	for (unsigned i = 0; i < REPLAY_LISTENERS; i++)
		for (uint32_t block = 0; block < soak.model->geo.nr_blocks; block++)
			CHECK(!soak.watch[i][block].going_online &&
			      !soak.watch[i][block].going_offline);
}

static void
traced(void *ctx, const struct mhp_event *event)
{
	(void)ctx;
	CHECK_EQ(event->seq, ++soak.event_seq);
	CHECK_CMP((unsigned)event->kind, <, MHP_EV_KINDS);
	soak.nr_events[event->kind]++;
}

static const struct replay_hooks hooks = {
	.allocated = allocated,
	.allocated_contig = allocated_contig,
	.freed = freed,
	.freed_contig = freed_contig,
	.split = split,
	.cookie = cookie_set,
	.moved = moved,
	.noticed = noticed,
	.inside = inside,
};

/* ---- verdicts, before the call ---- */

static void
merge(const struct model_verdict *from)
{
	for (unsigned i = 0; i < from->nr_must; i++)
		model_must(&soak.verdict, from->must[i]);
	for (unsigned i = 0; i < from->nr_may; i++)
		model_may(&soak.verdict, from->may[i]);
}

/* The blocks that a plan or an add would make are there for the time of a question. */
static void
pretend(struct mhp_blocks blocks, const struct mhp_add_opts *opts, bool there)
{
	if (there)
		model_pretend_add(soak.model, blocks, opts);
	for (uint32_t i = 0; i < blocks.count && !there; i++)
		model_remove_done(soak.model, blocks.first + i);
}

static void
expect_add(const struct replay_op *op)
{
	struct mhp_blocks blocks = op->runs[0];

	model_add_verdict(soak.model, blocks, &op->add, &soak.verdict);
	if (soak.verdict.nr_must != 0 || (op->add.flags & MHP_ADD_ONLINE) == 0)
		return;
	pretend(blocks, &op->add, true);
	model_online_verdict(soak.model, blocks, op->add.zone, &soak.planned, &soak.verdict);
	pretend(blocks, &op->add, false);
}

static void
expect_leave(const struct replay_op *op)
{
	bool remove = op->kind == REPLAY_REMOVE;

	if (op->nr == 0)
		model_must(&soak.verdict, MHP_EINVAL);
	for (unsigned i = 0; i < op->nr && soak.verdict.nr_must == 0; i++) {
		if (remove)
			model_mark_present(soak.model, op->runs[i], &soak.verdict);
		else
			model_mark_leaving(soak.model, op->runs[i], true, &soak.verdict);
	}
	if (soak.verdict.nr_must == 0)
		model_leave_verdict(soak.model, &soak.verdict);
}

/* ---- plans ---- */

static bool
overlap(struct mhp_blocks a, struct mhp_blocks b)
{
	return a.first < b.first + b.count && b.first < a.first + a.count;
}

/* Is it a plan at all? */
static void
expect_well_formed(const struct replay_op *op)
{
	if (op->nr == 0)
		model_must(&soak.verdict, MHP_EINVAL);
	for (unsigned i = 0; i < op->nr && soak.verdict.nr_must == 0; i++) {
		int error = model_blocks_check(soak.model, op->steps[i].blocks);
		if (error != 0)
			model_must(&soak.verdict, error);
		if ((unsigned)op->steps[i].kind > MHP_STEP_REMOVE)
			model_must(&soak.verdict, MHP_EINVAL);
		for (unsigned k = 0; k < i && error == 0; k++)
			if (overlap(op->steps[k].blocks, op->steps[i].blocks) &&
			    (op->steps[k].kind != MHP_STEP_ADD ||
			     op->steps[i].kind != MHP_STEP_ONLINE))
				model_must(&soak.verdict, MHP_EINVAL);
	}
}

static void
expect_step(const struct mhp_step *step, unsigned *nr_pretended, unsigned *nr_on_node)
{
	struct model_verdict verdict = { 0 };

	switch (step->kind) {
	case MHP_STEP_ADD:
		model_add_verdict(soak.model, step->blocks, &step->add, &verdict);
		*nr_on_node += (step->add.flags & MHP_MEMMAP_ON_NODE) != 0;
		if (verdict.nr_must == 0) {
			pretend(step->blocks, &step->add, true);
			++*nr_pretended;
		}
		break;
	case MHP_STEP_ONLINE:
		model_online_verdict(soak.model, step->blocks, step->zone, &soak.planned, &verdict);
		break;
	default:
		model_mark_leaving(soak.model, step->blocks, step->kind == MHP_STEP_OFFLINE,
				   &verdict);
		break;
	}
	merge(&verdict);
}

static void
expect_steps(const struct replay_op *op)
{
	static const unsigned phases[] = { 1U << MHP_STEP_ADD, 1U << MHP_STEP_ONLINE,
					   1U << MHP_STEP_OFFLINE | 1U << MHP_STEP_REMOVE };
	unsigned nr_pretended = 0, nr_on_node = 0;

	for (unsigned phase = 0; phase < 3; phase++)
		for (unsigned i = 0; i < op->nr && soak.verdict.nr_must == 0; i++)
			if ((phases[phase] >> op->steps[i].kind & 1) != 0)
				expect_step(&op->steps[i], &nr_pretended, &nr_on_node);
	if (soak.verdict.nr_must == 0)
		model_leave_verdict(soak.model, &soak.verdict);
	/* Where metadata on a node goes is found out afterwards: it takes room, or gets in the
	 * way. */
	if (nr_on_node != 0) {
		model_may(&soak.verdict, MHP_ENOMEM);
		model_may(&soak.verdict, MHP_EBUSY);
	}
	for (unsigned i = 0; i < op->nr && nr_pretended > 0; i++)
		if (op->steps[i].kind == MHP_STEP_ADD) {
			pretend(op->steps[i].blocks, &op->steps[i].add, false);
			nr_pretended--;
		}
}

/* A preview asks no port: neither for memory nor whether it is RAM. */
static void
expect_preview(const struct replay_op *op)
{
	struct mhp_span hole = soak.model->hole;
	uint64_t budget = soak.model->external_budget;

	soak.model->hole.size = 0;
	soak.model->external_budget = UINT64_MAX / 2;
	expect_steps(op);
	soak.model->hole = hole;
	soak.model->external_budget = budget;
}

static void
expect(const struct replay_op *op)
{
	struct model *model = soak.model;

	switch (op->kind) {
	case REPLAY_ADD:
		expect_add(op);
		break;
	case REPLAY_ONLINE:
		model_online_verdict(model, op->runs[0], op->zone, &soak.planned, &soak.verdict);
		break;
	case REPLAY_OFFLINE:
	case REPLAY_REMOVE:
		expect_leave(op);
		break;
	case REPLAY_PREVIEW:
	case REPLAY_COMMIT:
		expect_well_formed(op);
		if (soak.verdict.nr_must == 0 && op->kind == REPLAY_PREVIEW)
			expect_preview(op);
		else if (soak.verdict.nr_must == 0)
			expect_steps(op);
		break;
	case REPLAY_COMPACT:
		if (op->node >= model->geo.nr_nodes)
			model_must(&soak.verdict, MHP_ENODEV);
		if (op->zone == MHP_ZONE_DEFAULT || op->zone > MHP_ZONE_MOVABLE)
			model_must(&soak.verdict, MHP_EINVAL);
		break;
	case REPLAY_BAD_ADD:
		model_bad_verdict(model, op->pfn, &soak.verdict);
		break;
	case REPLAY_POLICY:
		if ((unsigned)op->policy.auto_online > MHP_AUTO_ONLINE_MOVABLE)
			model_must(&soak.verdict, MHP_EINVAL);
		break;
	case REPLAY_SWITCH:
		if (op->value > MHP_MEMMAP_FORCE)
			model_must(&soak.verdict, MHP_EINVAL);
		break;
	case REPLAY_CPU_NODE:
		if (op->node >= model->geo.nr_nodes)
			model_must(&soak.verdict, MHP_ENODEV);
		break;
	default: /* pages: the hooks judge */
		break;
	}
}

/* ---- what trouble changes about the verdict ---- */

static bool
is_leaving_kind(enum replay_kind kind)
{
	return kind == REPLAY_OFFLINE || kind == REPLAY_REMOVE || kind == REPLAY_PREVIEW ||
	       kind == REPLAY_COMMIT;
}

/* Musts become mays: the grounds for them may have gone while the call was under way. */
static void
soften(void)
{
	for (unsigned i = 0; i < soak.verdict.nr_must; i++)
		model_may(&soak.verdict, soak.verdict.must[i]);
	soak.verdict.nr_must = 0;
}

static void
insist(int error)
{
	soak.verdict.nr_must = 0;
	model_must(&soak.verdict, error);
}

static void
allow_trouble(const struct replay_op *op, bool auto_online)
{
	bool leaves = is_leaving_kind(op->kind);

	if (op->nr_nested != 0 && leaves) {
		soften();
		model_may(&soak.verdict, MHP_EBUSY);
		model_may(&soak.verdict, MHP_ENOMEM);
	}
	if (op->nr_refused != 0 || op->nr_broken != 0) {
		soften();
		model_may(&soak.verdict, MHP_EBUSY);
		if (leaves) {
			model_may(&soak.verdict, MHP_EAGAIN);
			model_may(&soak.verdict, REPLAY_BROKEN);
		}
	}
	if (op->nr_canceled != 0) {
		soften();
		model_may(&soak.verdict, MHP_ECANCELED);
	}
	if (leaves && op->offline.deadline_ms == 1) {
		soften();
		model_may(&soak.verdict, MHP_EAGAIN);
	}
	if (op->nr_vetoes != 0 && !auto_online)
		insist(REPLAY_VETO);
	if (soak.pool.fault != NULL && mhp_fault_fired(soak.pool.fault) != 0 && !auto_online)
		insist(FAULT_ERROR);
}

/* ---- what was done ---- */

static void
online_done(struct mhp_blocks blocks, unsigned zone)
{
	struct model_verdict verdict = { 0 };
	struct model_online planned = { .zones[0] = 0 };

	model_online_verdict(soak.model, blocks, zone, &planned, &verdict);
	model_judge(&verdict, "coming online", 0);
	model_online_done(soak.model, blocks, &planned);
}

static unsigned
auto_zone(void)
{
	switch (soak.model->policy.auto_online) {
	case MHP_AUTO_ONLINE_KERNEL:
		return MHP_ZONE_NORMAL;
	case MHP_AUTO_ONLINE_MOVABLE:
		return MHP_ZONE_MOVABLE;
	default:
		return MHP_ZONE_DEFAULT;
	}
}

static void
add_done(const struct replay_op *op)
{
	struct mhp_blocks blocks = op->answer.blocks;
	bool asked = (op->add.flags & (MHP_ADD_ONLINE | MHP_ADD_OFFLINE)) != 0;
	struct model_verdict verdict = { 0 };
	struct model_online planned = { .zones[0] = 0 };

	model_add_done(soak.model, soak.pool.m, op->runs[0], &op->add, &op->answer);
	if ((op->add.flags & MHP_ADD_ONLINE) != 0)
		online_done(blocks, op->add.zone);
	if (asked || soak.model->policy.auto_online == MHP_AUTO_OFFLINE) {
		CHECK_EQ(op->answer.online_error, 0);
		return;
	}
	model_online_verdict(soak.model, blocks, auto_zone(), &planned, &verdict);
	model_may(&verdict, REPLAY_VETO);
	model_may(&verdict, FAULT_ERROR);
	model_judge(&verdict, "auto-online", op->answer.online_error);
	if (op->answer.online_error == 0)
		model_online_done(soak.model, blocks, &planned);
}

static void
plan_done(const struct replay_op *op)
{
	struct model_verdict verdict = { 0 };

	for (unsigned i = 0; i < op->nr; i++)
		if (op->steps[i].kind == MHP_STEP_ADD)
			model_add_done(soak.model, soak.pool.m, op->steps[i].blocks,
				       &op->steps[i].add, NULL);
	for (unsigned i = 0; i < op->nr; i++)
		if (op->steps[i].kind == MHP_STEP_ONLINE)
			model_online_done(soak.model, op->steps[i].blocks, &soak.planned);
	for (unsigned i = 0; i < op->nr; i++) {
		if (op->steps[i].kind != MHP_STEP_OFFLINE && op->steps[i].kind != MHP_STEP_REMOVE)
			continue;
		model_mark_leaving(soak.model, op->steps[i].blocks,
				   op->steps[i].kind == MHP_STEP_OFFLINE, &verdict);
	}
	model_leave_done(soak.model);
}

static void
done(const struct replay_op *op)
{
	switch (op->kind) {
	case REPLAY_ADD:
		add_done(op);
		break;
	case REPLAY_ONLINE:
		model_online_done(soak.model, op->runs[0], &soak.planned);
		break;
	case REPLAY_OFFLINE:
	case REPLAY_REMOVE:
		if (!op->offline.dry_run)
			model_leave_done(soak.model);
		break;
	case REPLAY_COMMIT:
		model_unmark(soak.model);
		plan_done(op);
		break;
	case REPLAY_POLICY:
		soak.model->policy = op->policy;
		break;
	case REPLAY_SWITCH:
		soak.model->memmap_switch = (enum mhp_memmap_switch)op->value;
		break;
	case REPLAY_CPU_NODE:
		soak.cpu_node[0] = (uint8_t)op->node;
		break;
	default:
		break;
	}
}

/* ---- one step ---- */

/* Does the call leave everything as it was when it fails? */
static bool
is_all_or_nothing(const struct replay_op *op, uint64_t nr_moved)
{
	if (op->kind == REPLAY_BAD_ADD && (op->error == MHP_EBUSY || op->error == MHP_ECANCELED))
		return false; /* it is remembered */
	return op->nr_nested == 0 && soak.model->nr_moved == nr_moved;
}

static bool
changes_nothing(const struct replay_op *op)
{
	bool dry = (op->kind == REPLAY_OFFLINE || op->kind == REPLAY_REMOVE) && op->offline.dry_run;

	return dry || op->kind == REPLAY_PREVIEW || op->kind == REPLAY_DRAIN ||
	       op->kind == REPLAY_PIN || op->kind == REPLAY_LISTENER || op->kind == REPLAY_OWNER ||
	       op->kind == REPLAY_POLICY || op->kind == REPLAY_SWITCH ||
	       op->kind == REPLAY_CPU_NODE;
}

static void
arm_faults(const struct replay_op *op)
{
	if (soak.pool.fault == NULL)
		return;
	bool arm = op->kind <= REPLAY_COMMIT && below(8) == 0;
	mhp_fault_arm(soak.pool.fault, arm ? 1 + below(6) : 0, below(2) == 0, FAULT_ERROR);
}

static void
change_machine(void)
{
	const struct mhp_geometry *geo = &soak.model->geo;
	uint64_t block_bytes = soak.pool.block_bytes;

	mhp_sim_cpu = (unsigned)below(geo->nr_cpus);
	soak.model->cpu_node = soak.cpu_node[mhp_sim_cpu];
	if (below(100) == 0) {
		uint64_t start = below(geo->nr_blocks * block_bytes);
		mhp_sim_clear_holes(soak.pool.sim);
		soak.model->hole = (struct mhp_span){ { start }, 1 + below(block_bytes) };
		if (below(2) == 0)
			soak.model->hole.size = 0;
		else
			CHECK(mhp_sim_add_hole(soak.pool.sim, soak.model->hole.start,
					       soak.model->hole.size));
	}
	if (below(100) == 0) {
		uint64_t all = soak.model->metadata_pages * soak.model->page_bytes * geo->nr_blocks;
		soak.model->external_budget = below(2) == 0 ? all : below(all);
		mhp_sim_set_budget(soak.pool.sim, soak.model->external_budget);
	}
}

static void
check_explanation(const struct replay_op *op)
{
	bool marked = op->kind == REPLAY_OFFLINE || op->kind == REPLAY_REMOVE;
	bool calm = op->nr_nested == 0 && op->nr_refused == 0 && op->nr_broken == 0 &&
		    op->nr_canceled == 0 && op->nr_vetoes == 0 && op->offline.deadline_ms == 0;

	if (op->error == 0 || !marked || op->why.cause == MHP_CAUSE_STATE)
		return;
	if (!calm || (op->error != MHP_EBUSY && op->error != MHP_ENOMEM))
		return;
	model_check_why(soak.model, op->error, &op->why);
}

static void
carry_out(struct replay_op *op)
{
	bool auto_online = op->kind == REPLAY_ADD && (op->add.flags & MHP_ADD_ONLINE) == 0 &&
			   (op->add.flags & MHP_ADD_OFFLINE) == 0 &&
			   soak.model->policy.auto_online != MHP_AUTO_OFFLINE;
	bool brackets = soak.pool.fault != NULL && op->kind < REPLAY_ALLOC;

	soak.in_call = op->kind < REPLAY_ALLOC;
	arm_faults(op);
	if (brackets)
		mhp_fault_begin(soak.pool.fault, auto_online);
	replay_do(soak.replay, op);
	if (brackets)
		mhp_fault_end(soak.pool.fault);
	soak.in_call = false;
	allow_trouble(op, auto_online);
	if (auto_online && soak.pool.fault != NULL && mhp_fault_fired(soak.pool.fault) != 0)
		model_may(&soak.verdict, FAULT_ERROR);
}

static void
step(void)
{
	static const char *const names[REPLAY_KINDS] = {
		[REPLAY_ADD] = "add", [REPLAY_ONLINE] = "online", [REPLAY_OFFLINE] = "offline",
		[REPLAY_REMOVE] = "remove", [REPLAY_PREVIEW] = "preview",
		[REPLAY_COMMIT] = "commit",
		[REPLAY_COMPACT] = "compact", [REPLAY_BAD_ADD] = "bad",
		[REPLAY_BAD_REMOVE] = "good",
		[REPLAY_POLICY] = "policy", [REPLAY_SWITCH] = "switch",
		[REPLAY_CPU_NODE] = "cpu-node", [REPLAY_ALLOC] = "alloc", [REPLAY_FREE] = "free",
		[REPLAY_CONTIG] = "contig", [REPLAY_CONTIG_FREE] = "contig-free",
		[REPLAY_SPLIT] = "split", [REPLAY_COOKIE] = "cookie", [REPLAY_PIN] = "pin",
		[REPLAY_DRAIN] = "drain", [REPLAY_LISTENER] = "listener", [REPLAY_OWNER] = "owner",
	};
	struct replay_op *op = &soak.op;
	uint64_t nr_moved = soak.model->nr_moved;

	replay_next(soak.replay, op);
	test_at("%s, operation %" PRIu64 ": %s", soak.shape, soak.nr_ops, names[op->kind]);
	soak.verdict = (struct model_verdict){ 0 };
	soak.planned = (struct model_online){ .zones[0] = 0 };
	expect(op);
	carry_out(op);
	if (op->kind == REPLAY_BAD_REMOVE)
		model_bad_remove(soak.model, op->pfn, op->error);
	else if (op->kind < REPLAY_ALLOC)
		model_judge(&soak.verdict, names[op->kind], op->error);
	check_explanation(op);
	if (op->error == 0)
		done(op);
	if (op->kind == REPLAY_BAD_ADD)
		model_bad_done(soak.model, op->pfn, op->error);
	model_unmark(soak.model);
	*(op->error == 0 ? &soak.nr_succeeded[op->kind] : &soak.nr_failed[op->kind]) += 1;
	if (soak.replay->broken != NULL)
		FAIL("%s, pfn %" PRIu64, soak.replay->broken, soak.replay->broken_at);
	if (soak.small || op->kind < REPLAY_ALLOC) {
		uint64_t digest = mhp_digest(soak.pool.m);
		if (soak.small && ((op->error != 0 && is_all_or_nothing(op, nr_moved)) ||
				   (changes_nothing(op) && op->nr_nested == 0)))
			CHECK_EQ(digest, soak.digest);
		soak.digest = digest;
	}
}

/* ---- looking at everything ---- */

static void
compare_events(void)
{
	struct mhp_stats stats;

	mhp_get_stats(soak.pool.m, &stats);
	for (unsigned i = 0; i < MHP_EV_KINDS; i++)
		CHECK_EQ(stats.events[i], soak.nr_events[i]);
	CHECK_EQ(mhp_progress(soak.pool.m).blocks.count, 0);
	check_watches();
}

static void
compare(void)
{
	uint64_t max_pfn = soak.model->max_pfn, window = soak.small ? max_pfn : 4096;
	uint64_t start = below(max_pfn - window + 1);

	model_compare(soak.model, soak.pool.m, MODEL_SUMS, false);
	if (soak.nr_ops % (soak.small ? 16 : 256) == 0) {
		model_compare(soak.model, soak.pool.m, MODEL_BLOCKS, false);
		model_compare_frames(soak.model, soak.pool.m, start, start + window, false);
		test_pool_check(&soak.pool);
		compare_events();
	}
	if (soak.nr_ops % (soak.small ? 256 : 5000) == 0) {
		replay_check(soak.replay);
		mhp_drain_caches(soak.pool.m);
		model_compare(soak.model, soak.pool.m, MODEL_FRAMES, true);
		test_pool_check(&soak.pool);
	}
}

/* ---- an epoch ---- */

static void
open_epoch(uint64_t epoch)
{
	static const enum mhp_sim_fill fills[] = { MHP_SIM_ZERO, MHP_SIM_GARBAGE, MHP_SIM_KEEP };
	struct mhp_geometry geo = test_geometry(soak.shape);
	struct test_pool_opts opts = { .shape = soak.shape, .fill = fills[epoch % 3],
				       .plain = epoch % 2 == 0, .trace = traced };
	unsigned features = REPLAY_EXTERNAL | REPLAY_CLOCK | REPLAY_TROUBLE | REPLAY_NONSENSE;
	uint64_t bytes = (uint64_t)geo.nr_blocks << geo.block_order << geo.page_shift;

	soak.small = bytes <= UINT64_C(1) << 24;
	/* Nothing but metadata is garbage in a large machine. */
	opts.garbage_bytes = soak.small ? 0 : 1 << 20;
	/* Descriptors, two of a pageblock at most, its word, and what is lost to whole pages. */
	opts.meta_bytes = (((2 * MHP_PAGE_BYTES + UINT64_C(8)) << geo.block_order) +
			   (UINT64_C(1) << geo.page_shift)) * geo.nr_blocks;
	test_pool_open(&soak.pool, &opts);
	soak.model = malloc(model_bytes(&geo));
	soak.replay = malloc(sizeof(*soak.replay));
	CHECK(soak.model != NULL && soak.replay != NULL);
	model_init(soak.model, &soak.pool.config, opts.meta_bytes);
	soak.model->refuses = replay_refuses;
	soak.model->refuses_ctx = soak.replay;
	features |= opts.fill == MHP_SIM_ZERO ? REPLAY_ZEROED : 0;
	features |= soak.small ? 0 : REPLAY_SPARSE;
	replay_open(soak.replay, soak.pool.m, test_random(&soak.random), features, &hooks);
	soak.model->movable_owners |= UINT64_C(1) << soak.replay->owners[REPLAY_MOVER];
	soak.model->movable_owners |= UINT64_C(1) << soak.replay->owners[REPLAY_OTHER];
	soak.model->owners = soak.model->movable_owners;
	soak.model->owners |= UINT64_C(1) << soak.replay->owners[REPLAY_STAYER];
	soak.digest = mhp_digest(soak.pool.m);
	soak.event_seq = 0;
	memset(soak.nr_events, 0, sizeof(soak.nr_events));
	memset(soak.cpu_node, 0, sizeof(soak.cpu_node));
}

/* Blocks that hold metadata of others go last. */
static void
remove_all(void)
{
	uint32_t nr_blocks = soak.model->geo.nr_blocks;
	int error = MHP_EBUSY;

	for (uint32_t pass = 0; pass < nr_blocks && error == MHP_EBUSY; pass++) {
		error = 0;
		for (uint32_t block = 0; block < nr_blocks; block++) {
			struct mhp_blocks leaving = { block, 1 };
			int one = mhp_remove(soak.pool.m, &leaving, 1, NULL, NULL);
			if (one != 0 && one != MHP_ENOENT)
				error = one;
		}
	}
	CHECK_OK(error);
}

static void
close_epoch(void)
{
	if (soak.pool.fault != NULL)
		mhp_fault_arm(soak.pool.fault, 0, false, 0);
	model_compare(soak.model, soak.pool.m, MODEL_FRAMES, false);
	replay_close(soak.replay);
	if (soak.replay->broken != NULL)
		FAIL("%s, pfn %" PRIu64, soak.replay->broken, soak.replay->broken_at);
	test_pool_check(&soak.pool);
	remove_all();
	test_pool_close(&soak.pool);
	free(soak.model);
	free(soak.replay);
}

/* Each kind of operation has worked and, where a run is long enough, has failed, or the run means
 * little: frees fail once in some ten thousand operations. */
static void
check_coverage(uint64_t ops)
{
	for (unsigned kind = 0; kind < REPLAY_KINDS && ops >= 50000; kind++)
		CHECK_CMP(soak.nr_succeeded[kind], >, 0);
	for (unsigned kind = 0; kind <= REPLAY_SPLIT && ops >= 100000; kind++)
		CHECK_CMP(soak.nr_failed[kind], >, 0);
}

/* A share of the operations, in per mille. Other builds than the plain one do a quarter. */
static void
run(const char *shape, unsigned share)
{
	bool is_plain_build = !MHP_VMEMMAP && MHP_PAGE_BYTES == 8;
	uint64_t ops = test_ops(is_plain_build ? NORMAL_OPS : NORMAL_OPS / 4) * share / 1000 + 1;

	if (!test_shape_works(shape))
		return;
	soak = (struct soak){ .shape = shape, .random = test_seed() };
	for (uint64_t epoch = 0; soak.nr_ops < ops; epoch++) {
		open_epoch(epoch);
		for (unsigned i = 0; i < EPOCH_OPS && soak.nr_ops < ops; i++) {
			soak.nr_ops++;
			change_machine();
			step();
			compare();
		}
		close_epoch();
	}
	check_coverage(ops);
}

/* R17 R18 R19 R20 R22 R23 R24 R25 R26 R28 R29 R30 R31 R33, all of them in each */

TEST(soak__tiny1__as_the_model_says)
{
	run("tiny1", 200);
}

TEST(soak__tiny2__as_the_model_says)
{
	run("tiny2", 250);
}

TEST(soak__tiny8__as_the_model_says)
{
	run("tiny8", 200);
}

TEST(soak__micro1__as_the_model_says)
{
	run("micro1", 150);
}

TEST(soak__micro2__as_the_model_says)
{
	run("micro2", 140);
}

TEST(soak__small__as_the_model_says)
{
	run("small", 55);
}

TEST(soak__dimm__as_the_model_says)
{
	run("dimm", 5);
}

/* ---- the same seed does the same ---- */

struct digests {
	uint64_t sum, nr;
	uint64_t first[64];
	bool again;
};

static void
note_digest(void *ctx, uint64_t op, uint64_t digest)
{
	struct digests *digests = ctx;

	test_at("operation %" PRIu64, op);
	if (digests->nr < 64 && digests->again)
		CHECK_EQ(digest, digests->first[digests->nr]);
	else if (digests->nr < 64)
		digests->first[digests->nr] = digest;
	digests->sum = digests->sum * UINT64_C(0x9e3779b97f4a7c15) + digest;
	digests->nr++;
}

/* Three times the same: with memory that is plain, garbage, really unmapped, without fault port. */
static void
replay(const char *shape, uint64_t ops)
{
	struct digests digests = { 0 };
	uint64_t sum = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct test_pool_opts opts = { .shape = shape, .plain = i == 0,
					       .fill = i == 0 ? MHP_SIM_ZERO : MHP_SIM_GARBAGE,
					       .garbage_bytes = 1 << 20, .no_fault = i == 2 };
		struct test_pool pool;
		mhp_sim_cpu = 0;
		test_pool_open(&pool, &opts);
		digests.sum = digests.nr = 0;
		CHECK_NE(mhp_replay(pool.m, test_seed(), ops, note_digest, &digests), 0);
		test_pool_close(&pool);
		if (i > 0)
			CHECK_EQ(digests.sum, sum);
		sum = digests.sum;
		digests.again = true;
	}
	test_say("%s, seed %" PRIu64 ", %" PRIu64 " operations: digest of digests %016" PRIx64,
		 shape, test_seed(), ops, sum);
}

/* R47, the hosted half: neither the port nor what memory holds may matter. */
TEST(soak__same_seed__same_digests)
{
	replay("tiny2", test_ops(60000));
	replay("small", test_ops(20000));
	replay("dimm", test_ops(4000));
}
