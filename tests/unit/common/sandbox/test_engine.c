/* The parts of the engine client that need no engine: where it is, versions, errors, lists,
 * archives. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/docker_tar.h"
#include "common/sandbox/engine_internal.h"

static struct err g_err;

static int try_open(struct engine_config config)
{
	struct engine *e = NULL;

	if (!config.instance)
		config.instance = "test";
	int rc = engine_open(&config, &e, &g_err);
	ck_assert((rc == 0) == (e != NULL));
	engine_close(e);
	return rc;
}

static const struct {
	const char *host;
	bool tls;
	const char *url, *socket; /* NULL: refused */
	int code;
} hosts[] = {
	{NULL, false, "http://localhost", "/var/run/docker.sock", 0},
	{"", false, "http://localhost", "/var/run/docker.sock", 0},
	{"unix:///run/user/1000/docker.sock", false, "http://localhost",
	 "/run/user/1000/docker.sock", 0},
	{"tcp://127.0.0.1", false, "http://127.0.0.1:2375", NULL, 0},
	{"tcp://127.8.9.1:99", false, "http://127.8.9.1:99", NULL, 0},
	{"tcp://localhost:1234/", false, "http://localhost:1234", NULL, 0},
	{"tcp://[::1]:2375", false, "http://[::1]:2375", NULL, 0},
	{"tcp://engine.example", true, "https://engine.example:2376", NULL, 0},
	{"tcp://[2001:db8::1]:9", true, "https://[2001:db8::1]:9", NULL, 0},
	{"tcp://engine.example:2375", false, NULL, NULL, ERR_DENIED},
	{"tcp://10.0.0.5:2375", false, NULL, NULL, ERR_DENIED},
	{"tcp://0.0.0.0:2375", false, NULL, NULL, ERR_DENIED},
	{"tcp://127.0.0.1.example:2375", false, NULL, NULL, ERR_DENIED},
	{"tcp://2130706433:2375", false, NULL, NULL, ERR_DENIED},
	{"tcp://user:pw@127.0.0.1:2375", false, NULL, NULL, ERR_INVALID},
	{"tcp://127.0.0.1:2375/path", false, NULL, NULL, ERR_INVALID},
	{"unix://relative", false, NULL, NULL, ERR_INVALID},
	{"unix://", false, NULL, NULL, ERR_INVALID},
	{"ssh://root@host", false, NULL, NULL, ERR_UNSUPPORTED},
	{"npipe:////./pipe/docker_engine", false, NULL, NULL, ERR_UNSUPPORTED},
	{"/var/run/docker.sock", false, NULL, NULL, ERR_UNSUPPORTED},
	{"tcp://127.0.0.1,tcp://127.0.0.2", false, NULL, NULL, ERR_UNSUPPORTED},
};

START_TEST(test_hosts)
{
	struct engine_config config = {.host = hosts[_i].host,
				       .tls_verify = hosts[_i].tls,
				       .cert_path = "/certs",
				       .instance = "test"};
	struct engine *e = NULL;

	int rc = engine_open(&config, &e, &g_err);
	ck_assert_msg(rc == -hosts[_i].code, "%s: %d %s", hosts[_i].host, rc, g_err.msg);
	if (rc < 0) {
		ck_assert_ptr_nonnull(strstr(g_err.msg, "DOCKER_HOST"));
		return;
	}
	ck_assert_str_eq(e->target.base_url, hosts[_i].url);
	ck_assert_pstr_eq(e->target.unix_socket, hosts[_i].socket);
	ck_assert_pstr_eq(e->target.ca_file, hosts[_i].tls ? "/certs/ca.pem" : NULL);
	ck_assert_pstr_eq(e->target.key_file, hosts[_i].tls ? "/certs/key.pem" : NULL);
	engine_close(e);
}
END_TEST

/* Said explicitly, and only what it says. */
START_TEST(test_plain_tcp)
{
	struct engine_config config = {
		.host = "tcp://engine:2375", .plain_tcp = true, .instance = "test"};
	struct engine *e = NULL;

	ck_assert_int_eq(engine_open(&config, &e, &g_err), 0);
	ck_assert_str_eq(e->target.base_url, "http://engine:2375");
	ck_assert_ptr_null(e->target.ca_file);
	engine_close(e);
	config.tls_verify = true;
	config.cert_path = "/certs";
	ck_assert_int_eq(engine_open(&config, &e, &g_err), 0);
	ck_assert_str_eq(e->target.base_url, "https://engine:2375");
	engine_close(e);
}
END_TEST

START_TEST(test_configs)
{
	char path[300] = "unix:///";

	memset(path + 8, 'a', 200);
	ck_assert_int_eq(try_open((struct engine_config){.host = path}), -ERR_INVALID);
	ck_assert_int_eq(try_open((struct engine_config){.instance = "a=b"}), -ERR_INVALID);
	ck_assert_int_eq(try_open((struct engine_config){.instance = ""}), -ERR_INVALID);
	ck_assert_int_eq(try_open((struct engine_config){.api_version = "1.41"}), 0);
	ck_assert_int_eq(try_open((struct engine_config){.api_version = "1.51"}), 0);
	ck_assert_int_eq(try_open((struct engine_config){.api_version = "1.40"}), -ERR_UNSUPPORTED);
	ck_assert_int_eq(try_open((struct engine_config){.api_version = "2.41"}), -ERR_UNSUPPORTED);
	ck_assert_int_eq(try_open((struct engine_config){.api_version = "1.41x"}), -ERR_INVALID);
	ck_assert_int_eq(try_open((struct engine_config){.api_version = "latest"}), -ERR_INVALID);
}
END_TEST

START_TEST(test_versions)
{
	static const struct {
		const char *offered, *chosen;
		int code;
	} rows[] = {
		{"1.41", "1.41", 0},
		{"1.44", "1.44", 0},
		{"1.51", "1.51", 0},
		{"1.56", "1.51", 0},
		{"2.0", "1.51", 0},
		{"1.40", NULL, ERR_UNSUPPORTED},
		{"1.9", NULL, ERR_UNSUPPORTED},
		{"", NULL, ERR_PROTOCOL},
		{"1", NULL, ERR_PROTOCOL},
		{"1.x", NULL, ERR_PROTOCOL},
		{"1.41 ", NULL, ERR_PROTOCOL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char api[8] = "";
		ck_assert_int_eq(engine_choose_api(rows[i].offered, api, &g_err), -rows[i].code);
		if (rows[i].chosen)
			ck_assert_str_eq(api, rows[i].chosen);
	}
}
END_TEST

START_TEST(test_errors)
{
	static const struct {
		int status;
		const char *body;
		int code;
		bool transient;
	} rows[] = {
		{404, "{\"message\":\"No such container: x\"}", ERR_NOTFOUND, false},
		/* only the engine's own word means gone */
		{404, "{\"message\":\"page not found\"}", ERR_UNSUPPORTED, false},
		{404, "<html>404 Not Found</html>", ERR_PROTOCOL, false},
		{404, "", ERR_PROTOCOL, false},
		{404, "{\"message\":null}", ERR_PROTOCOL, false},
		{404, "[]", ERR_PROTOCOL, false},
		{409, "{\"message\":\"name in use\"}", ERR_CONFLICT, false},
		{400, "{\"message\":\"invalid mount\"}", ERR_FAILED, false},
		{400, "{\"message\":\"client version 1.41 is too old. Minimum 1.44\"}",
		 ERR_UNSUPPORTED, false},
		{403, "<html>403 Forbidden</html>", ERR_DENIED, false},
		{401, "{\"message\":\"no\"}", ERR_DENIED, false},
		{500, "{\"message\":\"driver failed\"}", ERR_FAILED, true},
		{500, "oops", ERR_PROTOCOL, true},
		{503, "{\"message\":\"shutting down\"}", ERR_UNAVAILABLE, true},
		{502, "<html>", ERR_UNAVAILABLE, true},
		{302, "", ERR_PROTOCOL, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = engine_reply_error(rows[i].status, rows[i].body, strlen(rows[i].body),
					    &g_err);
		ck_assert_msg(rc == -rows[i].code, "%d %s: %d", rows[i].status, rows[i].body, rc);
		ck_assert(err_is_transient(&g_err) == rows[i].transient);
	}
}
END_TEST

static json_t *parse(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(j);
	return j;
}

START_TEST(test_info)
{
	struct engine_info info;
	_cleanup_json_ json_t *full = parse(
		"{\"ServerVersion\":\"27.1\",\"OperatingSystem\":\"Debian\",\"CgroupVersion\":"
		"\"2\","
		"\"MemoryLimit\":true,\"SwapLimit\":true,\"PidsLimit\":true,\"CpuCfsQuota\":true,"
		"\"NCPU\":8,\"MemTotal\":123,\"DefaultRuntime\":\"runc\",\"Runtimes\":{"
		"\"runc\":{},\"runsc\":{},\"io.containerd.runc.v2\":{},\"a "
		"b\":{}},\"SecurityOptions\":["
		"\"name=apparmor\",\"name=seccomp,profile=builtin\",\"name=userns\",7],"
		"\"Warnings\":[\"WARNING: No swap limit support\",null,"
		"\"WARNING: No kernel memory limit support\"]}");
	_cleanup_json_ json_t *bare = parse("{\"SecurityOptions\":[\"name=seccomp,profile="
					    "unconfined\"],\"Runtimes\":[],\"NCPU\":\"x\"}");

	engine_info_parse(full, &info);
	ck_assert_str_eq(info.version, "27.1");
	ck_assert_int_eq(info.cgroup_version, 2);
	ck_assert(info.memory_limit && info.pids_limit && info.cpu_limit && !info.swap_limit);
	ck_assert(info.seccomp && info.apparmor && info.userns);
	ck_assert_int_eq(info.cpus, 8);
	ck_assert(engine_info_has_runtime(&info, "runsc"));
	ck_assert(engine_info_has_runtime(&info, "runc"));
	ck_assert(!engine_info_has_runtime(&info, "run"));
	ck_assert(!engine_info_has_runtime(&info, "a") && !engine_info_has_runtime(&info, "b"));
	ck_assert(!engine_info_has_runtime(&info, ""));

	engine_info_apply_warnings(&info, "Your kernel does not support pids limit capabilities "
					  "or the cgroup is not mounted. PIDs limit discarded.");
	ck_assert(info.memory_limit && info.cpu_limit && !info.pids_limit);
	engine_info_apply_warnings(&info, "Your kernel does not support memory limit capabilities "
					  "or the cgroup is not mounted. Limitation discarded.");
	ck_assert(!info.memory_limit);

	engine_info_parse(bare, &info);
	ck_assert(!info.seccomp && !info.memory_limit && info.cgroup_version == 0);
	ck_assert_str_eq(info.runtimes, "");
}
END_TEST

/* As Docker tells them of a container with a group of its own, and of one whose runtime ignores
 * groups: then the machine's. */
START_TEST(test_group)
{
	_cleanup_json_ json_t *own =
		json_pack("{s:{s:i, s:i}, s:{s:I}}", "pids_stats", "current", 1, "limit", 99,
			  "memory_stats", "limit", (json_int_t)314572800);
	_cleanup_json_ json_t *none = json_pack("{s:{}, s:{s:I}}", "pids_stats", "memory_stats",
						"limit", (json_int_t)25276502016);
	_cleanup_json_ json_t *bad =
		json_pack("{s:s, s:{s:i}}", "pids_stats", "many", "memory_stats", "limit", -1);
	struct engine_group group;

	engine_group_parse(own, &group);
	ck_assert(group.own && group.pids == 99 && group.memory == 314572800);
	engine_group_parse(none, &group);
	ck_assert(!group.own && group.pids == 0);
	engine_group_parse(bad, &group);
	ck_assert(!group.own && group.pids == 0 && group.memory == 0);
}
END_TEST

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define NAME "celeriac-run-0123456789abcdef"

START_TEST(test_names)
{
	static const char *const theirs[] = {"",
					     "one",
					     "celeriac-",
					     "celeriac-worker-1",
					     "celeriac-0123456789abcde",
					     "celeriac-run-0123456789abcdeg",
					     "x-celeriac-run-0123456789abcdef",
					     "celeriac0123456789abcdef"};
	static const char *const ours[] = {NAME, "celeriac-0123456789abcdef0123456789abcdef.x",
					   "celeriac-agent-0123456789abcdef-helper"};
	_cleanup_json_ json_t *labels = parse("{\"celeriac.instance\":\"test\"}");
	char name[ENGINE_NAME_SIZE], other[ENGINE_NAME_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
		ck_assert_msg(!engine_is_ours("test", theirs[i], labels), "%s", theirs[i]);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		ck_assert_msg(engine_is_ours("test", ours[i], labels), "%s", ours[i]);
		ck_assert(!engine_is_ours("tes", ours[i], labels));
		ck_assert(!engine_is_ours("test", ours[i], NULL));
	}
	engine_new_name("mcp", name);
	ck_assert_int_eq(strncmp(name, "celeriac-mcp-", 13), 0);
	ck_assert(engine_is_ours("test", name, labels));
	engine_new_name("a role/of others", name);
	engine_new_name(NULL, other);
	ck_assert(engine_is_ours("test", name, labels) && engine_is_ours("test", other, labels));
	ck_assert_str_ne(name, other);
}
END_TEST

START_TEST(test_list)
{
	struct engine_container *all = NULL;
	size_t count = 9;
	_cleanup_json_ json_t *rows =
		parse("[{\"Id\":\"" ID "\",\"Names\":[\"/" NAME "\"],\"ImageID\":\"sha256:" ID
		      "\",\"State\":\"running\",\"Created\":1700000000,\"Labels\":{"
		      "\"celeriac.instance\":\"test\",\"celeriac.role\":\"sandbox\"}},"
		      "{\"Id\":\"" ID "\",\"Names\":[\"/" NAME "\"],\"Labels\":{"
		      "\"celeriac.instance\":\"test2\"}},"
		      /* an image can have the label, but gives no name */
		      "{\"Id\":\"" ID "\",\"Names\":[\"/celeriac-web-1\"],\"Labels\":{"
		      "\"celeriac.instance\":\"test\"}},"
		      "{\"Id\":\"" ID "\",\"Labels\":{\"celeriac.instance\":7}},"
		      "{\"Id\":\"" ID "\",\"Labels\":null},{\"Id\":\"" ID "\"},7,null]");
	_cleanup_json_ json_t *bad = parse("[{\"Id\":\"../x\",\"Labels\":{"
					   "\"celeriac.instance\":\"test\"}}]");
	_cleanup_json_ json_t *object = parse("{}");

	ck_assert_int_eq(engine_parse_list(rows, "test", &all, &count, &g_err), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(all[0].id, ID);
	ck_assert_str_eq(all[0].name, NAME);
	ck_assert_str_eq(all[0].role, "sandbox");
	ck_assert_str_eq(all[0].owner, "");
	ck_assert(all[0].running);
	ck_assert_int_eq(all[0].created, 1700000000 * USEC_PER_SEC);
	free(all);
	ck_assert_int_eq(engine_parse_list(bad, "test", &all, &count, &g_err), -ERR_PROTOCOL);
	ck_assert_int_eq(engine_parse_list(object, "test", &all, &count, &g_err), -ERR_PROTOCOL);
}
END_TEST

START_TEST(test_notices)
{
#define EVENT(action, id, instance, name)                                                          \
	"{\"Type\":\"container\",\"Action\":\"" action "\",\"Actor\":{\"ID\":\"" id                \
	"\",\"Attributes\":{\"celeriac.instance\":\"" instance "\",\"name\":\"" name               \
	"\",\"celeriac.role\":\"conversation\",\"celeriac.conversation\":\"c\"}},\"time\":1}"
	static const char *const nothing[] = {
		"",
		"{",
		"7",
		"{}",
		"{\"Action\":\"die\",\"Actor\":7}",
		EVENT("start", ID, "test", NAME),
		EVENT("die", "../x", "test", NAME),
		EVENT("die", ID, "test2", NAME),
		EVENT("die", ID, "test", "web-1"),
	};
	static const char *const told[] = {EVENT("die", ID, "test", NAME),
					   EVENT("destroy", ID, "test", NAME),
					   EVENT("remove", ID, "test", NAME)};
	struct engine_notice n;

	for (size_t i = 0; i < ARRAY_LEN(nothing); i++)
		ck_assert_msg(!engine_parse_notice(nothing[i], strlen(nothing[i]), "test", &n),
			      "%s", nothing[i]);
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		ck_assert(engine_parse_notice(told[i], strlen(told[i]), "test", &n));
		ck_assert_str_eq(n.id, ID);
		ck_assert_str_eq(n.role, "conversation");
		ck_assert_str_eq(n.conversation, "c");
	}
}
END_TEST

START_TEST(test_inspect)
{
	struct engine_container c;
	_cleanup_json_ json_t *good = parse(
		"{\"Id\":\"" ID "\",\"Name\":\"/x\",\"Image\":\"sha256:" ID
		"\",\"Created\":\"2026-11-21T09:39:00.123456789Z\",\"State\":{\"Status\":"
		"\"exited\","
		"\"Running\":false,\"OOMKilled\":true,\"ExitCode\":137},\"Config\":{\"Labels\":{"
		"\"celeriac.role\":\"much-longer-than-any-role-of-ours\","
		"\"celeriac.task\":\"t1\"}}}");
	_cleanup_json_ json_t *bare = parse("{\"Id\":\"" ID "\"}");

	ck_assert_int_eq(engine_parse_inspect(good, &c, &g_err), 0);
	ck_assert(c.oom_killed && !c.running);
	ck_assert_int_eq(c.exit_code, 137);
	ck_assert_int_eq(c.created % USEC_PER_SEC, 123456);
	ck_assert_str_eq(c.task, "t1");
	ck_assert_str_eq(c.role, "");
	ck_assert_int_eq(engine_parse_inspect(bare, &c, &g_err), -ERR_PROTOCOL);
}
END_TEST

START_TEST(test_encode)
{
	struct buf b = BUF_INIT(200);

	engine_encode("reg:5000/a b@sha256:\303\274?&%", "/", &b);
	ck_assert_str_eq(b.data, "reg%3A5000/a%20b%40sha256%3A%C3%BC%3F%26%25");
	buf_done(&b);
}
END_TEST

START_TEST(test_tar)
{
	static const size_t sizes[] = {0, 1, 511, 512, 513, 5000};
	static char data[5000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 31);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct buf b = BUF_INIT(1 << 20);
		size_t n = sizes[i];
		docker_tar_write("agent", 0555, data, n, &b);
		ck_assert_uint_eq(b.len % 512, 0);
		ck_assert_uint_eq(b.len, 512 + (n + 511) / 512 * 512 + 1024);
		ck_assert(docker_tar_holds(b.data, b.len, "agent", 0555, data, n));
		ck_assert(docker_tar_holds(b.data, 512 + n, "agent", 0555, data, n));
		ck_assert(!docker_tar_holds(b.data, b.len, "agen", 0555, data, n));
		ck_assert(!docker_tar_holds(b.data, b.len, "agent", 0777, data, n));
		ck_assert(!docker_tar_holds(b.data, b.len, "agent", 0555, data, n + 1));
		ck_assert(!docker_tar_holds(b.data, 511 + n, "agent", 0555, data, n));
		for (size_t cut = 0; cut < 512 + n; cut += 13)
			ck_assert(!docker_tar_holds(b.data, cut, "agent", 0555, data, n));
		/* up to its own checksum, of which the last byte means nothing */
		for (size_t at = 0; at < 148; at += 7) {
			b.data[at] ^= 1;
			ck_assert(!docker_tar_holds(b.data, b.len, "agent", 0555, data, n));
			b.data[at] ^= 1;
		}
		if (n > 0) {
			b.data[512 + n - 1] ^= 1;
			ck_assert(!docker_tar_holds(b.data, b.len, "agent", 0555, data, n));
		}
		buf_done(&b);
	}
}
END_TEST

/* Extended headers of an engine before the file: up to two, each with what it says it has. */
START_TEST(test_tar_with_extensions)
{
	struct buf file = BUF_INIT(1 << 16), extension = BUF_INIT(1 << 16), dir = BUF_INIT(1 << 16);

	docker_tar_write("agent", 0555, "code", 4, &file);
	docker_tar_write("pax", 0644, "20 x=y", 6, &extension);
	extension.data[156] = 'x'; /* the type; the sum of the header knows it */
	for (size_t i = 0; i < 8; i++)
		extension.data[148 + i] = ' ';
	unsigned sum = 0;
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)extension.data[i];
	snprintf(extension.data + 148, 8, "%06o", sum);
	extension.data[155] = ' ';
	for (size_t count = 0; count <= 3; count++) {
		struct buf all = BUF_INIT(1 << 16);

		for (size_t i = 0; i < count; i++)
			buf_append(&all, extension.data, 1024);
		buf_append(&all, file.data, file.len);
		ck_assert(docker_tar_holds(all.data, all.len, "agent", 0555, "code", 4) ==
			  (count < 3));
		buf_done(&all);
	}
	/* its own end is missing */
	ck_assert(!docker_tar_holds(extension.data, 512 + 6, "agent", 0555, "code", 4));
	/* a directory is no file */
	docker_tar_write_directory("agent", 0755, 1000, &dir);
	ck_assert_int_eq(dir.data[156], '5');
	ck_assert_str_eq(dir.data + 108, "0001750");
	ck_assert(!docker_tar_holds(dir.data, dir.len, "agent", 0755, "", 0));
	buf_done(&file);
	buf_done(&extension);
	buf_done(&dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine");
	TCase *t = tcase_create("engine");

	tcase_add_loop_test(t, test_hosts, 0, ARRAY_LEN(hosts));
	tcase_add_test(t, test_plain_tcp);
	tcase_add_test(t, test_configs);
	tcase_add_test(t, test_versions);
	tcase_add_test(t, test_errors);
	tcase_add_test(t, test_info);
	tcase_add_test(t, test_group);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_list);
	tcase_add_test(t, test_notices);
	tcase_add_test(t, test_inspect);
	tcase_add_test(t, test_encode);
	tcase_add_test(t, test_tar);
	tcase_add_test(t, test_tar_with_extensions);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
