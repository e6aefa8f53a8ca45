/*
 * The files of /sandbox/output that are new or changed since the last harvest, sent to the worker
 * within budgets; and the emptying of that directory.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "walk.h"

struct harvest {
	struct agent *a;
	const struct frame_harvest *limits;
	uint32_t run;
	int top;
	usec_t deadline;
	uint64_t total;
	struct seen_file *now; /* what is there this time */
	size_t now_count;
	struct frame_harvested done;
};

static void skip(struct harvest *h, enum frame_skip why, const char *name)
{
	unsigned char bytes[4 + WALK_PATH_BYTES];
	size_t len = strnlen(name, WALK_PATH_BYTES);

	if (h->done.skipped++ >= FRAME_SKIPPED_MAX)
		return;
	memcpy(frame_put_u32(bytes, why), name, len);
	control_send(h->a, FRAME_SKIPPED, 0, h->run, bytes, 4 + len);
}

static int compare_seen(const void *x, const void *y)
{
	const struct seen_file *a = x, *b = y;

	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	if (a->ctime_ns != b->ctime_ns)
		return a->ctime_ns < b->ctime_ns ? -1 : 1;
	return (a->size > b->size) - (a->size < b->size);
}

/* Notes the file as it is; true when it was the same at the last harvest. */
static bool is_known(struct harvest *h, const struct stat *st)
{
	struct seen_file f = {.ino = st->st_ino,
			      .size = (uint64_t)st->st_size,
			      .ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 +
					  st->st_ctim.tv_nsec};

	h->now[h->now_count++] = f;
	return h->a->seen &&
	       bsearch(&f, h->a->seen, h->a->seen_count, sizeof(f), compare_seen) != NULL;
}

static enum frame_skip judge(const struct harvest *h, uint64_t size, const char *path)
{
	if (!frame_name_is_good(path, strlen(path), h->limits->depth + 1))
		return FRAME_SKIP_NAME;
	if (size > h->limits->file_size)
		return FRAME_SKIP_FILE_SIZE;
	if (h->done.files >= h->limits->files)
		return FRAME_SKIP_FILES;
	if (h->total + size > h->limits->total_size)
		return FRAME_SKIP_TOTAL_SIZE;
	return FRAME_SKIP_NONE;
}

/* Exactly `size` bytes were announced; a file that grew is cut there, one that shrank is given up.
 */
static void send_file(struct harvest *h, int fd, uint64_t size, const char *path)
{
	static unsigned char bytes[FRAME_PAYLOAD];
	unsigned char end[4];
	size_t len = strlen(path);
	uint32_t result = FRAME_SKIP_NONE;
	ssize_t n;

	memcpy(frame_put_u64(bytes, size), path, len);
	control_send(h->a, FRAME_FILE, 0, h->run, bytes, 8 + len);
	for (uint64_t left = size; left > 0; left -= (uint64_t)n) {
		n = read(fd, bytes, left < sizeof(bytes) ? (size_t)left : sizeof(bytes));
		if (n <= 0) {
			result = FRAME_SKIP_CHANGED;
			break;
		}
		control_send(h->a, FRAME_FILE_DATA, 0, h->run, bytes, (size_t)n);
		h->total += (uint64_t)n;
	}
	if (read(fd, bytes, 1) > 0)
		result = FRAME_SKIP_CHANGED;
	frame_put_u32(end, result);
	control_send(h->a, FRAME_FILE_END, 0, h->run, end, sizeof(end));
	h->done.files++;
}

static void take_file(struct harvest *h, const char *path)
{
	enum frame_skip why = FRAME_SKIP_NONE;
	struct stat st, top;
	int fd = tree_open(h->top, path, O_RDONLY);

	if (fd < 0)
		return skip(h, errno == ELOOP ? FRAME_SKIP_SYMLINK : FRAME_SKIP_UNREADABLE, path);
	if (fstat(fd, &st) < 0 || fstat(h->top, &top) < 0)
		why = FRAME_SKIP_UNREADABLE;
	else if (!S_ISREG(st.st_mode))
		why = FRAME_SKIP_NOT_REGULAR;
	else if (st.st_dev != top.st_dev)
		why = FRAME_SKIP_OTHER_FS;
	else if (!is_known(h, &st)) {
		why = judge(h, (uint64_t)st.st_size, path);
		if (why == FRAME_SKIP_NONE)
			send_file(h, fd, (uint64_t)st.st_size, path);
	}
	if (why != FRAME_SKIP_NONE)
		skip(h, why, path);
	close(fd);
}

static void take_all(struct harvest *h, const struct walk *w)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct walk_entry *e = &w->entries[i];

		if (now_mono() >= h->deadline)
			return skip(h, FRAME_SKIP_TIME, e->path);
		if (e->skip != FRAME_SKIP_NONE)
			skip(h, e->skip, e->path);
		else if (!e->is_dir)
			take_file(h, e->path);
	}
	if (w->cut != FRAME_SKIP_NONE)
		skip(h, w->cut, "");
}

/* The output directory itself may have been replaced by anything. */
static int open_output(void)
{
	int home = tree_home(), fd;

	if (home < 0)
		return -1;
	fd = tree_open(home, AGENT_OUTPUT, O_RDONLY | O_DIRECTORY);
	if (fd < 0 && errno == EACCES)
		fd = tree_make_dir(home, AGENT_OUTPUT);
	close(home);
	return fd;
}

static void remember(struct harvest *h)
{
	free(h->a->seen);
	h->a->seen = h->now;
	h->a->seen_count = h->now_count;
	qsort(h->now, h->now_count, sizeof(*h->now), compare_seen);
}

void harvest(struct agent *a, const struct frame_harvest *limits, uint32_t run)
{
	struct harvest h = {.a = a, .limits = limits, .run = run, .top = open_output()};
	unsigned char bytes[8];
	struct walk w;

	h.deadline = now_mono() + (usec_t)limits->time_ms * USEC_PER_MSEC;
	if (h.top < 0) {
		if (errno != ENOENT)
			skip(&h, errno == ELOOP ? FRAME_SKIP_SYMLINK : FRAME_SKIP_UNREADABLE, "");
	} else {
		walk(&w, h.top, limits, h.deadline);
		h.now = calloc(w.count + 1, sizeof(*h.now));
		if (h.now) {
			take_all(&h, &w);
			remember(&h);
		}
		walk_done(&w);
		close(h.top);
	}
	frame_put_u32(frame_put_u32(bytes, h.done.files), h.done.skipped);
	control_send(a, FRAME_HARVESTED, 0, run, bytes, sizeof(bytes));
}

void reset_output(struct agent *a, uint32_t run)
{
	uint64_t removed = 0, left = 0;
	unsigned char bytes[16];
	int home = tree_home(), top;

	if (home >= 0) {
		top = tree_make_dir(home, AGENT_OUTPUT);
		if (top >= 0) {
			tree_empty(top, now_mono() + AGENT_RESET_MS * USEC_PER_MSEC, &removed,
				   &left);
			close(top);
		}
		close(home);
	}
	frame_put_u64(frame_put_u64(bytes, removed), left);
	control_send(a, FRAME_RESET_DONE, 0, run, bytes, sizeof(bytes));
}
