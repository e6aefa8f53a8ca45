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
/* The worker is about to end: its conversations are anybody's, but those that it is busy with.
 * [main] */
void route_leave(struct worker *w, const char *const *busy, size_t count);

#endif
