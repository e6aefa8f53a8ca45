/* Threads, their signals and names, and waiting with deadlines. */
#include <signal.h>
#include <string.h>

#include "clock.h"
#include "thread.h"
#include "tests/unit/suite.h"

struct shared {
	struct mutex lock;
	struct cond changed;
	int value; /* guarded by lock */
	sigset_t mask;
	char name[16];
	size_t stack;
};

static void *observe(void *arg)
{
	struct shared *s = arg;
	pthread_attr_t attr;
	pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstacksize(&attr, &s->stack);
	pthread_attr_destroy(&attr);
	mutex_lock(&s->lock);
	s->value = 1;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	return s;
}

static void shared_init(struct shared *s)
{
	memset(s, 0, sizeof(*s));
	mutex_init(&s->lock);
	cond_init(&s->changed);
}

static void shared_done(struct shared *s)
{
	cond_done(&s->changed);
	mutex_done(&s->lock);
}

START_TEST(test_start)
{
	struct shared s;
	struct err err;
	pthread_t thread;
	void *result;
	sigset_t before, after;
	shared_init(&s);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ck_assert_int_eq(thread_start(&thread, "a-name-that-is-too-long", observe, &s, &err), 0);
	mutex_lock(&s.lock);
	while (s.value == 0)
		cond_wait(&s.changed, &s.lock);
	mutex_unlock(&s.lock);
	pthread_join(thread, &result);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert_ptr_eq(result, &s);
	ck_assert_str_eq(s.name, "a-name-that-is-");
	ck_assert_int_eq(sigismember(&s.mask, SIGTERM), 1);
	ck_assert_int_eq(sigismember(&s.mask, SIGINT), 1);
	ck_assert_int_eq(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
#ifndef __SANITIZE_THREAD__ /* which adds to it */
	ck_assert_uint_eq(s.stack, 512 << 10);
#endif
	shared_done(&s);
}
END_TEST

START_TEST(test_wait_until_passes)
{
	struct shared s;
	shared_init(&s);
	mutex_lock(&s.lock);
	usec_t start = clock_mono();
	while (cond_wait_until(&s.changed, &s.lock, start + 20 * USEC_PER_MSEC))
		continue;
	usec_t took = clock_mono() - start;
	ck_assert_int_ge(took, 20 * USEC_PER_MSEC);
	ck_assert_int_lt(took, 5 * USEC_PER_SEC);
	ck_assert(!cond_wait_until(&s.changed, &s.lock, start)); /* already gone */
	ck_assert(!cond_wait_until(&s.changed, &s.lock, 0));
	mutex_unlock(&s.lock);
	shared_done(&s);
}
END_TEST

START_TEST(test_wait_until_is_woken)
{
	static const usec_t deadlines[] = {60 * USEC_PER_SEC, USEC_NEVER};
	struct shared s;
	struct err err;
	pthread_t thread;
	shared_init(&s);
	mutex_lock(&s.lock);
	ck_assert_int_eq(thread_start(&thread, "waker", observe, &s, &err), 0);
	usec_t deadline = clock_deadline(deadlines[_i]);
	while (s.value == 0)
		ck_assert(cond_wait_until(&s.changed, &s.lock, deadline));
	mutex_unlock(&s.lock);
	pthread_join(thread, NULL);
	shared_done(&s);
}
END_TEST

static usec_t long_ago(void)
{
	return 1000;
}

/* Deadlines are on our clock, wherever a test has put it. */
START_TEST(test_wait_until_with_a_hooked_clock)
{
	struct shared s;
	shared_init(&s);
	usec_t start = clock_mono();
	clock_hook(NULL, long_ago);
	mutex_lock(&s.lock);
	ck_assert(!cond_wait_until(&s.changed, &s.lock, 1000));
	bool woken = cond_wait_until(&s.changed, &s.lock, 1000 + 30 * USEC_PER_MSEC);
	mutex_unlock(&s.lock);
	clock_hook(NULL, NULL);
	ck_assert(woken || clock_mono() - start >= 30 * USEC_PER_MSEC);
	shared_done(&s);
}
END_TEST

START_TEST(test_unlock_what_is_locked)
{
	struct mutex m;
	mutex_init(&m);
	mutex_lock(&m);
	ck_assert_int_ne(pthread_mutex_trylock(&m.m), 0);
	mutex_unlock(&m);
	ck_assert_int_eq(pthread_mutex_trylock(&m.m), 0);
	pthread_mutex_unlock(&m.m);
	mutex_done(&m);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("thread");
	tcase_set_timeout(t, 20);
	tcase_add_test(t, test_start);
	tcase_add_test(t, test_wait_until_passes);
	tcase_add_loop_test(t, test_wait_until_is_woken, 0, 2);
	tcase_add_test(t, test_wait_until_with_a_hooked_clock);
	tcase_add_test(t, test_unlock_what_is_locked);
	return suite_run("thread", t);
}
