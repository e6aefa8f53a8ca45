-- The queue of a node is moved to that of another: until it is said to be done, nobody is told to send there, and who was told is
-- waited for. To be repeated until nobody is.
-- KEYS: routers. ARGV: our owner, the node, start of our keys, start of the leases, '1' = the node is dead and we are its heir, '0' =
-- it is ours, '1' = nothing waits in its queue, how many conversations it was busy with when this was done before, these, and those
-- that it is busy with now.
-- Answers {0} when there is nothing to do, or somebody else does it; {2} when there is no heir now; else 1, the heir, and how many are waited for.
-- include amqp_owner.lua
local routers = KEYS[1]
local me, node, base, leases, dead, empty = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6] == '1'
local busy, key = me .. '!', base .. 'closing:' .. node
local who = redis.call('GET', key)
if who and string.match(who, '^(.-)\n') ~= me then
	return {0}
end
local heir = who and string.match(who, '\n(.*)$')
if not heir then
	if dead and redis.call('EXISTS', leases .. node) == 1 then
		return {0}
	end
	if not dead and empty and redis.call('SISMEMBER', routers, me) == 0 and redis.call('SISMEMBER', routers, busy) == 0 then
		return {0}
	end
	heir = dead and redis.call('SISMEMBER', routers, me) == 1 and me or not dead and another(base, routers, leases, node)
	if not heir or is_closing(base, node_of(heir)) then
		return {2}
	end
	-- ours may not be moved while we move something there
	redis.call('SADD', base .. 'moving:' .. node_of(heir), me .. '+' .. node)
end
redis.call('SET', key, me .. '\n' .. heir, 'EX', 30)
local now = 8 + ARGV[7]
for i = 8, now - 1 do
	local route = base .. 'route:' .. ARGV[i]
	if redis.pcall('GET', route) == busy then
		redis.call('SET', route, heir, 'EX', 604800)
	end
end
for i = now, #ARGV do
	redis.call('SADD', routers, busy)
	redis.call('SET', base .. 'route:' .. ARGV[i], busy, 'EX', 604800)
end
local movers = 0
for _, mover in ipairs(redis.call('SMEMBERS', base .. 'moving:' .. node)) do
	if mover ~= me and is_alive(leases, string.match(mover, '^(.*@%d+)') or '@0') then
		movers = movers + 1
	end
end
return {1, heir, movers}
