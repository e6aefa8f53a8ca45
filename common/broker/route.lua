-- Gives calls that were just taken to the nodes that have their conversations. Messages are not parsed: who took them has
-- read them.
-- KEYS: unacked, unacked_index, places, routers, our list, places that are given up.
-- ARGV: our place, our owner, our node, start of our keys, start of the lists of nodes, end of a record of our list, seconds a
-- route lasts, now (score), most hops, most bytes of a message, '1' = we are drained and keep nothing, how many engines we reach,
-- these; then per call: tag, length
-- of the end of its record, tag it has in our list, where it comes from (1 = there, 2 = the list of all, 0 = a queue),
-- conversation, engine of its container ('' = it has none, '*' = its entry in the index is here).
-- Answers {0} when others have to route first what they took before us, {2} when they never will, because they are dead or
-- give it back, so that ours has to go back before theirs; else 1 and for each: 1 = ours from now on, recorded as taken from
-- our list; 0 = no longer ours; else the node whose list it is in now, '*' = that of all.
-- include route_dead.lua
-- include route_behind.lua
local unacked, index, places, routers, own, lost = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local place, me, node, base, lists, ending = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local ttl, now, most, bytes, drained = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11] == '1'
-- What cannot be moved is not begun: a script that ends half-way cannot be taken back.
redis.call('HLEN', unacked)
redis.call('ZCARD', index)
redis.call('LLEN', own)
redis.call('LLEN', lists)
redis.call('SISMEMBER', lost, place)
-- The order in which messages were taken is the order in which they are routed.
local turn = tonumber(redis.call('ZSCORE', places, place) or '0')
local first = turn ~= 0 and redis.call('ZRANGE', places, 0, 0)[1] or place
if first ~= place then
	return {(redis.call('SISMEMBER', lost, first) == 1 or is_dead(base, first)) and 2 or 0}
end
if not drained then
	redis.call('SADD', routers, me)
end
redis.call('SADD', base .. 'owners', me) -- so that somebody looks for us when we are dead
local count, reached = tonumber(ARGV[12]), {}
for i = 13, 12 + count do
	if not drained then
		reached[ARGV[i]] = true
		redis.call('SADD', base .. 'engine:' .. ARGV[i], me)
	end
end
local function node_of(owner)
	return string.match(owner, '^(.*)@')
end
-- A node that reaches the engine of a container which we do not reach.
local function who_reaches(conversation, engine)
	if engine == '*' then
		local entry = redis.pcall('HMGET', base .. 'conversation:' .. conversation, 'container', 'engine')
		engine = not entry.err and entry[1] and entry[1] ~= '' and entry[2] or ''
	end
	if engine == '' or reached[engine] then
		return nil
	end
	local there = redis.pcall('SMEMBERS', base .. 'engine:' .. engine)
	for _, router in ipairs(there.err and {} or there) do
		if router ~= me and redis.call('SISMEMBER', routers, router) == 1 then
			return router
		end
		redis.call('SREM', base .. 'engine:' .. engine, router) -- ourselves included: or calls would go in circles
	end
end
-- Who has the conversation; nil = nobody who lives.
local function has(conversation)
	local owner = redis.pcall('GET', base .. 'route:' .. conversation)
	return type(owner) == 'string' and node_of(owner) and redis.call('SISMEMBER', routers, owner) == 1 and owner or nil
end
-- Who is to have the call: nil = we.
local function owner_of(conversation, owner, engine)
	if not owner or node_of(owner) == node then
		owner = who_reaches(conversation, engine) or me
	end
	if string.sub(owner, -1) ~= '!' then
		redis.call('SET', base .. 'route:' .. conversation, owner, 'EX', ttl)
	end
	return owner ~= me and owner or nil
end
local function push(list, message)
	return type(redis.pcall('LPUSH', list, message)) == 'number'
end
local function forget(tag)
	redis.call('HDEL', unacked, tag)
	redis.call('ZREM', index, tag)
end
-- With one hop more; nil when it has gone round for long enough.
local function hop(message)
	local hops, rest = string.match(message, '^{"celeriac_hops": (%d+), ()')
	hops = tonumber(hops or 0) + 1
	if hops > most then
		return nil
	end
	local out = '{"celeriac_hops": ' .. string.format('%d', hops) .. ', ' .. string.sub(message, rest or 2)
	return #out <= bytes and out or message
end
local out = {1}
for i = 13 + count, #ARGV, 6 do
	local tag, ours, conversation = ARGV[i], ARGV[i + 2], ARGV[i + 4]
	local record, answer = redis.call('HGET', unacked, tag), 0
	local tail = tonumber(ARGV[i + 1])
	if record and string.sub(record, -#ending) == ending then
		tail = #ending -- this was sent before
	elseif not record and redis.call('HEXISTS', unacked, ours) == 1 then
		answer = 1
	end
	local owner = record and has(conversation)
	local behind = turn % 1 ~= 0 or (not owner and redis.call('LLEN', lists) > 0)
	if record and (drained or ARGV[i + 3] == '0' and behind) then
		-- What a node has left there since this was taken may belong to the same conversation, and came before. Who is
		-- drained does not read that list, and so gives everything by way of it.
		answer = '*'
		redis.call('LPUSH', lists, string.sub(record, 2, -(tail + 1)))
		forget(tag)
		put_behind(places)
	elseif record then
		local message = string.sub(record, 2, -(tail + 1))
		owner = owner_of(conversation, owner, ARGV[i + 5])
		local moved = owner and hop(message)
		if moved and push(lists .. node_of(owner), moved) then
			answer = node_of(owner)
			forget(tag)
		elseif ARGV[i + 3] ~= '1' and redis.call('LLEN', own) > 0 then
			-- what waits there may belong to the same conversation, and came before
			answer = node
			redis.call('LPUSH', own, message)
			forget(tag)
		else
			answer = 1
			forget(tag)
			redis.call('HSET', unacked, ours, '[' .. message .. ending)
			redis.call('ZADD', index, now, ours)
		end
	end
	out[#out + 1] = answer
end
redis.call('ZREM', places, place)
redis.call('SREM', lost, place)
return out
