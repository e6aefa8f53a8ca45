/*
 * What comes before a run: its argument vector, its environment, its input files.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool strings_add(struct strings *s, const struct frame *f)
{
	char *bytes;

	if (s->bad || f->len == 0)
		return !s->bad;
	s->bad = true;
	if (s->len + f->len > AGENT_ARGS_BYTES || f->data[f->len - 1] != '\0')
		return false;
	bytes = realloc(s->bytes, s->len + f->len);
	if (bytes == NULL)
		return false;
	s->bytes = bytes;
	memcpy(s->bytes + s->len, f->data, f->len);
	s->len += f->len;
	for (size_t i = 0; i < f->len; i++)
		s->count += f->data[i] == '\0';
	s->bad = s->count > AGENT_STRINGS;
	return !s->bad;
}

void strings_done(struct strings *s)
{
	free(s->bytes);
	*s = (struct strings){0};
}

char **strings_vector(struct strings *s)
{
	char **vector = calloc(s->count + 1, sizeof(char *));
	char *p = s->bytes;

	if (vector == NULL)
		return NULL;
	for (size_t i = 0; i < s->count; i++) {
		vector[i] = p;
		p += strlen(p) + 1;
	}
	return vector;
}

void run_spoil(struct run *r, int error, const char *what, const char *name)
{
	if (r->start_errno)
		return;
	r->start_errno = error;
	snprintf(r->start_text, sizeof(r->start_text), "%s%s%s: %s", what, *name ? " " : "", name,
		 strerror(error));
}

static void put_close(struct run *r)
{
	if (r->put_fd >= 0)
		close(r->put_fd);
	r->put_fd = -1;
}

static void put_failed(struct run *r)
{
	run_spoil(r, errno, "input file", r->put_name);
	put_close(r);
}

/* The directory that `path` is to lie in, made where missing; *ret_name is the last component. -1
 * and errno. */
static int open_parent(const char *path, const char **ret_name)
{
	char name[BOUND_FILE_NAME_BYTES + 1];
	const char *slash;
	int dir = tree_home(), next;

	while (dir >= 0 && (slash = strchr(path, '/')) != NULL) {
		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		next = tree_make_dir(dir, name);
		close(dir);
		dir = next;
		path = slash + 1;
	}
	*ret_name = path;
	return dir;
}

/* Whatever is there under that name goes; the new file is ours alone. */
static int create(const char *path, mode_t mode)
{
	const char *name;
	int dir = open_parent(path, &name);
	int fd;

	if (dir < 0)
		return -1;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		fd = -1;
	else
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	close(dir);
	return fd;
}

void put_begin(struct agent *a, const struct frame *f)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};
	struct run *r = &a->run;
	uint32_t mode;

	if (r->put_fd >= 0) {
		errno = EPROTO;
		put_failed(r);
	}
	r->put_left = frame_get_u64(&c);
	mode = frame_get_u32(&c);
	r->put_name[0] = '\0';
	errno = EINVAL;
	if (c.bad || r->put_left > BOUND_INPUT_FILE_BYTES ||
	    !frame_name_is_good((const char *)c.data, c.left, AGENT_PUT_DEPTH))
		return put_failed(r);
	memcpy(r->put_name, c.data, c.left);
	r->put_name[c.left] = '\0';
	r->put_fd = create(r->put_name, mode & 0777);
	if (r->put_fd < 0)
		return put_failed(r);
	if (r->put_left == 0)
		put_close(r);
}

void put_data(struct agent *a, const struct frame *f)
{
	struct run *r = &a->run;
	ssize_t n;

	/* The PUT failed: its run will say so. */
	if (r->put_fd < 0)
		return;
	if (f->len > r->put_left) {
		errno = EPROTO;
		return put_failed(r);
	}
	for (size_t done = 0; done < f->len; done += (size_t)n) {
		n = write(r->put_fd, f->data + done, f->len - done);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return put_failed(r);
	}
	r->put_left -= f->len;
	if (r->put_left == 0)
		put_close(r);
}
