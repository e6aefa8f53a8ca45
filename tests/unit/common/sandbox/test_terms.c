/* What sandbox_settings may grant: limits within the settings, mounts that are listed; and that
 * another grant is another container. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/sandbox_internal.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

static struct settings settings;
static struct sandbox *s;
static struct sandbox_terms terms;
static struct err err;

static void start(const char *listed, const char *network)
{
	_cleanup_free_ char *mounts = xasprintf("SANDBOX_MOUNT_ALLOW=%s", listed);
	_cleanup_free_ char *net = xasprintf("SANDBOX_NETWORK=%s", network);
	char *env[] = {mounts, net, (char *)(uintptr_t) "DOCKER_HOST=unix:///srv/engine/socket",
		       NULL};

	ck_assert_msg(settings_load(env, &settings, &err) == 0, "%s", err.msg);
	ck_assert_msg(sandbox_open(&settings, NULL, "", NULL, &s, &err) == 0, "%s", err.msg);
	sandbox_terms_init(&settings, true, &terms);
}

static void stop(void)
{
	sandbox_terms_done(&terms);
	sandbox_close_all(s);
	settings_done(&settings);
}

static int limit(const char *text)
{
	_cleanup_json_ json_t *limits = json_loads(text, JSON_DECODE_ANY, NULL);

	ck_assert_ptr_nonnull(limits);
	return sandbox_terms_limit(&terms, &settings, limits, &err);
}

START_TEST(test_limits)
{
	start("", "egress");
	ck_assert_int_eq(limit("{}"), 0);
	ck_assert_int_eq(terms.memory, 512 << 20);
	ck_assert_msg(limit("{\"memory\": \"64MiB\", \"cpus\": 0.25, \"pids\": 16, \"work_size\": "
			    "33554432, \"timeout\": 120.5, \"output_limit\": \"4k\", "
			    "\"files_max\": 0, \"file_size\": 1, \"files_size\": \"1m\"}") == 0,
		      "%s", err.msg);
	ck_assert_int_eq(terms.memory, 64 << 20);
	ck_assert(terms.cpus == 0.25 && terms.pids == 16 && terms.work_size == 32 << 20);
	ck_assert(terms.timeout == 120500 * USEC_PER_MSEC && terms.max_timeout == terms.timeout);
	ck_assert(terms.output_limit == 4096 && terms.files_max == 0 && terms.file_size == 1);
	ck_assert_int_eq(terms.files_size, 1 << 20);
	ck_assert_int_eq(limit("{\"timeout\": \"2m\"}"), 0);
	ck_assert_int_eq(terms.timeout, 120 * USEC_PER_SEC);
	stop();
}
END_TEST

static const struct {
	const char *text, *says;
} bad_limits[] = {
	{"{\"memory\": \"1GiB\"}", "limits.memory: above SANDBOX_MEMORY"},
	{"{\"memory\": 536870913}", "limits.memory: above SANDBOX_MEMORY"},
	{"{\"memory\": 1e300}", "limits.memory: above SANDBOX_MEMORY"},
	{"{\"memory\": \"1m\"}", "limits.memory: too little"},
	{"{\"memory\": -1}", "limits.memory: too little"},
	{"{\"memory\": 0}", "limits.memory: too little"},
	{"{\"memory\": \"much\"}", "limits.memory: not a size"},
	{"{\"memory\": null}", "limits.memory: not a size"},
	{"{\"memory\": 33554432.5}", "limits.memory: not a size"},
	{"{\"memory\": true}", "limits.memory: not a size"},
	{"{\"memory\": [1]}", "limits.memory: not a size"},
	{"{\"cpus\": 2}", "limits.cpus: above SANDBOX_CPUS"},
	{"{\"cpus\": 0}", "limits.cpus: too little"},
	{"{\"cpus\": \"1\"}", "limits.cpus: not a number"},
	{"{\"pids\": 257}", "limits.pids: above SANDBOX_PIDS"},
	{"{\"pids\": 8.5}", "limits.pids: not a whole number"},
	{"{\"pids\": 1}", "limits.pids: too little"},
	{"{\"work_size\": \"1g\"}", "limits.work_size: above SANDBOX_WORK_SIZE"},
	{"{\"timeout\": 301}", "limits.timeout: above SANDBOX_MAX_TIMEOUT"},
	{"{\"timeout\": 0}", "limits.timeout: too little"},
	{"{\"timeout\": \"soon\"}", "limits.timeout: not a time"},
	{"{\"output_limit\": \"2m\"}", "limits.output_limit: above SANDBOX_OUTPUT_LIMIT"},
	{"{\"files_max\": 65}", "limits.files_max: above SANDBOX_FILES_MAX"},
	{"{\"file_size\": \"33m\"}", "limits.file_size: above SANDBOX_FILE_SIZE"},
	{"{\"files_size\": \"65m\"}", "limits.files_size: above SANDBOX_FILES_SIZE"},
	{"{\"privileged\": true}", "limits: there is no 'privileged'"},
	{"[]", "limits: not an object"},
};

START_TEST(test_bad_limits)
{
	start("", "egress");
	ck_assert_int_eq(limit(bad_limits[_i].text), -ERR_INVALID);
	ck_assert_str_eq(err.msg, bad_limits[_i].says);
	stop();
}
END_TEST

static int mount(const char *text)
{
	return sandbox_terms_mount(&terms, s, text, &err);
}

START_TEST(test_mounts)
{
	static const struct {
		const char *text, *says;
	} refused[] = {
		{"/srv/a:rw", "SANDBOX_MOUNT_ALLOW does not list /srv/a:rw"},
		{"/srv/a/below:ro", "SANDBOX_MOUNT_ALLOW does not list /srv/a/below:ro"},
		{"/srv:ro", "/srv is the engine's own and never mounted"},
		{"/srv/engine:ro", "/srv/engine is the engine's own and never mounted"},
		{"/srv/engine/socket:rw",
		 "/srv/engine/socket is the engine's own and never mounted"},
		{"/etc:ro", "/etc is the host's own and never mounted"},
		{"/:ro", "/ is the host's own and never mounted"},
		{"/var/run/docker.sock:rw", "/var/run/docker.sock is a socket and never mounted"},
		{"/tmp:rw", "/tmp is the sandbox's own and never mounted"},
		{"/srv/a", "'/srv/a' is not path:ro or path:rw"},
		{"/srv/a:", "'/srv/a:' is not path:ro or path:rw"},
		{"/srv/a:ro,rw", "'/srv/a:ro,rw' is not path:ro or path:rw"},
		{"/srv/a:/etc:ro", "'/srv/a:/etc:ro': not a plain absolute path"},
		{"/srv/./a:ro", "'/srv/./a:ro': not a plain absolute path"},
		{"srv/a:ro", "'srv/a:ro': not a plain absolute path"},
		{":ro", "':ro': not a plain absolute path"},
	};

	/* some of them are listed, in vain */
	start("/srv/a:ro,/srv/b:rw,/etc:ro,/:ro,/var/run/docker.sock:rw,/tmp:rw,/srv/engine:ro",
	      "egress");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		ck_assert_msg(mount(refused[i].text) < 0, "%s", refused[i].text);
		ck_assert_str_eq(err.msg, refused[i].says);
	}
	ck_assert_uint_eq(terms.mount_count, 0);
	ck_assert_int_eq(mount("/srv/b:rw"), 0);
	ck_assert_int_eq(mount("/srv/a:ro"), 0);
	ck_assert_int_eq(mount("/srv/a:ro"), -ERR_INVALID);
	ck_assert_uint_eq(terms.mount_count, 2);
	ck_assert_str_eq(terms.mounts[0].path, "/srv/a");
	ck_assert(!terms.mounts[0].writable && terms.mounts[1].writable);
	stop();
	start("", "egress");
	ck_assert_int_eq(mount("/srv/a:ro"), -ERR_DENIED);
	stop();
}
END_TEST

START_TEST(test_bad_lists)
{
	static const struct {
		const char *list, *says;
	} bad[] = {
		{"/srv/a", "SANDBOX_MOUNT_ALLOW: '/srv/a' is not path:ro or path:rw"},
		{"srv:ro", "SANDBOX_MOUNT_ALLOW: 'srv:ro': not a plain absolute path"},
		{"/srv/a:rw,/srv/a/b:ro",
		 "SANDBOX_MOUNT_ALLOW: /srv/a/b lies below /srv/a:rw, where "
		 "a sandbox could put a link in its place"},
	};
	char *env[] = {NULL, NULL};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		env[0] = xasprintf("SANDBOX_MOUNT_ALLOW=%s", bad[i].list);
		ck_assert_int_eq(settings_load(env, &settings, &err), 0);
		ck_assert_int_eq(sandbox_open(&settings, NULL, "", NULL, &s, &err), -ERR_INVALID);
		ck_assert_str_eq(err.msg, bad[i].says);
		settings_done(&settings);
		free(env[0]);
	}
	/* with both modes, and below what nobody can write */
	start("/srv/a:ro,/srv/a:rw,/srv/c:ro,/srv/c/d:ro", "none");
	stop();
}
END_TEST

static void digest(char out[SHA256_HEX_SIZE])
{
	sandbox_terms_digest(&settings, &terms, out);
}

/* Whatever a container is made of makes another digest; what only a run is told does not. */
START_TEST(test_digest)
{
	static const char *const other[] = {"{\"memory\": \"64m\"}", "{\"cpus\": 0.5}",
					    "{\"pids\": 9}", "{\"work_size\": \"2m\"}"};
	char before[SHA256_HEX_SIZE], after[SHA256_HEX_SIZE], two[SHA256_HEX_SIZE];

	start("/srv/a:ro,/srv/a:rw,/srv/b:ro", "egress");
	digest(before);
	ck_assert_str_eq(before, s->policy);
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		sandbox_terms_init(&settings, true, &terms);
		ck_assert_int_eq(limit(other[i]), 0);
		digest(after);
		ck_assert_str_ne(before, after);
	}
	sandbox_terms_init(&settings, false, &terms); /* the proxy is a run's own */
	ck_assert_int_eq(limit("{\"timeout\": 5, \"output_limit\": 2000, \"files_max\": 1}"), 0);
	digest(after);
	ck_assert_str_eq(before, after);
	ck_assert_int_eq(mount("/srv/b:ro"), 0);
	ck_assert_int_eq(mount("/srv/a:ro"), 0);
	digest(after);
	ck_assert_str_ne(before, after);
	sandbox_terms_done(&terms);
	ck_assert_int_eq(mount("/srv/a:ro"), 0); /* in another order */
	ck_assert_int_eq(mount("/srv/b:ro"), 0);
	digest(two);
	ck_assert_str_eq(after, two);
	sandbox_terms_done(&terms);
	ck_assert_int_eq(mount("/srv/a:rw"), 0);
	ck_assert_int_eq(mount("/srv/b:ro"), 0);
	digest(two);
	ck_assert_str_ne(after, two);
	stop();

	start("", "outside");
	digest(after);
	ck_assert_str_ne(before, after);
	sandbox_terms_init(&settings, false, &terms);
	digest(two);
	ck_assert_str_eq(before, two);
	stop();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("terms");

	tcase_add_test(t, test_limits);
	tcase_add_loop_test(t, test_bad_limits, 0, ARRAY_LEN(bad_limits));
	tcase_add_test(t, test_mounts);
	tcase_add_test(t, test_bad_lists);
	tcase_add_test(t, test_digest);
	return suite_run("terms", t);
}
