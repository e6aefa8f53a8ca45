/* Entries in INI: what becomes of a text. */
#include <stdlib.h>
#include <string.h>

#include "beat/ini.h"
#include "json.h"
#include "mem.h"
#include "tests/unit/suite.h"

static const struct {
	const char *text, *what; /* JSON, or '!' and what is wrong with it */
} rows[] = {
	{"", "{}"},
	{"; nothing\n# at all\n\n", "{}"},
	{"[a]\n", "{\"a\": {\"options\": {}}}"},
	{"[a b]\ntask=t\nschedule = 5 \nqueue = q 1\nargs=[1, \"x\"]\n",
	 "{\"a b\": {\"args\": [1, \"x\"], \"options\": {\"queue\": \"q 1\"}, \"schedule\": "
	 "\"5\", \"task\": \"t\"}}"},
	{"[a]\r\ntask = t\r\nenabled = OFF\r\nignore_result = 1\r\n",
	 "{\"a\": {\"enabled\": false, \"options\": {\"ignore_result\": true}, \"task\": \"t\"}}"},
	{"[a]\noptions = {\"queue\": \"x\", \"priority\": 2}\nqueue = y\n",
	 "{\"a\": {\"options\": {\"priority\": 2, \"queue\": \"y\"}}}"},
	{"[a]\nqueue = y\noptions = {\"queue\": \"x\"}\n",
	 "{\"a\": {\"options\": {\"queue\": \"y\"}}}"},
	{"[a]\nkwargs = {\"k\": \"a;b\"}\n",
	 "{\"a\": {\"kwargs\": {\"k\": \"a;b\"}, \"options\": {}}}"},
	{"[a]\n[b]\n  [a]\n", "!line 3: [a] is there twice"},
	{"[a]\n[\xff]\n", "!line 2: not UTF-8"},
	{"[a]\ntask = \xff\n", "!entry 'a': task: not UTF-8"},
	{"x = 1\n", "!Key file does not start with a group"},
	{"[a\n", "!Key file contains line"},
	{"[]\n", "!Invalid group name"},
	{"[a]\nexpires = soon\n", "!entry 'a': expires: "},
	{"[a]\nargs =\n", "!entry 'a': args: "},
	{"[a]\nenabled = perhaps\n", "!entry 'a': enabled: neither true nor false"},
	{"[a]\noptions = []\n", "!entry 'a': options must be an object"},
};

START_TEST(test_text)
{
	_cleanup_free_ char *text = strdup(rows[_i].text), *got = NULL;
	_cleanup_json_ json_t *value = NULL;
	struct err err = {0};
	int rc = ini_read(text, &value, &err);

	if (rows[_i].what[0] == '!') {
		ck_assert_int_eq(rc, -ERR_INVALID);
		ck_assert_msg(strncmp(err.msg, rows[_i].what + 1, strlen(rows[_i].what) - 1) == 0,
			      "%s", err.msg);
		return;
	}
	ck_assert_msg(rc == 0, "%s", err.msg);
	got = json_dumps(value, JSON_SORT_KEYS);
	ck_assert_str_eq(got, rows[_i].what);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ini");

	tcase_add_loop_test(t, test_text, 0, ARRAY_LEN(rows));
	return suite_run("ini", t);
}
