/* What a container has of the host's disk: directories that are named, nothing an image wants. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/engine_internal.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

static const char *const true_argv[] = {"/bin/true", NULL};
static const struct engine_spec zero_spec = {.image = "img:1", .argv = true_argv};

/* "HostConfig"."Mounts" of its body; given. */
static json_t *mounts_of(const struct engine_spec *spec)
{
	_cleanup_free_ char *body = NULL;
	_cleanup_json_ json_t *json = NULL;
	struct err err = {0};

	ck_assert_msg(engine_spec_body(spec, "i", 0, &body, &err) == 0, "%s", err.msg);
	json = json_loads(body, 0, NULL);
	return json_incref(json_member(json_member(json, "HostConfig"), "Mounts"));
}

/* It is, and the message names `field`. */
static void refused(const struct engine_spec *spec, const char *field)
{
	struct err err = {0};
	char *body = NULL;

	ck_assert_int_eq(engine_spec_body(spec, "i", 0, &body, &err), -ERR_INVALID);
	ck_assert_ptr_null(body);
	ck_assert_msg(strstr(err.msg, field) != NULL, "'%s' does not name %s", err.msg, field);
}

static struct engine_mount mount_of(const char *path, bool writable)
{
	return (struct engine_mount){.path = (char *)(uintptr_t)path, .writable = writable};
}

START_TEST(test_body)
{
	static const char golden[] =
		"[{\"Type\":\"bind\",\"Source\":\"/srv/a\",\"Target\":\"/srv/a\",\"ReadOnly\":true,"
		"\"BindOptions\":{\"Propagation\":\"rprivate\",\"NonRecursive\":true}},"
		"{\"Type\":\"bind\",\"Source\":\"/srv/b\",\"Target\":\"/srv/b\",\"ReadOnly\":false,"
		"\"BindOptions\":{\"Propagation\":\"rprivate\",\"NonRecursive\":true}}]";
	const struct engine_mount mounts[] = {mount_of("/srv/a", false), mount_of("/srv/b", true)};
	struct engine_spec spec = zero_spec;

	spec.mounts = mounts;
	spec.mount_count = 2;
	_cleanup_json_ json_t *list = mounts_of(&spec);
	_cleanup_free_ char *got = json_dumps(list, JSON_COMPACT);
	ck_assert_str_eq(got, golden);
}
END_TEST

/* Whatever is listed. */
static const char *const never[] = {"/",
				    "/proc",
				    "/proc/1",
				    "/sys",
				    "/dev/shm",
				    "/etc",
				    "/etc/ssl",
				    "/run",
				    "/run/docker",
				    "/var/run/docker.sock",
				    "/var",
				    "/var/lib",
				    "/root",
				    "/usr/share",
				    "/var/lib/docker/volumes",
				    "/lib64",
				    "/srv/x.sock",
				    "/tmp",
				    "/tmp/x",
				    "/sandbox/output",
				    "/plugin",
				    "/celeriac",
				    "/celeriac/a",
				    "/srv/../etc",
				    "srv",
				    "/srv//x",
				    "/srv/",
				    "/srv/a:ro",
				    "/srv/a\nb",
				    "/srv/a,b",
				    "/srv/\x01",
				    "/boot",
				    "/bin/sh",
				    ""};

START_TEST(test_never)
{
	struct engine_mount one = {0};
	struct engine_spec spec = zero_spec;
	const char *path = never[_i];

	one.path = (char *)(uintptr_t)path;
	spec.mounts = &one;
	spec.mount_count = 1;
	ck_assert_msg(engine_mount_refusal(path) != NULL, "%s", path);
	refused(&spec, "mounts");
}
END_TEST

/* Beside what else, and how many. */
START_TEST(test_beside)
{
	static const char *const same[] = {"/srv/a", "/data", NULL};
	static const char *const inside[] = {"/srv/a/x", NULL};
	struct engine_mount mounts[] = {mount_of("/srv/a", false), mount_of("/srv/b", true)};
	struct engine_mount nothing = {0};
	struct engine_spec spec = zero_spec;

	spec.mounts = mounts;
	spec.mount_count = 2;
	spec.image_volumes = same; /* what the image wants there is there */
	json_decref(mounts_of(&spec));
	spec.image_volumes = inside;
	refused(&spec, "mounts");
	spec.image_volumes = NULL;
	mounts[1] = mount_of("/srv/a/b", true);
	refused(&spec, "mounts");
	spec.mount_count = ENGINE_MOUNTS + 1;
	refused(&spec, "mounts");
	spec.mounts = &nothing;
	spec.mount_count = 1;
	refused(&spec, "mounts");
	/* a writable place of ours is in it, or around it */
	const struct engine_tmpfs inner = {.path = "/srv/a/tmp", .size = 1 << 20},
				  outer = {.path = "/srv", .size = 1 << 20};
	spec.mounts = mounts;
	spec.tmpfs = &inner;
	spec.tmpfs_count = 1;
	refused(&spec, "mounts");
	spec.tmpfs = &outer;
	refused(&spec, "mounts");
}
END_TEST

/* Where the image wants a writable place on the host's disk it gets an empty, read-only one. */
START_TEST(test_image_volumes)
{
	static const char *const fine[] = {"/data", "/sandbox", "/tmp", "/usr/local/lib", NULL};
	static const char *const bad[] = {
		"/sandbox/output", "/proc",	  "/sys/x", "/",     "data",
		"/a/../b",	   "/celeriac/x", "/a:ro",  "/a\377"};
	const struct engine_tmpfs tmpfs[] = {{.path = "/sandbox", .size = 1 << 20},
					     {.path = "/tmp", .size = 1 << 20}};
	struct engine_spec spec = zero_spec;

	spec.tmpfs = tmpfs;
	spec.tmpfs_count = ARRAY_LEN(tmpfs);
	spec.image_volumes = fine;
	_cleanup_json_ json_t *mounts = mounts_of(&spec);
	ck_assert_uint_eq(json_array_size(mounts), 2);
	for (size_t i = 0; i < 2; i++) {
		const json_t *m = json_array_get(mounts, i);

		ck_assert_str_eq(json_member_str(m, "Type"), "tmpfs");
		ck_assert_str_eq(json_member_str(m, "Target"), i ? "/usr/local/lib" : "/data");
		ck_assert(json_is_true(json_member(m, "ReadOnly")));
		ck_assert_int_eq(json_integer_value(
					 json_member(json_member(m, "TmpfsOptions"), "SizeBytes")),
				 4096);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *one[] = {bad[i], NULL};

		spec.image_volumes = one;
		refused(&spec, "VOLUME");
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("mount");

	tcase_add_test(t, test_body);
	tcase_add_loop_test(t, test_never, 0, ARRAY_LEN(never));
	tcase_add_test(t, test_beside);
	tcase_add_test(t, test_image_volumes);
	return suite_run("engine_mount", t);
}
