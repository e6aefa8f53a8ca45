-- A node lets go of its conversations: from now on they are anybody's, but those that it is busy with.
-- KEYS: routers, list of the node, list of all, places. ARGV: owner, start of our keys, seconds a route lasts, how many
-- conversations it was busy with when it did so before, these, and those that it is busy with now.
-- Returns how many calls went from the one list to the front of the other.
local busy = ARGV[1] .. '!'
redis.call('LLEN', KEYS[3])
redis.call('SREM', KEYS[1], ARGV[1], busy)
local now = 5 + ARGV[4]
for i = 5, now - 1 do
	local route = ARGV[2] .. 'route:' .. ARGV[i]
	if redis.pcall('GET', route) == busy then
		redis.call('DEL', route)
	end
end
for i = now, #ARGV do
	redis.call('SADD', KEYS[1], busy)
	redis.call('SET', ARGV[2] .. 'route:' .. ARGV[i], busy, 'EX', ARGV[3])
end
local moved, places = 0, KEYS[4]
redis.call('ZCARD', places)
-- include route_behind.lua
-- include route_move.lua
return moved
