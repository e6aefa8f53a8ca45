/*
 * plugin_config.c: what a plugin is configured with, out of plugin_configs: by reference, so that
 * no message holds a secret. It is opened for one call, and wiped.
 */
#include <stdlib.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "seal.h"
#include "tasks.h"
#include "tool.h"

static void wipe_buf(struct buf *b)
{
	wipe(b->data, b->len);
	buf_done(b);
}

static int open_config(struct task_ctx *ctx, const char *sealed, const char *place, json_t **ret,
		       struct err *err)
{
	_cleanup_(wipe_buf) struct buf text = BUF_INIT(BOUND_PLUGIN_CONFIG);
	_cleanup_json_wipe_ json_t *config = NULL;
	struct err why;

	/* all of it at once: growing would leave copies behind */
	if (buf_reserve(&text, BOUND_PLUGIN_CONFIG) == NULL)
		return err_set(err, ERR_NOMEM, "%s", place);
	int rc = seal_open(task_ctx_seal_keys(ctx), place, sealed, &text, err);
	if (rc < 0)
		return rc;
	if (json_load_python(text.data, text.len, &config, &why) < 0 || !json_is_object(config))
		return err_set(err, ERR_INVALID, "%s is not a JSON object", place);
	*ret = TAKE(config);
	return 0;
}

int plugin_config_load(struct task_ctx *ctx, const char *plugin, const char *project, json_t **ret,
		       struct err *err)
{
	_cleanup_free_ char *sealed = NULL;
	char place[STORE_PLACE_SIZE];
	int rc;

	do
		rc = store_load_plugin_config(task_ctx_store(ctx), plugin, project, &sealed, place,
					      err);
	while (task_asks_again(ctx, &rc, err));
	if (rc == -ERR_NOTFOUND) {
		*ret = NULL;
		return 0;
	}
	if (rc == -ERR_CANCELLED)
		return rc;
	if (rc == 0)
		rc = open_config(ctx, sealed, place, ret, err);
	if (rc < 0) {
		struct err why = *err;

		record_unopened(ctx, &why);
		return task_raise(ctx, err, "builtins", "RuntimeError",
				  "the configuration of plugin %s: %s", plugin, why.msg);
	}
	return 0;
}
