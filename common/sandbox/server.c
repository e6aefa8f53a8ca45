/*
 * server.c: MCP servers in containers of their own, reached by their standard streams.
 *
 * What a server writes to its stderr is kept apart, the end of it, and never stops it.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "fault.h"
#include "log.h"
#include "mem.h"
#include "sandbox_internal.h"

#define STDERR_BYTES 4096
#define NOFILE	     4096
#define GRACE	     (2 * USEC_PER_SEC)
#define LOOK_MS	     20

struct sandbox_server {
	struct sandbox *s;
	struct engine_stream *stream;
	char container[ENGINE_ID_SIZE];
	const char *rest; /* of its stdout, read and not taken yet: borrowed from the stream */
	size_t rest_len;
	char said[STDERR_BYTES + 1]; /* of its stderr, the end */
	size_t said_len;
};

static int create(struct sandbox *s, const struct sandbox_server_wish *wish,
		  char ret_id[ENGINE_ID_SIZE], struct err *err)
{
	const struct settings *st = s->settings;
	const struct engine_tmpfs tmpfs[] = {
		{.path = "/tmp", .size = st->sandbox_work_size, .mode = 01777, .exec = true}};
	const char *env[BOUND_ENV_VARS + 3] = {"HOME=/tmp", "TMPDIR=/tmp"};
	char created[CLOCK_ISO_SIZE];
	const struct engine_label labels[] = {
		{"role", SANDBOX_ROLE_SERVER},
		{"server", wish->name},
		{"conversation", wish->conversation ? wish->conversation : ""},
		{"project", wish->project ? wish->project : ""},
		{"owner", s->presence ? presence_owner(s->presence) : ""},
		{"created", created},
	};
	_cleanup_free_ char **volumes = NULL;
	size_t n = 2;
	int rc = engine_image_volumes(s->engine, wish->image, &volumes, err);

	if (rc < 0)
		return rc;
	for (const char *const *e = wish->env; e && *e && n < BOUND_ENV_VARS + 2; e++)
		env[n++] = *e;
	const struct engine_spec spec = {
		.image = wish->image,
		.argv = wish->argv,
		.env = env,
		.working_dir = "/tmp",
		.stdin_once = true,
		.network = wish->network,
		.runtime = st->sandbox_runtime && *st->sandbox_runtime ? st->sandbox_runtime : NULL,
		.memory = st->sandbox_memory + st->sandbox_work_size,
		.cpus = st->sandbox_cpus,
		.pids = st->sandbox_pids,
		.nofile = NOFILE,
		.tmpfs = tmpfs,
		.tmpfs_count = ARRAY_LEN(tmpfs),
		.image_volumes = (const char *const *)volumes,
		.labels = labels,
		.label_count = ARRAY_LEN(labels)};

	clock_iso(clock_wall(), created);
	return engine_create(s->engine, &spec, ret_id, NULL, err);
}

int sandbox_server_start(struct sandbox *s, const struct sandbox_server_wish *wish,
			 struct sandbox_server **ret, struct err *err)
{
	struct sandbox_server *v;
	struct engine_stream *stream = NULL;
	char id[ENGINE_ID_SIZE];
	int rc = sandbox_need(s, err);

	if (rc == 0 && wish->network)
		rc = engine_network_need(s->engine, wish->network, err);
	if (rc == 0)
		rc = create(s, wish, id, err);
	if (rc < 0)
		return rc == -ERR_NOTFOUND ? err_wrap(err, "image %.100s", wish->image) : rc;
	FAULT_POINT("server.created");
	rc = engine_attach(s->engine, id, &stream, err);
	if (rc == 0)
		rc = engine_start(s->engine, id, err);
	FAULT_POINT("server.started");
	if (rc < 0) {
		engine_stream_close(stream);
		sandbox_container_drop(s, id);
		return err_wrap(err, "starting MCP server %.100s", wish->name);
	}
	v = xcalloc(1, sizeof(*v));
	v->s = s;
	v->stream = stream;
	memcpy(v->container, id, sizeof(id));
	*ret = v;
	return 0;
}

/* Keeps the last of it. */
static void take_stderr(struct sandbox_server *v, const char *data, size_t len)
{
	if (len > STDERR_BYTES) {
		data += len - STDERR_BYTES;
		len = STDERR_BYTES;
	}
	if (v->said_len + len > STDERR_BYTES) {
		size_t drop = v->said_len + len - STDERR_BYTES;
		memmove(v->said, v->said + drop, v->said_len - drop);
		v->said_len -= drop;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];
		v->said[v->said_len++] = c == '\n' || (c >= 0x20 && c < 0x7f) ? (char)c : '?';
	}
	v->said[v->said_len] = '\0';
}

ssize_t sandbox_server_read(struct sandbox_server *v, void *data, size_t size, usec_t deadline,
			    struct err *err)
{
	while (v->rest_len == 0) {
		enum engine_channel channel;
		const void *piece;
		size_t len;
		int rc = engine_stream_read(v->stream, deadline, &channel, &piece, &len, err);
		if (rc <= 0)
			return rc;
		if (channel == ENGINE_STDERR) {
			take_stderr(v, piece, len);
			/* one that writes there without end does not keep us beyond the time */
			if (clock_mono() >= deadline)
				return err_set(err, ERR_TIMEOUT, "nothing from the server");
		} else {
			v->rest = piece;
			v->rest_len = len;
		}
	}
	size_t n = v->rest_len < size ? v->rest_len : size;
	memcpy(data, v->rest, n);
	v->rest += n;
	v->rest_len -= n;
	return (ssize_t)n;
}

int sandbox_server_write(struct sandbox_server *v, const void *data, size_t len, usec_t deadline,
			 struct err *err)
{
	return engine_stream_write(v->stream, data, len, deadline, err);
}

const char *sandbox_server_stderr(const struct sandbox_server *v)
{
	return v->said;
}

const char *sandbox_server_container(const struct sandbox_server *v)
{
	return v->container;
}

static bool still_runs(struct sandbox_server *v)
{
	struct engine_container c;
	struct err err;

	return engine_inspect(v->s->engine, v->container, &c, &err) == 0 && c.running;
}

void sandbox_server_end(struct sandbox_server *v, usec_t deadline)
{
	usec_t grace = clock_deadline(GRACE);

	if (!v)
		return;
	engine_stream_close(v->stream);
	while (clock_mono() < (deadline < grace ? deadline : grace) && still_runs(v))
		poll(NULL, 0, LOOK_MS);
	sandbox_container_drop(v->s, v->container);
	free(v);
}
