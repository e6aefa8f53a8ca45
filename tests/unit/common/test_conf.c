/* Numbers with units, as operators write them; and names of nodes. */
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/nodename.h"
#include "mem.h"
#include "tests/unit/suite.h"

static const struct {
	const char *text;
	int64_t value; /* -1: refused */
} g_durations[] = {
	{"0", 0},
	{"1", 1000000},
	{"1.5", 1500000},
	{"90s", 90000000},
	{" 2 m ", 120000000},
	{"1h", 3600000000},
	{"1d", 86400000000},
	{"250ms", 250000},
	{"7us", 7},
	{"0.0000005", 1},
	{"1H", 3600000000},
	{"", -1},
	{".", -1},
	{"1..2", -1},
	{"-1", -1},
	{"1e3", -1},
	{"inf", -1},
	{"0x10", -1},
	{"1 week", -1},
	{"s", -1},
	{"99999999999999999999", -1},
	{"9999999999999999", -1}, /* us are more than 63 bits */
	{"1 s s", -1},
	{"1mm", -1},
};

START_TEST(test_durations)
{
	int64_t value = -1;
	bool ok = conf_parse_duration(g_durations[_i].text, &value);
	ck_assert(ok == (g_durations[_i].value >= 0));
	ck_assert_int_eq(value, g_durations[_i].value);
}
END_TEST

#define M ((int64_t)1 << 20)
static const struct {
	const char *text;
	int64_t value;
} g_sizes[] = {
	{"0", 0},
	{"1024", 1024},
	{"1k", 1024},
	{"512m", 512 * M},
	{"512M", 512 * M},
	{"512MB", 512 * M},
	{"512MiB", 512 * M},
	{"512Mi", 512 * M},
	{"512 mib ", 512 * M},
	{"1.5g", 1536 * M},
	{"1T", 1024 * 1024 * M},
	{"10b", 10},
	{"10B", 10},
	{"", -1},
	{"m", -1},
	{"512x", -1},
	{"512bb", -1},
	{"512ib", -1},
	{"512i", -1},
	{"-1", -1},
	{"1 2", -1},
	{"99999999999T", -1},
};

START_TEST(test_sizes)
{
	int64_t value = -1;
	bool ok = conf_parse_size(g_sizes[_i].text, &value);
	ck_assert(ok == (g_sizes[_i].value >= 0));
	ck_assert_int_eq(value, g_sizes[_i].value);
}
END_TEST

static const struct {
	enum conf_type type;
	double value;
	const char *text;
} g_shown[] = {
	{CONF_DURATION, 0, "0"},
	{CONF_DURATION, 1, "1us"},
	{CONF_DURATION, 1500000, "1500ms"},
	{CONF_DURATION, 600e6, "600s"},
	{CONF_SIZE, 0, "0"},
	{CONF_SIZE, 1, "1"},
	{CONF_SIZE, 1024, "1KiB"},
	{CONF_SIZE, 1536.0 * 1048576, "1536MiB"},
	{CONF_SIZE, 1073741824, "1GiB"},
	{CONF_INT, 12, "12"},
	{CONF_INT, -3, "-3"},
	{CONF_DOUBLE, 0.25, "0.25"},
};

START_TEST(test_shown)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	conf_show_number(g_shown[_i].type, g_shown[_i].value, &b);
	ck_assert_str_eq(b.data, g_shown[_i].text);
}
END_TEST

START_TEST(test_ints_and_booleans)
{
	static const char *const bad_ints[] = {
		"", "-", "+-1", "1.0", "1x", "x1", "9223372036854775808", "1 2"};
	static const char *const bad_bools[] = {"", "2", "yess", "-1", "tru"};
	static const char *const yes[] = {"1", "true", "TRUE", "yes", "On"};
	static const char *const no[] = {"0", "false", "False", "no", "off"};
	int64_t i;
	bool b;
	ck_assert(conf_parse_int(" -12 ", &i) && i == -12);
	ck_assert(conf_parse_int("+7", &i) && i == 7);
	ck_assert(conf_parse_int("9223372036854775807", &i) && i == INT64_MAX);
	for (size_t n = 0; n < ARRAY_LEN(bad_ints); n++)
		ck_assert_msg(!conf_parse_int(bad_ints[n], &i), "%s", bad_ints[n]);
	for (size_t n = 0; n < ARRAY_LEN(bad_bools); n++)
		ck_assert_msg(!conf_parse_bool(bad_bools[n], &b), "%s", bad_bools[n]);
	for (size_t n = 0; n < ARRAY_LEN(yes); n++)
		ck_assert(conf_parse_bool(yes[n], &b) && b);
	for (size_t n = 0; n < ARRAY_LEN(no); n++)
		ck_assert(conf_parse_bool(no[n], &b) && !b);
}
END_TEST

static const struct {
	const char *text, *before, *after; /* the host name stands between; before NULL: refused */
} g_nodes[] = {
	{"celery@%h", "celery@", ""}, {"%h", "celery@", ""},  {"", "celery@", ""},
	{"@%h", "celery@", ""},	      {"w1@%h", "w1@", ""},   {"a%%b@%h.x", "a%b@", ".x"},
	{"w@%", NULL, NULL},	      {"w@%q", NULL, NULL},   {"w@", NULL, NULL},
	{"w 1@%h", NULL, NULL},	      {"w\n@%h", NULL, NULL},
};

START_TEST(test_nodes)
{
	char host[256] = "";
	gethostname(host, sizeof(host) - 1);
	_cleanup_free_ char *name = NULL;
	struct err err;
	int r = nodename_expand(g_nodes[_i].text, &name, &err);
	if (!g_nodes[_i].before) {
		ck_assert_int_eq(r, -ERR_INVALID);
		return;
	}
	_cleanup_free_ char *want =
		xasprintf("%s%s%s", g_nodes[_i].before, host, g_nodes[_i].after);
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(name, want);
}
END_TEST

START_TEST(test_node_parts)
{
	char host[256] = "";
	gethostname(host, sizeof(host) - 1);
	const char *dot = strchr(host, '.');
	_cleanup_free_ char *name = NULL, *plain = NULL;
	struct err err;
	ck_assert_int_eq(nodename_expand("x@%n+%d", &name, &err), 0);
	_cleanup_free_ char *want =
		xasprintf("x@%.*s+%s", (int)(dot ? dot - host : (long)strlen(host)), host,
			  dot ? dot + 1 : "");
	ck_assert_str_eq(name, want);
	ck_assert_int_eq(nodename_expand("w1", &plain, &err), 0);
	ck_assert_str_eq(plain, "celery@w1");
}
END_TEST

static const char *const g_bad_labels[] = {"",	 "a b", "a/b", "a:b", "a@b",
					   "-a", ".a",	"_a",  "é",   "a\n"};

START_TEST(test_labels)
{
	char *name;
	struct err err;
	ck_assert_int_eq(nodename_check_label(g_bad_labels[_i], &name, &err), -ERR_INVALID);
	ck_assert_int_eq(nodename_check_label("Prod-1.eu_x", &name, &err), 0);
	free(name);
	char text[102];
	memset(text, 'a', sizeof(text));
	text[101] = '\0';
	ck_assert_int_eq(nodename_check_label(text, &name, &err), -ERR_INVALID);
	text[100] = '\0';
	ck_assert_int_eq(nodename_check_label(text, &name, &err), 0);
	free(name);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("conf");
	tcase_add_loop_test(t, test_durations, 0, ARRAY_LEN(g_durations));
	tcase_add_loop_test(t, test_sizes, 0, ARRAY_LEN(g_sizes));
	tcase_add_loop_test(t, test_shown, 0, ARRAY_LEN(g_shown));
	tcase_add_test(t, test_ints_and_booleans);
	tcase_add_loop_test(t, test_nodes, 0, ARRAY_LEN(g_nodes));
	tcase_add_test(t, test_node_parts);
	tcase_add_loop_test(t, test_labels, 0, ARRAY_LEN(g_bad_labels));
	return suite_run("conf", t);
}
