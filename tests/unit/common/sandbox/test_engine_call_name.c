/* Calls to the engine by kind. */
#include "common/sandbox/engine_internal.h"
#include "tests/unit/suite.h"

static const struct {
	const char *method, *path, *name;
} g_rows[] = {
	{"GET", "/_ping", "GET _ping"},
	{"GET", "/version", "GET version"},
	{"GET", "/events?filters=%7B%7D", "GET events"},
	{"POST", "/containers/create?name=create", "POST containers create"},
	{"GET", "/containers/json?all=1", "GET containers json"},
	{"POST", "/containers/0a1b2c/start", "POST containers start"},
	{"POST", "/containers/start/kill?signal=KILL", "POST containers kill"},
	{"DELETE", "/containers/0a1b2c?force=1", "DELETE containers"},
	{"DELETE", "/containers/abc", "DELETE containers"},
	{"GET", "/images/registry/a/b:1/json", "GET images json"},
	{"GET", "/images/b/0X/1.2", "GET images"},
	{"PUT", "/containers/x/archive?path=%2Fdata", "PUT containers archive"},
	{"GET", "/Any/thing", "GET"},
	{"GET", "", "GET"},
	{"GET", "/", "GET"},
	{"GET", "/volumes/", "GET volumes"},
};

START_TEST(test_name)
{
	char name[128];
	engine_call_name(g_rows[_i].method, g_rows[_i].path, name, sizeof(name));
	ck_assert_str_eq(name, g_rows[_i].name);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("engine_call_name");
	tcase_add_loop_test(t, test_name, 0, ARRAY_LEN(g_rows));
	return suite_run("engine_call_name", t);
}
