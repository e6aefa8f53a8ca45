/*
 * engine_container.c: the life of a container: create, start, kill, remove.
 */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"

#define REMOVE_PAUSE_MIN (10 * USEC_PER_MSEC)
#define REMOVE_PAUSE_MAX (500 * USEC_PER_MSEC)

static int look_at_image(struct engine *e, const char *image, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT(2048);

	if (!engine_is_image(image))
		return err_set(err, ERR_INVALID, "'%.100s' is not an image's name", image);
	buf_append_str(&path, "/images/");
	engine_encode(image, "/", &path);
	buf_append_str(&path, "/json");
	int rc = buf_status(&path, err);
	return rc < 0 ? rc : engine_call(e, "GET", path.data, NULL, ENGINE_LIMIT_LOOK, ret, err);
}

int engine_direct_image_label(struct engine *e, const char *image, const char *name, char **ret,
			      struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_free_ char *key = xasprintf(ENGINE_LABEL_PREFIX "%s", name);
	const char *value;
	int rc = look_at_image(e, image, &reply, err);

	if (rc < 0)
		return rc;
	value = json_member_str(json_object_get(json_object_get(reply, "Config"), "Labels"), key);
	*ret = value ? xstrdup(value) : NULL;
	return 0;
}

int engine_direct_image_id(struct engine *e, const char *image, char ret_id[ENGINE_ID_SIZE],
			   struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	int rc = look_at_image(e, image, &reply, err);

	if (rc < 0)
		return rc;
	const char *id = json_member_str(reply, "Id");
	if (!id || strlen(id) >= ENGINE_ID_SIZE)
		return err_set(err, ERR_PROTOCOL, "engine: an image without an id");
	memcpy(ret_id, id, strlen(id) + 1);
	return 0;
}

int engine_direct_image_volumes(struct engine *e, const char *image, char ***ret, struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	const char *path;
	json_t *ignored;
	size_t bytes = 0, count = 0;

	int rc = look_at_image(e, image, &reply, err);
	if (rc < 0)
		return rc;
	json_t *volumes = json_member(json_member(reply, "Config"), "Volumes");
	json_object_foreach(volumes, path, ignored) bytes += strlen(path) + 1;
	if (json_object_size(volumes) > ENGINE_IMAGE_VOLUMES)
		return err_set(err, ERR_UNSUPPORTED, "the image %s declares more than %d volumes",
			       image, ENGINE_IMAGE_VOLUMES);
	char **all = xcalloc(1, (json_object_size(volumes) + 1) * sizeof(char *) + bytes + 1);
	char *text = (char *)(all + json_object_size(volumes) + 1);
	json_object_foreach(volumes, path, ignored)
	{
		size_t len = strlen(path) + 1;

		memcpy(text, path, len);
		all[count++] = text;
		text += len;
	}
	*ret = all;
	return 0;
}

int engine_direct_image_env(struct engine *e, const char *image, char ***ret, struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	size_t bytes = 0, count = 0, i;
	json_t *one;
	int rc = look_at_image(e, image, &reply, err);

	if (rc < 0)
		return rc;
	json_t *env = json_member(json_member(reply, "Config"), "Env");
	json_array_foreach(env, i, one) bytes += json_string_length(one) + 1;
	if (json_array_size(env) > BOUND_ENV_VARS)
		return err_set(err, ERR_UNSUPPORTED, "the image %s declares more than %d variables",
			       image, BOUND_ENV_VARS);
	char **all = xcalloc(1, (json_array_size(env) + 1) * sizeof(char *) + bytes + 1);
	char *text = (char *)(all + json_array_size(env) + 1);
	json_array_foreach(env, i, one)
	{
		const char *entry = json_string_value(one);

		if (!entry || !strchr(entry, '='))
			continue;
		size_t len = strlen(entry) + 1;
		all[count++] = memcpy(text, entry, len);
		text += len;
	}
	*ret = all;
	return 0;
}

static char *join_warnings(const json_t *warnings)
{
	struct buf all = BUF_INIT(BOUND_ERROR_TEXT);
	struct err ignored;
	char *text = NULL;
	size_t len;

	for (size_t i = 0; i < json_array_size(warnings); i++) {
		const char *one = json_string_value(json_array_get(warnings, i));
		if (!one)
			continue;
		if (all.len > 0)
			buf_append_char(&all, '\n');
		buf_append_str(&all, one);
	}
	if (all.len == 0 || buf_take(&all, &text, &len, &ignored) < 0)
		text = xstrdup("");
	buf_done(&all);
	return text;
}

int engine_create_body(struct engine *e, const char *name, const char *body,
		       char ret_id[ENGINE_ID_SIZE], char **ret_warnings, struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	char path[160];

	if (name && !engine_is_name(name, 79))
		return err_set(err, ERR_INVALID, "'%.80s' is not a container's name", name);
	snprintf(path, sizeof(path), "/containers/create%s%s", name ? "?name=" : "",
		 name ? name : "");
	int rc = engine_call(e, "POST", path, body, ENGINE_LIMIT_CREATE, &reply, err);
	if (rc < 0)
		return rc;
	const char *id = json_member_str(reply, "Id");
	if (!id || engine_check_id(id, err) < 0)
		return err_set(err, ERR_PROTOCOL, "engine: created a container without an id");
	memcpy(ret_id, id, strlen(id) + 1);
	if (ret_warnings)
		*ret_warnings = join_warnings(json_member(reply, "Warnings"));
	return 0;
}

void engine_tell(const struct engine *e, struct engine_event *event, usec_t began, int rc,
		 const struct err *err)
{
	event->error = rc < 0 ? err->msg : NULL;
	event->duration = clock_mono() - began;
	if (e->on_event)
		e->on_event(e->on_event_arg, event);
}

static const char *label_of(const struct engine_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->label_count; i++)
		if (strcmp(spec->labels[i].name, name) == 0)
			return spec->labels[i].value;
	return NULL;
}

static int check_mounts(struct engine *e, const struct engine_spec *spec, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < spec->mount_count; i++)
		rc = engine_check_mount(e, &spec->mounts[i], err);
	return rc;
}

int engine_direct_create(struct engine *e, const struct engine_spec *spec,
			 char ret_id[ENGINE_ID_SIZE], char **ret_warnings, struct err *err)
{
	_cleanup_free_ char *body = NULL;
	usec_t began = clock_mono();
	struct engine_event event = {.action = "create",
				     .image = spec->image,
				     .role = label_of(spec, "role"),
				     .conversation = label_of(spec, "conversation"),
				     .project = label_of(spec, "project"),
				     .task = label_of(spec, "task")};

	char name[ENGINE_NAME_SIZE], api[8];
	int rc = check_mounts(e, spec, err);
	if (rc == 0)
		rc = engine_negotiate(e, false, api, err);
	if (rc == 0)
		rc = engine_spec_body(spec, e->instance, engine_traits(e), &body, err);
	if (rc == 0 && !spec->name)
		engine_new_name(event.role, name);
	else if (rc == 0 && !engine_is_own_name(spec->name))
		rc = err_set(err, ERR_INVALID, "'%.80s' is not a name of ours", spec->name);
	if (rc == 0)
		rc = engine_create_body(e, spec->name ? spec->name : name, body, ret_id,
					ret_warnings, err);
	event.id = rc == 0 ? ret_id : NULL;
	engine_tell(e, &event, began, rc, err);
	return rc;
}

/* POST or DELETE of /containers/{id}{tail}. */
static int act(struct engine *e, const char *method, const char *id, const char *tail,
	       enum engine_limit limit, struct err *err)
{
	char path[160];

	int rc = engine_check_id(id, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/containers/%s%s", id, tail);
	return engine_call(e, method, path, NULL, limit, NULL, err);
}

int engine_direct_start(struct engine *e, const char *id, struct err *err)
{
	struct engine_container now;
	struct err look;

	int rc = act(e, "POST", id, "/start", ENGINE_LIMIT_START, err);
	/* 404 is also said of a missing network or command; the container itself may well be there.
	 */
	if (rc == -ERR_NOTFOUND && engine_inspect(e, id, &now, &look) == 0) {
		char why[sizeof(err->msg)];
		memcpy(why, err->msg, sizeof(why));
		return err_set(err, ERR_FAILED, "%s", why);
	}
	return rc;
}

int engine_direct_rename(struct engine *e, const char *id, const char *name, struct err *err)
{
	char tail[100];

	if (!engine_is_name(name, 79))
		return err_set(err, ERR_INVALID, "'%.80s' is not a container's name", name);
	snprintf(tail, sizeof(tail), "/rename?name=%s", name);
	return act(e, "POST", id, tail, ENGINE_LIMIT_LOOK, err);
}

int engine_direct_kill(struct engine *e, const char *id, struct err *err)
{
	int rc = act(e, "POST", id, "/kill?signal=KILL", ENGINE_LIMIT_KILL, err);

	return rc == -ERR_CONFLICT ? 0 : rc;
}

/* What a further try may get over: a removal under way (409), a busy file system (500), a lost
 * connection. */
static bool is_worth_a_try(int rc, const struct err *err)
{
	return rc == -ERR_CONFLICT || err_is_transient(err);
}

int engine_remove_any(struct engine *e, const char *id, bool *ret_done, struct err *err)
{
	usec_t deadline = clock_deadline(ENGINE_LIMIT_REMOVE * USEC_PER_SEC);
	usec_t pause = REMOVE_PAUSE_MIN;
	bool perhaps = false; /* one of our calls that broke off may have done it */

	for (;;) {
		int rc = act(e, "DELETE", id, "?force=1&v=1", ENGINE_LIMIT_REMOVE, err);
		if (rc == 0 || rc == -ERR_NOTFOUND) {
			*ret_done = rc == 0 || perhaps;
			return 0;
		}
		if (!is_worth_a_try(rc, err) || clock_left_ms(deadline) == 0)
			return rc;
		perhaps = perhaps || rc != -ERR_CONFLICT;
		engine_pause(e, pause);
		pause = pause * 2 < REMOVE_PAUSE_MAX ? pause * 2 : REMOVE_PAUSE_MAX;
	}
}

int engine_inspect_ours(struct engine *e, const char *id, struct engine_container *ret,
			struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	char path[160];

	int rc = engine_check_id(id, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/containers/%s/json", id);
	rc = engine_call(e, "GET", path, NULL, ENGINE_LIMIT_LOOK, &reply, err);
	if (rc == 0)
		rc = engine_parse_inspect(reply, ret, err);
	if (rc < 0)
		return rc;
	if (!engine_is_ours(e->instance, ret->name,
			    json_member(json_member(reply, "Config"), "Labels")))
		return err_set(err, ERR_DENIED, "container %.12s is not of instance %s", id,
			       e->instance);
	return 0;
}

static const char *or_null(const char *label)
{
	return *label ? label : NULL;
}

void engine_tell_removed(const struct engine *e, const char *id, const char *why,
			 const struct engine_container *c, usec_t began, int rc,
			 const struct err *err)
{
	engine_tell(e,
		    &(struct engine_event){.action = "remove",
					   .id = id,
					   .why = why,
					   .role = or_null(c->role),
					   .conversation = or_null(c->conversation),
					   .project = or_null(c->project),
					   .task = or_null(c->task)},
		    began, rc, err);
}

int engine_direct_reap(struct engine *e, const char *id, const char *why, bool *ret_done,
		       struct err *err)
{
	struct engine_container c = {0};
	usec_t began = clock_mono();
	bool done = false;
	int rc = engine_inspect_ours(e, id, &c, err);

	if (rc == 0)
		rc = engine_remove_any(e, id, &done, err);
	else if (rc == -ERR_NOTFOUND)
		rc = 0;
	if (rc < 0 || done)
		engine_tell_removed(e, id, why, &c, began, rc, err);
	if (rc == 0)
		*ret_done = done;
	return rc;
}

int engine_remove(struct engine *e, const char *id, struct err *err)
{
	bool ignored;

	return engine_reap(e, id, NULL, &ignored, err);
}
