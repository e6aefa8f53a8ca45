/*
 * python_parts.h: between python.c, forker.c, keeper.c and channel.c alone.
 */
#ifndef CELERIAC_SANDBOX_AGENT_PYTHON_PARTS_H
#define CELERIAC_SANDBOX_AGENT_PYTHON_PARTS_H

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

/* ---- channel.c ---- */
/* pair[0] stays here. */
bool channel_open(int pair[2]);
bool channel_send(int channel, const void *data, size_t len, const int *fds, size_t count);
/* One byte and, told by the kernel, who sent it. 1, 0 = nothing yet, -1 = the end. */
int channel_receive(int channel, pid_t *ret_pid);

/* ---- forker.c ---- */
void forker_init(struct forker *f, const char *mode);
void forker_end(struct forker *f);
/* Waits until the server could not be looked into, or ends it. */
void forker_seal(struct forker *f);
/* Asks for one if it must, and waits a little if `patient`. */
bool forker_has_spare(const struct agent *a, struct forker *f, bool patient);
pid_t forker_take_spare(struct forker *f, int *ret_channel);
void forker_watch(const struct forker *f, struct pollfd fds[2]);
void forker_heard(const struct agent *a, struct forker *f, const struct pollfd fds[2]);
bool forker_reaped(struct forker *f, pid_t pid);
/* Is `pid` the server, its spare, or on its way to be one? */
bool forker_owns(const struct agent *a, struct forker *f, pid_t pid);
/* After a run: both are as they should be, or go; started, if it is not there and `start`. */
void forker_after(const struct agent *a, struct forker *f, bool start);
/* Asks for the spare that is due. Milliseconds until then, -1 = none is. */
int forker_tick(struct forker *f);

/* ---- keeper.c ---- */
/* The run goes to the conversation's interpreter, a new one where there is none that listens. 0 or
 * an errno. */
int keeper_start(struct agent *a);
void keeper_heard(struct agent *a);
/* Until it stands still, or has ended, whatever a run has sent it. */
void keeper_stop(struct agent *a);
/* Between two of its runs it stands still: it goes if it has not, whatever it had arranged to be
 * woken by. At each news of a child. */
void keeper_look(struct agent *a);
/* Has `pid` ended as a child of the keeper, which will see to it when it goes on? */
bool keeper_owns_zombie(const struct python *p, pid_t pid);

#endif
