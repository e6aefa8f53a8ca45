/* URLs: taken apart as Celery's users write them, refused when wrong, shown without passwords. */
#include <string.h>

#include "bounds.h"
#include "tests/unit/suite.h"
#include "url.h"

static const struct {
	const char *text;
	struct {
		const char *scheme, *user, *password, *host;
		int port;
		const char *path, *query;
	} url;
} g_good[] = {
	{"redis://localhost:6379/0", {"redis", "", "", "localhost", 6379, "/0", ""}},
	{"redis://localhost", {"redis", "", "", "localhost", 0, "", ""}},
	{"redis://", {"redis", "", "", "", 0, "", ""}},
	{"redis:///1", {"redis", "", "", "", 0, "/1", ""}},
	{"redis://:pw@h/0", {"redis", "", "pw", "h", 0, "/0", ""}},
	{"redis://u@h", {"redis", "u", "", "h", 0, "", ""}},
	{"REDIS://u:p%40%2f%3A@H:1", {"redis", "u", "p@/:", "H", 1, "", ""}},
	{"redis://u:p:q@h", {"redis", "u", "p:q", "h", 0, "", ""}},
	{"redis://u:p@q@h", {"redis", "u", "p@q", "h", 0, "", ""}},
	{"redis+socket:///tmp/a%20b.sock?virtual_host=3",
	 {"redis+socket", "", "", "", 0, "/tmp/a b.sock", "virtual_host=3"}},
	{"amqp://guest:guest@[::1]:5672//", {"amqp", "guest", "guest", "::1", 5672, "//", ""}},
	{"amqp://h/%2f", {"amqp", "", "", "h", 0, "//", ""}},
	{"amqp://guest:guest@:5672//", {"amqp", "guest", "guest", "", 5672, "//", ""}},
	{"postgresql+psycopg2://a:b@db/x?sslmode=require&o=1",
	 {"postgresql+psycopg2", "a", "b", "db", 0, "/x", "sslmode=require&o=1"}},
	{"tcp://10.0.0.1:2376", {"tcp", "", "", "10.0.0.1", 2376, "", ""}},
	{"unix:///var/run/docker.sock", {"unix", "", "", "", 0, "/var/run/docker.sock", ""}},
	{"http://h/a#frag", {"http", "", "", "h", 0, "/a", ""}},
	{"http://h?q=%zz#f", {"http", "", "", "h", 0, "", "q=%zz"}},
	{"http://h:65535/é", {"http", "", "", "h", 65535, "/é", ""}},
	{"disabled://", {"disabled", "", "", "", 0, "", ""}},
};

START_TEST(test_parse)
{
	_cleanup_url_ struct url u = {0};
	struct err err;
	const __typeof__(g_good[0].url) *want = &g_good[_i].url;
	ck_assert_msg(url_parse(g_good[_i].text, &u, &err) == 0, "%s", err.msg);
	ck_assert_str_eq(u.scheme, want->scheme);
	ck_assert_str_eq(u.user, want->user);
	ck_assert_str_eq(u.password, want->password);
	ck_assert_str_eq(u.host, want->host);
	ck_assert_int_eq(u.port, want->port);
	ck_assert_str_eq(u.path, want->path);
	ck_assert_str_eq(u.query, want->query);
}
END_TEST

static const char *const g_bad[] = {
	"",
	"localhost",
	"redis:/h",
	"redis:h",
	"://h",
	"1x://h",
	"re dis://h",
	"redis://h:x",
	"redis://h:65536",
	"redis://h:123456",
	"redis://h:-1",
	"redis://:6379/0",
	"redis://[::1",
	"redis://[::1]x",
	"redis://h /0",
	"redis://h\n/0",
	"redis://h/%",
	"redis://h/%4",
	"redis://h/%00",
	"redis://u:%zz@h",
	"redis://h/\x7f",
	"redis://:hunter2/x@h",
};

START_TEST(test_parse_bad)
{
	struct url u = {0};
	struct err err;
	ck_assert_msg(url_parse(g_bad[_i], &u, &err) == -ERR_INVALID, "%s", g_bad[_i]);
	ck_assert_ptr_null(u.scheme);
	ck_assert_ptr_null(strstr(err.msg, "hunter2"));
}
END_TEST

START_TEST(test_too_long)
{
	char text[BOUND_URL_BYTES + 2];
	struct url u;
	struct err err;
	memset(text, 'a', sizeof(text));
	memcpy(text, "redis://", 8);
	text[BOUND_URL_BYTES] = '\0';
	ck_assert_int_eq(url_parse(text, &u, &err), 0);
	url_done(&u);
	text[BOUND_URL_BYTES] = 'a';
	text[BOUND_URL_BYTES + 1] = '\0';
	ck_assert_int_eq(url_parse(text, &u, &err), -ERR_TOOBIG);
}
END_TEST

START_TEST(test_query)
{
	struct url u;
	struct err err;
	ck_assert_int_eq(url_parse("x://h?a=1&b=x%20y+z&c&a=2&d%3d=%26&e=%z", &u, &err), 0);
	static const char *const want[][2] = {
		{"a", "1"},  {"b", "x y z"}, {"c", ""},	 {"d=", "&"},
		{"e", "%z"}, {"f", NULL},    {"", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		char *value = url_query_get(&u, want[i][0]);
		if (want[i][1])
			ck_assert_str_eq(value, want[i][1]);
		else
			ck_assert_ptr_null(value);
		free(value);
	}
	url_done(&u);
	url_done(&u);
	url_done(NULL);
}
END_TEST

#define HIDDEN "\xe2\x80\xa6"

static const struct {
	const char *text, *safe;
} g_safe[] = {
	{"", ""},
	{"redis://localhost:6379/0", "redis://localhost:6379/0"},
	{"redis://:hunter2@h:6379/0", "redis://:**@h:6379/0"},
	{"redis://u:hunter2@h", "redis://u:**@h"},
	{"redis://u:hun@ter2@h/x@y", "redis://u:**@h/x@y"},
	{"amqp://a:hunter2@x//;amqp://b:hunter2@y//", "amqp://a:**@x//;amqp://b:**@y//"},
	{"redis://:hun;ter2@h", "redis://:**@h"},
	{"tcp://a:1,unix:///x", "tcp://a:1,unix:///x"},
	{"redis://:hunter2/x@h", "redis://" HIDDEN},
	{"redis://u:12/hunter2@h", "redis://" HIDDEN},
	{"redis://u:12?hunter2@h", "redis://" HIDDEN},
	{"redis://u:12#hunter2@h", "redis://" HIDDEN},
	{"redis://u:%zzhunter2@h", "redis://" HIDDEN},
	{"hunter2", HIDDEN},
	{"host=h password=hunter2", HIDDEN},
	{"postgresql://h/d?user=u&password=hunter2&sslmode=x",
	 "postgresql://h/d?user=u&password=**&sslmode=x"},
	{"http://h/?API_Key=hunter2", "http://h/?API_Key=**"},
	{"http://h/?p%61ssword=hunter2", "http://h/?p%61ssword=**"},
	{"redis://u:hunter2@h:99999;redis://k", "redis://" HIDDEN ";redis://k"},
	{"postgresql://u:hunter2@a:1,b:2/d", "postgresql://" HIDDEN},
};

START_TEST(test_safe)
{
	char *safe = url_safe(g_safe[_i].text);
	ck_assert_str_eq(safe, g_safe[_i].safe);
	free(safe);
}
END_TEST

START_TEST(test_safe_of_anything)
{
	/* Long input, and every byte. */
	static char text[1 << 18];
	memset(text, ';', sizeof(text) - 1);
	free(url_safe(text));
	for (int c = 1; c < 256; c++) {
		memset(text, c, 300);
		memcpy(text + 100, "://", 3);
		text[300] = '\0';
		free(url_safe(text));
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("url");
	tcase_add_loop_test(t, test_parse, 0, ARRAY_LEN(g_good));
	tcase_add_loop_test(t, test_parse_bad, 0, ARRAY_LEN(g_bad));
	tcase_add_test(t, test_too_long);
	tcase_add_test(t, test_query);
	tcase_add_loop_test(t, test_safe, 0, ARRAY_LEN(g_safe));
	tcase_add_test(t, test_safe_of_anything);
	return suite_run("url", t);
}
