/*
 * store.h: what is kept in PostgreSQL: one row per tool or sandbox task, and the files a run made.
 *
 * Schema `celeriac`, migrations in deploy/sql/. Every function [any]; transient errors (outage,
 * deadlock, full disk) are the caller's to retry. NULs and invalid UTF-8 in text are replaced
 * before they get here or refused by name.
 */
#ifndef CELERIAC_STORE_H
#define CELERIAC_STORE_H

#include <jansson.h>

#include "base.h"
#include "err.h"
#include "settings.h"

struct store;

/* Connects lazily. [init] */
int store_open(const struct settings *settings, struct store **ret, struct err *err) must_check;
void store_close(struct store *s);

/* The newest migration built into this program, and the one the database has; ERR_UNSUPPORTED when
 * the database is older (says how to migrate) or has none. A newer database is fine. */
int store_check(struct store *s, int *ret_version, struct err *err) must_check;

/* Whether two connections get one session of the server, as behind a pooler that gives each
 * transaction another. Connects twice. [init] */
int store_shares_sessions(const char *url, bool *ret, struct err *err) must_check;

/* Brings the schema up to date as the owner, under an advisory lock, each migration in its own
 * transaction. Returns how many ran. [init] */
int store_migrate(const char *owner_url, int *ret_applied, struct err *err) must_check;

/* One attempt at one task. Strings borrowed. */
struct store_task {
	const char *task_id;
	const char *kind;		    /* "sandbox", "plugin", "http", "mcp" */
	const char *tool;		    /* our task name */
	const char *conversation, *project; /* or NULL */
	const json_t *params;		    /* secrets already redacted */
	int retries;
	const char *worker; /* node */
	int64_t epoch;
	/* Tag of this delivery, or NULL: the same delivery may begin or take over again when an
	 * answer was lost, another delivery of the task in the same process may not. */
	const char *delivery;
	const char *traceparent; /* or NULL */
};

enum store_begin_verdict {
	STORE_BEGUN,	/* the row is ours: run it */
	STORE_FINISHED, /* it ran before: `result` is what it returned; store it again and ack */
	STORE_RUNNING /* (worker, epoch) has it; take it over with store_take_over if that owner is
			 dead */
};
struct store_begin {
	enum store_begin_verdict verdict;
	int attempt;
	json_t *result; /* FINISHED: given */
	bool failed;	/* FINISHED: `result` is the exception of a FAILURE, {exc_type, exc_message,
			   exc_module} */
	char worker[128];
	int64_t epoch;
	char container[72]; /* RUNNING: where it ran, "" if not known */
};
/* Inserts the row as `running`, or says what is there. A row of an earlier retry (fewer retries) is
 * begun anew; a row of a later one answers for it: RUNNING or FINISHED. ERR_CONFLICT: the row is
 * that of a call with another tool, conversation or project. */
int store_begin_task(struct store *s, const struct store_task *t, struct store_begin *ret,
		     struct err *err) must_check;
/* Makes a running row of (old_worker, old_epoch) ours; *ret_attempt is the attempt that may still
 * be going somewhere. ERR_CONFLICT when somebody else was faster, or when the row belongs to a
 * later retry. */
int store_take_over(struct store *s, const struct store_task *t, const char *old_worker,
		    int64_t old_epoch, int *ret_attempt, struct err *err) must_check;
/* Notes which attempt runs, and in which container. ERR_CONFLICT: the row is not ours. */
int store_note_run(struct store *s, const struct store_task *t, int attempt, const char *container,
		   struct err *err) must_check;

struct store_file {
	char id[37]; /* filled by store_finish_task: a uuid, the same for the same task and name */
	const char *name;
	char mime[80];	 /* filled: by name, then by content */
	char sha256[65]; /* filled */
	const char *data;
	size_t len;
};
struct store_finish {
	const char *status; /* "ok", "error", … */
	int exit_code;
	const char *stdout_text, *stderr_text; /* no NULs */
	const char *container;
	const char *error;    /* or NULL */
	const json_t *detail; /* object, or NULL */
	struct store_file *files;
	size_t file_count;
	bool failed; /* state 'failed' instead of 'finished': the task is a Celery FAILURE */
};
/*
 * Fills ids, types and digests of `files`: pure, called before the result is built. [any]
 */
void store_describe_files(const struct store_task *t, struct store_file *files, size_t count);
/*
 * Rows and bytes in one transaction: files to conversation_outputs (into MEDIA_DIR by digest when
 * set), the row to finished with `result`. Holds only for the same (worker, epoch, retries):
 * ERR_CONFLICT when the row is somebody else's now, and then nothing was written. After a transient
 * error it can be called again, whatever became of the first call. ERR_TOOBIG: `result` as JSON is
 * longer than BOUND_RESULT_BYTES.
 */
int store_finish_task(struct store *s, const struct store_task *t, const struct store_finish *f,
		      const json_t *result, struct err *err) must_check;

/* Removes what writers of files that died a day ago have left in MEDIA_DIR; how many, 0 without
 * one. Asks no database. [any] */
int store_sweep_media(struct store *s, int64_t *ret_removed, struct err *err) must_check;

/* What is older goes: ages, 0 = nothing does. */
struct store_retention {
	usec_t results, outputs, events; /* tool_results, conversation_outputs, activity_events */
	usec_t media;			 /* files in MEDIA_DIR that no row names */
	usec_t deadline;		 /* monotonic */
	bool (*stop)(void *arg);	 /* asked between batches; or NULL */
	void *arg;
};
struct store_retained {
	int64_t results, outputs, events, files, bytes; /* what is gone */
	bool more;					/* it was over before all was looked at */
};
/* Adds to `done`, also on failure: to be called again after a transient one. Tool calls and files
 * stay for a day and events for a week whatever the ages say: celeriac.prune in the database.
 * Several may do it at once. MEDIA_DIR must be that of this database alone. Blocks. */
int store_retain(struct store *s, const struct store_retention *r, struct store_retained *done,
		 struct err *err) must_check;

/* True if the database answered last time. For /readyz. */
bool store_ready(const struct store *s);

/* ---- what the application has configured ---- */
struct policy;
/* Appends policy_rules, sandbox_settings and project_quotas to `into`, as they are at one instant.
 * A rule that cannot be read is logged; one that denies then denies everything of its kind and
 * project. */
int store_load_policy(struct store *s, struct policy *into, struct err *err) must_check;

/* The enabled row of http_tools of that name, the project's own or the one for all, as an object of
 * its columns; given. ERR_NOTFOUND: none that this project may name. */
int store_load_http_tool(struct store *s, const char *name, const char *project, json_t **ret,
			 struct err *err) must_check;

/* Adds `tools` (openapi.h) for all projects, as the schema's owner; a name that is there already
 * stays what it is. [init] */
int store_import_http_tools(const char *owner_url, const json_t *tools, int64_t *ret_added,
			    struct err *err) must_check;

/* The sealed configuration of a plugin, the project's own or the one for all (project NULL: only
 * that), and the place it was sealed for. Given. ERR_NOTFOUND. */
#define STORE_PLACE_SIZE 64
int store_load_plugin_config(struct store *s, const char *plugin, const char *project,
			     char **ret_sealed, char ret_place[STORE_PLACE_SIZE],
			     struct err *err) must_check;

/* The id of the row of mcp_servers of that id, or name, whoever may use it. ERR_NOTFOUND. */
int store_find_mcp_server(struct store *s, const char *key, bool by_id, int64_t *ret_id,
			  struct err *err) must_check;
/* The enabled row of mcp_servers of that id, or name, that this project may use, as an object of
 * its columns and `hash`, which is another one as soon as anything of it is; given. ERR_NOTFOUND.
 */
int store_load_mcp_server(struct store *s, const char *key, bool by_id, const char *project,
			  json_t **ret, struct err *err) must_check;
/* Which enabled server, and which tool of it, "<server>_<tool>" stands for: where several could be
 * meant, one whose catalogue has the tool, then the longer name. `ret_tool`: in `name`.
 * ERR_NOTFOUND. */
int store_find_mcp_tool(struct store *s, const char *name, const char *project, int64_t *ret_server,
			const char **ret_tool, struct err *err) must_check;
/* The catalogue of a server, if it was listed with that configuration: an array of {name,
 * description, inputSchema}; given. ERR_NOTFOUND. */
int store_load_mcp_tools(struct store *s, int64_t server, const char *hash, json_t **ret,
			 struct err *err) must_check;
/* Replaces it by `tools`, as mcp_client_list_tools gives them. */
int store_save_mcp_tools(struct store *s, int64_t server, const char *hash, const json_t *tools,
			 struct err *err) must_check;

/* The enabled rows of periodic_tasks, an array of objects; given. */
int store_load_periodic_tasks(struct store *s, json_t **ret, struct err *err) must_check;
/* Adds rows, an array of objects of its columns, as the schema's owner; a name that is there
 * already stays what it is. [init] */
int store_import_periodic_tasks(const char *owner_url, const json_t *rows, int64_t *ret_added,
				struct err *err) must_check;
/* Writes what ran: an array of {name, last_run_at (ISO), total_run_count}, in one statement. Names
 * that have no row, and runs before the last that is written, are passed over. */
int store_note_periodic_tasks(struct store *s, const json_t *runs, struct err *err) must_check;

/* Which beat leads: `holder`, for `ttl` from when it says so. Strings borrowed. */
struct store_lease {
	const char *instance, *holder;
	usec_t ttl;
};
/* Takes it if it is nobody's, or renews it; whose it is then, "" = nobody's, cut to `size`. Of
 * these functions each gives up at a monotonic deadline: what it was to do may have been done. */
int store_take_lease(struct store *s, const struct store_lease *l, usec_t deadline, char *holder,
		     size_t size, struct err *err) must_check;
int store_leave_lease(struct store *s, const struct store_lease *l, usec_t deadline,
		      struct err *err) must_check;
/* Whose it is, and for how long yet, 0 = nobody's. */
int store_read_lease(struct store *s, const char *instance, usec_t deadline, char *holder,
		     size_t size, usec_t *ret_left, struct err *err) must_check;
/*
 * When entries of beat's schedule ran last: a state each, text that only this program's beat reads.
 * Each step is one statement over a list of [name, state, next state], renews the lease if it is
 * ours, and answers with a list of as many, given.
 */
enum store_ledger_step {
	STORE_LEDGER_LOAD, /* states; those of new entries become `state`; null: being made */
	STORE_LEDGER_LOOK, /* null, or the state where it is another; *ret_leads: the lease is ours
			    */
	STORE_LEDGER_MARK, /* from `state`, or none, to `next`: null, or the state that was there */
};
int store_ledger(struct store *s, enum store_ledger_step step, const struct store_lease *l,
		 const json_t *entries, usec_t deadline, bool *ret_leads, json_t **ret,
		 struct err *err) must_check;

struct store_watch;
/* Tells of changes of configuration tables. [init] */
int store_watch_new(struct store *s, struct store_watch **ret, struct err *err) must_check;
void store_watch_free(struct store_watch *w);
/* Connects (anew). What changes from now on is told. [owner] */
int store_watch_open(struct store_watch *w, struct err *err) must_check;
/* 1 and the table's name; 0 at the monotonic deadline or when `wake_fd` is readable; an error: to
 * be opened again. */
#define STORE_TABLE_SIZE 64
int store_watch_wait(struct store_watch *w, int wake_fd, usec_t deadline,
		     char ret_table[STORE_TABLE_SIZE], struct err *err) must_check;

/* ---- the audit ---- */
/* Adds `events`, an array of objects whose members are columns of activity_events (`at` as
 * seconds), in one statement. */
int store_add_activity(struct store *s, const json_t *events, struct err *err) must_check;

#endif
