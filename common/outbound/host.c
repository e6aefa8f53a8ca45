/*
 * Hosts, read strictly, so that what was checked is what is connected to.
 */
#include <string.h>

#include "outbound.h"

#define LABEL_BYTES 63

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_label_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

/* getaddrinfo takes "0177.1", "2130706433" and "0x7f.1" for addresses: a name's last label is never
 * a number of any kind. */
static bool looks_numeric(const char *label)
{
	if (label[0] == '0' && label[1] == 'x')
		return true;
	return strspn(label, "0123456789") == strlen(label);
}

/* What is wrong with a name in lower case, or NULL. */
static const char *check_name(const char *name)
{
	const char *label = name;

	for (;;) {
		size_t len = strcspn(label, ".");

		if (len == 0)
			return label == name ? "it is empty" : "it has an empty label";
		if (len > LABEL_BYTES)
			return "a label of more than 63 bytes";
		for (size_t i = 0; i < len; i++)
			if (!is_label_char(label[i]))
				return "a character that no host name has";
		if (label[0] == '-' || label[len - 1] == '-')
			return "a label that begins or ends with '-'";
		if (label[len] == '\0')
			return looks_numeric(label) ? "a number in another form than 1.2.3.4"
						    : NULL;
		label += len + 1;
	}
}

static bool parse_bracketed(const char *text, size_t len, struct outbound_host *h)
{
	char inner[IP_ADDRESS_TEXT];

	if (len < 4 || text[len - 1] != ']' || len - 2 >= sizeof(inner))
		return false;
	memcpy(inner, text + 1, len - 2);
	inner[len - 2] = '\0';
	return ip_address_parse(inner, &h->address) && h->address.v6;
}

int outbound_host_parse(const char *text, size_t len, struct outbound_host *ret, struct err *err)
{
	struct outbound_host h = {0};
	const char *wrong;

	if (len > OUTBOUND_NAME_BYTES)
		return err_set(err, ERR_INVALID, "host: more than %d bytes", OUTBOUND_NAME_BYTES);
	if (memchr(text, '\0', len) != NULL)
		return err_set(err, ERR_INVALID, "host: it holds a NUL");
	if (len > 0 && text[0] == '[') {
		if (!parse_bracketed(text, len, &h))
			return err_set(err, ERR_INVALID, "host: not an IPv6 address in brackets");
		h.is_address = true;
	} else {
		for (size_t i = 0; i < len; i++)
			h.name[i] =
				text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
		h.is_address = ip_address_parse(h.name, &h.address) && !h.address.v6;
		wrong = h.is_address ? NULL : check_name(h.name);
		if (wrong)
			return err_set(err, ERR_INVALID, "host: %s", wrong);
	}
	if (h.is_address)
		ip_address_format(&h.address, h.name);
	*ret = h;
	return 0;
}
