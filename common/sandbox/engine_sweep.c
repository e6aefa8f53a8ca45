/*
 * engine_sweep.c: what workers of other days have left on the engine besides containers: volumes of
 * agents and packages that nobody has any more, and networks that no setting names any more.
 *
 * What is in use the engine does not remove. A volume that somebody still wanted after all is
 * filled anew by who starts a container with it.
 */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

/* How the engine lists one kind of things. */
struct kind {
	const char *path, *created, *dangling;
	const char *const *roles; /* the label, NULL = any */
};
static const char *const volume_roles[] = {"agent", "package", NULL};
static const struct kind volumes = {.path = "/volumes",
				    .created = "CreatedAt",
				    .dangling = "\"dangling\":[\"true\"],",
				    .roles = volume_roles};
static const struct kind networks = {.path = "/networks", .created = "Created", .dangling = ""};

static bool is_among(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

/* Named, ours, nobody's any more, and older than `before`. */
static bool is_leftover(const struct engine *e, const struct kind *kind, const json_t *thing,
			const char *const *keep, usec_t before)
{
	const char *name = json_member_str(thing, "Name");
	const char *created = json_member_str(thing, kind->created);
	const json_t *labels = json_member(thing, "Labels");
	struct err ignored;
	usec_t at;

	/* The filter is the engine's, or a proxy's; what is ours we decide ourselves. */
	if (strcmp(engine_label(labels, "instance"), e->instance) != 0 ||
	    (kind->roles && !is_among(engine_label(labels, "role"), kind->roles)))
		return false;
	return name && created && engine_is_name(name, 128) && !is_among(name, keep) &&
	       clock_parse_iso(created, &at, &ignored) == 0 && at < before;
}

static int list(struct engine *e, const struct kind *kind, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT(2048);
	_cleanup_free_ char *filter =
		xasprintf("{%s\"label\":[\"" ENGINE_LABEL_PREFIX "instance=%s\"]}", kind->dangling,
			  e->instance);
	int rc;

	buf_appendf(&path, "%s?filters=", kind->path);
	engine_encode(filter, "", &path);
	rc = buf_status(&path, err);
	return rc < 0 ? rc : engine_call(e, "GET", path.data, NULL, ENGINE_LIMIT_LOOK, ret, err);
}

/* False when it is in use, or somebody else was faster. */
static bool remove_one(struct engine *e, const struct kind *kind, const char *name)
{
	_cleanup_buf_ struct buf path = BUF_INIT(1024);
	struct err ignored;

	buf_appendf(&path, "%s/", kind->path);
	engine_encode(name, "", &path);
	return buf_status(&path, &ignored) == 0 &&
	       engine_call(e, "DELETE", path.data, NULL, ENGINE_LIMIT_REMOVE, NULL, &ignored) == 0;
}

static int sweep(struct engine *e, const struct kind *kind, const char *const *keep, usec_t before,
		 int64_t *removed, struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	const json_t *all;
	int rc = list(e, kind, &reply, err);

	if (rc < 0)
		return rc;
	all = json_is_object(reply) ? json_member(reply, "Volumes") : reply;
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *thing = json_array_get(all, i);

		if (is_leftover(e, kind, thing, keep, before) &&
		    remove_one(e, kind, json_member_str(thing, "Name")))
			(*removed)++;
	}
	return 0;
}

int engine_direct_sweep_volumes(struct engine *e, const char *const *keep, usec_t before,
				int64_t *ret_removed, struct err *err)
{
	*ret_removed = 0;
	return sweep(e, &volumes, keep, before, ret_removed, err);
}

int engine_direct_sweep_networks(struct engine *e, const char *const *keep, usec_t before,
				 int64_t *ret_removed, struct err *err)
{
	*ret_removed = 0;
	return sweep(e, &networks, keep, before, ret_removed, err);
}
