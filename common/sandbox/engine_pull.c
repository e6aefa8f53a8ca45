/*
 * engine_pull.c: images from registries. What the engine says meanwhile is a stream of JSON lines,
 * and that it failed stands in one of them, under status 200.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"

#define LINE_BYTES (64u << 10)
#define TELL_EVERY (5 * USEC_PER_SEC)

struct pull {
	const struct engine_pull *how;
	struct buf line;  /* the one that is coming */
	bool skipping;	  /* it is too long to be of interest */
	char failed[200]; /* "" = not yet */
	usec_t next_word; /* monotonic */
};

void engine_pull_query(const char *image, struct buf *out)
{
	const char *slash = strrchr(image, '/'), *at = strchr(image, '@');
	const char *colon = at ? NULL : strrchr(slash ? slash : image, ':');
	size_t name = colon ? (size_t)(colon - image) : strlen(image);
	_cleanup_free_ char *repository = xstrndup(image, name);

	buf_append_str(out, "fromImage=");
	engine_encode(repository, "", out);
	if (at)
		return;
	buf_append_str(out, "&tag=");
	engine_encode(colon ? colon + 1 : "latest", "", out);
}

static void take_line(struct pull *p)
{
	_cleanup_json_ json_t *message = NULL;
	struct err ignored;

	if (json_load_strict(p->line.data, p->line.len, &message, &ignored) < 0)
		return;
	const char *failed = json_member_str(json_object_get(message, "errorDetail"), "message");
	if (!failed)
		failed = json_member_str(message, "error");
	if (failed)
		snprintf(p->failed, sizeof(p->failed), "%s", *failed ? failed : "it failed");
	const char *status = json_member_str(message, "status");
	if (status && p->how->progress && clock_mono() >= p->next_word) {
		const char *layer = json_member_str(message, "id");
		const char *done = json_member_str(message, "progress");
		_cleanup_free_ char *word = xasprintf("%.80s %.40s %.120s", status,
						      layer ? layer : "", done ? done : "");
		p->how->progress(p->how->arg, word);
		p->next_word = clock_deadline(TELL_EVERY);
	}
}

static void on_piece(void *arg, const char *data, size_t len)
{
	struct pull *p = arg;

	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			if (!p->skipping)
				take_line(p);
			buf_reset(&p->line);
			p->skipping = false;
		} else if (p->line.len >= LINE_BYTES) {
			p->skipping = true;
		} else {
			buf_append_char(&p->line, data[i]);
		}
	}
}

static bool on_give_up(void *arg)
{
	const struct pull *p = arg;

	return p->how->give_up && p->how->give_up(p->how->arg);
}

/* The engine's words for an image that is not there, or not for everybody. */
static bool is_missing(const char *text)
{
	return strstr(text, "not found") || strstr(text, "manifest unknown") ||
	       strstr(text, "does not exist") || strstr(text, "pull access denied");
}

static int pull(struct engine *e, const char *image, const struct engine_pull *how, struct err *err)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	_cleanup_buf_ struct buf path = BUF_INIT(4096);
	struct pull p = {.how = how, .line = BUF_INIT(LINE_BYTES + 1)};
	struct engine_request req = {.method = "POST",
				     .limit = ENGINE_LIMIT_PULL,
				     .piece = on_piece,
				     .give_up = on_give_up,
				     .arg = &p};

	buf_append_str(&path, "/images/create?");
	engine_pull_query(image, &path);
	int rc = buf_status(&path, err);
	req.path = path.data;
	if (rc == 0)
		rc = engine_exchange(e, &req, &response, err);
	if (rc == 0 && p.line.len > 0 && !p.skipping)
		take_line(&p);
	buf_done(&p.line);
	if (rc < 0)
		return rc;
	if (response.status != 200)
		return engine_reply_error(response.status, response.body.data, response.body.len,
					  err);
	if (p.failed[0])
		return err_set(err, is_missing(p.failed) ? ERR_NOTFOUND : ERR_FAILED, "engine: %s",
			       p.failed);
	return 0;
}

int engine_direct_image_pull(struct engine *e, const char *image, const struct engine_pull *how,
			     struct err *err)
{
	struct engine_event event = {.action = "pull", .image = image};
	usec_t began = clock_mono();

	if (!engine_is_image(image))
		return err_set(err, ERR_INVALID, "'%.100s' is not an image's name", image);
	int rc = pull(e, image, how, err);
	engine_tell(e, &event, began, rc, err);
	return rc;
}
