/*
 * known.c: what is known of servers.
 */
#include "known.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "mem.h"

void mcp_known_init(struct mcp_known *k)
{
	*k = (struct mcp_known){0};
	mutex_init(&k->lock);
}

void mcp_known_done(struct mcp_known *k)
{
	for (size_t i = 0; i < KNOWN_CATALOGUES; i++)
		json_decref(k->catalogues[i].tools);
	mutex_done(&k->lock);
}

/* ---- generations ---- */
enum mcp_era mcp_known_get_era(struct mcp_known *k, const struct mcp_server *server,
			       bool *ret_tools_change)
{
	enum mcp_era era = MCP_ERA_UNKNOWN;

	*ret_tools_change = false;

	mutex_lock(&k->lock);
	for (size_t i = 0; i < KNOWN_ERAS; i++)
		if (k->eras[i].server == server->id && strcmp(k->eras[i].hash, server->hash) == 0) {
			era = k->eras[i].era;
			*ret_tools_change = k->eras[i].tools_change;
		}
	mutex_unlock(&k->lock);
	return era;
}

void mcp_known_put_era(struct mcp_known *k, const struct mcp_server *server,
		       const struct mcp_peer *peer)
{
	struct mcp_known_era *row = NULL;

	mutex_lock(&k->lock);
	for (size_t i = 0; i < KNOWN_ERAS && !row; i++)
		if (k->eras[i].server == server->id)
			row = &k->eras[i];
	if (!row)
		row = &k->eras[k->next_era++ % KNOWN_ERAS];
	row->server = server->id;
	row->era = peer->era;
	row->tools_change = peer->tools_change;
	snprintf(row->hash, sizeof(row->hash), "%s", server->hash);
	mutex_unlock(&k->lock);
}

/* ---- catalogues ---- */
json_t *mcp_known_get_catalogue(struct mcp_known *k, const struct mcp_server *server)
{
	json_t *tools = NULL;
	usec_t now = clock_mono();

	mutex_lock(&k->lock);
	for (size_t i = 0; i < KNOWN_CATALOGUES && !tools; i++) {
		struct mcp_known_catalogue *row = &k->catalogues[i];

		if (row->tools && row->server == server->id && now < row->until &&
		    strcmp(row->hash, server->hash) == 0)
			tools = json_incref(row->tools);
	}
	mutex_unlock(&k->lock);
	return tools;
}

/* The row of this server, whatever its configuration, or NULL. */
static struct mcp_known_catalogue *row_of(struct mcp_known *k, int64_t server) REQUIRES(k->lock)
{
	for (size_t i = 0; i < KNOWN_CATALOGUES; i++)
		if (k->catalogues[i].tools && k->catalogues[i].server == server)
			return &k->catalogues[i];
	return NULL;
}

void mcp_known_put_catalogue(struct mcp_known *k, const struct mcp_server *server, json_t *tools)
{
	bool small = json_dumpb(tools, NULL, 0, JSON_COMPACT) <= CATALOGUE_SIZE;
	_cleanup_json_ json_t *old = NULL;

	mutex_lock(&k->lock);
	struct mcp_known_catalogue *row = row_of(k, server->id);
	/* one that is too large takes no other's place */
	if (!row && small)
		row = &k->catalogues[k->next_catalogue++ % KNOWN_CATALOGUES];
	if (row) {
		old = row->tools;
		row->tools = small ? json_incref(tools) : NULL;
		row->server = server->id;
		row->until = clock_deadline(CATALOGUE_AGE);
		snprintf(row->hash, sizeof(row->hash), "%s", server->hash);
	}
	mutex_unlock(&k->lock);
}
