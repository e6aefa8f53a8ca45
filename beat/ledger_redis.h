/*
 * ledger_redis.h: the ledger in Redis: the hash celeriac:<instance>:beat, a field for each entry,
 * and the key celeriac:<instance>:beat:leader, which expires unless it is renewed.
 */
#ifndef CELERIAC_BEAT_LEDGER_REDIS_H
#define CELERIAC_BEAT_LEDGER_REDIS_H

#include "ledger.h"

struct ledger_in_redis {
	struct ledger ledger;
	struct shared_state *shared;
	char *lease_key;
	char ttl[16];			 /* LEASE_TTL in ms: scripts renew it by the way */
	struct redis_script lease, load; /* lease.lua, load.lua */
	struct redis_script slot;	 /* slot.lua: the one step */
	struct redis_script look, mark;	 /* slot_look.lua, slot_mark.lua: two of the three */
};

#endif
