/*
 * mcp.c: rows of mcp_servers, and the catalogues in mcp_tools.
 */
#include <stdlib.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "session.h"

static int load_server(struct pg *c, const char *key, bool by_id, const char *project, json_t **ret,
		       struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct pg_param params[] = {PG_TEXT(key), project ? PG_TEXT(project) : PG_NULL};
	int rc =
		pg_exec(c,
			by_id ? "SELECT to_jsonb(t) || jsonb_build_object('hash', "
				"md5(to_jsonb(t)::text)) FROM celeriac.mcp_servers t WHERE id = "
				"$1::bigint AND enabled AND (project_id IS NULL OR project_id = $2)"
			      : "SELECT to_jsonb(t) || jsonb_build_object('hash', "
				"md5(to_jsonb(t)::text)) FROM celeriac.mcp_servers t WHERE name = "
				"$1 AND enabled AND (project_id IS NULL OR project_id = $2)",
			params, ARRAY_LEN(params), &r, err);

	if (rc < 0)
		return rc;
	if (pg_rows(r) == 0)
		return err_set(err, ERR_NOTFOUND, "there is no MCP server '%.100s'", key);
	return json_load_python(pg_text(r, 0, 0), pg_length(r, 0, 0), ret, err);
}

int store_load_mcp_server(struct store *s, const char *key, bool by_id, const char *project,
			  json_t **ret, struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, load_server(c, key, by_id, project, ret, err), err);
}

static int find_server(struct pg *c, const char *key, bool by_id, int64_t *ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct pg_param params[] = {PG_TEXT(key)};
	int rc = pg_exec(c,
			 by_id ? "SELECT id FROM celeriac.mcp_servers WHERE id = $1::bigint"
			       : "SELECT id FROM celeriac.mcp_servers WHERE name = $1",
			 params, ARRAY_LEN(params), &r, err);

	if (rc < 0)
		return rc;
	if (pg_rows(r) == 0)
		return err_set(err, ERR_NOTFOUND, "there is no MCP server '%.100s'", key);
	*ret = strtoll(pg_text(r, 0, 0), NULL, 10);
	return 0;
}

int store_find_mcp_server(struct store *s, const char *key, bool by_id, int64_t *ret_id,
			  struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, find_server(c, key, by_id, ret_id, err), err);
}

static int find_tool(struct pg *c, const char *name, const char *project, int64_t *ret_server,
		     const char **ret_tool, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct pg_param params[] = {PG_TEXT(name), project ? PG_TEXT(project) : PG_NULL};
	int rc = pg_exec(
		c,
		"SELECT s.id, length(convert_to(s.name, 'UTF8')) FROM celeriac.mcp_servers s "
		"LEFT JOIN celeriac.mcp_tools t ON t.server_id = s.id AND t.name = substr($1, "
		"length(s.name) + 2) WHERE s.enabled AND (s.project_id IS NULL OR s.project_id "
		"= $2) AND starts_with($1, s.name || '_') AND length($1) > length(s.name) + 1 "
		"ORDER BY t.name IS NULL, length(s.name) DESC LIMIT 1",
		params, ARRAY_LEN(params), &r, err);

	if (rc < 0)
		return rc;
	if (pg_rows(r) == 0)
		return err_set(err, ERR_NOTFOUND, "there is no MCP tool 'mcp_%.128s'", name);
	*ret_server = strtoll(pg_text(r, 0, 0), NULL, 10);
	*ret_tool = name + strtoul(pg_text(r, 0, 1), NULL, 10) + 1;
	return 0;
}

int store_find_mcp_tool(struct store *s, const char *name, const char *project, int64_t *ret_server,
			const char **ret_tool, struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, find_tool(c, name, project, ret_server, ret_tool, err), err);
}

static int load_tools(struct pg *c, int64_t server, const char *hash, json_t **ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	struct decimal id = decimal(server);
	const struct pg_param params[] = {PG_TEXT(id.text), PG_TEXT(hash)};
	int rc = pg_exec(
		c,
		"SELECT jsonb_agg(jsonb_build_object('name', name, 'description', description, "
		"'inputSchema', input_schema) ORDER BY position) FROM celeriac.mcp_tools WHERE "
		"server_id = $1::bigint AND config_hash = $2",
		params, ARRAY_LEN(params), &r, err);

	if (rc < 0)
		return rc;
	if (pg_text(r, 0, 0) == NULL)
		return err_set(err, ERR_NOTFOUND, "the server's tools are not known yet");
	return json_load_python(pg_text(r, 0, 0), pg_length(r, 0, 0), ret, err);
}

int store_load_mcp_tools(struct store *s, int64_t server, const char *hash, json_t **ret,
			 struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, load_tools(c, server, hash, ret, err), err);
}

static int save_tools(struct pg *c, int64_t server, const char *hash, const char *tools,
		      struct err *err)
{
	struct decimal id = decimal(server);
	const struct pg_param params[] = {PG_TEXT(id.text), PG_TEXT(hash), PG_TEXT(tools)};
	int rc = pg_script(c, "BEGIN", err);

	/* several may have listed it at the same time */
	if (rc == 0)
		rc = pg_exec(c,
			     "SELECT pg_advisory_xact_lock(hashtext('celeriac.mcp_tools'), "
			     "hashtext($1))",
			     params, 1, NULL, err);
	if (rc == 0)
		rc = pg_exec(c, "DELETE FROM celeriac.mcp_tools WHERE server_id = $1::bigint",
			     params, 1, NULL, err);
	if (rc == 0)
		rc = pg_exec(
			c,
			"INSERT INTO celeriac.mcp_tools (server_id, name, description, "
			"input_schema, "
			"output_schema, annotations, position, config_hash) SELECT $1::bigint, "
			"t->>'name', "
			"coalesce(t->>'description', ''), t->'inputSchema', t->'outputSchema', "
			"t->'annotations', n, $2 FROM jsonb_array_elements($3::jsonb) WITH "
			"ORDINALITY AS "
			"x(t, n)",
			params, ARRAY_LEN(params), NULL, err);
	return rc < 0 ? rc : pg_script(c, "COMMIT", err);
}

int store_save_mcp_tools(struct store *s, int64_t server, const char *hash, const json_t *tools,
			 struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_RESULT_BYTES);
	struct pg *c;

	json_dump_strict(tools, &text);
	int rc = buf_status(&text, err);
	if (rc == 0)
		rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	return session_end(s, c, save_tools(c, server, hash, text.data, err), err);
}
