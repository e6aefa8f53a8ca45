/*
 * message_v1.c: protocol 1 and the hybrid of both, as celery/worker/strategy.py converts them:
 * everything is in one object, the body; headers that are there anyway win. All of protocol 1 that
 * anybody needs to know is in this file.
 *
 * Dates are UTC unless they say otherwise, whatever `utc` says: Celery makes them aware as UTC
 * before it looks at that.
 */
#include <string.h>

#include "json.h"
#include "mem.h"
#include "wire.h"

/* Body members that are headers in protocol 2. */
static const char *const g_headers[] = {
	"lang",	  "task", "id",	     "root_id", "parent_id", "group",	 "group_index", "meth",
	"shadow", "eta",  "expires", "retries", "timelimit", "argsrepr", "kwargsrepr",	"origin",
};
static const char *const g_embed[] = {"callbacks", "errbacks", "chord"};

bool message_is_v1(const struct message *m)
{
	return json_is_object(m->body) &&
	       (json_member(m->headers, "task") == NULL ? json_member_str(m->body, "task") != NULL
							: json_object_get(m->body, "args") != NULL);
}

static int copy_members(json_t *to, json_t *from, const char *const *names, size_t count)
{
	int failed = 0;

	for (size_t i = 0; i < count; i++) {
		json_t *value = json_object_get(from, names[i]);

		failed |= value != NULL ? json_object_set(to, names[i], value) : 0;
	}
	return failed;
}

static json_t *make_headers(const struct message *m)
{
	_cleanup_json_ json_t *headers = json_object();
	json_t *taskset = json_member(m->body, "taskset");

	if (copy_members(headers, m->body, g_headers, ARRAY_LEN(g_headers)) != 0)
		return NULL;
	/* The old name of a group. */
	if (taskset != NULL && json_object_set(headers, "group", taskset) < 0)
		return NULL;
	if (json_object_update(headers, m->headers) < 0)
		return NULL;
	return TAKE(headers);
}

/* A member of the body, or what stands for it when it is absent; a new reference. */
static json_t *member_or(json_t *body, const char *name, json_t *absent)
{
	json_t *value = json_object_get(body, name);

	if (value == NULL)
		return absent;
	json_decref(absent);
	return json_incref(value);
}

int message_from_v1(struct message *m, struct err *err)
{
	_cleanup_json_ json_t *headers = make_headers(m), *body = NULL;
	json_t *embed =
		json_pack("{s:n, s:n, s:n, s:n}", "callbacks", "errbacks", "chain", "chord");

	if (headers == NULL || embed == NULL ||
	    copy_members(embed, m->body, g_embed, ARRAY_LEN(g_embed)) != 0) {
		json_decref(embed);
		return err_set(err, ERR_NOMEM, "no memory for a message");
	}
	body = json_pack("[o, o, o]", member_or(m->body, "args", json_array()),
			 member_or(m->body, "kwargs", json_object()), embed);
	if (body == NULL || json_object_set(m->root, "headers", headers) < 0)
		return err_set(err, ERR_NOMEM, "no memory for a message");
	m->headers = headers;
	json_decref(m->body);
	m->body = TAKE(body);
	return 0;
}
