/*
 * broadcast.h: consuming from fanout exchanges, Celery's Broadcast queues. On Redis such an
 * exchange is a channel (kombu/transport/redis.py): whoever listens gets a copy, whoever does not
 * gets none.
 *
 * What is heard goes at once into a list that belongs to this node and queue,
 * "celeriac:<instance>:broadcast:<node>:<queue>", from which the consumer takes it as from any
 * other: so it is held, acknowledged, given back and restored as all else, and waits where kombu
 * keeps it in memory. A list that nobody reads any more expires after a day. It is bound to the
 * exchange as long as it is listened to, for clients that do not know that the exchange is one.
 *
 * For one thread, but for broadcast_new and broadcast_free.
 */
#ifndef CELERIAC_BROADCAST_H
#define CELERIAC_BROADCAST_H

#include "broker.h"

struct broadcast;

/* True when there may be something to listen to: a queue of the settings is on a fanout exchange of
 * Redis. [any] */
bool broadcast_wanted(const struct broker *b);
/* [init] */
struct broadcast *broadcast_new(struct broker *b);
void broadcast_free(struct broadcast *l);
/* Connects anew. To be called first, and again after an error of broadcast_receive. */
int broadcast_connect(struct broadcast *l, struct err *err) must_check;
/* Listens for the queues that are consumed at this moment, and for no others; then hands over what
 * comes until `wake_fd` is readable or the monotonic `deadline` has passed. */
int broadcast_receive(struct broadcast *l, int wake_fd, usec_t deadline,
		      struct err *err) must_check;

#endif
