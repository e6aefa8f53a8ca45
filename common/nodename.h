/*
 * nodename.h: the names of workers. Private to common/.
 */
#ifndef CELERIAC_NODENAME_H
#define CELERIAC_NODENAME_H

#include "base.h"
#include "err.h"

/* Celery's node names: "celery@%h" → "celery@host", "w1" → "celery@w1". %h host name, %n its first
 * part, %d its domain, %% a percent sign. Given. ERR_INVALID. */
int nodename_expand(const char *text, char **ret, struct err *err);

/* A file's name, by Celery's rules for those: %h %d host and domain of the node, %n its name before
 * the @, %p all of it; %i and %I are "0" and "", for there is one process. Given. ERR_INVALID. */
int nodename_expand_path(const char *text, const char *node, char **ret, struct err *err);

/* A name for keys and container labels: 1 to 100 of [A-Za-z0-9_.-], beginning with a letter or
 * digit. Given. ERR_INVALID. */
int nodename_check_label(const char *text, char **ret, struct err *err);
/* The same after expansion. */
int nodename_expand_label(const char *text, char **ret, struct err *err);

#endif
