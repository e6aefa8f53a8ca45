/*
 * proxy.h: connections of a run to the loopback address, as channels of the frame stream.
 */
#ifndef CELERIAC_SANDBOX_AGENT_PROXY_H
#define CELERIAC_SANDBOX_AGENT_PROXY_H

#include <poll.h>

#include "agent.h"

void proxy_init(struct proxy *p);
/* Listens; 0 or an errno. */
int proxy_open(struct proxy *p);
/* The run is a server, which is connected to. */
void proxy_serve(struct proxy *p);
/* Ends every connection, without a word to the worker: it has been replaced, or the run is over. */
void proxy_reset(struct proxy *p);
/* The same, and listens no more. */
void proxy_close(struct proxy *p);
/* Fills in what to wait for: so many entries, of which some may be unused (fd -1). */
size_t proxy_poll(const struct agent *a, struct pollfd fds[1 + FRAME_DIALS]);
/* After poll, with the same array. */
void proxy_work(struct agent *a, const struct pollfd fds[1 + FRAME_DIALS]);
/* CHANNEL_DIAL, CHANNEL_DATA, CHANNEL_END, CHANNEL_TAKEN. */
void proxy_frame(struct agent *a, const struct frame *f);

#endif
