/*
 * OpenAPI documents to rows of http_tools.
 */
#include "import_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "http.h"
#include "json.h"
#include "mem.h"
#include "openapi.h"
#include "store.h"

#define FETCH_TIME (30 * USEC_PER_SEC)

static bool is_url(const char *source)
{
	return strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0;
}

static int fetch(const char *url, struct buf *out, struct err *err)
{
	const char *host = strstr(url, "://") + 3;
	size_t len = (size_t)(host - url) + strcspn(host, "/?#");
	_cleanup_free_ char *base = xstrndup(url, len);
	const struct http_target target = {.base_url = base};
	const struct http_request request = {.method = "GET",
					     .path = url[len] == '/' ? url + len : "/",
					     .timeout = FETCH_TIME,
					     .max_body = BOUND_IMPORT};
	struct http_client *c = http_client_new(&target);
	struct http_response answer = {.body = BUF_INIT(0)};
	int rc = http_do(c, &request, &answer, err);

	http_client_free(c);
	if (rc == 0 && answer.status != 200)
		rc = err_set(err, ERR_FAILED, "HTTP status %d", answer.status);
	if (rc == 0)
		buf_append(out, answer.body.data, answer.body.len);
	buf_done(&answer.body);
	return rc;
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
	char piece[16384];
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return err_set_errno(err, ERR_INVALID, errno, "it cannot be opened");
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_append(out, piece, n);
	int failed = ferror(f);
	fclose(f);
	return failed ? err_set(err, ERR_INVALID, "it cannot be read") : buf_status(out, err);
}

static int read_tools(const char *source, json_t **ret_tools, json_t **ret_skipped, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_IMPORT);
	_cleanup_json_ json_t *document = NULL;
	bool url = is_url(source);
	int rc = url ? fetch(source, &text, err) : read_file(source, &text, err);

	if (rc == 0)
		rc = json_load_strict(text.data, text.len, &document, err);
	if (rc == 0)
		rc = openapi_tools(document, url ? source : NULL, ret_tools, ret_skipped, err);
	return rc < 0 ? err_wrap(err, "%.150s", source) : 0;
}

static void show(const json_t *tools, const json_t *skipped)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)tools, i, one)
	{
		json_dumpf(one, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
	}
	json_array_foreach((json_t *)(uintptr_t)skipped, i, one)
	{
		_cleanup_free_ char *line = json_dumps(one, JSON_COMPACT | JSON_ENSURE_ASCII);

		fprintf(stderr, "skipped: %s\n", line ? line : "");
	}
}

int import_command(const struct settings *s, const char *source, bool apply)
{
	_cleanup_json_ json_t *tools = NULL, *skipped = NULL;
	struct err err = {0};
	int64_t added = 0;
	int rc = 0;

	if (apply && (s->owner_database_url == NULL || *s->owner_database_url == '\0'))
		rc = err_set(&err, ERR_INVALID,
			     "--import-openapi-apply needs CELERIAC_OWNER_DATABASE_URL");
	if (rc == 0)
		rc = http_global_init(&err);
	if (rc == 0)
		rc = read_tools(source, &tools, &skipped, &err);
	if (rc == 0)
		show(tools, skipped);
	if (rc == 0 && apply)
		rc = store_import_http_tools(s->owner_database_url, tools, &added, &err);
	if (rc < 0) {
		fprintf(stderr, "celeriac-worker: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	fprintf(stderr, "%zu tools, %zu operations that cannot be one", json_array_size(tools),
		json_array_size(skipped));
	if (apply)
		fprintf(stderr, "; %lld added", (long long)added);
	fprintf(stderr, "%s\n", apply ? "" : "; nothing was written");
	return EXIT_SUCCESS;
}
