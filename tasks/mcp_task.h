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
/* The lines of `text` that are not blank, without white space at their ends; the same form.
 * ERR_NOMEM. [any] */
int mcp_lines(const char *text, char ***ret, struct err *err) must_check;

/* ---- mcp_package.c ---- */
struct mcp_package {
	struct sandbox_package package; /* without its environment; borrows from the rest */
	const char **argv;	/* of the server, once it is installed; its words borrowed */
	const char **long_form; /* "npx -y …", where the command is the package alone; or NULL */
	const char *path;	/* a variable that the server needs, or NULL */
	char *id, *spec, *name, *program;
	const char *install[16], *link[5];
};
/*
 * Whether the words of a command stand for a package: 1, and what to do about it; 0: they are a
 * program of the image. Packages are "@scope/name", "name@version", with or without `npx -y` before
 * them, which any other name of npm's needs, and what follows `uvx`. ERR_INVALID: an option of
 * those two that is not known, a name that is none. `words` are borrowed. [any]
 */
int mcp_package_read(const char *const *words, struct mcp_package *ret, struct err *err) must_check;
void mcp_package_done(struct mcp_package *p);

/* ---- mcp_server.c ---- */
struct mcp_target {
	json_t *row;
	struct mcp_server server; /* borrows from the rest */
	char **argv, **env, **headers;
	char *url; /* of one in a container */
	struct mcp_package package;
	const char **install_env;	       /* those of `env` that its installer gets */
	const char **server_env;	       /* all, and what the package needs */
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
/* Where a catalogue may come from, the quickest first. */
enum mcp_freshness {
	MCP_TOOLS_KNOWN,  /* as this worker had it last */
	MCP_TOOLS_STORED, /* as it is stored */
	MCP_TOOLS_LISTED  /* by the server, now; then it is stored */
};
/* The catalogue, at least as fresh as `*at_least`, which then says how fresh it is. Given, to be
 * read alone. Waits while the database is away. */
int mcp_target_tools(struct task_ctx *ctx, const struct mcp_target *t, struct mcp_session *session,
		     enum mcp_freshness *at_least, usec_t deadline, json_t **ret,
		     struct err *err) must_check;

/* The row of the call's record. */
void mcp_record(struct task_ctx *ctx, const json_t *result, const char *conversation,
		const char *project);

#endif
