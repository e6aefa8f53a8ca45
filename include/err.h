/*
 * err.h: the one way a function says that it failed.
 *
 * A fallible function returns 0 or a negative -ERR_* and fills the caller's `struct err` (last
 * parameter). On success `err` is untouched; on failure the outputs are. Making an error never
 * allocates. Low down: return err_set(err, ERR_PROTOCOL, "frame of %u bytes", len); and on the way
 * up: return err_wrap(err, "engine %s", url); Whoever decides looks at the flag: transient is worth
 * another try, anything else is not. Libraries do not log; the function that handles an error logs
 * it, once. `err` may never be NULL.
 */
#ifndef CELERIAC_ERR_H
#define CELERIAC_ERR_H

#include "base.h"

#define ERR_CODES(X)                                                                               \
	X(ERR_FAILED, "failed")		  /* what it says; the message is all there is to know */  \
	X(ERR_INVALID, "invalid")	  /* an argument or input broke a rule */                  \
	X(ERR_TOOBIG, "too big")	  /* a limit of bounds.h or of a setting was passed */     \
	X(ERR_NOMEM, "out of memory")	  /* for a size that came from input */                    \
	X(ERR_PROTOCOL, "protocol error") /* the other side said something impossible */           \
	X(ERR_TIMEOUT, "timed out")	  /* a deadline passed */                                  \
	X(ERR_CANCELLED, "cancelled")	  /* somebody asked us to stop */                          \
	X(ERR_CLOSED, "closed")		  /* the other side went away */                           \
	X(ERR_UNAVAILABLE, "unavailable") /* nobody answers there at the moment */                 \
	X(ERR_NOTFOUND, "not found")	  /* the named thing is not there, and that is certain */  \
	X(ERR_CONFLICT, "conflict")	  /* the thing is in a state that does not allow it */     \
	X(ERR_DENIED, "denied")		  /* not allowed */                                        \
	X(ERR_UNSUPPORTED, "unsupported") /* not built in, or the other side cannot */             \
	X(ERR_RETRY, "retry")		  /* a task asks to be run again (task.h) */               \
	X(ERR_REJECT, "reject")		  /* a task rejects its message (task.h) */                \
	X(ERR_IGNORE, "ignore")		  /* a task wants no result (task.h) */

#define ERR_ENUM(name, text) name,
enum err_code { ERR_NONE = 0, ERR_CODES(ERR_ENUM) ERR_CODE_COUNT };
#undef ERR_ENUM

enum err_flag {
	ERR_TRANSIENT =
		1u << 0, /* may succeed if tried again: outage, refused connection, deadlock */
};

struct err {
	int code;	/* enum err_code */
	int sys_errno;	/* errno at the failure, or 0 */
	unsigned flags; /* ERR_TRANSIENT */
	char msg[256];	/* one line, control characters escaped, no secrets */
};

/* Sets code and message; TIMEOUT, UNAVAILABLE and CLOSED are transient by themselves. Returns
 * -code. [any] */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) printf_like(3, 4);

/* As err_set, with errno `sys_errno` kept and its text appended as ": text". Returns -code. [any]
 */
int err_set_errno(struct err *err, enum err_code code, int sys_errno, const char *fmt, ...)
	printf_like(4, 5);

/* Puts "context: " before the message; code and flags stay. Returns -code. [any] */
int err_wrap(struct err *err, const char *fmt, ...) printf_like(2, 3);

/* Marks an error as worth another try. Returns -code. [any] */
int err_transient(struct err *err);

bool err_is_transient(const struct err *err);

/* "not found" and the like; never NULL. [any] */
const char *err_code_text(int code);

#endif
