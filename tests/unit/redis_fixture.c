/*
 * redis_fixture.c: a redis-server as our child. Talks to it by plain sockets, because
 * common/client/redis.c is itself under test.
 */
#include "redis_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

struct redis_server {
	char dir[64];
	char socket[96];
	int port;
	int place; /* a socket that has the port, whether the server is up or down */
	char *password;
	pid_t pid;
};

/* A port that nobody else is given until `ret_place` is closed: a server that reuses addresses may
 * listen there beside a socket that does not. */
static int reserve_port(int *ret_place)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*ret_place = fd;
	return ntohs(sa.sin_port);
}

static void spawn(struct redis_server *s)
{
	char port[16], log[80];
	pid_t parent = getpid();

	snprintf(port, sizeof(port), "%d", s->port);
	snprintf(log, sizeof(log), "%s/log", s->dir);
	s->pid = fork();
	/* What asserts takes a lock, which another thread may have had when we forked. */
	if (s->pid != 0) {
		ck_assert_int_gt(s->pid, 0);
		return;
	}
	int null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(125);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(125);
	execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1",
	       "--unixsocket", s->socket, "--dir", s->dir, "--logfile", log, "--save", "",
	       "--requirepass", s->password ? s->password : "", (char *)NULL);
	_exit(127);
}

static int dial(const struct redis_server *s)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", s->socket);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

char *redis_server_tell(const struct redis_server *s, const char *line)
{
	char answer[4096], *auth = NULL;
	size_t len = 0;
	int skip = s->password ? 1 : 0;
	int fd = dial(s);

	ck_assert_msg(fd >= 0, "no redis-server at %s", s->socket);
	ck_assert_int_gt(asprintf(&auth, "%s%s%s%s\r\n", skip ? "AUTH " : "",
				  skip ? s->password : "", skip ? "\r\n" : "", line),
			 0);
	ck_assert_int_eq(write(fd, auth, strlen(auth)), (ssize_t)strlen(auth));
	free(auth);
	for (;;) {
		ssize_t n = read(fd, answer + len, sizeof(answer) - len - 1);
		char *start = answer, *end;

		ck_assert_msg(n > 0, "redis-server does not answer");
		len += (size_t)n;
		answer[len] = '\0';
		end = strstr(start, "\r\n");
		if (end && skip) {
			start = end + 2;
			end = strstr(start, "\r\n");
		}
		if (!end)
			continue;
		*end = '\0';
		close(fd);
		return strdup(start);
	}
}

void redis_server_up(struct redis_server *s)
{
	spawn(s);
	for (int i = 0; i < 1000; i++) {
		int status, fd = dial(s);

		if (fd >= 0) {
			close(fd);
			return;
		}
		ck_assert_msg(waitpid(s->pid, &status, WNOHANG) == 0,
			      "redis-server ended at once (deploy/setup installs it)");
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	ck_abort_msg("redis-server does not start");
}

struct redis_server *redis_server_start(const char *password)
{
	struct redis_server *s = calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/celeriac-redis-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(s->dir));
	snprintf(s->socket, sizeof(s->socket), "%s/socket", s->dir);
	s->port = reserve_port(&s->place);
	s->password = password ? strdup(password) : NULL;
	redis_server_up(s);
	return s;
}

void redis_server_down(struct redis_server *s)
{
	int status;

	kill(s->pid, SIGKILL);
	kill(s->pid, SIGCONT);
	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
	unlink(s->socket);
}

void redis_server_freeze(struct redis_server *s)
{
	int status;

	/* One of its threads is told, and the others go on until that one has had a processor. */
	kill(s->pid, SIGSTOP);
	ck_assert_int_eq(waitpid(s->pid, &status, WUNTRACED), s->pid);
	ck_assert(WIFSTOPPED(status));
}

void redis_server_thaw(struct redis_server *s)
{
	kill(s->pid, SIGCONT);
}

void redis_server_free(struct redis_server *s)
{
	char log[80];

	if (!s)
		return;
	if (s->pid > 0)
		redis_server_down(s);
	snprintf(log, sizeof(log), "%s/log", s->dir);
	unlink(log);
	rmdir(s->dir);
	close(s->place);
	free(s->password);
	free(s);
}

char *redis_server_url(const struct redis_server *s, int db)
{
	char *url;

	ck_assert_int_gt(asprintf(&url, "redis://%s%s%s127.0.0.1:%d/%d", s->password ? ":" : "",
				  s->password ? s->password : "", s->password ? "@" : "", s->port,
				  db),
			 0);
	return url;
}

char *redis_server_socket_url(const struct redis_server *s, int db)
{
	char *url;

	ck_assert_int_gt(asprintf(&url, "redis+socket://%s%s%s%s?virtual_host=%d",
				  s->password ? ":" : "", s->password ? s->password : "",
				  s->password ? "@" : "", s->socket, db),
			 0);
	return url;
}
