/*
 * What is inside the frames: fixed records and names. Pure; shared with the agent.
 */
#include "frame.h"

#include <string.h>

size_t frame_run_encode(const struct frame_run *r, unsigned char out[FRAME_STRUCT_MAX])
{
	unsigned char *p = out;

	p = frame_put_u32(p, r->timeout_ms);
	p = frame_put_u32(p, r->output_limit);
	p = frame_put_u32(p, r->nofile);
	p = frame_put_u32(p, r->flags);
	p = frame_put_u64(p, r->file_size);
	if (r->key.len > 0) {
		p = frame_put_u32(p, r->note);
		memcpy(p, r->key.data, r->key.len);
		p += r->key.len;
	}
	return (size_t)(p - out);
}

bool frame_run_decode(const struct frame *f, struct frame_run *ret)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};

	ret->timeout_ms = frame_get_u32(&c);
	ret->output_limit = frame_get_u32(&c);
	ret->nofile = frame_get_u32(&c);
	ret->flags = frame_get_u32(&c);
	ret->file_size = frame_get_u64(&c);
	ret->note = 0;
	ret->key = (struct slice){.data = "", .len = 0};
	if (c.bad || c.left == 0)
		return !c.bad;
	ret->note = frame_get_u32(&c);
	ret->key = (struct slice){.data = (const char *)c.data, .len = c.left};
	return !c.bad && frame_key_is_good(ret->key);
}

bool frame_key_is_good(struct slice key)
{
	return key.len > 0 && key.len <= FRAME_KEY_BYTES && memchr(key.data, 0, key.len) == NULL;
}

size_t frame_exit_encode(const struct frame_exit *e, unsigned char out[FRAME_STRUCT_MAX])
{
	const uint32_t small[] = {e->end,   e->exit_code, e->term_signal, e->start_errno,
				  e->flags, e->left,	  e->remaining,	  e->oom_kills};
	const uint64_t large[] = {e->wall_us,	     e->cpu_us,		e->peak_memory,
				  e->stdout_total,   e->stdout_dropped, e->stderr_total,
				  e->stderr_dropped, e->free_bytes,	e->free_inodes,
				  e->tmp_free_bytes};
	unsigned char *p = out;

	_Static_assert(sizeof(small) + sizeof(large) <= FRAME_STRUCT_MAX, "an EXIT has to fit");
	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		p = frame_put_u32(p, small[i]);
	for (size_t i = 0; i < ARRAY_LEN(large); i++)
		p = frame_put_u64(p, large[i]);
	return (size_t)(p - out);
}

bool frame_exit_decode(const struct frame *f, struct frame_exit *ret, struct slice *ret_text)
{
	uint32_t *const small[] = {&ret->end,	      &ret->exit_code, &ret->term_signal,
				   &ret->start_errno, &ret->flags,     &ret->left,
				   &ret->remaining,   &ret->oom_kills};
	uint64_t *const large[] = {&ret->wall_us,	 &ret->cpu_us,	       &ret->peak_memory,
				   &ret->stdout_total,	 &ret->stdout_dropped, &ret->stderr_total,
				   &ret->stderr_dropped, &ret->free_bytes,     &ret->free_inodes,
				   &ret->tmp_free_bytes};
	struct frame_cursor c = {.data = f->data, .left = f->len};

	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		*small[i] = frame_get_u32(&c);
	for (size_t i = 0; i < ARRAY_LEN(large); i++)
		*large[i] = frame_get_u64(&c);
	*ret_text = (struct slice){.data = (const char *)c.data, .len = c.bad ? 0 : c.left};
	return !c.bad;
}

bool frame_exit_leaves_files(const struct frame_exit *e)
{
	return e->remaining == 0 && (e->end == FRAME_END_EXITED || e->end == FRAME_END_TIMEOUT);
}

size_t frame_state_encode(const struct frame_state *s, unsigned char out[FRAME_STRUCT_MAX])
{
	unsigned char *p = out;

	p = frame_put_u32(p, s->state);
	p = frame_put_u32(p, s->note);
	p = frame_put_u32(p, s->left_ms);
	p = frame_put_u32(p, 0);
	p = frame_put_u64(p, s->stdin_got);
	p = frame_put_u64(p, s->stdin_taken);
	return (size_t)(p - out);
}

bool frame_state_decode(const struct frame *f, struct frame_state *ret)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};

	ret->state = frame_get_u32(&c);
	ret->note = frame_get_u32(&c);
	ret->left_ms = frame_get_u32(&c);
	ret->reserved = frame_get_u32(&c);
	ret->stdin_got = frame_get_u64(&c);
	ret->stdin_taken = frame_get_u64(&c);
	return !c.bad && ret->state <= FRAME_STATE_ENDED && ret->stdin_taken <= ret->stdin_got;
}

size_t frame_bounds_encode(const struct frame_bounds *b, unsigned char out[FRAME_STRUCT_MAX])
{
	const uint64_t all[] = {b->memory,
				b->swap,
				b->pids,
				b->cpu,
				b->nofile,
				b->file_size,
				b->core,
				b->home,
				b->tmp,
				b->shm,
				b->capabilities,
				b->seccomp,
				b->root_is_writable,
				b->routes,
				b->uid,
				b->reachable};
	unsigned char *p = out;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		p = frame_put_u64(p, all[i]);
	return (size_t)(p - out);
}

bool frame_bounds_decode(const struct frame *f, struct frame_bounds *ret, struct slice *ret_kernel)
{
	uint64_t *const all[] = {&ret->memory,
				 &ret->swap,
				 &ret->pids,
				 &ret->cpu,
				 &ret->nofile,
				 &ret->file_size,
				 &ret->core,
				 &ret->home,
				 &ret->tmp,
				 &ret->shm,
				 &ret->capabilities,
				 &ret->seccomp,
				 &ret->root_is_writable,
				 &ret->routes,
				 &ret->uid,
				 &ret->reachable};
	struct frame_cursor c = {.data = f->data, .left = f->len};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		*all[i] = frame_get_u64(&c);
	*ret_kernel = (struct slice){(const char *)c.data, c.bad ? 0 : c.left};
	return !c.bad;
}

size_t frame_harvest_encode(const struct frame_harvest *h, unsigned char out[FRAME_STRUCT_MAX])
{
	unsigned char *p = out;

	p = frame_put_u32(p, h->files);
	p = frame_put_u32(p, h->depth);
	p = frame_put_u32(p, h->entries);
	p = frame_put_u32(p, h->time_ms);
	p = frame_put_u64(p, h->file_size);
	p = frame_put_u64(p, h->total_size);
	return (size_t)(p - out);
}

bool frame_harvest_decode(const struct frame *f, struct frame_harvest *ret)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};

	ret->files = frame_get_u32(&c);
	ret->depth = frame_get_u32(&c);
	ret->entries = frame_get_u32(&c);
	ret->time_ms = frame_get_u32(&c);
	ret->file_size = frame_get_u64(&c);
	ret->total_size = frame_get_u64(&c);
	return !c.bad;
}

/* Bytes of the UTF-8 character at `p`, 0 if it is none (over-long, surrogate, beyond U+10FFFF) or a
 * control character. */
static size_t character(const unsigned char *p, size_t left)
{
	uint32_t code;
	size_t len;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < len)
		return 0;
	code = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	if (code < 0xa0 || (len == 3 && code < 0x800) || (len == 4 && code < 0x10000) ||
	    code > 0x10ffff)
		return 0;
	return code >= 0xd800 && code < 0xe000 ? 0 : len;
}

static bool component_is_good(const char *name, size_t len)
{
	size_t step;

	if (len == 0 || len > BOUND_FILE_NAME_BYTES)
		return false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return false;
	for (size_t i = 0; i < len; i += step) {
		step = character((const unsigned char *)name + i, len - i);
		if (step == 0)
			return false;
	}
	return true;
}

bool frame_name_is_good(const char *name, size_t len, unsigned depth)
{
	size_t begin = 0;

	if (len > FRAME_NAME_BYTES)
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && name[i] != '/')
			continue;
		if (depth-- == 0 || !component_is_good(name + begin, i - begin))
			return false;
		begin = i + 1;
	}
	return true;
}
