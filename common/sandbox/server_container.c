/*
 * server_container.c: what the container of a server is made of, whichever way it is reached.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "run.h"
#include "said.h"
#include "sandbox_internal.h"

#define NOFILE	   4096
#define HOME_SHARE 4 /* of the work space, the agent's directory */

static const char *const own_env[] = {"HOME=/tmp", "TMPDIR=/tmp", NULL};

static int create(struct sandbox *s, const struct server_container *how,
		  char ret_id[ENGINE_ID_SIZE], struct err *err)
{
	const struct sandbox_server_wish *wish = how->wish;
	const bool agent = how->agent;
	static const char *const agent_argv[] = {"/celeriac/agent", NULL};
	const struct settings *st = s->settings;
	const int64_t home = agent ? st->sandbox_work_size / HOME_SHARE : 0;
	const struct engine_tmpfs tmpfs[] = {
		{.path = "/tmp", .size = st->sandbox_work_size - home, .mode = 01777, .exec = true},
		{.path = "/sandbox", .size = home, .exec = true}};
	const char *env[BOUND_ENV_VARS + 3] = {own_env[0], own_env[1]};
	char created[CLOCK_ISO_SIZE], volume[SANDBOX_VOLUME_SIZE];
	const struct engine_label labels[] = {
		{"role", SANDBOX_ROLE_SERVER},
		{"server", wish->name},
		{"conversation", wish->conversation ? wish->conversation : ""},
		{"project", wish->project ? wish->project : ""},
		{"owner", s->presence ? presence_owner(s->presence) : ""},
		{"created", created},
	};
	_cleanup_free_ char **volumes = NULL;
	size_t n = 2;
	int rc = engine_image_volumes(s->engine, wish->image, &volumes, err);

	if (rc < 0)
		return rc;
	/* what an agent starts gets it from the agent */
	for (const char *const *e = wish->env; !agent && e && *e && n < BOUND_ENV_VARS + 2; e++)
		env[n++] = *e;
	const struct engine_spec spec = {
		.image = wish->image,
		.name = how->name,
		.argv = agent ? agent_argv : wish->argv,
		.env = env,
		.working_dir = "/tmp",
		.stdin_once = true,
		.network = how->fill ? NULL : wish->network,
		.package_volume = how->package,
		.package_fill = how->fill,
		.runtime = st->sandbox_runtime && *st->sandbox_runtime ? st->sandbox_runtime : NULL,
		.memory = st->sandbox_memory + st->sandbox_work_size,
		.cpus = st->sandbox_cpus,
		.pids = st->sandbox_pids,
		.nofile = NOFILE,
		.tmpfs = tmpfs,
		.tmpfs_count = agent ? 2 : 1,
		.agent_volume = agent ? volume : NULL,
		.image_volumes = (const char *const *)volumes,
		.labels = labels,
		.label_count = ARRAY_LEN(labels)};

	clock_iso(clock_wall(), created);
	sandbox_agent_volume(s, volume);
	return engine_create(s->engine, &spec, ret_id, NULL, err);
}

int sandbox_server_create(struct sandbox *s, const struct server_container *how,
			  char ret_id[ENGINE_ID_SIZE], struct err *err)
{
	const struct sandbox_server_wish *wish = how->wish;
	struct server_container c = *how;
	char package[SANDBOX_VOLUME_SIZE];
	int rc = sandbox_need(s, err);

	if (rc == 0 && wish->network && !c.fill)
		rc = engine_network_need(s->engine, wish->network, err);
	if (rc == 0)
		rc = sandbox_image_need(s, wish->image, wish->deadline, wish->cancelled, err);
	if (rc == 0 && wish->package && !c.package) {
		rc = sandbox_package_need(s, wish, package, err);
		c.package = package;
	}
	return rc < 0 ? rc : create(s, &c, ret_id, err);
}

/* The agent's volume may have been removed behind our back. */
int sandbox_server_make(struct sandbox *s, const struct server_container *how,
			char ret_id[ENGINE_ID_SIZE], struct err *err)
{
	struct err second;
	int rc = 0;

	for (int i = 0; i < 2; i++) {
		rc = sandbox_server_create(s, how, ret_id, err);
		if (rc < 0)
			return rc;
		rc = engine_start(s->engine, ret_id, err);
		if (rc == 0)
			return 0;
		sandbox_container_drop(s, ret_id);
		if (err_is_transient(err) || sandbox_agent_deliver(s, &second) < 0)
			break;
	}
	return rc;
}

/* ---- what an agent is told to start ---- */
struct env_list {
	const char *entries[3 * BOUND_ENV_VARS];
	size_t count, bytes;
};

/* An entry of the same name gives way. */
static void add(struct env_list *list, const char *const *entries)
{
	for (; entries && *entries && list->count < ARRAY_LEN(list->entries); entries++) {
		size_t name = strcspn(*entries, "=") + 1, at = 0;

		while (at < list->count && strncmp(list->entries[at], *entries, name) != 0)
			at++;
		list->entries[at] = *entries;
		list->count += at == list->count;
	}
}

int sandbox_server_env(struct sandbox *s, const char *image_name, const char *const *before,
		       const char *const *after, char ***ret, struct err *err)
{
	_cleanup_free_ char **image = NULL;
	struct env_list list = {0};
	int rc = engine_image_env(s->engine, image_name, &image, err);

	if (rc < 0)
		return rc;
	add(&list, (const char *const *)image);
	add(&list, own_env);
	add(&list, before);
	add(&list, after);
	for (size_t i = 0; i < list.count; i++)
		list.bytes += strlen(list.entries[i]) + 1;
	char **all = xcalloc(1, (list.count + 1) * sizeof(*all) + list.bytes);
	char *text = (char *)(all + list.count + 1);
	for (size_t i = 0; i < list.count; i++) {
		size_t len = strlen(list.entries[i]) + 1;
		all[i] = memcpy(text, list.entries[i], len);
		text += len;
	}
	*ret = all;
	return 0;
}

int sandbox_server_run(struct agent_link *l, const char *const *const *steps,
		       const char *const *env, unsigned flags, usec_t limit, uint32_t *ret_run,
		       struct err *err)
{
	const struct frame_run spec = {.timeout_ms = (uint32_t)(limit / USEC_PER_MSEC),
				       .output_limit = SAID_BYTES * 4,
				       .flags = flags};
	usec_t deadline = clock_deadline(RUN_SEND_TIME);
	uint32_t run = agent_link_next_run(l);
	int rc = 0;

	for (; rc == 0 && *steps; steps++)
		rc = sandbox_run_send_strings(l, FRAME_ARGS, run, *steps, FRAME_LAST, deadline,
					      err);
	if (rc == 0)
		rc = sandbox_run_send_strings(l, FRAME_ENV, run, env, 0, deadline, err);
	if (rc == 0)
		rc = sandbox_run_send_spec(l, run, &spec, deadline, err);
	if (rc == 0)
		*ret_run = run;
	return rc;
}
