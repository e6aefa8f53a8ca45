/*
 * engine_remote.c: the calls of engine.h as requests to an engine role (waist.h).
 */
#include "engine_remote.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* A text of the answer, into `size` bytes. */
static int take_text(const json_t *answer, char *ret, size_t size, struct err *err)
{
	const char *text = json_member_str(answer, "text");

	if (text == NULL || strlen(text) >= size)
		return err_set(err, ERR_PROTOCOL, "engine role: no text, or too long a one");
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

/* ---- looking ---- */

static int remote_probe(struct engine *e, struct engine_info *ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "probe"}, ENGINE_LIMIT_LOOK,
				   &answer, err);

	if (rc == 0)
		rc = waist_info_read(json_member(answer, "info"), ret, err);
	if (rc < 0)
		return rc;
	mutex_lock(&e->lock);
	memcpy(e->root, ret->root, sizeof(e->root));
	mutex_unlock(&e->lock);
	return 0;
}

static int remote_ping(struct engine *e, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "ping"}, ENGINE_LIMIT_PING, NULL,
				 err);
}

static int remote_image_id(struct engine *e, const char *image, char ret_id[ENGINE_ID_SIZE],
			   struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "image_id", .image = image},
				   ENGINE_LIMIT_LOOK, &answer, err);

	return rc < 0 ? rc : take_text(answer, ret_id, ENGINE_ID_SIZE, err);
}

static int remote_image_label(struct engine *e, const char *image, const char *name, char **ret,
			      struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(
		e, &(struct waist_request){.op = "image_label", .image = image, .name = name},
		ENGINE_LIMIT_LOOK, &answer, err);

	if (rc < 0)
		return rc;
	const char *text = json_member_str(answer, "text");
	*ret = text ? xstrdup(text) : NULL;
	return 0;
}

/* As engine_image_volumes gives it: one block. */
static int take_list(const json_t *answer, size_t max, char ***ret, struct err *err)
{
	json_t *list = json_member(answer, "list"), *one;
	size_t bytes = 0, n = json_array_size(list), i;

	json_array_foreach(list, i, one) bytes += json_string_length(one) + 1;
	if (!json_is_array(list) || n > max)
		return err_set(err, ERR_PROTOCOL, "engine role: no list, or too long a one");
	char **all = xcalloc(1, (n + 1) * sizeof(char *) + bytes + 1);
	char *text = (char *)(all + n + 1);
	json_array_foreach(list, i, one)
	{
		const char *value = json_string_value(one) ?: "";

		all[i] = memcpy(text, value, strlen(value) + 1);
		text += strlen(value) + 1;
	}
	*ret = all;
	return 0;
}

static int remote_image_volumes(struct engine *e, const char *image, char ***ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc =
		engine_remote_ask(e, &(struct waist_request){.op = "image_volumes", .image = image},
				  ENGINE_LIMIT_LOOK, &answer, err);

	return rc < 0 ? rc : take_list(answer, ENGINE_IMAGE_VOLUMES, ret, err);
}

static int remote_image_env(struct engine *e, const char *image, char ***ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "image_env", .image = image},
				   ENGINE_LIMIT_LOOK, &answer, err);

	return rc < 0 ? rc : take_list(answer, BOUND_ENV_VARS, ret, err);
}

static int remote_image_pull(struct engine *e, const char *image, const struct engine_pull *how,
			     struct err *err)
{
	struct engine_event event = {.action = "pull", .image = image};
	const struct remote_extra x = {.pull = how};
	usec_t began = clock_mono();
	int rc = engine_remote_ask_all(e, &(struct waist_request){.op = "pull", .image = image}, &x,
				       ENGINE_LIMIT_PULL, NULL, NULL, err);

	engine_tell(e, &event, began, rc, err);
	return rc;
}

static int remote_network_need(struct engine *e, const char *name, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "network", .name = name},
				 ENGINE_LIMIT_CREATE, NULL, err);
}

static int remote_inspect(struct engine *e, const char *id, struct engine_container *ret,
			  struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "inspect", .id = id},
				   ENGINE_LIMIT_LOOK, &answer, err);

	return rc < 0 ? rc : waist_container_read(json_member(answer, "container"), ret, err);
}

static int remote_group(struct engine *e, const char *id, struct engine_group *ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "group", .id = id},
				   ENGINE_LIMIT_LOOK, &answer, err);
	json_int_t memory = json_integer_value(json_member(answer, "memory"));
	json_int_t pids = json_integer_value(json_member(answer, "pids"));

	if (rc < 0)
		return rc;
	*ret = (struct engine_group){.own = json_is_true(json_member(answer, "flag")),
				     .memory = memory > 0 ? (uint64_t)memory : 0,
				     .pids = pids > 0 ? (uint64_t)pids : 0};
	return 0;
}

static int remote_list(struct engine *e, struct engine_container **ret, size_t *ret_count,
		       struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ struct engine_container *all = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "list"}, ENGINE_LIMIT_LOOK,
				   &answer, err);
	const json_t *rows = json_member(answer, "containers");
	size_t n = json_array_size(rows);

	if (rc < 0)
		return rc;
	all = xcalloc(n + 1, sizeof(*all));
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = waist_container_read(json_array_get(rows, i), &all[i], err);
	if (rc < 0)
		return rc;
	*ret = TAKE(all);
	*ret_count = n;
	return 0;
}

static bool remote_name_is_taken(struct engine *e, const char *name)
{
	_cleanup_json_ json_t *answer = NULL;
	struct err ignored;

	return engine_remote_ask(e, &(struct waist_request){.op = "taken", .name = name},
				 ENGINE_LIMIT_LOOK, &answer, &ignored) == 0 &&
	       json_is_true(json_member(answer, "flag"));
}

/* ---- the life of a container ---- */

static const char *label_of(const struct engine_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->label_count; i++)
		if (strcmp(spec->labels[i].name, name) == 0)
			return spec->labels[i].value;
	return NULL;
}

static int create(struct engine *e, const struct engine_spec *spec, char ret_id[ENGINE_ID_SIZE],
		  char **ret_warnings, struct err *err)
{
	_cleanup_json_ json_t *object = waist_spec_write(spec), *answer = NULL;

	if (object == NULL)
		return err_set(err, ERR_INVALID, "container specification: not UTF-8");
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "create", .spec = object},
				   ENGINE_LIMIT_CREATE, &answer, err);
	if (rc == 0)
		rc = take_text(answer, ret_id, ENGINE_ID_SIZE, err);
	if (rc == 0 && ret_warnings)
		*ret_warnings = xstrdup(json_member_str(answer, "warnings") ?: "");
	return rc;
}

static int remote_create(struct engine *e, const struct engine_spec *spec,
			 char ret_id[ENGINE_ID_SIZE], char **ret_warnings, struct err *err)
{
	usec_t began = clock_mono();
	struct engine_event event = {.action = "create",
				     .image = spec->image,
				     .role = label_of(spec, "role"),
				     .conversation = label_of(spec, "conversation"),
				     .project = label_of(spec, "project"),
				     .task = label_of(spec, "task")};
	int rc = create(e, spec, ret_id, ret_warnings, err);

	event.id = rc == 0 ? ret_id : NULL;
	engine_tell(e, &event, began, rc, err);
	return rc;
}

static int remote_start(struct engine *e, const char *id, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "start", .id = id},
				 ENGINE_LIMIT_START, NULL, err);
}

static int remote_rename(struct engine *e, const char *id, const char *name, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "rename", .id = id, .name = name},
				 ENGINE_LIMIT_LOOK, NULL, err);
}

static int remote_kill(struct engine *e, const char *id, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "kill", .id = id},
				 ENGINE_LIMIT_KILL, NULL, err);
}

static int remote_reap(struct engine *e, const char *id, const char *why, bool *ret_done,
		       struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	struct engine_container c = {0};
	struct err ignored;
	usec_t began = clock_mono();
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "reap", .id = id, .why = why},
				   2 * ENGINE_LIMIT_REMOVE, &answer, err);
	bool done = rc == 0 && json_is_true(json_member(answer, "flag"));

	if (done && waist_container_read(json_member(answer, "container"), &c, &ignored) < 0)
		c = (struct engine_container){0};
	if (rc < 0 || done)
		engine_tell_removed(e, id, why, &c, began, rc, err);
	if (rc == 0)
		*ret_done = done;
	return rc;
}

/* ---- volumes ---- */

static int remote_deliver_agent(struct engine *e, const char *image, const void *agent, size_t len,
				char ret_volume[80], struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	const struct remote_extra x = {.bytes = agent};
	int rc = engine_remote_ask_all(
		e, &(struct waist_request){.op = "deliver", .image = image, .size = (int64_t)len},
		&x, ENGINE_LIMIT_DELIVER, NULL, &answer, err);

	return rc < 0 ? rc : take_text(answer, ret_volume, 80, err);
}

static int remote_package_volume(struct engine *e, const char *volume, bool *ret_made,
				 struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e,
				   &(struct waist_request){.op = "package_volume", .name = volume},
				   ENGINE_LIMIT_LOOK, &answer, err);

	if (rc == 0)
		*ret_made = json_is_true(json_member(answer, "flag"));
	return rc;
}

static bool remote_package_exists(struct engine *e, const char *volume)
{
	_cleanup_json_ json_t *answer = NULL;
	struct err ignored;

	return engine_remote_ask(e, &(struct waist_request){.op = "package_exists", .name = volume},
				 ENGINE_LIMIT_LOOK, &answer, &ignored) == 0 &&
	       json_is_true(json_member(answer, "flag"));
}

static int remote_package_remove(struct engine *e, const char *volume, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "package_remove", .name = volume},
				 ENGINE_LIMIT_REMOVE, NULL, err);
}

static int remote_package_open(struct engine *e, const char *container, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "package_open", .id = container},
				 ENGINE_LIMIT_ARCHIVE, NULL, err);
}

static int remote_package_seal(struct engine *e, const char *container, struct err *err)
{
	return engine_remote_ask(e, &(struct waist_request){.op = "package_seal", .id = container},
				 ENGINE_LIMIT_ARCHIVE, NULL, err);
}

static int remote_package_is_whole(struct engine *e, const char *container, bool *ret,
				   struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(
		e, &(struct waist_request){.op = "package_is_whole", .id = container},
		ENGINE_LIMIT_ARCHIVE, &answer, err);

	if (rc == 0)
		*ret = json_is_true(json_member(answer, "flag"));
	return rc;
}

static int sweep(struct engine *e, const char *op, const char *const *keep, usec_t before,
		 int64_t *ret_removed, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL, *names = json_array();

	*ret_removed = 0;
	for (; *keep; keep++)
		json_array_append_new(names, json_string(*keep));
	int rc = engine_remote_ask(
		e, &(struct waist_request){.op = op, .keep = names, .before = before},
		2 * ENGINE_LIMIT_REMOVE, &answer, err);
	if (rc == 0)
		*ret_removed = json_integer_value(json_member(answer, "number"));
	return rc;
}

static int remote_sweep_volumes(struct engine *e, const char *const *keep, usec_t before,
				int64_t *ret_removed, struct err *err)
{
	return sweep(e, "sweep_volumes", keep, before, ret_removed, err);
}

static int remote_sweep_networks(struct engine *e, const char *const *keep, usec_t before,
				 int64_t *ret_removed, struct err *err)
{
	return sweep(e, "sweep_networks", keep, before, ret_removed, err);
}

static int remote_sweep_images(struct engine *e, const char *const *keep, usec_t before,
			       int64_t *ret_removed, struct err *err)
{
	return sweep(e, "sweep_images", keep, before, ret_removed, err);
}

static int remote_disk(struct engine *e, struct engine_disk *ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "disk"}, ENGINE_LIMIT_LOOK,
				   &answer, err);

	return rc < 0 ? rc : waist_disk_read(json_member(answer, "disk"), ret, err);
}

static int remote_usage(struct engine *e, struct engine_usage *ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int rc = engine_remote_ask(e, &(struct waist_request){.op = "usage"}, ENGINE_LIMIT_USAGE,
				   &answer, err);

	return rc < 0 ? rc : waist_usage_read(json_member(answer, "usage"), ret, err);
}

const struct engine_driver engine_remote = {
	.probe = remote_probe,
	.ping = remote_ping,
	.image_pull = remote_image_pull,
	.image_id = remote_image_id,
	.image_label = remote_image_label,
	.image_volumes = remote_image_volumes,
	.image_env = remote_image_env,
	.network_need = remote_network_need,
	.create = remote_create,
	.start = remote_start,
	.rename = remote_rename,
	.name_is_taken = remote_name_is_taken,
	.kill = remote_kill,
	.reap = remote_reap,
	.inspect = remote_inspect,
	.group = remote_group,
	.list = remote_list,
	.deliver_agent = remote_deliver_agent,
	.package_volume = remote_package_volume,
	.package_exists = remote_package_exists,
	.package_remove = remote_package_remove,
	.package_open = remote_package_open,
	.package_seal = remote_package_seal,
	.package_is_whole = remote_package_is_whole,
	.sweep_volumes = remote_sweep_volumes,
	.sweep_networks = remote_sweep_networks,
	.sweep_images = remote_sweep_images,
	.disk = remote_disk,
	.usage = remote_usage,
	.attach = engine_remote_attach,
	.events = engine_remote_events,
};
