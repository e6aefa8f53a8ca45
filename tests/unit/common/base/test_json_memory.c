/* Values that are made side by side live and go as any others, whoever frees them, in whatever
 * order. */
#include <pthread.h>
#include <string.h>

#include "json.h"
#include "tests/unit/suite.h"

#define MANY 5000 /* more than there are blocks for */
#define SIZE 3000 /* bytes of an array's pieces and of its text */

static json_t *made(int number)
{
	_cleanup_free_ char *text = xmalloc(SIZE);
	json_t *value = json_array();

	memset(text, 'x', SIZE);
	for (int i = 0; i < 60; i++)
		json_array_append_new(value, json_pack("{s:i}", "number", number));
	json_array_append_new(value, json_stringn(text, SIZE));
	return value;
}

static void check(const json_t *value, int number)
{
	const json_t *item;
	size_t i;

	ck_assert_uint_eq(json_array_size(value), 61);
	json_array_foreach(value, i, item)
	{
		if (i < 60)
			ck_assert_int_eq(json_integer_value(json_object_get(item, "number")),
					 number);
		else
			ck_assert_uint_eq(json_string_length(item), SIZE);
	}
}

static void *make_all(void *values)
{
	for (int i = 0; i < MANY; i++) {
		json_together_begin();
		((json_t **)values)[i] = made(i);
		json_together_end();
		if (i % 3 == 0) /* between them come others */
			json_decref(made(i));
	}
	return NULL;
}

/* Every `step`th, in a thread of its own. */
struct part {
	json_t **values;
	int first, step;
};

static void *free_part(void *arg)
{
	const struct part *p = arg;

	for (int i = p->first; i < MANY; i += p->step) {
		check(p->values[i], i);
		json_decref(p->values[i]);
	}
	return NULL;
}

START_TEST(test_threads)
{
	_cleanup_free_ json_t **values = xcalloc(MANY, sizeof(json_t *));
	struct part parts[] = {{values, 0, 2}, {values, 1, 2}};
	pthread_t threads[2], maker;

	for (int round = 0; round < 2; round++) { /* the second time with what was used before */
		ck_assert_int_eq(pthread_create(&maker, NULL, make_all, values), 0);
		pthread_join(maker, NULL);
		for (size_t i = 0; i < 2; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, free_part, &parts[i]),
					 0);
		for (size_t i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
	}
}
END_TEST

/* What was made side by side grows like anything else. */
START_TEST(test_changed_later)
{
	_cleanup_json_ json_t *value = NULL, *other = NULL;

	json_together_begin();
	value = made(1);
	json_together_end();
	for (int i = 0; i < 1000; i++)
		json_array_append_new(value, json_integer(i));
	ck_assert_uint_eq(json_array_size(value), 1061);
	json_together_begin();
	other = made(2);
	json_together_end();
	check(other, 2);
	ck_assert_int_eq(json_integer_value(json_array_get(value, 1060)), 999);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("json_memory");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_threads);
	tcase_add_test(t, test_changed_later);
	return suite_run("json_memory", t);
}
