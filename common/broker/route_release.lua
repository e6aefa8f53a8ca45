-- The owner is dead, and what it held was put back. KEYS: routers, list of its node, list of all, lease of the node.
-- ARGV: owner. Returns how many calls went from the one list to the front of the other: none if the node lives again and
-- reads its list itself.
redis.call('LLEN', KEYS[3])
redis.call('SREM', KEYS[1], ARGV[1], ARGV[1] .. '!')
local moved = 0
if redis.call('EXISTS', KEYS[4]) == 1 then
	return moved
end
-- include route_move.lua
return moved
