/*
 * engine_probe.c: which version to speak, and what this engine can enforce.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "mem.h"

int engine_choose_api(const char *offered, char ret[8], struct err *err)
{
	unsigned major = 0, minor = 0;
	char rest;

	if (sscanf(offered, "%2u.%4u%c", &major, &minor, &rest) != 2)
		return err_set(err, ERR_PROTOCOL,
			       "no Api-Version in the answer to /_ping: is that a Docker engine?");
	if (major == 0 || (major == 1 && minor < ENGINE_API_MIN))
		return err_set(err, ERR_UNSUPPORTED,
			       "the engine speaks API %u.%u at most, 1.%d is needed", major, minor,
			       ENGINE_API_MIN);
	if (major > 1 || minor > ENGINE_API_MAX)
		minor = ENGINE_API_MAX;
	snprintf(ret, 8, "1.%u", minor % 1000);
	return 0;
}

static int ask_version(struct engine *e, char ret[8], unsigned *ret_traits, struct err *err)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	struct engine_request ping = {
		.method = "GET", .path = "/_ping", .limit = ENGINE_LIMIT_PING, .unversioned = true};

	int rc = engine_exchange(e, &ping, &response, err);
	if (rc < 0)
		return rc;
	if (response.status != 200)
		return engine_reply_error(response.status, response.body.data, response.body.len,
					  err);
	*ret_traits = engine_traits_of(&response);
	return engine_choose_api(response.api_version, ret, err);
}

int engine_negotiate(struct engine *e, bool again, char ret[8], struct err *err)
{
	unsigned traits;
	char api[8];

	mutex_lock(&e->lock);
	memcpy(api, e->api, sizeof(api));
	traits = e->traits;
	mutex_unlock(&e->lock);
	if (!api[0] || again) {
		int rc = ask_version(e, api, &traits, err);
		if (rc < 0)
			return rc;
		if (e->pinned[0])
			memcpy(api, e->pinned, sizeof(api));
		mutex_lock(&e->lock);
		memcpy(e->api, api, sizeof(api));
		e->traits = traits;
		mutex_unlock(&e->lock);
	}
	memcpy(ret, api, sizeof(api));
	return 0;
}

static void copy_text(const json_t *info, const char *key, char *ret, size_t size)
{
	const char *text = json_member_str(info, key);

	snprintf(ret, size, "%s", text ? text : "");
}

static void read_runtimes(const json_t *info, struct engine_info *ret)
{
	const char *name;
	json_t *value;
	size_t len = 0;

	json_object_foreach(json_member(info, "Runtimes"), name, value)
	{
		size_t n = strlen(name);
		if (strchr(name, ' ') || len + n + 2 > sizeof(ret->runtimes))
			continue;
		if (len > 0)
			ret->runtimes[len++] = ' ';
		memcpy(ret->runtimes + len, name, n + 1);
		len += n;
	}
}

static void read_security(const json_t *info, struct engine_info *ret)
{
	json_t *options = json_member(info, "SecurityOptions");

	for (size_t i = 0; i < json_array_size(options); i++) {
		const char *option = json_string_value(json_array_get(options, i));
		if (!option)
			continue;
		if (strncmp(option, "name=seccomp", 12) == 0 && !strstr(option, "unconfined"))
			ret->seccomp = true;
		else if (strncmp(option, "name=apparmor", 13) == 0)
			ret->apparmor = true;
		else if (strncmp(option, "name=userns", 11) == 0)
			ret->userns = true;
	}
}

void engine_info_apply_warnings(struct engine_info *info, const char *warnings)
{
	/* Sentences of /info, then of creation. "No kernel memory limit support" is another matter.
	 */
	const struct {
		const char *words;
		bool *what;
	} table[] = {
		{"no memory limit support", &info->memory_limit},
		{"no swap limit support", &info->swap_limit},
		{"no pids limit support", &info->pids_limit},
		{"no cpu cfs", &info->cpu_limit},
		{"not support memory limit", &info->memory_limit},
		{"not support swap limit", &info->swap_limit},
		{"not support pids limit", &info->pids_limit},
		{"not support cpu cfs", &info->cpu_limit},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcasestr(warnings, table[i].words))
			*table[i].what = false;
}

void engine_info_parse(const json_t *info, struct engine_info *ret)
{
	*ret = (struct engine_info){0};
	copy_text(info, "ServerVersion", ret->version, sizeof(ret->version));
	copy_text(info, "OperatingSystem", ret->os, sizeof(ret->os));
	copy_text(info, "KernelVersion", ret->kernel, sizeof(ret->kernel));
	copy_text(info, "Driver", ret->driver, sizeof(ret->driver));
	copy_text(info, "DockerRootDir", ret->root, sizeof(ret->root));
	copy_text(info, "DefaultRuntime", ret->default_runtime, sizeof(ret->default_runtime));
	ret->memory_limit = json_is_true(json_member(info, "MemoryLimit"));
	ret->swap_limit = json_is_true(json_member(info, "SwapLimit"));
	ret->pids_limit = json_is_true(json_member(info, "PidsLimit"));
	ret->cpu_limit = json_is_true(json_member(info, "CpuCfsQuota"));
	ret->memory_total = json_integer_value(json_member(info, "MemTotal"));
	ret->cpus = json_integer_value(json_member(info, "NCPU"));
	const char *cgroup = json_member_str(info, "CgroupVersion");
	if (cgroup && (strcmp(cgroup, "1") == 0 || strcmp(cgroup, "2") == 0))
		ret->cgroup_version = cgroup[0] - '0';
	read_runtimes(info, ret);
	read_security(info, ret);
	json_t *warnings = json_member(info, "Warnings");
	for (size_t i = 0; i < json_array_size(warnings); i++) {
		const char *text = json_string_value(json_array_get(warnings, i));
		if (text)
			engine_info_apply_warnings(ret, text);
	}
}

/* Where its containers are. Podman makes up another ID each time it is asked, and daemons of one
 * machine may share one. */
static void name_it(const json_t *info, struct engine_info *ret)
{
	const char *const words[] = {json_member_str(info, "Name"),
				     json_member_str(info, "DockerRootDir"),
				     ret->traits == 0 ? json_member_str(info, "ID") : NULL};
	_cleanup_buf_ struct buf all = BUF_INIT(BOUND_ERROR_TEXT);
	char digest[SHA256_HEX_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		buf_appendf(&all, "%.200s\n", words[i] ? words[i] : "");
	sha256_hex(all.data, all.len, digest);
	snprintf(ret->name, sizeof(ret->name), "%.32s", digest);
}

int engine_direct_probe(struct engine *e, struct engine_info *ret, struct err *err)
{
	_cleanup_json_ json_t *info = NULL;
	char api[8];

	int rc = engine_negotiate(e, true, api, err);
	if (rc == 0)
		rc = engine_call(e, "GET", "/info", NULL, ENGINE_LIMIT_LOOK, &info, err);
	if (rc < 0)
		return rc;
	if (!json_is_object(info))
		return err_set(err, ERR_PROTOCOL, "engine: /info is not an object");
	engine_info_parse(info, ret);
	ret->traits = engine_traits(e);
	name_it(info, ret);
	snprintf(ret->api_version, sizeof(ret->api_version), "%s", api);
	mutex_lock(&e->lock);
	memcpy(e->root, ret->root, sizeof(e->root));
	mutex_unlock(&e->lock);
	return 0;
}

int engine_direct_ping(struct engine *e, struct err *err)
{
	char api[8];

	return engine_negotiate(e, true, api, err);
}

bool engine_info_has_runtime(const struct engine_info *info, const char *runtime)
{
	size_t n = strlen(runtime);

	for (const char *p = info->runtimes; n > 0 && *p;) {
		size_t word = strcspn(p, " ");
		if (word == n && memcmp(p, runtime, n) == 0)
			return true;
		p += word;
		p += *p == ' ';
	}
	return false;
}
