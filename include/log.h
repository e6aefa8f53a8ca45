/*
 * log.h: one line, one event.
 *
 * Lines go to stderr or the log file as Celery writes them, "[2026-11-21 09:30:00,123:
 * INFO/MainProcess] text", or as one JSON object per line. Control characters and invalid UTF-8 in
 * the text are escaped, so that nothing from outside can forge a line; lines are cut at
 * BOUND_LOG_LINE. Secrets are never passed in. [any] thread; never blocks for longer than a
 * write(2).
 */
#ifndef CELERIAC_LOG_H
#define CELERIAC_LOG_H

#include "base.h"
#include "err.h"

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_CRITICAL
};
enum log_format { LOG_FORMAT_CELERY, LOG_FORMAT_JSON };

/* Chooses where lines go. `path` NULL = stderr; reopened on a second call. [init] */
int log_open(const char *path, enum log_level level, enum log_format format,
	     struct err *err) must_check;

/* Where lines go; borrowed. [init] */
int log_descriptor(void);

/* "debug" … "critical", "fatal", as Celery's -l takes them in any case. ERR_INVALID. */
int log_level_parse(const char *text, enum log_level *ret, struct err *err) must_check;

bool log_enabled(enum log_level level);

void log_at(enum log_level level, const char *fmt, ...) printf_like(2, 3);
#define log_debug(...)	  log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)	  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...)  log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)	  log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_critical(...) log_at(LOG_LEVEL_CRITICAL, __VA_ARGS__)

/*
 * Names the task that this thread works for; JSON lines carry it as fields task_id and task, and of
 * its `traceparent` (message.h; or NULL) trace_id and span_id, the id of the span that sent it.
 * Borrowed until log_scope_end. [any], per thread.
 */
void log_scope_begin(const char *task_id, const char *task_name, const char *traceparent);
void log_scope_end(void);

/* One audit event: "[audit] {json}" whatever the level. `json` is one complete object. [any] */
void log_audit(const char *json);

#endif
