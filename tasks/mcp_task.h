/*
 * mcp_task.h: what mcp.* tasks share: a row of mcp_servers, ready to be reached.
 */
#ifndef CELERIAC_MCP_TASK_H
#define CELERIAC_MCP_TASK_H

#include "task_house.h"

/* ---- mcp_command.c ---- */
/* The words of a command as a shell would split them: blanks, single and double quotes,
 * backslashes; nothing is expanded. NULL-terminated, one block, given. ERR_INVALID: a quote is not
 * closed; ERR_TOOBIG. [any] */
int mcp_command_split(const char *text, char ***ret, struct err *err) must_check;
/* The lines of `text` that are not blank, without white space at their ends; the same form. [any]
 */
char **mcp_lines(const char *text);

/* ---- mcp_server.c ---- */
struct mcp_target {
	json_t *row;
	struct mcp_server server; /* borrows from the rest */
	char **argv, **env, **headers;
	char *url;			       /* of one in a container */
	char *environment_text, *headers_text; /* open; wiped */
};
/* Loads the server that `key` (an id or a name) names for `project`. ERR_NOTFOUND; ERR_DENIED with
 * the policy's reason; what seal_open says. Waits while the database is away. */
int mcp_target_load(struct task_ctx *ctx, const json_t *key, const char *project,
		    struct mcp_target *ret, struct err *err) must_check;
/* Its id alone: enough to end what runs, whatever the policy says of it, whoever's it is and
 * whether its secrets can be opened. ERR_NOTFOUND. Waits while the database is away. */
int mcp_target_find(struct task_ctx *ctx, const json_t *key, int64_t *ret,
		    struct err *err) must_check;
void mcp_target_done(struct mcp_target *t);
/* The catalogue: as it is stored, or listed anew by `session` (then stored). Given. Waits while the
 * database is away. */
int mcp_target_tools(struct task_ctx *ctx, const struct mcp_target *t, struct mcp_session *session,
		     bool anew, usec_t deadline, json_t **ret, struct err *err) must_check;

/* The row of the call's record. */
void mcp_record(struct task_ctx *ctx, const json_t *result, const char *conversation,
		const char *project);

#endif
