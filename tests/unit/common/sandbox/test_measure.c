/* What an installation has made, measured where it does not want to be. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sandbox/agent/agent.h"
#include "mem.h"
#include "tests/unit/suite.h"

#define NOBODY 65534

static void plain(void)
{
	ck_assert_int_eq(mkdir("a", 0700), 0);
	ck_assert_int_eq(mkdir("a/b", 0700), 0);
	ck_assert_int_eq(symlink("/", "a/b/root"), 0);
}

static void no_rights_to_read(void)
{
	ck_assert_int_eq(mkdir("a", 0300), 0);
}

static void no_rights_to_enter(void)
{
	plain();
	ck_assert_int_eq(chmod("a", 0600), 0);
}

static void beyond_a_path(void)
{
	char name[201];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < 30; i++) {
		ck_assert_int_eq(mkdir(name, 0700), 0);
		ck_assert_int_eq(chdir(name), 0);
	}
}

static const struct {
	void (*make)(void);
	bool over;
} trees[] = {
	{plain, false},
	{no_rights_to_read, true},
	{no_rights_to_enter, true},
	{beyond_a_path, true},
};

/* As somebody whom rights bind, which root is not. */
static void look(const char *root, int tree)
{
	if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		_exit(2);
	if (chdir(root) < 0)
		_exit(3);
	trees[tree].make();
	_exit(measure_is_over(root) == trees[tree].over ? 0 : 1);
}

START_TEST(test_trees)
{
	char root[] = "/tmp/celeriac-measure-XXXXXX";
	int status = -1;

	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(chmod(root, 0777), 0);
	pid_t pid = fork();
	if (pid == 0)
		look(root, _i);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	_cleanup_free_ char *remove = xasprintf("chmod -R u+rwx %s && rm -rf %s", root, root);
	ck_assert_int_eq(system(remove), 0);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(test_nothing_there)
{
	ck_assert(!measure_is_over("/tmp/celeriac-measure-there-is-none"));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("measure");

	tcase_add_loop_test(t, test_trees, 0, ARRAY_LEN(trees));
	tcase_add_test(t, test_nothing_there);
	return suite_run("measure", t);
}
