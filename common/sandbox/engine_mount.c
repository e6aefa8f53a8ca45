/*
 * engine_mount.c: which directories of the engine's host may be seen in a container at all.
 *
 * The engine's owner lists them, each with its mode, and only what is listed exactly so is mounted:
 * never a path below one, where a container could have planted a link. What would give more than
 * files is refused even if it is listed. An engine may be on another machine, so links on its host
 * cannot be seen from here: what is listed has to be the real path.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

#define IS_OF_HOST "the host's own"
#define IS_ENGINES "the engine's own"
#define IS_INSIDE  "the sandbox's own"

/* Neither these, nor anything below them, nor what holds them. */
static const struct {
	const char *path, *whose;
} reserved[] = {
	{"/proc", IS_OF_HOST},
	{"/sys", IS_OF_HOST},
	{"/dev", IS_OF_HOST},
	{"/etc", IS_OF_HOST},
	{"/boot", IS_OF_HOST},
	{"/root", IS_OF_HOST},
	{"/run", IS_OF_HOST},
	{"/var/run", IS_OF_HOST},
	{"/usr", IS_OF_HOST},
	{"/bin", IS_OF_HOST},
	{"/sbin", IS_OF_HOST},
	{"/lib", IS_OF_HOST},
	{"/lib32", IS_OF_HOST},
	{"/lib64", IS_OF_HOST},
	{"/libx32", IS_OF_HOST},
	{"/var/lib/docker", IS_ENGINES},
	{"/var/lib/containerd", IS_ENGINES},
	{"/var/lib/containers", IS_ENGINES},
	{"/var/lib/kubelet", IS_ENGINES},
	{"/tmp", IS_INSIDE},
	{"/sandbox", IS_INSIDE},
	{"/plugin", IS_INSIDE},
	{ENGINE_AGENT_DIR, IS_INSIDE},
};

bool engine_paths_overlap(const char *a, const char *b)
{
	return engine_is_below(a, b) || engine_is_below(b, a);
}

static bool is_socket(const char *path)
{
	static const char end[] = ".sock";
	size_t len = strlen(path);

	return len >= sizeof(end) - 1 && strcmp(path + len - (sizeof(end) - 1), end) == 0;
}

const char *engine_mount_refusal(const char *path)
{
	if (!engine_is_path(path) || utf8_has_control(path, strlen(path)))
		return "not a plain absolute path";
	if (path[1] == '\0')
		return IS_OF_HOST;
	if (is_socket(path))
		return "a socket";
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (engine_paths_overlap(path, reserved[i].path))
			return reserved[i].whose;
	return NULL;
}

int engine_mount_parse(const char *text, struct engine_mount *ret, struct err *err)
{
	const char *colon = strrchr(text, ':');
	struct engine_mount m = {0};

	if (colon == NULL || (strcmp(colon, ":ro") != 0 && strcmp(colon, ":rw") != 0))
		return err_set(err, ERR_INVALID, "'%.200s' is not path:ro or path:rw", text);
	m.path = xstrndup(text, (size_t)(colon - text));
	m.writable = colon[2] == 'w';
	if (!engine_is_path(m.path) || utf8_has_control(m.path, strlen(m.path))) {
		free(m.path);
		return err_set(err, ERR_INVALID, "'%.200s': not a plain absolute path", text);
	}
	*ret = m;
	return 0;
}

void engine_mounts_free(struct engine_mount *mounts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(mounts[i].path);
	free(mounts);
}

/* Where a container may write it may also put a link, which the next mount would follow. */
static int check_nesting(const struct engine_mount *all, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < count; k++)
			if (all[i].writable && strcmp(all[i].path, all[k].path) != 0 &&
			    engine_is_below(all[k].path, all[i].path))
				return err_set(err, ERR_INVALID,
					       "%s lies below %s:rw, where a sandbox could put a "
					       "link in its place",
					       all[k].path, all[i].path);
	return 0;
}

int engine_mounts_read(const struct str_list *list, struct engine_mount **ret, size_t *ret_count,
		       struct err *err)
{
	struct engine_mount *all = xcalloc(list->count + 1, sizeof(*all));
	size_t n = 0;
	int rc = 0;

	for (; rc == 0 && n < list->count; n += rc == 0)
		rc = engine_mount_parse(list->items[n], &all[n], err);
	if (rc == 0)
		rc = check_nesting(all, n, err);
	if (rc < 0) {
		engine_mounts_free(all, n);
		return rc;
	}
	*ret = all;
	*ret_count = n;
	return 0;
}

int engine_check_mount(struct engine *e, const struct engine_mount *m, struct err *err)
{
	const char *why = engine_mount_refusal(m->path);
	char root[ENGINE_ROOT_SIZE];

	mutex_lock(&e->lock);
	memcpy(root, e->root, sizeof(root));
	mutex_unlock(&e->lock);
	if (why == NULL && ((e->unix_socket && engine_paths_overlap(m->path, e->unix_socket)) ||
			    (root[0] && engine_paths_overlap(m->path, root))))
		why = IS_ENGINES;
	if (why)
		return err_set(err, ERR_DENIED, "%.200s is %s and never mounted", m->path, why);
	for (size_t i = 0; i < e->mount_count; i++)
		if (strcmp(e->mounts[i].path, m->path) == 0 && e->mounts[i].writable == m->writable)
			return 0;
	return err_set(err, ERR_DENIED, "SANDBOX_MOUNT_ALLOW does not list %.200s:%s", m->path,
		       m->writable ? "rw" : "ro");
}

/* ---- in a container's body ---- */
static bool has_target(const json_t *mounts, const char *path)
{
	const json_t *one;
	size_t i;

	json_array_foreach(
		(json_t *)(uintptr_t)mounts, i,
		one) if (engine_paths_overlap(path, json_member_str(one, "Target"))) return true;
	return false;
}

int engine_spec_mounts(json_t *mounts, const json_t *tmpfs, const struct engine_spec *spec,
		       struct err *err)
{
	const char *covered;
	json_t *ignored;

	if (spec->mount_count > ENGINE_MOUNTS)
		return err_set(err, ERR_INVALID, "mounts: more than %d", ENGINE_MOUNTS);
	for (size_t i = 0; i < spec->mount_count; i++) {
		const struct engine_mount *m = &spec->mounts[i];
		const char *why = m->path ? engine_mount_refusal(m->path) : "nothing";
		json_t *path = json_string(m->path);

		json_object_foreach((json_t *)(uintptr_t)tmpfs, covered, ignored)
		{
			if (why == NULL && engine_paths_overlap(m->path, covered))
				why = IS_INSIDE;
		}
		if (why == NULL && has_target(mounts, m->path))
			why = "mounted already, or holds or is in what is";
		if (why || path == NULL) {
			json_decref(path);
			return err_set(err, ERR_INVALID, "mounts: '%.200s' is %s",
				       m->path ? m->path : "", why ? why : "not UTF-8");
		}
		json_array_append_new(mounts,
				      json_pack("{s:s, s:O, s:o, s:b, s:{s:s, s:b}}", "Type",
						"bind", "Source", path, "Target", path, "ReadOnly",
						!m->writable, "BindOptions", "Propagation",
						"rprivate", "NonRecursive", 1));
	}
	return 0;
}
