-- The owner is dead, and what it held was put back. KEYS: routers, list of its node, list of all, lease of the node, places.
-- ARGV: owner. Returns how many calls went from the one list to the front of the other: none if the node lives again, routes
-- calls and so reads its list itself. One that came back without a database does not.
redis.call('LLEN', KEYS[3])
redis.call('SREM', KEYS[1], ARGV[1], ARGV[1] .. '!')
local moved, places = 0, KEYS[5]
redis.call('ZCARD', places)
local lease = redis.call('GET', KEYS[4])
local life = lease and string.match(lease, '^%d+ ')
if life and redis.call('SISMEMBER', KEYS[1], string.match(ARGV[1], '^.*@') .. string.sub(life, 1, -2)) == 1 then
	return moved
end
-- include route_behind.lua
-- include route_move.lua
return moved
