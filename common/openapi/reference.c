/*
 * References within a document. A document is a stranger's: what refers to itself ends somewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "openapi_private.h"

#define HOPS_MAX  16
#define DEPTH_MAX 24
#define NODES_MAX 20000 /* of one schema without references */

/* The member that one piece of a JSON Pointer names. */
static const json_t *step(const json_t *node, const char *piece, size_t len)
{
	_cleanup_free_ char *name = xstrndup(piece, len);
	size_t n = 0;

	for (size_t i = 0; name[i]; i++) {
		char c = name[i];

		if (c == '~' && (name[i + 1] == '0' || name[i + 1] == '1'))
			c = name[++i] == '0' ? '~' : '/';
		name[n++] = c;
	}
	name[n] = '\0';
	return json_object_get(node, name);
}

static const json_t *follow(const json_t *document, const char *pointer)
{
	const json_t *node = document;

	if (strncmp(pointer, "#/", 2) != 0)
		return NULL; /* other documents are not looked at */
	for (pointer += 2; node; pointer++) {
		size_t len = strcspn(pointer, "/");

		node = step(node, pointer, len);
		pointer += len;
		if (*pointer == '\0')
			break;
	}
	return node;
}

const json_t *openapi_look(const json_t *document, const json_t *node)
{
	for (int hops = 0; hops < HOPS_MAX; hops++) {
		const char *pointer = json_member_str(node, "$ref");

		if (pointer == NULL)
			return node;
		node = follow(document, pointer);
	}
	return NULL;
}

static json_t *copy(const json_t *document, const json_t *node, int depth, size_t *nodes)
{
	const char *key;
	json_t *member, *made;
	size_t i;

	if (json_is_object(node))
		node = openapi_look(document, node);
	if (node && !json_is_object(node) && !json_is_array(node))
		return json_incref((json_t *)(uintptr_t)node);
	if (node == NULL || depth == 0 || ++*nodes > NODES_MAX)
		return json_object();
	if (json_is_array(node)) {
		made = json_array();
		json_array_foreach((json_t *)(uintptr_t)node, i, member)
			json_array_append_new(made, copy(document, member, depth - 1, nodes));
		return made;
	}
	made = json_object();
	json_object_foreach((json_t *)(uintptr_t)node, key, member)
		json_object_set_new(made, key, copy(document, member, depth - 1, nodes));
	return made;
}

json_t *openapi_schema(const json_t *document, const json_t *schema)
{
	size_t nodes = 0;

	return schema ? copy(document, schema, DEPTH_MAX, &nodes) : json_object();
}
