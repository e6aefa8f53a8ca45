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
	struct frame_harvested done;
};

/* Looking for what is new. */
struct look {
	const struct agent *a;
	int top;
	struct seen_file *now; /* what is there this time */
	size_t now_count;
	struct found *found;
};

void found_free(struct found *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->files[i].path);
	free(f->files);
	*f = (struct found){0};
}

/* Without memory it is left out. */
static void found_add(struct found *f, const char *path, enum frame_skip why,
		      const struct seen_file *file)
{
	struct found_file *files = f->files;
	char *copy;

	if (f->count == f->room) {
		files = realloc(files, (f->room + 64) * sizeof(*files));
		if (files == NULL)
			return;
		f->files = files;
		f->room += 64;
	}
	copy = strdup(path);
	if (copy == NULL)
		return;
	files[f->count] = (struct found_file){.path = copy, .skip = why};
	if (file)
		files[f->count].file = *file;
	f->count++;
	f->bytes += sizeof(*files) + strlen(path) + 1;
}

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

static struct seen_file as_seen(const struct stat *st)
{
	return (struct seen_file){.ino = st->st_ino,
				  .size = (uint64_t)st->st_size,
				  .ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 +
					      st->st_ctim.tv_nsec};
}

/* A regular file of this file system, open and looked at; -1 and why not. */
static int open_file(int top, const char *path, struct stat *ret, enum frame_skip *ret_why)
{
	struct stat home;
	int fd = tree_open(top, path, O_RDONLY);

	if (fd < 0) {
		*ret_why = errno == ELOOP ? FRAME_SKIP_SYMLINK : FRAME_SKIP_UNREADABLE;
		return -1;
	}
	if (fstat(fd, ret) < 0 || fstat(top, &home) < 0)
		*ret_why = FRAME_SKIP_UNREADABLE;
	else if (!S_ISREG(ret->st_mode))
		*ret_why = FRAME_SKIP_NOT_REGULAR;
	else if (ret->st_dev != home.st_dev)
		*ret_why = FRAME_SKIP_OTHER_FS;
	else
		return fd;
	close(fd);
	return -1;
}

/* Notes the file as it is; it is new unless it was the same the last time. */
static void look_at(struct look *l, const char *path)
{
	const struct agent *a = l->a;
	struct seen_file f;
	enum frame_skip why;
	struct stat st;
	int fd = open_file(l->top, path, &st, &why);

	if (fd < 0)
		return found_add(l->found, path, why, NULL);
	close(fd);
	f = as_seen(&st);
	l->now[l->now_count++] = f;
	if (a->seen == NULL || bsearch(&f, a->seen, a->seen_count, sizeof(f), compare_seen) == NULL)
		found_add(l->found, path, FRAME_SKIP_NONE, &f);
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

static void take_file(struct harvest *h, const struct found_file *found)
{
	enum frame_skip why;
	struct seen_file f;
	struct stat st;
	int fd = open_file(h->top, found->path, &st, &why);

	if (fd < 0)
		return skip(h, why, found->path);
	f = as_seen(&st);
	why = compare_seen(&f, &found->file) != 0 ? FRAME_SKIP_CHANGED
						  : judge(h, (uint64_t)st.st_size, found->path);
	if (why == FRAME_SKIP_NONE)
		send_file(h, fd, (uint64_t)st.st_size, found->path);
	else
		skip(h, why, found->path);
	close(fd);
}

static void take_all(struct harvest *h, const struct found *found)
{
	for (size_t i = 0; i < found->count; i++) {
		const struct found_file *f = &found->files[i];

		if (now_mono() >= h->deadline)
			return skip(h, FRAME_SKIP_TIME, f->path);
		if (f->skip != FRAME_SKIP_NONE)
			skip(h, f->skip, f->path);
		else
			take_file(h, f);
	}
}

static void look_at_all(struct look *l, const struct walk *w, usec_t deadline)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct walk_entry *e = &w->entries[i];

		if (now_mono() >= deadline)
			return found_add(l->found, e->path, FRAME_SKIP_TIME, NULL);
		if (e->skip != FRAME_SKIP_NONE)
			found_add(l->found, e->path, e->skip, NULL);
		else if (!e->is_dir)
			look_at(l, e->path);
	}
	if (w->cut != FRAME_SKIP_NONE)
		found_add(l->found, "", w->cut, NULL);
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

void harvest_look(struct agent *a, const struct frame_harvest *limits, struct found *ret)
{
	usec_t deadline = now_mono() + (usec_t)limits->time_ms * USEC_PER_MSEC;
	struct look l = {.a = a, .top = open_output(), .found = ret};
	struct walk w;

	if (l.top < 0) {
		if (errno != ENOENT)
			found_add(ret, "",
				  errno == ELOOP ? FRAME_SKIP_SYMLINK : FRAME_SKIP_UNREADABLE,
				  NULL);
		return;
	}
	walk(&w, l.top, limits, deadline);
	l.now = calloc(w.count + 1, sizeof(*l.now));
	if (l.now) {
		look_at_all(&l, &w, deadline);
		free(a->seen);
		a->seen = l.now;
		a->seen_count = l.now_count;
		qsort(l.now, l.now_count, sizeof(*l.now), compare_seen);
	}
	walk_done(&w);
	close(l.top);
}

void harvest(struct agent *a, const struct frame_harvest *limits, uint32_t run)
{
	usec_t deadline = now_mono() + (usec_t)limits->time_ms * USEC_PER_MSEC;
	struct harvest h = {.a = a, .limits = limits, .run = run, .deadline = deadline};
	struct kept *k = kept_find(a, run);
	struct found own = {0}, *found = k ? &k->found : &own;
	unsigned char bytes[8];

	if (k == NULL || !k->noted)
		harvest_look(a, limits, found);
	if (k)
		k->noted = true;
	h.top = found->count > 0 ? open_output() : -1;
	take_all(&h, found);
	if (h.top >= 0)
		close(h.top);
	found_free(&own);
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
