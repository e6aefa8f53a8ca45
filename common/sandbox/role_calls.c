/*
 * role_calls.c: **the** table of what an engine role does for others.
 *
 * Each row says what is looked at before its function is called: whether the container is ours, and
 * whether image and network are allowed. A function asks the engine and writes the answer.
 */
#include "role_served.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

void role_set(struct served *s, const char *key, json_t *value)
{
	json_object_set_new(s->answer, key, value);
}

/* ---- whose a container is ---- */

static bool is_known(struct engine_role *r, const char *id)
{
	bool known = false;

	mutex_lock(&r->lock);
	for (size_t i = 0; i < r->known_count && !known; i++)
		known = strcmp(r->known[i], id) == 0;
	mutex_unlock(&r->lock);
	return known;
}

/* An id is never given twice, and labels do not change. */
static void know(struct engine_role *r, const char *id)
{
	mutex_lock(&r->lock);
	snprintf(r->known[r->known_next], ENGINE_ID_SIZE, "%s", id);
	r->known_next = (r->known_next + 1) % ROLE_KNOWN;
	if (r->known_count < ROLE_KNOWN)
		r->known_count++;
	mutex_unlock(&r->lock);
}

static int check_ours(struct served *s, struct err *err)
{
	struct engine_container c;
	int rc = s->q.id ? engine_check_id(s->q.id, err) : err_set(err, ERR_INVALID, "no id");

	if (rc < 0 || is_known(s->r, s->q.id))
		return rc;
	rc = engine_inspect_ours(s->r->engine, s->q.id, &c, err);
	if (rc == 0)
		know(s->r, s->q.id);
	return rc;
}

/* ---- the calls ---- */

static int on_probe(struct served *s, struct err *err)
{
	struct engine_info info;
	int rc = engine_probe(s->r->engine, &info, err);

	if (rc == 0)
		role_set(s, "info", waist_info_write(&info));
	return rc;
}

static int on_ping(struct served *s, struct err *err)
{
	return engine_ping(s->r->engine, err);
}

static int on_image_id(struct served *s, struct err *err)
{
	char id[ENGINE_ID_SIZE];
	int rc = engine_image_id(s->r->engine, s->q.image, id, err);

	if (rc == 0)
		role_set(s, "text", json_string(id));
	return rc;
}

static int on_image_label(struct served *s, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	int rc = engine_image_label(s->r->engine, s->q.image, s->q.name ?: "", &text, err);

	if (rc == 0 && text)
		role_set(s, "text", json_string(text));
	return rc;
}

static void set_list(struct served *s, char **list)
{
	json_t *texts = json_array();

	for (size_t i = 0; list[i]; i++)
		json_array_append_new(texts, json_string(list[i]));
	role_set(s, "list", texts);
}

static int on_image_volumes(struct served *s, struct err *err)
{
	_cleanup_free_ char **list = NULL;
	int rc = engine_image_volumes(s->r->engine, s->q.image, &list, err);

	if (rc == 0)
		set_list(s, list);
	return rc;
}

static int on_image_env(struct served *s, struct err *err)
{
	_cleanup_free_ char **list = NULL;
	int rc = engine_image_env(s->r->engine, s->q.image, &list, err);

	if (rc == 0)
		set_list(s, list);
	return rc;
}

static void on_progress(void *arg, const char *line)
{
	struct served *s = arg;
	_cleanup_json_ json_t *frame = json_pack("{s:s}", "progress", line);
	struct err ignored;

	if (frame &&
	    waist_send(s->peer->fd, frame, WAIST_REPLY, clock_deadline(ANSWER_TIME), &ignored) < 0)
		log_debug("engine role: %s", ignored.msg);
}

static bool on_give_up(void *arg)
{
	const struct served *s = arg;

	return waist_is_over(s->peer->fd);
}

static int on_pull(struct served *s, struct err *err)
{
	const struct engine_pull how = {.progress = on_progress, .give_up = on_give_up, .arg = s};

	return engine_image_pull(s->r->engine, s->q.image, &how, err);
}

static int on_network(struct served *s, struct err *err)
{
	int rc = s->q.name ? role_check_network(s->r->settings, s->q.name, err)
			   : err_set(err, ERR_INVALID, "no name");

	return rc < 0 ? rc : engine_network_need(s->r->engine, s->q.name, err);
}

/* Counted once a second; several that are made at once may be some too many: it is the engine that
 * is to be spared. */
static int check_room(struct served *s, struct err *err)
{
	struct engine_role *r = s->r;
	size_t n;

	mutex_lock(&r->lock);
	bool known = r->containers_at != 0 && clock_mono() - r->containers_at < USEC_PER_SEC &&
		     (int64_t)r->containers < r->settings->engine_containers;
	r->containers += known;
	mutex_unlock(&r->lock);
	if (known)
		return 0;
	_cleanup_free_ struct engine_container *all = NULL;
	int rc = role_take(r, s->peer->share, ROLE_ANSWER, err);

	if (rc < 0)
		return rc;
	rc = engine_list(r->engine, &all, &n, err);
	role_give(r, s->peer->share, ROLE_ANSWER);
	if (rc < 0)
		return rc;
	mutex_lock(&r->lock);
	r->containers = n + 1;
	r->containers_at = clock_mono();
	mutex_unlock(&r->lock);
	if ((int64_t)n >= r->settings->engine_containers)
		return err_set(err, ERR_DENIED, "CELERIAC_ENGINE_CONTAINERS: there are %zu already",
			       n);
	return 0;
}

/* A name is enough for an engine to make a volume: what is not there is not granted. */
static int check_volumes(struct served *s, const struct engine_spec *spec, struct err *err)
{
	struct engine *e = s->r->engine;
	int rc = spec->agent_volume ? engine_agent_exists(e, spec->agent_volume, err) : 1;

	if (rc == 0)
		return err_set(err, ERR_CONFLICT, "no agent volume of ours: '%.80s'",
			       spec->agent_volume);
	if (rc == 1 && spec->package_volume)
		rc = engine_package_look(e, spec->package_volume, err);
	if (rc == 0)
		return err_set(err, ERR_DENIED, "no package volume of ours: '%.80s'",
			       spec->package_volume);
	return rc < 0 ? rc : 0;
}

static int create(struct served *s, const struct engine_spec *spec, char **ret_warnings,
		  struct err *err)
{
	pthread_rwlock_rdlock(&s->r->volumes);
	int rc = check_volumes(s, spec, err);
	if (rc == 0)
		rc = engine_create(s->r->engine, spec, s->made, ret_warnings, err);
	pthread_rwlock_unlock(&s->r->volumes);
	return rc;
}

static int on_create(struct served *s, struct err *err)
{
	_cleanup_(waist_spec_done) struct waist_spec spec = {0};
	_cleanup_free_ char *warnings = NULL;
	int rc = waist_spec_read(s->q.spec, &spec, err);

	/* it is part of the audit's line */
	if (rc == 0 && spec.spec.image && strlen(spec.spec.image) >= sizeof(s->image))
		rc = err_set(err, ERR_INVALID, "spec: an image's name of more than %zu bytes",
			     sizeof(s->image) - 1);
	if (rc == 0)
		snprintf(s->image, sizeof(s->image), "%s", spec.spec.image ?: "");
	if (rc == 0)
		rc = role_check_spec(s->r->settings, &spec.spec, err);
	if (rc == 0)
		rc = check_room(s, err);
	if (rc == 0)
		rc = create(s, &spec.spec, &warnings, err);
	if (rc < 0)
		return rc;
	know(s->r, s->made);
	role_set(s, "text", json_string(s->made));
	role_set(s, "warnings", json_text(warnings, strlen(warnings), true));
	return 0;
}

static int on_start(struct served *s, struct err *err)
{
	return engine_start(s->r->engine, s->q.id, err);
}

static int on_rename(struct served *s, struct err *err)
{
	/* under another name it would not be ours any more */
	if (s->q.name == NULL || !engine_is_own_name(s->q.name))
		return err_set(err, ERR_DENIED, "'%.80s' is not a name of ours", s->q.name ?: "");
	return engine_rename(s->r->engine, s->q.id, s->q.name, err);
}

static int on_taken(struct served *s, struct err *err)
{
	if (s->q.name == NULL || !engine_is_own_name(s->q.name))
		return err_set(err, ERR_DENIED, "'%.80s' is not a name of ours", s->q.name ?: "");
	role_set(s, "flag", json_boolean(engine_name_is_taken(s->r->engine, s->q.name)));
	return 0;
}

static int on_kill(struct served *s, struct err *err)
{
	return engine_kill(s->r->engine, s->q.id, err);
}

static int on_reap(struct served *s, struct err *err)
{
	struct engine_container c;
	struct err look;
	bool done = false, there;

	if (s->q.id == NULL)
		return err_set(err, ERR_INVALID, "no id");
	there = engine_inspect_ours(s->r->engine, s->q.id, &c, &look) == 0;
	int rc = engine_reap(s->r->engine, s->q.id, s->q.why, &done, err);
	if (rc < 0)
		return rc;
	role_set(s, "flag", json_boolean(done));
	if (there)
		role_set(s, "container", waist_container_write(&c));
	return 0;
}

static int on_inspect(struct served *s, struct err *err)
{
	struct engine_container c;
	int rc = s->q.id ? engine_inspect_ours(s->r->engine, s->q.id, &c, err)
			 : err_set(err, ERR_INVALID, "no id");

	if (rc == 0)
		role_set(s, "container", waist_container_write(&c));
	return rc;
}

static int on_group(struct served *s, struct err *err)
{
	struct engine_group group;
	int rc = engine_group(s->r->engine, s->q.id, &group, err);

	if (rc < 0)
		return rc;
	role_set(s, "flag", json_boolean(group.own));
	role_set(s, "memory", json_integer((json_int_t)(group.memory & INT64_MAX)));
	role_set(s, "pids", json_integer((json_int_t)(group.pids & INT64_MAX)));
	return 0;
}

static int on_list(struct served *s, struct err *err)
{
	_cleanup_free_ struct engine_container *all = NULL;
	json_t *rows = json_array();
	size_t n = 0;
	int rc = engine_list(s->r->engine, &all, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++)
		json_array_append_new(rows, waist_container_write(&all[i]));
	role_set(s, "containers", rows);
	return rc;
}

int role_answer(struct served *s, const json_t *json, struct err *err)
{
	return waist_send(s->peer->fd, json, WAIST_REPLY, clock_deadline(ANSWER_TIME), err);
}

/* ---- the table ---- */

enum look {
	OURS = 1 << 0,	 /* `id` is a container of ours */
	IMAGE = 1 << 1,	 /* `image` is allowed */
	QUIET = 1 << 2,	 /* asked all the time: no audit line unless it is refused */
	TAKES = 1 << 3,	 /* answers by itself, and has the connection afterwards */
	LARGE = 1 << 4,	 /* with more than WAIST_SMALL bytes */
	LISTS = 1 << 5,	 /* what the engine answers may be large */
	VOLUMES = 1 << 6 /* makes or removes what others are about to use */
};
static const struct {
	const char *op;
	unsigned look;
	enum role_next next; /* of TAKES */
	int (*serve)(struct served *s, struct err *err);
} calls[] = {
	{"attach", OURS | TAKES, ROLE_HANDED_OVER, role_on_attach},
	{"attach_fd", OURS | TAKES, ROLE_GO_ON, role_on_attach_fd},
	{"create", LARGE, ROLE_GO_ON, on_create},
	{"deliver", IMAGE, ROLE_GO_ON, role_on_deliver},
	{"disk", QUIET, ROLE_GO_ON, role_on_disk},
	{"events", TAKES, ROLE_END, role_on_events},
	{"group", OURS | QUIET, ROLE_GO_ON, on_group},
	{"image_env", IMAGE | QUIET, ROLE_GO_ON, on_image_env},
	{"image_id", IMAGE | QUIET, ROLE_GO_ON, on_image_id},
	{"image_label", IMAGE | QUIET, ROLE_GO_ON, on_image_label},
	{"image_volumes", IMAGE | QUIET, ROLE_GO_ON, on_image_volumes},
	{"inspect", QUIET, ROLE_GO_ON, on_inspect},
	{"kill", OURS, ROLE_GO_ON, on_kill},
	{"list", QUIET | LISTS, ROLE_GO_ON, on_list},
	{"network", 0, ROLE_GO_ON, on_network},
	{"package_exists", QUIET, ROLE_GO_ON, role_on_package_exists},
	{"package_is_whole", OURS, ROLE_GO_ON, role_on_package_is_whole},
	{"package_open", OURS, ROLE_GO_ON, role_on_package_open},
	{"package_remove", VOLUMES, ROLE_GO_ON, role_on_package_remove},
	{"package_seal", OURS, ROLE_GO_ON, role_on_package_seal},
	{"package_volume", LISTS | VOLUMES, ROLE_GO_ON, role_on_package_volume},
	{"ping", QUIET, ROLE_GO_ON, on_ping},
	{"probe", QUIET, ROLE_GO_ON, on_probe},
	{"pull", IMAGE, ROLE_GO_ON, on_pull},
	{"reap", 0, ROLE_GO_ON, on_reap},
	{"rename", OURS, ROLE_GO_ON, on_rename},
	{"start", OURS, ROLE_GO_ON, on_start},
	{"sweep_images", LISTS, ROLE_GO_ON, role_on_sweep_images},
	{"sweep_networks", LARGE | LISTS, ROLE_GO_ON, role_on_sweep_networks},
	{"sweep_volumes", LARGE | LISTS | VOLUMES, ROLE_GO_ON, role_on_sweep_volumes},
	{"taken", QUIET, ROLE_GO_ON, on_taken},
	{"usage", QUIET | LISTS, ROLE_GO_ON, role_on_usage},
};

/* False: too many. Written down once a second. */
static bool may_go_on(struct engine_role *r, const struct role_peer *peer, struct err *err)
{
	usec_t now = clock_mono();
	size_t dropped = 0;

	mutex_lock(&r->lock);
	bool ok = role_bucket_take(&r->requests, r->settings->engine_rate, ROLE_BURST, now);
	if (!ok) {
		r->dropped++;
		if (now - r->flooded >= USEC_PER_SEC) {
			dropped = r->dropped;
			r->dropped = 0;
			r->flooded = now;
		}
	}
	mutex_unlock(&r->lock);
	if (ok)
		return true;
	err_set(err, ERR_UNAVAILABLE, "more than %lld requests a second (CELERIAC_ENGINE_RATE)",
		(long long)r->settings->engine_rate);
	if (dropped > 0) {
		struct err said = {0};

		err_set(&said, ERR_DENIED, "%zu requests over CELERIAC_ENGINE_RATE", dropped);
		role_audit(peer, &(struct waist_request){.op = "flood"}, now, NULL, NULL, &said);
	}
	return false;
}

static int call_locked(struct served *s, size_t call, struct err *err)
{
	if (!(calls[call].look & VOLUMES))
		return calls[call].serve(s, err);
	pthread_rwlock_wrlock(&s->r->volumes);
	int rc = calls[call].serve(s, err);
	pthread_rwlock_unlock(&s->r->volumes);
	return rc;
}

static int serve(struct served *s, size_t call, size_t size, struct err *err)
{
	size_t room = calls[call].look & LISTS ? ROLE_ANSWER : 0;
	int rc = 0;

	if (size > WAIST_SMALL && !(calls[call].look & LARGE))
		return err_set(err, ERR_TOOBIG, "a frame of %zu bytes, %u are allowed", size,
			       WAIST_SMALL);
	if (calls[call].look & OURS)
		rc = check_ours(s, err);
	if (rc == 0 && calls[call].look & IMAGE)
		rc = role_check_image(s->r->settings, s->q.image, err);
	if (rc == 0 && room > 0)
		rc = role_take(s->r, s->peer->share, room, err);
	if (rc < 0)
		return rc;
	rc = call_locked(s, call, err);
	role_give(s->r, s->peer->share, room);
	return rc;
}

/* The connection goes on after a refusal, but for bytes that were announced and not read. */
static enum role_next refuse(struct served *s, const struct err *why)
{
	_cleanup_json_ json_t *said = waist_error_write(why);
	struct err ignored;

	return role_answer(s, said, &ignored) < 0 || s->q.size != 0 ? ROLE_END : ROLE_GO_ON;
}

/* A worker's own role writes down what it denies: what was done the worker's audit has. */
static bool is_told(const struct engine_role *r, int rc, bool quiet)
{
	return r->control >= 0 ? rc == -ERR_DENIED : rc < 0 || !quiet;
}

enum role_next role_serve(struct engine_role *r, const struct role_peer *peer, const json_t *json,
			  size_t size)
{
	_cleanup_json_ json_t *object = json_object();
	struct served s = {.r = r, .peer = peer, .began = clock_mono(), .answer = object};
	struct err err = {0};
	size_t i = 0;
	int rc;

	/* before a look at it: what is malformed is a line, too */
	if (!may_go_on(r, peer, &err)) {
		s.q.size = json_integer_value(json_member(json, "size"));
		return refuse(&s, &err);
	}
	rc = waist_request_read(json, &s.q, &err);
	if (rc < 0) {
		role_audit(peer, &s.q, s.began, NULL, NULL, &err);
		return refuse(&s, &err);
	}
	while (i < ARRAY_LEN(calls) && strcmp(calls[i].op, s.q.op) != 0)
		i++;
	if (i == ARRAY_LEN(calls))
		rc = err_set(&err, ERR_UNSUPPORTED, "this engine role does not know '%.40s'",
			     s.q.op);
	else
		rc = serve(&s, i, size, &err);
	if (is_told(r, rc, i < ARRAY_LEN(calls) && calls[i].look & QUIET))
		role_audit(peer, &s.q, s.began, s.image[0] ? s.image : s.q.image,
			   s.made[0] ? s.made : NULL, rc < 0 ? &err : NULL);
	if (rc < 0)
		return refuse(&s, &err);
	if (calls[i].look & TAKES)
		return calls[i].next;
	return role_answer(&s, s.answer, &err) < 0 ? ROLE_END : ROLE_GO_ON;
}
