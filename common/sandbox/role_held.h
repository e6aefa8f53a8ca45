/*
 * role_held.h: what passes between a worker and the keeper of its role: descriptors, each with one
 * byte.
 */
#ifndef CELERIAC_ROLE_HELD_H
#define CELERIAC_ROLE_HELD_H

#include "buf.h"
#include "engine_role.h"

/* In the environment of a keeper: its two ends, and "again" once it has begun. */
#define HELD_BY "CELERIAC_ENGINE_HELD"

/* Given, each of them, NULL-terminated. Pure. */
char **engine_held_environment(char *const *from, const struct settings *s, const char *host,
			       const char *certificates, int keeper, int control);

/* A copy of `fd`. ERR_UNAVAILABLE: nobody is there, or many wait already. [any] */
int engine_held_send(int to, int fd, struct err *err) must_check;
/* 1: a message, with *ret_fd -1 where it carried none; 0: there is none now; -1: the other end is
 * gone. */
int engine_held_receive(int from, int *ret_fd);
/* A connection to the role behind `control`. [any] */
int engine_held_connect(int control, int *ret, struct err *err) must_check;

#endif
