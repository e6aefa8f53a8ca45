/*
 * Custom HTTP tools: a line of JSON that is a row of http_tools, one of parameters, one that is
 * where an answer leads, and an answer.
 */
#include "fuzz.h"
#include "tasks/http_tool.h"

static void templates(const char *text, const json_t *params, const json_t *known)
{
	for (int kind = TEMPLATE_PATH; kind <= TEMPLATE_TEXT; kind++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1u << 16);
		_cleanup_json_ json_t *used = json_object();
		struct err err;
		int rc = http_template((enum template_kind)kind, text, strlen(text), params, known,
				       used, &out, &err);

		if (rc < 0)
			fuzz_failed(rc, &err);
		else
			fuzz_made(&out);
	}
}

static void request(const json_t *tool, const json_t *params, const char *location)
{
	struct http_tool_request r = {0};
	struct err err;
	int rc = http_tool_request(tool, params, &r, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return;
	}
	for (int i = 0; i < 2; i++) {
		fuzz_made_text(r.method);
		fuzz_made_text(r.url);
		fuzz_made_text(r.body);
		FUZZ_CHECK(r.method && r.url && r.path && r.path[0] == '/' && !strchr(r.path, '?'));
		FUZZ_CHECK(r.host.name[0] && r.port != 0 && !strpbrk(r.url, " \r\n\t"));
		for (char **h = r.headers; h && *h; h++, fuzz_made_text(h[-1]))
			FUZZ_CHECK(!strpbrk(*h, "\r\n") && strchr(*h, ':'));
		if (i == 0 && http_tool_redirect(&r, 302, location, &err) < 0)
			fuzz_failed(-err.code, &err);
	}
	http_tool_request_done(&r);
}

static void answer(const char *path, const char *body)
{
	struct http_tool_answer a = {.status = 200,
				     .content_type = "application/json",
				     .body = BUF_INIT(HTTP_TOOL_BODY)};
	_cleanup_json_ json_t *value = NULL;
	struct err err;

	buf_append_str(&a.body, body);
	if (buf_status(&a.body, &err) < 0 || http_answer_value(&a, path, 1000, &value, &err) < 0)
		fuzz_failed(-err.code, &err);
	else
		fuzz_made_json(value);
	buf_done(&a.body);
}

int fuzz_http_tool(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	_cleanup_json_ json_t *tool = fuzz_json_line(&in), *params = fuzz_json_line(&in);
	_cleanup_free_ char *location = fuzz_line(&in), *body = fuzz_line(&in);

	answer(location, body);
	if (!json_is_object(params))
		return 0;
	templates(location, params, json_member(json_member(tool, "input_schema"), "properties"));
	if (json_is_object(tool))
		request(tool, params, location);
	return 0;
}
