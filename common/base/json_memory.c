/*
 * json_memory.c: where jansson's memory comes from. All of it is there or the process is not
 * (mem.h): jansson's reader goes on without what it had no memory for, beyond the end of what it
 * has.
 *
 * What a thread makes between json_together_begin and json_together_end lies side by side in
 * blocks. A message is some eighty small pieces, made by one thread and freed by another, which
 * malloc does badly: here one costs an addition, and a block is free once all of its pieces are.
 * Each thread counts by itself what it makes, until its block is full, and what it frees, until it
 * frees of another block: threads that share a block meet there once and not for each piece. All
 * blocks are in one range of addresses, so that json_free knows them from what malloc gave.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "json_private.h"
#include "mem.h"
#include "thread.h"

#define BLOCK	   ((size_t)16 << 10)
#define BLOCKS	   1024	 /* what is more comes from malloc */
#define PIECE_MOST 1024u /* bytes; likewise */
#define ALIGNED	   8u	 /* all that jansson keeps */
#define PAGE	   ((size_t)4096)
#define IDLE_MOST  256		     /* free blocks whose memory is not given back to the system */
#define BEGUN	   ((size_t)1 << 20) /* more than a block has pieces */

struct block {
	/* Made and not freed; while a thread adds to it, BEGUN less what was freed. */
	atomic_size_t pieces;
	size_t made, used;  /* pieces, and bytes from the beginning of the block; that thread's */
	struct block *next; /* free; guarded by g_lock */
};

static struct mutex g_lock = {PTHREAD_MUTEX_INITIALIZER};
static char *g_base;	      /* NULL: there are no blocks */
static struct block *g_idle;  /* guarded by g_lock */
static size_t g_idle_count;   /* guarded by g_lock */
static size_t g_begun;	      /* blocks that were used once; guarded by g_lock */
static pthread_key_t g_owner; /* of what is a thread's, when the thread ends */

static _Thread_local bool t_together;
static _Thread_local struct block *t_block;	 /* it adds to this one … */
static _Thread_local struct block *t_freed_from; /* … has freed of that one … */
static _Thread_local size_t t_freed;		 /* … so many that are not counted there yet */

static struct block *take_block(void)
{
	struct block *b;

	mutex_lock(&g_lock);
	b = g_idle;
	if (b != NULL) {
		g_idle = b->next;
		g_idle_count--;
	} else if (g_begun < BLOCKS) {
		b = (struct block *)(void *)(g_base + BLOCK * g_begun++);
	}
	mutex_unlock(&g_lock);
	if (b != NULL) {
		b->made = 0;
		b->used = sizeof(*b);
		atomic_store_explicit(&b->pieces, BEGUN, memory_order_relaxed);
	}
	return b;
}

static void drop_pieces(struct block *b, size_t count)
{
	bool many;

	if (atomic_fetch_sub_explicit(&b->pieces, count, memory_order_acq_rel) != count)
		return;
	mutex_lock(&g_lock);
	many = g_idle_count >= IDLE_MOST;
	mutex_unlock(&g_lock);
	if (many) /* all but the page that says what it is */
		(void)madvise((char *)b + PAGE, BLOCK - PAGE, MADV_DONTNEED);
	mutex_lock(&g_lock);
	b->next = g_idle;
	g_idle = b;
	g_idle_count++;
	mutex_unlock(&g_lock);
}

static void end_block(void)
{
	if (t_block != NULL)
		drop_pieces(t_block, BEGUN - t_block->made);
	t_block = NULL;
}

static void count_freed(void)
{
	if (t_freed_from != NULL)
		drop_pieces(t_freed_from, t_freed);
	t_freed_from = NULL;
	t_freed = 0;
}

static void thread_ends(void *anything)
{
	(void)anything;
	end_block();
	count_freed();
}

/* False when there is none. */
static bool next_block(void)
{
	end_block();
	t_block = take_block();
	(void)pthread_setspecific(g_owner, &t_block);
	return t_block != NULL;
}

static void *together(size_t size)
{
	struct block *b = t_block;
	void *piece;

	size = (size + ALIGNED - 1) & ~(size_t)(ALIGNED - 1);
	if (b == NULL || BLOCK - b->used < size) {
		if (!next_block())
			return NULL;
		b = t_block;
	}
	piece = (char *)b + b->used;
	b->used += size;
	b->made++;
	return piece;
}

static void free_piece(struct block *b)
{
	if (b != t_freed_from) {
		count_freed();
		t_freed_from = b;
		(void)pthread_setspecific(g_owner, &t_block);
	}
	t_freed++;
}

static void *json_alloc(size_t size)
{
	void *piece = t_together && size <= PIECE_MOST ? together(size) : NULL;

	return piece ? piece : xmalloc(size);
}

static void json_release(void *piece)
{
	size_t offset = (size_t)((uintptr_t)piece - (uintptr_t)g_base);

	if (g_base == NULL || offset >= BLOCKS * BLOCK)
		free(piece);
	else
		free_piece((struct block *)(void *)(g_base + offset / BLOCK * BLOCK));
}

void json_together_begin(void)
{
	struct block *b = t_block;

	t_together = g_base != NULL;
	count_freed();
	if (b == NULL || atomic_load_explicit(&b->pieces, memory_order_acquire) != BEGUN - b->made)
		return;
	/* all of it is gone */
	b->made = 0;
	b->used = sizeof(*b);
	atomic_store_explicit(&b->pieces, BEGUN, memory_order_relaxed);
}

void json_together_end(void)
{
	t_together = false;
}

/* Sanitizers watch each piece better than a block. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHED true
#elif defined(__has_feature)
#define WATCHED                                                                                    \
	(__has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                    \
	 __has_feature(thread_sanitizer))
#else
#define WATCHED false
#endif

/* Before the first value is made. */
__attribute__((constructor)) static void give_memory(void)
{
	void *base = MAP_FAILED;

	json_set_alloc_funcs(json_alloc, json_release);
	if (!WATCHED && pthread_key_create(&g_owner, thread_ends) == 0)
		base = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base != MAP_FAILED)
		g_base = base;
}
