-- The queue of a node was moved to its heir, or was not. KEYS: routers. ARGV: our owner, the node, start of our keys, start of the
-- leases, '1' = it was, '1' = the node is dead, '1' = it is busy with some conversations.
-- Answers 1 when its queue is nobody's any more.
-- include amqp_owner.lua
local routers = KEYS[1]
local me, node, base, leases, done, dead = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6] == '1'
local key, nobodys = base .. 'closing:' .. node, 0
local who = redis.call('GET', key)
if not who or string.match(who, '^(.-)\n') ~= me then
	return 0
end
local heir = string.match(who, '\n(.*)$')
if done then
	for _, router in ipairs(redis.call('SMEMBERS', routers)) do
		local busy = string.sub(router, -1) == '!'
		if node_of(router) == node and not (busy and ARGV[7] == '1') then
			inherit(base, routers, router, heir)
		end
	end
	if not dead and ARGV[7] ~= '1' then
		redis.call('SADD', base .. 'left', node)
	elseif dead and redis.call('EXISTS', leases .. node) == 0 then
		redis.call('SREM', base .. 'nodes', node)
		redis.call('SREM', base .. 'left', node)
		nobodys = 1
	end
end
redis.call('SREM', base .. 'moving:' .. node_of(heir), me .. '+' .. node)
redis.call('DEL', key)
return nobodys
