/* Names of tools in the text of a plugin, whatever else stands there. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "codec.h"
#include "tasks/plugin_scan.h"
#include "tests/unit/suite.h"

static int note(void *arg, const char *name, unused_arg struct err *err)
{
	buf_appendf(arg, "%s ", name);
	return 0;
}

static const struct {
	const char *text, *names;
} g_texts[] = {
	{"", ""},
	{"class A(BaseTool):\n    name = \"a\"\n", "a "},
	{"class A(BaseTool):\n    name = 'a'", "a "},
	{"class A(base.BaseTool):\r\n\tname: str = \"a.b-c_9\"  # why\r\n", "a.b-c_9 "},
	{"class A( BaseTool ): # first\n  \"\"\"It has a name.\"\"\"\n\n  # name = \"no\"\n  x = "
	 "1\n  name=\"a\"\n",
	 "a "},
	{"class A(\n    Mixin,\n    BaseTool,\n):\n    name = \"a\"\n", "a "},
	/* by another class of the file, whose own name counts as well */
	{"class Ours(BaseTool):\n    x = 1\nclass A(Ours):\n    name = 'a'\nclass B(A):\n    name "
	 "= 'b'\n",
	 "a b "},
	{"if True:\n    class A(BaseTool):\n        name = 'a'\nclass B(BaseTool):\n    name = "
	 "'b'\n",
	 "a b "},
	{"class A(BaseTool):\n    def execute(self, params, ctx):\n        name = 'x'\n    name = "
	 "'a'\n",
	 "a "},
	/* no tools */
	{"class A:\n    name = 'a'\n", ""},
	{"class A(BaseModel):\n    name = 'a'\n", ""},
	{"class A(NotBaseTool):\n    name = 'a'\n", ""},
	{"class A(BaseTools):\n    name = 'a'\n", ""},
	{"name = 'a'\n", ""},
	{"class A(BaseTool):\n    pass\nname = 'a'\n", ""},
	{"class A(BaseTool): pass\nclass B:\n    name = 'a'\n", ""},
	{"class A(BaseTool):\n    names = 'a'\n    my_name = 'b'\n    name_ = 'c'\n    name.x == "
	 "'d'\n",
	 ""},
	{"class A(BaseTool):\n    name = other\n    name = f'x'\n    name = 'a b'\n    name = 'a\n "
	 "   name = ''\n",
	 ""},
	{"class A(BaseTool):\n    name\n    name \n    name + x = 'a'\n    name, b = 'a'\n", ""},
	{"class A(BaseTool):\n    name = a\n    name: x\n    name (b) = 'a'\n", ""},
	/* what stands in strings */
	{"\"\"\"\nclass A(BaseTool):\n    name = 'a'\n\"\"\"\n", ""},
	{"class A(BaseTool):\n    '''\n    name = 'no'\n    '''\n    name = 'a'\n", "a "},
	{"x = \"it's '''\"\nclass A(BaseTool):\n    name = 'a'\n", "a "},
	{"x = 1  # '''\nclass A(BaseTool):\n    name = 'a'\n", "a "},
	{"x = '\\''  # '''\nclass A(BaseTool):\n    name = 'a'\n", "a "},
	{"x = '''\\''''\nclass A(BaseTool):\n    name = 'a'\n", "a "},
};

START_TEST(test_names)
{
	_cleanup_buf_ struct buf names = BUF_INIT(1000);
	struct err err;

	ck_assert_int_eq(
		plugin_scan(g_texts[_i].text, strlen(g_texts[_i].text), note, &names, &err), 0);
	ck_assert_msg(strcmp(names.data, g_texts[_i].names) == 0, "%s: %s", g_texts[_i].text,
		      names.data);
}
END_TEST

static int refuse(unused_arg void *arg, const char *name, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "%s", name);
}

/* Whoever is told may end it; and no bytes at all lead astray. */
START_TEST(test_ends_and_rubbish)
{
	static const char alphabet[] = "class A(BaseTool):\n\t name='\"\"\"\\#x,]\0\xff";
	_cleanup_buf_ struct buf names = BUF_INIT(1u << 20);
	struct err err;
	char text[512];

	ck_assert_int_eq(plugin_scan(g_texts[1].text, strlen(g_texts[1].text), refuse, NULL, &err),
			 -ERR_CONFLICT);
	ck_assert_str_eq(err.msg, "a");
	for (int round = 0; round < 20000; round++) {
		unsigned char random[sizeof(text)];
		random_bytes(random, sizeof(random));
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = alphabet[random[i] % (sizeof(alphabet) - 1)];
		memcpy(text, "class A(BaseTool):\n", random[0] % 2 ? 19 : 0);
		ck_assert_int_eq(plugin_scan(text, random[1] * 2u, note, &names, &err), 0);
		buf_reset(&names);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("plugin_scan");

	tcase_add_loop_test(t, test_names, 0, ARRAY_LEN(g_texts));
	tcase_add_test(t, test_ends_and_rubbish);
	return suite_run("plugin_scan", t);
}
