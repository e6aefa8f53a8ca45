/*
 * clock.c: the two clocks and their replacement in tests.
 */
#include "clock.h"

#include <limits.h>
#include <stdatomic.h>

static usec_t read_clock(clockid_t id)
{
	struct timespec ts;
	if (clock_gettime(id, &ts) < 0)
		BUG("no clock %d", (int)id);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

static usec_t real_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

static usec_t real_mono(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static usec_t (*g_wall)(void) = real_wall;
static usec_t (*g_mono)(void) = real_mono;

/* What the clock that counts is ahead of the monotonic one; UNKNOWN until somebody has looked. */
#define UNKNOWN INT64_MIN
static _Atomic usec_t g_apart = UNKNOWN;
/* The same of the machine's clock, as it was then. */
static _Atomic usec_t g_machine_apart = UNKNOWN;

void clock_hook(usec_t (*wall)(void), usec_t (*mono)(void))
{
	g_wall = wall ? wall : real_wall;
	g_mono = mono ? mono : real_mono;
	atomic_store(&g_apart, UNKNOWN);
	atomic_store(&g_machine_apart, UNKNOWN);
}

usec_t clock_machine(void)
{
	return g_wall();
}

void clock_correct(usec_t ahead)
{
	usec_t apart = g_wall() - g_mono();

	atomic_store_explicit(&g_apart, apart - ahead, memory_order_relaxed);
	atomic_store_explicit(&g_machine_apart, apart, memory_order_relaxed);
}

bool clock_was_set(void)
{
	usec_t apart = atomic_load_explicit(&g_machine_apart, memory_order_relaxed);
	usec_t step = apart == UNKNOWN ? 0 : g_wall() - g_mono() - apart;

	return step > CLOCK_STEP || step < -CLOCK_STEP;
}

usec_t clock_wall(void)
{
	usec_t apart = atomic_load_explicit(&g_apart, memory_order_relaxed);

	return apart == UNKNOWN ? g_wall() : g_mono() + apart;
}

usec_t clock_mono(void)
{
	return g_mono();
}

usec_t clock_deadline(usec_t after)
{
	usec_t now = clock_mono();
	usec_t deadline;
	if (after == USEC_NEVER || __builtin_add_overflow(now, after, &deadline))
		return USEC_NEVER;
	return deadline;
}

int clock_left_ms(usec_t deadline)
{
	if (deadline == USEC_NEVER)
		return -1;
	usec_t now = clock_mono();
	if (deadline <= now)
		return 0;
	usec_t left = deadline - now;
	if (left / USEC_PER_MSEC >= INT_MAX)
		return INT_MAX;
	return (int)((left + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}
