-- A part of other scripts: who has conversations whose calls come by RabbitMQ. An owner is "node@epoch", with '!' for those that
-- stay with a node which let go of all others.
local function node_of(owner)
	return string.match(owner, '^(.*)@')
end
local function is_closing(base, node)
	return redis.call('EXISTS', base .. 'closing:' .. node) == 1
end
-- Its queue was moved, so that its conversations are with `heir` until that has read what came with it.
local function inherit(base, routers, owner, heir)
	redis.call('SREM', routers, owner)
	redis.call('SET', base .. 'heir:' .. owner, heir, 'EX', 600)
end
-- Who has the conversation; nil = nobody.
local function has(base, routers, conversation)
	local owner = redis.pcall('GET', base .. 'route:' .. conversation)
	for _ = 1, 16 do
		if type(owner) ~= 'string' or not node_of(owner) then
			return nil
		end
		if redis.call('SISMEMBER', routers, owner) == 1 and redis.call('SISMEMBER', base .. 'nodes', node_of(owner)) == 1 then
			return owner
		end
		owner = redis.call('GET', base .. 'heir:' .. owner)
	end
end
local function is_alive(leases, owner)
	local node, epoch = string.match(owner, '^(.*)@(%d+)!?$')
	local lease = node and redis.call('GET', leases .. node)
	return lease and string.sub(lease, 1, #epoch + 1) == epoch .. ' '
end
-- Any router of another node that lives; nil = there is none.
local function another(base, routers, leases, node)
	local found = {}
	for _, router in ipairs(redis.call('SMEMBERS', routers)) do
		local there = node_of(router)
		if string.sub(router, -1) ~= '!' and there ~= node and is_alive(leases, router) and not is_closing(base, there) then
			found[#found + 1] = router
		end
	end
	return found[1] and found[1 + redis.call('TIME')[2] % #found]
end
-- What was said to be sent to nodes is there, or will never come from here: nobody needs to wait for it.
local function all_is_there(base, me)
	local moves = base .. 'moves:' .. me
	for _, move in ipairs(redis.call('SMEMBERS', moves)) do
		local there, conversation = string.match(move, '^(.*)\n(.*)$')
		redis.call('SREM', base .. 'moving:' .. there, me)
		-- somebody else's by now, when our lease was over meanwhile
		if redis.call('HGET', base .. 'sending', conversation) == me then
			redis.call('HDEL', base .. 'sending', conversation)
		end
	end
	redis.call('DEL', moves)
end
