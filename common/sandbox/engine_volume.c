/*
 * engine_volume.c: how the agent gets into containers.
 *
 * A named volume per agent (its name holds the digest), filled through a container that is created
 * and never started: the archive call writes into it, so no path of a host and no program of an
 * image has to exist. The volume is then mounted read-only. The helper container's name is the
 * lock: an engine gives a name to one container only, so of several workers one fills the volume
 * and the others find it filled. A helper left behind by somebody who died is removed when it is
 * stale.
 */
#include "engine_internal.h"

#include <string.h>

#include "clock.h"
#include "codec.h"
#include "docker_tar.h"
#include "fault.h"

#define DIGEST_IN_NAME 16 /* hex digits */
#define AGENT_MODE     0555u
#define LOCK_PAUSE     (50 * USEC_PER_MSEC)

struct delivery {
	struct engine *e;
	const void *agent;
	size_t len;
	usec_t deadline;
	char digest[SHA256_HEX_SIZE];
	char volume[80];
	char helper[ENGINE_ID_SIZE]; /* ours: we hold the lock */
	char holder[ENGINE_ID_SIZE]; /* somebody else's, as seen last */
	usec_t holder_stale;
};

/* Of whatever instance: all share what their agents have in common. */
static int look(struct engine *e, const char *volume, bool *ret_labelled, struct err *err)
{
	_cleanup_json_ json_t *there = NULL;
	char path[128];

	snprintf(path, sizeof(path), "/volumes/%.79s", volume);
	int rc = engine_call(e, "GET", path, NULL, ENGINE_LIMIT_LOOK, &there, err);
	if (rc == 0)
		*ret_labelled =
			strcmp(engine_label(json_member(there, "Labels"), "role"), "agent") == 0;
	return rc;
}

int engine_agent_exists(struct engine *e, const char *volume, struct err *err)
{
	bool labelled = false;
	int rc;

	if (strncmp(volume, ENGINE_VOLUME_PREFIX, strlen(ENGINE_VOLUME_PREFIX)) != 0 ||
	    !engine_is_name(volume, 79))
		return 0;
	rc = look(e, volume, &labelled, err);
	if (rc < 0 && err_is_transient(err))
		return rc;
	return rc == 0 && labelled;
}

/* One without a label was made by an engine for a container whose volume had gone: it gives way to
 * a proper one, unless something has it still. */
static int make_volume(struct delivery *d, struct err *err)
{
	bool labelled = true;
	struct err ignored;
	char path[128];

	int rc = look(d->e, d->volume, &labelled, err);
	if (rc == 0 && !labelled) {
		snprintf(path, sizeof(path), "/volumes/%s", d->volume);
		if (engine_call(d->e, "DELETE", path, NULL, ENGINE_LIMIT_REMOVE, NULL, &ignored) ==
		    0)
			rc = -ERR_NOTFOUND;
	}
	if (rc != -ERR_NOTFOUND)
		return rc;
	_cleanup_json_ json_t *body = json_pack(
		"{s:s, s:s, s:{s:s, s:s, s:s}}", "Name", d->volume, "Driver", "local", "Labels",
		ENGINE_LABEL_PREFIX "role", "agent", ENGINE_LABEL_PREFIX "instance", d->e->instance,
		ENGINE_LABEL_PREFIX "digest", d->digest);
	_cleanup_free_ char *text = json_dumps(body, JSON_COMPACT);
	if (!text)
		return err_set(err, ERR_NOMEM, "volume body");
	return engine_call(d->e, "POST", "/volumes/create", text, ENGINE_LIMIT_LOOK, NULL, err);
}

/*
 * Somebody has the name. Whoever is at work is done in a moment; one and the same helper seen for
 * ENGINE_LIMIT_STALE was left by somebody who died, and is removed. By our own clock: the engine's
 * may be another.
 */
static int look_at_holder(struct delivery *d, const char *name, struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	struct engine_container holder;
	char path[160];
	bool done;

	snprintf(path, sizeof(path), "/containers/%s/json", name);
	int rc = engine_call(d->e, "GET", path, NULL, ENGINE_LIMIT_LOOK, &reply, err);
	if (rc == -ERR_NOTFOUND)
		return 0;
	if (rc == 0)
		rc = engine_parse_inspect(reply, &holder, err);
	if (rc < 0)
		return rc;
	if (strcmp(holder.role, "helper") != 0)
		return err_set(err, ERR_CONFLICT, "the container name %s is somebody else's", name);
	if (strcmp(holder.id, d->holder) != 0) {
		memcpy(d->holder, holder.id, sizeof(d->holder));
		d->holder_stale = clock_deadline(d->e->stale);
		return 0;
	}
	if (clock_left_ms(d->holder_stale) > 0)
		return 0;
	return engine_remove_any(d->e, holder.id, &done, err);
}

/* Creates the helper; waits while another worker has one. */
static int take_lock(struct delivery *d, const char *image, struct err *err)
{
	_cleanup_free_ char *body = NULL;
	char name[80], api[8];

	int rc = engine_negotiate(d->e, false, api, err);
	if (rc == 0)
		rc = engine_spec_helper_body(image, d->volume, d->e->instance, engine_traits(d->e),
					     &body, err);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%.60s-helper", d->volume);
	for (;;) {
		rc = engine_create_body(d->e, name, body, d->helper, NULL, err);
		if (rc != -ERR_CONFLICT)
			return rc;
		if (clock_left_ms(d->deadline) == 0)
			return err_set(err, ERR_TIMEOUT, "another worker delivers for too long");
		rc = look_at_holder(d, name, err);
		if (rc < 0)
			return rc;
		engine_pause(d->e, LOCK_PAUSE);
	}
}

/* Reads the file back, so that half of one, or another one, is not taken for it. */
static int is_delivered(struct delivery *d, bool *ret, struct err *err)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	char path[200];

	snprintf(path, sizeof(path),
		 "/containers/%s/archive?path=" ENGINE_AGENT_DIR "/" ENGINE_AGENT_FILE, d->helper);
	struct engine_request get = {.method = "GET", .path = path, .limit = ENGINE_LIMIT_ARCHIVE};
	int rc = engine_exchange(d->e, &get, &response, err);
	if (rc == -ERR_TOOBIG) {
		*ret = false;
		return 0;
	}
	if (rc < 0)
		return rc;
	if (response.status != 200 && response.status != 404)
		return engine_reply_error(response.status, response.body.data, response.body.len,
					  err);
	*ret = response.status == 200 &&
	       docker_tar_holds(response.body.data, response.body.len, ENGINE_AGENT_FILE,
				AGENT_MODE, d->agent, d->len);
	return 0;
}

static int put(struct delivery *d, struct err *err)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	_cleanup_buf_ struct buf tar = BUF_INIT(BOUND_ENGINE_BODY);
	char path[200];

	docker_tar_write(ENGINE_AGENT_FILE, AGENT_MODE, d->agent, d->len, &tar);
	int rc = buf_status(&tar, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/containers/%s/archive?path=" ENGINE_AGENT_DIR, d->helper);
	struct engine_request req = {
		.method = "PUT",
		.path = path,
		.content_type = "application/x-tar",
		.body = tar.data,
		.body_len = tar.len,
		.limit = ENGINE_LIMIT_ARCHIVE,
	};
	rc = engine_exchange(d->e, &req, &response, err);
	if (rc == 0 && response.status != 200)
		rc = engine_reply_error(response.status, response.body.data, response.body.len,
					err);
	return rc;
}

/* With the lock held. */
static int fill(struct delivery *d, struct err *err)
{
	bool there = false;

	int rc = is_delivered(d, &there, err);
	if (rc < 0 || there)
		return rc;
	rc = put(d, err);
	/* The helper is gone: somebody took us for dead. */
	if (rc == -ERR_NOTFOUND) {
		err_set(err, ERR_CONFLICT, "the helper container was removed");
		return err_transient(err);
	}
	if (rc == 0)
		rc = is_delivered(d, &there, err);
	if (rc == 0 && !there)
		return err_set(err, ERR_FAILED, "volume %s does not hold what was put into it",
			       d->volume);
	return rc;
}

static int deliver(struct delivery *d, const char *image, struct err *err)
{
	struct err ignored;
	bool done;

	int rc = make_volume(d, err);
	if (rc == 0)
		rc = take_lock(d, image, err);
	if (rc < 0)
		return rc;
	FAULT_POINT("volume.helper");
	rc = fill(d, err);
	/* Left behind, it would be in the way of others until it is stale; no reason to fail here.
	 */
	int removed = engine_remove_any(d->e, d->helper, &done, &ignored);
	(void)removed;
	return rc;
}

int engine_direct_deliver_agent(struct engine *e, const char *image, const void *agent, size_t len,
				char ret_volume[80], struct err *err)
{
	struct delivery d = {
		.e = e,
		.agent = agent,
		.len = len,
		.deadline = clock_deadline(ENGINE_LIMIT_DELIVER * USEC_PER_SEC),
	};

	sha256_hex(agent, len, d.digest);
	snprintf(d.volume, sizeof(d.volume), ENGINE_VOLUME_PREFIX "%.*s", DIGEST_IN_NAME, d.digest);
	int rc = deliver(&d, image, err);
	if (rc < 0)
		return err_wrap(err, "delivering the agent");
	memcpy(ret_volume, d.volume, sizeof(d.volume));
	return 0;
}
