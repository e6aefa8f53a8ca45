/*
 * dead_queue.h: dead letters in RabbitMQ's queue celeriac.dead, where there is no Redis; see
 * dead.h, whose functions these are. All of them are delivered to us, alone, and stay
 * unacknowledged until they are thrown away or put back: the others are the server's again, in
 * their order, at the end.
 */
#ifndef CELERIAC_DEAD_QUEUE_H
#define CELERIAC_DEAD_QUEUE_H

#include "dead.h"

struct broker;
struct dead_queue;
/* Waits for the server. Borrows `b`. */
int dead_queue_open(struct broker *b, struct dead_queue **ret, struct err *err) must_check;
void dead_queue_close(struct dead_queue *q); /* NULL is fine */
int dead_queue_each(struct dead_queue *q, dead_each_fn *fn, void *arg, struct err *err) must_check;
int dead_queue_find(struct dead_queue *q, const char *id, struct dead_letter *ret,
		    struct err *err) must_check;
int dead_queue_drop(struct dead_queue *q, const struct dead_letter *letter,
		    struct err *err) must_check;
/* Published to `queue`, confirmed, and then acknowledged. */
int dead_queue_requeue(struct dead_queue *q, const struct dead_letter *letter, const char *queue,
		       struct err *err) must_check;

#endif
