/*
 * log.c: one line, one event, one write(2). The sink is the only mutable global; it is set before
 * threads start, and reopening puts the new file under the same descriptor, so that writers never
 * see it closed.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bounds.h"
#include "buf.h"
#include "clock.h"
#include "codec.h"
#include "mem.h"
#include "text.h"

/* Audit objects are cut by their makers; this only keeps a mistake from filling the disk. */
#define TRACE_ID_AT 3 /* in 00-<32>-<16>-01 */
#define SPAN_ID_AT  36
#define AUDIT_BYTES ((size_t)1 << 20)

static struct {
	int fd;
	enum log_format format;
	atomic_int level; /* read by any thread, relaxed: a late change is harmless */
} g_log = {.fd = STDERR_FILENO, .format = LOG_FORMAT_CELERY, .level = LOG_LEVEL_INFO};

static _Thread_local const char *g_task_id;
static _Thread_local const char *g_task_name;
static _Thread_local const char *g_traceparent;

static const char *const g_level_name[] = {
	[LOG_LEVEL_DEBUG] = "DEBUG",	   [LOG_LEVEL_INFO] = "INFO",
	[LOG_LEVEL_WARNING] = "WARNING",   [LOG_LEVEL_ERROR] = "ERROR",
	[LOG_LEVEL_CRITICAL] = "CRITICAL",
};

int log_open(const char *path, enum log_level level, enum log_format format, struct err *err)
{
	int fd = STDERR_FILENO;
	if (path) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
		if (fd < 0)
			return err_set_errno(err, ERR_FAILED, errno, "log file %s", path);
		if (g_log.fd != STDERR_FILENO) {
			if (dup3(fd, g_log.fd, O_CLOEXEC) < 0) {
				int saved = errno;
				close(fd);
				return err_set_errno(err, ERR_FAILED, saved, "log file %s", path);
			}
			close(fd);
			fd = g_log.fd;
		}
	} else if (g_log.fd != STDERR_FILENO) {
		close(g_log.fd);
	}
	g_log.fd = fd;
	g_log.format = format;
	atomic_store_explicit(&g_log.level, (int)level, memory_order_relaxed);
	return 0;
}

int log_level_parse(const char *text, enum log_level *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(g_level_name); i++) {
		if (strcasecmp(text, g_level_name[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	if (strcasecmp(text, "warn") == 0) {
		*ret = LOG_LEVEL_WARNING;
		return 0;
	}
	if (strcasecmp(text, "fatal") == 0) {
		*ret = LOG_LEVEL_CRITICAL;
		return 0;
	}
	return err_set(err, ERR_INVALID,
		       "log level \"%s\": use debug, info, warning, error, critical or fatal",
		       text);
}

int log_descriptor(void)
{
	return g_log.fd;
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&g_log.level, memory_order_relaxed);
}

void log_scope_begin(const char *task_id, const char *task_name, const char *traceparent)
{
	g_traceparent = traceparent;
	g_task_id = task_id;
	g_task_name = task_name;
}

void log_scope_end(void)
{
	g_task_id = NULL;
	g_task_name = NULL;
	g_traceparent = NULL;
}

static void write_line(const struct buf *line)
{
	const char *p = line->data;
	size_t left = line->len;
	while (left > 0) {
		ssize_t n = write(g_log.fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody to tell */
		p += n;
		left -= (size_t)n;
	}
}

/* "[2026-11-21 09:30:00,123: INFO/MainProcess] " in local time, as Python's logging does. */
static void append_celery_head(struct buf *line, enum log_level level)
{
	usec_t now = clock_wall();
	time_t sec = (time_t)(now / USEC_PER_SEC);
	struct tm tm = {0};
	localtime_r(&sec, &tm);
	char date[32];
	size_t n = strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	buf_append_char(line, '[');
	buf_append(line, date, n);
	buf_appendf(line, ",%03d: %s/MainProcess] ", (int)(now / USEC_PER_MSEC % 1000),
		    g_level_name[level]);
}

static void append_json_head(struct buf *line, enum log_level level)
{
	char iso[CLOCK_ISO_SIZE];
	clock_iso(clock_wall(), iso);
	buf_appendf(line, "{\"time\": \"%s\", \"level\": \"%s\"", iso, g_level_name[level]);
}

/* As a JSON string: what is no text becomes \xNN of two characters' length more, so that it stays
 * visible. */
static void append_quoted(struct buf *line, const char *text, size_t len)
{
	buf_append_char(line, '"');
	for (size_t i = 0, n; i < len; i += n) {
		unsigned char c = (unsigned char)text[i];
		n = utf8_valid(text + i, len - i);
		if (n == 0) {
			buf_appendf(line, "\\\\x%02x", c);
			n = 1;
		} else if (c == '"' || c == '\\') {
			buf_append_char(line, '\\');
			buf_append_char(line, text[i]);
		} else if (n == 1 && (c < 0x20 || c == 0x7f)) {
			buf_appendf(line, "\\u%04x", c);
		} else if (!text_printable(text + i, n)) {
			unsigned cp = (unsigned char)text[i + 1];
			if (n == 3)
				cp = 0x2000 | (cp & 0x3f) << 6 |
				     ((unsigned char)text[i + 2] & 0x3f);
			buf_appendf(line, "\\u%04x", cp);
		} else {
			buf_append(line, text + i, n);
		}
	}
	buf_append_char(line, '"');
}

static void append_member(struct buf *line, const char *key, const char *text)
{
	if (!text)
		return;
	buf_appendf(line, ", \"%s\": ", key);
	append_quoted(line, text, strnlen(text, BOUND_LOG_LINE));
}

void log_at(enum log_level level, const char *fmt, ...)
{
	if (!log_enabled(level))
		return;
	char text[BOUND_LOG_LINE];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

	/* The quoting of JSON may make six bytes of one. */
	_cleanup_buf_ struct buf line = BUF_INIT((size_t)BOUND_LOG_LINE * 24);
	if (g_log.format == LOG_FORMAT_JSON) {
		append_json_head(&line, level);
		buf_append_str(&line, ", \"message\": ");
		append_quoted(&line, text, len);
		append_member(&line, "task_id", g_task_id);
		append_member(&line, "task", g_task_name);
		if (g_traceparent != NULL)
			buf_appendf(&line, ", \"trace_id\": \"%.32s\", \"span_id\": \"%.16s\"",
				    g_traceparent + TRACE_ID_AT, g_traceparent + SPAN_ID_AT);
		buf_append_str(&line, "}\n");
	} else {
		char safe[BOUND_LOG_LINE];
		append_celery_head(&line, level);
		size_t room = sizeof(safe) - line.len - 1;
		buf_append(&line, safe, text_escape(text, len, safe, room));
		buf_append_char(&line, '\n');
	}
	write_line(&line);
}

void log_audit(const char *json)
{
	size_t len = strnlen(json, AUDIT_BYTES);
	_cleanup_buf_ struct buf line = BUF_INIT(AUDIT_BYTES * 4 + 256);
	bool as_json = g_log.format == LOG_FORMAT_JSON;
	if (as_json) {
		append_json_head(&line, LOG_LEVEL_INFO);
		buf_append_str(&line, ", \"message\": \"[audit]\", \"audit\": ");
	} else {
		append_celery_head(&line, LOG_LEVEL_INFO);
		buf_append_str(&line, "[audit] ");
	}
	char *to = buf_reserve(&line, len * 4 + 1);
	if (!to)
		return;
	buf_added(&line, text_escape(json, len, to, len * 4 + 1));
	buf_append_str(&line, as_json ? "}\n" : "\n");
	write_line(&line);
}
