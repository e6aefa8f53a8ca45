/*
 * http_header.c: header lines that somebody else wrote.
 */
#include <string.h>
#include <strings.h>

#include "http_multi.h"

#define NAME_BYTES 128

/* How a message is framed and a connection used (RFC 9110 section 7.6.1) is the client's business,
 * and so is where the message goes. */
static const char *const framing[] = {"Host",
				      "Content-Length",
				      "Transfer-Encoding",
				      "Connection",
				      "Keep-Alive",
				      "Upgrade",
				      "TE",
				      "Trailer",
				      "Expect",
				      "Proxy-Connection",
				      "Proxy-Authorization",
				      NULL};

static bool is_among(const char *name, size_t len, const char *const *list)
{
	for (; list && *list; list++)
		if (strlen(*list) == len && strncasecmp(*list, name, len) == 0)
			return true;
	return false;
}

int http_header_check(const char *line, const char *const *reserved, struct err *err)
{
	const char *colon = strchr(line, ':');
	size_t name = colon ? (size_t)(colon - line) : 0;

	if (name == 0 || name > NAME_BYTES)
		return err_set(err, ERR_INVALID, "a line is not of the form Name: value");
	for (size_t i = 0; i < name; i++)
		if (line[i] <= ' ' || line[i] >= 0x7f || strchr("()<>@,;\\\"/[]?={}", line[i]))
			return err_set(err, ERR_INVALID, "a name that is none");
	for (const char *s = colon; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return err_set(err, ERR_INVALID, "%.*s: a control character", (int)name,
				       line);
	if (is_among(line, name, framing) || is_among(line, name, reserved))
		return err_set(err, ERR_INVALID, "%.*s is not yours to say", (int)name, line);
	return 0;
}
