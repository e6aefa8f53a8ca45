/*
 * postgres_fixture.c: initdb, a postmaster as our child, and a few questions to it. Talks to libpq
 * directly, because common/client/pg.c is itself under test.
 */
#include "postgres_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <libpq-fe.h>

struct postgres {
	char dir[64]; /* short: a socket's path has 107 bytes at most */
	char bin[128];
	uid_t uid;
	gid_t gid;
	pid_t postmaster;
	unsigned databases;
};

static char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *s;
	ck_assert_int_ge(vasprintf(&s, fmt, ap), 0);
	va_end(ap);
	return s;
}

/* Runs a program as the server's user, reading `in`, its words in the directory's log; dies with
 * us. */
static pid_t spawn(const struct postgres *p, const char *const *argv, int in)
{
	char *program = text("%s/%s", p->bin, argv[0]);
	char *log = text("%s/log", p->dir);
	pid_t parent = getpid();
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
		if (fd < 0 || dup2(in, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 ||
		    chdir("/") < 0)
			_exit(125);
		if (geteuid() == 0 && (setgroups(0, NULL) || setgid(p->gid) || setuid(p->uid)))
			_exit(125);
		/* SIGQUIT is the postmaster's immediate shutdown; set last, a change of user clears
		 * it. */
		prctl(PR_SET_PDEATHSIG, SIGQUIT);
		if (getppid() != parent)
			_exit(125);
		/* PostgreSQL's programs look for themselves, and for each other, in PATH. */
		setenv("PATH", p->bin, 1);
		execv(program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	free(program);
	free(log);
	return pid;
}

static int await(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void show_log(const struct postgres *p)
{
	char *log = text("%s/log", p->dir), line[1024];
	FILE *f = fopen(log, "re");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "# postgres: %s", line);
	if (f)
		fclose(f);
	free(log);
}

static void run(const struct postgres *p, const char *const *argv, int in)
{
	int code = await(spawn(p, argv, in));
	if (code)
		show_log(p);
	ck_assert_msg(code == 0, "%s ended with %d", argv[0], code);
}

static void find_programs(struct postgres *p)
{
	const char *given = getenv("PG_BINDIR");
	if (given) {
		snprintf(p->bin, sizeof(p->bin), "%s", given);
		return;
	}
	glob_t found;
	ck_assert_msg(glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0,
		      "no PostgreSQL server is installed (deploy/setup installs it)");
	long newest = 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		long version = strtol(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"), NULL, 10);
		if (version <= newest)
			continue;
		newest = version;
		snprintf(p->bin, sizeof(p->bin), "%s", found.gl_pathv[i]);
	}
	globfree(&found);
}

/* The server refuses to run as root: then a user without rights does. */
static void find_user(struct postgres *p)
{
	if (geteuid() != 0)
		return;
	const struct passwd *user = getpwnam("postgres");
	if (!user)
		user = getpwnam("nobody");
	ck_assert_ptr_nonnull(user);
	p->uid = user->pw_uid;
	p->gid = user->pw_gid;
	ck_assert_int_eq(chown(p->dir, p->uid, p->gid), 0);
}

void postgres_up(struct postgres *p)
{
	char *data = text("%s/data", p->dir);
	const char *argv[] = {"postgres", "-F",
			      "-D",	  data,
			      "-k",	  p->dir,
			      "-c",	  "listen_addresses=",
			      "-c",	  "max_connections=60",
			      "-c",	  "shared_buffers=16MB",
			      "-c",	  "log_min_messages=fatal",
			      NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	p->postmaster = spawn(p, argv, null);
	close(null);
	free(data);
	char *url = postgres_url(p, "postgres", "postgres");
	int tries = 0;
	while (PQping(url) != PQPING_OK) {
		if (++tries == 600 || waitpid(p->postmaster, NULL, WNOHANG) == p->postmaster) {
			show_log(p);
			ck_abort_msg("the private PostgreSQL does not start");
		}
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
	free(url);
}

void postgres_down(struct postgres *p)
{
	ck_assert_int_gt(p->postmaster, 0);
	kill(p->postmaster, SIGQUIT);
	/* A forked test is not the server's parent and waits for the socket to go quiet instead. */
	if (waitpid(p->postmaster, NULL, 0) < 0) {
		char *url = postgres_url(p, "postgres", "postgres");
		while (PQping(url) != PQPING_NO_RESPONSE)
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		free(url);
	}
	p->postmaster = 0;
}

struct postgres *postgres_start(void)
{
	struct postgres *p = calloc(1, sizeof(*p));
	ck_assert_ptr_nonnull(p);
	snprintf(p->dir, sizeof(p->dir), "/tmp/celeriac-pg-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	find_programs(p);
	find_user(p);
	char *data = text("%s/data", p->dir);
	const char *argv[] = {"initdb",	     "--no-sync", "-A",	  "trust", "-U", "postgres",
			      "--no-locale", "-E",	  "UTF8", "-D",	   data, NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	run(p, argv, null);
	close(null);
	free(data);
	postgres_up(p);
	return p;
}

void postgres_free(struct postgres *p)
{
	if (!p)
		return;
	if (p->postmaster > 0)
		postgres_down(p);
	const char *argv[] = {"rm", "-rf", p->dir, NULL};
	pid_t pid = fork();
	if (pid == 0) {
		execv("/bin/rm", (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid > 0)
		await(pid);
	free(p);
}

char *postgres_url(const struct postgres *p, const char *user, const char *database)
{
	return text("postgresql://%s@/%s?host=%s", user, database, p->dir);
}

void postgres_database(struct postgres *p, char name[POSTGRES_NAME_SIZE])
{
	snprintf(name, POSTGRES_NAME_SIZE, "test_%d_%u", (int)getpid(), p->databases++);
	char *sql = text("CREATE DATABASE %s", name);
	free(postgres_query(p, "postgres", "postgres", sql));
	free(sql);
}

void postgres_psql(const struct postgres *p, const char *database, const char *file,
		   const char *const *variables)
{
	/* By descriptor, since the server's user may not reach the directory of the sources. */
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "%s: %s", file, strerror(errno));
	char *url = postgres_url(p, "postgres", database);
	const char *argv[32] = {"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url};
	size_t n = 7;
	for (size_t i = 0; variables && variables[i]; i++) {
		ck_assert_uint_lt(n, 28);
		argv[n++] = "-v";
		argv[n++] = variables[i];
	}
	argv[n++] = "-f";
	argv[n++] = "-";
	run(p, argv, fd);
	free(url);
	close(fd);
}

static PGresult *ask(const struct postgres *p, const char *user, const char *database,
		     const char *sql)
{
	char *url = postgres_url(p, user, database);
	PGconn *c = PQconnectdb(url);
	free(url);
	ck_assert_msg(PQstatus(c) == CONNECTION_OK, "%s", PQerrorMessage(c));
	PGresult *r = PQexec(c, sql);
	PQfinish(c);
	return r;
}

char *postgres_query(const struct postgres *p, const char *user, const char *database,
		     const char *sql)
{
	PGresult *r = ask(p, user, database, sql);
	ExecStatusType status = PQresultStatus(r);
	ck_assert_msg(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "%s: %s", sql,
		      PQresultErrorMessage(r));
	char *value = NULL;
	if (PQntuples(r) > 0 && PQnfields(r) > 0 && !PQgetisnull(r, 0, 0))
		value = text("%s", PQgetvalue(r, 0, 0));
	PQclear(r);
	return value;
}

long postgres_number(const struct postgres *p, const char *user, const char *database,
		     const char *sql)
{
	char *value = postgres_query(p, user, database, sql);
	ck_assert_msg(value != NULL, "%s: no value", sql);
	long number = strtol(value, NULL, 10);
	free(value);
	return number;
}

const char *postgres_state(const struct postgres *p, const char *user, const char *database,
			   const char *sql)
{
	static char state[6];
	PGresult *r = ask(p, user, database, sql);
	const char *found = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	snprintf(state, sizeof(state), "%s", found ? found : "00000");
	PQclear(r);
	return state;
}
