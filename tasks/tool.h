/*
 * tool.h: what tools.* tasks share: the tool result, and a Python tool in its sandbox.
 */
#ifndef CELERIAC_TOOL_H
#define CELERIAC_TOOL_H

#include "task_house.h"

/* ---- tool_result.c ---- */
/* The argument `timeout` in seconds, else that of the call's terms. Raises ValueError. */
int tool_timeout(struct task_ctx *ctx, const json_t *value, usec_t *ret,
		 struct err *err) must_check;

/* ---- tool_python.c ---- */
struct python_tool {
	const char *tool;	     /* its name, or NULL: the only one */
	const json_t *files;	     /* object: path below the plugin's directory → base64 */
	const json_t *params;	     /* object */
	const json_t *context;	     /* object, or NULL */
	const json_t *plugin_config; /* object, or NULL; a secret */
	const char *conversation, *project; /* or NULL */
	usec_t timeout;
};
/* Runs it in a container of its own and fills the row. A tool that fails is a task that succeeded.
 */
int python_tool_run(struct task_ctx *ctx, const struct python_tool *tool, json_t **ret_result,
		    struct err *err) must_check;

/* ---- call.c ---- */
/* Is it the name of a core tool, or of those of MCP servers or HTTP tools? */
bool tool_name_is_taken(const char *name);

/* ---- plugin_config.c ---- */
/* What the plugin is configured with for this project, or for all: an object, given, for
 * json_wipe; NULL when there is none. Raises RuntimeError, which holds nothing of it, when it does
 * not open. Waits while the database is away. */
int plugin_config_load(struct task_ctx *ctx, const char *plugin, const char *project, json_t **ret,
		       struct err *err) must_check;

/* ---- plugin_dir.c ---- */
/* The files below `root`/`plugin` as python_tool wants them, and the digest of names and contents.
 * Regular files and directories only: ERR_DENIED names anything else. ERR_NOTFOUND: no such plugin;
 * ERR_INVALID: no name of one, or it lacks its tools.py; ERR_TOOBIG: BOUND_PLUGIN_FILES,
 * BOUND_PLUGIN_BYTES. Given. [any] */
#define PLUGIN_DIGEST_SIZE 65
bool plugin_name_is_good(const char *name);
int plugin_dir_read(const char *root, const char *plugin, json_t **ret_files,
		    char ret_digest[PLUGIN_DIGEST_SIZE], struct err *err) must_check;

#endif
