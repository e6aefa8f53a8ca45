/*
 * check.h: what the files of --check share. See check.c.
 */
#ifndef CELERIAC_WORKER_CHECK_H
#define CELERIAC_WORKER_CHECK_H

#include "err.h"
#include "redis.h"
#include "settings.h"

/* One line: ok with `detail`, or, with `err`, FAIL and why, which counts. */
void check_verdict(const char *what, const struct err *err, const char *detail, int *failures);
/* One line of what the worker runs with all the same. */
void check_note(const char *what, const char *fmt, ...) printf_like(2, 3);

/* ---- check_services.c: how the services around the worker are set up ---- */
/* A Redis that throws keys away when it is full loses messages: ERR_CONFLICT. Notes one that keeps
 * nothing on disk, and one that does not say. */
int check_redis_keeps(const char *what, struct redis *r, struct err *err) must_check;
/* Notes a pooler in front of the database that gives each transaction another session. */
void check_pooler(const struct settings *s);
/* Notes a limit of descriptors that so many containers do not fit in. */
void check_descriptors(const struct settings *s, int64_t containers);

#endif
