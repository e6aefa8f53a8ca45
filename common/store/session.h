/*
 * session.h: what the files of common/store share: the store itself, its connections, and values on
 * their way into SQL.
 */
#ifndef CELERIAC_STORE_SESSION_H
#define CELERIAC_STORE_SESSION_H

#include <stdatomic.h>
#include <string.h>

#include "buf.h"
#include "codec.h"
#include "pg.h"
#include "store.h"

#include "migrations.h"

struct store {
	struct pg_pool *pool;
	char *url;	      /* secret */
	char *media_dir;      /* absolute, or NULL: contents go into the row */
	atomic_bool answered; /* relaxed: only /readyz looks at it */
};

/* Borrows a connection for one call of the store. */
int session_begin(struct store *s, struct pg **ret, struct err *err) must_check;
/* Gives it back (`c` may be NULL) and notes whether the database answered. Returns `rc`. */
int session_end(struct store *s, struct pg *c, int rc, const struct err *err);

/* A number as text, for a parameter. */
struct decimal {
	char text[24];
};
struct decimal decimal(int64_t value);

/* What identifies a task must be UTF-8; names the field otherwise. ERR_INVALID. */
int task_check(const struct store_task *t, struct err *err) must_check;

/* ---- media.c ---- */
/*
 * Keeps bytes under `dir` by their digest, once, and durably before it returns. `ret_path` given. A
 * full disk and a directory that is not there are transient.
 */
int media_keep(const char *dir, const char *sha256, const void *data, size_t len, char **ret_path,
	       struct err *err) must_check;

/* Removes what was begun to be written before `before` (wall, the machine's) and never ended. */
int media_sweep(const char *dir, usec_t before, int64_t *ret_removed, struct err *err) must_check;

/* ---- media_prune.c ---- */
#define MEDIA_BATCH 256
struct media_prune {
	usec_t before; /* the machine's wall: files touched since stay */
	/* Of at most MEDIA_BATCH digests, those that a row names become "". */
	int (*leave_unnamed)(void *arg, char digests[][SHA256_HEX_SIZE], size_t count,
			     struct err *err);
	void *arg;
	bool (*stop)(void *arg); /* or NULL */
	void *stop_arg;
	usec_t deadline; /* monotonic */
};
/* Removes files below `dir` that no row names, until there are none or it is over; adds to *files
 * and *bytes what is gone. */
int media_prune(const char *dir, const struct media_prune *p, int64_t *files, int64_t *bytes,
		struct err *err) must_check;

/* ---- migrate.c ---- */
/* What store_migrate does with g_migrations. */
int migrate_run(struct pg *c, const struct migration_text *list, size_t count, int *ret_applied,
		struct err *err) must_check;
/* The database's version, 0 without a schema; ERR_CONFLICT when its history has a gap. */
int migrate_version(struct pg *c, int *ret, struct err *err) must_check;

/* ---- output.c ---- */
/* Writes the rows of `files`, described before, in the open transaction, and removes other files of
 * the task. */
int output_write(struct store *s, struct pg *c, const struct store_task *t,
		 const struct store_file *files, size_t count, struct err *err) must_check;

#endif
