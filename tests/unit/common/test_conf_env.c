/* Values of settings in files: <NAME>_FILE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "mem.h"
#include "settings.h"
#include "tests/unit/suite.h"

static char g_path[64];

static void make_file(void)
{
	strcpy(g_path, "/tmp/celeriac-setting.XXXXXX");
	int fd = mkstemp(g_path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void remove_file(void)
{
	unlink(g_path);
}

static void put(const char *bytes, size_t len)
{
	FILE *f = fopen(g_path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static int load(const char *name, const char *other, struct settings *ret, struct err *err)
{
	_cleanup_free_ char *row = xasprintf("%s=%s", name, g_path);
	const char *env[] = {row, other, NULL};
	return settings_load((char *const *)(uintptr_t)env, ret, err);
}

static const struct {
	const char *bytes, *value;
} g_texts[] = {
	{"redis://:p@h/1", "redis://:p@h/1"},
	{"redis://:p@h/1\n", "redis://:p@h/1"},
	{"redis://:p@h/1\r\n", "redis://:p@h/1"},
	{"", ""},
	{"\n", ""},
};

START_TEST(test_text)
{
	struct settings s;
	struct err err = {0};

	put(g_texts[_i].bytes, strlen(g_texts[_i].bytes));
	ck_assert_msg(load("CELERY_BROKER_URL_FILE", NULL, &s, &err) == 0, "%s", err.msg);
	ck_assert_str_eq(s.broker_url, g_texts[_i].value);
	settings_done(&s);
}
END_TEST

/* Old names of a setting have files too; an empty value beside one is as good as none. */
START_TEST(test_names)
{
	struct settings s;
	struct err err = {0};

	put("redis://h/1", 11);
	ck_assert_int_eq(load("REDIS_URL_FILE", "REDIS_URL=", &s, &err), 0);
	ck_assert_str_eq(s.broker_url, "redis://h/1");
	settings_done(&s);
	put("0123456789abcdef\n", 17);
	ck_assert_int_eq(load("SANDBOX_CALLBACK_SECRET_FILE", NULL, &s, &err), 0);
	ck_assert_str_eq(s.sandbox_callback_secret, "0123456789abcdef");
	settings_done(&s);
}
END_TEST

/* What is no secret has no file: the variable may be somebody else's. */
START_TEST(test_not_a_secret)
{
	struct settings s;
	struct err err = {0};

	put("elsewhere", 9);
	ck_assert_int_eq(load("SANDBOX_IMAGE_FILE", NULL, &s, &err), 0);
	ck_assert_str_eq(s.sandbox_image, "celeriac-sandbox:latest");
	settings_done(&s);
}
END_TEST

static void refused(const char *other, const char *why)
{
	struct settings s;
	struct err err = {0};

	ck_assert_int_eq(load("SECRETS_ENCRYPTION_KEY_FILE", other, &s, &err), -ERR_INVALID);
	ck_assert_msg(strstr(err.msg, "SECRETS_ENCRYPTION_KEY_FILE"), "%s", err.msg);
	ck_assert_msg(strstr(err.msg, why), "%s", err.msg);
	ck_assert_msg(!strstr(err.msg, "c2VjcmV0"), "%s", err.msg);
}

START_TEST(test_refused)
{
	_cleanup_free_ char *large = xcalloc(1, BOUND_SETTING_FILE + 1);

	put("c2VjcmV0", 8);
	refused("SECRETS_ENCRYPTION_KEY=c2VjcmV0", "both set");
	put("c2VjcmV0\0x", 10);
	refused(NULL, "not a text");
	memset(large, 'a', BOUND_SETTING_FILE + 1);
	put(large, BOUND_SETTING_FILE + 1);
	refused(NULL, "more than 65536 bytes");
	unlink(g_path);
	refused(NULL, "No such file");
	ck_assert_int_eq(mkfifo(g_path, 0600), 0);
	refused(NULL, "not a regular file");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("conf_env");
	tcase_add_checked_fixture(t, make_file, remove_file);
	tcase_add_loop_test(t, test_text, 0, ARRAY_LEN(g_texts));
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_not_a_secret);
	tcase_add_test(t, test_refused);
	return suite_run("conf_env", t);
}
