/*
 * docker_tar.c: POSIX ustar, as much of it as one file needs.
 */
#include "docker_tar.h"

#include <stdio.h>
#include <string.h>

#define TAR_BLOCK 512u

struct tar_header {
	char name[100];
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6], version[2];
	char user[32], group[32];
	char major[8], minor[8];
	char prefix[155];
	char pad[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a tar header is one block");

static void put_octal(char *field, size_t size, uint64_t value)
{
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
	field[size - 1] = '\0';
}

static bool get_octal(const char *field, size_t size, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	*ret = value;
	return i > 0;
}

/* The sum of all bytes with the checksum's own field as spaces. */
static unsigned header_sum(const struct tar_header *h)
{
	struct tar_header copy = *h;
	const unsigned char *p = (const unsigned char *)&copy;
	unsigned sum = 0;

	memset(copy.checksum, ' ', sizeof(copy.checksum));
	for (size_t i = 0; i < sizeof(copy); i++)
		sum += p[i];
	return sum;
}

static void write_member(char type, const char *name, unsigned mode, unsigned owner,
			 const void *data, size_t len, struct buf *out)
{
	static const char zeros[2 * TAR_BLOCK];
	struct tar_header h = {.type = type, .magic = "ustar", .version = {'0', '0'}};

	if (strlen(name) >= sizeof(h.name) || strchr(name, '/'))
		BUG("docker_tar_write: name '%s'", name);
	memcpy(h.name, name, strlen(name));
	put_octal(h.mode, sizeof(h.mode), mode);
	put_octal(h.uid, sizeof(h.uid), owner);
	put_octal(h.gid, sizeof(h.gid), owner);
	put_octal(h.size, sizeof(h.size), len);
	put_octal(h.mtime, sizeof(h.mtime), 0);
	put_octal(h.checksum, 7, header_sum(&h));
	h.checksum[7] = ' ';
	buf_append(out, &h, sizeof(h));
	buf_append(out, data, len);
	buf_append(out, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
	buf_append(out, zeros, sizeof(zeros));
}

void docker_tar_write(const char *name, unsigned mode, const void *data, size_t len,
		      struct buf *out)
{
	write_member('0', name, mode, 0, data, len, out);
}

void docker_tar_write_directory(const char *name, unsigned mode, unsigned owner, struct buf *out)
{
	write_member('5', name, mode, owner, "", 0, out);
}

bool docker_tar_holds(const char *tar, size_t tar_len, const char *name, unsigned mode,
		      const void *data, size_t len)
{
	struct tar_header h;
	uint64_t size, sum, got_mode;

	/* An engine may put extended headers (type x, g) before the file; two are more than any
	 * does. */
	for (int i = 0; i < 3; i++) {
		if (tar_len < sizeof(h))
			return false;
		memcpy(&h, tar, sizeof(h));
		tar += sizeof(h);
		tar_len -= sizeof(h);
		if (!get_octal(h.size, sizeof(h.size), &size) ||
		    !get_octal(h.checksum, sizeof(h.checksum), &sum) || sum != header_sum(&h) ||
		    !get_octal(h.mode, sizeof(h.mode), &got_mode) || size > tar_len)
			return false;
		if (h.type != 'x' && h.type != 'g')
			break;
		size_t skip = ((size_t)size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
		if (skip > tar_len)
			return false;
		tar += skip;
		tar_len -= skip;
	}
	if ((h.type != '0' && h.type != '\0') || (got_mode & mode) != mode || size != len)
		return false;
	return strnlen(h.name, sizeof(h.name)) == strlen(name) &&
	       memcmp(h.name, name, strlen(name)) == 0 && memcmp(tar, data, len) == 0;
}
