/*
 * pickle_machine.h: the machine that reads a pickle, shared by its files. Private to
 * common/backend. [owner]
 *
 *   pickle_read.c     the table of opcodes; containers, the memo, the beginning and the end
 *   pickle_stack.c    its stack, and what opcodes have for arguments
 *   pickle_scalars.c  opcodes of values that hold no others
 *   pickle_calls.c    … of values that a class makes, and bytes
 */
#ifndef CELERIAC_BACKEND_PICKLE_MACHINE_H
#define CELERIAC_BACKEND_PICKLE_MACHINE_H

#include <jansson.h>

#include "base.h"
#include "err.h"

struct pickle_item {
	json_t *value; /* NULL: a mark */
	size_t depth;  /* of containers in it, those of the memo not counted */
	bool is_tuple; /* which cannot be filled any more; also a typed value */
	int class;     /* 0, or one more than its number: `value` is of no use */
};

struct pickle_reader {
	const unsigned char *p, *end;
	struct pickle_item *stack, *memo;
	size_t count, size, memo_count, memo_size;
	size_t values;	 /* made so far, whatever became of them */
	size_t repeated; /* bytes of text, by pickle_repeat; work, by pickle_work */
	bool shared;	 /* a container came from the memo */
	bool called;	 /* a class was: what is between may be left */
	bool stopped;
	struct err *err;
};

/* ---- pickle_stack.c ---- */
/* All answer -code; too many are values. */
int pickle_damaged(struct pickle_reader *r);
int pickle_too_many(struct pickle_reader *r);
int pickle_refused(struct pickle_reader *r);
/*
 * A place behind `count` items, of which there is room for `*size` so far. It holds anything yet,
 * and `count` is the caller's to raise. All items may move: pointers to them, such as into the
 * stack, do not outlive this, nor pickle_push.
 */
struct pickle_item *pickle_grow(struct pickle_item **items, size_t count, size_t *size);
/* Takes `value` (NULL: a mark), also when it fails. */
int pickle_push(struct pickle_reader *r, json_t *value, size_t depth) must_check;
/* Leaves `count` items, and gives up those above. */
void pickle_drop(struct pickle_reader *r, size_t count);
/* Before a text, if `value` is one, is copied or walked once more for a few bytes of the pickle:
 * ERR_TOOBIG when all of these come to more than BOUND_RESULT_BYTES. */
int pickle_repeat(struct pickle_reader *r, const json_t *value) must_check;
/* Before work that is more than reading these bytes once: `bytes` of text would be as much. Counted
 * with pickle_repeat's. */
int pickle_work(struct pickle_reader *r, size_t bytes) must_check;
/* Are there `count` values at the top, and no mark or class among them? */
bool pickle_has_values(const struct pickle_reader *r, size_t count);
/* The next `size` bytes of the pickle, borrowed from it, which are then behind; NULL, and none are,
 * when there are fewer. */
const unsigned char *pickle_bytes(struct pickle_reader *r, size_t size);
/* The next `size` (at most 8) bytes as a number, the lowest first; false when there are fewer. */
bool pickle_number(struct pickle_reader *r, size_t size, uint64_t *ret);
/* What is before the next LF, borrowed from the pickle; the LF is not in it, and is behind as well.
 * False: there is none. */
bool pickle_line(struct pickle_reader *r, struct slice *ret);

/* ---- opcodes: `size` is of the argument, or of the number that says how long it is ---- */
int pickle_op_none(struct pickle_reader *r, size_t size) must_check;
int pickle_op_true(struct pickle_reader *r, size_t size) must_check;
int pickle_op_false(struct pickle_reader *r, size_t size) must_check;
int pickle_op_int(struct pickle_reader *r, size_t size) must_check;
int pickle_op_long(struct pickle_reader *r, size_t size) must_check;
int pickle_op_long_digits(struct pickle_reader *r, size_t size) must_check;
int pickle_op_float(struct pickle_reader *r, size_t size) must_check;
int pickle_op_text(struct pickle_reader *r, size_t size) must_check;
int pickle_op_bytes(struct pickle_reader *r, size_t size) must_check;
int pickle_op_global(struct pickle_reader *r, size_t size) must_check;
int pickle_op_stack_global(struct pickle_reader *r, size_t size) must_check;
int pickle_op_reduce(struct pickle_reader *r, size_t size) must_check;

#endif
