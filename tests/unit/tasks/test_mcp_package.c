/* Which commands stand for packages, and what is done about them. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "tasks/mcp_task.h"
#include "tests/unit/suite.h"

static char *joined(const char *const *words)
{
	struct buf all = BUF_INIT(8192);
	struct err err;
	char *text;
	size_t len;

	for (; words && *words; words++)
		buf_appendf(&all, "%s%s", all.len > 0 ? "|" : "", *words);
	ck_assert_int_eq(buf_take(&all, &text, &len, &err), 0);
	return text;
}

static const struct {
	const char *command, *id, *argv, *installed; /* installed: the last word of its installer */
} packages[] = {
	{"@a/b", "npm:@a/b", "/package/p/run", "@a/b"},
	{"@a/b@1.2.3 x 'y z'", "npm:@a/b@1.2.3", "/package/p/run|x|y z", "@a/b@1.2.3"},
	{"hello@latest", "npm:hello@latest", "/package/p/run", "hello@latest"},
	{"npx hello", "npm:hello", "/package/p/run", "hello"},
	{"npx -y hello@^2 /data", "npm:hello@^2", "/package/p/run|/data", "hello@^2"},
	{"npx --yes -p @a/b prog -v", "npm:@a/b prog", "/package/p/node_modules/.bin/prog|-v",
	 "@a/b"},
	{"npx --package=@a/b -- prog", "npm:@a/b prog", "/package/p/node_modules/.bin/prog",
	 "@a/b"},
	{"uvx mcp-server-time --local-timezone=UTC", "pypi:mcp-server-time",
	 "/package/p/bin/mcp-server-time|--local-timezone=UTC", "mcp-server-time"},
	{"uvx mcp-server-time@2.0", "pypi:mcp-server-time==2.0", "/package/p/bin/mcp-server-time",
	 "mcp-server-time==2.0"},
	{"uvx mcp-server-time@latest", "pypi:mcp-server-time", "/package/p/bin/mcp-server-time",
	 "mcp-server-time"},
	{"uvx --from 'a[cli]>=1,<2' tool x", "pypi:a[cli]>=1,<2 tool", "/package/p/bin/tool|x",
	 "a[cli]>=1,<2"},
};

START_TEST(test_packages)
{
	struct mcp_package p;
	struct err err;
	char **words;
	size_t last = 0;

	ck_assert_int_eq(mcp_command_split(packages[_i].command, &words, &err), 0);
	ck_assert_int_eq(mcp_package_read((const char *const *)words, &p, &err), 1);
	ck_assert_str_eq(p.id, packages[_i].id);
	_cleanup_free_ char *argv = joined(p.argv);
	ck_assert_str_eq(argv, packages[_i].argv);
	while (p.install[last + 1])
		last++;
	ck_assert_str_eq(p.install[last], packages[_i].installed);
	ck_assert_str_eq(p.install[last - 1], "--");
	ck_assert_ptr_eq(p.package.steps[0], p.install);
	ck_assert_int_eq(p.path != NULL, strncmp(p.id, "pypi", 4) == 0);
	/* a rule about npx is one about what is short for it */
	ck_assert_int_eq(p.long_form != NULL,
			 strncmp(words[0], "npx", 3) && strcmp(words[0], "uvx"));
	mcp_package_done(&p);
	free(words);
}
END_TEST

static const char *const programs[] = {"node server.js", "python3 -m x", "hello",
				       "/opt/a@1/run",	 "./x@y",	 "npx-like -y a"};

START_TEST(test_programs)
{
	struct mcp_package p;
	struct err err;
	char **words;

	ck_assert_int_eq(mcp_command_split(programs[_i], &words, &err), 0);
	ck_assert_int_eq(mcp_package_read((const char *const *)words, &p, &err), 0);
	free(words);
}
END_TEST

static const char *const bad[] = {
	"npx",
	"npx -y",
	"npx --call x",
	"npx -p a",
	"npx -p",
	"npx ../x",
	"npx ./x",
	"npx file:x",
	"npx git+ssh://h/x",
	"npx a/b",
	"npx http://h/x.tgz",
	"npx -y a@npm:b",
	"npx a@../b",
	"@scope",
	"@/x",
	"@a/",
	"@a/b@",
	"@a/b/c",
	"@a/.b",
	"uvx",
	"uvx ./x",
	"uvx a[",
	"uvx a[b",
	"uvx a@file:///x",
	"uvx --with b a",
	"uvx --from a",
	"npx -p a ../b",
	"npx -p a -- -b",
	"uvx --from a /bin/b",
	"uvx 'a; b'",
	"npx 'a b'",
	"uvx a@-x",
};

START_TEST(test_bad)
{
	struct mcp_package p;
	struct err err;
	char **words;

	ck_assert_int_eq(mcp_command_split(bad[_i], &words, &err), 0);
	ck_assert_msg(mcp_package_read((const char *const *)words, &p, &err) == -ERR_INVALID, "%s",
		      bad[_i]);
	free(words);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("package");

	tcase_add_loop_test(t, test_packages, 0, ARRAY_LEN(packages));
	tcase_add_loop_test(t, test_programs, 0, ARRAY_LEN(programs));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	return suite_run("mcp_package", t);
}
