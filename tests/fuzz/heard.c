/* What a target failed with and what it made: whoever set fuzz_hears hears of it. */
#include "fuzz.h"

bool (*fuzz_has_refused)(void);
void (*fuzz_hears)(bool failed, uint64_t what);

void fuzz_failed(int rc, const struct err *err)
{
	bool line = err->msg[0] != '\0';

	for (const char *p = err->msg; *p; p++)
		line &= (unsigned char)*p >= ' ' && *p != 0x7f;
	if (rc >= 0 || err->code != -rc || !line)
		BUG("%d and %d are no failure with a line of words: %s", rc, err->code, err->msg);
	if (fuzz_hears)
		fuzz_hears(true, (uint64_t)err->code);
}

static void made(const char *data, size_t len)
{
	uint64_t digest = 0xcbf29ce484222325; /* FNV-1a */

	if (fuzz_hears == NULL)
		return;
	for (size_t i = 0; i < len; i++)
		digest = (digest ^ (unsigned char)data[i]) * 0x100000001b3;
	fuzz_hears(false, digest);
}

void fuzz_made(const struct buf *text)
{
	struct err err;

	if (buf_status(text, &err) < 0)
		fuzz_failed(-err.code, &err);
	else
		made(text->data, text->len);
}

void fuzz_made_text(const char *text)
{
	made(text, text ? strlen(text) : 0);
}

/* By jansson, whose memory is not that of input. */
void fuzz_made_json(const json_t *value)
{
	char *text = fuzz_hears ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

	fuzz_made_text(text);
	free(text);
}
