/*
 * err.c: errors are made here, without memory and always on one line.
 */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

/* Longer than any message, so that the cut always happens in text_escape, between characters. */
#define RAW_SIZE 1024
/* How much of a message a context may take, so that the cause stays readable. */
#define CONTEXT_SIZE 128

static const char *const g_code_text[ERR_CODE_COUNT] = {[ERR_NONE] = "no error",
#define ERR_TEXT(name, text) [name] = text,
							ERR_CODES(ERR_TEXT)
#undef ERR_TEXT
};

const char *err_code_text(int code)
{
	if (code < 0)
		code = -code;
	if (code < 0 || code >= ERR_CODE_COUNT)
		return "unknown error";
	return g_code_text[code];
}

static unsigned flags_of(enum err_code code)
{
	if (code == ERR_TIMEOUT || code == ERR_UNAVAILABLE || code == ERR_CLOSED)
		return ERR_TRANSIENT;
	return 0;
}

static printf_like(2, 0) size_t format(char raw[RAW_SIZE], const char *fmt, va_list ap)
{
	int n = vsnprintf(raw, RAW_SIZE, fmt, ap);
	if (n < 0)
		return 0;
	return (size_t)n < RAW_SIZE ? (size_t)n : RAW_SIZE - 1;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	char raw[RAW_SIZE];
	va_list ap;
	va_start(ap, fmt);
	size_t len = format(raw, fmt, ap);
	va_end(ap);

	err->code = (int)code;
	err->sys_errno = 0;
	err->flags = flags_of(code);
	text_escape(raw, len, err->msg, sizeof(err->msg));
	return -err->code;
}

int err_set_errno(struct err *err, enum err_code code, int sys_errno, const char *fmt, ...)
{
	char raw[RAW_SIZE];
	va_list ap;
	va_start(ap, fmt);
	size_t len = format(raw, fmt, ap);
	va_end(ap);

	const char *why = strerrordesc_np(sys_errno);
	char tail[96];
	int tail_len = why ? snprintf(tail, sizeof(tail), ": %s", why)
			   : snprintf(tail, sizeof(tail), ": errno %d", sys_errno);
	size_t room = sizeof(err->msg) - (size_t)tail_len;

	err->code = (int)code;
	err->sys_errno = sys_errno;
	err->flags = flags_of(code);
	size_t at = text_escape(raw, len, err->msg, room);
	memcpy(err->msg + at, tail, (size_t)tail_len + 1);
	return -err->code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char raw[RAW_SIZE];
	va_list ap;
	va_start(ap, fmt);
	size_t len = format(raw, fmt, ap);
	va_end(ap);

	char msg[sizeof(err->msg)];
	size_t at = text_escape(raw, len, msg, CONTEXT_SIZE);
	memcpy(msg + at, ": ", 2);
	at += 2;
	text_escape(err->msg, strnlen(err->msg, sizeof(err->msg)), msg + at, sizeof(msg) - at);
	memcpy(err->msg, msg, sizeof(msg));
	return -err->code;
}

int err_transient(struct err *err)
{
	err->flags |= ERR_TRANSIENT;
	return -err->code;
}

bool err_is_transient(const struct err *err)
{
	return (err->flags & ERR_TRANSIENT) != 0;
}
