/*
 * test_module.c: what a module must be. Loading is tested with real ones (test_modules.py).
 */
#include <check.h>
#include <string.h>

#include "tests/unit/suite.h"
#include "worker/module.h"

static const struct task good = {.name = "a.b"};
static const struct task stored = {.name = "a.b", .flags = TASK_STORED};
static const struct task sandboxed = {.name = "a.b", .flags = TASK_ACKS_LATE | TASK_SANDBOX};
static const struct task kind = {.name = "a.b", .kind = "x"};

static struct task_module module_of(const struct task *t)
{
	return (struct task_module){.abi = TASK_MODULE_ABI,
				    .size = sizeof(struct task_module),
				    .task_size = sizeof(struct task),
				    .name = "m",
				    .tasks = t,
				    .task_count = 1};
}

static void refuse(struct task_module m, const char *why)
{
	struct err err = {0};

	ck_assert_int_eq(module_check(&m, &err), -ERR_INVALID);
	ck_assert_msg(strstr(err.msg, why) != NULL, "%s", err.msg);
}

START_TEST(test_good)
{
	struct task_module m = module_of(&good);
	struct err err = {0};

	ck_assert_int_eq(module_check(&m, &err), 0);
}
END_TEST

START_TEST(test_made_for_another)
{
	struct task_module m = module_of(&good);

	m.abi = TASK_MODULE_ABI + 1;
	refuse(m, "module ABI 2, this worker's is 1");
	m = module_of(&good);
	m.size += 8;
	refuse(m, "its structures");
	m = module_of(&good);
	m.task_size -= 8;
	refuse(m, "its structures");
}
END_TEST

START_TEST(test_incomplete)
{
	struct task_module m = module_of(&good);

	m.name = NULL;
	refuse(m, "no name");
	m = module_of(&good);
	m.task_count = 0;
	refuse(m, "no table");
	m.task_count = (size_t)1 << 40;
	refuse(m, "no table");
	m = module_of(NULL);
	refuse(m, "no table");
}
END_TEST

START_TEST(test_of_the_house)
{
	refuse(module_of(&stored), "a.b: a module's tasks have no row");
	refuse(module_of(&sandboxed), "no engine");
	refuse(module_of(&kind), "no row");
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("module");

	tcase_add_test(c, test_good);
	tcase_add_test(c, test_made_for_another);
	tcase_add_test(c, test_incomplete);
	tcase_add_test(c, test_of_the_house);
	return suite_run("module", c);
}
