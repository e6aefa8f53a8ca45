/* What an engine role grants, by its own settings alone. */
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "common/sandbox/role_policy.h"
#include "settings.h"
#include "tests/unit/suite.h"

static struct settings with(const char *const *env)
{
	struct settings s = {0};
	struct err err = {0};

	ck_assert_msg(settings_load((char *const *)(uintptr_t)env, &s, &err) == 0, "%s", err.msg);
	return s;
}

static const char *const listed[] = {"SANDBOX_IMAGE=img:1",
				     "SANDBOX_NETWORK=inner",
				     "MCP_NETWORK=mcp",
				     "SANDBOX_RUNTIME=runsc",
				     "CELERIAC_ENGINE_IMAGES=ghcr.io/acme/*,other:2",
				     "CELERIAC_ENGINE_NETWORKS=third",
				     "CELERIAC_ENGINE_MEMORY=1GiB",
				     "CELERIAC_ENGINE_CPUS=2",
				     "CELERIAC_ENGINE_PIDS=100",
				     "CELERIAC_ENGINE_PEERS=70001,x,-1",
				     NULL};

static int image(const struct settings *s, const char *name)
{
	struct err err = {0};

	return role_check_image(s, name, &err);
}

static int network(const struct settings *s, const char *name)
{
	struct err err = {0};

	return role_check_network(s, name, &err);
}

START_TEST(test_lists)
{
	const char *const none[] = {NULL};
	struct settings s = with(listed), plain = with(none);

	ck_assert_int_eq(image(&s, "img:1"), 0);
	ck_assert_int_eq(image(&s, "other:2"), 0);
	ck_assert_int_eq(image(&s, "ghcr.io/acme/a/b:3"), 0);
	ck_assert_int_eq(image(&s, "ghcr.io/acme2/a"), -ERR_DENIED);
	ck_assert_int_eq(image(&s, "img:12"), -ERR_DENIED);
	ck_assert_int_eq(image(&s, NULL), -ERR_INVALID);
	ck_assert_int_eq(image(&plain, "celeriac-sandbox:latest"), 0);
	ck_assert_int_eq(image(&plain, "debian"), -ERR_DENIED);
	ck_assert_int_eq(network(&s, NULL), 0);
	ck_assert_int_eq(network(&s, "none"), 0);
	ck_assert_int_eq(network(&s, "inner"), 0);
	ck_assert_int_eq(network(&s, "mcp"), 0);
	ck_assert_int_eq(network(&s, "third"), 0);
	ck_assert_int_eq(network(&s, "host"), -ERR_DENIED);
	ck_assert_int_eq(network(&plain, "egress"), -ERR_DENIED);
	settings_done(&s);
	settings_done(&plain);
}
END_TEST

START_TEST(test_spec)
{
	const struct engine_spec good = {
		.image = "img:1", .runtime = "runsc", .memory = 1 << 30, .cpus = 2, .pids = 100};
	struct engine_spec bad[] = {good, good, good, good, good, good, good};
	struct settings s = with(listed);
	struct err err = {0};

	ck_assert_int_eq(role_check_spec(&s, &good, &err), 0);
	bad[0].runtime = NULL; /* the engine's default would be less */
	bad[1].runtime = "runc";
	bad[2].uid = 10002;
	bad[3].gid = 998;
	bad[4].memory++;
	bad[5].cpus = 2.1;
	bad[6].pids++;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(role_check_spec(&s, &bad[i], &err), -ERR_DENIED);
	/* what says nothing gets what an engine's container has by default */
	s.engine_memory = 128 << 20;
	ck_assert_int_eq(
		role_check_spec(&s, &(struct engine_spec){.image = "img:1", .runtime = "runsc"},
				&err),
		-ERR_DENIED);
	s.engine_memory = 1 << 30;
	s.engine_pids = 32;
	ck_assert_int_eq(
		role_check_spec(&s, &(struct engine_spec){.image = "img:1", .runtime = "runsc"},
				&err),
		-ERR_DENIED);
	s.engine_pids = 64;
	s.engine_cpus = 0.5;
	ck_assert_int_eq(
		role_check_spec(&s, &(struct engine_spec){.image = "img:1", .runtime = "runsc"},
				&err),
		-ERR_DENIED);
	ck_assert(role_serves(&s, geteuid()));
	ck_assert(role_serves(&s, 70001));
	ck_assert(!role_serves(&s, 70002));
	settings_done(&s);
}
END_TEST

START_TEST(test_bucket)
{
	struct role_bucket b = {0};
	usec_t now = 1000;
	int taken = 0;

	while (role_bucket_take(&b, 10, 5, now))
		taken++;
	ck_assert_int_eq(taken, 50);
	ck_assert(!role_bucket_take(&b, 10, 5, now + 99 * USEC_PER_MSEC));
	ck_assert(role_bucket_take(&b, 10, 5, now + 101 * USEC_PER_MSEC));
	for (taken = 0; role_bucket_take(&b, 10, 5, now + 3600 * USEC_PER_SEC);)
		taken++;
	ck_assert_int_eq(taken, 50);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("role_policy");

	tcase_add_test(t, test_lists);
	tcase_add_test(t, test_spec);
	tcase_add_test(t, test_bucket);
	return suite_run("role_policy", t);
}
