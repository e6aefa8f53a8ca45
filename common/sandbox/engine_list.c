/*
 * engine_list.c: what containers are there, and what they are: the engine's two forms of telling,
 * inspect and list.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"

#define NAME_PREFIX "celeriac-"
#define NAME_DIGITS 16

/* A text that does not fit is no text of ours: left out rather than cut into something else. */
static void copy(char *ret, size_t size, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n >= size)
		n = 0;
	if (n > 0)
		memcpy(ret, text, n);
	ret[n] = '\0';
}

static void copy_labels(const json_t *labels, struct engine_container *c)
{
	struct err ignored;

	copy(c->role, sizeof(c->role), engine_label(labels, "role"));
	copy(c->owner, sizeof(c->owner), engine_label(labels, "owner"));
	copy(c->conversation, sizeof(c->conversation), engine_label(labels, "conversation"));
	copy(c->project, sizeof(c->project), engine_label(labels, "project"));
	copy(c->task, sizeof(c->task), engine_label(labels, "task"));
	copy(c->policy, sizeof(c->policy), engine_label(labels, "policy"));
	if (clock_parse_iso(engine_label(labels, "deadline"), &c->deadline, &ignored) < 0)
		c->deadline = 0;
}

static int copy_id(const json_t *reply, struct engine_container *c, struct err *err)
{
	const char *id = json_member_str(reply, "Id");

	if (!id || engine_check_id(id, err) < 0)
		return err_set(err, ERR_PROTOCOL, "engine: a container without an id");
	copy(c->id, sizeof(c->id), id);
	return 0;
}

void engine_new_name(const char *role, char out[ENGINE_NAME_SIZE])
{
	unsigned char id[NAME_DIGITS / 2];
	char hex[NAME_DIGITS + 1];

	random_bytes(id, sizeof(id));
	hex_encode(id, sizeof(id), hex);
	snprintf(out, ENGINE_NAME_SIZE, NAME_PREFIX "%s-%s",
		 role && engine_is_name(role, 32) ? role : "any", hex);
}

bool engine_is_own_name(const char *name)
{
	if (strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0)
		return false;
	for (name += strlen(NAME_PREFIX); *name; name += *name != '\0') {
		size_t len = strcspn(name, "-.");

		if (len >= NAME_DIGITS && strspn(name, "0123456789abcdef") >= len)
			return true;
		name += len;
	}
	return false;
}

bool engine_is_ours(const char *instance, const char *name, const json_t *labels)
{
	return strcmp(engine_label(labels, "instance"), instance) == 0 && engine_is_own_name(name);
}

static void copy_name(const char *name, struct engine_container *c)
{
	copy(c->name, sizeof(c->name), name && name[0] == '/' ? name + 1 : name);
}

int engine_parse_inspect(const json_t *reply, struct engine_container *ret, struct err *err)
{
	const json_t *state = json_member(reply, "State");
	struct engine_container c = {0};

	int rc = copy_id(reply, &c, err);
	if (rc < 0)
		return rc;
	copy_name(json_member_str(reply, "Name"), &c);
	copy(c.image_id, sizeof(c.image_id), json_member_str(reply, "Image"));
	copy(c.status, sizeof(c.status), json_member_str(state, "Status"));
	c.running = json_is_true(json_member(state, "Running"));
	c.oom_killed = json_is_true(json_member(state, "OOMKilled"));
	c.exit_code = (int)json_integer_value(json_member(state, "ExitCode"));
	const char *created = json_member_str(reply, "Created");
	if (!created || clock_parse_iso(created, &c.created, err) < 0)
		return err_set(err, ERR_PROTOCOL, "engine: a container without a date");
	copy_labels(json_member(json_member(reply, "Config"), "Labels"), &c);
	*ret = c;
	return 0;
}

int engine_direct_inspect(struct engine *e, const char *id, struct engine_container *ret,
			  struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	char path[160];

	int rc = engine_check_id(id, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/containers/%s/json", id);
	rc = engine_call(e, "GET", path, NULL, ENGINE_LIMIT_LOOK, &reply, err);
	return rc < 0 ? rc : engine_parse_inspect(reply, ret, err);
}

static int parse_row(const json_t *row, struct engine_container *ret, struct err *err)
{
	struct engine_container c = {0};

	int rc = copy_id(row, &c, err);
	if (rc < 0)
		return rc;
	copy_name(json_string_value(json_array_get(json_member(row, "Names"), 0)), &c);
	copy(c.image_id, sizeof(c.image_id), json_member_str(row, "ImageID"));
	copy(c.status, sizeof(c.status), json_member_str(row, "State"));
	c.running = strcmp(c.status, "running") == 0 || strcmp(c.status, "paused") == 0;
	c.created = json_integer_value(json_member(row, "Created")) * USEC_PER_SEC;
	copy_labels(json_member(row, "Labels"), &c);
	*ret = c;
	return 0;
}

int engine_parse_list(const json_t *rows, const char *instance, struct engine_container **ret,
		      size_t *ret_count, struct err *err)
{
	size_t size = json_array_size(rows), count = 0;
	_cleanup_free_ struct engine_container *all = xcalloc(size + 1, sizeof(*all));

	if (!json_is_array(rows))
		return err_set(err, ERR_PROTOCOL, "engine: the list is not one");
	for (size_t i = 0; i < size; i++) {
		const json_t *row = json_array_get(rows, i);
		/* The filter is the engine's, or a proxy's; what is ours we decide ourselves. */
		if (strcmp(engine_label(json_member(row, "Labels"), "instance"), instance) != 0)
			continue;
		int rc = parse_row(row, &all[count], err);
		if (rc < 0)
			return rc;
		count += engine_is_ours(instance, all[count].name, json_member(row, "Labels"));
	}
	*ret = TAKE(all);
	*ret_count = count;
	return 0;
}

int engine_direct_list(struct engine *e, struct engine_container **ret, size_t *ret_count,
		       struct err *err)
{
	_cleanup_json_ json_t *filter = NULL, *rows = NULL;
	_cleanup_buf_ struct buf path = BUF_INIT(2048);
	_cleanup_free_ char *label = xasprintf(ENGINE_LABEL_PREFIX "instance=%s", e->instance);

	filter = json_pack("{s:[s]}", "label", label);
	_cleanup_free_ char *text = json_dumps(filter, JSON_COMPACT);
	if (!text)
		return err_set(err, ERR_NOMEM, "filter");
	buf_append_str(&path, "/containers/json?all=1&filters=");
	engine_encode(text, "", &path);
	int rc = buf_status(&path, err);
	if (rc == 0)
		rc = engine_call(e, "GET", path.data, NULL, ENGINE_LIMIT_LOOK, &rows, err);
	if (rc < 0)
		return rc;
	return engine_parse_list(rows, e->instance, ret, ret_count, err);
}
