/*
 * Whose a container is. One that was made for its conversation says so by its labels. One that was
 * taken from the pool cannot, since labels do not change: its name says it, as digests, and Redis
 * says it in words.
 */
#include "sandbox_internal.h"

#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "mem.h"

#define PREFIX		    "celeriac-"
#define SPARE_PREFIX	    "celeriac-pool-"
#define CONVERSATION_DIGITS 32
#define PROJECT_DIGITS	    16

static void digest(const char *a, const char *b, char out[SHA256_HEX_SIZE])
{
	_cleanup_free_ char *both = xasprintf("%s\n%s", a, b);

	sha256_hex(both, strlen(both), out);
}

void sandbox_container_name(const char *instance, const char *conversation, const char *project,
			    char out[CONTAINER_NAME_SIZE])
{
	char of_conversation[SHA256_HEX_SIZE], of_project[SHA256_HEX_SIZE];

	digest(instance, conversation, of_conversation);
	digest(conversation, project, of_project);
	snprintf(out, CONTAINER_NAME_SIZE, PREFIX "%.*s.%.*s", CONVERSATION_DIGITS, of_conversation,
		 PROJECT_DIGITS, of_project);
}

void sandbox_container_spare_name(char out[CONTAINER_NAME_SIZE])
{
	unsigned char id[8];
	char hex[2 * sizeof(id) + 1];

	random_bytes(id, sizeof(id));
	hex_encode(id, sizeof(id), hex);
	snprintf(out, CONTAINER_NAME_SIZE, SPARE_PREFIX "%s", hex);
}

bool sandbox_container_is_pooled(const struct engine_container *c)
{
	return strcmp(c->role, SANDBOX_ROLE_POOL) == 0;
}

bool sandbox_container_is_spare(const struct engine_container *c)
{
	return sandbox_container_is_pooled(c) &&
	       strncmp(c->name, SPARE_PREFIX, strlen(SPARE_PREFIX)) == 0;
}

bool sandbox_container_is_of(const char *instance, const struct engine_container *c,
			     const char *conversation)
{
	char name[CONTAINER_NAME_SIZE];

	if (!sandbox_container_is_pooled(c))
		return strcmp(c->role, SANDBOX_ROLE_CONVERSATION) == 0 &&
		       strcmp(c->conversation, conversation) == 0;
	sandbox_container_name(instance, conversation, "", name);
	return strncmp(c->name, name, strlen(PREFIX) + CONVERSATION_DIGITS + 1) == 0;
}

bool sandbox_container_is_project(const char *instance, const struct engine_container *c,
				  const char *conversation, const char *project)
{
	char name[CONTAINER_NAME_SIZE];

	if (!sandbox_container_is_pooled(c))
		return strcmp(c->project, project) == 0;
	sandbox_container_name(instance, conversation, project, name);
	return strcmp(c->name, name) == 0;
}

int sandbox_container_resolve(struct sandbox *s, struct engine_container *list, size_t count,
			      struct err *err)
{
	_cleanup_free_ struct engine_container **taken = xcalloc(count + 1, sizeof(*taken));
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (sandbox_container_is_pooled(&list[i]) && !sandbox_container_is_spare(&list[i]))
			taken[n++] = &list[i];
	return sandbox_index_read_taken(&s->index, taken, n, err);
}
