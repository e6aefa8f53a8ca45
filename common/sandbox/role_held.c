/*
 * role_held.c: a worker's own engine roles, of which it holds one end. See engine_role.h.
 *
 * What is started is this program again (--engine) with an environment of its own: of the worker's
 * memory and secrets nothing is left in it.
 */
#include "role_held.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fleet.h"
#include "mem.h"

#define KEPT "CELERIAC_ENGINE_KEPT" /* in the environment of a life after a restart */

struct engine_held {
	struct {
		int keeper, control;
	} roles[FLEET_MAX];
	size_t count;
};

/* ---- what a role is told ---- */

/* Of the worker's environment a role gets what it judges by, and what the system's libraries read.
 */
static const char *const passed[] = {
	"ASAN_OPTIONS=",
	"CELERIAC_CAGE=",
	"CELERIAC_CAGE_PATHS=",
	"CELERIAC_CAGE_WITHOUT=",
	"CELERIAC_ENGINE_",
	"CELERIAC_INSTANCE=",
	"CELERIAC_LOG_FORMAT=",
	"DOCKER_",
	"FAKETIME",
	"HOME=",
	"LANG=",
	"LC_",
	"LD_",
	"LSAN_OPTIONS=",
	"MCP_NETWORK=",
	"PATH=",
	"SANDBOX_",
	"SSL_CERT_",
	"TSAN_OPTIONS=",
	"TZ=",
	"UBSAN_OPTIONS=",
};
/* What another role grants only where its settings say so: this one serves the very worker whose
 * settings these are, which makes containers of the images that its database names. */
static size_t grant(char *const *from, const struct settings *s, char **all)
{
	const struct {
		const char *name;
		char *value;
	} granted[] = {
		{"CELERIAC_ENGINE_IMAGES", xstrdup("*")},
		{"CELERIAC_ENGINE_RATE", xstrdup("5000")},
		{"CELERIAC_ENGINE_CONTAINERS", xstrdup("65536")},
		{"CELERIAC_ENGINE_MEMORY",
		 xasprintf("%lld",
			   (long long)(s->sandbox_memory > s->engine_memory ? s->sandbox_memory
									    : s->engine_memory))},
		{"CELERIAC_ENGINE_CPUS",
		 xasprintf("%g",
			   s->sandbox_cpus > s->engine_cpus ? s->sandbox_cpus : s->engine_cpus)},
		{"CELERIAC_ENGINE_PIDS",
		 xasprintf("%lld", (long long)(s->sandbox_pids > s->engine_pids ? s->sandbox_pids
										: s->engine_pids))},
	};
	size_t count = 0;

	for (size_t g = 0; g < ARRAY_LEN(granted); g++) {
		size_t len = strlen(granted[g].name);
		bool said = false;

		for (char *const *one = from; *one && !said; one++)
			said = strncmp(*one, granted[g].name, len) == 0 &&
			       ((*one)[len] == '=' || strncmp(*one + len, "_FILE=", 6) == 0);
		if (!said)
			all[count++] = xasprintf("%s=%s", granted[g].name, granted[g].value);
		free(granted[g].value);
	}
	return count;
}
#define GRANTED 6

static bool is_passed(const char *one)
{
	if (strncmp(one, KEPT, strlen(KEPT)) == 0 || strncmp(one, HELD_BY, strlen(HELD_BY)) == 0 ||
	    settings_holds_secret(one))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		if (strncmp(one, passed[i], strlen(passed[i])) == 0)
			return true;
	return false;
}

char **engine_held_environment(char *const *from, const struct settings *s, const char *host,
			       const char *certificates, int keeper, int control)
{
	size_t n = 0, count = 0;

	while (from[n])
		n++;
	char **all = xcalloc(n + GRANTED + 4, sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		if (is_passed(from[i]) && strncmp(from[i], "DOCKER_HOST=", 12) != 0 &&
		    strncmp(from[i], "DOCKER_CERT_PATH=", 17) != 0)
			all[count++] = xstrdup(from[i]);
	}
	count += grant(from, s, all + count);
	all[count++] = xasprintf("DOCKER_HOST=%s", host);
	all[count++] = xasprintf("DOCKER_CERT_PATH=%s", certificates);
	all[count++] = xasprintf("%s=%d %d", HELD_BY, keeper, control);
	return all;
}

/* ---- start ---- */

static int pass_on(int fd)
{
	return fcntl(fd, F_SETFD, 0);
}

/* In the child: never returns. */
static __attribute__((noreturn)) void become_keeper(const char *program, char *const *argv,
						    char *const *env, int keeper, int control,
						    pid_t parent)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* what a terminal sends to all that stand before it is not for the role */
	setsid();
	if (nowhere >= 0 && (dup2(nowhere, STDIN_FILENO) < 0 || dup2(nowhere, STDOUT_FILENO) < 0))
		_exit(EXIT_FAILURE);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent && pass_on(keeper) == 0 && pass_on(control) == 0)
		execve(program, argv, env);
	_exit(EXIT_FAILURE);
}

static int start_one(struct engine_held *h, const char *program, const struct settings *s,
		     enum log_level level, struct err *err)
{
	static const char *const levels[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
	const size_t i = h->count;
	bool several = engine_host_count(s->docker_cert_path) > 1;
	_cleanup_free_ char *host = engine_host_at(s->docker_host, i);
	_cleanup_free_ char *path = engine_host_at(s->docker_cert_path, several ? i : 0);
	_cleanup_free_ char *said = xasprintf("--loglevel=%s", levels[level]);
	char *const argv[] = {(char[]){"celeriac-worker"}, (char[]){"--engine"}, said, NULL};
	int keeper[2], control[2];
	pid_t parent = getpid(), child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, keeper) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "a socket for the engine role");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
		close(keeper[0]);
		close(keeper[1]);
		return err_set_errno(err, ERR_FAILED, errno, "a socket for the engine role");
	}
	char **env =
		engine_held_environment(environ, s, host ?: "", path ?: "", keeper[1], control[1]);
	child = fork();
	if (child == 0)
		become_keeper(program, argv, env, keeper[1], control[1], parent);
	for (char **one = env; *one; one++)
		free(*one);
	free(env);
	close(keeper[1]);
	close(control[1]);
	/* these two outlive a restart in place */
	if (child < 0 || pass_on(keeper[0]) < 0 || pass_on(control[0]) < 0) {
		close(keeper[0]);
		close(control[0]);
		return err_set_errno(err, ERR_FAILED, errno, "the engine role");
	}
	h->roles[h->count].keeper = keeper[0];
	h->roles[h->count++].control = control[0];
	return 0;
}

/* For the next life of this process. */
static void remember(const struct engine_held *h)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1024);

	buf_appendf(&text, "%d", (int)getpid());
	for (size_t i = 0; i < h->count; i++)
		buf_appendf(&text, " %d %d", h->roles[i].keeper, h->roles[i].control);
	setenv(KEPT, text.data, 1);
}

static bool is_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* Those of an earlier life; who only inherited the variable is another process. */
static void recall(struct engine_held *h)
{
	const char *text = getenv(KEPT);
	int pid = 0, keeper, control, n = 0;

	if (text == NULL || sscanf(text, "%d%n", &pid, &n) != 1 || pid != getpid())
		return;
	for (text += n; h->count < FLEET_MAX && sscanf(text, "%d %d%n", &keeper, &control, &n) == 2;
	     text += n) {
		if (!is_socket(keeper) || !is_socket(control))
			break;
		h->roles[h->count].keeper = keeper;
		h->roles[h->count++].control = control;
	}
}

int engine_held_start(const struct settings *s, enum log_level level, struct engine_held **ret,
		      struct err *err)
{
	char program[PATH_MAX];
	size_t hosts = engine_host_count(s->docker_host);
	int rc = 0;

	*ret = NULL;
	/* too long a list is an error that opening the engines tells */
	if (engine_way(s) != ENGINE_WAY_FORK || s->database_url == NULL ||
	    s->database_url[0] == '\0' || hosts > FLEET_MAX)
		return 0;
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (len <= 0)
		return err_set_errno(err, ERR_FAILED, errno, "the path of this program");
	program[len] = '\0';
	struct engine_held *h = xcalloc(1, sizeof(*h));
	recall(h);
	while (rc == 0 && h->count < hosts)
		rc = start_one(h, program, s, level, err);
	if (rc < 0) {
		engine_held_end(h);
		return rc;
	}
	remember(h);
	*ret = h;
	return 0;
}

/* ---- from then on ---- */

int engine_held_send(int to, int fd, struct err *err)
{
	char byte = 0;
	struct iovec piece = {.iov_base = &byte, .iov_len = 1};
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	if (sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "the engine's process");
	return 0;
}

int engine_held_receive(int from, int *ret_fd)
{
	char byte;
	struct iovec piece = {.iov_base = &byte, .iov_len = 1};
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};
	ssize_t n = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_fd = -1;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(head), sizeof(*ret_fd));
	return 1;
}

int engine_held_connect(int control, int *ret, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "a connection to the role");
	int rc = engine_held_send(control, ends[1], err);
	close(ends[1]);
	if (rc < 0)
		close(ends[0]);
	else
		*ret = ends[0];
	return rc;
}

int engine_held_begin(struct engine_held *h, int log, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; h && rc == 0 && i < h->count; i++)
		rc = engine_held_send(h->roles[i].keeper, log, err);
	return rc;
}

int engine_held_control(const struct engine_held *h, size_t i)
{
	return h && i < h->count ? h->roles[i].control : -1;
}

bool engine_held_is_lost(const struct engine_held *h)
{
	for (size_t i = 0; h && i < h->count; i++) {
		struct pollfd fd = {.fd = h->roles[i].keeper, .events = POLLIN};

		/* it never says anything */
		if (poll(&fd, 1, 0) > 0)
			return true;
	}
	return false;
}

void engine_held_end(struct engine_held *h)
{
	for (size_t i = 0; h && i < h->count; i++) {
		close(h->roles[i].keeper);
		close(h->roles[i].control);
	}
	free(h);
}
