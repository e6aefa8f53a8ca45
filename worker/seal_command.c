/*
 * What an operator seals by hand, or with another key.
 */
#include "seal_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"
#include "seal.h"

#define INPUT_MAX ((size_t)2 << 20) /* a sealed secret of the greatest length fits */

/* Columns that hold what is sealed. */
static const char *const columns[] = {
	"plugin_configs.config",
	"http_tools.auth",
	"mcp_servers.environment",
	"mcp_servers.headers",
};

static int check_place(const char *place, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		size_t len = strlen(columns[i]);
		const char *id = place + len + 1;

		if (strncmp(place, columns[i], len) == 0 && place[len] == '.' && *id &&
		    *id != '0' && strlen(id) < 20 && strspn(id, "0123456789") == strlen(id))
			return 0;
	}
	return err_set(
		err, ERR_INVALID,
		"'%.60s' is no place for a secret: table.column.id of plugin_configs.config, "
		"http_tools.auth, mcp_servers.environment or mcp_servers.headers",
		place);
}

/* Everything up to the end, but for one newline there. The room is reserved: no copy is left
 * behind by growing. */
static int read_input(struct buf *in, struct err *err)
{
	char *room = buf_reserve(in, INPUT_MAX);
	ssize_t n = 0;

	while (room && in->len < INPUT_MAX &&
	       ((n = read(STDIN_FILENO, room + in->len, INPUT_MAX - in->len)) > 0 ||
		(n < 0 && errno == EINTR)))
		buf_added(in, n > 0 ? (size_t)n : 0);
	if (n < 0)
		return err_set_errno(err, ERR_FAILED, errno, "standard input");
	if (room == NULL || in->len == INPUT_MAX)
		return err_set(err, ERR_TOOBIG, "standard input has more than %zu bytes",
			       INPUT_MAX - 1);
	if (in->len > 0 && in->data[in->len - 1] == '\n')
		in->len--;
	in->data[in->len] = '\0';
	return 0;
}

static int seal_input(const struct seal_keys *keys, const char *place, bool again, struct buf *in,
		      struct buf *open, struct buf *out, struct err *err)
{
	int rc = read_input(in, err);

	if (rc < 0)
		return rc;
	if (!again)
		return seal(keys, place, in->data, in->len, out, err);
	if (buf_reserve(open, in->len) == NULL)
		return err_set(err, ERR_NOMEM, "standard input");
	rc = seal_open(keys, place, in->data, open, err);
	return rc < 0 ? rc : seal(keys, place, open->data, open->len, out, err);
}

static void wipe_buf(struct buf *b)
{
	wipe(b->data, b->len);
	buf_done(b);
}

int seal_command(const struct settings *s, const char *place, bool again)
{
	_cleanup_(wipe_buf) struct buf in = BUF_INIT(INPUT_MAX + 1), open = BUF_INIT(INPUT_MAX);
	_cleanup_buf_ struct buf out = BUF_INIT(INPUT_MAX);
	_cleanup_(seal_keys_wipe) struct seal_keys keys = {0};
	struct err err = {0};
	int rc = check_place(place, &err);

	if (rc == 0)
		rc = seal_keys_parse(s->secrets_encryption_key, &keys, &err);
	if (rc == 0 && keys.count == 0)
		rc = err_set(&err, ERR_INVALID, "SECRETS_ENCRYPTION_KEY is not set");
	if (rc == 0)
		rc = seal_input(&keys, place, again, &in, &open, &out, &err);
	if (rc < 0) {
		fprintf(stderr, "celeriac-worker: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	printf("%s\n", out.data);
	return EXIT_SUCCESS;
}
