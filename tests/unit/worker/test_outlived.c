/*
 * test_outlived.c: which tasks are known to have ended when their message comes again.
 */
#include <check.h>
#include <stdlib.h>

#include "message.h"
#include "tests/unit/suite.h"
#include "worker/outlived.h"

static struct worker g_worker;

static size_t known(void)
{
	size_t n = 0;

	for (size_t i = 0; i < OUTLIVED_MAX; i++)
		n += g_worker.outlived.ids[i] != NULL;
	return n;
}

START_TEST(test_what_is_remembered)
{
	static const struct {
		bool outlived, follows;
		int code; /* 0 = confirmed */
		size_t known;
	} rows[] = {
		{true, false, 0, 1},
		{true, true, 0, 1},
		{true, false, ERR_UNAVAILABLE, 1}, /* the ack alone was too late */
		{true, true, ERR_UNAVAILABLE, 0},  /* a queue was full */
		{true, false, ERR_CANCELLED, 0},
		{true, true, ERR_CANCELLED, 0},
		{false, false, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct message message = {.retries = 0};
		struct request r = {.worker = &g_worker,
				    .message = &message,
				    .id = "an-id",
				    .outlived = rows[i].outlived,
				    .follows = rows[i].follows};
		struct err err = {.code = (enum err_code)rows[i].code};

		g_worker = (struct worker){0};
		outlived_init(&g_worker.outlived);
		outlived_ended(&r, rows[i].code == 0 ? NULL : &err);
		ck_assert_msg(known() == rows[i].known, "row %zu", i);
		message.retries = 1; /* the next try is another one */
		outlived_ended(&r, rows[i].code == 0 ? NULL : &err);
		ck_assert_msg(known() == 2 * rows[i].known, "row %zu", i);
		if (rows[i].known)
			ck_assert_str_ne(g_worker.outlived.ids[0], g_worker.outlived.ids[1]);
		outlived_done(&g_worker.outlived);
	}
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("outlived");

	tcase_add_test(c, test_what_is_remembered);
	return suite_run("outlived", c);
}
