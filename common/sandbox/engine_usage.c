/*
 * engine_usage.c: what images and volumes take of the engine's disk, and what is left of it; and
 * images of ours that nobody has any more.
 *
 * How much a volume takes an engine finds out by going through its files: that is asked seldom.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "clock.h"
#include "mem.h"

/* The label that deploy/images gives an image, as the last thing that is done to it. */
#define RECIPE	  ENGINE_LABEL_PREFIX "recipe"
#define ALGORITHM "sha256:" /* of ids */

/* ---- the disk ---- */

static int find_root(struct engine *e, char ret[ENGINE_ROOT_SIZE], struct err *err)
{
	struct engine_info info;
	int rc = 0;

	mutex_lock(&e->lock);
	memcpy(ret, e->root, ENGINE_ROOT_SIZE);
	mutex_unlock(&e->lock);
	if (ret[0] == '\0' && (rc = engine_direct_probe(e, &info, err)) == 0)
		memcpy(ret, info.root, ENGINE_ROOT_SIZE);
	return rc;
}

int engine_direct_disk(struct engine *e, struct engine_disk *ret, struct err *err)
{
	char root[ENGINE_ROOT_SIZE];
	struct statvfs fs;

	if (e->unix_socket == NULL)
		return err_set(err, ERR_UNSUPPORTED, "the engine is on another machine");
	int rc = find_root(e, root, err);
	if (rc < 0)
		return rc;
	if (root[0] != '/' || statvfs(root, &fs) < 0)
		return err_set(err, ERR_UNSUPPORTED, "%.100s is not there to be seen", root);
	ret->size = (int64_t)(fs.f_blocks * fs.f_frsize);
	ret->free = (int64_t)(fs.f_bavail * fs.f_frsize);
	return 0;
}

/* ---- what is on it ---- */

static int64_t bytes_of(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_member(object, key));

	return n > 0 ? n : 0; /* -1 where the engine does not know */
}

/* Newer engines (API 1.52) have lists in objects of their own. */
static const json_t *list_of(const json_t *usage, const char *key, const char *newer)
{
	const json_t *list = json_member(usage, key);

	return json_is_array(list) ? list : json_member(json_member(usage, newer), "Items");
}

void engine_usage_parse(const json_t *usage, const char *instance, struct engine_usage *ret)
{
	const json_t *images = list_of(usage, "Images", "ImageUsage");
	const json_t *volumes = list_of(usage, "Volumes", "VolumeUsage");

	*ret = (struct engine_usage){.images = bytes_of(usage, "LayersSize")};
	if (ret->images == 0)
		ret->images = bytes_of(json_member(usage, "ImageUsage"), "TotalSize");
	for (size_t i = 0; i < json_array_size(images); i++) {
		const json_t *one = json_array_get(images, i);

		if (engine_label(json_member(one, "Labels"), "recipe")[0])
			ret->own_images += bytes_of(one, "Size");
	}
	for (size_t i = 0; i < json_array_size(volumes); i++) {
		const json_t *one = json_array_get(volumes, i);

		if (strcmp(engine_label(json_member(one, "Labels"), "instance"), instance) == 0)
			ret->own_volumes += bytes_of(json_member(one, "UsageData"), "Size");
	}
}

int engine_direct_usage(struct engine *e, struct engine_usage *ret, struct err *err)
{
	_cleanup_json_ json_t *usage = NULL;
	int rc = engine_call(e, "GET", "/system/df?type=image&type=volume&verbose=1", NULL,
			     ENGINE_LIMIT_USAGE, &usage, err);

	if (rc == 0)
		engine_usage_parse(usage, e->instance, ret);
	return rc;
}

/* ---- images of ours that have lost their names ---- */

/* An image that others have made of ours has its labels, too; but they have done more to it. */
static bool is_of_our_making(struct engine *e, const char *id)
{
	_cleanup_json_ json_t *steps = NULL;
	_cleanup_free_ char *path = xasprintf("/images/%s/history", id);
	struct err ignored;

	if (engine_call(e, "GET", path, NULL, ENGINE_LIMIT_LOOK, &steps, &ignored) < 0)
		return false;
	const char *last = json_member_str(json_array_get(steps, 0), "CreatedBy");
	return last && strstr(last, "LABEL") && strstr(last, RECIPE "=");
}

/* What has a name, a container or images on top of it the engine does not remove. */
static bool remove_image(struct engine *e, const char *id)
{
	_cleanup_free_ char *path = xasprintf("/images/%s?noprune=1", id);
	struct err ignored;

	return engine_call(e, "DELETE", path, NULL, ENGINE_LIMIT_REMOVE, NULL, &ignored) == 0;
}

static bool is_empty(const json_t *names, const char *none)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (name == NULL || strcmp(name, none) != 0)
			return false;
	}
	return true;
}

/* To an engine one is dangling that only a digest names, too. */
static bool is_nameless(const json_t *image)
{
	return is_empty(json_member(image, "RepoTags"), "<none>:<none>") &&
	       is_empty(json_member(image, "RepoDigests"), "<none>@<none>");
}

/* "sha256:" and digits, as a part of a path. */
static bool is_image_id(const char *id)
{
	const size_t before = strlen(ALGORITHM);

	return id && strncmp(id, ALGORITHM, before) == 0 && strlen(id) == before + 64 &&
	       strspn(id + before, "0123456789abcdef") == 64;
}

/* As an engine looks one up: the digits, or the first of them, with the algorithm or without. */
bool engine_image_is_named(const char *id, const char *const *names)
{
	const char *digits = id + strlen(ALGORITHM);

	for (; *names; names++) {
		const char *name = *names;

		if (strncmp(name, ALGORITHM, strlen(ALGORITHM)) == 0)
			name += strlen(ALGORITHM);
		if (name[0] && strncmp(name, digits, strlen(name)) == 0)
			return true;
	}
	return false;
}

int engine_direct_sweep_images(struct engine *e, const char *const *keep, usec_t before,
			       int64_t *ret_removed, struct err *err)
{
	static const char *const filter = "{\"dangling\":[\"true\"],\"label\":[\"" RECIPE "\"]}";
	_cleanup_buf_ struct buf path = BUF_INIT(1024);
	_cleanup_json_ json_t *all = NULL;

	*ret_removed = 0;
	buf_append_str(&path, "/images/json?filters=");
	engine_encode(filter, "", &path);
	int rc = buf_status(&path, err);
	if (rc == 0)
		rc = engine_call(e, "GET", path.data, NULL, ENGINE_LIMIT_LOOK, &all, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(all); i++) {
		const json_t *image = json_array_get(all, i);
		const char *id = json_member_str(image, "Id");
		usec_t made = json_integer_value(json_member(image, "Created")) * USEC_PER_SEC;

		if (is_image_id(id) && is_nameless(image) && made > 0 && made < before &&
		    engine_label(json_member(image, "Labels"), "recipe")[0] &&
		    !engine_image_is_named(id, keep) && is_of_our_making(e, id) &&
		    remove_image(e, id))
			(*ret_removed)++;
	}
	return rc;
}
