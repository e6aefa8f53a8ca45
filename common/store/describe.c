/*
 * describe.c: what a file is, from its name and its first bytes, and the id that it will always
 * have.
 */
#include "session.h"

#include <stdio.h>
#include <strings.h>

#include "codec.h"
#include "mem.h"

struct mime_extension {
	const char *extension, *mime;
};

static const struct mime_extension extensions[] = {
	{"7z", "application/x-7z-compressed"},
	{"avif", "image/avif"},
	{"bmp", "image/bmp"},
	{"bz2", "application/x-bzip2"},
	{"c", "text/x-c"},
	{"cpp", "text/x-c++"},
	{"css", "text/css"},
	{"csv", "text/csv"},
	{"doc", "application/msword"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"epub", "application/epub+zip"},
	{"gif", "image/gif"},
	{"go", "text/x-go"},
	{"gz", "application/gzip"},
	{"h", "text/x-c"},
	{"html", "text/html"},
	{"htm", "text/html"},
	{"ico", "image/vnd.microsoft.icon"},
	{"ics", "text/calendar"},
	{"ipynb", "application/x-ipynb+json"},
	{"java", "text/x-java"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript"},
	{"json", "application/json"},
	{"jsonl", "application/x-ndjson"},
	{"log", "text/plain"},
	{"md", "text/markdown"},
	{"mjs", "text/javascript"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"odp", "application/vnd.oasis.opendocument.presentation"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"ogg", "audio/ogg"},
	{"parquet", "application/vnd.apache.parquet"},
	{"pdf", "application/pdf"},
	{"png", "image/png"},
	{"ppt", "application/vnd.ms-powerpoint"},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"py", "text/x-python"},
	{"r", "text/x-r"},
	{"rtf", "application/rtf"},
	{"sh", "application/x-sh"},
	{"sql", "application/sql"},
	{"sqlite", "application/vnd.sqlite3"},
	{"svg", "image/svg+xml"},
	{"tar", "application/x-tar"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"toml", "application/toml"},
	{"ts", "text/x-typescript"},
	{"tsv", "text/tab-separated-values"},
	{"txt", "text/plain"},
	{"wav", "audio/wav"},
	{"webm", "video/webm"},
	{"webp", "image/webp"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"xml", "application/xml"},
	{"xz", "application/x-xz"},
	{"yaml", "application/yaml"},
	{"yml", "application/yaml"},
	{"zip", "application/zip"},
	{"zst", "application/zstd"},
};

struct mime_magic {
	const char *bytes;
	size_t len;
	const char *mime;
};

static const struct mime_magic magics[] = {
	{"\x89PNG\r\n\x1a\n", 8, "image/png"},
	{"\xff\xd8\xff", 3, "image/jpeg"},
	{"GIF87a", 6, "image/gif"},
	{"GIF89a", 6, "image/gif"},
	{"%PDF-", 5, "application/pdf"},
	{"PK\x03\x04", 4, "application/zip"},
	{"PK\x05\x06", 4, "application/zip"},
};

static const char *mime_by_name(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	const char *dot = strrchr(base, '.');
	if (!dot || dot == base)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
		if (strcasecmp(dot + 1, extensions[i].extension) == 0)
			return extensions[i].mime;
	return NULL;
}

static bool is_text(const char *data, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_valid(data + i, len - i);
		if (n == 0 || data[i] == '\0')
			return false;
		i += n;
	}
	return len > 0;
}

static const char *mime_by_content(const char *data, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		if (len >= magics[i].len && memcmp(data, magics[i].bytes, magics[i].len) == 0)
			return magics[i].mime;
	return is_text(data, len) ? "text/plain" : "application/octet-stream";
}

/* A UUID of version 8 (RFC 9562: made in our own way) from the digest of task and name. */
static void output_id(const char *task_id, const char *name, char out[UUID_SIZE])
{
	_cleanup_free_ char *text = xasprintf("%s/%s", task_id, name);
	char hex[SHA256_HEX_SIZE];
	sha256_hex(text, strlen(text), hex);
	hex[12] = '8';
	hex[16] = "89ab"[hex[16] & 3];
	snprintf(out, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

void store_describe_files(const struct store_task *t, struct store_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct store_file *f = &files[i];
		const char *mime = mime_by_name(f->name);
		output_id(t->task_id, f->name, f->id);
		snprintf(f->mime, sizeof(f->mime), "%s",
			 mime ? mime : mime_by_content(f->data, f->len));
		sha256_hex(f->data, f->len, f->sha256);
	}
}
