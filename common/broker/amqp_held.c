/*
 * amqp_held.c: the deliveries that we hold, by number, with their messages.
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "amqp_broker.h"
#include "mem.h"

struct amqp_held {
	uint64_t number;
	struct amqp_ref ref;
	char *data;
	size_t len;
	struct amqp_way way;
	UT_hash_handle hh;
};

static void free_held(struct amqp_broker *a, struct amqp_held *h)
{
	if (h->way.queue != NULL)
		atomic_fetch_sub(&a->own_held, 1);
	free(h->data);
	free(h->way.queue);
	free(h);
}

static struct amqp_held *find(const struct amqp_broker *a, uint64_t number)
{
	struct amqp_held *h;

	HASH_FIND(hh, a->held, &number, sizeof(number), h);
	return h;
}

uint64_t amqp_held_add(struct broker *b, struct amqp_ref ref, char *data, size_t len)
{
	struct amqp_broker *a = b->amqp;
	struct amqp_held *h = xcalloc(1, sizeof(*h));

	*h = (struct amqp_held){.number = ++b->next_number, .ref = ref, .data = data, .len = len};
	mutex_lock(&a->lock);
	HASH_ADD(hh, a->held, number, sizeof(h->number), h);
	atomic_store(&a->held_count, HASH_COUNT(a->held));
	mutex_unlock(&a->lock);
	return h->number;
}

void amqp_held_came(struct broker *b, uint64_t number, struct amqp_way *way)
{
	struct amqp_broker *a = b->amqp;
	struct amqp_held *h;

	mutex_lock(&a->lock);
	h = find(a, number);
	if (h != NULL) {
		h->way = *way;
		if (way->queue != NULL)
			atomic_fetch_add(&a->own_held, 1);
		*way = (struct amqp_way){0};
	}
	mutex_unlock(&a->lock);
	free(TAKE(way->queue));
}

void amqp_held_way(struct broker *b, uint64_t number, char **ret_queue, int *ret_hops)
{
	struct amqp_broker *a = b->amqp;
	const struct amqp_held *h;

	mutex_lock(&a->lock);
	h = find(a, number);
	if (h != NULL && ret_queue != NULL)
		*ret_queue = h->way.queue ? xstrdup(h->way.queue) : NULL;
	if (h != NULL && ret_hops != NULL)
		*ret_hops = h->way.hops;
	mutex_unlock(&a->lock);
}

int64_t amqp_held_deliveries(struct broker *b, uint64_t number)
{
	struct amqp_broker *a = b->amqp;
	const struct amqp_held *h;
	int64_t ret;

	mutex_lock(&a->lock);
	h = find(a, number);
	ret = h != NULL ? h->way.deliveries : 0;
	mutex_unlock(&a->lock);
	return ret;
}

bool amqp_held_ref(struct broker *b, uint64_t number, struct amqp_ref *ret)
{
	struct amqp_broker *a = b->amqp;
	const struct amqp_held *h;

	mutex_lock(&a->lock);
	h = find(a, number);
	if (h != NULL)
		*ret = h->ref;
	mutex_unlock(&a->lock);
	return h != NULL;
}

bool amqp_held_has(struct broker *b, uint64_t number)
{
	struct amqp_broker *a = b->amqp;
	bool has;

	mutex_lock(&a->lock);
	has = find(a, number) != NULL;
	mutex_unlock(&a->lock);
	return has;
}

bool amqp_held_copy(struct broker *b, uint64_t number, char **ret, size_t *ret_len)
{
	struct amqp_broker *a = b->amqp;
	const struct amqp_held *h;
	bool has;

	mutex_lock(&a->lock);
	h = find(a, number);
	has = h != NULL;
	if (has) {
		*ret = xmemdup(h->data, h->len);
		*ret_len = h->len;
	}
	mutex_unlock(&a->lock);
	return has;
}

bool amqp_held_take(struct broker *b, uint64_t number, struct amqp_ref *ret_ref, char **ret,
		    size_t *ret_len)
{
	struct amqp_broker *a = b->amqp;
	struct amqp_held *h;

	mutex_lock(&a->lock);
	h = find(a, number);
	if (h != NULL)
		HASH_DEL(a->held, h);
	atomic_store(&a->held_count, HASH_COUNT(a->held));
	mutex_unlock(&a->lock);
	if (h == NULL)
		return false;
	*ret_ref = h->ref;
	if (ret != NULL) {
		*ret = TAKE(h->data);
		*ret_len = h->len;
	}
	free_held(a, h);
	return true;
}

void amqp_held_forget(struct broker *b)
{
	struct amqp_broker *a = b->amqp;
	struct amqp_held *h, *next;

	mutex_lock(&a->lock);
	HASH_ITER(hh, a->held, h, next)
	{
		HASH_DEL(a->held, h);
		free_held(a, h);
	}
	atomic_store(&a->held_count, 0);
	mutex_unlock(&a->lock);
}

uint64_t amqp_tag_number(const char *tag)
{
	const char *number = strrchr(tag, ':');

	return number ? strtoull(number + 1, NULL, 10) : 0;
}
