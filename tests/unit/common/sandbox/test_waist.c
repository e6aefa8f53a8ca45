/* What a worker and an engine role say to one another survives the way, and nothing else does. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "common/sandbox/waist.h"
#include "mem.h"
#include "tests/unit/suite.h"

static const char *const some_argv[] = {"/celeriac/agent", "-x", NULL};
static const char *const some_env[] = {"A=1", "B=ü", NULL};
static const char *const some_volumes[] = {"/data", NULL};
static const struct engine_tmpfs some_tmpfs[] = {
	{.path = "/sandbox", .size = 1 << 20, .inodes = 100, .mode = 0711, .exec = true},
	{.path = "/tmp", .size = 1 << 20}};
static const struct engine_label some_labels[] = {{"role", "sandbox"}, {"conversation", "c-1"}};

static struct engine_spec whole_spec(struct engine_mount *mount)
{
	*mount = (struct engine_mount){.path = (char *)(uintptr_t) "/srv/data", .writable = true};
	return (struct engine_spec){.image = "img:1",
				    .argv = some_argv,
				    .env = some_env,
				    .working_dir = "/sandbox",
				    .stdin_once = true,
				    .uid = 10001,
				    .gid = 10002,
				    .runtime = "runsc",
				    .network = "net",
				    .memory = 1 << 30,
				    .cpus = 1.5,
				    .pids = 70,
				    .nofile = 2000,
				    .file_size = 1 << 20,
				    .shm_size = 1 << 16,
				    .tmpfs = some_tmpfs,
				    .tmpfs_count = 2,
				    .agent_volume = "celeriac-agent-0123",
				    .package_volume = "celeriac-package-0123",
				    .package_fill = true,
				    .image_volumes = some_volumes,
				    .mounts = mount,
				    .mount_count = 1,
				    .labels = some_labels,
				    .label_count = 2};
}

static char *body_of(const struct engine_spec *spec)
{
	struct err err = {0};
	char *body = NULL;

	ck_assert_msg(engine_spec_body(spec, "i", 0, &body, &err) == 0, "%s", err.msg);
	return body;
}

START_TEST(test_spec)
{
	static const struct engine_spec least = {.image = "img:1", .argv = some_argv};
	struct engine_mount mount;
	const struct engine_spec specs[] = {whole_spec(&mount), least};

	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		_cleanup_json_ json_t *json = waist_spec_write(&specs[i]);
		_cleanup_(waist_spec_done) struct waist_spec back = {0};
		struct err err = {0};

		ck_assert_msg(waist_spec_read(json, &back, &err) == 0, "%s", err.msg);
		_cleanup_free_ char *sent = body_of(&specs[i]), *made = body_of(&back.spec);
		ck_assert_str_eq(sent, made);
	}
}
END_TEST

static const char *const bad_specs[] = {
	"[]",
	"{\"image\": 1}",
	"{\"argv\": [1]}",
	"{\"argv\": \"sh\"}",
	"{\"memory\": 1.5}",
	"{\"uid\": -1}",
	"{\"uid\": 4294967296}",
	"{\"stdin_once\": 1}",
	"{\"Privileged\": true}",
	"{\"tmpfs\": {}}",
	"{\"tmpfs\": [{\"size\": 1}]}",
	"{\"tmpfs\": [{\"path\": \"/x\", \"more\": 1}]}",
	"{\"mounts\": [{\"writable\": true}]}",
	"{\"mounts\": [1]}",
	"{\"labels\": [{\"name\": \"role\"}]}",
};

START_TEST(test_bad_specs)
{
	_cleanup_json_ json_t *json = json_loads(bad_specs[_i], 0, NULL);
	struct waist_spec back = {0};
	struct err err = {0};

	ck_assert_ptr_nonnull(json);
	ck_assert_int_eq(waist_spec_read(json, &back, &err), -ERR_INVALID);
	ck_assert_ptr_null(back.spec.argv);
}
END_TEST

START_TEST(test_answers)
{
	struct engine_container c = {.id = "0123456789abcdef",
				     .name = "celeriac-x",
				     .running = true,
				     .exit_code = -3,
				     .created = 5,
				     .deadline = 7,
				     .task = "t"},
				back = {0};
	struct engine_info info = {.version = "1",
				   .cgroup_version = 2,
				   .pids_limit = true,
				   .memory_total = 1LL << 40,
				   .traits = 5,
				   .runtimes = "runc runsc"},
			   info_back = {0};
	struct err err = {0}, error = {0}, error_back = {0};
	_cleanup_json_ json_t *one = waist_container_write(&c), *two = waist_info_write(&info);

	ck_assert_int_eq(waist_container_read(one, &back, &err), 0);
	ck_assert_mem_eq(&back, &c, sizeof(c));
	ck_assert_int_eq(waist_info_read(two, &info_back, &err), 0);
	ck_assert_mem_eq(&info_back, &info, sizeof(info));
	json_object_set_new(one, "status", json_string("longer than sixteen bytes"));
	ck_assert_int_eq(waist_container_read(one, &back, &err), -ERR_PROTOCOL);
	for (int code = 1; code < ERR_CODE_COUNT; code++) {
		err_set(&error, (enum err_code)code, "what it says");
		_cleanup_json_ json_t *said = waist_error_write(&error);

		ck_assert_int_eq(waist_error_read(said, &error_back), -code);
		ck_assert_str_eq(error_back.msg, "what it says");
		ck_assert_int_eq(err_is_transient(&error_back), err_is_transient(&error));
	}
	_cleanup_json_ json_t *odd = json_pack("{s:s}", "error", "no such word");
	ck_assert_int_eq(waist_error_read(odd, &err), -ERR_PROTOCOL);
}
END_TEST

START_TEST(test_frames)
{
	_cleanup_json_ json_t *sent = json_pack("{s:s, s:i}", "op", "ping", "version", 1),
			      *got = NULL;
	struct waist_request q;
	struct err err = {0};
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(waist_send(ends[0], sent, 10, clock_deadline(USEC_PER_SEC), &err),
			 -ERR_TOOBIG);
	ck_assert(!waist_is_over(ends[1]));
	ck_assert_int_eq(waist_send(ends[0], sent, 100, clock_deadline(USEC_PER_SEC), &err), 0);
	ck_assert_int_eq(waist_receive(ends[1], 100, clock_deadline(USEC_PER_SEC), &got, &err), 0);
	ck_assert_int_eq(waist_request_read(got, &q, &err), 0);
	ck_assert_str_eq(q.op, "ping");
	ck_assert_int_eq(q.version, 1);
	json_decref(TAKE(got));
	/* half a head, and nothing more */
	ck_assert_int_eq(write(ends[0], "\0\0", 2), 2);
	ck_assert_int_eq(waist_receive(ends[1], 100, clock_mono(), &got, &err), -ERR_TIMEOUT);
	/* the rest of a head that says 101 bytes */
	ck_assert_int_eq(write(ends[0], "\0\0\0\x65", 4), 4);
	ck_assert_int_eq(waist_receive(ends[1], 100, clock_deadline(USEC_PER_SEC), &got, &err),
			 -ERR_TOOBIG);
	close(ends[0]);
	ck_assert(waist_is_over(ends[1]));
	ck_assert_int_eq(waist_receive(ends[1], 100, clock_deadline(USEC_PER_SEC), &got, &err),
			 -ERR_CLOSED);
	close(ends[1]);
}
END_TEST

START_TEST(test_paths)
{
	static const char *const bad[] = {"", "/run/x", "unix:", "unix:x", "tcp://h:1", "unix:./x"};
	struct err err = {0};
	char *path = NULL;

	ck_assert_int_eq(waist_path("unix:/run/x.sock", &path, &err), 0);
	ck_assert_str_eq(path, "/run/x.sock");
	free(path);
	ck_assert_int_eq(waist_path("unix:///run/x.sock", &path, &err), 0);
	ck_assert_str_eq(path, "/run/x.sock");
	free(path);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(waist_path(bad[i], &path, &err), -ERR_INVALID);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("waist");

	tcase_add_test(t, test_spec);
	tcase_add_loop_test(t, test_bad_specs, 0, ARRAY_LEN(bad_specs));
	tcase_add_test(t, test_answers);
	tcase_add_test(t, test_frames);
	tcase_add_test(t, test_paths);
	return suite_run("waist", t);
}
