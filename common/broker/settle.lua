-- Ends one delivery: what follows from it, its result, then what becomes of the message.
-- KEYS: unacked, unacked_index, target list, result key ('' = none), then one per step.
-- ARGV: tag, outcome (ack | requeue | reject | dead, or none: it was acknowledged before), end of the unacked record, line
-- for the dead, result, its ttl in seconds, then per step its kind, data and ttl.
-- Answers 1 or 0; when messages found no queue {1 or 0, how many, then exchange, routing key, list ('' = dropped) of the first}.
-- The steps belong to whoever holds the delivery: without its record, nothing of them is done; of one that was acknowledged
-- before, the first step is "once". A tag of '' is no delivery: there are only steps.
-- A stored SUCCESS is never overwritten, as in Celery's own backend.
-- include redelivered.lua
local function succeeded(meta)
	local ok, object = pcall(cjson.decode, meta)
	if not ok then
		ok, object = pcall(cmsgpack.unpack, meta)
	end
	if ok and type(object) == 'table' then
		return object['status'] == 'SUCCESS'
	end
	return string.find('\n' .. meta, '\nstatus: SUCCESS\n', 1, true) ~= nil -- YAML
end
local function store(key, value, ttl)
	if ttl == '0' then
		redis.call('SET', key, value)
	else
		redis.call('SETEX', key, ttl, value)
	end
	redis.call('PUBLISH', key, value)
end
-- The positions after which one part of a pattern may end, from those after which it may begin: 0 to #key. Of a pattern
-- only what kombu makes of routing keys is known: literals, "[^\\.]+", "[^\\.]" and ".*?", in time #pattern * #key.
local function follow(at, key, kind, byte)
	local after, open = {}, false
	for p = 0, #key do
		if kind == 'any' then
			open = open or at[p]
			after[p] = open
		elseif at[p] or (kind == 'word' and after[p]) then
			local c = string.byte(key, p + 1)
			if c and ((kind == 'byte' and c == byte) or (kind ~= 'byte' and c ~= 46)) then
				after[p + 1] = true
			end
		end
	end
	return after
end
local function matches(pattern, key)
	local at, p = {[0] = true}, 2
	while p < #pattern do
		if string.sub(pattern, p, p + 5) == '[^\\.]+' then
			at, p = follow(at, key, 'word'), p + 6
		elseif string.sub(pattern, p, p + 4) == '[^\\.]' then
			at, p = follow(at, key, 'one'), p + 5
		elseif string.sub(pattern, p, p + 2) == '.*?' then
			at, p = follow(at, key, 'any'), p + 3
		else
			if string.byte(pattern, p) == 92 then
				p = p + 1
			end
			at, p = follow(at, key, 'byte', string.byte(pattern, p)), p + 1
		end
	end
	return at[#key] == true
end
-- "a<sep>b<sep>c" as three strings.
local function parts(member, sep)
	local one, two = string.find(member, sep, 1, true)
	if not one then
		return nil
	end
	local three, four = string.find(member, sep, two + 1, true)
	if not three then
		return nil
	end
	return string.sub(member, 1, one - 1), string.sub(member, two + 1, three - 1), string.sub(member, four + 1)
end
-- Who writes bindings may name any key: nil for one that is no list.
local function push(list, envelope)
	local kind = redis.call('TYPE', list)['ok']
	return (kind == 'list' or kind == 'none') and redis.call('LPUSH', list, envelope) or nil
end
-- The answer.
local undeliverable = {1}
-- To every queue that is bound: by the same key (direct), by its pattern (topic).
local function route(bindings, data)
	local ends = string.find(data, '\n', 1, true)
	local words = cjson.decode(string.sub(data, 1, ends - 1))
	local key, kind, prefix, sep, suffix, dead = unpack(words)
	local envelope, seen = string.sub(data, ends + 1), {}
	local members = redis.pcall('SMEMBERS', bindings)
	for _, member in ipairs(members.err and {} or members) do
		local bound, pattern, queue = parts(member, sep)
		local is_topic = pattern and pattern ~= '' and kind ~= 'direct'
		if queue and queue ~= '' and not seen[queue] and
			((is_topic and matches(pattern, key)) or (not is_topic and bound == key)) then
			seen[queue] = push(prefix .. queue .. suffix, envelope)
		end
	end
	if next(seen) == nil then
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
