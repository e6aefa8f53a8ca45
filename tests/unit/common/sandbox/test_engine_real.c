/* The engine client against a real engine (DOCKER_HOST, else the usual socket). */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "common/sandbox/docker_tar.h"
#include "common/sandbox/engine_internal.h"
#include "tests/unit/engine_fixture.h"

static struct engine_fixture g_fixture;
static struct engine *g_engine;
static char g_other[80]; /* an instance that is not ours */
static struct err g_err;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, g_err.msg)
#define FAILS(code, call)                                                                          \
	do {                                                                                       \
		int rc_ = (call);                                                                  \
		ck_assert_msg(rc_ == -(code), "%s: %d %s", #call, rc_, rc_ ? g_err.msg : "");      \
	} while (0)

static void start(void)
{
	engine_fixture_start(&g_fixture);
	snprintf(g_other, sizeof(g_other), "%s-other", g_fixture.instance);
}
static void stop(void)
{
	engine_fixture_stop(&g_fixture);
}
static void open_engine(void)
{
	g_engine = engine_fixture_open(g_fixture.instance);
}
static void close_engine(void)
{
	engine_close(g_engine);
	engine_fixture_clear(g_fixture.instance);
	engine_fixture_clear(g_other);
}

static const char *const echo_argv[] = {"/probe", "echo", NULL};

static struct engine_spec spec_for(const char *const *argv)
{
	return (struct engine_spec){.image = g_fixture.image, .argv = argv};
}

/* Reads until `channel` gave `len` bytes in all or the stream ends; the bytes seen. */
static size_t read_channel(struct engine_stream *s, enum engine_channel channel, char *out,
			   size_t len)
{
	usec_t deadline = clock_deadline(20 * USEC_PER_SEC);
	size_t have = 0;

	while (have < len) {
		enum engine_channel from;
		const void *piece;
		size_t n;
		int rc = engine_stream_read(s, deadline, &from, &piece, &n, &g_err);
		ck_assert_msg(rc >= 0, "%s", g_err.msg);
		if (rc == 0)
			break;
		if (from != channel)
			continue;
		if (out) {
			ck_assert_uint_le(n, len - have);
			memcpy(out + have, piece, n);
		}
		have += n;
	}
	return have;
}

START_TEST(test_probe)
{
	struct engine_info info;

	OK(engine_probe(g_engine, &info, &g_err));
	ck_assert(strncmp(info.api_version, "1.", 2) == 0);
	ck_assert_int_ge(atoi(info.api_version + 2), ENGINE_API_MIN);
	ck_assert_int_le(atoi(info.api_version + 2), ENGINE_API_MAX);
	ck_assert_str_ne(info.version, "");
	ck_assert_str_ne(info.driver, "");
	ck_assert(info.cgroup_version == 1 || info.cgroup_version == 2);
	ck_assert_int_gt(info.memory_total, 0);
	ck_assert_int_gt(info.cpus, 0);
	ck_assert(engine_info_has_runtime(&info, info.default_runtime));
	ck_assert(!engine_info_has_runtime(&info, "no-such-runtime"));
}
END_TEST

START_TEST(test_image)
{
	char id[ENGINE_ID_SIZE];

	OK(engine_image_id(g_engine, g_fixture.image, id, &g_err));
	ck_assert_int_eq(strncmp(id, "sha256:", 7), 0);
	ck_assert_uint_eq(strlen(id), 71);
	OK(engine_image_id(g_engine, id, id, &g_err));
	FAILS(ERR_NOTFOUND, engine_image_id(g_engine, "celeriac-no/such:image", id, &g_err));
	FAILS(ERR_INVALID, engine_image_id(g_engine, "a/../../info", id, &g_err));

	struct engine_spec spec = spec_for(echo_argv);
	spec.image = "celeriac-no/such:image";
	FAILS(ERR_NOTFOUND, engine_create(g_engine, &spec, id, NULL, &g_err));
}
END_TEST

/* Each channel is to say `text`. */
static void read_both(struct engine_stream *s, const char *text)
{
	usec_t deadline = clock_deadline(20 * USEC_PER_SEC);
	char said[2][16] = {"", ""};
	size_t have[2] = {0, 0}, len = strlen(text);

	while (have[0] < len || have[1] < len) {
		enum engine_channel from;
		const void *piece;
		size_t n;
		int rc = engine_stream_read(s, deadline, &from, &piece, &n, &g_err);
		int i = from == ENGINE_STDERR;

		ck_assert_msg(rc == 1, "%s", rc < 0 ? g_err.msg : "the stream has ended");
		ck_assert_uint_le(n, len - have[i]);
		memcpy(said[i] + have[i], piece, n);
		have[i] += n;
	}
	ck_assert_str_eq(said[0], text);
	ck_assert_str_eq(said[1], text);
}

START_TEST(test_life)
{
	static const struct engine_label labels[] = {
		{"role", "sandbox"}, {"owner", "node@7"}, {"conversation", "c \"1\" \303\274"}};
	struct engine_spec spec = spec_for(echo_argv);
	struct engine_container c;
	struct engine_stream *s = NULL;
	char id[ENGINE_ID_SIZE], *warnings = NULL;

	spec.labels = labels;
	spec.label_count = ARRAY_LEN(labels);
	OK(engine_create(g_engine, &spec, id, &warnings, &g_err));
	ck_assert_ptr_nonnull(warnings);
	OK(engine_inspect(g_engine, id, &c, &g_err));
	ck_assert_str_eq(c.id, id);
	ck_assert_str_eq(c.status, "created");
	ck_assert(!c.running);
	ck_assert_str_eq(c.role, "sandbox");
	ck_assert_str_eq(c.owner, "node@7");
	ck_assert_str_eq(c.conversation, "c \"1\" \303\274");
	ck_assert_str_eq(c.task, "");
	ck_assert_int_lt(llabs(clock_wall() - c.created), 60 * USEC_PER_SEC);

	OK(engine_attach(g_engine, id, &s, &g_err));
	OK(engine_start(g_engine, id, &g_err));
	OK(engine_start(g_engine, id, &g_err));
	OK(engine_inspect(g_engine, id, &c, &g_err));
	ck_assert(c.running);
	usec_t deadline = clock_deadline(10 * USEC_PER_SEC);
	OK(engine_stream_write(s, "hello", 5, deadline, &g_err));
	read_both(s, "hello");
	OK(engine_stream_write(s, "again", 5, deadline, &g_err));
	read_both(s, "again");

	enum engine_channel channel;
	const void *piece;
	size_t n;
	FAILS(ERR_TIMEOUT, engine_stream_read(s, clock_mono() + 300 * USEC_PER_MSEC, &channel,
					      &piece, &n, &g_err));

	OK(engine_kill(g_engine, id, &g_err));
	ck_assert_uint_eq(read_channel(s, ENGINE_STDOUT, NULL, 1000), 0);
	OK(engine_kill(g_engine, id, &g_err));
	engine_stream_close(s);
	OK(engine_inspect(g_engine, id, &c, &g_err));
	ck_assert_str_eq(c.status, "exited");
	ck_assert_int_eq(c.exit_code, 137);
	OK(engine_remove(g_engine, id, &g_err));
	FAILS(ERR_NOTFOUND, engine_inspect(g_engine, id, &c, &g_err));
	FAILS(ERR_NOTFOUND, engine_start(g_engine, id, &g_err));
	FAILS(ERR_NOTFOUND, engine_kill(g_engine, id, &g_err));
	FAILS(ERR_NOTFOUND, engine_attach(g_engine, id, &s, &g_err));
	OK(engine_remove(g_engine, id, &g_err));
	free(warnings);
}
END_TEST

/* Closing a stream does not stop the container, and a second one goes on where it was. */
START_TEST(test_reattach)
{
	struct engine_spec spec = spec_for(echo_argv);
	struct engine_container c;
	struct engine_stream *s = NULL;
	char id[ENGINE_ID_SIZE], text[8] = "";

	OK(engine_create(g_engine, &spec, id, NULL, &g_err));
	OK(engine_start(g_engine, id, &g_err));
	for (int i = 0; i < 3; i++) {
		OK(engine_attach(g_engine, id, &s, &g_err));
		OK(engine_stream_write(s, "abc", 3, clock_deadline(20 * USEC_PER_SEC), &g_err));
		ck_assert_uint_eq(read_channel(s, ENGINE_STDERR, text, 3), 3);
		ck_assert_str_eq(text, "abc");
		engine_stream_close(s);
	}
	OK(engine_attach(g_engine, id, &s, &g_err));
	OK(engine_stream_write(s, "q", 1, clock_deadline(20 * USEC_PER_SEC), &g_err));
	/* what stdout had to say to the stream before may still come */
	ck_assert_uint_ge(read_channel(s, ENGINE_STDOUT, NULL, 100), 1);
	engine_stream_close(s);
	OK(engine_inspect(g_engine, id, &c, &g_err));
	ck_assert_int_eq(c.exit_code, 7);
	OK(engine_remove(g_engine, id, &g_err));
}
END_TEST

START_TEST(test_flood)
{
	static const char *const argv[] = {"/probe", "flood", "32", NULL};
	struct engine_spec spec = spec_for(argv);
	struct engine_stream *s = NULL;
	char id[ENGINE_ID_SIZE];

	OK(engine_create(g_engine, &spec, id, NULL, &g_err));
	OK(engine_attach(g_engine, id, &s, &g_err));
	OK(engine_start(g_engine, id, &g_err));
	ck_assert_uint_eq(read_channel(s, ENGINE_STDOUT, NULL, SIZE_MAX), 32 << 20);
	engine_stream_close(s);
	OK(engine_remove(g_engine, id, &g_err));
}
END_TEST

START_TEST(test_refusals)
{
	static const char *const nothing[] = {"/no/such/command", NULL};
	struct engine_spec spec = spec_for(nothing);
	struct engine_container c;
	char id[ENGINE_ID_SIZE], other[ENGINE_ID_SIZE], name[80];

	spec.name = "celeriac-of-somebody";
	FAILS(ERR_INVALID, engine_create(g_engine, &spec, id, NULL, &g_err));
	engine_new_name("name", name);
	spec.name = name;
	OK(engine_create(g_engine, &spec, id, NULL, &g_err));
	OK(engine_inspect(g_engine, id, &c, &g_err));
	ck_assert_str_eq(c.name, name);
	FAILS(ERR_CONFLICT, engine_create(g_engine, &spec, other, NULL, &g_err));
	FAILS(ERR_FAILED, engine_start(g_engine, id, &g_err));
	ck_assert_ptr_nonnull(strstr(g_err.msg, "/no/such/command"));
	OK(engine_remove(g_engine, id, &g_err));

	FAILS(ERR_INVALID, engine_remove(g_engine, "", &g_err));
	FAILS(ERR_INVALID, engine_remove(g_engine, "../volumes/x", &g_err));
	FAILS(ERR_INVALID, engine_kill(g_engine, "0123456789ab?signal=TERM", &g_err));
	FAILS(ERR_INVALID, engine_inspect(g_engine, "0123456789AB", &c, &g_err));
}
END_TEST

START_TEST(test_strangers)
{
	struct engine_spec spec = spec_for(echo_argv);
	struct engine *other = engine_fixture_open(g_other);
	struct engine_container c, *all = NULL;
	char mine[ENGINE_ID_SIZE], theirs[ENGINE_ID_SIZE];
	size_t count = 0;

	OK(engine_create(g_engine, &spec, mine, NULL, &g_err));
	OK(engine_create(other, &spec, theirs, NULL, &g_err));
	OK(engine_list(g_engine, &all, &count, &g_err));
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(all[0].id, mine);
	ck_assert_str_eq(all[0].status, "created");
	free(all);
	FAILS(ERR_DENIED, engine_remove(g_engine, theirs, &g_err));
	OK(engine_inspect(g_engine, theirs, &c, &g_err));
	OK(engine_remove(other, theirs, &g_err));
	OK(engine_remove(g_engine, mine, &g_err));
	OK(engine_list(g_engine, &all, &count, &g_err));
	ck_assert_uint_eq(count, 0);
	free(all);
	engine_close(other);
}
END_TEST

/* What the body asks for, seen from inside. */
START_TEST(test_inside)
{
	static const char *const argv[] = {"/probe", "look", NULL};
	static const struct engine_tmpfs tmpfs[] = {{.path = "/tmp", .size = 1 << 20}};
	struct engine_spec spec = spec_for(argv);
	struct engine_stream *s = NULL;
	char id[ENGINE_ID_SIZE], volume[80], text[8192] = "";

	OK(engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe, g_fixture.probe_len,
				volume, &g_err));
	spec.tmpfs = tmpfs;
	spec.tmpfs_count = 1;
	spec.agent_volume = volume;
	OK(engine_create(g_engine, &spec, id, NULL, &g_err));
	OK(engine_attach(g_engine, id, &s, &g_err));
	OK(engine_start(g_engine, id, &g_err));
	read_channel(s, ENGINE_STDOUT, text, sizeof(text) - 1);
	engine_stream_close(s);
	OK(engine_remove(g_engine, id, &g_err));
	engine_fixture_drop_volume(volume);

	ck_assert_ptr_nonnull(strstr(text, "uid=10001 gid=10001\n"));
	ck_assert_ptr_nonnull(strstr(text, "root=0 agent=0 tmp=1\n"));
	ck_assert_ptr_nonnull(strstr(text, "CapEff:\t0000000000000000"));
	ck_assert_ptr_nonnull(strstr(text, "CapBnd:\t0000000000000000"));
	ck_assert_ptr_nonnull(strstr(text, "NoNewPrivs:\t1"));
	ck_assert_ptr_nonnull(strstr(text, "Seccomp:\t2"));
	ck_assert_ptr_nonnull(strstr(text, "lo:"));
	ck_assert_ptr_null(strstr(text, "eth0:"));
	ck_assert_ptr_nonnull(strstr(text, "Max core file size        0"));
	ck_assert_ptr_nonnull(strstr(text, "127.0.0.1\tlocalhost"));
	ck_assert_ptr_nonnull(strstr(text, "nameserver 127.0.0.1"));
	const char *first = strstr(text, "nameserver");
	ck_assert_ptr_null(strstr(first + 1, "nameserver"));
}
END_TEST

/* The volume's agent runs. */
static void run_agent(const char *volume)
{
	static const char *const argv[] = {"/celeriac/agent", "echo", NULL};
	struct engine_spec spec = spec_for(argv);
	struct engine_stream *s = NULL;
	char id[ENGINE_ID_SIZE], text[8] = "";

	spec.agent_volume = volume;
	OK(engine_create(g_engine, &spec, id, NULL, &g_err));
	OK(engine_attach(g_engine, id, &s, &g_err));
	OK(engine_start(g_engine, id, &g_err));
	OK(engine_stream_write(s, "q", 1, clock_deadline(10 * USEC_PER_SEC), &g_err));
	ck_assert_uint_eq(read_channel(s, ENGINE_STDOUT, text, 1), 1);
	engine_stream_close(s);
	OK(engine_remove(g_engine, id, &g_err));
}

struct deliverer {
	pthread_t thread;
	char volume[80];
	struct err err;
	int rc;
};

static void *deliver(void *arg)
{
	struct deliverer *d = arg;

	d->rc = engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe,
				     g_fixture.probe_len, d->volume, &d->err);
	return NULL;
}

START_TEST(test_deliver)
{
	struct deliverer all[4];
	struct engine_container *left = NULL;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		ck_assert_int_eq(pthread_create(&all[i].thread, NULL, deliver, &all[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		pthread_join(all[i].thread, NULL);
		ck_assert_msg(all[i].rc == 0, "%s", all[i].err.msg);
		ck_assert_str_eq(all[i].volume, all[0].volume);
	}
	ck_assert_int_eq(strncmp(all[0].volume, "celeriac-agent-", 15), 0);
	run_agent(all[0].volume);
	OK(engine_list(g_engine, &left, &count, &g_err));
	ck_assert_uint_eq(count, 0); /* no helper is left */
	free(left);
	engine_fixture_drop_volume(all[0].volume);
}
END_TEST

/* A volume that holds something else, or half of it, is put right. */
/* Of our instance, unused, old enough and not to be kept: all four. */
START_TEST(test_sweep)
{
	const char *const none[] = {NULL}, *const keep[] = {g_fixture.instance, NULL};
	const usec_t later = clock_wall() + 3600 * USEC_PER_SEC;
	struct engine *other = engine_fixture_open(g_other);
	const char *kept[] = {NULL, NULL};
	char volume[80], id[ENGINE_ID_SIZE];
	struct engine_spec spec = spec_for(echo_argv);
	int64_t n = 0;

	OK(engine_network_need(g_engine, g_fixture.instance, &g_err));
	OK(engine_sweep_networks(g_engine, none, clock_wall() - 3600 * USEC_PER_SEC, &n, &g_err));
	ck_assert_int_eq(n, 0);
	OK(engine_sweep_networks(g_engine, keep, later, &n, &g_err));
	ck_assert_int_eq(n, 0);
	OK(engine_sweep_networks(other, none, later, &n, &g_err));
	ck_assert_int_eq(n, 0);
	OK(engine_sweep_networks(g_engine, none, later, &n, &g_err));
	ck_assert_int_eq(n, 1);

	OK(engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe, g_fixture.probe_len,
				volume, &g_err));
	kept[0] = volume;
	spec.agent_volume = volume;
	OK(engine_create(g_engine, &spec, id, NULL, &g_err));
	OK(engine_sweep_volumes(g_engine, none, later, &n, &g_err));
	ck_assert_int_eq(n, 0); /* in use */
	OK(engine_remove(g_engine, id, &g_err));
	OK(engine_sweep_volumes(g_engine, kept, later, &n, &g_err));
	ck_assert_int_eq(n, 0);
	OK(engine_sweep_volumes(other, none, later, &n, &g_err));
	ck_assert_int_eq(n, 0);
	OK(engine_sweep_volumes(g_engine, none, later, &n, &g_err));
	ck_assert_int_eq(n, 1);
	engine_close(other);
}
END_TEST

START_TEST(test_deliver_repairs)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	_cleanup_free_ char *body = NULL;
	struct buf tar = BUF_INIT(16 << 20);
	char volume[80], id[ENGINE_ID_SIZE], path[160], name[ENGINE_NAME_SIZE];

	OK(engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe, g_fixture.probe_len,
				volume, &g_err));
	OK(engine_spec_helper_body(g_fixture.image, volume, g_fixture.instance, 0, &body, &g_err));
	engine_new_name("helper", name);
	OK(engine_create_body(g_engine, name, body, id, NULL, &g_err));
	docker_tar_write("agent", 0555, g_fixture.probe, g_fixture.probe_len / 2, &tar);
	snprintf(path, sizeof(path), "/containers/%s/archive?path=/celeriac", id);
	struct engine_request req = {.method = "PUT",
				     .path = path,
				     .content_type = "application/x-tar",
				     .body = tar.data,
				     .body_len = tar.len,
				     .limit = ENGINE_LIMIT_ARCHIVE};
	OK(engine_exchange(g_engine, &req, &response, &g_err));
	ck_assert_int_eq(response.status, 200);
	OK(engine_remove(g_engine, id, &g_err));
	OK(engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe, g_fixture.probe_len,
				volume, &g_err));
	run_agent(volume);
	engine_fixture_drop_volume(volume);
	buf_done(&tar);
}
END_TEST

/* Somebody else's container with the name of the lock is left alone and said. */
START_TEST(test_deliver_foreign_name)
{
	struct engine_spec spec = spec_for(echo_argv);
	char volume[80], again[80], name[96], id[ENGINE_ID_SIZE];

	OK(engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe, g_fixture.probe_len,
				volume, &g_err));
	snprintf(name, sizeof(name), "%s-helper", volume);
	spec.name = name;
	OK(engine_create(g_engine, &spec, id, NULL, &g_err));
	FAILS(ERR_CONFLICT, engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe,
						 g_fixture.probe_len, again, &g_err));
	OK(engine_remove(g_engine, id, &g_err));
	engine_fixture_drop_volume(volume);
}
END_TEST

/* A helper that somebody left behind when he died is in the way for a while only. */
START_TEST(test_deliver_stale_lock)
{
	_cleanup_free_ char *body = NULL;
	struct engine_container c;
	char volume[80], name[96], id[ENGINE_ID_SIZE];

	OK(engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe, g_fixture.probe_len,
				volume, &g_err));
	OK(engine_spec_helper_body(g_fixture.image, volume, g_other, 0, &body, &g_err));
	snprintf(name, sizeof(name), "%s-helper", volume);
	OK(engine_create_body(g_engine, name, body, id, NULL, &g_err));
	g_engine->stale = USEC_PER_SEC;
	usec_t before = clock_mono();
	OK(engine_deliver_agent(g_engine, g_fixture.image, g_fixture.probe, g_fixture.probe_len,
				volume, &g_err));
	ck_assert_int_ge(clock_mono() - before, USEC_PER_SEC);
	FAILS(ERR_NOTFOUND, engine_inspect(g_engine, id, &c, &g_err));
	engine_fixture_drop_volume(volume);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine_real");
	TCase *t = tcase_create("engine");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, start, stop);
	tcase_add_checked_fixture(t, open_engine, close_engine);
	tcase_add_test(t, test_probe);
	tcase_add_test(t, test_image);
	tcase_add_test(t, test_life);
	tcase_add_test(t, test_reattach);
	tcase_add_test(t, test_flood);
	tcase_add_test(t, test_refusals);
	tcase_add_test(t, test_strangers);
	tcase_add_test(t, test_inside);
	tcase_add_test(t, test_deliver);
	tcase_add_test(t, test_sweep);
	tcase_add_test(t, test_deliver_repairs);
	tcase_add_test(t, test_deliver_foreign_name);
	tcase_add_test(t, test_deliver_stale_lock);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
