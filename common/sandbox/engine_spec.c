/*
 * engine_spec.c: the one place where a container's body is made, from a typed specification whose
 * zero value is the strictest. Pure, so that every byte of it can be tested.
 *
 * What is not written here cannot be asked of an engine: privileges, capabilities, devices, host
 * namespaces, binds of what is the host's or the engine's own, other volumes, sysctls, other users'
 * groups. MaskedPaths and ReadonlyPaths stay unset, since an empty list would take the engine's
 * protection away.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABEL_VALUE 1024u
#define MAX_LABELS	32u
#define MAX_LABEL_BYTES 8192u /* of all names and values */
#define MAX_ARGS	64u

/* Adds a string that may come from outside; json_string refuses what is not UTF-8. */
static int set_text(json_t *object, const char *key, const char *value, struct err *err)
{
	json_t *text = json_string(value);

	if (!text)
		return err_set(err, ERR_INVALID, "%s: not UTF-8", key);
	json_object_set_new(object, key, text);
	return 0;
}

static int add_text(json_t *array, const char *value, const char *field, struct err *err)
{
	json_t *text = json_string(value);

	if (!text)
		return err_set(err, ERR_INVALID, "%s: not UTF-8", field);
	json_array_append_new(array, text);
	return 0;
}

static int set_argv(json_t *body, const struct engine_spec *spec, struct err *err)
{
	json_t *argv = json_array();

	json_object_set_new(body, "Entrypoint", argv);
	json_object_set_new(body, "Cmd", json_array());
	if (!spec->argv || !spec->argv[0] || !spec->argv[0][0])
		return err_set(err, ERR_INVALID, "argv: a command is required");
	for (size_t i = 0; spec->argv[i]; i++) {
		if (i >= MAX_ARGS)
			return err_set(err, ERR_INVALID, "argv: more than %u", MAX_ARGS);
		int rc = add_text(argv, spec->argv[i], "argv", err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int set_env(json_t *body, const struct engine_spec *spec, struct err *err)
{
	json_t *env = json_array();
	size_t bytes = 0;

	json_object_set_new(body, "Env", env);
	for (size_t i = 0; spec->env && spec->env[i]; i++) {
		const char *equals = strchr(spec->env[i], '=');
		bytes += strlen(spec->env[i]) + 1;
		/* Without '=' an engine would take the variable out of the image, or of its own
		 * environment. */
		if (!equals || equals == spec->env[i])
			return err_set(err, ERR_INVALID, "env: entry %zu is not NAME=value", i);
		if (i >= BOUND_ENV_VARS || bytes > BOUND_ENV_BYTES)
			return err_set(err, ERR_INVALID, "env: more than %d variables or %u bytes",
				       BOUND_ENV_VARS, BOUND_ENV_BYTES);
		int rc = add_text(env, spec->env[i], "env", err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int set_labels(json_t *body, const struct engine_spec *spec, const char *instance,
		      struct err *err)
{
	json_t *labels = json_object();
	size_t bytes = 0;
	char key[64];

	json_object_set_new(body, "Labels", labels);
	json_object_set_new(labels, ENGINE_LABEL_PREFIX "instance", json_string(instance));
	for (size_t i = 0; i < spec->label_count; i++) {
		const struct engine_label *l = &spec->labels[i];
		if (!l->name || !engine_is_name(l->name, 40) || strcmp(l->name, "instance") == 0)
			return err_set(err, ERR_INVALID, "labels: name '%.40s'",
				       l->name ? l->name : "");
		if (!l->value || strlen(l->value) > MAX_LABEL_VALUE)
			return err_set(err, ERR_INVALID, "labels: value of '%s'", l->name);
		bytes += strlen(l->name) + strlen(l->value);
		if (i >= MAX_LABELS || bytes > MAX_LABEL_BYTES)
			return err_set(err, ERR_INVALID, "labels: more than %u, or %u bytes",
				       MAX_LABELS, MAX_LABEL_BYTES);
		snprintf(key, sizeof(key), ENGINE_LABEL_PREFIX "%s", l->name);
		int rc = set_text(labels, key, l->value, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int set_process(json_t *body, const struct engine_spec *spec, struct err *err)
{
	const char *dir = spec->working_dir ? spec->working_dir : "/";
	char user[32];

	if (!spec->image || !engine_is_image(spec->image))
		return err_set(err, ERR_INVALID, "image: '%.100s'", spec->image ? spec->image : "");
	if (!engine_is_path(dir) || engine_is_kernel_path(dir))
		return err_set(err, ERR_INVALID, "working_dir: '%.100s'", dir);
	json_object_set_new(body, "Image", json_string(spec->image));
	snprintf(user, sizeof(user), "%u:%u", spec->uid ? spec->uid : ENGINE_DEFAULT_UID,
		 spec->gid ? spec->gid : ENGINE_DEFAULT_UID);
	json_object_set_new(body, "User", json_string(user));
	int rc = set_argv(body, spec, err);
	if (rc == 0)
		rc = set_text(body, "WorkingDir", dir, err);
	if (rc == 0)
		rc = set_env(body, spec, err);
	if (rc < 0)
		return rc;
	static const char *const on[] = {"AttachStdin", "AttachStdout", "AttachStderr",
					 "OpenStdin"};
	for (size_t i = 0; i < ARRAY_LEN(on); i++)
		json_object_set_new(body, on[i], json_true());
	json_object_set_new(body, "StdinOnce", json_boolean(spec->stdin_once));
	json_object_set_new(body, "Tty", json_false());
	json_object_set_new(body, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
	return 0;
}

static int make_body(const struct engine_spec *spec, const char *instance, unsigned traits,
		     bool fill, char **ret, struct err *err)
{
	_cleanup_json_ json_t *body = json_object();

	int rc = set_process(body, spec, err);
	if (rc == 0)
		rc = set_labels(body, spec, instance, err);
	if (rc == 0)
		rc = engine_spec_host(body, spec, traits, fill, err);
	if (rc < 0)
		return rc;
	char *text = json_dumps(body, JSON_COMPACT);
	if (!text)
		return err_set(err, ERR_NOMEM, "container body");
	*ret = text;
	return 0;
}

int engine_spec_body(const struct engine_spec *spec, const char *instance, unsigned traits,
		     char **ret, struct err *err)
{
	int rc = make_body(spec, instance, traits, false, ret, err);

	return rc < 0 ? err_wrap(err, "container specification") : 0;
}

int engine_spec_helper_body(const char *image, const char *volume, const char *instance,
			    unsigned traits, char **ret, struct err *err)
{
	static const char *const argv[] = {ENGINE_AGENT_DIR "/" ENGINE_AGENT_FILE, NULL};
	static const struct engine_label labels[] = {{"role", "helper"}};
	struct engine_spec spec = {
		.image = image,
		.argv = argv,
		.agent_volume = volume,
		.labels = labels,
		.label_count = ARRAY_LEN(labels),
	};

	return make_body(&spec, instance, traits, true, ret, err);
}
