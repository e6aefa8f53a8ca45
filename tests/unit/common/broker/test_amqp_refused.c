/* When a queue that was refused is asked for again: the later, the more others lose by it. */
#include "clock.h"
#include "common/broker/amqp_broker.h"
#include "tests/unit/suite.h"

/* Microseconds until it is, after `times` refusals. */
static usec_t wait_after(enum err_code code, bool consuming, int times)
{
	char name[] = "q";
	struct broker_queue queue = {.name = name};
	struct amqp_broker amqp = {0};
	struct broker b = {.queues = {&queue}, .amqp = &amqp};
	struct err err;
	usec_t before = 0;

	(void)err_set(&err, code, "refused");
	for (int i = 0; i < times; i++) {
		before = clock_mono();
		ck_assert(amqp_refuse(&b, 0, -err.code, consuming, &err));
		ck_assert(amqp_is_put_off(&b, 0));
	}
	return amqp.refused[0].again_at - before;
}

static bool is_about(usec_t waited, usec_t seconds)
{
	return waited >= seconds * USEC_PER_SEC && waited < (seconds + 5) * USEC_PER_SEC;
}

START_TEST(test_a_declaration)
{
	ck_assert(is_about(wait_after(ERR_CONFLICT, false, 1), 10));
	ck_assert(is_about(wait_after(ERR_DENIED, false, 9), 10));
}
END_TEST

/* The server ends the connection, and with it what all consumers were delivered. */
START_TEST(test_a_declaration_that_ends_the_connection)
{
	ck_assert(is_about(wait_after(ERR_UNSUPPORTED, false, 1), 30));
	ck_assert(is_about(wait_after(ERR_INVALID, false, 2), 60));
}
END_TEST

START_TEST(test_a_consumer)
{
	ck_assert(is_about(wait_after(ERR_DENIED, true, 1), 30));
	ck_assert(is_about(wait_after(ERR_DENIED, true, 3), 120));
	ck_assert(is_about(wait_after(ERR_DENIED, true, 20), 3840));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("refused");

	tcase_add_test(t, test_a_declaration);
	tcase_add_test(t, test_a_declaration_that_ends_the_connection);
	tcase_add_test(t, test_a_consumer);
	return suite_run("refused queues", t);
}
