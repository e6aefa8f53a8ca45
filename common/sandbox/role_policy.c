/*
 * The judgement. See role_policy.h.
 */
#include "role_policy.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_internal.h"

static bool is_listed(const struct str_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (fnmatch(list->items[i], text, 0) == 0)
			return true;
	return false;
}

int role_check_image(const struct settings *s, const char *image, struct err *err)
{
	if (image == NULL)
		return err_set(err, ERR_INVALID, "no image");
	if (strcmp(image, s->sandbox_image) == 0 || is_listed(&s->engine_images, image))
		return 0;
	return err_set(err, ERR_DENIED, "CELERIAC_ENGINE_IMAGES does not list '%.100s'", image);
}

int role_check_network(const struct settings *s, const char *network, struct err *err)
{
	bool egress = strcmp(s->sandbox_network, "egress") == 0;

	if (network == NULL || strcmp(network, "none") == 0)
		return 0;
	if ((!egress && strcmp(network, s->sandbox_network) == 0) ||
	    strcmp(network, s->mcp_network) == 0 || is_listed(&s->engine_networks, network))
		return 0;
	return err_set(err, ERR_DENIED,
		       "neither SANDBOX_NETWORK, MCP_NETWORK nor CELERIAC_ENGINE_NETWORKS name "
		       "'%.100s'",
		       network);
}

static int check_runtime(const struct settings *s, const char *runtime, struct err *err)
{
	const char *asked = runtime ? runtime : "";

	if (strcmp(asked, s->sandbox_runtime) == 0 || is_listed(&s->engine_runtimes, asked))
		return 0;
	return err_set(err, ERR_DENIED,
		       "neither SANDBOX_RUNTIME nor CELERIAC_ENGINE_RUNTIMES name %s%.64s",
		       runtime ? "" : "the engine's default runtime", asked);
}

int role_check_spec(const struct settings *s, const struct engine_spec *spec, struct err *err)
{
	int64_t memory = spec->memory ? spec->memory : ENGINE_DEFAULT_MEMORY;
	int64_t pids = spec->pids ? spec->pids : ENGINE_DEFAULT_PIDS;
	double cpus = spec->cpus > 0 ? spec->cpus : ENGINE_DEFAULT_CPUS;
	int rc = role_check_image(s, spec->image, err);

	if (rc == 0)
		rc = role_check_network(s, spec->network, err);
	if (rc == 0)
		rc = check_runtime(s, spec->runtime, err);
	if (rc < 0)
		return rc;
	if (spec->uid != 0 || spec->gid != 0)
		return err_set(err, ERR_DENIED, "a user other than that of sandboxes");
	if (memory > s->engine_memory)
		return err_set(err, ERR_DENIED, "CELERIAC_ENGINE_MEMORY: %lld bytes are too many",
			       (long long)memory);
	if (cpus > s->engine_cpus)
		return err_set(err, ERR_DENIED, "CELERIAC_ENGINE_CPUS: %g are too many", cpus);
	if (pids > s->engine_pids)
		return err_set(err, ERR_DENIED, "CELERIAC_ENGINE_PIDS: %lld are too many",
			       (long long)pids);
	return 0;
}

bool role_serves(const struct settings *s, unsigned uid)
{
	for (size_t i = 0; i < s->engine_peers.count; i++) {
		char *end;
		unsigned long listed = strtoul(s->engine_peers.items[i], &end, 10);

		if (end != s->engine_peers.items[i] && *end == '\0' && listed == uid)
			return true;
	}
	return uid == geteuid();
}

bool role_bucket_take(struct role_bucket *b, int64_t rate, int64_t burst, usec_t now)
{
	double most = (double)(rate * burst);

	if (b->at == 0)
		b->tokens = most;
	else
		b->tokens += (double)(now - b->at) * (double)rate / (double)USEC_PER_SEC;
	b->at = now;
	if (b->tokens > most)
		b->tokens = most;
	if (b->tokens < 1)
		return false;
	b->tokens--;
	return true;
}
