/*
 * Making containers: what a sandbox is made of, in one place.
 */
#include "sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "fault.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

extern const unsigned char celeriac_agent_start[], celeriac_agent_end[];

#define SHM_SHARE 16 /* parts of the work space: /dev/shm 1/16, /tmp 1/4, the rest is /sandbox */
#define TMP_SHARE 4
#define DROP_AGAIN                                                                                 \
	(60 * USEC_PER_SEC) /* what cannot be removed is tried again, and each try recorded */
/* Of /plugin, out of that of /sandbox: files take whole pages. */
#define PLUGIN_SPACE ((int64_t)(2 * BOUND_PLUGIN_BYTES))
#define INODE_SIZE   4096 /* one inode per so many bytes of space */

/* The parts of the work space: together they have its size. Returns how many. */
#define SPACES 3
static size_t spaces(const struct sandbox_terms *t, bool plugin, int64_t *ret_shm,
		     struct engine_tmpfs out[SPACES])
{
	const int64_t shm = t->work_size / SHM_SHARE, tmp = t->work_size / TMP_SHARE;
	const int64_t most = t->work_size - shm - tmp,
		      files = most / 2 < PLUGIN_SPACE ? most / 2 : PLUGIN_SPACE;
	const int64_t home = plugin ? most - files : most;

	*ret_shm = shm;
	out[0] = (struct engine_tmpfs){.path = "/sandbox",
				       .size = home,
				       .inodes = home / INODE_SIZE,
				       .mode = 0700,
				       .exec = true};
	out[1] = (struct engine_tmpfs){.path = "/tmp",
				       .size = tmp,
				       .inodes = tmp / INODE_SIZE,
				       .mode = 01777,
				       .exec = true};
	out[2] = (struct engine_tmpfs){.path = "/plugin",
				       .size = files,
				       .inodes = 16 * BOUND_PLUGIN_FILES,
				       .mode = 0700,
				       .exec = true};
	return plugin ? 3 : 2;
}

void sandbox_agent_volume(struct sandbox *s, char out[SANDBOX_VOLUME_SIZE])
{
	mutex_lock(&s->lock);
	memcpy(out, s->agent_volume, SANDBOX_VOLUME_SIZE);
	mutex_unlock(&s->lock);
}

static int create(struct sandbox *s, const struct container_wish *wish, char ret_id[ENGINE_ID_SIZE],
		  char **ret_warnings, struct err *err)
{
	static const char *const argv[] = {"/celeriac/agent", NULL};
	const struct settings *st = s->settings;
	const struct sandbox_terms *terms = wish->terms ? wish->terms : &s->terms;
	int64_t shm;
	struct engine_tmpfs tmpfs[SPACES];
	const size_t tmpfs_count = spaces(terms, wish->plugin, &shm, tmpfs);
	char created[CLOCK_ISO_SIZE], deadline[CLOCK_ISO_SIZE], volume[SANDBOX_VOLUME_SIZE],
		policy[SHA256_HEX_SIZE];
	const struct engine_label labels[] = {
		{"role", wish->role},
		{"conversation", wish->conversation},
		{"project", wish->project},
		{"task", wish->task},
		{"owner", s->presence ? presence_owner(s->presence) : ""},
		{"created", created},
		{"policy", policy},
		{"deadline", deadline},
	};
	_cleanup_free_ char **image_volumes = NULL;
	int rc = engine_image_volumes(s->engine, st->sandbox_image, &image_volumes, err);
	const struct engine_spec spec = {
		.image = st->sandbox_image,
		.name = wish->name,
		.argv = argv,
		.working_dir = "/",
		.network = sandbox_terms_network(st, terms),
		.runtime = st->sandbox_runtime && *st->sandbox_runtime ? st->sandbox_runtime : NULL,
		.memory = terms->memory + terms->work_size,
		.cpus = terms->cpus,
		.pids = terms->pids,
		.nofile = SANDBOX_NOFILE,
		.file_size = terms->work_size,
		.shm_size = shm,
		.tmpfs = tmpfs,
		.tmpfs_count = tmpfs_count,
		.agent_volume = volume,
		.image_volumes = (const char *const *)image_volumes,
		.mounts = terms->mounts,
		.mount_count = terms->mount_count,
		.labels = labels,
		.label_count = ARRAY_LEN(labels) - (strcmp(wish->role, SANDBOX_ROLE_RUN) != 0)};

	if (rc < 0)
		return rc;
	clock_iso(clock_wall(), created);
	clock_iso(clock_wall() + st->sandbox_max_timeout + SANDBOX_LATE, deadline);
	sandbox_agent_volume(s, volume);
	sandbox_terms_digest(st, terms, policy);
	return engine_create(s->engine, &spec, ret_id, ret_warnings, err);
}

void sandbox_container_drop(struct sandbox *s, const char *id)
{
	struct err err;

	if (engine_remove(s->engine, id, &err) == 0)
		return;
	log_debug("container %.12s stays until the engine answers: %s", id, err.msg);
	mutex_lock(&s->lock);
	s->dropped.again_at = clock_deadline(DROP_AGAIN);
	if (s->dropped.count < DROPPED_MAX)
		snprintf(s->dropped.ids[s->dropped.count++], ENGINE_ID_SIZE, "%s", id);
	mutex_unlock(&s->lock);
}

/* The first that was dropped in vain, out of the list; false when there is none. */
static bool next_dropped(struct sandbox *s, char ret_id[ENGINE_ID_SIZE])
{
	bool any;

	mutex_lock(&s->lock);
	any = s->dropped.count > 0;
	if (any) {
		memcpy(ret_id, s->dropped.ids[0], ENGINE_ID_SIZE);
		memmove(s->dropped.ids[0], s->dropped.ids[1],
			--s->dropped.count * sizeof(s->dropped.ids[0]));
	}
	mutex_unlock(&s->lock);
	return any;
}

bool sandbox_container_drop_due(struct sandbox *s)
{
	bool due;

	mutex_lock(&s->lock);
	due = s->dropped.count > 0 && clock_mono() >= s->dropped.again_at;
	mutex_unlock(&s->lock);
	return due;
}

int64_t sandbox_container_drop_again(struct sandbox *s)
{
	char id[ENGINE_ID_SIZE];
	int64_t removed = 0;

	for (int n = 0; n < DROPPED_MAX && next_dropped(s, id); n++) {
		bool done = false;
		struct err err;

		if (engine_reap(s->engine, id, reap_text(REAP_UNWANTED), &done, &err) < 0) {
			sandbox_container_drop(s, id);
			break;
		}
		if (!done)
			continue;
		removed++;
		log_info("sandbox %.12s removed: %s", id, reap_text(REAP_UNWANTED));
		metric_count(METRIC_REAPED, reap_text(REAP_UNWANTED), NULL);
	}
	return removed;
}

/* The volume may have been removed behind our back; the engine then makes an empty one. */
int sandbox_agent_deliver(struct sandbox *s, struct err *err)
{
	char volume[sizeof(s->agent_volume)];
	int rc = engine_deliver_agent(s->engine, s->settings->sandbox_image, celeriac_agent_start,
				      (size_t)(celeriac_agent_end - celeriac_agent_start), volume,
				      err);

	if (rc < 0)
		return rc;
	mutex_lock(&s->lock);
	memcpy(s->agent_volume, volume, sizeof(volume));
	mutex_unlock(&s->lock);
	return 0;
}

int sandbox_container_make(struct sandbox *s, const struct container_wish *wish,
			   char ret_id[ENGINE_ID_SIZE], struct err *err)
{
	char id[ENGINE_ID_SIZE];
	struct err second;
	int rc;

	for (int i = 0; i < 2; i++) {
		rc = create(s, wish, id, NULL, err);
		if (rc == -ERR_NOTFOUND)
			return err_wrap(err, "image %s", s->settings->sandbox_image);
		/* an engine role makes nothing with a volume that is not there */
		if (rc == -ERR_CONFLICT && i == 0) {
			rc = sandbox_agent_deliver(s, err);
			if (rc == 0)
				continue;
		}
		if (rc < 0)
			return rc;
		FAULT_POINT("container.created");
		rc = engine_start(s->engine, id, err);
		if (rc == 0) {
			FAULT_POINT("container.started");
			memcpy(ret_id, id, ENGINE_ID_SIZE);
			return 0;
		}
		sandbox_container_drop(s, id);
		if (err_is_transient(err) || sandbox_agent_deliver(s, &second) < 0)
			break;
	}
	return err_wrap(err, "starting a sandbox");
}

/* Podman closes a container's input when whoever is attached leaves, unless its conmon is told not
 * to; then nobody adopts what a worker leaves behind. Twice, since that is for good, and a machine
 * may have stood still. */
static int attach_again(struct sandbox *s, const char *id, bool *ret, struct err *err)
{
	int rc = -ERR_TIMEOUT;

	for (uint32_t epoch = 2; epoch < 4 && rc == -ERR_TIMEOUT; epoch++) {
		char kernel[SANDBOX_KERNEL_SIZE];
		struct agent_link *link = NULL;
		struct frame_bounds bounds;

		rc = agent_link_open(s->engine, id, epoch, true, clock_deadline(SANDBOX_HELLO_TIME),
				     &link, err);
		if (rc == 0)
			rc = sandbox_bounds_ask(link, &bounds, kernel, sizeof(kernel), err);
		agent_link_close(link);
	}
	*ret = rc == 0;
	return rc == -ERR_TIMEOUT || rc == -ERR_CLOSED ? 0 : rc;
}

static int look_inside(struct sandbox *s, const char *id, struct sandbox_trial *t, struct err *err)
{
	struct engine_group group;
	struct agent_link *link;
	int rc = engine_start(s->engine, id, err);

	if (rc == 0)
		rc = agent_link_open(s->engine, id, 1, false, clock_deadline(SANDBOX_HELLO_TIME),
				     &link, err);
	if (rc < 0)
		return rc;
	rc = sandbox_bounds_ask(link, &t->bounds, t->kernel, sizeof(t->kernel), err);
	agent_link_close(link);
	if (rc == 0)
		rc = attach_again(s, id, &t->reattached, err);
	if (rc < 0 || !sandbox_bounds_unseen(&t->bounds))
		return rc;
	rc = engine_group(s->engine, id, &group, err);
	if (rc == 0)
		sandbox_bounds_add(&t->bounds, &group);
	return rc;
}

int sandbox_container_try(struct sandbox *s, struct sandbox_trial *ret, struct err *err)
{
	const struct container_wish wish = {
		.role = SANDBOX_ROLE_PROBE, .conversation = "", .project = "", .task = ""};
	struct sandbox_trial t = {0};
	char id[ENGINE_ID_SIZE];
	int rc = create(s, &wish, id, &t.warnings, err);

	if (rc < 0)
		return err_wrap(err, "trying a container");
	rc = look_inside(s, id, &t, err);
	if (rc < 0)
		sandbox_container_drop(s, id);
	else
		rc = engine_remove(s->engine, id, err);
	if (rc < 0) {
		free(t.warnings);
		return err_wrap(err, "trying a container");
	}
	*ret = t;
	return 0;
}
