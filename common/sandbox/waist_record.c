/*
 * waist_record.c: structures as JSON objects and back, by tables of their members. See waist.h.
 */
#include "waist.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum kind { TEXT, CHARS, INTEGER, WIDE, UNSIGNED, BIG, REAL, FLAG, LIST, VALUE };
struct row {
	const char *key;
	enum kind kind;
	size_t offset, size;
};
#define ROW(type, member, kind)                                                                    \
	{                                                                                          \
#member, kind, offsetof(type, member), sizeof(((type *)0)->member)                 \
	}

static const struct row request_rows[] = {
	ROW(struct waist_request, op, TEXT),	  ROW(struct waist_request, id, TEXT),
	ROW(struct waist_request, image, TEXT),	  ROW(struct waist_request, name, TEXT),
	ROW(struct waist_request, why, TEXT),	  ROW(struct waist_request, instance, TEXT),
	ROW(struct waist_request, version, WIDE), ROW(struct waist_request, before, WIDE),
	ROW(struct waist_request, size, WIDE),	  ROW(struct waist_request, keep, VALUE),
	ROW(struct waist_request, spec, VALUE),
};

#define SPEC(member, kind) ROW(struct engine_spec, member, kind)
static const struct row spec_rows[] = {
	SPEC(image, TEXT),	  SPEC(name, TEXT),	     SPEC(argv, LIST),
	SPEC(env, LIST),	  SPEC(working_dir, TEXT),   SPEC(stdin_once, FLAG),
	SPEC(uid, UNSIGNED),	  SPEC(gid, UNSIGNED),	     SPEC(runtime, TEXT),
	SPEC(network, TEXT),	  SPEC(memory, WIDE),	     SPEC(cpus, REAL),
	SPEC(pids, WIDE),	  SPEC(nofile, WIDE),	     SPEC(file_size, WIDE),
	SPEC(shm_size, WIDE),	  SPEC(agent_volume, TEXT),  SPEC(package_volume, TEXT),
	SPEC(package_fill, FLAG), SPEC(image_volumes, LIST),
};
static const struct row tmpfs_rows[] = {
	ROW(struct engine_tmpfs, path, TEXT),	ROW(struct engine_tmpfs, size, WIDE),
	ROW(struct engine_tmpfs, inodes, WIDE), ROW(struct engine_tmpfs, mode, UNSIGNED),
	ROW(struct engine_tmpfs, exec, FLAG),
};
static const struct row label_rows[] = {
	ROW(struct engine_label, name, TEXT),
	ROW(struct engine_label, value, TEXT),
};
static const struct row mount_rows[] = {
	ROW(struct engine_mount, path, TEXT),
	ROW(struct engine_mount, writable, FLAG),
};

#define CONTAINER(member, kind) ROW(struct engine_container, member, kind)
static const struct row container_rows[] = {
	CONTAINER(id, CHARS),	       CONTAINER(name, CHARS),	 CONTAINER(image_id, CHARS),
	CONTAINER(status, CHARS),      CONTAINER(running, FLAG), CONTAINER(oom_killed, FLAG),
	CONTAINER(exit_code, INTEGER), CONTAINER(created, WIDE), CONTAINER(deadline, WIDE),
	CONTAINER(role, CHARS),	       CONTAINER(owner, CHARS),	 CONTAINER(conversation, CHARS),
	CONTAINER(project, CHARS),     CONTAINER(task, CHARS),	 CONTAINER(policy, CHARS),
};

#define INFO(member, kind) ROW(struct engine_info, member, kind)
static const struct row info_rows[] = {
	INFO(version, CHARS),	  INFO(api_version, CHARS), INFO(os, CHARS),
	INFO(kernel, CHARS),	  INFO(driver, CHARS),	    INFO(cgroup_version, INTEGER),
	INFO(memory_limit, FLAG), INFO(swap_limit, FLAG),   INFO(pids_limit, FLAG),
	INFO(cpu_limit, FLAG),	  INFO(seccomp, FLAG),	    INFO(apparmor, FLAG),
	INFO(userns, FLAG),	  INFO(memory_total, WIDE), INFO(cpus, WIDE),
	INFO(root, CHARS),	  INFO(name, CHARS),	    INFO(default_runtime, CHARS),
	INFO(runtimes, CHARS),	  INFO(traits, UNSIGNED),
};
static const struct row disk_rows[] = {
	ROW(struct engine_disk, size, WIDE),
	ROW(struct engine_disk, free, WIDE),
};
static const struct row usage_rows[] = {
	ROW(struct engine_usage, images, WIDE),
	ROW(struct engine_usage, own_images, WIDE),
	ROW(struct engine_usage, own_volumes, WIDE),
};

/* ---- writing ---- */

static json_t *list_of(const char *const *texts)
{
	json_t *list = json_array();

	for (; *texts; texts++)
		if (json_array_append_new(list, json_string(*texts)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* NULL in *ret: what is 0 is left out. False: it cannot be said. */
static bool write_one(const struct row *row, const void *at, json_t **ret)
{
	const char *const *text = at;
	const char *const *const *list = at;
	json_t *const *value = at;

	*ret = NULL;
	switch (row->kind) {
	case TEXT:
		return *text == NULL || (*ret = json_string(*text)) != NULL;
	case CHARS:
		return (*ret = json_string(at)) != NULL;
	case INTEGER:
		*ret = json_integer(*(const int *)at);
		return true;
	case UNSIGNED:
		*ret = json_integer(*(const unsigned *)at);
		return true;
	case WIDE:
	case BIG:
		*ret = json_integer(*(const int64_t *)at);
		return true;
	case REAL:
		*ret = json_real(*(const double *)at);
		return *ret != NULL;
	case FLAG:
		*ret = json_boolean(*(const bool *)at);
		return true;
	case LIST:
		return *list == NULL || (*ret = list_of(*list)) != NULL;
	case VALUE:
		*ret = json_incref(*value);
		return true;
	}
	return false;
}

static json_t *write_record(const struct row *rows, size_t count, const void *from)
{
	json_t *object = json_object();

	for (size_t i = 0; i < count; i++) {
		json_t *value;

		if (!write_one(&rows[i], (const char *)from + rows[i].offset, &value)) {
			json_decref(object);
			return NULL;
		}
		if (value)
			json_object_set_new(object, rows[i].key, value);
	}
	return object;
}

static json_t *write_records(const struct row *rows, size_t count, const void *from, size_t size,
			     size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(
			    list, write_record(rows, count, (const char *)from + i * size)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* ---- reading ---- */

static bool read_integer(const json_t *value, int64_t min, int64_t max, int64_t *ret)
{
	*ret = json_integer_value(value);
	return json_is_integer(value) && *ret >= min && *ret <= max;
}

/* The texts of a list, NULL-terminated; given. NULL: it is none. */
static const char **read_list(const json_t *value)
{
	size_t n = json_array_size(value);

	if (!json_is_array(value) || n > WAIST_KEEP)
		return NULL;
	const char **all = xcalloc(n + 1, sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		all[i] = json_string_value(json_array_get(value, i));
		if (all[i] == NULL) {
			free(all);
			return NULL;
		}
	}
	return all;
}

/* `ret_block`: the memory of a list. */
static bool read_one(const struct row *row, const json_t *value, void *at, void **ret_block)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	int64_t n = 0;

	switch (row->kind) {
	case TEXT:
		*(const char **)at = text;
		return text != NULL;
	case CHARS:
		if (text == NULL || len >= row->size)
			return false;
		memcpy(at, text, len + 1);
		return true;
	case INTEGER:
		if (!read_integer(value, INT32_MIN, INT32_MAX, &n))
			return false;
		*(int *)at = (int)n;
		return true;
	case UNSIGNED:
		if (!read_integer(value, 0, UINT32_MAX, &n))
			return false;
		*(unsigned *)at = (unsigned)n;
		return true;
	case WIDE:
	case BIG:
		return read_integer(value, INT64_MIN, INT64_MAX, at);
	case REAL:
		*(double *)at = json_number_value(value);
		return json_is_number(value);
	case FLAG:
		*(bool *)at = json_is_true(value);
		return json_is_boolean(value);
	case LIST:
		*ret_block = *(const char ***)at = read_list(value);
		return *ret_block != NULL;
	case VALUE:
		*(const json_t **)at = value;
		return true;
	}
	return false;
}

/* Members that `rows` do not name are refused, but for `also` (NULL-terminated). */
static int read_record(const struct row *rows, size_t count, const json_t *json, void *to,
		       const char *const *also, void **blocks, struct err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return err_set(err, ERR_INVALID, "not an object");
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		size_t i = 0, k = 0;
		void *block = NULL;

		while (i < count && strcmp(rows[i].key, key) != 0)
			i++;
		while (also && also[k] && strcmp(also[k], key) != 0)
			k++;
		if (i == count && also && also[k])
			continue;
		if (i == count)
			return err_set(err, ERR_INVALID, "there is no member '%.40s'", key);
		if (!read_one(&rows[i], value, (char *)to + rows[i].offset, &block))
			return err_set(err, ERR_INVALID, "member '%.40s' is of another kind", key);
		if (block)
			*blocks++ = block;
	}
	return 0;
}

static int read_records(const struct row *rows, size_t count, const json_t *list, size_t size,
			size_t max, void **ret, size_t *ret_count, struct err *err)
{
	size_t n = json_array_size(list);
	int rc = 0;

	if (list && (!json_is_array(list) || n > max))
		return err_set(err, ERR_INVALID, "not a list of at most %zu", max);
	char *all = xcalloc(n + 1, size);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = read_record(rows, count, json_array_get(list, i), all + i * size, NULL, NULL,
				 err);
	*ret = all;
	*ret_count = n;
	return rc;
}

/* ---- what there is ---- */

json_t *waist_request_write(const struct waist_request *q)
{
	return write_record(request_rows, ARRAY_LEN(request_rows), q);
}

int waist_request_read(const json_t *json, struct waist_request *ret, struct err *err)
{
	struct waist_request q = {0};
	int rc = read_record(request_rows, ARRAY_LEN(request_rows), json, &q, NULL, NULL, err);
	const char *const texts[] = {q.op, q.id, q.image, q.name, q.why, q.instance};

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(texts); i++)
		if (texts[i] && strlen(texts[i]) > WAIST_TEXT)
			rc = err_set(err, ERR_INVALID, "a text of more than %d bytes", WAIST_TEXT);
	if (rc == 0 && q.op == NULL)
		rc = err_set(err, ERR_INVALID, "no op");
	if (rc == 0)
		*ret = q;
	return rc;
}

#define SPEC_LABELS 64

json_t *waist_spec_write(const struct engine_spec *spec)
{
	json_t *object = write_record(spec_rows, ARRAY_LEN(spec_rows), spec);

	if (object == NULL)
		return NULL;
	if (json_object_set_new(object, "tmpfs",
				write_records(tmpfs_rows, ARRAY_LEN(tmpfs_rows), spec->tmpfs,
					      sizeof(*spec->tmpfs), spec->tmpfs_count)) < 0 ||
	    json_object_set_new(object, "mounts",
				write_records(mount_rows, ARRAY_LEN(mount_rows), spec->mounts,
					      sizeof(*spec->mounts), spec->mount_count)) < 0 ||
	    json_object_set_new(object, "labels",
				write_records(label_rows, ARRAY_LEN(label_rows), spec->labels,
					      sizeof(*spec->labels), spec->label_count)) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* Every member that engine_spec_body looks at without a check of its own. */
static int check_lists(const struct engine_spec *s, struct err *err)
{
	for (size_t i = 0; i < s->tmpfs_count; i++)
		if (s->tmpfs[i].path == NULL)
			return err_set(err, ERR_INVALID, "tmpfs: no path");
	for (size_t i = 0; i < s->mount_count; i++)
		if (s->mounts[i].path == NULL)
			return err_set(err, ERR_INVALID, "mounts: no path");
	for (size_t i = 0; i < s->label_count; i++)
		if (s->labels[i].name == NULL || s->labels[i].value == NULL)
			return err_set(err, ERR_INVALID, "labels: no name or value");
	return 0;
}

int waist_spec_read(const json_t *json, struct waist_spec *ret, struct err *err)
{
	static const char *const also[] = {"tmpfs", "mounts", "labels", NULL};
	struct waist_spec s = {0};
	int rc = read_record(spec_rows, ARRAY_LEN(spec_rows), json, &s.spec, also, s.blocks, err);

	if (rc == 0)
		rc = read_records(tmpfs_rows, ARRAY_LEN(tmpfs_rows), json_object_get(json, "tmpfs"),
				  sizeof(struct engine_tmpfs), 16, &s.blocks[3],
				  &s.spec.tmpfs_count, err);
	if (rc == 0)
		rc = read_records(mount_rows, ARRAY_LEN(mount_rows),
				  json_object_get(json, "mounts"), sizeof(struct engine_mount),
				  ENGINE_MOUNTS, &s.blocks[4], &s.spec.mount_count, err);
	if (rc == 0)
		rc = read_records(label_rows, ARRAY_LEN(label_rows),
				  json_object_get(json, "labels"), sizeof(struct engine_label),
				  SPEC_LABELS, &s.blocks[5], &s.spec.label_count, err);
	s.spec.tmpfs = s.blocks[3];
	s.spec.mounts = s.blocks[4];
	s.spec.labels = s.blocks[5];
	if (rc == 0)
		rc = check_lists(&s.spec, err);
	if (rc < 0) {
		waist_spec_done(&s);
		return err_wrap(err, "spec");
	}
	*ret = s;
	return 0;
}

void waist_spec_done(struct waist_spec *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->blocks); i++)
		free(s->blocks[i]);
	*s = (struct waist_spec){0};
}

json_t *waist_container_write(const struct engine_container *c)
{
	return write_record(container_rows, ARRAY_LEN(container_rows), c);
}

int waist_container_read(const json_t *json, struct engine_container *ret, struct err *err)
{
	struct engine_container c = {0};
	int rc = read_record(container_rows, ARRAY_LEN(container_rows), json, &c, NULL, NULL, err);

	if (rc < 0)
		return err_set(err, ERR_PROTOCOL, "engine role: not a container");
	*ret = c;
	return 0;
}

json_t *waist_info_write(const struct engine_info *info)
{
	return write_record(info_rows, ARRAY_LEN(info_rows), info);
}

int waist_info_read(const json_t *json, struct engine_info *ret, struct err *err)
{
	struct engine_info info = {0};
	int rc = read_record(info_rows, ARRAY_LEN(info_rows), json, &info, NULL, NULL, err);

	if (rc < 0)
		return err_set(err, ERR_PROTOCOL, "engine role: no information");
	*ret = info;
	return 0;
}

json_t *waist_disk_write(const struct engine_disk *disk)
{
	return write_record(disk_rows, ARRAY_LEN(disk_rows), disk);
}

int waist_disk_read(const json_t *json, struct engine_disk *ret, struct err *err)
{
	struct engine_disk disk = {0};
	int rc = read_record(disk_rows, ARRAY_LEN(disk_rows), json, &disk, NULL, NULL, err);

	if (rc < 0)
		return err_set(err, ERR_PROTOCOL, "engine role: nothing of its disk");
	*ret = disk;
	return 0;
}

json_t *waist_usage_write(const struct engine_usage *usage)
{
	return write_record(usage_rows, ARRAY_LEN(usage_rows), usage);
}

int waist_usage_read(const json_t *json, struct engine_usage *ret, struct err *err)
{
	struct engine_usage usage = {0};
	int rc = read_record(usage_rows, ARRAY_LEN(usage_rows), json, &usage, NULL, NULL, err);

	if (rc < 0)
		return err_set(err, ERR_PROTOCOL, "engine role: nothing of what is on its disk");
	*ret = usage;
	return 0;
}

json_t *waist_error_write(const struct err *err)
{
	return json_pack("{s:s, s:s, s:b}", "error", err_code_text(err->code), "message", err->msg,
			 "transient", err_is_transient(err));
}

int waist_error_read(const json_t *json, struct err *err)
{
	const char *text = json_member_str(json, "error"), *said = json_member_str(json, "message");
	int rc;

	if (!json_is_object(json))
		return err_set(err, ERR_PROTOCOL, "engine role: not an object");
	if (text == NULL)
		return 0;
	for (int code = 1; code < ERR_CODE_COUNT; code++) {
		if (strcmp(err_code_text(code), text) != 0)
			continue;
		rc = err_set(err, (enum err_code)code, "%.240s", said ? said : text);
		err->flags = 0;
		return json_is_true(json_member(json, "transient")) ? err_transient(err) : rc;
	}
	return err_set(err, ERR_PROTOCOL, "engine role: an error without a name");
}
