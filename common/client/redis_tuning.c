/*
 * redis_tuning.c: copies and ends of what says how connections are made.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "redis_conn.h"

static const struct tuning_text {
	size_t offset;
	bool secret;
} texts[] = {
	{offsetof(struct redis_tuning, client_name), false},
	{offsetof(struct redis_tuning, user), false},
	{offsetof(struct redis_tuning, password), true},
	{offsetof(struct redis_tuning, master_name), false},
	{offsetof(struct redis_tuning, sentinel_user), false},
	{offsetof(struct redis_tuning, sentinel_password), true},
};

static char **text_at(struct redis_tuning *t, size_t i)
{
	return (char **)(void *)((char *)t + texts[i].offset);
}

void redis_tuning_copy(const struct redis_tuning *t, struct redis_tuning *ret)
{
	*ret = *t;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char **text = text_at(ret, i);

		*text = *text ? xstrdup(*text) : NULL;
	}
	tls_options_copy(&t->tls, &ret->tls);
	tls_options_copy(&t->sentinel_tls, &ret->sentinel_tls);
}

void redis_tuning_done(struct redis_tuning *t)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *text = TAKE(*text_at(t, i));

		if (text && texts[i].secret)
			wipe(text, strlen(text));
		free(text);
	}
	tls_options_done(&t->tls);
	tls_options_done(&t->sentinel_tls);
}
