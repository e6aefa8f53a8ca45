/*
 * number.h: sums as Python makes them: integers of any size are exact, one float makes the rest
 * floats.
 */
#ifndef CELERIAC_NUMBER_H
#define CELERIAC_NUMBER_H

#include <jansson.h>

#include "err.h"

struct bignum_st;

/* Zero-initialised it is the integer 0. */
struct number {
	enum { NUMBER_INT, NUMBER_BIG, NUMBER_REAL } kind;
	int64_t integer;
	struct bignum_st *big; /* owned; NUMBER_BIG only */
	double real;
};
void number_done(struct number *n);

/* Reads what json_load_python makes of a number or a bool. ERR_INVALID: it is neither. ERR_TOOBIG:
 * more digits than Python converts. */
int number_read(const json_t *value, struct number *ret, struct err *err) must_check;
/* sum += x. ERR_FAILED: an integer is too large for the float it meets (Python's OverflowError). */
int number_add(struct number *sum, const struct number *x, struct err *err) must_check;
/* Its nearest double; ERR_FAILED as above. */
int number_real(const struct number *n, double *ret, struct err *err) must_check;
/* Given. ERR_TOOBIG: more digits than Python writes. */
int number_write(const struct number *n, json_t **ret, struct err *err) must_check;

#endif
