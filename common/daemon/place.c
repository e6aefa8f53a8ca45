/*
 * Where a program runs and as whom. See daemon.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "mem.h"

/* A whole number without a sign, in `base`. */
static bool parse_number(const char *text, int base, unsigned long max, unsigned long *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoul(text, &end, base);
	return *end == '\0' && errno == 0 && *ret <= max;
}

struct identity {
	uid_t uid;
	gid_t gid;
	char *name; /* of the user, or NULL when the system knows none */
	bool has_uid, has_gid;
};

static int find_user(const char *text, struct identity *ret, struct err *err)
{
	unsigned long number;
	bool numeric = parse_number(text, 10, UINT32_MAX - 1, &number);
	const struct passwd *user = numeric ? getpwuid((uid_t)number) : getpwnam(text);

	if (user == NULL && !numeric)
		return err_set(err, ERR_INVALID, "there is no user %.100s", text);
	ret->uid = user != NULL ? user->pw_uid : (uid_t)number;
	ret->gid = user != NULL ? user->pw_gid : getgid();
	ret->name = user != NULL ? xstrdup(user->pw_name) : NULL;
	ret->has_uid = true;
	ret->has_gid = user != NULL;
	return 0;
}

static int find_group(const char *text, struct identity *ret, struct err *err)
{
	unsigned long number;
	bool numeric = parse_number(text, 10, UINT32_MAX - 1, &number);
	const struct group *group = numeric ? NULL : getgrnam(text);

	if (group == NULL && !numeric)
		return err_set(err, ERR_INVALID, "there is no group %.100s", text);
	ret->gid = group != NULL ? group->gr_gid : (gid_t)number;
	ret->has_gid = true;
	return 0;
}

static int take_identity(const struct identity *who, struct err *err)
{
	bool root = geteuid() == 0;

	if (who->has_uid && !root && who->uid != geteuid())
		return err_set(err, ERR_DENIED, "only root can become user %u", (unsigned)who->uid);
	if (who->has_gid && !root && who->gid != getegid())
		return err_set(err, ERR_DENIED, "only root can take group %u", (unsigned)who->gid);
	if (root && who->has_gid &&
	    ((who->name != NULL ? initgroups(who->name, who->gid) : setgroups(1, &who->gid)) < 0 ||
	     setresgid(who->gid, who->gid, who->gid) < 0))
		return err_set_errno(err, ERR_FAILED, errno, "group %u", (unsigned)who->gid);
	if (root && who->has_uid && setresuid(who->uid, who->uid, who->uid) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "user %u", (unsigned)who->uid);
	if (root && who->has_uid && who->uid != 0 && setuid(0) == 0)
		return err_set(err, ERR_FAILED, "root can be had again after it was given up");
	return 0;
}

static int become(const struct daemon_place *p, struct err *err)
{
	struct identity who = {0};
	int rc = p->uid != NULL ? find_user(p->uid, &who, err) : 0;

	if (rc == 0 && p->gid != NULL)
		rc = find_group(p->gid, &who, err);
	if (rc == 0)
		rc = take_identity(&who, err);
	free(who.name);
	return rc;
}

int daemon_settle(const struct daemon_place *p, struct err *err)
{
	unsigned long mask;

	if (p->workdir != NULL && chdir(p->workdir) < 0)
		return err_set_errno(err, ERR_INVALID, errno, "directory %.200s", p->workdir);
	if (p->umask != NULL) {
		/* octal, as Celery reads it */
		if (!parse_number(p->umask, 8, 0777, &mask))
			return err_set(err, ERR_INVALID, "umask %.20s is not octal, 000 to 777",
				       p->umask);
		umask((mode_t)mask);
	}
	return become(p, err);
}

/* The parent's end: what the child says first, or that it is gone. */
static __attribute__((noreturn)) void follow_child(pid_t child, int fd)
{
	char byte;
	ssize_t n;
	int status = 0;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	if (waitpid(child, &status, 0) == child && WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	_exit(EXIT_FAILURE);
}

int daemon_detach(int *ret_parent, struct err *err)
{
	int ends[2];
	pid_t child;

	*ret_parent = -1;
	if (daemon_restarted())
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "pipe");
	child = fork();
	if (child < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_set_errno(err, ERR_FAILED, errno, "fork");
	}
	if (child > 0) {
		close(ends[1]);
		follow_child(child, ends[0]);
	}
	close(ends[0]);
	setsid();
	*ret_parent = ends[1];
	return 0;
}

void daemon_detached(int parent)
{
	int nowhere;

	if (parent < 0)
		return;
	nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; nowhere >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(nowhere, fd);
	if (nowhere > STDERR_FILENO)
		close(nowhere);
	if (write(parent, "", 1) < 0)
		return; /* nobody waits any more */
	close(parent);
}
