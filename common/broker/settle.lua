-- Ends one delivery: what follows from it, its result, then what becomes of the message.
-- KEYS: unacked, unacked_index, target list, result key ('' = none), then one per step.
-- ARGV: tag, outcome (ack | requeue | dead), end of the unacked record, line for the dead, result,
-- its ttl in seconds, then per step its kind, data and ttl.
-- The steps belong to whoever holds the delivery: without its record, nothing of them is done. A tag of '' is no
-- delivery: there are only steps.
-- A stored SUCCESS is never overwritten, as in Celery's own backend.
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
local function step(kind, key, data, ttl)
	if kind == 'push' then
		redis.call('LPUSH', key, data)
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
if #KEYS > 4 and (ARGV[1] == '' or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1) then
	local skip = false
	for i = 5, #KEYS do
		local at = 7 + 3 * (i - 5)
		local kind = ARGV[at]
		if kind == 'end' then
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
if ARGV[2] ~= 'ack' then
	local record = redis.call('HGET', KEYS[1], ARGV[1])
	if record then
		local message = string.sub(record, 2, -(#ARGV[3] + 1))
		if ARGV[2] == 'dead' then
			redis.call('LPUSH', KEYS[3], ARGV[4] .. '\n' .. message)
		else
			redis.call('RPUSH', KEYS[3], message)
		end
	end
end
if ARGV[1] == '' then
	return 1
end
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
