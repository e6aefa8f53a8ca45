/* The table of settings: defaults, sources, names, and what is never shown. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "json.h"
#include "mem.h"
#include "settings.h"
#include "tests/unit/suite.h"

#define ENV(...) ((char *const *)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})
#define NO_ENV	 ENV(NULL)
#define SEC	 USEC_PER_SEC
#define MIB	 ((int64_t)1 << 20)

static struct settings load(char *const *env)
{
	struct settings s;
	struct err err;
	ck_assert_msg(settings_load(env, &s, &err) == 0, "%s", err.msg);
	return s;
}

static char *print(const struct settings *s)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	settings_print(s, f);
	fclose(f);
	return text;
}

/* The numbers of the design, written a second time on purpose. */
START_TEST(test_defaults)
{
	struct settings s = load(NO_ENV);
	char host[256] = "";
	gethostname(host, sizeof(host) - 1);
	char node[300];
	snprintf(node, sizeof(node), "celery@%s", host);

	ck_assert_str_eq(s.broker_url, "");
	ck_assert_str_eq(s.result_backend, "");
	ck_assert_str_eq(s.broker_transport_options, "");
	ck_assert_int_eq(s.result_expires, 86400 * SEC);
	ck_assert_str_eq(s.task_default_queue, "celery");
	ck_assert_uint_eq(s.worker_queues.count, 0);
	ck_assert_int_ge(s.worker_concurrency, 1);
	ck_assert_int_eq(s.worker_prefetch_multiplier, 4);
	ck_assert(!s.task_acks_late && !s.task_ignore_result && !s.task_track_started);
	ck_assert(!s.task_store_errors_even_if_ignored && !s.result_extended && s.enable_utc);
	ck_assert_uint_eq(s.accept_content.count, 1);
	ck_assert_str_eq(s.accept_content.items[0], "json");
	ck_assert_str_eq(s.worker_hostname, node);
	ck_assert_str_eq(s.timezone, "");
	ck_assert_int_eq(s.worker_grace_time, 30 * SEC);
	ck_assert_int_eq(s.beat_max_loop_interval, 300 * SEC);

	ck_assert_str_eq(s.database_url, "");
	ck_assert_int_eq(s.database_connections, 4);
	ck_assert_str_eq(s.docker_host, "unix:///var/run/docker.sock");
	ck_assert(!s.docker_tls_verify);
	ck_assert_str_eq(s.instance, "default");
	ck_assert_str_eq(s.node, host);
	ck_assert_str_eq(s.sandbox_image, "celeriac-sandbox:latest");
	ck_assert_str_eq(s.sandbox_runtime, "");
	ck_assert_str_eq(s.sandbox_network, "egress");
	ck_assert_uint_eq(s.sandbox_allow_unenforced.count, 0);
	ck_assert_int_eq(s.sandbox_memory, 512 * MIB);
	ck_assert_double_eq(s.sandbox_cpus, 1.0);
	ck_assert_int_eq(s.sandbox_pids, 256);
	ck_assert_int_eq(s.sandbox_work_size, 256 * MIB);
	ck_assert_int_eq(s.sandbox_max, 0);
	ck_assert_int_eq(s.sandbox_timeout, 30 * SEC);
	ck_assert_int_eq(s.sandbox_max_timeout, 300 * SEC);
	ck_assert_int_eq(s.sandbox_idle_timeout, 600 * SEC);
	ck_assert_int_eq(s.sandbox_adopt_grace, 120 * SEC);
	ck_assert_int_eq(s.sandbox_cleanup_interval, 300 * SEC);
	ck_assert_int_eq(s.sandbox_output_limit, MIB);
	ck_assert_int_eq(s.sandbox_files_max, 64);
	ck_assert_int_eq(s.sandbox_file_size, 32 * MIB);
	ck_assert_int_eq(s.sandbox_files_size, 64 * MIB);
	ck_assert_str_eq(s.media_dir, "");
	ck_assert_str_eq(s.metrics, "127.0.0.1:9808");
	ck_assert_str_eq(s.log_format, "celery");
	settings_done(&s);
	settings_done(&s);
}
END_TEST

START_TEST(test_environment)
{
	struct settings s = load(ENV("CELERY_TASK_ACKS_LATE=yes", "SANDBOX_MEMORY=1g",
				     "SANDBOX_TIMEOUT=1.5m", "CELERY_WORKER_QUEUES= a, b ,,c",
				     "SANDBOX_CPUS=0.5", "CELERY_RESULT_BACKEND=redis://h/1",
				     "CELERY_SOMETHING_NEW=1", "NOEQUALS"));
	ck_assert(s.task_acks_late);
	ck_assert_int_eq(s.sandbox_memory, 1024 * MIB);
	ck_assert_int_eq(s.sandbox_timeout, 90 * SEC);
	ck_assert_uint_eq(s.worker_queues.count, 3);
	ck_assert_str_eq(s.worker_queues.items[1], "b");
	ck_assert_double_eq(s.sandbox_cpus, 0.5);
	ck_assert_str_eq(s.result_backend, "redis://h/1");
	settings_done(&s);
}
END_TEST

START_TEST(test_alias_order)
{
	struct settings s = load(ENV("REDIS_URL=redis://c", "BROKER_URL=redis://b"));
	ck_assert_str_eq(s.broker_url, "redis://b");
	settings_done(&s);
	s = load(ENV("BROKER_URL=redis://b", "CELERY_BROKER_URL=redis://a",
		     "RESULT_BACKEND=redis://r"));
	ck_assert_str_eq(s.broker_url, "redis://a");
	ck_assert_str_eq(s.result_backend, "redis://r");
	settings_done(&s);
	s = load(ENV("REDIS_URL=redis://c", "CELERYD_CONCURRENCY=7"));
	ck_assert_str_eq(s.broker_url, "redis://c");
	ck_assert_int_eq(s.worker_concurrency, 7);
	settings_done(&s);
}
END_TEST

/* `FOO=` in a compose file: a text that is empty, a number that is not set. */
START_TEST(test_empty_values)
{
	struct settings s = load(ENV("SANDBOX_MEMORY=", "DOCKER_TLS_VERIFY=", "CELERIAC_METRICS=",
				     "CELERY_WORKER_CONCURRENCY=", "CELERYD_CONCURRENCY=3"));
	ck_assert_int_eq(s.sandbox_memory, 512 * MIB);
	ck_assert(!s.docker_tls_verify);
	ck_assert_str_eq(s.metrics, "");
	ck_assert_int_eq(s.worker_concurrency, 3);
	settings_done(&s);
}
END_TEST

static const struct {
	const char *env, *says; /* the start of the message */
} g_wrong[] = {
	{"SANDBOX_NETWORK=", "SANDBOX_NETWORK: must not be empty"},
	{"SANDBOX_IMAGE=", "SANDBOX_IMAGE: must not be empty"},
	{"CELERY_WORKER_CONCURRENCY=many",
	 "CELERY_WORKER_CONCURRENCY: \"many\" is not a whole number"},
	{"CELERYD_CONCURRENCY=1.5", "CELERYD_CONCURRENCY: \"1.5\" is not a whole number"},
	{"CELERY_WORKER_CONCURRENCY=-1",
	 "CELERY_WORKER_CONCURRENCY: \"-1\" is not between 0 and 4096"},
	{"CELERY_WORKER_CONCURRENCY=99999999999999999999", "CELERY_WORKER_CONCURRENCY: "},
	{"SANDBOX_PIDS=0", "SANDBOX_PIDS: \"0\" is not between 8 and 65536"},
	{"SANDBOX_MEMORY=1k", "SANDBOX_MEMORY: \"1k\" is not between 16MiB and 1TiB"},
	{"SANDBOX_MEMORY=512 apples", "SANDBOX_MEMORY: \"512 apples\" is not a size"},
	{"SANDBOX_TIMEOUT=soon", "SANDBOX_TIMEOUT: \"soon\" is not a duration"},
	{"SANDBOX_TIMEOUT=301", "SANDBOX_TIMEOUT is above SANDBOX_MAX_TIMEOUT"},
	{"SANDBOX_IDLE_TIMEOUT=-5", "SANDBOX_IDLE_TIMEOUT: \"-5\" is not a duration"},
	{"SANDBOX_CPUS=0", "SANDBOX_CPUS: \"0\" is not between 0.01 and 1024"},
	{"SANDBOX_CPUS=nan", "SANDBOX_CPUS: \"nan\" is not a number"},
	{"CELERY_TASK_ACKS_LATE=2", "CELERY_TASK_ACKS_LATE: \"2\" is not a boolean"},
	{"CELERY_BROKER_TRANSPORT_OPTIONS=[1]",
	 "CELERY_BROKER_TRANSPORT_OPTIONS: is not a JSON object"},
	{"BROKER_TRANSPORT_OPTIONS={", "BROKER_TRANSPORT_OPTIONS: JSON: "},
	{"CELERIAC_LOG_FORMAT=xml", "CELERIAC_LOG_FORMAT: \"xml\" is not one of celery|json"},
	{"CELERIAC_LOG_FORMAT=celery|json", "CELERIAC_LOG_FORMAT: "},
	{"CELERIAC_INSTANCE=a b", "CELERIAC_INSTANCE: \"a b\" is not a name"},
	{"CELERIAC_INSTANCE=", "CELERIAC_INSTANCE: is empty"},
	{"CELERIAC_NODE=a@b", "CELERIAC_NODE: \"a@b\" is not a name"},
	{"CELERY_WORKER_HOSTNAME=w@%x", "CELERY_WORKER_HOSTNAME: \"w@%x\" may have"},
	{"CELERY_WORKER_HOSTNAME=w@", "CELERY_WORKER_HOSTNAME: \"w@\" has no host"},
	{"DATABASE_URL=hunter2", "DATABASE_URL: is not a URL"},
	{"REDIS_URL=hunter2", "REDIS_URL: is not a URL"},
};

START_TEST(test_wrong)
{
	struct settings s = {.node = "untouched"};
	struct err err = {0};
	char *env = strdup(g_wrong[_i].env);
	ck_assert_int_eq(settings_load(ENV(env), &s, &err), -ERR_INVALID);
	ck_assert_msg(strncmp(err.msg, g_wrong[_i].says, strlen(g_wrong[_i].says)) == 0, "%s",
		      err.msg);
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
	ck_assert_str_eq(s.node, "untouched");
	free(env);
}
END_TEST

START_TEST(test_lowered_ceiling)
{
	struct settings s = load(ENV("SANDBOX_MAX_TIMEOUT=10"));
	ck_assert_int_eq(s.sandbox_timeout, 10 * SEC);
	settings_done(&s);
}
END_TEST

START_TEST(test_set_by_any_name)
{
	static const char *const names[] = {"worker_concurrency", "CELERY_WORKER_CONCURRENCY",
					    "celeryd_concurrency"};
	struct settings s = load(ENV("CELERY_WORKER_CONCURRENCY=2"));
	struct err err;
	ck_assert_int_eq(settings_set(&s, names[_i], "5", "-c", &err), 0);
	ck_assert_int_eq(s.worker_concurrency, 5);
	ck_assert_int_eq(settings_set(&s, names[_i], "x", "-c", &err), -ERR_INVALID);
	ck_assert_str_eq(err.msg, "CELERY_WORKER_CONCURRENCY (-c): \"x\" is not a whole number");
	ck_assert_int_eq(s.worker_concurrency, 5);
	ck_assert_int_eq(settings_set(&s, names[_i], "0", "-c", &err), 0);
	ck_assert_int_ge(s.worker_concurrency, 1);
	settings_done(&s);
}
END_TEST

/* A list of more than it may have leaves what was there. */
START_TEST(test_long_list)
{
	struct settings s = load(ENV("CELERIAC_CAGE_PATHS=/a:ro"));
	_cleanup_buf_ struct buf list = BUF_INIT(8192);
	struct err err;

	for (int i = 0; i < 257; i++)
		buf_append_str(&list, "/b:ro,");
	ck_assert_int_eq(settings_set(&s, "CELERIAC_CAGE_PATHS", list.data, "test", &err),
			 -ERR_INVALID);
	ck_assert_uint_eq(s.cage_paths.count, 1);
	ck_assert_str_eq(s.cage_paths.items[0], "/a:ro");
	settings_done(&s);
}
END_TEST

START_TEST(test_set_replaces)
{
	struct settings s = load(NO_ENV);
	struct err err;
	ck_assert_int_eq(settings_set(&s, "worker_queues", "a,b", "-Q", &err), 0);
	ck_assert_int_eq(settings_set(&s, "worker_queues", "c", "-Q", &err), 0);
	ck_assert_uint_eq(s.worker_queues.count, 1);
	ck_assert_str_eq(s.worker_queues.items[0], "c");
	ck_assert_int_eq(settings_set(&s, "broker_url", "redis://x", "-b", &err), 0);
	ck_assert_int_eq(settings_set(&s, "broker_url", "wrong", "-b", &err), -ERR_INVALID);
	ck_assert_str_eq(s.broker_url, "redis://x");
	ck_assert_int_eq(settings_set(&s, "no_such", "1", "-x", &err), -ERR_NOTFOUND);
	settings_done(&s);
}
END_TEST

START_TEST(test_print)
{
	struct settings s =
		load(ENV("CELERY_BROKER_URL=redis://u:hunter2@h/0", "SANDBOX_WORK_SIZE=1.5g",
			 "DATABASE_URL=postgresql://u:hunter2@a:1,b/d",
			 "CELERY_BROKER_TRANSPORT_OPTIONS={\"sentinel_kwargs\": {\"password\": "
			 "\"hunter2\"}}",
			 "SANDBOX_IMAGE=a\nSANDBOX_MAX = 9", "RESULT_BACKEND=redis://:hunter2@r",
			 "CELERY_WORKER_QUEUES=a, b"));
	struct err err;
	ck_assert_int_eq(settings_set(&s, "sandbox_timeout", "1500ms", "--limit", &err), 0);
	char *text = print(&s);
	ck_assert_ptr_null(strstr(text, "hunter2"));
	ck_assert_ptr_nonnull(strstr(text, "= redis://u:**@h/0 "));
	ck_assert_ptr_nonnull(strstr(text, "# RESULT_BACKEND; "));
	ck_assert_ptr_nonnull(strstr(text, "= 1536MiB "));
	ck_assert_ptr_nonnull(strstr(text, "= a,b "));
	ck_assert_ptr_nonnull(strstr(text, "= 1500ms "));
	ck_assert_ptr_nonnull(strstr(text, "# --limit; "));
	ck_assert_ptr_nonnull(strstr(text, "# default; "));
	ck_assert_ptr_nonnull(strstr(text, "= a?SANDBOX_MAX = 9"));
	free(text);
	settings_done(&s);
}
END_TEST

/* What remote control shows of them: CELERY_'s by Celery's names, each as what it is in Python; no
 * secret. */
START_TEST(test_conf)
{
	struct settings s = load(ENV("CELERY_WORKER_CONCURRENCY=3", "CELERY_WORKER_QUEUES=a, b",
				     "CELERY_TASK_ACKS_LATE=true", "CELERY_TASK_TIME_LIMIT=1500ms",
				     "CELERY_BROKER_URL=redis://u:hunter2@h/0", "SANDBOX_MAX=9"));
	_cleanup_json_ json_t *set = settings_conf(&s, false), *all = settings_conf(&s, true);
	_cleanup_free_ char *text = json_dumps(all, 0);

	ck_assert_ptr_null(strstr(text, "hunter2"));
	ck_assert_uint_gt(json_object_size(all), json_object_size(set));
	ck_assert_uint_eq(json_object_size(set), 5);
	for (size_t i = 0; i < settings_row_count; i++) {
		const json_t *value = json_object_get(all, settings_rows[i].key);

		if (strncmp(settings_rows[i].name, "CELERY_", 7) != 0)
			continue;
		ck_assert_msg(value != NULL, "%s", settings_rows[i].name);
		switch (settings_rows[i].type) {
		case CONF_BOOL:
			ck_assert(json_is_boolean(value));
			break;
		case CONF_INT:
		case CONF_SIZE:
			ck_assert(json_is_integer(value));
			break;
		case CONF_DOUBLE:
		case CONF_DURATION:
			ck_assert(json_is_real(value));
			break;
		case CONF_LIST:
			ck_assert(json_is_array(value));
			break;
		case CONF_STRING:
		case CONF_URL:
		case CONF_MAP:
			ck_assert(json_is_string(value));
		}
	}
	settings_done(&s);
}
END_TEST

/* Whose environment must not be handed on: what holds a secret, by any of its names. */
START_TEST(test_holds_secret)
{
	ck_assert(settings_holds_secret("DATABASE_URL=x"));
	ck_assert(settings_holds_secret("DATABASE_URL_FILE=x"));
	ck_assert(settings_holds_secret("CELERY_BROKER_URL=x"));
	ck_assert(settings_holds_secret("BROKER_URL=x"));
	ck_assert(settings_holds_secret("RESULT_BACKEND_FILE=x"));
	ck_assert(settings_holds_secret("CELERY_SECURITY_KEY_PASSWORD=x"));
	ck_assert(!settings_holds_secret("DATABASE_URLS=x") && !settings_holds_secret("PATH=x"));
	ck_assert(!settings_holds_secret("SANDBOX_MAX=1") &&
		  !settings_holds_secret("DATABASE_URL"));
}
END_TEST

/* Every line is NAME = value  # source; help, every name stands once, every default can be given
 * again. */
START_TEST(test_print_is_regular)
{
	struct settings s = load(NO_ENV);
	struct settings again = load(NO_ENV);
	struct err err;
	char *text = print(&s);
	char *save = NULL;
	int rows = 0;
	char seen[16384] = "\n";
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[64], key[80], value[512] = "";
		ck_assert_int_eq(sscanf(line, "%63[A-Z0-9_] =", name), 1);
		snprintf(key, sizeof(key), "\n%s\n", name);
		ck_assert_msg(!strstr(seen, key), "%s twice", name);
		strcat(seen, key + 1);
		const char *from = strstr(line, " = ") + 3;
		const char *to = strstr(line, "  # default; ");
		ck_assert_msg(to && strlen(to) > 20, "%s", line);
		while (to > from && to[-1] == ' ')
			to--;
		memcpy(value, from, (size_t)(to - from));
		ck_assert_msg(settings_set(&again, name, value, "default", &err) == 0, "%s",
			      err.msg);
		rows++;
	}
	char *second = print(&again);
	char *first = print(&s);
	ck_assert_str_eq(first, second);
	ck_assert_int_ge(rows, 45);
	free(first);
	free(second);
	free(text);
	settings_done(&s);
	settings_done(&again);
}
END_TEST

START_TEST(test_own_environment)
{
	struct settings s;
	struct err err;
	setenv("CELERIAC_INSTANCE", "mine", 1);
	ck_assert_int_eq(settings_load(NULL, &s, &err), 0);
	ck_assert_str_eq(s.instance, "mine");
	settings_done(&s);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("settings");
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_environment);
	tcase_add_test(t, test_alias_order);
	tcase_add_test(t, test_empty_values);
	tcase_add_loop_test(t, test_wrong, 0, ARRAY_LEN(g_wrong));
	tcase_add_test(t, test_lowered_ceiling);
	tcase_add_loop_test(t, test_set_by_any_name, 0, 3);
	tcase_add_test(t, test_long_list);
	tcase_add_test(t, test_set_replaces);
	tcase_add_test(t, test_print);
	tcase_add_test(t, test_conf);
	tcase_add_test(t, test_holds_secret);
	tcase_add_test(t, test_print_is_regular);
	tcase_add_test(t, test_own_environment);
	return suite_run("settings", t);
}
