/*
 * engine_package.c: volumes that hold a package each.
 *
 * The root of such a volume is root's, and so is the file in it that says it is whole: no process
 * of a container can write either, so that what was half filled by somebody who died is never taken
 * for a package. Archives go into containers that do not run.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "docker_tar.h"
#include "mem.h"

#define PLACE "p"
#define SEAL  "whole"

static const char seal_text[] = "installed by celeriac\n";

static int check_volume(const char *volume, struct err *err)
{
	if (strncmp(volume, ENGINE_PACKAGE_PREFIX, strlen(ENGINE_PACKAGE_PREFIX)) != 0 ||
	    !engine_is_name(volume, 79))
		return err_set(err, ERR_INVALID, "package volume: '%.80s'", volume);
	return 0;
}

static int look(struct engine *e, const char *volume, json_t **ret, struct err *err)
{
	char path[128];
	int rc = check_volume(volume, err);

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/volumes/%s", volume);
	return engine_call(e, "GET", path, NULL, ENGINE_LIMIT_LOOK, ret, err);
}

/* How many there are. Several workers that count at one moment may come to a few more. */
static int count(struct engine *e, size_t *ret, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT(2048);
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_free_ char *filter =
		xasprintf("{\"label\":[\"" ENGINE_LABEL_PREFIX
			  "role=package\",\"" ENGINE_LABEL_PREFIX "instance=%s\"]}",
			  e->instance);
	size_t i;
	json_t *volume;
	int rc;

	buf_append_str(&path, "/volumes?filters=");
	engine_encode(filter, "", &path);
	rc = buf_status(&path, err);
	if (rc == 0)
		rc = engine_call(e, "GET", path.data, NULL, ENGINE_LIMIT_LOOK, &reply, err);
	if (rc < 0)
		return rc;
	*ret = 0;
	/* the filter is the engine's, or a proxy's; what is ours we decide ourselves */
	json_array_foreach(json_member(reply, "Volumes"), i, volume)
	{
		const json_t *labels = json_member(volume, "Labels");

		*ret += strcmp(engine_label(labels, "instance"), e->instance) == 0 &&
			strcmp(engine_label(labels, "role"), "package") == 0;
	}
	return 0;
}

static int check_room(struct engine *e, struct err *err)
{
	size_t n = 0;
	int rc = count(e, &n, err);

	if (rc < 0)
		return rc;
	if (n < BOUND_PACKAGE_VOLUMES)
		return 0;
	return err_set(
		err, ERR_DENIED,
		"there are %zu volumes of packages on the engine already, %d at most; those that "
		"no container has go within a day, or by `docker volume rm`",
		n, BOUND_PACKAGE_VOLUMES);
}

int engine_direct_package_volume(struct engine *e, const char *volume, bool *ret_made,
				 struct err *err)
{
	_cleanup_json_ json_t *there = NULL;
	int rc = look(e, volume, &there, err);

	const char *owner = engine_label(json_member(there, "Labels"), "instance");

	*ret_made = rc == -ERR_NOTFOUND;
	/* one without a label was made by an engine for a container whose volume had gone */
	if (rc == 0 && *owner && strcmp(owner, e->instance) != 0)
		return err_set(err, ERR_DENIED, "volume %s is not of instance %s", volume,
			       e->instance);
	if (rc != -ERR_NOTFOUND)
		return rc;
	rc = check_room(e, err);
	if (rc < 0) {
		*ret_made = false;
		return rc;
	}
	_cleanup_json_ json_t *body = json_pack(
		"{s:s, s:s, s:{s:s, s:s}}", "Name", volume, "Driver", "local", "Labels",
		ENGINE_LABEL_PREFIX "role", "package", ENGINE_LABEL_PREFIX "instance", e->instance);
	_cleanup_free_ char *text = json_dumps(body, JSON_COMPACT);
	if (!text)
		return err_set(err, ERR_NOMEM, "volume body");
	return engine_call(e, "POST", "/volumes/create", text, ENGINE_LIMIT_LOOK, NULL, err);
}

int engine_package_look(struct engine *e, const char *volume, struct err *err)
{
	_cleanup_json_ json_t *there = NULL;
	int rc = look(e, volume, &there, err);

	if (rc < 0 && err_is_transient(err))
		return rc;
	return rc == 0 &&
	       strcmp(engine_label(json_member(there, "Labels"), "instance"), e->instance) == 0;
}

bool engine_direct_package_exists(struct engine *e, const char *volume)
{
	struct err ignored;

	return engine_package_look(e, volume, &ignored) == 1;
}

bool engine_direct_name_is_taken(struct engine *e, const char *name)
{
	_cleanup_json_ json_t *there = NULL;
	struct err ignored;
	char path[160];

	if (!engine_is_name(name, 100))
		return false;
	snprintf(path, sizeof(path), "/containers/%s/json", name);
	return engine_call(e, "GET", path, NULL, ENGINE_LIMIT_LOOK, &there, &ignored) == 0;
}

int engine_direct_package_remove(struct engine *e, const char *volume, struct err *err)
{
	char path[128];
	int rc = check_volume(volume, err);

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/volumes/%s", volume);
	rc = engine_call(e, "DELETE", path, NULL, ENGINE_LIMIT_REMOVE, NULL, err);
	return rc == -ERR_NOTFOUND ? 0 : rc;
}

static int put(struct engine *e, const char *container, const struct buf *tar, struct err *err)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	char path[200];
	struct engine_request req = {.method = "PUT",
				     .path = path,
				     .content_type = "application/x-tar",
				     .body = tar->data,
				     .body_len = tar->len,
				     .limit = ENGINE_LIMIT_ARCHIVE};
	int rc = buf_status(tar, err);

	if (rc == 0)
		rc = engine_check_id(container, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/containers/%s/archive?path=" ENGINE_PACKAGE_DIR, container);
	rc = engine_exchange(e, &req, &response, err);
	if (rc == 0 && response.status != 200)
		rc = engine_reply_error(response.status, response.body.data, response.body.len,
					err);
	return rc;
}

int engine_direct_package_open(struct engine *e, const char *container, struct err *err)
{
	_cleanup_buf_ struct buf tar = BUF_INIT(16384);

	docker_tar_write_directory(PLACE, 0755, ENGINE_DEFAULT_UID, &tar);
	return put(e, container, &tar, err);
}

int engine_direct_package_seal(struct engine *e, const char *container, struct err *err)
{
	_cleanup_buf_ struct buf tar = BUF_INIT(16384);

	docker_tar_write(SEAL, 0444, seal_text, sizeof(seal_text) - 1, &tar);
	return put(e, container, &tar, err);
}

int engine_direct_package_is_whole(struct engine *e, const char *container, bool *ret,
				   struct err *err)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	char path[200];
	struct engine_request get = {.method = "GET", .path = path, .limit = ENGINE_LIMIT_ARCHIVE};
	int rc = engine_check_id(container, err);

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/containers/%s/archive?path=" ENGINE_PACKAGE_DIR "/" SEAL,
		 container);
	rc = engine_exchange(e, &get, &response, err);
	if (rc < 0)
		return rc;
	if (response.status != 200 && response.status != 404)
		return engine_reply_error(response.status, response.body.data, response.body.len,
					  err);
	*ret = response.status == 200 &&
	       docker_tar_holds(response.body.data, response.body.len, SEAL, 0444, seal_text,
				sizeof(seal_text) - 1);
	return 0;
}
