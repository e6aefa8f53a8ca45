/*
 * The engine role's socket and connections. See engine_role.h.
 */
#include "engine_role.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "role_held.h"
#include "role_served.h"

#define HELLO_TIME (10 * USEC_PER_SEC)

void role_audit(const struct role_peer *peer, const struct waist_request *q, usec_t began,
		const char *image, const char *made, const struct err *err)
{
	const char *decision = err == NULL ? "allow" : err->code == ERR_DENIED ? "deny" : "error";
	_cleanup_json_ json_t *line =
		json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:i, s:i, s:I}", "kind",
			  "engine", "decision", decision, "tool", q->op ?: "", "target",
			  made ?: q->id, "image", image, "name", q->name, "why", q->why, "reason",
			  err ? err->msg : NULL, "peer_pid", peer->pid, "peer_uid", (int)peer->uid,
			  "duration_ms", (json_int_t)((clock_mono() - began) / USEC_PER_MSEC));
	_cleanup_free_ char *text =
		line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	if (text)
		log_audit(text);
	else
		log_warning("engine role: an audit line could not be written");
}

/* ---- one connection ---- */

struct connection {
	struct engine_role *role;
	struct role_peer peer;
};

static int check_hello(struct engine_role *r, const json_t *json, struct err *err)
{
	struct waist_request q;
	int rc = waist_request_read(json, &q, err);

	if (rc < 0)
		return rc;
	if (strcmp(q.op, "hello") != 0 || q.version != WAIST_VERSION)
		return err_set(err, ERR_UNSUPPORTED, "this engine role speaks version %d",
			       WAIST_VERSION);
	if (q.instance == NULL || strcmp(q.instance, r->settings->instance) != 0)
		return err_set(err, ERR_DENIED, "this engine role is of instance %s",
			       r->settings->instance);
	return 0;
}

static bool say_hello(struct engine_role *r, const struct role_peer *peer)
{
	_cleanup_json_ json_t *json = NULL, *said = NULL;
	usec_t deadline = clock_deadline(HELLO_TIME);
	struct err err = {0}, ignored;
	int rc = waist_receive(peer->fd, WAIST_SMALL, deadline, &json, &err);

	if (rc == 0)
		rc = check_hello(r, json, &err);
	if (rc < 0 && err.code != ERR_CLOSED)
		role_audit(peer, &(struct waist_request){.op = "hello"}, clock_mono(), NULL, NULL,
			   &err);
	said = rc < 0 ? waist_error_write(&err) : json_pack("{s:i}", "version", WAIST_VERSION);
	return waist_send(peer->fd, said, WAIST_REPLY, deadline, &ignored) == 0 && rc == 0;
}

/* What was said is no request: the connection's last answer. */
static enum role_next turn_away(struct connection *c, const struct err *err)
{
	_cleanup_json_ json_t *said = waist_error_write(err);
	struct err ignored;

	if (err->code == ERR_CLOSED)
		return ROLE_END;
	role_audit(&c->peer, &(struct waist_request){.op = "frame"}, clock_mono(), NULL, NULL, err);
	if (waist_send(c->peer.fd, said, WAIST_REPLY, clock_deadline(HELLO_TIME), &ignored) < 0)
		log_debug("engine role: %s", ignored.msg);
	return ROLE_END;
}

/* `len` bytes that were announced. */
static enum role_next serve_frame(struct connection *c, size_t len)
{
	_cleanup_json_ json_t *json = NULL;
	struct err err = {0};
	int rc = waist_receive_body(c->peer.fd, len, clock_deadline(BODY_TIME), &json, &err);

	return rc < 0 ? turn_away(c, &err) : role_serve(c->role, &c->peer, json, len);
}

static enum role_next serve_next(struct connection *c)
{
	struct err err = {0};
	size_t len = 0, room;
	int rc = waist_receive_head(c->peer.fd, WAIST_REQUEST, USEC_NEVER, &len, &err);

	room = len > WAIST_SMALL ? len * ROLE_PARSED : 0;
	if (rc == 0 && room > 0)
		rc = role_take(c->role, c->peer.share, room, &err);
	if (rc < 0)
		return turn_away(c, &err);
	enum role_next next = serve_frame(c, len);
	role_give(c->role, c->peer.share, room);
	return next;
}

static void *connection_thread(void *arg)
{
	struct connection *c = arg;
	enum role_next next = say_hello(c->role, &c->peer) ? ROLE_GO_ON : ROLE_END;

	while (next == ROLE_GO_ON)
		next = serve_next(c);
	if (next == ROLE_END)
		close(c->peer.fd);
	role_connection_leave(c->role, c->peer.share);
	free(c);
	return NULL;
}

/* ---- the socket ---- */

static void refuse(const struct role_peer *peer, const struct err *why)
{
	_cleanup_json_ json_t *said = waist_error_write(why);
	struct err ignored;

	role_audit(peer, &(struct waist_request){.op = "connect"}, clock_mono(), NULL, NULL, why);
	if (waist_send(peer->fd, said, WAIST_REPLY, clock_mono(), &ignored) < 0)
		log_debug("engine role: %s", ignored.msg);
	close(peer->fd);
}

static void take(struct engine_role *r, int fd)
{
	struct ucred who = {0};
	socklen_t size = sizeof(who);
	struct role_peer peer = {.fd = fd};
	struct err err = {0};
	pthread_t thread;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) {
		close(fd);
		return;
	}
	peer.pid = (int)who.pid;
	peer.uid = who.uid;
	if (r->control < 0 && !role_serves(r->settings, who.uid)) {
		err_set(&err, ERR_DENIED, "CELERIAC_ENGINE_PEERS does not list this user");
		refuse(&peer, &err);
		return;
	}
	peer.share = role_share_of(r, peer.pid, peer.uid);
	if (!role_connection_enter(r, peer.share)) {
		err_set(&err, ERR_UNAVAILABLE, "too many connections, in all or of this peer");
		refuse(&peer, &err);
		return;
	}
	struct connection *c = xcalloc(1, sizeof(*c));
	c->role = r;
	c->peer = peer;
	if (thread_start(&thread, "engine-peer", connection_thread, c, &err) == 0) {
		pthread_detach(thread);
		return;
	}
	log_error("engine role: %s", err.msg);
	role_connection_leave(r, peer.share);
	close(fd);
	free(c);
}

/* What a worker hands over is a connection, or nothing. */
static void take_handed(struct engine_role *r, int fd)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(domain), more = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &more) == 0 && type == SOCK_STREAM)
		take(r, fd);
	else if (fd >= 0)
		close(fd);
}

/* A socket that was left behind is replaced, one that is answered never. */
static int clear_way(const struct sockaddr_un *at, struct err *err)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0)
		return err_set(err, ERR_CONFLICT, "%s: another engine role answers there",
			       at->sun_path);
	if (errno == ECONNREFUSED)
		unlink(at->sun_path);
	return 0;
}

static int listen_at(struct engine_role *r, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	mode_t mask;
	int rc;

	memcpy(at.sun_path, r->path, strlen(r->path) + 1);
	if ((rc = clear_way(&at, err)) < 0)
		return rc;
	r->listens = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0117); /* for its user and group */
	rc = r->listens < 0 ? -1 : bind(r->listens, (const struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (rc < 0 || listen(r->listens, 128) < 0)
		return err_set_errno(err, ERR_INVALID, errno, "CELERIAC_ENGINE: %s", r->path);
	return 0;
}

static int open_engine(struct engine_role *r, struct err *err)
{
	const struct settings *s = r->settings;
	const struct engine_config config = {.host = s->docker_host,
					     .tls_verify = s->docker_tls_verify,
					     .plain_tcp = s->docker_plain_tcp,
					     .cert_path = s->docker_cert_path,
					     .api_version = s->docker_api_version,
					     .instance = s->instance,
					     .mounts = &s->sandbox_mount_allow};

	return engine_open(&config, &r->engine, err);
}

static void free_role(struct engine_role *r)
{
	engine_close(r->engine);
	pthread_rwlock_destroy(&r->volumes);
	cond_done(&r->spent);
	mutex_done(&r->lock);
	free(r->known);
	free(r->path);
	free(r);
}

int engine_role_open(const struct settings *settings, int control, struct engine_role **ret,
		     struct err *err)
{
	struct engine_role *r = xcalloc(1, sizeof(*r));
	int rc = 0;

	r->settings = settings;
	r->listens = -1;
	r->control = control;
	r->known = xcalloc(ROLE_KNOWN, sizeof(*r->known));
	mutex_init(&r->lock);
	cond_init(&r->spent);
	pthread_rwlock_init(&r->volumes, NULL);
	if (control < 0)
		rc = engine_way(settings) == ENGINE_WAY_ROLE
			     ? waist_path(settings->engine, &r->path, err)
			     : err_set(err, ERR_INVALID, "CELERIAC_ENGINE says no socket");
	if (rc == 0)
		rc = open_engine(r, err);
	if (rc == 0 && control < 0)
		rc = listen_at(r, err);
	if (rc < 0) {
		free_role(r);
		return rc;
	}
	if (r->path)
		r->directory = xstrndup(r->path, (size_t)(strrchr(r->path, '/') - r->path));
	*ret = r;
	return 0;
}

const char *engine_role_directory(const struct engine_role *r)
{
	return r->directory;
}

/* Where anybody may knock. False: a signal says that it is over. */
static bool serve_socket(struct engine_role *r, int signals)
{
	struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
			       {.fd = r->listens, .events = POLLIN}};
	int n = poll(fds, ARRAY_LEN(fds), -1), signum;

	if (n < 0 && errno != EINTR)
		return false;
	signum = daemon_next_signal(signals);
	if (signum == SIGTERM || signum == SIGINT || signum == SIGQUIT)
		return false;
	int fd = accept4(r->listens, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		take(r, fd);
	return true;
}

/* For one worker. False: it has ended; until then no signal is heard. */
static bool serve_worker(struct engine_role *r)
{
	struct pollfd fds = {.fd = r->control, .events = POLLIN};
	int fd = -1, rc;

	if (poll(&fds, 1, -1) < 0 && errno != EINTR)
		return false;
	rc = engine_held_receive(r->control, &fd);
	if (rc > 0)
		take_handed(r, fd);
	return rc >= 0;
}

void engine_role_run(struct engine_role *r, int signals)
{
	struct err err = {0};

	if (role_relay_start(r, &r->relay, &err) < 0) {
		log_critical("engine role: %s", err.msg);
		return;
	}
	if (r->control >= 0)
		log_info("engine role: serves its worker");
	else
		log_info("engine role: serves instance %s at unix:%s", r->settings->instance,
			 r->path);
	while (r->control >= 0 ? serve_worker(r) : serve_socket(r, signals))
		;
	if (r->path)
		unlink(r->path);
	log_info("engine role: ends");
}
