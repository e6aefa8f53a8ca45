/*
 * base.h: what every file may assume. Types, attributes and the assertion for programmer mistakes.
 */
#ifndef CELERIAC_BASE_H
#define CELERIAC_BASE_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Microseconds. Wall or monotonic is said by the name or the function; signed so that differences
 * are safe. */
typedef int64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_NEVER    INT64_MAX /* as a deadline: wait until cancelled */

#define must_check		__attribute__((warn_unused_result))
#define printf_like(fmt, first) __attribute__((format(printf, fmt, first)))
#define unused_arg		__attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A borrowed run of bytes; not NUL-terminated unless said. */
struct slice {
	const char *data;
	size_t len;
};

/* Of a text that ends with NUL, without that. [any] */
static inline struct slice slice_of(const char *text)
{
	return (struct slice){text, strlen(text)};
}

/*
 * A mistake of the programmer, never of an input: says where on stderr and aborts, so that the
 * messages held are delivered again. [any]
 */
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) printf_like(3, 4);

#endif
