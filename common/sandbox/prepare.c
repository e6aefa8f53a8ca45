/*
 * Is the engine what the settings ask for? Every limit is looked at before anything runs.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

extern const unsigned char celeriac_agent_start[], celeriac_agent_end[];

static int check_limits(const struct settings *settings, const struct engine_info *info,
			struct buf *notes, struct err *err)
{
	const struct {
		const char *name;
		bool enforced;
	} limits[] = {{"memory", info->memory_limit},
		      {"pids", info->pids_limit},
		      {"cpu", info->cpu_limit},
		      {"inodes", !(info->traits & ENGINE_NO_INODES)}};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		buf_appendf(notes, "%s limit: %s\n", limits[i].name,
			    limits[i].enforced ? "enforced" : "not enforced by this engine");
		if (!limits[i].enforced && !sandbox_may_go_unenforced(settings, limits[i].name))
			return err_set(err, ERR_UNSUPPORTED,
				       "the engine cannot limit %s; SANDBOX_ALLOW_UNENFORCED=%s "
				       "accepts that",
				       limits[i].name, limits[i].name);
	}
	/* Without it the memory limit still holds, only swap comes on top. */
	buf_appendf(notes, "swap limit: %s\n",
		    info->swap_limit
			    ? "enforced"
			    : "not enforced by this engine, a sandbox may use swap as well");
	buf_appendf(notes, "seccomp: %s, AppArmor: %s, user namespaces: %s\n",
		    info->seccomp ? "yes" : "no", info->apparmor ? "yes" : "no",
		    info->userns ? "yes" : "no");
	if (!info->seccomp && !sandbox_may_go_unenforced(settings, "seccomp"))
		return err_set(
			err, ERR_UNSUPPORTED,
			"the engine has no seccomp; SANDBOX_ALLOW_UNENFORCED=seccomp accepts that");
	return 0;
}

static int check_runtime(const struct settings *settings, const struct engine_info *info,
			 struct buf *notes, struct err *err)
{
	static const char *const stronger[] = {"runsc", "kata", "kata-runtime", "kata-fc",
					       "kata-qemu"};
	const char *wanted = settings->sandbox_runtime;

	if (wanted && *wanted) {
		if (!engine_info_has_runtime(info, wanted))
			return err_set(err, ERR_UNSUPPORTED,
				       "the engine has no runtime '%s', only %s", wanted,
				       info->runtimes);
		buf_appendf(notes, "runtime: %s\n", wanted);
		return 0;
	}
	buf_appendf(notes, "runtime: %s (the engine's default)\n", info->default_runtime);
	for (size_t i = 0; i < ARRAY_LEN(stronger); i++)
		if (engine_info_has_runtime(info, stronger[i]))
			buf_appendf(notes, "a stronger runtime is there: SANDBOX_RUNTIME=%s\n",
				    stronger[i]);
	return 0;
}

static int check_network(struct sandbox *s, struct buf *notes, struct err *err)
{
	const char *network = s->settings->sandbox_network;
	int rc = 0;

	if (strcmp(network, "none") == 0)
		buf_append_str(notes, "network: none\n");
	else if (strcmp(network, "egress") == 0)
		buf_append_str(notes, "network: none but the proxy (egress)\n");
	else if ((rc = engine_network_need(s->engine, network, err)) == 0)
		buf_appendf(
			notes,
			"network: %s, a bridge: sandboxes reach whatever the engine's host routes "
			"for them, which no rule of ours limits\n",
			network);
	return rc < 0 ? err_wrap(err, "SANDBOX_NETWORK=%s", network) : 0;
}

static int look_at_languages(struct sandbox *s, struct buf *notes, struct err *err)
{
	char *languages = NULL;
	int rc = engine_image_label(s->engine, s->settings->sandbox_image, "languages", &languages,
				    err);

	if (rc < 0)
		return rc;
	if (languages)
		buf_appendf(notes, "languages: %.200s\n", languages);
	mutex_lock(&s->lock);
	free(s->languages);
	s->languages = languages;
	mutex_unlock(&s->lock);
	return 0;
}

int sandbox_need_language(struct sandbox *s, const char *language, struct err *err)
{
	size_t len = strlen(language);
	bool found = true;
	int rc = 0;

	mutex_lock(&s->lock);
	if (s->languages) {
		found = false;
		for (const char *p = s->languages; !found && *p; p += strspn(p, " ")) {
			found = strcspn(p, " ") == len && strncmp(p, language, len) == 0;
			p += strcspn(p, " ");
		}
		if (!found)
			rc = err_set(err, ERR_INVALID,
				     "language '%s' is not in the image %s, which has %.200s",
				     language, s->settings->sandbox_image, s->languages);
	}
	mutex_unlock(&s->lock);
	return rc;
}

static int check_image(struct sandbox *s, struct buf *notes, struct err *err)
{
	const char *image = s->settings->sandbox_image;
	char id[ENGINE_ID_SIZE];
	int rc = engine_image_id(s->engine, image, id, err);

	if (rc == -ERR_NOTFOUND)
		return err_set(err, ERR_NOTFOUND,
			       "the image %s is not there: `make image` in Celeriac's sources "
			       "builds it on the engine",
			       image);
	if (rc < 0)
		return rc;
	buf_appendf(notes, "image: %s (%.19s)\n", image, id);
	return look_at_languages(s, notes, err);
}

static int deliver(struct sandbox *s, struct buf *notes, struct err *err)
{
	char volume[sizeof(s->agent_volume)];
	int rc = engine_deliver_agent(s->engine, s->settings->sandbox_image, celeriac_agent_start,
				      (size_t)(celeriac_agent_end - celeriac_agent_start), volume,
				      err);

	if (rc < 0)
		return err_wrap(err, "delivering the agent");
	buf_appendf(notes, "agent: in volume %s\n", volume);
	mutex_lock(&s->lock);
	memcpy(s->agent_volume, volume, sizeof(volume));
	mutex_unlock(&s->lock);
	return 0;
}

static int check_reattached(const struct settings *settings, bool reattached, struct buf *notes,
			    struct err *err)
{
	if (reattached)
		return 0;
	buf_append_str(notes, "reattach: a conversation ends with its worker's connection\n");
	if (sandbox_may_go_unenforced(settings, "reattach"))
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
		       "the engine closes a container's input when its worker is gone, and no "
		       "other can adopt it; SANDBOX_ALLOW_UNENFORCED=reattach accepts that");
}

/* What the engine says is one thing, what a sandbox sees another. */
static int try_one(struct sandbox *s, const struct engine_info *info, struct buf *notes,
		   struct err *err)
{
	struct sandbox_trial t;
	int rc = sandbox_container_try(s, &t, err);

	if (rc < 0)
		return rc;
	if (*t.warnings)
		buf_appendf(notes, "the engine warns: %s\n", t.warnings);
	free(t.warnings);
	rc = check_reattached(s->settings, t.reattached, notes, err);
	if (rc < 0)
		return rc;
	return sandbox_bounds_check(s->settings, &t.bounds,
				    info->kernel[0] && strcmp(info->kernel, t.kernel) != 0, notes,
				    err);
}

/* What is listed and given nevertheless to nobody. */
static void look_at_mounts(struct sandbox *s, struct buf *notes)
{
	const struct str_list *list = &s->settings->sandbox_mount_allow;
	struct engine_mount m;
	struct err why;

	for (size_t i = 0; i < list->count; i++) {
		if (engine_mount_parse(list->items[i], &m, &why) < 0)
			continue;
		if (engine_check_mount(s->engine, &m, &why) < 0)
			buf_appendf(notes, "SANDBOX_MOUNT_ALLOW in vain: %s\n", why.msg);
		else
			buf_appendf(notes, "may be mounted: %s\n", list->items[i]);
		free(m.path);
	}
}

static int prepare(struct sandbox *s, struct buf *notes, struct err *err)
{
	struct engine_info info;
	int64_t max;
	int rc = engine_probe(s->engine, &info, err);

	if (rc < 0)
		return rc;
	buf_appendf(notes, "engine: %s, API %s, cgroup v%d, %s\n", info.version, info.api_version,
		    info.cgroup_version, info.os);
	rc = check_network(s, notes, err);
	if (rc == 0)
		rc = check_runtime(s->settings, &info, notes, err);
	if (rc == 0)
		rc = check_limits(s->settings, &info, notes, err);
	if (rc == 0)
		rc = check_image(s, notes, err);
	if (rc == 0)
		rc = deliver(s, notes, err);
	if (rc == 0)
		rc = try_one(s, &info, notes, err);
	if (rc < 0)
		return rc;
	max = s->settings->sandbox_max > 0 ? s->settings->sandbox_max
					   : sandbox_capacity_default(s->settings, &info);
	buf_appendf(notes, "containers: at most %lld\n", (long long)max);
	look_at_mounts(s, notes);
	mutex_lock(&s->lock);
	if (strcmp(s->engine_name, info.name) != 0)
		snprintf(s->index.places, sizeof(s->index.places), "places:%s", info.name);
	s->max = max;
	s->ready = true;
	s->away_since = 0;
	memcpy(s->engine_name, info.name, sizeof(s->engine_name));
	mutex_unlock(&s->lock);
	return 0;
}

int sandbox_prepare(struct sandbox *s, struct buf *notes, struct err *err)
{
	int rc;

	mutex_lock(&s->preparing);
	rc = prepare(s, notes, err);
	mutex_unlock(&s->preparing);
	if (rc < 0)
		sandbox_unready(s);
	return rc < 0 ? err_wrap(err, "sandbox") : 0;
}

int sandbox_need(struct sandbox *s, struct err *err)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(64 << 10);
	int rc = 0;

	if (sandbox_ready(s))
		return 0;
	/* Only one thread at a time; the others find it done. */
	mutex_lock(&s->preparing);
	if (!sandbox_ready(s))
		rc = prepare(s, &notes, err);
	mutex_unlock(&s->preparing);
	return rc;
}

void sandbox_unready(struct sandbox *s)
{
	mutex_lock(&s->lock);
	s->ready = false;
	if (s->away_since == 0)
		s->away_since = clock_mono();
	mutex_unlock(&s->lock);
}

void sandbox_look(struct sandbox *s)
{
	struct err err;

	if (engine_ping(s->engine, &err) < 0)
		sandbox_unready(s);
	else if (sandbox_container_drop_due(s))
		(void)sandbox_container_drop_again(s);
	if (sandbox_ready(s))
		sandbox_look_at_disk(s);
}
