/*
 * keeper.h: between python.c and keeper.c alone.
 */
#ifndef CELERIAC_SANDBOX_AGENT_KEEPER_H
#define CELERIAC_SANDBOX_AGENT_KEEPER_H

#include "agent.h"

/* Flags of an order, as python_server.py knows them. */
#define ORDER_STATEFUL 1u

/* ---- python.c ---- */
void python_close(int *fd);
/* Ends a child of ours, if there is one, and waits for it. */
void python_kill(pid_t *pid, int *fd);
/* The run's streams, arguments and environment to a process that waits for them. */
bool python_send_order(int channel, const struct run *r, uint32_t flags);
/* An interpreter of ours with a channel, in the given mode. */
bool python_start_own(const char *mode, pid_t *ret_pid, int *ret_fd);
/* The spare becomes the leader, if there is one. */
bool python_use_spare(struct agent *a, uint32_t flags, int *ret_channel);

/* ---- keeper.c ---- */
/* The run goes to the conversation's interpreter, a new one where there is none that listens. 0 or
 * an errno. */
int keeper_start(struct agent *a);
void keeper_heard(struct agent *a);
/* Until it stands still, or has ended, whatever a run has sent it. */
void keeper_stop(struct agent *a);
/* Has `pid` ended as a child of the keeper, which will see to it when it goes on? */
bool keeper_owns_zombie(const struct python *p, pid_t pid);

#endif
