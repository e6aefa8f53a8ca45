/*
 * See dump.h.
 */
#include "dump.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

#define TASKS "/proc/self/task"

/* A small file of one of our threads, without its last newline; "" when it cannot be read. */
static void read_entry(const char *tid, const char *name, char *out, size_t size)
{
	char path[320];
	ssize_t len = -1;

	snprintf(path, sizeof(path), TASKS "/%s/%s", tid, name);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		len = read(fd, out, size - 1);
	out[len > 0 ? len : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* State and CPU seconds out of `stat`, whose second field, the name, may hold anything. */
static void read_stat(const char *tid, char *ret_state, double *ret_cpu)
{
	char text[1024], *fields;
	unsigned long user = 0, system = 0;

	read_entry(tid, "stat", text, sizeof(text));
	fields = strrchr(text, ')');
	*ret_state = '?';
	if (fields != NULL)
		(void)sscanf(fields, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			     ret_state, &user, &system);
	*ret_cpu = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void append_task(struct worker *w, int tid, struct buf *out)
{
	struct state *s = &w->state;
	usec_t now = clock_wall();

	mutex_lock(&s->lock);
	for (const struct request *r = s->held; r != NULL; r = r->held_next) {
		if (r->state != REQUEST_ACTIVE || atomic_load(&r->tid) != tid)
			continue;
		buf_appendf(out, ", runs %s[%s] for %.1f s%s", r->name, r->id,
			    (double)(now - atomic_load(&r->time_start)) / (double)USEC_PER_SEC,
			    atomic_load(&r->cancel) ? ", told to end" : "");
	}
	mutex_unlock(&s->lock);
}

static void dump_thread(struct worker *w, const char *tid)
{
	_cleanup_buf_ struct buf line = BUF_INIT((size_t)4 << 10);
	char name[32], wchan[64], state;
	double cpu;

	read_entry(tid, "comm", name, sizeof(name));
	read_entry(tid, "wchan", wchan, sizeof(wchan));
	read_stat(tid, &state, &cpu);
	buf_appendf(&line, "thread %s (%s): state %c, %.2f s of CPU", tid, name, state, cpu);
	if (wchan[0] != '\0' && strcmp(wchan, "0") != 0)
		buf_appendf(&line, ", in %s", wchan);
	append_task(w, (int)strtol(tid, NULL, 10), &line);
	log_warning("%s", line.data);
}

void dump_threads(struct worker *w)
{
	DIR *tasks = opendir(TASKS);
	const struct dirent *entry;

	log_warning("=== threads: %zu message(s) held, %zu task(s) running ===",
		    atomic_load(&w->state.held_count), atomic_load(&w->state.active_count));
	if (tasks == NULL)
		return;
	while ((entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] != '.')
			dump_thread(w, entry->d_name);
	}
	closedir(tasks);
	log_warning("=== end of threads ===");
}
