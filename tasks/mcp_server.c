/*
 * mcp_server.c: a row of mcp_servers on its way to a session.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mcp_task.h"
#include "mem.h"
#include "tasks.h"

/* What `server_id` may be. */
struct server_key {
	char number[32];
	const char *text;
	bool by_id;
};

static int read_key(const json_t *key, struct server_key *ret, struct err *err)
{
	struct server_key k = {.text = json_string_value(key), .by_id = json_is_integer(key)};

	if (k.by_id)
		snprintf(k.number, sizeof(k.number), "%lld", (long long)json_integer_value(key));
	else if (k.text && *k.text && strlen(k.text) < 19 &&
		 strspn(k.text, "0123456789") == strlen(k.text))
		k.by_id = true;
	if ((!k.text && !k.by_id) || json_is_python_number(key) ||
	    (k.text && !k.by_id && strlen(k.text) != json_string_length(key)))
		return err_set(err, ERR_NOTFOUND, "server_id must be the id or the name of one");
	*ret = k;
	if (!ret->text)
		ret->text = ret->number;
	return 0;
}

static int load_row(struct task_ctx *ctx, const json_t *key, const char *project, json_t **ret,
		    struct err *err)
{
	struct server_key k;
	int rc = read_key(key, &k, err);

	if (rc < 0)
		return rc;
	do
		rc = store_load_mcp_server(task_ctx_store(ctx), k.text, k.by_id, project, ret, err);
	while (task_asks_again(ctx, &rc, err));
	return rc;
}

int mcp_target_find(struct task_ctx *ctx, const json_t *key, int64_t *ret, struct err *err)
{
	struct server_key k;
	int rc = read_key(key, &k, err);

	if (rc < 0)
		return rc;
	do
		rc = store_find_mcp_server(task_ctx_store(ctx), k.text, k.by_id, ret, err);
	while (task_asks_again(ctx, &rc, err));
	return rc;
}

/* A text of the row, opened if it is sealed. Given, to be wiped. */
static int open_text(struct task_ctx *ctx, const json_t *row, const char *column, char **ret,
		     struct err *err)
{
	const char *text = json_member_str(row, column);
	_cleanup_buf_ struct buf open = BUF_INIT(BOUND_ENV_BYTES * 2);
	char place[80];
	int rc;

	if (!text || !seal_is_sealed(text)) {
		*ret = xstrdup(text ? text : "");
		return 0;
	}
	snprintf(place, sizeof(place), "mcp_servers.%s.%lld", column,
		 (long long)json_integer_value(json_object_get(row, "id")));
	rc = seal_open(task_ctx_seal_keys(ctx), place, text, &open, err);
	if (rc == 0)
		*ret = xstrndup(open.data, open.len);
	else
		record_unopened(ctx, err);
	wipe(open.data, open.len);
	return rc;
}

static const char *text_of(const json_t *row, const char *column)
{
	const char *text = json_member_str(row, column);

	return text ? text : "";
}

static enum mcp_transport_kind transport_of(const char *name)
{
	if (strcmp(name, "sse") == 0)
		return MCP_SSE;
	return strcmp(name, "stdio") == 0 ? MCP_STDIO : MCP_STREAMABLE;
}

/* Where one in a container is reached, by the connections that its instance gives. */
static void set_place(struct mcp_target *t)
{
	const json_t *row = t->row;
	int64_t port = json_integer_value(json_object_get(row, "port"));

	if (!t->server.docker || t->server.transport == MCP_STDIO)
		return;
	t->server.port = (uint16_t)port;
	t->url = xasprintf("http://127.0.0.1:%u%s", (unsigned)port, text_of(row, "endpoint_path"));
	t->server.url = t->url;
}

/* Settings of installers; nothing else of the server's is theirs. */
static bool is_for_installer(const char *entry)
{
	static const char *const prefixes[] = {"npm_config_", "pip_"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncasecmp(entry, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* A command that stands for a package: it is installed, and the server is what it holds. */
static int set_package(struct task_ctx *ctx, struct mcp_target *t, struct err *err)
{
	size_t count = 0, installing = 0;
	int rc = mcp_package_read(t->server.argv, &t->package, err);

	if (rc <= 0)
		return rc;
	while (t->env[count])
		count++;
	t->install_env = xcalloc(count + 1, sizeof(*t->install_env));
	t->server_env = xcalloc(count + 2, sizeof(*t->server_env));
	for (size_t i = 0; i < count; i++) {
		t->server_env[i] = t->env[i];
		if (is_for_installer(t->env[i]))
			t->install_env[installing++] = t->env[i];
	}
	t->server_env[count] = t->package.path;
	t->package.package.env = t->install_env;
	t->server.package = &t->package.package;
	t->server.egress = task_ctx_way_out(ctx, t->server.project);
	t->server.argv = t->package.argv;
	t->server.env = t->server_env;
	return 0;
}

static int fill(struct task_ctx *ctx, struct mcp_target *t, struct err *err)
{
	const json_t *row = t->row;
	const char *network = task_ctx_settings(ctx)->mcp_network;
	int rc = open_text(ctx, row, "environment", &t->environment_text, err);

	if (rc == 0)
		rc = open_text(ctx, row, "headers", &t->headers_text, err);
	if (rc == 0)
		rc = mcp_command_split(text_of(row, "command"), &t->argv, err);
	if (rc == 0)
		rc = mcp_lines(t->environment_text, &t->env, err);
	if (rc == 0)
		rc = mcp_lines(t->headers_text, &t->headers, err);
	if (rc < 0)
		return rc;
	t->server = (struct mcp_server){
		.id = json_integer_value(json_object_get(row, "id")),
		.name = text_of(row, "name"),
		.docker = strcmp(text_of(row, "runtime"), "docker") == 0,
		.transport = transport_of(text_of(row, "transport")),
		.image = text_of(row, "image"),
		.argv = (const char *const *)t->argv,
		.env = (const char *const *)t->env,
		.network = strcmp(network, "none") == 0 ? NULL : network,
		.project = json_member_str(row, "project_id"),
		.url = text_of(row, "url"),
		.headers = (const char *const *)t->headers,
		.keep = json_is_true(json_object_get(row, "keep_running")),
		.hash = text_of(row, "hash"),
	};
	set_place(t);
	if (t->server.docker && !t->argv[0])
		return err_set(err, ERR_INVALID, "MCP server %.100s has no command",
			       t->server.name);
	return 0;
}

/* Server, and of one in a container its image and command. */
static int ask_policy(struct task_ctx *ctx, const struct mcp_target *t, struct err *err)
{
	const struct mcp_server *s = &t->server;
	const char *const *words = (const char *const *)t->argv;
	_cleanup_buf_ struct buf command = BUF_INIT(BOUND_ENV_BYTES);
	char reason[TASK_REASON_SIZE];
	bool ours = strcmp(s->image, task_ctx_settings(ctx)->sandbox_image) == 0;

	if (!task_ctx_may(ctx, POLICY_MCP_SERVER, s->name, true, reason))
		return err_set(err, ERR_DENIED, "%s", reason);
	if (!s->docker)
		return 0;
	if (!task_ctx_may(ctx, POLICY_IMAGE, s->image, ours, reason))
		return err_set(err, ERR_DENIED, "%s", reason);
	if (!task_ctx_may_run(ctx, words, reason) ||
	    (t->package.long_form && !task_ctx_may_run(ctx, t->package.long_form, reason)))
		return err_set(err, ERR_DENIED, "%s", reason);
	return 0;
}

int mcp_target_load(struct task_ctx *ctx, const json_t *key, const char *project,
		    struct mcp_target *ret, struct err *err)
{
	struct mcp_target *t = ret; /* parts of it point to others */
	int rc;

	*t = (struct mcp_target){0};
	rc = load_row(ctx, key, project, &t->row, err);
	if (rc == 0)
		rc = fill(ctx, t, err);
	if (rc == 0 && t->server.docker)
		rc = set_package(ctx, t, err);
	if (rc == 0)
		rc = ask_policy(ctx, t, err);
	if (rc < 0)
		mcp_target_done(t);
	return rc;
}

static void wipe_vector(char **list)
{
	for (char **s = list; s && *s; s++)
		wipe(*s, strlen(*s));
	free(list);
}

void mcp_target_done(struct mcp_target *t)
{
	wipe_vector(t->env);
	wipe_vector(t->headers);
	free(t->argv);
	if (t->environment_text)
		wipe(t->environment_text, strlen(t->environment_text));
	if (t->headers_text)
		wipe(t->headers_text, strlen(t->headers_text));
	mcp_package_done(&t->package);
	free(t->install_env);
	free(t->server_env);
	free(t->url);
	free(t->environment_text);
	free(t->headers_text);
	json_decref(t->row);
	*t = (struct mcp_target){0};
}

/* Lists it, and stores it for whoever offers its tools. */
static int list_tools(struct task_ctx *ctx, const struct mcp_server *s, struct mcp_session *session,
		      usec_t deadline, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *tools = NULL;
	int rc = mcp_client_list_tools(mcp_session_client(session), deadline, &tools, err);

	if (rc < 0)
		return rc;
	do
		rc = store_save_mcp_tools(task_ctx_store(ctx), s->id, s->hash, tools, err);
	while (task_asks_again(ctx, &rc, err));
	if (rc == 0)
		*ret = TAKE(tools);
	return rc;
}

int mcp_target_tools(struct task_ctx *ctx, const struct mcp_target *t, struct mcp_session *session,
		     enum mcp_freshness *at_least, usec_t deadline, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *tools = NULL;
	const struct mcp_server *s = &t->server;
	int rc = -ERR_NOTFOUND;

	if (*at_least == MCP_TOOLS_KNOWN)
		tools = mcp_sessions_catalogue(task_ctx_mcp(ctx), s);
	if (tools != NULL) {
		*ret = TAKE(tools);
		return 0;
	}
	if (*at_least <= MCP_TOOLS_STORED) {
		*at_least = MCP_TOOLS_STORED;
		do
			rc = store_load_mcp_tools(task_ctx_store(ctx), s->id, s->hash, &tools, err);
		while (task_asks_again(ctx, &rc, err));
	}
	if (rc == -ERR_NOTFOUND) {
		*at_least = MCP_TOOLS_LISTED;
		rc = list_tools(ctx, s, session, deadline, &tools, err);
	}
	if (rc < 0)
		return rc;
	mcp_sessions_keep_catalogue(task_ctx_mcp(ctx), s, tools);
	*ret = TAKE(tools);
	return 0;
}

void mcp_record(struct task_ctx *ctx, const json_t *result, const char *conversation,
		const char *project)
{
	struct task_record *record = task_ctx_record(ctx);

	record->conversation = conversation;
	record->project = project;
	record->finish.status = json_string_value(json_object_get(result, "status"));
	record->finish.error = json_string_value(json_object_get(result, "error"));
	if (!record->finish.status)
		record->finish.status = "ok";
}
