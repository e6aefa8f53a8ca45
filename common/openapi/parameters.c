/*
 * Parameters and bodies of operations: the input schema of a tool and the templates that use it.
 */
#include <ctype.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "openapi_private.h"

/* Placeholders are names of letters, digits and '_'. */
static char *placeholder(const char *name)
{
	char *made = xstrdup(name);

	for (size_t i = 0; made[i]; i++)
		if (!isalnum((unsigned char)made[i]))
			made[i] = '_';
	if (isdigit((unsigned char)made[0]))
		made[0] = '_';
	return made;
}

static void add_property(struct operation *op, const char *name, const json_t *schema,
			 const char *description, bool required)
{
	json_t *own = openapi_schema(op->document, schema);

	if (json_object_get(op->properties, name))
		op->reason = "two of its parameters have one name";
	if (json_is_object(own) && description && !json_object_get(own, "description"))
		json_object_set_new(own, "description", json_string(description));
	json_object_set_new(op->properties, name, own);
	if (required)
		json_array_append_new(op->required, json_string(name));
}

/* {pet-id} of the path becomes {pet_id}. */
static void rename_in_path(struct operation *op, const char *from, const char *to)
{
	_cleanup_free_ char *old = xasprintf("{%s}", from), *all = xstrdup(op->url.data);
	const char *found = strstr(all, old);

	if (op->url.failed)
		return;
	if (found == NULL) {
		op->reason = "a parameter of its path is not in it";
		return;
	}
	buf_reset(&op->url);
	buf_append(&op->url, all, (size_t)(found - all));
	buf_appendf(&op->url, "{%s}", to);
	buf_append_str(&op->url, found + strlen(old));
}

static bool has_body(const struct operation *op)
{
	return strcmp(op->method, "GET") != 0 && strcmp(op->method, "DELETE") != 0;
}

/* Where the request has a body, what no placeholder takes would go there. */
static void add_query(struct operation *op, const char *name, const char *own)
{
	buf_append_char(&op->url, strchr(op->url.data, '?') ? '&' : '?');
	for (const char *p = name; *p; p++) {
		if (isalnum((unsigned char)*p) || strchr("-._~", *p))
			buf_append_char(&op->url, *p);
		else
			buf_appendf(&op->url, "%%%02X", (unsigned char)*p);
	}
	buf_appendf(&op->url, "={%s}", own);
}

static void add_parameter(struct operation *op, const json_t *parameter)
{
	const char *name = json_member_str(parameter, "name"),
		   *in = json_member_str(parameter, "in");
	const char *description = json_member_str(parameter, "description");
	const json_t *schema = json_member(parameter, "schema");
	bool required = json_is_true(json_object_get(parameter, "required"));

	if (name == NULL || in == NULL || *name == '\0') {
		op->reason = "a parameter without a name";
		return;
	}
	_cleanup_free_ char *own = placeholder(name);
	if (strcmp(in, "path") == 0) {
		rename_in_path(op, name, own);
		add_property(op, own, schema, description, true);
	} else if (strcmp(in, "query") == 0 && !has_body(op)) {
		add_property(op, name, schema, description, required);
	} else if (strcmp(in, "query") == 0 && required) {
		add_query(op, name, own);
		add_property(op, own, schema, description, true);
	} else if (required) {
		op->reason = "it needs a parameter in a header or a cookie";
	}
}

/* Those of the path, less those that the operation says itself. */
static bool is_overridden(const struct operation *op, const json_t *parameter)
{
	const char *name = json_member_str(parameter, "name"),
		   *in = json_member_str(parameter, "in");
	json_t *one;
	size_t i;

	json_array_foreach(json_member(op->node, "parameters"), i, one)
	{
		const json_t *p = openapi_look(op->document, one);
		const char *its = json_member_str(p, "name"), *where = json_member_str(p, "in");

		if (name && in && its && where && strcmp(name, its) == 0 && strcmp(in, where) == 0)
			return true;
	}
	return false;
}

void openapi_parameters(struct operation *op)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_member(op->path_item, "parameters"), i, one)
	{
		const json_t *p = openapi_look(op->document, one);

		if (!is_overridden(op, p))
			add_parameter(op, p);
	}
	json_array_foreach(json_member(op->node, "parameters"), i, one)
		add_parameter(op, openapi_look(op->document, one));
}

static const char *const body_types[] = {"application/json", "application/x-www-form-urlencoded",
					 "text/plain"};

static const json_t *find_content(struct operation *op, const json_t *content)
{
	for (size_t i = 0; i < ARRAY_LEN(body_types); i++) {
		const json_t *media = json_object_get(content, body_types[i]);

		if (media) {
			op->content_type = body_types[i];
			return json_member(media, "schema");
		}
	}
	op->reason = "its body is of a type that tools do not send";
	return NULL;
}

static bool lists(const json_t *names, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)names, i,
			   one) if (json_is_string(one) &&
				    strcmp(json_string_value(one), name) == 0) return true;
	return false;
}

void openapi_body(struct operation *op)
{
	const json_t *body = openapi_look(op->document, json_member(op->node, "requestBody"));
	const json_t *schema, *members;
	const char *name;
	json_t *member;

	if (body == NULL)
		return;
	if (!has_body(op)) {
		op->reason = "a body with a method that has none";
		return;
	}
	schema = openapi_look(op->document, find_content(op, json_member(body, "content")));
	if (op->reason)
		return;
	members = json_member(schema, "properties");
	if (!json_is_object(members) || strcmp(op->content_type, "text/plain") == 0) {
		add_property(op, "body", schema, json_member_str(body, "description"), true);
		buf_append_str(&op->body, "{body}");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)members, name, member)
		add_property(op, name, member, NULL, lists(json_member(schema, "required"), name));
}
