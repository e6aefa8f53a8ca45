/* Container bodies, byte by byte; and that nothing dangerous can be said or smuggled. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/engine_internal.h"

static const char *const true_argv[] = {"/bin/true", NULL};

static const char zero_golden[] =
	"{\"Image\":\"img:1\",\"User\":\"10001:10001\",\"Entrypoint\":[\"/bin/true\"],\"Cmd\":[],"
	"\"WorkingDir\":\"/\",\"Env\":[],\"AttachStdin\":true,\"AttachStdout\":true,"
	"\"AttachStderr\":true,\"OpenStdin\":true,\"StdinOnce\":false,\"Tty\":false,"
	"\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Labels\":{\"celeriac.instance\":\"default\"},"
	"\"HostConfig\":{\"ReadonlyRootfs\":true,\"CapDrop\":[\"ALL\"],"
	"\"SecurityOpt\":[\"no-new-privileges\"],\"IpcMode\":\"private\","
	"\"CgroupnsMode\":\"private\",\"LogConfig\":{\"Type\":\"none\",\"Config\":{}},"
	"\"RestartPolicy\":{\"Name\":\"no\"},\"Init\":false,\"AutoRemove\":false,"
	"\"NetworkMode\":\"none\",\"Dns\":[\"127.0.0.1\"],\"DnsSearch\":[\".\"],"
	"\"Memory\":268435456,\"MemorySwap\":268435456,\"NanoCpus\":1000000000,\"PidsLimit\":64,"
	"\"ShmSize\":1048576,\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1024,\"Hard\":1024},"
	"{\"Name\":\"core\",\"Soft\":0,\"Hard\":0},"
	"{\"Name\":\"fsize\",\"Soft\":1073741824,\"Hard\":1073741824},"
	"{\"Name\":\"memlock\",\"Soft\":65536,\"Hard\":65536}],\"Tmpfs\":{},\"Mounts\":[]}}";

static const char full_golden[] =
	"{\"Image\":\"reg.local:5000/a/b@sha256:00\",\"User\":\"2000:3000\","
	"\"Entrypoint\":[\"/celeriac/agent\",\"--x\",\"a \\\"b\\\"\\\\\\n\"],\"Cmd\":[],"
	"\"WorkingDir\":\"/sandbox\",\"Env\":[\"A=1\",\"B=x=y \303\274\"],\"AttachStdin\":true,"
	"\"AttachStdout\":true,\"AttachStderr\":true,\"OpenStdin\":true,\"StdinOnce\":false,"
	"\"Tty\":false,\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Labels\":{"
	"\"celeriac.instance\":\"prod\",\"celeriac.role\":\"sandbox\","
	"\"celeriac.owner\":\"w1@3\",\"celeriac.conversation\":\"c\\\"1\"},"
	"\"HostConfig\":{\"ReadonlyRootfs\":true,\"CapDrop\":[\"ALL\"],"
	"\"SecurityOpt\":[\"no-new-privileges\"],\"IpcMode\":\"private\","
	"\"CgroupnsMode\":\"private\",\"LogConfig\":{\"Type\":\"none\",\"Config\":{}},"
	"\"RestartPolicy\":{\"Name\":\"no\"},\"Init\":false,\"AutoRemove\":false,"
	"\"Runtime\":\"runsc\",\"NetworkMode\":\"celeriac-egress\",\"Memory\":1073741824,"
	"\"MemorySwap\":1073741824,\"NanoCpus\":250000000,\"PidsLimit\":256,\"ShmSize\":65536,"
	"\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":4096,\"Hard\":4096},"
	"{\"Name\":\"core\",\"Soft\":0,\"Hard\":0},{\"Name\":\"fsize\",\"Soft\":100,\"Hard\":100},"
	"{\"Name\":\"memlock\",\"Soft\":65536,\"Hard\":65536}],\"Tmpfs\":{"
	"\"/sandbox\":\"rw,nosuid,nodev,exec,size=268435456,nr_inodes=100,mode=0755,uid=2000,"
	"gid=3000\",\"/tmp\":\"rw,nosuid,nodev,noexec,size=67108864,nr_inodes=65536,mode=1777,"
	"uid=2000,gid=3000\"},\"Mounts\":[{\"Type\":\"volume\","
	"\"Source\":\"celeriac-agent-0123456789abcdef\",\"Target\":\"/celeriac\","
	"\"ReadOnly\":true,\"VolumeOptions\":{\"NoCopy\":true}}]}}";

static const char *const full_argv[] = {"/celeriac/agent", "--x", "a \"b\"\\\n", NULL};
static const char *const full_env[] = {"A=1", "B=x=y \303\274", NULL};
static const struct engine_tmpfs full_tmpfs[] = {{"/sandbox", 268435456, 100, 0755, true},
						 {"/tmp", 67108864, 0, 01777, false}};
static const struct engine_label full_labels[] = {
	{"role", "sandbox"}, {"owner", "w1@3"}, {"conversation", "c\"1"}};
static const struct engine_spec full_spec = {
	.image = "reg.local:5000/a/b@sha256:00",
	.name = "x",
	.argv = full_argv,
	.env = full_env,
	.working_dir = "/sandbox",
	.uid = 2000,
	.gid = 3000,
	.runtime = "runsc",
	.network = "celeriac-egress",
	.memory = 1 << 30,
	.cpus = 0.25,
	.pids = 256,
	.nofile = 4096,
	.file_size = 100,
	.shm_size = 65536,
	.tmpfs = full_tmpfs,
	.tmpfs_count = 2,
	.agent_volume = "celeriac-agent-0123456789abcdef",
	.labels = full_labels,
	.label_count = 3,
};
static const struct engine_spec zero_spec = {.image = "img:1", .argv = true_argv};

static char *body_of(const struct engine_spec *spec, const char *instance)
{
	struct err err = {0};
	char *body = NULL;

	ck_assert_msg(engine_spec_body(spec, instance, 0, &body, &err) == 0, "%s", err.msg);
	return body;
}

/* `text` (given) with each `what` as `with` instead; it is there. Given. */
static char *replaced(char *text, const char *what, const char *with)
{
	_cleanup_buf_ struct buf out = BUF_INIT(16384);
	const char *rest = text;
	char *ret = NULL;
	struct err err;
	size_t len;

	ck_assert_ptr_nonnull(strstr(text, what));
	for (const char *at; (at = strstr(rest, what)); rest = at + strlen(what)) {
		buf_append(&out, rest, (size_t)(at - rest));
		buf_append_str(&out, with);
	}
	buf_append_str(&out, rest);
	ck_assert_int_eq(buf_take(&out, &ret, &len, &err), 0);
	free(text);
	return ret;
}

START_TEST(test_golden)
{
	_cleanup_free_ char *zero = body_of(&zero_spec, "default");
	_cleanup_free_ char *full = body_of(&full_spec, "prod");

	ck_assert_str_eq(zero, zero_golden);
	ck_assert_str_eq(full, full_golden);
}
END_TEST

/* On an engine that has its own ways, each trait changes what it is about, and nothing else. */
START_TEST(test_traits)
{
	const struct {
		unsigned trait;
		const char *docker, *there; /* a part of the body, and what stands for it */
	} rows[] = {
		{ENGINE_TMPFS_BY_USER, ",uid=2000,gid=3000", ",notmpcopyup,U"},
		{ENGINE_NO_INODES, ",nr_inodes=100", ""},
		{ENGINE_NO_INODES, ",nr_inodes=65536", ""},
		{ENGINE_RAISES_NPROC, "\"Soft\":65536,\"Hard\":65536}",
		 "\"Soft\":65536,\"Hard\":65536},"
		 "{\"Name\":\"nproc\",\"Soft\":32768,\"Hard\":32768}"},
		{ENGINE_ADDS_TMPFS, "\"Mounts\":[",
		 "\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/run\",\"ReadOnly\":true,"
		 "\"TmpfsOptions\":{\"SizeBytes\":4096,\"Mode\":365}},"
		 "{\"Type\":\"tmpfs\",\"Target\":\"/var/tmp\",\"ReadOnly\":true,"
		 "\"TmpfsOptions\":{\"SizeBytes\":4096,\"Mode\":365}},"},
	};
	struct err err = {0};

	for (unsigned traits = 0; traits < 16; traits++) {
		_cleanup_free_ char *expected = xstrdup(full_golden), *body = NULL;

		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			if (traits & rows[i].trait)
				expected = replaced(expected, rows[i].docker, rows[i].there);
		ck_assert_int_eq(engine_spec_body(&full_spec, "prod", traits, &body, &err), 0);
		ck_assert_str_eq(body, expected);
	}
}
END_TEST

/* What the engine would add is not in the way of what is there. */
START_TEST(test_added_tmpfs)
{
	static const char *const volumes[] = {"/var/tmp", NULL};
	const struct engine_tmpfs tmpfs[] = {{.path = "/run", .size = 1 << 20}};
	struct engine_spec spec = zero_spec;
	_cleanup_free_ char *text = NULL;
	struct err err = {0};

	spec.tmpfs = tmpfs;
	spec.tmpfs_count = 1;
	spec.image_volumes = volumes;
	ck_assert_int_eq(engine_spec_body(&spec, "i", ENGINE_ADDS_TMPFS, &text, &err), 0);
	_cleanup_json_ json_t *body = json_loads(text, 0, NULL);
	const json_t *host = json_object_get(body, "HostConfig");
	const json_t *mounts = json_object_get(host, "Mounts");

	ck_assert_uint_eq(json_object_size(json_object_get(host, "Tmpfs")), 1);
	ck_assert_uint_eq(json_array_size(mounts), 2);
	ck_assert_str_eq(json_member_str(json_array_get(mounts, 0), "Target"), "/var/tmp");
	ck_assert_str_eq(json_member_str(json_array_get(mounts, 1), "Target"), "/tmp");
}
END_TEST

/* What gives a container more than its own world. None of it is ever in a body. */
static const char *const never[] = {
	"Privileged", "CapAdd",	     "Devices",	     "DeviceRequests", "DeviceCgroupRules",
	"Binds",      "VolumesFrom", "GroupAdd",     "PidMode",	       "UTSMode",
	"UsernsMode", "Sysctls",     "CgroupParent", "MaskedPaths",    "ReadonlyPaths",
	"ExtraHosts", "Volumes",     "PortBindings", "StorageOpt",     "OomKillDisable",
	"Cgroup",     "Links",	     "ExposedPorts", "PublishAllPorts"};

START_TEST(test_never)
{
	_cleanup_free_ char *text = body_of(&full_spec, "prod");
	_cleanup_json_ json_t *body = json_loads(text, 0, NULL);
	const json_t *host = json_object_get(body, "HostConfig");

	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		ck_assert_ptr_null(json_object_get(body, never[i]));
		ck_assert_ptr_null(json_object_get(host, never[i]));
	}
	ck_assert_ptr_null(strstr(text, "docker.sock"));
	ck_assert_ptr_null(strstr(text, "seccomp=unconfined"));
}
END_TEST

/* The helper that fills the agent's volume differs from the strictest body in that one flag. */
START_TEST(test_helper)
{
	struct err err;
	char *text = NULL;

	ck_assert_int_eq(
		engine_spec_helper_body("img:1", "celeriac-agent-00", "default", 0, &text, &err),
		0);
	_cleanup_json_ json_t *body = json_loads(text, 0, NULL);
	_cleanup_json_ json_t *zero = json_loads(zero_golden, 0, NULL);
	json_t *host = json_object_get(body, "HostConfig");
	const json_t *mount = json_array_get(json_object_get(host, "Mounts"), 0);

	ck_assert_str_eq(json_string_value(json_object_get(mount, "Source")), "celeriac-agent-00");
	ck_assert_str_eq(json_string_value(json_object_get(mount, "Target")), "/celeriac");
	ck_assert(json_is_false(json_object_get(mount, "ReadOnly")));
	json_array_clear(json_object_get(host, "Mounts"));
	ck_assert(json_equal(host, json_object_get(zero, "HostConfig")));
	free(text);
}
END_TEST

static int try_spec(const struct engine_spec *spec, struct err *err)
{
	char *body = NULL;
	int rc = engine_spec_body(spec, "default", 0, &body, err);

	ck_assert(rc == 0 || body == NULL);
	free(body);
	return rc;
}

/* `spec` is refused, and the message names `field`. */
static void refused(const struct engine_spec *spec, const char *field)
{
	struct err err = {0};

	ck_assert_msg(try_spec(spec, &err) == -ERR_INVALID, "%s was taken", field);
	ck_assert_msg(strstr(err.msg, field) != NULL, "'%s' does not name %s", err.msg, field);
}

#define REFUSED(field_name, ...)                                                                   \
	do {                                                                                       \
		struct engine_spec spec = zero_spec;                                               \
		spec.__VA_ARGS__;                                                                  \
		refused(&spec, field_name);                                                        \
	} while (0)

START_TEST(test_numbers)
{
	REFUSED("memory", memory = -1);
	REFUSED("memory", memory = 1 << 20);
	REFUSED("memory", memory = INT64_MAX);
	REFUSED("pids", pids = -1);
	REFUSED("pids", pids = INT64_MAX);
	REFUSED("nofile", nofile = -1);
	REFUSED("nofile", nofile = 1LL << 40);
	REFUSED("file_size", file_size = -1);
	REFUSED("shm_size", shm_size = -1);
	REFUSED("cpus", cpus = -1);
	REFUSED("cpus", cpus = 1e9);
	REFUSED("cpus", cpus = (double)NAN);
	REFUSED("cpus", cpus = (double)INFINITY);
	REFUSED("cpus", cpus = 1e-9);
}
END_TEST

START_TEST(test_names)
{
	static const char *const images[] = {
		"",    "/abs", "a/../../containers/x", "a//b", "a?x=1", "a b", "a%2e%2e",
		"a\n", "-a",   "a\303\274b",	       "a/",   NULL};
	static const char *const networks[] = {
		"host", "bridge", "default", "container:abc", "ns:/proc/1/ns/net", "", "a b", "-x"};
	static const char *const runtimes[] = {"", "../runc", "/usr/bin/sh", "a b"};
	static const char *const volumes[] = {
		"",	      "app-data", "/etc", "/", "celeriac-agent-/etc", "celeriac-agent-a:b",
		"docker.sock"};

	for (size_t i = 0; i < ARRAY_LEN(images); i++)
		REFUSED("image", image = images[i]);
	for (size_t i = 0; i < ARRAY_LEN(networks); i++)
		REFUSED("network", network = networks[i]);
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++)
		REFUSED("runtime", runtime = runtimes[i]);
	for (size_t i = 0; i < ARRAY_LEN(volumes); i++)
		REFUSED("agent_volume", agent_volume = volumes[i]);
}
END_TEST

START_TEST(test_process)
{
	static const char *const dirs[] = {"",	    "sandbox",	"/a/../b",
					   "/a//b", "/a/",	"/proc/self/fd/7",
					   "/sys",  "/dev/shm", "/a/./b"};
	static const char *const no_command[] = {NULL}, *const empty[] = {"", NULL};
	static const char *const bytes[] = {"/bin/\377", NULL};
	static const char *const bare[] = {"HOME", NULL}, *const nameless[] = {"=x", NULL},
				 *const bad_env[] = {"A=\377", NULL};
	const char *many[BOUND_ENV_VARS + 2];

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		REFUSED("working_dir", working_dir = dirs[i]);
	REFUSED("argv", argv = NULL);
	REFUSED("argv", argv = no_command);
	REFUSED("argv", argv = empty);
	REFUSED("argv", argv = bytes);
	REFUSED("env", env = bare);
	REFUSED("env", env = nameless);
	REFUSED("env", env = bad_env);
	for (size_t i = 0; i <= BOUND_ENV_VARS; i++)
		many[i] = "A=1";
	many[BOUND_ENV_VARS + 1] = NULL;
	REFUSED("env", env = many);
	many[65] = NULL;
	REFUSED("argv", argv = many);
	many[64] = NULL;
	struct engine_spec most = zero_spec;
	most.argv = many;
	free(body_of(&most, "default"));
}
END_TEST

START_TEST(test_tmpfs)
{
	static const struct engine_tmpfs bad[] = {
		{.path = NULL, .size = 1 << 20},
		{.path = "/", .size = 1 << 20},
		{.path = "tmp", .size = 1 << 20},
		{.path = "/proc", .size = 1 << 20},
		{.path = "/sys/fs", .size = 1 << 20},
		{.path = "/dev", .size = 1 << 20},
		{.path = "/celeriac", .size = 1 << 20},
		{.path = "/celeriac/x", .size = 1 << 20},
		{.path = "/a/../etc", .size = 1 << 20},
		{.path = "/a,exec", .size = 1 << 20},
		{.path = "/a:b", .size = 1 << 20},
		{.path = "/a\377", .size = 1 << 20},
		{.path = "/a", .size = 0},
		{.path = "/a", .size = -1},
		{.path = "/a", .size = 1 << 20, .inodes = -1},
		{.path = "/a", .size = 1 << 20, .mode = 04755},
		{.path = "/a", .size = 1 << 20, .mode = 02755},
	};
	static const struct engine_tmpfs twice[] = {{.path = "/a", .size = 1 << 20},
						    {.path = "/a", .size = 1 << 20}};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct engine_spec spec = zero_spec;
		spec.tmpfs = &bad[i];
		spec.tmpfs_count = 1;
		refused(&spec, "tmpfs");
	}
	struct engine_spec spec = zero_spec;
	spec.tmpfs = twice;
	spec.tmpfs_count = 2;
	refused(&spec, "tmpfs");
	spec.tmpfs_count = 100;
	refused(&spec, "tmpfs: more than");
}
END_TEST

START_TEST(test_labels)
{
	static char long_value[2000];
	struct engine_label bad[] = {{"instance", "other"}, {"", "x"},	 {"a b", "x"},
				     {NULL, "x"},	    {"a", NULL}, {"a", long_value},
				     {"a", "\377"}};

	memset(long_value, 'x', sizeof(long_value) - 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct engine_spec spec = zero_spec;
		spec.labels = &bad[i];
		spec.label_count = 1;
		/* json_string's refusal is named by its key */
		refused(&spec, i == ARRAY_LEN(bad) - 1 ? "celeriac.a" : "labels");
	}
	struct engine_label many[33];
	struct engine_spec spec = zero_spec;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct engine_label){"a", "x"};
	spec.labels = many;
	spec.label_count = ARRAY_LEN(many);
	refused(&spec, "labels: more than");
	/* few of them, and all together too long */
	long_value[1000] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i].value = long_value;
	spec.label_count = 10;
	refused(&spec, "labels: more than");
	spec.label_count = 8;
	free(body_of(&spec, "default"));
}
END_TEST

/* A value that looks like JSON stays a value. */
START_TEST(test_injection)
{
	static const char *const argv[] = {"/x\",\"HostConfig\":{\"Privileged\":true},\"a\":\"",
					   NULL};
	struct engine_spec spec = zero_spec;

	spec.argv = argv;
	_cleanup_free_ char *text = body_of(&spec, "default");
	_cleanup_json_ json_t *body = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(body);
	const json_t *host = json_object_get(body, "HostConfig");
	ck_assert_ptr_null(json_object_get(host, "Privileged"));
	const json_t *entry = json_array_get(json_object_get(body, "Entrypoint"), 0);
	ck_assert_str_eq(json_string_value(entry), argv[0]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine_spec");
	TCase *t = tcase_create("spec");

	tcase_add_test(t, test_golden);
	tcase_add_test(t, test_traits);
	tcase_add_test(t, test_added_tmpfs);
	tcase_add_test(t, test_never);
	tcase_add_test(t, test_helper);
	tcase_add_test(t, test_numbers);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_process);
	tcase_add_test(t, test_tmpfs);
	tcase_add_test(t, test_labels);
	tcase_add_test(t, test_injection);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
