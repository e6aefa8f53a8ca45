/* Custom HTTP tools, byte by byte: templates, requests, authentication, answers. */
#include <string.h>

#include "json.h"
#include "mem.h"
#include "tasks/http_tool.h"
#include "tests/unit/suite.h"

/* 'x' for "x". */
static json_t *parse(const char *quoted)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100000);
	json_t *value = NULL;
	struct err err;

	for (; *quoted; quoted++)
		buf_append_char(&b, *quoted == '\'' ? '"' : *quoted);
	ck_assert_msg(json_load_python(b.data, b.len, &value, &err) == 0, "%s: %s", b.data,
		      err.msg);
	return value;
}

static const struct {
	enum template_kind kind;
	const char *text, *params, *out; /* NULL: refused */
} templates[] = {
	{TEMPLATE_PATH, "/u/{id}", "{'id':'a b/c?d#e%'}", "/u/a%20b%2Fc%3Fd%23e%25"},
	{TEMPLATE_PATH, "/u/{id}", "{'id':5}", "/u/5"},
	{TEMPLATE_PATH, "/u/{id}/x", "{'id':'..'}", NULL},
	{TEMPLATE_PATH, "/u/{id}.", "{'id':'.'}", NULL},
	{TEMPLATE_PATH, "/u/{id}", "{'id':'\\u00e9\\n'}", "/u/%C3%A9%0A"},
	{TEMPLATE_PATH, "/u/{other}", "{'id':1}", "/u/{other}"},
	{TEMPLATE_PATH, "/u/{known}", "{}", "/u/"},
	{TEMPLATE_QUERY, "?q={q}&l={l}", "{'q':'a&b=c','l':[1,'x']}",
	 "?q=a%26b%3Dc&l=%5B1%2C%20%22x%22%5D"},
	{TEMPLATE_JSON, "{'q':'{q}','n':{n},'k':{known},'s':'{known}'}",
	 "{'q':'a\\u0022b\\\\c\\n','n':[1,null]}",
	 "{'q':'a\\\"b\\\\c\\n','n':[1, null],'k':null,'s':''}"},
	{TEMPLATE_JSON, "{'q':'\\'{q}\\''}", "{'q':5}", "{'q':'\\'5\\''}"},
	{TEMPLATE_FORM, "a={a}&b={b}", "{'a':'x y&z','b':true}", "a=x+y%26z&b=true"},
	{TEMPLATE_TEXT, "{a}: {b}{", "{'a':'x','b':1.5}", "x: 1.5{"},
	{TEMPLATE_TEXT, "{a b} {a", "{'a':'x'}", "{a b} {a"},
	{TEMPLATE_TEXT, "{a}{a}", "{'a':'{b}','b':'no'}", "{b}{b}"},
};

START_TEST(test_template)
{
	_cleanup_json_ json_t *params = parse(templates[_i].params), *known = parse("{'known':{}}");
	_cleanup_buf_ struct buf text = BUF_INIT(1000), wanted = BUF_INIT(1000),
				 out = BUF_INIT(1000);
	struct err err;

	for (const char *s = templates[_i].text; *s; s++)
		buf_append_char(&text,
				templates[_i].kind == TEMPLATE_JSON && *s == '\'' ? '"' : *s);
	for (const char *s = templates[_i].out; s && *s; s++)
		buf_append_char(&wanted,
				templates[_i].kind == TEMPLATE_JSON && *s == '\'' ? '"' : *s);
	int r = http_template(templates[_i].kind, text.data, text.len, params, known, NULL, &out,
			      &err);
	ck_assert_int_eq(r, templates[_i].out ? 0 : -ERR_INVALID);
	if (templates[_i].out)
		ck_assert_str_eq(out.data, wanted.data);
}
END_TEST

/* tool, params; "METHOD url|body|header|header…", or what is wrong. */
static const struct {
	const char *tool, *params, *request;
} requests[] = {
	{"{'url':'https://api.example/v1/{id}?f=1#x'}", "{'id':'7','q':'a b','n':null}",
	 "GET https://api.example/v1/7?f=1&q=a%20b||Accept: application/json, text/*;q=0.9, "
	 "*/*;q=0.5"},
	{"{'url':'http://api.example'}", "{'q':1}",
	 "GET http://api.example/?q=1||Accept: application/json, text/*;q=0.9, */*;q=0.5"},
	{"{'url':'http://api.example:8080/x','method':'POST','headers':'X-A: 1\\r\\n\\nAccept: "
	 "text/plain\\n'}",
	 "{'a':1}",
	 "POST http://api.example:8080/x|{'a': 1}|X-A: 1|Accept: text/plain|Content-Type: "
	 "application/json"},
	{"{'url':'http://h/{a}','method':'PUT','content_type':'application/x-www-form-urlencoded'}",
	 "{'a':'x','b':'y z','c':null}",
	 "PUT http://h/x|b=y%20z|Content-Type: application/x-www-form-urlencoded|Accept: "
	 "application/json, text/*;q=0.9, */*;q=0.5"},
	{"{'url':'http://h/','method':'PATCH','content_type':'text/plain','body':'say {a}'}",
	 "{'a':'hi'}",
	 "PATCH http://h/|say hi|Content-Type: text/plain|Accept: application/json, text/*;q=0.9, "
	 "*/*;q=0.5"},
	{"{'url':'http://h/','auth':{'type':'bearer','token':'t0k'}}", "{}",
	 "GET http://h/||Authorization: Bearer t0k|Accept: application/json, text/*;q=0.9, "
	 "*/*;q=0.5"},
	{"{'url':'http://h/','auth':{'type':'basic','user':'u','password':'p:w'}}", "{}",
	 "GET http://h/||Authorization: Basic dTpwOnc=|Accept: application/json, text/*;q=0.9, "
	 "*/*;q=0.5"},
	{"{'url':'http://h/"
	 "','method':'DELETE','auth':{'type':'api_key','header':'X-Key','value':'k'}}",
	 "{}", "DELETE http://h/||X-Key: k|Accept: application/json, text/*;q=0.9, */*;q=0.5"},
	/* what is refused */
	{"{'url':'http://{host}/'}", "{'host':'evil'}",
	 "url: no parameter may stand in host or port"},
	{"{'url':'http://h:{p}/'}", "{'p':80}", "url: no parameter may stand in host or port"},
	{"{'url':'{u}'}", "{'u':'http://evil/'}", "url: only http:// and https://"},
	{"{'url':'ftp://h/'}", "{}", "url: only http:// and https://"},
	{"{'url':'http://u:p@h/'}", "{}", "url: no user or password may stand in it"},
	{"{'url':'http://h\\\\@evil/'}", "{}", "url: a character that may not stand in it"},
	{"{'url':'http://0177.0.0.1/'}", "{}", "url: "},
	{"{'url':'http://2130706433/'}", "{}", "url: "},
	{"{'url':'http://0x7f.1/'}", "{}", "url: "},
	{"{'url':'http://h.:80/'}", "{}", "url: "},
	{"{'url':'http://h:99999/'}", "{}", "url: its port is not one"},
	{"{'url':'http://h/{a}'}", "{'a':'..'}", "url: a segment of dots"},
	{"{'url':'http://h/a/{a}.'}", "{'a':'.'}", "url: a segment of"},
	{"{'url':'http://h/a/../b'}", "{}", "url: a segment of"},
	{"{'url':'http://h/a/%2E./b'}", "{}", "url: a segment of"},
	{"{'url':'http://h/a/%2e'}", "{}", "url: a segment of"},
	{"{'url':'http://h/','method':'TRACE'}", "{}", "method: TRACE"},
	{"{'url':'http://h/','headers':'Host: evil'}", "{}", "headers: Host is not yours to say"},
	{"{'url':'http://h/','headers':'Content-Length: 5'}", "{}",
	 "headers: Content-Length is not"},
	{"{'url':'http://h/','headers':'nonsense'}", "{}", "headers: a line is not of the form"},
	{"{'url':'http://h/','headers':'X-A: b\\u0001'}", "{}",
	 "headers: X-A: a control character"},
	{"{'url':'http://h/','auth':{'type':'bearer','token':'s3cret\\r\\nX-Evil: 1'}}", "{}",
	 "headers: Authorization: a control character"},
	{"{'url':'http://h/','auth':{'type':'bearer'}}", "{}", "auth: token is missing"},
	{"{'url':'http://h/','auth':{'type':'oauth'}}", "{}", "auth: of no known type"},
	{"{'url':'http://h/','method':'POST','body':'{\\u0022a\\u0022: {a}'}", "{'a':1}",
	 "body: with these parameters it is no JSON"},
};

START_TEST(test_request)
{
	_cleanup_json_ json_t *tool = parse(requests[_i].tool),
			      *params = parse(requests[_i].params);
	_cleanup_(http_tool_request_done) struct http_tool_request r = {0};
	_cleanup_buf_ struct buf said = BUF_INIT(10000);
	struct err err = {0};

	if (http_tool_request(tool, params, &r, &err) < 0) {
		ck_assert_msg(
			strncmp(err.msg, requests[_i].request, strlen(requests[_i].request)) == 0,
			"%s: %s", requests[_i].tool, err.msg);
		ck_assert_ptr_null(strstr(err.msg, "s3cret"));
		return;
	}
	buf_appendf(&said, "%s %s|%s", r.method, r.url, r.body ? r.body : "");
	for (char **line = r.headers; *line; line++)
		buf_appendf(&said, "|%s", *line);
	for (size_t i = 0; i < said.len; i++)
		if (said.data[i] == '"')
			said.data[i] = '\'';
	ck_assert_str_eq(said.data, requests[_i].request);
}
END_TEST

static const struct {
	const char *type, *body, *path, *value; /* NULL: nothing there */
} answers[] = {
	{"application/json", "{'a':[1,{'b/c':2,'d~e':3}]}", "", "{'a': [1, {'b/c': 2, 'd~e': 3}]}"},
	{"application/json", "{'a':[1,{'b/c':2,'d~e':3}]}", "/a/1/b~1c", "2"},
	{"application/json", "{'a':[1,{'b/c':2,'d~e':3}]}", "/a/1/d~0e", "3"},
	{"application/json", "{'a':[1,{'b':2}]}", "a[1].b", "2"},
	{"application/json", "{'a':[1,{'b':2}]}", "$.a[0]", "1"},
	{"application/json", "{'a':{'b.c':2}}", "$.a[\\'b.c\\']", "2"},
	{"application/json", "[[1,2],[3]]", "[1][0]", "3"},
	{"application/json", "{'a':1}", "b", NULL},
	{"application/json", "{'a':[1]}", "/a/1", NULL},
	{"application/json", "{'a':[1]}", "/a/-", NULL},
	{"application/json", "{'a':[1]}", "a[0", NULL},
	{"application/json", "{'a':null}", "a", "null"},
	{"application/vnd.x+json; charset=utf-8", "{'a':1}", "", "{'a': 1}"},
	{"text/plain", "{'a':1}", "/a", "1"},
	{"text/plain", "a text", "/a", NULL},
	{"text/html", "<p>", "", "'<p>'"},
	{"application/json", "not json", "", "'not json'"},
	{"text/plain; charset=ISO-8859-1", "caf\xe9", "", "'caf\xc3\xa9'"},
	{"text/plain; charset=\"latin1\"", "caf\xe9", "", "'caf\xc3\xa9'"},
	{"text/plain; charset=koi8-r", "caf\xe9", "", "'caf\xef\xbf\xbd'"},
	/* no character is cut in two */
	{"text/plain", "0123456789012345678901234567890\xc3\xa9x", "",
	 "'0123456789012345678901234567890\\n[... cut, 31 of 34 bytes are shown ...]'"},
	{"text/plain", "caf\xe9", "", "'caf\xef\xbf\xbd'"},
	{"text/plain", "0123456789012345678901234567890123456789", "",
	 "'01234567890123456789012345678901\\n[... cut, 32 of 40 bytes are shown ...]'"},
};

START_TEST(test_answer)
{
	struct http_tool_answer a = {.status = 200, .body = BUF_INIT(1000)};
	_cleanup_buf_ struct buf said = BUF_INIT(1000), path = BUF_INIT(100);
	_cleanup_json_ json_t *value = NULL;
	struct err err = {0};

	strcpy(a.content_type, answers[_i].type);
	for (const char *s = answers[_i].body; *s; s++)
		buf_append_char(&a.body, *s == '\'' ? '"' : *s);
	for (const char *s = answers[_i].path; *s; s++)
		buf_append_char(&path, *s == '\\' ? *++s : *s);
	int r = http_answer_value(&a, path.data, 32, &value, &err);
	ck_assert_msg((r == 0) == (answers[_i].value != NULL), "%s", err.msg);
	if (r == 0) {
		char *text = json_dumps(value, JSON_ENCODE_ANY);
		for (char *s = text; *s; s++)
			*s = *s == '"' ? '\'' : *s;
		ck_assert_str_eq(text, answers[_i].value);
		free(text);
	}
	buf_done(&a.body);
}
END_TEST

START_TEST(test_sealed_auth)
{
	struct seal_keys keys;
	_cleanup_buf_ struct buf sealed = BUF_INIT(1000);
	_cleanup_json_ json_t *open = NULL;
	struct err err;

	ck_assert_int_eq(
		seal_keys_parse("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", &keys, &err), 0);
	ck_assert_int_eq(seal(&keys, "http_tools.auth.7", "t0k", 3, &sealed, &err), 0);
	_cleanup_json_ json_t *tool = json_pack("{s:s, s:{s:s, s:s}}", "url", "http://h/", "auth",
						"type", "bearer", "token", sealed.data);
	ck_assert_int_eq(http_tool_open(tool, 7, &keys, &open, &err), 0);
	ck_assert_str_eq(json_member_str(json_object_get(open, "auth"), "token"), "t0k");
	ck_assert_str_eq(json_member_str(json_object_get(tool, "auth"), "token"), sealed.data);
	json_t *other = NULL;
	ck_assert_int_eq(http_tool_open(tool, 8, &keys, &other, &err), -ERR_DENIED);
	keys.count = 0;
	ck_assert_int_eq(http_tool_open(tool, 7, &keys, &other, &err), -ERR_UNSUPPORTED);
}
END_TEST

/* tool; status, Location; "METHOD url|body|header…" of what is asked next, NULL for nothing, or
 * what is wrong. */
#define POST_TO(url)                                                                               \
	"{'url':'" url "','method':'POST','body':'{}','headers':'X-Own: s3cret',"                  \
	"'auth':{'type':'bearer','token':'s3cret'}}"
#define GET_FROM(url)                                                                              \
	"{'url':'" url "','headers':'Accept: a/b\\nX-Own: s3cret','auth':{'type':'api_key',"       \
	"'header':'X-Key','value':'s3cret'}}"
#define OWN "|X-Own: s3cret|Authorization: Bearer s3cret"
static const struct {
	const char *tool;
	int status;
	const char *location, *next;
} redirects[] = {
	{GET_FROM("http://h/a/b?c"), 200, "/x", NULL},
	{GET_FROM("http://h/a/b?c"), 304, "/x", NULL},
	{GET_FROM("http://h/a/b?c"), 300, "/x", NULL},
	{GET_FROM("http://h/a/b?c"), 302, NULL, NULL},
	{GET_FROM("http://h/a/b?c"), 301, "/x?y#z",
	 "GET http://h/x?y||Accept: a/b|X-Own: s3cret|X-Key: s3cret"},
	{GET_FROM("http://h/a/b?c"), 307, "d",
	 "GET http://h/a/d||Accept: a/b|X-Own: s3cret|X-Key: s3cret"},
	/* another origin: host, port, scheme */
	{GET_FROM("http://h/"), 302, "http://i/x", "GET http://i/x||Accept: a/b"},
	{GET_FROM("http://h/"), 302, "//i/x", "GET http://i/x||Accept: a/b"},
	{GET_FROM("http://h/"), 308, "http://h:81/", "GET http://h:81/||Accept: a/b"},
	{GET_FROM("http://h/"), 302, "https://h/", "GET https://h/||Accept: a/b"},
	{GET_FROM("http://h/"), 302, "http://H:80/x",
	 "GET http://H:80/x||Accept: a/b|X-Own: s3cret|X-Key: s3cret"},
	/* methods */
	{POST_TO("http://h/"), 301, "/x", "GET http://h/x|" OWN "|Accept: *"},
	{POST_TO("http://h/"), 302, "/x", "GET http://h/x|" OWN "|Accept: *"},
	{POST_TO("http://h/"), 303, "/x", "GET http://h/x|" OWN "|Accept: *"},
	{POST_TO("http://h/"), 307, "/x",
	 "POST http://h/x|{}" OWN "|Content-Type: application/json|Accept: *"},
	{POST_TO("http://h/"), 308, "/x",
	 "POST http://h/x|{}" OWN "|Content-Type: application/json|Accept: *"},
	{POST_TO("http://h/"), 303, "http://i/x", "GET http://i/x||Accept: *"},
	{POST_TO("http://h/"), 307, "http://i/x", "redirect: a body does not go to another origin"},
	{"{'url':'http://h/','method':'DELETE'}", 302, "/x", "DELETE http://h/x||Accept: *"},
	{"{'url':'http://h/','method':'DELETE'}", 303, "/x", "GET http://h/x||Accept: *"},
	/* what is no place to go */
	{GET_FROM("https://h/"), 302, "http://h/", "redirect: from https to http"},
	{GET_FROM("http://h/"), 302, "file:///etc/passwd", "redirect: only http:// and https://"},
	{GET_FROM("http://h/"), 302, "gopher://h/", "redirect: only http:// and https://"},
	{GET_FROM("http://h/"), 302, "http://u:p@h/", "redirect: no user or password"},
	{GET_FROM("http://h/"), 302, "//h@i/", "redirect: no user or password"},
	{GET_FROM("http://h/"), 302, "http://2130706433/", "redirect: "},
	{GET_FROM("http://h/"), 302, "http://0177.1/", "redirect: "},
	{GET_FROM("http://h/"), 302, "http://h.:80/", "redirect: "},
	{GET_FROM("http://h/"), 302, "http://[fe80::1%25eth0]/", "redirect: "},
	{GET_FROM("http://h/"), 302, "\\\\i/x", "redirect: a character that may not"},
	{GET_FROM("http://h/"), 302, "/a b", "redirect: a character that may not"},
	{GET_FROM("http://h/a/b"), 302, "../c", "redirect: a segment of its path"},
	{GET_FROM("http://h/a/b"), 302, "/%2e%2E/c", "redirect: a segment of its path"},
};

START_TEST(test_redirect)
{
	_cleanup_json_ json_t *tool = parse(redirects[_i].tool), *none = json_object();
	_cleanup_(http_tool_request_done) struct http_tool_request r = {0};
	_cleanup_buf_ struct buf said = BUF_INIT(10000);
	const char *next = redirects[_i].next;
	struct err err = {0};

	ck_assert_int_eq(http_tool_request(tool, none, &r, &err), 0);
	int rc = http_tool_redirect(&r, redirects[_i].status, redirects[_i].location, &err);
	if (next == NULL) {
		ck_assert_int_eq(rc, 0);
		return;
	}
	if (rc < 0) {
		ck_assert_msg(strncmp(err.msg, next, strlen(next)) == 0, "%s", err.msg);
		return;
	}
	ck_assert_int_eq(rc, 1);
	buf_appendf(&said, "%s %s|%s", r.method, r.url, r.body ? r.body : "");
	for (char **line = r.headers; *line; line++)
		buf_appendf(&said, "|%s",
			    strncmp(*line, "Accept: app", 11) == 0 ? "Accept: *" : *line);
	ck_assert_str_eq(said.data, next);
	const char *path = strchr(r.url + strlen("https://"), '/');
	ck_assert(path && strncmp(path, r.path, strlen(r.path)) == 0);
}
END_TEST

START_TEST(test_how_many_redirects)
{
	static const struct {
		const char *tool;
		int count; /* -1: refused */
	} tools[] = {{"{}", 0},
		     {"{'redirects':null}", 0},
		     {"{'redirects':0}", 0},
		     {"{'redirects':5}", 5},
		     {"{'redirects':6}", -1},
		     {"{'redirects':-1}", -1},
		     {"{'redirects':'1'}", -1},
		     {"{'redirects':true}", -1}};

	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		_cleanup_json_ json_t *tool = parse(tools[i].tool);
		int count = -1;
		struct err err;
		int rc = http_tool_redirects(tool, &count, &err);
		ck_assert_int_eq(rc, tools[i].count < 0 ? -ERR_INVALID : 0);
		ck_assert_int_eq(count, tools[i].count);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("http tools");

	tcase_add_loop_test(t, test_template, 0, ARRAY_LEN(templates));
	tcase_add_loop_test(t, test_request, 0, ARRAY_LEN(requests));
	tcase_add_loop_test(t, test_answer, 0, ARRAY_LEN(answers));
	tcase_add_test(t, test_sealed_auth);
	tcase_add_loop_test(t, test_redirect, 0, ARRAY_LEN(redirects));
	tcase_add_test(t, test_how_many_redirects);
	return suite_run("http_tool", t);
}
