/* Log lines: their form, and that nothing from outside can forge or break one. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "tests/unit/suite.h"

static char g_dir[] = "/tmp/test_log.XXXXXX";
static char g_path[64];
static char g_text[1 << 21];

static usec_t fixed(void)
{
	return 1795253400123456;
}

static void setup(void)
{
	setenv("TZ", "UTC", 1);
	memcpy(g_dir + sizeof(g_dir) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(g_dir));
	snprintf(g_path, sizeof(g_path), "%s/log", g_dir);
	clock_hook(fixed, NULL);
}

static void teardown(void)
{
	clock_hook(NULL, NULL);
	unlink(g_path);
	rmdir(g_dir);
}

static void open_log(enum log_level level, enum log_format format)
{
	struct err err;
	ck_assert_msg(log_open(g_path, level, format, &err) == 0, "%s", err.msg);
}

static const char *written(void)
{
	int fd = open(g_path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ssize_t n = read(fd, g_text, sizeof(g_text) - 1);
	close(fd);
	ck_assert_int_ge(n, 0);
	g_text[n] = '\0';
	return g_text;
}

static size_t lines(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

START_TEST(test_celery_line)
{
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_CELERY);
	log_info("Task %s[%s] received", "a.b", "id");
	ck_assert_str_eq(written(),
			 "[2026-11-21 09:30:00,123: INFO/MainProcess] Task a.b[id] received\n");
}
END_TEST

START_TEST(test_local_time)
{
	setenv("TZ", "UTC-5", 1);
	tzset();
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_CELERY);
	log_warning("x");
	ck_assert_str_eq(written(), "[2026-11-21 14:30:00,123: WARNING/MainProcess] x\n");
}
END_TEST

START_TEST(test_levels)
{
	open_log(LOG_LEVEL_WARNING, LOG_FORMAT_CELERY);
	ck_assert(!log_enabled(LOG_LEVEL_INFO));
	ck_assert(log_enabled(LOG_LEVEL_WARNING));
	ck_assert(log_enabled(LOG_LEVEL_CRITICAL));
	log_debug("no");
	log_info("no");
	log_warning("yes");
	log_error("yes");
	log_critical("yes");
	const char *text = written();
	ck_assert_uint_eq(lines(text), 3);
	ck_assert_ptr_null(strstr(text, "no"));
	ck_assert_ptr_nonnull(strstr(text, ": CRITICAL/MainProcess] yes"));
}
END_TEST

static const struct {
	const char *text;
	int level;
} g_levels[] = {
	{"debug", LOG_LEVEL_DEBUG},
	{"INFO", LOG_LEVEL_INFO},
	{"Warning", LOG_LEVEL_WARNING},
	{"warn", LOG_LEVEL_WARNING},
	{"error", LOG_LEVEL_ERROR},
	{"critical", LOG_LEVEL_CRITICAL},
	{"fatal", LOG_LEVEL_CRITICAL},
	{"", -1},
	{"infos", -1},
	{"10", -1},
};

START_TEST(test_level_parse)
{
	enum log_level level;
	struct err err;
	int r = log_level_parse(g_levels[_i].text, &level, &err);
	if (g_levels[_i].level < 0) {
		ck_assert_int_eq(r, -ERR_INVALID);
	} else {
		ck_assert_int_eq(r, 0);
		ck_assert_int_eq((int)level, g_levels[_i].level);
	}
}
END_TEST

START_TEST(test_no_forged_lines)
{
	open_log(LOG_LEVEL_INFO, _i ? LOG_FORMAT_JSON : LOG_FORMAT_CELERY);
	log_info("a\n[x: INFO/MainProcess] b\r\x1b[2J\xff\xc2\x85 é \u2028\u202e\u2066漢 %s",
		 "\"}\n{\"");
	const char *text = written();
	ck_assert_uint_eq(lines(text), 1);
	for (const char *p = text; *p; p++)
		ck_assert((unsigned char)*p >= ' ' || p[1] == '\0');
	if (_i == 0) {
		ck_assert_ptr_nonnull(strstr(text, "a\\x0a[x"));
		ck_assert_ptr_nonnull(strstr(text,
					     "b\\x0d\\x1b[2J\\xff\\xc2\\x85 é "
					     "\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xe2\\x81\\xa6漢"));
	} else {
		json_error_t why;
		json_t *line = json_loads(text, 0, &why);
		ck_assert_msg(line != NULL, "%s", why.text);
		ck_assert_str_eq(json_string_value(json_object_get(line, "message")),
				 "a\n[x: INFO/MainProcess] b\r\x1b[2J\\xff\xc2\x85 é "
				 "\u2028\u202e\u2066漢 \"}\n{\"");
		json_decref(line);
	}
}
END_TEST

START_TEST(test_json_line)
{
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_scope_begin("the-id", "a\"b",
			"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	log_error("x");
	log_scope_end();
	log_error("y");
	ck_assert_str_eq(written(), "{\"time\": \"2026-11-21T09:30:00.123456+00:00\", \"level\": "
				    "\"ERROR\", \"message\": \"x\", \"task_id\": \"the-id\", "
				    "\"task\": \"a\\\"b\", \"trace_id\": "
				    "\"0af7651916cd43dd8448eb211c80319c\", \"span_id\": "
				    "\"b7ad6b7169203331\"}\n"
				    "{\"time\": \"2026-11-21T09:30:00.123456+00:00\", \"level\": "
				    "\"ERROR\", \"message\": \"y\"}\n");
}
END_TEST

START_TEST(test_long_lines_are_cut)
{
	static const char *const fill[] = {"x", "é", "\n", "\xff", "\""};
	static char text[BOUND_LOG_LINE * 3];
	size_t n = 0;
	while (n + 4 < sizeof(text)) {
		memcpy(text + n, fill[_i % 5], strlen(fill[_i % 5]));
		n += strlen(fill[_i % 5]);
	}
	open_log(LOG_LEVEL_INFO, _i < 5 ? LOG_FORMAT_CELERY : LOG_FORMAT_JSON);
	log_info("%s", text);
	const char *line = written();
	ck_assert_uint_eq(lines(line), 1);
	ck_assert_int_eq(line[strlen(line) - 1], '\n');
	if (_i < 5) {
		ck_assert_uint_le(strlen(line), BOUND_LOG_LINE);
		ck_assert_uint_ge(strlen(line), BOUND_LOG_LINE - 8);
		ck_assert_str_eq(line + strlen(line) - 4, "...\n");
	} else {
		json_t *value = json_loads(line, 0, NULL);
		ck_assert_ptr_nonnull(value);
		json_decref(value);
	}
}
END_TEST

START_TEST(test_audit)
{
	open_log(LOG_LEVEL_CRITICAL, LOG_FORMAT_CELERY);
	log_audit("{\"decision\": \"deny\"\n}");
	ck_assert_str_eq(written(), "[2026-11-21 09:30:00,123: INFO/MainProcess] [audit] "
				    "{\"decision\": \"deny\"\\x0a}\n");
	open_log(LOG_LEVEL_CRITICAL, LOG_FORMAT_JSON);
	log_audit("{\"a\": 1}");
	const char *second = strchr(written(), '\n') + 1;
	json_t *line = json_loads(second, 0, NULL);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(line, "audit"), "a")),
			 1);
	json_decref(line);
}
END_TEST

START_TEST(test_reopen)
{
	char old[80];
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_CELERY);
	log_info("before");
	snprintf(old, sizeof(old), "%s.1", g_path);
	ck_assert_int_eq(rename(g_path, old), 0);
	log_info("still there");
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_CELERY);
	log_info("after");
	ck_assert_uint_eq(lines(written()), 1);
	ck_assert_ptr_nonnull(strstr(g_text, "after"));
	unlink(old);
}
END_TEST

START_TEST(test_standard_error_stays)
{
	struct stat before, after;
	struct err err;
	char other[80];
	snprintf(other, sizeof(other), "%s.2", g_path);
	ck_assert_int_eq(fstat(STDERR_FILENO, &before), 0);
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_CELERY);
	ck_assert_int_eq(fstat(STDERR_FILENO, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	int fds = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(fds);
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_CELERY); /* under the same descriptor */
	int again = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(again);
	ck_assert_int_eq(again, fds);
	/* And back: what was the log file is closed, the descriptor free. */
	ck_assert_int_eq(dup2(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), STDERR_FILENO),
			 STDERR_FILENO);
	ck_assert_int_eq(log_open(NULL, LOG_LEVEL_INFO, LOG_FORMAT_CELERY, &err), 0);
	log_info("to stderr");
	ck_assert_int_eq(fstat(STDERR_FILENO, &after), 0);
	ck_assert_int_gt(after.st_size, 10);
	ck_assert_uint_eq(lines(written()), 0);
	unlink(other);
}
END_TEST

START_TEST(test_open_fails)
{
	struct err err;
	open_log(LOG_LEVEL_INFO, LOG_FORMAT_CELERY);
	ck_assert_int_eq(log_open("/nonexistent/x", LOG_LEVEL_INFO, LOG_FORMAT_CELERY, &err),
			 -ERR_FAILED);
	log_info("the old one goes on");
	ck_assert_uint_eq(lines(written()), 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("log");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_celery_line);
	tcase_add_test(t, test_local_time);
	tcase_add_test(t, test_levels);
	tcase_add_loop_test(t, test_level_parse, 0, ARRAY_LEN(g_levels));
	tcase_add_loop_test(t, test_no_forged_lines, 0, 2);
	tcase_add_test(t, test_json_line);
	tcase_add_loop_test(t, test_long_lines_are_cut, 0, 10);
	tcase_add_test(t, test_audit);
	tcase_add_test(t, test_reopen);
	tcase_add_test(t, test_standard_error_stays);
	tcase_add_test(t, test_open_fails);
	return suite_run("log", t);
}
