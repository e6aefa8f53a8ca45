-- Ends one delivery: what follows from it, its result, then what becomes of the message.
-- KEYS: unacked, unacked_index, target list, result key ('' = none), then one per step.
-- ARGV: tag, outcome (ack | requeue | reject | dead, or none: it was acknowledged before), end of the unacked record, line
-- for the dead, result, its ttl in seconds, then per step its kind, data and ttl.
-- Answers 1 or 0; when messages found no queue {1 or 0, how many, then exchange, routing key, list ('' = dropped) of the first}.
-- The steps belong to whoever holds the delivery: without its record, nothing of them is done; of one that was acknowledged
-- before, the first step is "once". A tag of '' is no delivery: there are only steps.
-- A stored SUCCESS is never overwritten, as in Celery's own backend.
-- include redelivered.lua
-- include ../backend/meta.lua
-- include bindings.lua
-- The answer.
local undeliverable = {1}
-- To every queue that is bound.
local function push(list, envelope)
	return is_list(list) and redis.call('LPUSH', list, envelope) or nil
end
local function route(bindings, data)
	local ends = string.find(data, '\n', 1, true)
	local words = cjson.decode(string.sub(data, 1, ends - 1))
	local key, kind, prefix, sep, suffix, dead = unpack(words)
	local envelope, sent = string.sub(data, ends + 1), false
	for _, queue in ipairs(bound_queues(bindings, key, kind, sep)) do
		sent = push(prefix .. queue .. suffix, envelope) and true or sent
	end
	if not sent then
		if dead ~= '' and not push(dead, envelope) then
			dead = ''
		end
		undeliverable[2] = (undeliverable[2] or 0) + 1
		if undeliverable[2] <= 100 then
			local at = #undeliverable
			undeliverable[at + 1] = string.sub(bindings, #prefix + #'_kombu.binding.' + 1)
			undeliverable[at + 2], undeliverable[at + 3] = key, dead
		end
	end
end
local function step(kind, key, data, ttl)
	if kind == 'push' then
		redis.call('LPUSH', key, data)
	elseif kind == 'route' then
		route(key, data)
	elseif kind == 'publish' then
		redis.call('PUBLISH', key, data)
	elseif kind == 'set' then
		local old = redis.call('GET', key)
		if not old or not succeeded(old) then
			store(key, data, ttl)
		end
	elseif kind == 'delete' then
		redis.call('DEL', key)
	elseif kind == 'remove' then
		redis.call('SREM', key, data)
	elseif kind == 'zrem' then
		redis.call('ZREM', key, data)
	elseif kind == 'body' then
		redis.call('HSETNX', key, 'body', data)
		if ttl ~= '0' then
			redis.call('EXPIRE', key, ttl)
		end
	end
end
-- What cannot be pushed is found before anything is done: a script that ends half-way cannot be taken back.
for i = 5, #KEYS do
	if ARGV[7 + 3 * (i - 5)] == 'push' and not is_list(KEYS[i]) then
		return redis.error_reply('WRONGTYPE the queue ' .. KEYS[i] .. ' is no list')
	end
end
if #KEYS > 4 and (ARGV[1] == '' or ARGV[2] == 'none' or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1) then
	local skip = false
	for i = 5, #KEYS do
		local at = 7 + 3 * (i - 5)
		local kind = ARGV[at]
		if kind == 'once' then
			if not redis.call('SET', KEYS[i], '', 'NX', 'EX', ARGV[at + 2]) then
				break
			end
		elseif kind == 'end' then
			skip = false
		elseif kind == 'guard' or kind == 'absent' then
			skip = skip or redis.call('EXISTS', KEYS[i]) ~= (kind == 'guard' and 1 or 0)
		elseif not skip then
			step(kind, KEYS[i], ARGV[at + 1], ARGV[at + 2])
		end
	end
end
if KEYS[4] ~= '' then
	local old = redis.call('GET', KEYS[4])
	if not old or not succeeded(old) then
		store(KEYS[4], ARGV[5], ARGV[6])
	end
end
if ARGV[2] == 'none' then
	return 0
end
if ARGV[2] ~= 'ack' then
	local record = redis.call('HGET', KEYS[1], ARGV[1])
	if record then
		local message = string.sub(record, 2, -(#ARGV[3] + 1))
		if ARGV[2] == 'dead' then
			redis.call('LPUSH', KEYS[3], ARGV[4] .. '\n' .. message)
		elseif ARGV[2] == 'reject' then
			redis.call('RPUSH', KEYS[3], redelivered(message))
		else
			redis.call('RPUSH', KEYS[3], message)
		end
	end
end
if ARGV[1] ~= '' then
	redis.call('ZREM', KEYS[2], ARGV[1])
	undeliverable[1] = redis.call('HDEL', KEYS[1], ARGV[1])
end
return undeliverable[2] and undeliverable or undeliverable[1]
