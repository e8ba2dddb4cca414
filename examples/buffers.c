/* SPDX-License-Identifier: MIT */
/*
 * buffers.c - buffers by handle: an owner whose pages move, so that their block can leave.
 *
 * A handle is an index into a table that says where the buffer lies now. Whoever uses a buffer
 * holds the table's lock meanwhile; the engine moves buffers by three functions that take it, too.
 *
 *     cc buffers.c -o buffers $(pkg-config --cflags --libs memplug)
 */
#include <memplug/linux.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (4U << 20)
#define BUFFERS 500U
#define PAGE 4096U

static struct mhp *m;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t where[BUFFERS]; /* pfn of each buffer; the page's cookie is the handle */
static unsigned nr_copied;

/* Hold the page still, if it is still that buffer: the cookie was read without our lock. */
static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)order;
	pthread_mutex_lock(&lock);
	int err = cookie < BUFFERS && where[cookie] == pfn ? 0 : MHP_EAGAIN;
	pthread_mutex_unlock(&lock);
	return err; /* held: a buffer that may be freed would be marked here */
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < nr_moves; i++) {
		memcpy(mhp_pfn_to_virt(m, moves[i].dst_pfn), mhp_pfn_to_virt(m, moves[i].src_pfn),
		       moves[i].nr_pages * PAGE);
		for (uint64_t page = 0; page < moves[i].nr_pages; page++)
			where[mhp_frame_peek(m, moves[i].src_pfn + page).cookie] =
				moves[i].dst_pfn + page;
		nr_copied += (unsigned)moves[i].nr_pages;
	}
	pthread_mutex_unlock(&lock);
	*ret_done = nr_moves;
	return 0;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static const struct mhp_movable_ops ops = { isolate, migrate, putback, NULL };

static void
must(int err, const char *what)
{
	if (err == 0)
		return;
	printf("%s: %s\n", what, mhp_error_text(err));
	exit(1);
}

int
main(void)
{
	struct mhp_pool_opts shape = { .block_bytes = BLOCK, .max_bytes = 16 * BLOCK };
	struct mhp_page_req req = { .cookie = 0 };
	struct mhp_blocks first = { 0, 1 };
	struct mhp_pool *pool;
	struct mhp_why why;
	unsigned lost = 0;

	must(mhp_pool_create(&shape, &pool, NULL), "create");
	must(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL), "add");
	m = mhp_pool_engine(pool);
	must(mhp_owner_register(m, "buffers", &ops, NULL, &req.owner), "register");
	for (req.cookie = 0; req.cookie < BUFFERS; req.cookie++) {
		must(mhp_page_alloc(m, req, &where[req.cookie]), "alloc");
		memset(mhp_pfn_to_virt(m, where[req.cookie]), (int)req.cookie, PAGE);
	}
	printf("%u buffers lie in block 0\n", BUFFERS);

	int err = mhp_remove(m, &first, 1, NULL, &why);
	printf("remove block 0: %s: %s\n", mhp_error_text(err), mhp_cause_text(why.cause));

	must(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL), "add");
	must(mhp_remove(m, &first, 1, NULL, &why), "remove");
	for (unsigned i = 0; i < BUFFERS; i++) {
		const unsigned char *buffer = mhp_pfn_to_virt(m, where[i]);
		lost += buffer[0] != (unsigned char)i || memcmp(buffer, buffer + 1, PAGE - 1) != 0;
		must(mhp_page_free_owned(m, req.owner, where[i]), "free");
	}
	printf("with a second block, block 0 left: %u buffers copied, %u lost\n", nr_copied, lost);

	struct mhp_blocks all = { 0, 16 };
	must(mhp_remove(m, &all, 1, NULL, &why), "remove all");
	must(mhp_pool_destroy(pool), "destroy");
	return lost != 0;
}
