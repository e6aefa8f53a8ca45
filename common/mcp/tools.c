/*
 * tools.c: which tools of a page are taken, and where the next one begins.
 *
 * An empty cursor is a cursor; a cursor that was seen before is a loop.
 */
#include "tools.h"

#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "header.h"
#include "json.h"

#define TOOL_NAME_BYTES 256 /* the specification says 128, which not all keep */

void mcp_catalogue_init(struct mcp_catalogue *c)
{
	*c = (struct mcp_catalogue){
		.tools = json_array(), .names = json_object(), .cursors = json_object()};
}

void mcp_catalogue_done(struct mcp_catalogue *c)
{
	json_decref(c->tools);
	json_decref(c->names);
	json_decref(c->cursors);
}

static bool valid_name(const json_t *name)
{
	size_t len = json_string_length(name);

	return json_is_string(name) && len > 0 && len <= TOOL_NAME_BYTES &&
	       !utf8_has_control(json_string_value(name), len);
}

/* Why a tool cannot be taken, or NULL. */
static int check_tool(const json_t *tool, bool headers, struct err *err)
{
	const json_t *schema = json_object_get(tool, "inputSchema");

	if (!valid_name(json_object_get(tool, "name")))
		return err_set(err, ERR_INVALID, "its name is not one");
	if (!json_is_object(schema))
		return err_set(err, ERR_INVALID, "it has no inputSchema");
	return headers ? mcp_header_check(schema, err) : 0;
}

/* The members that are kept, whatever else the server says. */
static json_t *kept(const json_t *tool)
{
	static const char *const members[] = {"name",	     "title",	     "description",
					      "inputSchema", "outputSchema", "annotations"};
	json_t *copy = json_object();

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *value = json_member(tool, members[i]);
		if (value)
			json_object_set(copy, members[i], value);
	}
	return copy;
}

static int take_tool(struct mcp_catalogue *c, const json_t *tool, struct err *err)
{
	const char *name = json_member_str(tool, "name");

	if (json_object_get(c->names, name))
		return 0;
	if (json_array_size(c->tools) == BOUND_MCP_TOOLS)
		return err_set(err, ERR_TOOBIG, "tools/list: more than %d tools", BOUND_MCP_TOOLS);
	_cleanup_json_ json_t *copy = kept(tool);
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_MCP_CATALOGUE);
	json_dump_strict(copy, &text);
	if (text.failed == ERR_NOMEM)
		return buf_status(&text, err);
	c->bytes += text.len;
	json_array_append(c->tools, copy);
	json_object_set_new(c->names, name, json_true());
	if (text.failed || c->bytes > BOUND_MCP_CATALOGUE)
		return err_set(err, ERR_TOOBIG, "tools/list: more than %u bytes",
			       BOUND_MCP_CATALOGUE);
	return 0;
}

static int next_cursor(struct mcp_catalogue *c, const json_t *result, const json_t **ret,
		       struct err *err)
{
	const json_t *cursor = json_member(result, "nextCursor");

	*ret = NULL;
	if (!cursor)
		return 0;
	if (!json_is_string(cursor))
		return err_set(err, ERR_PROTOCOL, "tools/list: nextCursor is no string");
	/* a key of its own for the empty one, and for those with NULs */
	_cleanup_buf_ struct buf key = BUF_INIT(BOUND_MCP_MESSAGE);
	json_dump_strict(cursor, &key);
	if (buf_status(&key, err) < 0)
		return err_wrap(err, "tools/list: nextCursor");
	if (json_object_get(c->cursors, key.data))
		return err_set(err, ERR_PROTOCOL, "tools/list: its pages go in a circle");
	if (json_object_size(c->cursors) + 1 >= BOUND_MCP_PAGES)
		return err_set(err, ERR_TOOBIG, "tools/list: more than %d pages", BOUND_MCP_PAGES);
	json_object_set_new(c->cursors, key.data, json_true());
	*ret = cursor;
	return 0;
}

int mcp_catalogue_page(struct mcp_catalogue *c, const json_t *result, bool headers,
		       void (*left_out)(void *arg, const char *level, const char *text), void *arg,
		       const json_t **ret_cursor, struct err *err)
{
	const json_t *tools = json_object_get(result, "tools");
	size_t i;
	json_t *tool;

	if (!json_is_array(tools))
		return err_set(err, ERR_PROTOCOL, "tools/list: no array of tools");
	json_array_foreach(tools, i, tool)
	{
		struct err why;
		int r = 0;
		if (check_tool(tool, headers, &why) == 0) {
			r = take_tool(c, tool, err);
		} else if (left_out) {
			const char *name = json_member_str(tool, "name");
			char text[512];
			snprintf(text, sizeof(text), "tool %.128s left out: %s", name ? name : "?",
				 why.msg);
			left_out(arg, "warning", text);
		}
		if (r < 0)
			return r;
	}
	return next_cursor(c, result, ret_cursor, err);
}
