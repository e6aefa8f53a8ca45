/*
 * An OpenAPI 3 document as HTTP tools: one for each operation that can be one.
 */
#include "openapi.h"

#include <ctype.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "openapi_private.h"

#define NAME_BYTES 64
#define BODY_BYTES 64

static const struct {
	const char *member, *name;
} methods[] = {
	{"get", "GET"}, {"post", "POST"}, {"put", "PUT"}, {"patch", "PATCH"}, {"delete", "DELETE"}};

/* listPets and list-pets become list_pets; without an id it is method and path. */
static void make_name(const struct operation *op, char out[NAME_BYTES + 1])
{
	const char *id = json_member_str(op->node, "operationId");
	_cleanup_free_ char *text =
		id && *id ? xstrdup(id) : xasprintf("%s_%s", op->method, op->path);
	bool upper = !(id && *id); /* of the last character: no new word after it */
	size_t n = 0;

	for (const char *p = text; *p && n + 2 < NAME_BYTES; p++) {
		if (!isalnum((unsigned char)*p)) {
			if (n > 0 && out[n - 1] != '_')
				out[n++] = '_';
			continue;
		}
		if (isupper((unsigned char)*p) && !upper && n > 0 && out[n - 1] != '_')
			out[n++] = '_';
		upper = isupper((unsigned char)*p);
		if (n == 0 && isdigit((unsigned char)*p))
			out[n++] = 'x';
		out[n++] = (char)tolower((unsigned char)*p);
	}
	while (n > 0 && out[n - 1] == '_')
		n--;
	if (n == 0)
		out[n++] = 'x';
	out[n] = '\0';
}

/* {"type": …} for the first requirement, whose secret is somebody else's to add; NULL where tools
 * cannot do it. Given. */
static json_t *make_auth(const struct operation *op, bool *ret_secret)
{
	const json_t *wanted = json_object_get(op->node, "security");
	const json_t *schemes =
		json_member(json_member(op->document, "components"), "securitySchemes");
	const json_t *first, *scheme;
	const char *type, *how;

	if (wanted == NULL)
		wanted = json_member(op->document, "security");
	first = json_array_get(wanted, 0);
	*ret_secret = json_object_size(first) > 0;
	if (!*ret_secret)
		return json_pack("{s:s}", "type", "none");
	scheme = openapi_look(op->document,
			      json_object_get(schemes, json_object_iter_key(json_object_iter(
							       (json_t *)(uintptr_t)first))));
	type = json_member_str(scheme, "type");
	how = json_member_str(scheme, "scheme");
	if (json_object_size(first) > 1 || type == NULL)
		return NULL;
	if (strcmp(type, "oauth2") == 0 || strcmp(type, "openIdConnect") == 0 ||
	    (strcmp(type, "http") == 0 && how && strcasecmp(how, "bearer") == 0))
		return json_pack("{s:s}", "type", "bearer");
	if (strcmp(type, "http") == 0 && how && strcasecmp(how, "basic") == 0)
		return json_pack("{s:s}", "type", "basic");
	how = json_member_str(scheme, "in");
	if (strcmp(type, "apiKey") == 0 && how && strcmp(how, "header") == 0 &&
	    json_member_str(scheme, "name"))
		return json_pack("{s:s, s:s}", "type", "api_key", "header",
				 json_member_str(scheme, "name"));
	return NULL;
}

static const char *describe(const struct operation *op)
{
	const char *text = json_member_str(op->node, "summary");

	if (text == NULL)
		text = json_member_str(op->node, "description");
	return text ? text : "";
}

/* The row, or NULL with op->reason. Given. */
static json_t *make_row(struct operation *op)
{
	char name[NAME_BYTES + 1];
	bool secret = false;
	json_t *auth = make_auth(op, &secret);

	if (auth == NULL)
		op->reason = "tools cannot authenticate in its way";
	if (op->url.failed || op->body.failed)
		op->reason = "its URL is too long";
	if (op->reason) {
		json_decref(auth);
		return NULL;
	}
	make_name(op, name);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:{s:s, s:O, s:O}, s:b}", "name",
			 name, "description", describe(op), "method", op->method, "url",
			 op->url.data, "body", op->body.data, "content_type", op->content_type,
			 "auth", auth, "input_schema", "type", "object", "properties",
			 op->properties, "required", op->required, "enabled", !secret);
}

static bool has_name(const json_t *tools, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)tools, i,
			   one) if (strcmp(json_member_str(one, "name"), name) == 0) return true;
	return false;
}

static int add_operation(struct operation *op, json_t *tools, json_t *skipped, struct err *err)
{
	json_t *row;
	int rc = 0;

	op->properties = json_object();
	op->required = json_array();
	op->url = BUF_INIT(BOUND_URL_BYTES);
	op->body = BUF_INIT(BODY_BYTES);
	op->content_type = "application/json";
	buf_appendf(&op->url, "%s%s", op->server, op->path);
	openapi_parameters(op);
	openapi_body(op);
	if (op->url.failed == ERR_NOMEM)
		rc = buf_status(&op->url, err);
	else if (op->body.failed == ERR_NOMEM)
		rc = buf_status(&op->body, err);
	row = op->reason ? NULL : make_row(op);
	if (row && has_name(tools, json_member_str(row, "name"))) {
		op->reason = "another operation has its name";
		json_decref(row);
		row = NULL;
	}
	if (row)
		json_array_append_new(tools, row);
	else
		json_array_append_new(skipped, json_pack("{s:s++, s:s}", "operation", op->method,
							 " ", op->path, "reason", op->reason));
	json_decref(op->properties);
	json_decref(op->required);
	buf_done(&op->url);
	buf_done(&op->body);
	return rc;
}

/* ---- the server ---- */
/* {name} becomes its variable's default. */
static void fill_variables(const char *url, const json_t *variables, struct buf *out)
{
	for (const char *p = url; *p; p++) {
		size_t len = *p == '{' ? strcspn(p, "}") : 0;
		_cleanup_free_ char *name = len && p[len] ? xstrndup(p + 1, len - 1) : NULL;
		const char *value =
			name ? json_member_str(json_object_get(variables, name), "default") : NULL;

		if (value == NULL) {
			buf_append_char(out, *p);
			continue;
		}
		buf_append_str(out, value);
		p += len;
	}
}

static int find_server(const json_t *document, const char *base, struct buf *out, struct err *err)
{
	const json_t *server = json_array_get(json_member(document, "servers"), 0);
	const char *url = json_member_str(server, "url");

	if (url == NULL)
		url = "/";
	if (url[0] == '/') {
		size_t scheme = base ? strcspn(base, ":") + 3 : 0;

		if (base == NULL)
			return err_set(err, ERR_INVALID,
				       "its server is relative to a URL that is not known");
		buf_append(out, base, scheme + strcspn(base + scheme, "/?#"));
	} else if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
		return err_set(err, ERR_INVALID, "its server '%.100s' is no http:// or https://",
			       url);
	}
	fill_variables(url, json_member(server, "variables"), out);
	if (buf_status(out, err) < 0)
		return -err->code;
	while (out->len > 0 && out->data[out->len - 1] == '/')
		out->data[--out->len] = '\0';
	return 0;
}

int openapi_tools(const json_t *document, const char *base, json_t **ret_tools,
		  json_t **ret_skipped, struct err *err)
{
	_cleanup_json_ json_t *tools = json_array(), *skipped = json_array();
	_cleanup_buf_ struct buf server = BUF_INIT(BOUND_URL_BYTES);
	const char *version = json_member_str(document, "openapi"), *path;
	json_t *item;
	int rc;

	if (version == NULL || strncmp(version, "3.", 2) != 0)
		return err_set(err, ERR_INVALID, "not an OpenAPI 3 document");
	rc = find_server(document, base, &server, err);
	if (rc < 0)
		return rc;
	json_object_foreach(json_member(document, "paths"), path, item)
	{
		const json_t *found = openapi_look(document, item);

		for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
			struct operation op = {.document = document,
					       .path_item = found,
					       .node = json_member(found, methods[i].member),
					       .method = methods[i].name,
					       .path = path,
					       .server = server.data};

			if (op.node)
				rc = add_operation(&op, tools, skipped, err);
			if (rc < 0)
				return rc;
		}
	}
	*ret_tools = TAKE(tools);
	*ret_skipped = TAKE(skipped);
	return 0;
}
