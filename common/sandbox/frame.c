/*
 * Frames as bytes: headers, and the reader that finds its way back after nonsense. Pure; shared
 * with the agent.
 */
#include "frame.h"

#include <string.h>

/* Type 0xc5 is no frame type; the first byte comes only once in it. */
const unsigned char frame_sync_mark[FRAME_HEADER] = {
	0xc5, 'C', 'E', 'L', 'E', 'R', 'I', 'A', 'C', 0xff, '\r', '\n', 0x1a, 0x00, 0xfe, 0x01};

unsigned char *frame_put_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		*p++ = (unsigned char)(v >> (8 * i));
	return p;
}

unsigned char *frame_put_u64(unsigned char *p, uint64_t v)
{
	return frame_put_u32(frame_put_u32(p, (uint32_t)v), (uint32_t)(v >> 32));
}

static uint32_t load_u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t frame_get_u32(struct frame_cursor *c)
{
	uint32_t v;

	if (c->bad || c->left < 4) {
		c->bad = true;
		return 0;
	}
	v = load_u32(c->data);
	c->data += 4;
	c->left -= 4;
	return v;
}

uint64_t frame_get_u64(struct frame_cursor *c)
{
	uint64_t low;

	if (c->left < 8)
		c->bad = true;
	low = frame_get_u32(c);
	return low | (uint64_t)frame_get_u32(c) << 32;
}

void frame_header(unsigned char out[FRAME_HEADER], enum frame_type type, unsigned flags,
		  uint32_t epoch, uint32_t run, uint32_t len)
{
	out[0] = (unsigned char)type;
	out[1] = (unsigned char)flags;
	out[2] = out[3] = 0;
	frame_put_u32(frame_put_u32(frame_put_u32(out + 4, epoch), run), len);
}

static void set_needle(struct frame_reader *r, size_t len)
{
	size_t k = 0;

	r->needle_len = len;
	r->back[0] = 0;
	for (size_t i = 1; i < len; i++) {
		while (k > 0 && r->needle[i] != r->needle[k])
			k = r->back[k - 1];
		if (r->needle[i] == r->needle[k])
			k++;
		r->back[i] = (uint8_t)k;
	}
}

void frame_reader_init(struct frame_reader *r)
{
	memset(r, 0, sizeof(*r));
	memcpy(r->needle, frame_sync_mark, FRAME_HEADER);
	set_needle(r, FRAME_HEADER);
}

void frame_reader_init_joining(struct frame_reader *r, uint32_t epoch,
			       const unsigned char nonce[FRAME_NONCE])
{
	memset(r, 0, sizeof(*r));
	memcpy(r->needle, frame_sync_mark, FRAME_HEADER);
	frame_header(r->needle + FRAME_HEADER, FRAME_WELCOME, 0, epoch, 0, FRAME_WELCOME_SIZE);
	memcpy(r->needle + 2 * FRAME_HEADER, nonce, FRAME_NONCE);
	set_needle(r, FRAME_NEEDLE);
	r->lost = true;
}

/* One byte of the search. When the needle is whole, what of it belongs to a frame is put in place.
 */
static void search(struct frame_reader *r, unsigned char byte)
{
	r->skipped++;
	while (r->matched > 0 && byte != r->needle[r->matched])
		r->matched = r->back[r->matched - 1];
	if (byte == r->needle[r->matched])
		r->matched++;
	if (r->matched < r->needle_len)
		return;
	r->lost = false;
	r->matched = 0;
	r->skipped -= r->needle_len;
	r->have = r->needle_len - FRAME_HEADER;
	memcpy(r->bytes, r->needle + FRAME_HEADER, r->have);
}

static bool header_is_good(const unsigned char *h)
{
	return h[0] > 0 && h[0] < FRAME_TYPE_END && h[2] == 0 && h[3] == 0 &&
	       load_u32(h + 12) <= FRAME_PAYLOAD;
}

/* A whole header has come: keeps it, skips a mark, or starts to search, beginning with these very
 * bytes. */
static void judge_header(struct frame_reader *r)
{
	unsigned char header[FRAME_HEADER];

	if (header_is_good(r->bytes))
		return;
	memcpy(header, r->bytes, FRAME_HEADER);
	r->have = 0;
	if (memcmp(header, frame_sync_mark, FRAME_HEADER) == 0)
		return;
	r->lost = true;
	r->matched = 0;
	for (size_t i = 0; i < FRAME_HEADER; i++)
		search(r, header[i]);
}

size_t frame_read(struct frame_reader *r, const void *data, size_t len, struct frame *ret,
		  bool *ret_whole)
{
	const unsigned char *p = data;
	size_t used = 0, want, part;

	*ret_whole = false;
	while (used < len || r->have >= FRAME_HEADER) {
		if (r->lost) {
			search(r, p[used++]);
			continue;
		}
		want = FRAME_HEADER;
		if (r->have >= FRAME_HEADER)
			want += load_u32(r->bytes + 12);
		part = want - r->have < len - used ? want - r->have : len - used;
		memcpy(r->bytes + r->have, p + used, part);
		used += part;
		r->have += part;
		if (r->have < want)
			break;
		if (want == FRAME_HEADER) {
			judge_header(r);
			if (r->have < FRAME_HEADER || load_u32(r->bytes + 12) > 0)
				continue;
		}
		*ret = (struct frame){.type = r->bytes[0],
				      .flags = r->bytes[1],
				      .epoch = load_u32(r->bytes + 4),
				      .run = load_u32(r->bytes + 8),
				      .len = load_u32(r->bytes + 12),
				      .data = r->bytes + FRAME_HEADER};
		r->have = 0;
		*ret_whole = true;
		break;
	}
	return used;
}
