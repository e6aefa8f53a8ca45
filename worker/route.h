/*
 * route.h: calls of conversations and the nodes that have them.
 */
#ifndef CELERIAC_WORKER_ROUTE_H
#define CELERIAC_WORKER_ROUTE_H

#include "settle.h"
#include "worker.h"

/* Is it a call whose conversation lives on one node? */
bool route_wants(const struct request *r);
/* Everything of the last claim that wants it, RECEIVED, in its order; none is fine. Those that stay
 * are left in `list`, and how many is returned; the others are gone. Waits for its turn among the
 * workers. [consumer] */
size_t route_calls(struct worker *w, struct request **list, size_t count);
/* The same for one that was held and is of no claim any more, RECEIVED: true when it stays.
 * [consumer]
 */
bool route_held(struct request *r);
/* Our conversations are anybody's, but those that we are busy with. [main, consumer] */
void route_leave(struct worker *w, const char *const *busy, size_t count);
/* The same with those in which a call runs: others need not wait until that has ended. */
void route_hand_over(struct worker *w);

/*
 * drain.c: the worker's conversations are others', and it takes no new ones, but goes on with
 * everything else. [consumer]
 */
void drain_begin(struct worker *w);
void drain_end(struct worker *w);
/* To be called again and again: what ended meanwhile, or came back, is handed over, too. */
void drain_look(struct worker *w);

#endif
