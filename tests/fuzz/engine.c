/* What a container engine answers: events, containers, lists, its facts, errors, archives. */
#include "common/sandbox/docker_tar.h"
#include "common/sandbox/engine_internal.h"
#include "fuzz.h"

static void answers(const json_t *value)
{
	struct engine_container one, *all = NULL;
	struct engine_info info = {0};
	struct engine_group group = {0};
	size_t count = 0;
	struct err err;

	if (engine_parse_inspect(value, &one, &err) == 0)
		FUZZ_CHECK(memchr(one.id, '\0', sizeof(one.id)) != NULL);
	if (engine_parse_list(value, "default", &all, &count, &err) < 0)
		fuzz_failed(-err.code, &err);
	else
		for (size_t i = 0; i < count; i++)
			FUZZ_CHECK(engine_check_id(all[i].id, &err) == 0);
	free(all);
	engine_info_parse(value, &info);
	engine_group_parse(value, &group);
}

static void names(const char *text)
{
	char ret[8];
	struct err err;

	(void)!engine_choose_api(text, ret, &err);
	if (engine_is_image(text)) {
		_cleanup_buf_ struct buf query = BUF_INIT(1u << 16);

		engine_pull_query(text, &query);
		FUZZ_CHECK(buf_status(&query, &err) == 0 && strchr(query.data, ' ') == NULL);
	}
	if (engine_is_path(text))
		FUZZ_CHECK(text[0] == '/' && !strstr(text, "//") && !strstr(text, "/../"));
	(void)engine_is_own_name(text);
	(void)engine_is_kernel_path(text);
}

int fuzz_engine(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xmemdup(data, size);
	_cleanup_json_ json_t *value = NULL;
	struct engine_notice notice;
	struct err err;
	char name[64];

	if (engine_parse_notice((const char *)data, size, "default", &notice))
		FUZZ_CHECK(engine_check_id(notice.id, &err) == 0);
	FUZZ_CHECK(engine_reply_error(500, (const char *)data, size, &err) < 0);
	fuzz_failed(engine_reply_error(404, (const char *)data, size, &err), &err);
	engine_call_name("GET", text, name, sizeof(name));
	(void)docker_tar_holds((const char *)data, size, "agent", 0755, "x", 1);
	names(text);
	if (json_load_strict((const char *)data, size, &value, &err) == 0)
		answers(value);
	return 0;
}
