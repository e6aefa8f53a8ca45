-- Says which node has the conversations of calls that were just taken from RabbitMQ; messages go there by its queue. Whoever is
-- told so is noted until it says that its messages are there: nobody moves that queue away before, nor sends a later call of the
-- same conversation.
-- KEYS: routers. ARGV: our owner, our node, start of our keys, start of the leases, seconds a route lasts, '1' = we are drained and
-- keep nothing, how many engines we reach, these; then per call: '1' = it comes from our own queue, conversation, engine of its
-- container ('' = it has none); without calls others know of us from now on.
-- Answers {0} when a queue that one of them would go to is being moved, or somebody still sends what comes before: to be asked
-- again; else 1 and for each: 1 = ours, from our own queue; else the node whose queue it goes to.
-- include amqp_owner.lua
local routers = KEYS[1]
local me, node, base, leases, ttl, drained = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1'
local moves = base .. 'moves:' .. me
local count, reached = tonumber(ARGV[7]), {}
local first = 8 + count
if #ARGV >= first then
	all_is_there(base, me)
end
if is_closing(base, node) then
	return {0}
end
if not drained and redis.call('SADD', routers, me) == 1 then
	redis.call('SADD', base .. 'nodes', node)
	redis.call('SREM', base .. 'left', node)
	-- what an earlier life of ours had is in the queue that we read
	for _, router in ipairs(redis.call('SMEMBERS', routers)) do
		if node_of(router) == node and router ~= me and router ~= me .. '!' then
			inherit(base, routers, router, me)
		end
	end
end
for i = 8, first - 1 do
	if not drained then
		reached[ARGV[i]] = true
		redis.call('SADD', base .. 'engine:' .. ARGV[i], me)
	end
end
-- A node that reaches the engine of a container which we do not reach.
local function who_reaches(engine)
	if engine == '' or reached[engine] then
		return nil
	end
	for _, router in ipairs(redis.call('SMEMBERS', base .. 'engine:' .. engine)) do
		if router ~= me and redis.call('SISMEMBER', routers, router) == 1 then
			return router
		end
		redis.call('SREM', base .. 'engine:' .. engine, router)
	end
end
-- Who is to have it; nil = nobody can but ourselves, who are drained.
local function owner_of(conversation, engine)
	local owner = has(base, routers, conversation)
	if owner == me .. '!' and drained then
		return owner
	end
	if not owner or node_of(owner) == node then
		owner = who_reaches(engine) or (drained and another(base, routers, leases, node)) or (not drained and me) or nil
	end
	return owner
end
local owners = {}
local function is_sent_by_another(conversation)
	local who = redis.call('HGET', base .. 'sending', conversation)
	return who and who ~= me and is_alive(leases, who)
end
for i = first, #ARGV, 3 do
	local owner = owner_of(ARGV[i + 1], ARGV[i + 2])
	if (owner and is_closing(base, node_of(owner))) or is_sent_by_another(ARGV[i + 1]) then
		return {0}
	end
	owners[#owners + 1] = owner or false
	if owner and string.sub(owner, -1) ~= '!' then
		redis.call('SET', base .. 'route:' .. ARGV[i + 1], owner, 'EX', ttl)
	end
end
local out = {1}
for n, owner in ipairs(owners) do
	local there = owner and node_of(owner) or node
	if there == node and ARGV[first + 3 * (n - 1)] == '1' then
		out[n + 1] = 1
	else
		out[n + 1] = there
		redis.call('SADD', base .. 'moving:' .. there, me)
		redis.call('HSET', base .. 'sending', ARGV[first + 3 * (n - 1) + 1], me)
		redis.call('SADD', moves, there .. '\n' .. ARGV[first + 3 * (n - 1) + 1])
	end
end
return out
